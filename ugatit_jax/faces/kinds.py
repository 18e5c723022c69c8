"""The kinds of faces that there are detectors for."""

from collections.abc import Callable

from ugatit_jax.console.errors import InputError
from ugatit_jax.faces.blazeface import open_blazeface
from ugatit_jax.faces.face import Detector
from ugatit_jax.faces.nvxs import open_nvxs

_OPENERS: dict[str, Callable[[], Detector]] = {"photo": open_blazeface, "anime": open_nvxs}
KINDS = tuple(_OPENERS)


def open_detector(kind: str) -> Detector:
    """Load the detector of faces in photographs, 'photo', or in drawings, 'anime'.

    Raises `InputError` for another kind, and where the detector's package is missing.
    """
    if kind not in _OPENERS:
        raise InputError(f"no faces of kind {kind!r}: choose {' or '.join(_OPENERS)}")
    return _OPENERS[kind]()
