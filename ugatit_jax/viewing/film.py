"""A short film of a training: its sample grids, one after the other."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images

LONGEST_SIDE = 1280  # px
FRAMES = 60  # at most
MILLISECONDS = 200  # per frame; the last one stays longer


def film(grids: Sequence[Path]) -> bytes:
    """Return an animated WebP of sample grids, PNG files in their order; at most 60, evenly taken.

    All are brought to the size of the last one, at most 1280 px. Those that cannot be read are left
    out. Raises `InputError` if that leaves none.
    """
    count = min(len(grids), FRAMES)
    chosen = [grids[(i * (len(grids) - 1)) // max(count - 1, 1)] for i in range(count)]
    frames: list[Image.Image] = []
    for file in chosen:
        with contextlib.suppress(InputError):
            frames.append(Image.fromarray(images.decode(file)))
    if not frames:
        raise InputError(f"none of {count} sample grids can be read, as {chosen[-1]}")
    count = len(frames)
    scale = min(1.0, LONGEST_SIDE / max(frames[-1].size))
    size = (round(scale * frames[-1].width), round(scale * frames[-1].height))
    frames = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    durations = [MILLISECONDS] * (count - 1) + [10 * MILLISECONDS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=80,
    )
    return buffer.getvalue()
