"""What came of a training on one page, RUN/index.html, of what lies in the run's folder.

Pictures, curves, scores and fields; it holds all of it, so that it opens from the disk and can be
sent by itself.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ugatit_jax.config.records import flatten, load_config
from ugatit_jax.console.errors import InputError, in_a_line, printable
from ugatit_jax.data.json_file import read_object
from ugatit_jax.data.storage import AnyPath, read_bytes
from ugatit_jax.evaluation.report import about, notes, section_title, tables
from ugatit_jax.methods import find_method
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.training.curves import read_curves
from ugatit_jax.viewing.gallery import GallerySection, write_gallery
from ugatit_jax.viewing.plots import plot_kid, plot_loss

NAME = "index.html"
LOSSES = (
    "Faint: as they were logged; bold: their running mean. The losses of such a game do not fall; "
    "that they stay finite and do not stand still is all that they say."
)
KID = "Dashed: pictures that were not translated. Dotted: one half of the target to the other."
# What is amiss in a file that others may have made, or that is of an older program.
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def write_run_page(run: AnyPath) -> Path | None:
    """Write the page of a run, and return its path; None in a bucket, where there is none.

    What cannot be read is left out. Raises `InputError` if that is the config.
    """
    if not isinstance(run, Path):
        return None
    config = load_config(run / "config.json")
    start = _last_start(run)
    sections: dict[str, GallerySection] = {}
    for title, section in (
        ("Samples", _samples(run)),
        ("KID to the target", _kids(run)),
        ("Losses", _losses(run, find_method(config.method).shown)),
    ):
        if section is not None:
            sections[title] = section
    scores, of_scores = _scores(run)
    sections |= scores
    sections |= _fields(config, start)
    steps = saved_steps(run)
    title = f"{run.absolute().name}, step {steps[-1]:,}" if steps else run.absolute().name
    write_gallery(run / NAME, printable(title), sections, _summary(config, start), of_scores)
    return run / NAME


def leave_run_page(run: AnyPath) -> Path | None:
    """Write the page, for whoever has done something that is worth more: a failure is but told."""
    try:
        return write_run_page(run)
    except (InputError, OSError) as error:
        print(f"no page {run / NAME}: {in_a_line(error)}", file=sys.stderr)
        return None


def _last_start(run: Path) -> dict[str, Any]:
    """What run.json has of the newest start."""
    with contextlib.suppress(*DAMAGED):
        start = read_object(run / "run.json")["starts"][-1]
        return start if isinstance(start, dict) else {}
    return {}


def _summary(config: ConfigDict, start: dict[str, Any]) -> list[str]:
    lines = [f"Method {config.method}, {config.train.steps:,} steps of {config.train.batch_size}."]
    with contextlib.suppress(*DAMAGED):
        devices, versions = start["devices"], start["versions"]
        lines.append(
            f"Started last on {start['date']}, at step {start['step']:,}, on {len(devices)} × "
            f"{devices[0]}, with ugatit_jax {versions['ugatit_jax']} and jax {versions['jax']}."
        )
    now = datetime.now(UTC).isoformat(" ", timespec="minutes").removesuffix("+00:00")
    return [*map(printable, lines), f"This page was written on {now} UTC."]


def _samples(run: Path) -> GallerySection | None:
    grids = sorted((run / "samples").glob("step_*.png"))[-1:]
    files = [*grids, run / "samples" / "evolution.webp"]
    whole: dict[str, bytes] = {}
    for file in files:
        with contextlib.suppress(OSError):
            step = file.stem.partition("_")[2].lstrip("0") or "0"
            whole[f"Step {step}" if file in grids else "All of them, as a film"] = read_bytes(file)
    return GallerySection([], whole=whole) if whole else None


def _kids(run: Path) -> GallerySection | None:
    with contextlib.suppress(*DAMAGED):
        kept = read_object(run / "kid.json")
        ways = [way for way in ("a2b", "b2a") if way in kept["points"][0]]
        panels = {}
        for way in ways:
            points = [(int(x["step"]), float(x[way]["mean"])) for x in kept["points"]]
            references = (kept.get(x, {}).get(way) for x in ("untranslated", "target_half"))
            known = (None if x is None else float(x) for x in references)
            panels[f"{section_title(way)}, KID×100"] = plot_kid(points, *known)
        best = min(kept["points"], key=lambda point: sum(point[way]["mean"] for way in ways))
        found = ", ".join(f"{section_title(way)} {100 * best[way]['mean']:.2f}" for way in ways)
        said = (
            f"Lowest at step {best['step']:,}: {found}. By {kept['features']['extractor']}. {KID}"
        )
        return GallerySection([], text=printable(said), panels=panels)
    return None


def _losses(run: Path, terms: Mapping[str, str]) -> GallerySection | None:
    curves: dict[str, list[tuple[int, float]]] = {}
    with contextlib.suppress(OSError):
        for step, value, term in read_curves(run, terms):
            curves.setdefault(term, []).append((step, value))
    panels = {term: plot_loss(*zip(*points, strict=True)) for term, points in curves.items()}
    return GallerySection([], text=LOSSES, panels=panels) if panels else None


def _scores(run: Path) -> tuple[dict[str, GallerySection], list[str]]:
    """The newest report's tables, and what its numbers are."""
    reports = sorted((run / "evaluation").glob("*/report.json"), key=os.path.getmtime)
    with contextlib.suppress(*DAMAGED):
        report = read_object(reports[-1])
        text = " ".join([*about(report), f"More in evaluation/{reports[-1].parent.name}/{NAME}."])
        sections = {
            f"Scores, {section_title(way)}": GallerySection([], tables(scores), printable(text))
            for way, scores in report["directions"].items()
        }
        return sections, [printable(note) for note in notes(report)]
    return {}, []


def _fields(config: ConfigDict, start: dict[str, Any]) -> dict[str, GallerySection]:
    """The fields that differ from the experiment's, and, folded, all of them."""
    sections = {}
    with contextlib.suppress(*DAMAGED):
        origin = start["origin"]
        rows = [[name, _value(now), _value(was)] for name, (now, was) in origin["changes"].items()]
        table = [["field", "here", "in the experiment"], *rows]
        said = f"The experiment is {origin['experiment']}"
        said += ", and these are not its own." if rows else ", without any change."
        sections["What was changed"] = GallerySection([], [table] if rows else [], printable(said))
    every = [[name, _value(value)] for name, value in flatten(config).items()]
    table = [["field", "value"], *every]
    return sections | {"All fields": GallerySection([], [table], folded=True)}


def _value(value: Any) -> str:
    return printable(repr(tuple(value) if isinstance(value, list) else value))
