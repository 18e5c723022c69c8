"""JSON files, which somebody else may have written."""

import json
from typing import Any

from ugatit_jax.data.storage import AnyPath, read_bytes

DEPTH = 32  # of what the program writes itself: under ten


def read_json(path: AnyPath) -> Any:
    """Return what a JSON file holds.

    Raises `OSError` if it cannot be read, and `ValueError` if it is none or too deep to be walked
    through; no other errors.
    """
    return parse_json(read_bytes(path).decode("utf-8"))


def parse_json(text: str) -> Any:
    """Return what a text of JSON holds. Raises `ValueError`, and no other error, for what is none.

    Or is too deep to be walked through.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested without end") from None
    _check_depth(found, DEPTH)
    return found


def read_object(path: AnyPath) -> dict[str, Any]:
    """Return what a JSON file holds, as `read_json` does, if it is an object."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__} and no object")
    return found


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if left == 0:
        raise ValueError(f"it is nested deeper than {DEPTH}")
    for inner in value.values() if isinstance(value, dict) else value:
        _check_depth(inner, left - 1)
