"""Where pictures come from: a folder, TensorFlow Datasets, or the emoji that the project renders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from ugatit_jax import images
from ugatit_jax.errors import InputError


@dataclass(frozen=True)
class Domain:
    """One split of one domain: a list of pictures, each a file or its bytes.

    `names` are relative paths with extension, fit to name what is made from a picture.
    """

    names: list[str]
    sources: list[Path] | list[bytes]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, i: int) -> np.ndarray:
        """Picture `i` as it is, uint8 [H, W, 3]. Raises `InputError` with its name if it is broken."""
        return images.decode(self.sources[i])


@dataclass(frozen=True)
class Dataset:
    """Two unpaired domains, A and B, for training and for testing.

    `paired_test`: picture i of `test_a` and picture i of `test_b` show the same thing.
    """

    train_a: Domain
    train_b: Domain
    test_a: Domain
    test_b: Domain
    paired_test: bool = False


def open_dataset(data: ConfigDict) -> Dataset:
    """The data set that `config.data.source` names. Raises `InputError` if there is none such."""
    folder = Path(data.source)

    def domain(split: str) -> Domain:
        files = images.list_images(folder / split)
        return Domain([file.relative_to(folder / split).as_posix() for file in files], files)

    return Dataset(domain("trainA"), domain("trainB"), domain("testA"), domain("testB"))


def scan(dataset: Dataset, skip_bad: bool) -> Dataset:
    """Decode every picture once; list the unreadable ones, or leave them out."""
    raise NotImplementedError
