"""Draw docs/strip.png: test emoji, each above what the model of the package makes of it.

    python docs/strip.py

The left half is OpenMoji → Twemoji, the right half Twemoji → OpenMoji. Chosen by hand;
`ugatit evaluate emoji --data=emoji` shows all, from best to worst. Inputs have the 64 px that the
network sees.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from ugatit_jax import Translator
from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.data.emoji import prepare

CHOSEN = {
    "a2b": ("1f600", "1f353", "1f985", "1f37a", "1f42d", "1fab4"),
    "b2a": ("1f98a", "1f950", "1f996", "1f3d5", "1f989", "1f6f5"),
}
SIDE, GAP = 128, 20  # px, of a picture as it is drawn and between two


def main() -> None:
    """Write the strip beside this file."""
    translator, pictures = Translator.load("emoji"), prepare(find_cache_dir(), 128)
    columns = []
    for direction, names in CHOSEN.items():
        for name in names:
            file = pictures / f"test{direction[0].upper()}" / f"{name}.png"
            seen = Image.open(file).convert("RGB").resize(translator.image_size[::-1])
            made = Image.fromarray(np.asarray(translator(np.asarray(seen), direction=direction)))
            columns.append([seen, made])
    width = len(columns) * (SIDE + GAP) + GAP
    strip = Image.new("RGB", (width, 2 * (SIDE + GAP) + GAP), "white")
    for i, column in enumerate(columns):
        for j, picture in enumerate(column):
            place = (GAP + i * (SIDE + GAP), GAP + j * (SIDE + GAP))
            strip.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    strip.quantize(255).save(Path(__file__).with_name("strip.png"), optimize=True)


if __name__ == "__main__":
    main()
