"""The kinds of files that pictures are written as, and how: {name: what Pillow's `save` takes}."""

from typing import Any

ENCODINGS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95},
}
