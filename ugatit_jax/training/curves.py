"""The losses that a run has logged, read back for pages that draw them."""

import contextlib
import json
from collections.abc import Mapping

from ugatit_jax.data.storage import AnyPath
from ugatit_jax.training.scalars import NAME

POINTS = 500  # of each curve, at most


def read_curves(run: AnyPath, terms: Mapping[str, str]) -> list[tuple[int, float, str]]:
    """Return (step, value, term) of what is logged, some hundreds of each term.

    terms: of the losses, as `Method.shown` has them. A line that is just being written is left out.
    """
    file = run / NAME
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for line in lines[:: max(1, len(lines) // POINTS)]:
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            logged = json.loads(line)
            step = int(logged.get("step"))
            found += [
                (step, float(logged[tag]), short)
                for short, tag in terms.items()
                if isinstance(logged.get(tag), float | int)
            ]
    return found
