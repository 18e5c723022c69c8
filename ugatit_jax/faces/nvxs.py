"""Faces in drawings: nagadomi's AnimeFace 2009, which `animeface` ships as a library in C.

Apache-2.0; the library itself: NYSL. It is called directly, as the package's own code reads the
memory of a Pillow of 2017, and finds nothing with today's.
"""

import ctypes
import importlib.util
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.faces.face import Detector, Face, without_overlaps

_MOST_FACES = 256
_LONGEST = 1024  # px: larger pictures are looked at in this size
_STEP, _SCALE, _SMALLEST = 4.0, 1.095, 42.592  # of the search; px: the smallest face
_EDGES = 4.0
_SURE = 0.85  # blades of grass have 0.79, half of all drawn faces 1
_MARGIN = 0.5  # of a picture's sides, mirrored around it: faces that touch an edge are not found


class _Matrix(ctypes.Structure):
    """A picture: `values` are rows × cols × step floats."""

    _fields_ = (
        ("list", ctypes.c_int),
        ("list_step", ctypes.c_uint),
        ("n", ctypes.c_int),
        ("m", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("cols", ctypes.c_int),
        ("step", ctypes.c_int),
        ("alias", ctypes.c_int),
        ("values", ctypes.POINTER(ctypes.c_float)),
    )


class _Rect(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("x", "y", "width", "height"))


class _Found(ctypes.Structure):
    _fields_ = (
        ("likelihood", ctypes.c_float),
        *((name, _Rect) for name in ("face", "left", "right", "nose", "mouth", "chin")),
    )


def open_nvxs() -> Detector:
    """Load the library. Raises `InputError` where the package is missing."""
    spec = importlib.util.find_spec("animeface")  # without its code
    if spec is None or not spec.origin:
        raise InputError("faces in drawings are found by a package: pip install animeface")
    folder = Path(spec.origin).parent
    found = [*folder.parent.glob("animeface.libs/libnvxs*"), *folder.glob(".dylibs/libnvxs*")]
    if len(found) != 1:
        raise InputError(f"{folder} lacks its library in C: pip install animeface==2.0.3")
    library = ctypes.CDLL(str(found[0]))
    library.nv_matrix3d_alloc.restype = ctypes.POINTER(_Matrix)
    one_at_a_time = threading.Lock()

    def detect(picture: np.ndarray) -> list[Face]:
        height, width = picture.shape[:2]
        margins = int(height * _MARGIN), int(width * _MARGIN)
        scale = min(1.0, _LONGEST / max(height, width))
        wide = np.pad(picture, ((margins[0],) * 2, (margins[1],) * 2, (0, 0)), "symmetric")
        size = [max(64, round(side * scale)) for side in wide.shape[1::-1]]
        grey = np.asarray(Image.fromarray(wide).convert("L").resize(size), np.float32)
        with one_at_a_time:
            boxes = _search(library, grey)
        faces = [_face(box, wide.shape[1] / size[0], margins) for box in boxes]
        sure = [x for x in faces if x.score >= _SURE and 0 <= x.x < width and 0 <= x.y < height]
        return without_overlaps(sure)

    return detect


def _search(library: ctypes.CDLL, grey: np.ndarray) -> list[_Found]:
    """Search a picture, float [h, w] in [0, 255]."""
    height, width = grey.shape
    made = []

    def matrix(rows: int, columns: int) -> "ctypes._Pointer[_Matrix]":
        made.append(library.nv_matrix3d_alloc(1, rows, columns))
        library.nv_matrix_zero(made[-1])
        return made[-1]

    try:
        plain, smooth, edge = (matrix(height, width) for _ in range(3))
        sums, edge_sums = (matrix(height + 1, width + 1) for _ in range(2))
        step = plain.contents.step
        values = np.ctypeslib.as_array(plain.contents.values, (height * width, step))
        values[:, 0] = grey.ravel()
        library.nv_gaussian5x5(smooth, 0, plain, 0)
        library.nv_laplacian1(edge, smooth, ctypes.c_float(_EDGES))
        library.nv_integral(sums, plain, 0)
        library.nv_integral(edge_sums, edge, 0)
        found = (_Found * _MOST_FACES)()
        names = ("dir", "face_00", "face_01", "face_02", "parts")
        networks = {
            x: ctypes.addressof(ctypes.c_char.in_dll(library, f"nv_face_mlp_{x}")) for x in names
        }
        bagging = (ctypes.c_void_p * 3)(networks["face_01"], networks["face_02"], None)
        count = library.nv_face_detect(
            found,
            _MOST_FACES,
            sums,
            edge_sums,
            ctypes.byref(_Rect(0, 0, width, height)),
            ctypes.c_void_p(networks["dir"]),
            ctypes.c_void_p(networks["face_00"]),
            bagging,
            2,
            ctypes.c_void_p(networks["parts"]),
            *map(ctypes.c_float, (_STEP, _SCALE, _SMALLEST)),
        )
        return list(found[:count])
    finally:
        for pointer in made:
            library.nv_matrix_free(ctypes.byref(pointer))


def _face(found: _Found, scale: float, margins: tuple[int, int]) -> Face:
    """A face by its eyes and its chin, in px of the picture."""
    eyes = [(x.x + x.width / 2, x.y + x.height / 2) for x in (found.left, found.right)]
    x, y = (sum(place) / 2 for place in zip(*eyes, strict=True))
    side = 0.7 * found.face.width
    centre = (x + found.chin.x) / 2, y + 0.2 * side
    return Face(
        centre[0] * scale - margins[1],
        centre[1] * scale - margins[0],
        side * scale,
        float(found.likelihood),
    )
