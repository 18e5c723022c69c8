"""Pickles of arrays: read as NumPy reads them, and nothing else."""

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ugatit_jax.console.errors import InputError
from ugatit_jax.data.pickled_arrays import read_pickled_arrays


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_in_dictionaries_come_back(tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    arrays = {"a": {"kernel": rng.normal(size=(3, 2)), "bias": np.float32([1, 2])}, "b": [1, None]}
    (tmp_path / "x").write_bytes(pickle.dumps(arrays, protocol))
    found = read_pickled_arrays(tmp_path / "x")
    assert found["b"] == [1, None]
    for name, array in arrays["a"].items():
        np.testing.assert_array_equal(found["a"][name], array, strict=True)


class Evil:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


def test_a_file_that_asks_for_more_is_refused_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"a": Evil(tmp_path / "made")}))
    assert "mkdir" in {str(x) for _, x, _ in pickletools.genops((tmp_path / "x").read_bytes())}
    with pytest.raises(
        InputError, match=r"x is no pickle of NumPy arrays: it asks for posix.mkdir"
    ):
        read_pickled_arrays(tmp_path / "x")
    assert not (tmp_path / "made").exists()


def test_what_is_no_pickle_is_told(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.zeros(4)}, 3)
    for damaged in (b"", b"PK\x03\x04", whole[:-20]):
        (tmp_path / "x").write_bytes(damaged)
        with pytest.raises(InputError, match="x is no pickle of NumPy arrays"):
            read_pickled_arrays(tmp_path / "x")
    with pytest.raises(InputError, match=r"cannot read .*gone: No such file"):
        read_pickled_arrays(tmp_path / "gone")
