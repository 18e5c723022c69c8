"""The film of a training's sample grids."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ugatit_jax.console.errors import InputError
from ugatit_jax.viewing.film import FRAMES, film


def test_a_film_shows_the_grids_from_the_first_to_the_last(tmp_path: Path) -> None:
    files = []
    for i in range(FRAMES + 40):
        files.append(tmp_path / f"step_{i:07d}.png")
        Image.new("RGB", (30, 20 + i % 2), (83 * i % 256, 0, 255 - 83 * i % 256)).save(files[-1])
    with Image.open(io.BytesIO(film(files))) as animated:
        assert animated.n_frames == FRAMES and animated.size == (30, 21)
        for frame, level in ((0, 0), (FRAMES - 1, 83 * (FRAMES + 39) % 256)):
            animated.seek(frame)
            colour = np.asarray(animated.convert("RGB")).mean((0, 1))
            np.testing.assert_allclose(colour, (level, 0, 255 - level), atol=4)
    with Image.open(io.BytesIO(film(files[:1]))) as still:
        assert still.size == (30, 20)


def test_grids_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    files = [tmp_path / f"step_{i}.png" for i in range(5)]
    for i in (1, 3):
        Image.new("RGB", (30, 20 + i), (100 * i // 2, 0, 0)).save(files[i])
    files[0].write_bytes(b"no picture")
    files[2].write_bytes(files[1].read_bytes()[:40])
    os.mkfifo(files[4])
    with Image.open(io.BytesIO(film(files))) as animated:
        assert animated.n_frames == 2 and animated.size == (30, 23)
    with pytest.raises(InputError, match=r"none of 2 sample grids can be read, as .*step_2\.png"):
        film([files[0], files[2]])
