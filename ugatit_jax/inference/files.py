"""Picture files to picture files: reading, translating and writing at the same time."""

import contextlib
import dataclasses
import errno
import functools
import io
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

from ugatit_jax.console.errors import InputError, in_a_line, printable
from ugatit_jax.data import images
from ugatit_jax.data.storage import open_file, write_atomically
from ugatit_jax.inference import fit
from ugatit_jax.inference.align import Aligner
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.inference.jobs import Job, outputs
from ugatit_jax.inference.options import Options
from ugatit_jax.inference.record import Made, Record
from ugatit_jax.inference.translator import Translated, Translator
from ugatit_jax.viewing.gallery import GalleryRow, GallerySection, write_gallery
from ugatit_jax.viewing.visualize import (
    DIRECTION_TITLES,
    attention_figure,
    attention_overlay,
    sample_grid,
    save_png,
)

ROWS = 16  # pictures in the grid of styles
SHOWN = 1000  # in a gallery, which holds them all in one file
AHEAD = 16  # pictures that are read before their turn, and that wait to be written

T = TypeVar("T")
R = TypeVar("R")


class FileTranslator:
    """Translates picture files into files: reads, translates and writes at the same time."""

    def __init__(
        self,
        translator: Translator,
        options: Options,
        made: Made,
        record: Record,
        judge: DiscriminatorAttention | None = None,
        style: np.ndarray | None = None,
        aligner: Aligner | None = None,
    ) -> None:
        """`made` says how, and `record` is told of every picture before it is written.

        `judge`: the discriminators of the target domain, for their attention. `style`: of all
        pictures, [style_size]; None: random ones, of a method that has styles. `aligner`: what
        finds faces, to translate these alone; None: whole pictures are.
        """
        translator.check(options.direction, options.fit, options.cycle)
        if options.attention and not translator.method.looks:
            raise InputError("these generators have no attention to show: leave out --attention")
        self._translator, self._options, self._judge = translator, options, judge
        self._made, self._record, self._style = made, record, style
        self._aligner = aligner
        self.cropped: list[Job] = []  # whose pictures were not of the network's size, nor kept so

    def __call__(self, jobs: Sequence[Job]) -> list[InputError]:
        """Translate with a progress bar; returns why pictures could not be, one for each of these.

        Each is reported in a line on stderr. Raises `InputError` where nothing more can be
        written, as on a full disk.
        """
        failed: list[InputError] = []
        written = 0
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(jobs), unit="picture", disable=None) as progress,
        ):
            try:
                for error in _map_ahead(pool, self._write, self._results(pool, jobs)):
                    if error is None:
                        written += 1
                    else:
                        failed.append(error)
                        progress.write(f"error: {error}", file=sys.stderr)
                    progress.update()
            except OSError as error:
                file = printable(error.filename)
                reason = f"cannot write {file}: {error.strerror}"
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    reason = f"no space left on device for {file}"
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

        for result in self._translator.translate(
            readable(), options.direction, options.cycle, options.seed, self._style
        ):
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
            if (aligned := self._align(job, picture)) is not None:
                return _Read(job, dataclasses.replace(aligned, number=job.number), alpha)
            fitted = fit.fit_picture(picture, mode, size)
            if mode == "crop" and picture.shape[:2] != size:
                self.cropped.append(job)
            fitted = dataclasses.replace(fitted, number=job.number)
        except InputError as error:
            return InputError(f"cannot translate {printable(job.source)}: {error}")
        return _Read(job, fitted, None if alpha is None else fit.fit_alpha(alpha, mode, size))

    def _align(self, job: Job, picture: np.ndarray) -> fit.Fitted | None:
        """The faces of a picture, if these are to be translated and there are some."""
        if self._aligner is None:
            return None
        aligned = self._aligner(picture, self._translator.image_size[0])
        if aligned is None:
            said = f"no face in {printable(job.source)}: all of it is translated, by --fit"
            tqdm.write(f"{said}={self._options.fit}", file=sys.stderr)
        return aligned

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
            return InputError(f"cannot write what {printable(read.job.source)} became: {error}")
        if "attention" in read.job.outputs:
            shown = read.fitted.shown
            figure = attention_figure(shown, translated.heatmap, translated.picture, judged)
            contents["attention"] = images.encode(figure, "png")
            short = {name.removesuffix(" discriminator"): x for name, x in judged.items()}
            contents["heatmaps"] = _npz({"generator": translated.heatmap, **short})
        path = read.job.outputs["translation"]
        try:
            self._note(read.job)
            for kind, path in read.job.outputs.items():
                write_atomically(path, contents[kind])
        except OSError as error:  # which does not always name the file
            if error.errno == errno.ENAMETOOLONG:
                said = f"cannot write {printable(path)}: its name is too long; rename the picture"
                return InputError(said)
            raise OSError(error.errno, error.strerror, str(path)) from error
        return None

    def _note(self, job: Job) -> None:
        """Tell the record how a picture will be made, and remove what was made otherwise."""
        before, out = self._record.of(job.name), self._record.folder
        made = dataclasses.replace(self._made, source_bytes=job.source_bytes)
        if before is not None and before.differences(made):
            everything = Options(format=before.format, attention=True, cycle=True)
            for path in outputs(out, job.name, everything).values():
                path.unlink(missing_ok=True)
        if before != made:
            self._record.add(job.name.with_suffix(f".{made.format}"), made)


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


def _read_heatmap(path: Path) -> np.ndarray:
    """Return the generator's heat map. Raises `InputError` for a file that is not as written."""
    try:
        with open_file(path) as file, np.load(file) as heatmaps:
            found = heatmaps["generator"]
        if found.ndim != 2 or found.dtype.kind != "f":
            raise ValueError(f"'generator' is {found.dtype} of shape {found.shape}")
        return found
    except Exception as error:  # a damaged archive raises anything
        said = f"cannot read {printable(path)}: {in_a_line(error)}"
        raise InputError(f"{said}; say --overwrite to make it again") from None


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


def write_styles(path: Path, jobs: Sequence[Job], options: Options, step: int) -> None:
    """Write a grid of the first pictures, a row for each, in all styles, a column for each.

    Pictures that are not there in all of them, or cannot be read any more, are left out.
    """
    by_source: dict[Path, list[Job]] = {}
    for job in jobs:
        by_source.setdefault(job.source, []).append(job)
    rows: list[list[np.ndarray]] = []
    for row in by_source.values():
        if len(rows) < ROWS and all(job.is_there() for job in row):
            files = [row[0].source, *(job.outputs["translation"] for job in row)]
            with contextlib.suppress(InputError):
                rows.append([images.decode(file) for file in files])
    if not rows:
        return
    size = rows[0][1].shape[:2]
    titles = ["input", *(f"style {i + 1}" for i in range(options.styles))]
    columns = [
        (title, np.stack([images.cover_resize(picture, size) for picture in column]))
        for title, column in zip(titles, zip(*rows, strict=True), strict=True)
    ]
    save_png(path, sample_grid({options.direction: columns}, step))


def write_page(path: Path, title: str, jobs: Sequence[Job], options: Options) -> None:
    """Write the gallery of all pictures that are translated, with what else was made of them.

    Of many the first are shown. What cannot be read any more is left out, and reported in a line on
    stderr.
    """
    done = [job for job in jobs if job.is_there()]
    said = f"The first {SHOWN:,} of {len(done):,}." if len(done) > SHOWN else ""
    section = GallerySection(_gallery_rows(done[:SHOWN]), text=said)
    write_gallery(path, title, {DIRECTION_TITLES[options.direction]: section})


def _gallery_rows(jobs: Iterable[Job]) -> Iterator[GalleryRow]:
    for job in jobs:
        try:
            row = _gallery_row(job)
        except InputError as error:
            print(f"not in the gallery: {error}", file=sys.stderr)
            continue
        yield row


def _gallery_row(job: Job) -> GalleryRow:
    translation = images.decode(job.outputs["translation"])
    shown = images.cover_resize(
        images.decode(job.source), (translation.shape[0], translation.shape[1])
    )
    pictures = {"input": shown, "translation": translation}
    if "heatmaps" in job.outputs:
        pictures["attention"] = attention_overlay(shown, _read_heatmap(job.outputs["heatmaps"]))
    if "cycle" in job.outputs:
        pictures["cycle"] = images.decode(job.outputs["cycle"])
    return GalleryRow(job.name.as_posix(), pictures)
