"""The edge between picture files and arrays: read, fit to a size, change the range of values."""

import functools
import io
import threading
import warnings
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ugatit_jax.console.errors import InputError, TransientError, in_a_line, printable
from ugatit_jax.data.encodings import ENCODINGS
from ugatit_jax.data.reading import read_file
from ugatit_jax.data.storage import AnyPath, list_files

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
NO_MEDIA = ".nomedia"  # a file that marks a folder of pictures that are none of a data set
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
LARGE = 2**25  # px: a picture of more is decoded while no other one of more is
_one_large = threading.Lock()
# What Pillow says of a picture that it reads all the same, or refuses in other words, too.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

A = TypeVar("A", bound=Any)


class BrokenPicture(InputError):
    """A file that was read, and is no picture or a broken one."""


def decode(source: bytes | AnyPath, name: str = "") -> np.ndarray:
    """Read a picture as it is meant to be seen: upright, over white, in the colours of sRGB.

    Takes JPEG, PNG, WebP, BMP and GIF (its first frame) in any colour mode, as
    a file or as its bytes. Returns uint8 [H, W, 3]. Raises `BrokenPicture` for what
    is no picture or a broken one, under `name` or else the name of the file,
    `TransientError` where there is no memory for it, and as `read_file` does for a file that cannot
    be read.
    """
    return decode_with_alpha(source, name)[0]


def decode_with_alpha(
    source: bytes | AnyPath, name: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a picture as `decode` does, with its opacity: uint8 [H, W], None if it is all opaque."""
    data = source if isinstance(source, bytes) else read_file(source)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > LARGE:  # one after the other, as each takes gigabytes
                with _one_large:
                    return _convert(image)
            return _convert(image)
    except MemoryError as error:  # which says nothing of the picture
        name = printable(name or ("picture" if isinstance(source, bytes) else source))
        raise TransientError(f"cannot read {name}: there is no memory for it now") from error
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(_FORMATS)}"
        name = printable(name or ("picture" if isinstance(source, bytes) else source))
        said = f"cannot read {name}: {in_a_line(reason)}; replace it or leave it out"
        raise BrokenPicture(said) from error


def encode(picture: np.ndarray, format: str, alpha: np.ndarray | None = None) -> bytes:
    """Make a picture's file: 'png'; or 'jpg' or 'webp', of quality 95.

    picture: uint8 [H, W, 3]. alpha: uint8 [H, W], its opacity; a JPEG has none, and shows the
    picture over white. Raises `InputError` for a picture that the format cannot hold.
    """
    image = Image.fromarray(picture)
    if alpha is not None and format == "jpg":
        image = _over_white(image, Image.fromarray(alpha))
    elif alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    buffer = io.BytesIO()
    try:
        image.save(buffer, **ENCODINGS[format])
    except (OSError, ValueError) as error:
        size = f"{picture.shape[1]}×{picture.shape[0]}"
        raise InputError(f"cannot make a {format} of {size} px: {error}; try png") from error
    return buffer.getvalue()


def from_pillow(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """A Pillow image as `decode_with_alpha` returns a file: upright, over white, of sRGB."""
    return _convert(image)


def _convert(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    image.load()
    profile = image.info.get("icc_profile")
    image = _upright(image)
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion clips at 255
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return np.array(_to_srgb(image, profile)), None
    rgba = image.convert("LA" if image.mode == "LA" else "RGBA")
    alpha = rgba.getchannel("A")
    colour = _to_srgb(rgba.convert(rgba.mode.removesuffix("A")), profile)
    opaque = alpha.getextrema()[0] == 255
    return np.array(_over_white(colour, alpha)), None if opaque else np.array(alpha)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit greyscale, and make what one value of it says is transparent so."""
    deep = np.asarray(image).clip(0, 65535).astype(np.uint16)
    values = np.rint(np.arange(2**16) / 257).astype(np.uint8)[deep]
    grey, transparent = Image.fromarray(values), image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8)))
    return grey


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a picture is good although its EXIF block is not
        return image


def _over_white(colour: Image.Image, alpha: Image.Image) -> Image.Image:
    return Image.composite(colour, Image.new("RGB", colour.size, "white"), alpha)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image without transparency to RGB, by its ICC profile if that is a good one."""
    if image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    transform = _transform(profile, image.mode) if profile else None
    return transform.apply(image) if transform else image.convert("RGB")


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, srgb, mode, "RGB")
    except (OSError, ImageCms.PyCMSError):  # no profile, or not of this kind of picture
        return None


def cover_resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture until it just covers `size`, and cut the middle out of it.

    `image` is uint8 [H, W, 3] (or [H, W]), `size` is (height, width) in px, the result
    uint8 [height, width, 3] (or [height, width]). The filter is Pillow's antialiased bilinear one,
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


def list_images(folder: AnyPath) -> list[AnyPath]:
    """All pictures in a folder and the folders in it, in the order of their relative paths.

    A picture is told by its extension, in any case. Links to folders are followed, but into each
    folder once. Left out are hidden files and folders, and folders in it with a file `.nomedia`,
    as media players leave them out: what translates marks so what it makes beside translations.
    Raises `InputError` where `folder` is no folder.
    """
    return find_images(folder)[0]


def check_folder(folder: AnyPath) -> None:
    """Raise `InputError` where a folder of pictures is no folder."""
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give one that holds pictures")


def find_images(folder: AnyPath) -> tuple[list[AnyPath], int]:
    """What `list_images` returns, and how many pictures it leaves out."""
    check_folder(folder)
    files = list_files(folder)
    marked = {file.parent for file in files if file.name == NO_MEDIA and file.parent.parts}
    pictures = [file for file in files if file.suffix.lower() in EXTENSIONS]
    shown = [
        picture
        for picture in pictures
        if not any(part.startswith(".") for part in picture.parts)
        and marked.isdisjoint(picture.parents)
    ]
    found = [folder / picture for picture in sorted(shown, key=PurePath.as_posix)]
    return found, len(pictures) - len(found)
