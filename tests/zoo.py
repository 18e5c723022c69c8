"""Files that are called pictures, as strangers and broken disks make them."""

import io
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF"}


class Animal(NamedTuple):
    """A file's content, and the (height, width) that it has to have; None: it is refused."""

    content: bytes
    size: tuple[int, int] | None


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(height: int = 24, width: int = 20) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG whose header says anything at all (PNG specification, 11.2.2)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def bmp(width: int, height: int, offset: int = 54) -> bytes:
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, offset) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    ) + bytes(100)  # fmt: skip


def zoo() -> dict[str, Animal]:
    """All of them, by their names."""
    whole, size = picture(), (24, 20)
    animals: dict[str, Animal] = {"empty.png": Animal(b"", None)}
    for ending, name in FORMATS.items():
        data = encode(whole, name)
        animals[f"whole.{ending}"] = Animal(data, size)
        for quarter in (1, 2, 3):
            cut = data[: quarter * len(data) // 4]
            animals[f"cut {quarter} of 4.{ending}"] = Animal(cut, None)
        other = "bmp" if ending == "png" else "png"
        animals[f"a {ending} called.{other}"] = Animal(data, size)
        animals[f"header only.{ending}"] = Animal(data[:20], None)
        animals[f"garbage behind.{ending}"] = Animal(data + b"<script>" * 99, size)
        animals[f"one pixel.{ending}"] = Animal(encode(picture(1, 1), name), (1, 1))
        long = (1, 16_383 if ending == "webp" else 30_000)
        animals[f"long.{ending}"] = Animal(encode(Image.new("RGB", long[::-1]), name), long)
        animals[f"tall.{ending}"] = Animal(encode(Image.new("RGB", long), name), long[::-1])
    frames = [picture(), Image.new("RGB", (20, 24), "red"), Image.new("RGB", (20, 24), "blue")]
    for ending in ("gif", "png", "webp"):
        data = encode(frames[0], FORMATS[ending], save_all=True, append_images=frames[1:])
        animals[f"moving.{ending}"] = Animal(data, size)
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = Image.new(mode, (20, 24), 1)
        animals[f"mode {mode}.png"] = Animal(encode(image, "PNG"), size)
    animals["mode CMYK.jpg"] = Animal(encode(whole.convert("CMYK"), "JPEG"), size)
    animals["mode YCCK.jpg"] = Animal(encode(whole.convert("YCbCr"), "JPEG"), size)
    nan = Image.fromarray(np.full((24, 20), np.nan, np.float32))
    animals["not a number.png"] = Animal(encode(nan, "TIFF"), None)
    animals["a drawing.png"] = Animal(b"<svg xmlns='http://www.w3.org/2000/svg'/>", None)
    animals["a page.jpg"] = Animal(b"<!doctype html><title>404</title>", None)
    animals["a program.gif"] = Animal(b"GIF89a" + b"\xff" * 4 + bytes(99), None)
    for name, data in {
        "pixels": png(2**31 - 1, 2**31 - 1),
        "bomb": png(30_000, 30_000),
        "nothing": png(0, 0),
        "wide": png(2**31 - 1, 1),
        "colour 7": png(8, 8, colour=7),
        "depth 3": png(8, 8, depth=3),
        "short": png(20, 24, data=b"\0" * 100),
        "no end": png(20, 24, data=bytes(24 * 61))[:-12],
    }.items():
        animals[f"said {name}.png"] = Animal(data, size if name == "no end" else None)
    for name, data in {
        "large": bmp(2**31 - 1, 2**31 - 1),
        "negative": bmp(-5, 5),
        "nothing": bmp(0, 0),
        "upside down": bmp(5, -(2**31)),
        "elsewhere": bmp(20, 24, 2**31),
    }.items():
        animals[f"said {name}.bmp"] = Animal(data, None)
    said = b"GIF89a" + struct.pack("<2H", 65_535, 65_535) + b"\x80\0\0" + bytes(6) + b","
    animals["said large.gif"] = Animal(
        said + struct.pack("<4H", 0, 0, 65_535, 65_535) + b"\0\2\0;", None
    )
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 2**21, zip=True)
    animals["much to say.png"] = Animal(encode(whole, "PNG", pnginfo=text), None)
    for name, profile in {
        "empty": b"\0",
        "noise": b"\xff" * 500,
        "large": bytes(2**20),
    }.items():
        animals[f"profile {name}.png"] = Animal(encode(whole, "PNG", icc_profile=profile), size)
        animals[f"profile {name}.jpg"] = Animal(encode(whole, "JPEG", icc_profile=profile), size)
    for name, exif in {
        "0": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\0\0\0\0\0\0\0",
        "99": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0",
        "a word": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\4abc\0\0\0\0\0",
        "in a circle": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08",
        "far away": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    }.items():
        animals[f"orientation {name}.jpg"] = Animal(encode(whole, "JPEG", exif=exif), size)
    good, bad = encode(whole, "PNG"), b"no picture"
    for name in (
        "two  spaces ", "ホゲ 😀👩‍🚀", "two\nlines", "\x1b[2Jcleared", "-rf", "--out=x",
        "<img src=x onerror=alert(1)>", "\"quotes\" & 'more'", "..", "a..b", "%2e%2e%2f",
        "$(touch harm)", "*?[x]", "\u202egnp.exe", "back\\slash", "a\r\tb", "null", "~",
    ):  # fmt: skip
        animals[f"{name} is good.png"] = Animal(good, size)
        animals[f"{name} is bad.png"] = Animal(bad, None)
    return animals
