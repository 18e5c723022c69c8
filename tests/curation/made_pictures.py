"""Pictures that look like something: sharp, coloured, each unlike the others."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 64


def made_picture(seed: int, side: int = SIDE) -> Image.Image:
    """Shapes of many colours over a shading, at `side` px, with fine grain."""
    rng = np.random.default_rng(seed)
    corners = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    image = corners.resize((side, side), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.integers(-side // 6, side, 2)
        width, height = rng.integers(side // 10, side // 2, 2)
        shape = (draw.ellipse, draw.rectangle)[rng.integers(2)]
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        shape((int(x), int(y), int(x + width), int(y + height)), fill=colour)
    grain = rng.normal(0, 4, (side, side, 1))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def make_data_set(root: Path, train: int = 36, test: int = 4) -> Path:
    """A clean data set of two domains of the same kind."""
    seed = 0
    for split, count in (("trainA", train), ("trainB", train), ("testA", test), ("testB", test)):
        (root / split).mkdir(parents=True)
        for i in range(count):
            made_picture(seed).save(root / split / f"{i:02}.png")
            seed += 1
    return root
