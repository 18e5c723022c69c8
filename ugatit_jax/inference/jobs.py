"""Which pictures are translated, what is made of each, where that goes, and what is there."""

import dataclasses
import fnmatch
import glob
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ugatit_jax.console.errors import InputError, printable
from ugatit_jax.data import images
from ugatit_jax.data.storage import file_size, write_atomically
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.record import FILE, Made, Record

BY_PRODUCTS = ("attention", "cycle", "styles")  # folders of what is made beside translations


@dataclass(frozen=True)
class Job:
    """A picture to translate: its file, its name below the input, and what is made of it.

    In several styles it is several jobs, whose names end in _style1 and so on.
    """

    source: Path
    source_bytes: int
    name: Path
    outputs: dict[str, Path]  # 'translation' and maybe 'attention', 'heatmaps' and 'cycle'
    style: int = 0  # of those that all pictures are translated in, from 1; 0: one of its own

    @property
    def number(self) -> int:
        """What its style is drawn by: the style's number, if it is one that all pictures have.

        Else it follows from its name alone, whatever else is translated. A picture's name is its
        path below the input, with its extension.
        """
        if self.style:
            return self.style
        name = self.name.as_posix().encode(errors="surrogateescape")
        return int.from_bytes(hashlib.sha256(name).digest()[:8])

    def is_there(self) -> bool:
        """Tell whether there is a file of every result's name, however it was made."""
        return all(map(os.path.exists, self.outputs.values()))


def plan(inputs: Sequence[Path], out: Path, options: Options) -> list[Job]:
    """Say what is to be made of all inputs: pictures, folders and globs.

    Raises `InputError` for an input in which there is no picture, and where a result would
    overwrite a picture or another result, would be found in an input folder, or would be
    a translation among what is none.
    """
    jobs: dict[tuple[Path, int], Job] = {}
    for item in inputs:
        root, found = _find(item.expanduser(), out)
        for source in found:
            name, size = source.relative_to(root), file_size(source)
            _check_name(source, name)
            for style in range(1, options.styles + 1) or (0,):
                styled = name.with_stem(f"{name.stem}_style{style}") if style else name
                job = Job(source, size, styled, outputs(out, styled, options), style)
                jobs.setdefault((source, style), job)
    sources = {os.path.realpath(source) for source, _ in jobs}
    makers: dict[Path, Path] = {}
    for job in jobs.values():
        for path in job.outputs.values():
            if os.path.realpath(path) in sources:
                raise InputError(
                    f"{printable(path)} would be overwritten: choose another folder for --out"
                )
            if path in makers:
                raise InputError(
                    f"{printable(makers[path])} and {printable(job.source)} would both become "
                    f"{printable(path)}: "
                    "rename one, or translate them into separate folders"
                )
            makers[path] = job.source
    return list(jobs.values())


def _find(item: Path, out: Path) -> tuple[Path, list[Path]]:
    """The pictures of an input, and the folder that their names are kept from."""
    if os.path.isfile(item):  # not Path's, which raises for a name that is too long
        return item.parent, [item]
    root, pattern = item, False
    if not os.path.isdir(item):
        fixed = list(itertools.takewhile(lambda part: not set("*?[") & set(part), item.parts))
        root, pattern = Path(*fixed), len(fixed) < len(item.parts)
        if not pattern:
            raise InputError(f"no picture or folder {printable(item)}")
        if ".." in item.parts[len(fixed) :]:  # results would leave --out by the same way
            raise InputError(f"{printable(item)} has .. after a wildcard: say where it leads to")
    is_inside = Path(os.path.realpath(out)).is_relative_to(os.path.realpath(root))
    if (not pattern or "**" in item.parts) and is_inside:
        raise InputError(f"--out {out} is inside the input folder {root}: choose one outside it")
    if pattern:
        matching = sorted(_match(item), key=Path.as_posix)
        found = [x for x in matching if x.suffix.lower() in images.EXTENSIONS and x.is_file()]
        found = [x for x in found if not _is_by_product(x, root)]
    else:
        found = images.list_images(root)
    if not found:
        needed = f"it needs {', '.join(sorted(images.EXTENSIONS))}"
        raise InputError(f"no pictures {'match' if pattern else 'in'} {item}: {needed}")
    return root, found


def _match(pattern: Path) -> Iterator[Path]:
    """Yield what a glob matches. Python's own ** follows links in circles, thousands of times."""
    before = [*itertools.takewhile(lambda part: part != "**", pattern.parts)]
    after = pattern.parts[len(before) :]
    for name in glob.iglob(str(Path(*before))):
        if not after:
            yield Path(name)
        elif (folder := Path(name)).is_dir():
            for picture in images.list_images(folder):
                if _matches(picture.relative_to(folder).parts, after):
                    yield picture


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(_matches(parts[i:], rest) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], first) and _matches(parts[1:], rest)


def _is_by_product(picture: Path, root: Path) -> bool:
    between = itertools.takewhile(lambda folder: folder != root, picture.parents)
    return any((folder / images.NO_MEDIA).is_file() for folder in between)


def _check_name(source: Path, name: Path) -> None:
    folder = name.parts[0].lower()  # some systems take Cycle and cycle for the same
    if len(name.parts) > 1 and folder in BY_PRODUCTS:
        raise InputError(
            f"{printable(source)} would become a translation in {folder}/, which is for what is "
            f"made beside translations: rename the folder {printable(name.parts[0])}, or translate "
            "it by itself"
        )


def outputs(out: Path, name: Path, options: Options) -> dict[str, Path]:
    """The files that a picture of this name below its input becomes, as in `Job`."""
    files = {"translation": (out / name).with_suffix(f".{options.format}")}
    if options.attention:
        files["attention"] = (out / "attention" / name).with_suffix(".png")
        files["heatmaps"] = (out / "attention" / name).with_suffix(".npz")
    if options.cycle:
        files["cycle"] = (out / "cycle" / name).with_suffix(f".{options.format}")
    return files


def make_folders(out: Path, options: Options) -> None:
    """Make the folder of the translations, and mark those in it that are for other pictures.

    So `images.list_images`, and what scores or trains on the folder, takes translations alone.
    Raises `InputError` where it cannot be written.
    """
    wanted = [name for name in BY_PRODUCTS if getattr(options, name)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            write_atomically(out / name / images.NO_MEDIA, b"")
    except OSError as error:
        raise InputError(f"cannot write into --out {out}: {error.strerror}") from None


def still_to_do(
    jobs: Sequence[Job], made: Made, record: Record, overwrite: bool = False
) -> list[Job]:
    """Say which pictures are not there yet as `made` says, but for the size of each's source.

    overwrite: all of them. Raises `InputError` where another picture has a result's name: one that
    was made otherwise, or that the record does not know.
    """
    if overwrite:
        return list(jobs)
    todo, others = [], []
    for job in jobs:
        before = record.of(job.name)
        now = dataclasses.replace(made, source_bytes=job.source_bytes)
        file = job.outputs["translation"]
        if before is not None:
            file = file.with_suffix(f".{before.format}")
        differences = [f"{FILE} does not know it"] if before is None else before.differences(now)
        if differences and os.path.exists(file):
            others.append(f"{printable(file)}: {'; '.join(differences)}")
        if differences or not job.is_there():
            todo.append(job)
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise InputError(
            f"there is another picture{more}, {others[0]}: say another --out, or --overwrite"
        )
    return todo
