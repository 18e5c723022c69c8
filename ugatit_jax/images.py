"""The edge between picture files and arrays: read, fit to a size, change the range of values."""

import io
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ugatit_jax.errors import InputError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

A = TypeVar("A", bound=Any)


def decode(source: bytes | Path, name: str = "") -> np.ndarray:
    """Read a picture as it is meant to be seen: upright, over white, in colour.

    Takes JPEG, PNG, WebP, BMP and GIF (its first frame) in any colour mode, as
    a file or as its bytes. Returns uint8 [H, W, 3]. Raises `InputError` for what
    is no picture or a broken one, under `name` or else the name of the file.
    """
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return from_pillow(image)
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(_FORMATS)}"
        name = name or (str(source) if isinstance(source, Path) else "picture")
        raise InputError(f"cannot read {name}: {reason}; replace it or leave it out") from error


def from_pillow(image: Image.Image) -> np.ndarray:
    """A Pillow image as `decode` returns it: upright, over white, uint8 [H, W, 3]."""
    image.load()
    return np.array(_to_rgb(_upright(image)))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a picture is good although its EXIF block is not
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion clips at 255
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def cover_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture until it just covers `size`, and cut the middle out of it.

    `image` is uint8 [H, W, 3], `size` is (height, width) in px, the result
    uint8 [height, width, 3]. The filter is Pillow's antialiased bilinear one,
    as in the authors' PyTorch implementation.
    """
    height, width = size
    fitted = ImageOps.fit(Image.fromarray(image), (width, height), Image.Resampling.BILINEAR)
    return np.array(fitted)


def to_float(x: A) -> A:
    """uint8 in [0, 255] to float32 in [-1, 1]; a NumPy or a JAX array of any shape."""
    return x.astype(np.float32) / 127.5 - 1


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Float in [-1, 1] to uint8 in [0, 255], rounded; what lies outside is clipped."""
    return np.rint((np.asarray(x, np.float32) + 1) * 127.5).clip(0, 255).astype(np.uint8)


def list_images(folder: Path) -> list[Path]:
    """All pictures in a folder and the folders in it, in the order of their relative paths.

    A picture is told by its extension, in any case; hidden files and folders are
    left out. Raises `InputError` where `folder` is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give one that holds pictures")
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    pictures = [
        path
        for path in found
        if path.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in path.parts)
        and (folder / path).is_file()
    ]
    return [folder / path for path in sorted(pictures, key=Path.as_posix)]
