"""Picture files to picture files: what is read, what is made of it, and where it goes."""

import errno
import functools
import glob
import io
import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.storage import write_atomically
from ugatit_jax.inference import fit
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.inference.translator import Translated, Translator
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.visualize import (
    DIRECTION_TITLES,
    attention_figure,
    attention_overlay,
)

BY_PRODUCTS = ("attention", "cycle")  # folders of what is made beside translations
AHEAD = 16  # pictures that are read before their turn, and that wait to be written

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Options:
    """What to make of every picture."""

    direction: str = "a2b"
    fit: str = "crop"
    format: str = "png"
    attention: bool = False
    cycle: bool = False


@dataclass(frozen=True)
class Job:
    """A picture to translate: its file, its name below the input, and what is made of it."""

    source: Path
    name: Path
    outputs: dict[str, Path]  # 'translation' and maybe 'attention', 'heatmaps' and 'cycle'

    def is_done(self) -> bool:
        """Tell whether everything is there already."""
        return all(path.exists() for path in self.outputs.values())


def plan(inputs: Sequence[Path], out: Path, options: Options) -> list[Job]:
    """Say what is to be made of all inputs: pictures, folders and globs.

    Raises `InputError` for an input in which there is no picture, and where a result would
    overwrite a picture or another result, would be found in an input folder, or would be
    a translation among what is none.
    """
    jobs: dict[Path, Job] = {}
    for item in inputs:
        root, found = _find(item.expanduser(), out)
        for source in found:
            name = source.relative_to(root)
            _check_name(source, name)
            jobs.setdefault(source, Job(source, name, _outputs(out, name, options)))
    sources = {source.resolve() for source in jobs}
    makers: dict[Path, Path] = {}
    for job in jobs.values():
        for path in job.outputs.values():
            if path.resolve() in sources:
                raise InputError(f"{path} would be overwritten: choose another folder for --out")
            if path in makers:
                raise InputError(
                    f"{makers[path]} and {job.source} would both become {path}: "
                    "rename one, or translate them into separate folders"
                )
            makers[path] = job.source
    return list(jobs.values())


def _find(item: Path, out: Path) -> tuple[Path, list[Path]]:
    """The pictures of an input, and the folder that their names are kept from."""
    if item.is_file():
        return item.parent, [item]
    root, pattern = item, False
    if not item.is_dir():
        fixed = list(itertools.takewhile(lambda part: not set("*?[") & set(part), item.parts))
        root, pattern = Path(*fixed), len(fixed) < len(item.parts)
        if not pattern:
            raise InputError(f"no picture or folder {item}")
    if (not pattern or "**" in item.parts) and out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"--out {out} is inside the input folder {root}: choose one outside it")
    if pattern:
        names = sorted(map(Path, glob.glob(str(item), recursive=True)), key=Path.as_posix)
        found = [x for x in names if x.suffix.lower() in images.EXTENSIONS and x.is_file()]
        found = [x for x in found if not _is_by_product(x, root)]
    else:
        found = images.list_images(root)
    if not found:
        needed = f"it needs {', '.join(sorted(images.EXTENSIONS))}"
        raise InputError(f"no pictures {'match' if pattern else 'in'} {item}: {needed}")
    return root, found


def _is_by_product(picture: Path, root: Path) -> bool:
    between = itertools.takewhile(lambda folder: folder != root, picture.parents)
    return any((folder / images.NO_MEDIA).is_file() for folder in between)


def _check_name(source: Path, name: Path) -> None:
    folder = name.parts[0].lower()  # some systems take Cycle and cycle for the same
    if len(name.parts) > 1 and folder in BY_PRODUCTS:
        raise InputError(
            f"{source} would become a translation in {folder}/, which is for what is made beside "
            f"translations: rename the folder {name.parts[0]}, or translate it by itself"
        )


def _outputs(out: Path, name: Path, options: Options) -> dict[str, Path]:
    outputs = {"translation": (out / name).with_suffix(f".{options.format}")}
    if options.attention:
        outputs["attention"] = (out / "attention" / name).with_suffix(".png")
        outputs["heatmaps"] = (out / "attention" / name).with_suffix(".npz")
    if options.cycle:
        outputs["cycle"] = (out / "cycle" / name).with_suffix(f".{options.format}")
    return outputs


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


class FileTranslator:
    """Translates picture files into files: reads, translates and writes at the same time."""

    def __init__(
        self,
        translator: Translator,
        options: Options,
        judge: DiscriminatorAttention | None = None,
    ) -> None:
        """`judge`: the discriminators of the target domain, for their attention."""
        translator.check(options.direction, options.fit, options.cycle)
        self._translator, self._options, self._judge = translator, options, judge

    def __call__(self, jobs: Sequence[Job]) -> int:
        """Translate with a progress bar; returns how many pictures could not be.

        Each of these is reported in a line on stderr. Raises `InputError` where nothing more can be
        written, as on a full disk.
        """
        failed = written = 0
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(jobs), unit="picture", disable=None) as progress,
        ):
            try:
                for error in _map_ahead(pool, self._write, self._results(pool, jobs)):
                    failed += error is not None
                    written += error is None
                    if error:
                        progress.write(f"error: {error}", file=sys.stderr)
                    progress.update()
            except OSError as error:
                reason = f"cannot write {error.filename}: {error.strerror}"
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    reason = f"no space left on device for {error.filename}"
                raise InputError(
                    f"{reason}: {written} of {len(jobs)} pictures are translated; the same command "
                    "goes on with the others"
                ) from error
        return failed

    def _results(
        self, pool: ThreadPoolExecutor, jobs: Sequence[Job]
    ) -> "Iterator[_Result | InputError]":
        """What each picture became, or why it became nothing."""
        options = self._options
        failed: deque[InputError] = deque()
        waiting: deque[_Read] = deque()

        def readable() -> Iterator[fit.Fitted]:
            for found in _map_ahead(pool, self._read, jobs):
                if isinstance(found, InputError):
                    failed.append(found)
                else:
                    waiting.append(found)
                    yield found.fitted

        for result in self._translator.translate(readable(), options.direction, options.cycle):
            while failed:
                yield failed.popleft()
            read = waiting.popleft()
            yield _Result(read, result, self._judgement(result.picture))
        yield from failed

    def _read(self, job: Job) -> "_Read | InputError":
        mode, size = self._options.fit, self._translator.image_size
        try:
            picture, alpha = images.decode_with_alpha(job.source)
        except InputError as error:
            return error
        try:
            fitted = fit.fit_picture(picture, mode, size)
        except InputError as error:
            return InputError(f"cannot translate {job.source}: {error}")
        return _Read(job, fitted, None if alpha is None else fit.fit_alpha(alpha, mode, size))

    def _judgement(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The discriminators' heat maps of a translation, in the size that they were trained on."""
        if not self._judge:
            return {}
        height, width = self._translator.image_size
        scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        return {scale: maps[0] for scale, maps in self._judge([np.array(scaled)]).items()}

    def _write(self, result: "_Result | InputError") -> InputError | None:
        """Write what was made of a picture; returns why nothing was written."""
        if isinstance(result, InputError):
            return result
        read, translated, judged = result.read, result.translated, result.judged
        encode = functools.partial(images.encode, format=self._options.format, alpha=read.alpha)
        contents: dict[str, bytes] = {}
        try:
            contents["translation"] = encode(translated.picture)
            if translated.cycle is not None:
                contents["cycle"] = encode(translated.cycle)
        except InputError as error:
            return InputError(f"cannot write what {read.job.source} became: {error}")
        if "attention" in read.job.outputs:
            titles = {f"{scale} discriminator": heatmap for scale, heatmap in judged.items()}
            shown = read.fitted.shown
            figure = attention_figure(shown, translated.heatmap, translated.picture, titles)
            contents["attention"] = images.encode(figure, "png")
            contents["heatmaps"] = _npz({"generator": translated.heatmap, **judged})
        for kind, path in read.job.outputs.items():
            try:
                write_atomically(path, contents[kind])
            except OSError as error:  # which does not always name the file
                raise OSError(error.errno, error.strerror, str(path)) from error
        return None


@dataclass(frozen=True)
class _Read:
    job: Job
    fitted: fit.Fitted
    alpha: np.ndarray | None


@dataclass(frozen=True)
class _Result:
    read: _Read
    translated: Translated
    judged: dict[str, np.ndarray]


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[R]:
    """Yield results in the order of the items, of which few are taken before their turn."""
    running: deque[Future[R]] = deque()
    for item in items:
        running.append(pool.submit(function, item))
        while running and (len(running) > AHEAD or running[0].done()):
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def write_page(path: Path, title: str, jobs: Sequence[Job], options: Options) -> None:
    """Write the gallery of all pictures that are translated, with what else was made of them."""
    done = [job for job in jobs if job.is_done()]
    section = GallerySection(map(_gallery_row, done))
    write_gallery(path, title, {DIRECTION_TITLES[options.direction]: section})


def _gallery_row(job: Job) -> GalleryRow:
    translation = images.decode(job.outputs["translation"])
    shown = images.cover_resize(
        images.decode(job.source), (translation.shape[0], translation.shape[1])
    )
    pictures = {"input": shown, "translation": translation}
    if "heatmaps" in job.outputs:
        with np.load(job.outputs["heatmaps"]) as heatmaps:
            pictures["attention"] = attention_overlay(shown, heatmaps["generator"])
    if "cycle" in job.outputs:
        pictures["cycle"] = images.decode(job.outputs["cycle"])
    return GalleryRow(job.name.as_posix(), pictures)
