"""A short film of a training: its sample grids, one after the other."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

LONGEST_SIDE = 1280  # px
FRAMES = 60  # at most
MILLISECONDS = 200  # per frame; the last one stays longer


def film(grids: Sequence[Path]) -> bytes:
    """Return an animated WebP of sample grids, PNG files in their order; at most 60, evenly taken.

    All are brought to the size of the last one, at most 1280 px.
    """
    count = min(len(grids), FRAMES)
    chosen = [grids[(i * (len(grids) - 1)) // max(count - 1, 1)] for i in range(count)]
    frames = [Image.open(file).convert("RGB") for file in chosen]
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
