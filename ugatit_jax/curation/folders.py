"""Which pictures are looked at: a data set of two domains, or any folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import list_files

SPLITS = ("trainA", "trainB", "testA", "testB")
# Pictures all right, but not of the kinds that training reads.
_UNREAD = {".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".psd", ".svg"}


@dataclass(frozen=True)
class Source:
    """A picture to look at: its path from the folder, and the split that it is in."""

    name: str
    split: str

    @property
    def domain(self) -> str:
        """'A' or 'B'; of a folder that is no data set, ''."""
        return self.split[-1:]

    @property
    def is_test(self) -> bool:
        """Tell whether it is there to test with."""
        return self.split.startswith("test")


@dataclass(frozen=True)
class Folder:
    """A folder of pictures.

    splits: 'trainA' and so on, those that are there; [''] for a folder that is no data set. unread:
    pictures of kinds that training passes over, paths from the folder.
    """

    root: Path
    splits: list[str]
    sources: list[Source]
    unread: list[str]

    @property
    def is_data_set(self) -> bool:
        """Tell whether there are two domains."""
        return self.splits != [""]

    def domains(self) -> list[str]:
        """The domains, 'A' and 'B', or [''] alone."""
        return sorted({split[-1:] for split in self.splits})


def open_folder(root: Path) -> Folder:
    """List what is in a folder. Raises `InputError` where there are no pictures."""
    root = root.expanduser()
    if not root.is_dir():
        raise InputError(f"no folder {root}: give one with trainA/ and trainB/, or with pictures")
    splits = [split for split in SPLITS if (root / split).is_dir()] or [""]
    sources = [
        Source(file.relative_to(root).as_posix(), split)
        for split in splits
        for file in images.list_images(root / split)
    ]
    if not sources:
        known = ", ".join(sorted(images.EXTENSIONS))
        raise InputError(f"no pictures in {root}: it needs {known}")
    unread = [
        (Path(split) / file).as_posix()
        for split in splits
        for file in list_files(root / split)
        if file.suffix.lower() in _UNREAD and not any(x.startswith(".") for x in file.parts)
    ]
    return Folder(root, splits, sources, sorted(unread))
