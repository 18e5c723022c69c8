"""What the page does with pictures: it translates those that can be read, and names the others."""

import functools
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ugatit_jax.config.records import load_config
from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.data.datasets import open_dataset
from ugatit_jax.data.storage import AnyPath, resolve
from ugatit_jax.inference.attention_maps import DiscriminatorAttention
from ugatit_jax.inference.options import FITS
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods.directions import BACK
from ugatit_jax.runs.directory import saved_steps
from ugatit_jax.runs.exports import is_exported
from ugatit_jax.runs.steps import Step
from ugatit_jax.viewing.visualize import attention_overlay

MOST = 16  # pictures at once
LARGEST = 2**25  # px of a picture: a photo of 32 megapixels
EXAMPLES = 6
Upload = tuple[str, bytes]  # name and content


@dataclass(frozen=True)
class Shown:
    """A picture and what became of it, uint8 [h, w, 3] each, of one size.

    maps: where networks look, by who looks: the picture that they see, and its heat map. cycle:
    translated back, if that was asked for.
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    maps: dict[str, tuple[np.ndarray, np.ndarray]]
    cycle: np.ndarray | None

    def overlay(self, who: str, opacity: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what `who` sees, and the same below its heat map of an opacity from 0 to 1."""
        picture, heatmap = self.maps[who]
        coloured = attention_overlay(picture, heatmap).astype(np.float32)
        mixed = (1 - opacity) * picture + opacity * coloured
        return picture, np.rint(mixed).astype(np.uint8)


class Studio:
    """A run, an export or a model that comes with the program, ready for a page."""

    def __init__(self, model: AnyPath, step: Step = None) -> None:
        """Raises `InputError` where there is no such model or checkpoint."""
        self.model, self.name = model, resolve(model).name
        self.is_run = not is_exported(model)
        translator = Translator.load(model, step)
        self.step = translator.step
        self.steps = saved_steps(model) if self.is_run else [translator.step]
        self.directions = [x for x in translator.method.directions if x in translator.weights]
        any_size = translator.method.any_size
        self.fits = [fit for fit in FITS if any_size or fit != "native"]
        self.terms = dict(translator.method.shown)
        self.has_judges = self.is_run and bool(translator.method.judges)
        self._load = functools.lru_cache(maxsize=2)(functools.partial(Translator.load, model))
        self._judge = functools.lru_cache(maxsize=2)(
            functools.partial(DiscriminatorAttention.load, model)
        )

    def can_go_back(self, direction: str) -> bool:
        """Say whether there is a generator for the way back."""
        return BACK[direction] in self.directions

    def translate(
        self,
        uploads: Sequence[Upload],
        direction: str,
        fit: str = "crop",
        cycle: bool = False,
        judged: bool = False,
        step: int | None = None,
    ) -> tuple[list[Shown], list[str]]:
        """Return what became of the pictures that could be read, and a line on each other one.

        judged: ask the discriminators, too, where they look. Raises `InputError` for too many.
        """
        if not uploads:
            raise InputError("no pictures: drop or paste some, or choose an example")
        if len(uploads) > MOST:
            raise InputError(f"{len(uploads)} pictures; the page takes {MOST} at once")
        translator = self._load(step or self.step)
        done, said = [], []
        for name, content in uploads:
            try:
                done.append(self._one(translator, name, content, direction, fit, cycle, judged))
            except InputError as error:
                said.append(str(error))
        return done, said

    def _one(
        self,
        translator: Translator,
        name: str,
        content: bytes,
        direction: str,
        fit: str,
        cycle: bool,
        judged: bool,
    ) -> Shown:
        picture = images.decode(content, name)
        if picture.shape[0] * picture.shape[1] > LARGEST:
            raise InputError(f"{name} is too large: make it {LARGEST // 10**6} megapixels or less")
        translated = translator.details(picture, direction, fit, cycle=cycle)
        before = translator.prepare(picture, fit).shown
        maps = {f"generator: {who}": (before, x) for who, x in translated.looks.items()}
        if judged:
            judge = self._judge(direction[-1], translator.step)
            found = judge([translated.picture])
            maps |= {who: (translated.picture, x[0]) for who, x in found.items()}
        return Shown(name, before, translated.picture, maps, translated.cycle)

    def examples(self) -> dict[str, list[np.ndarray]]:
        """Return some test pictures of the run by direction; none where they are not here."""
        found: dict[str, list[np.ndarray]] = {}
        try:
            dataset = open_dataset(load_config(self.model / "config.json").data)
        except InputError:
            return found
        for direction in self.directions:
            domain = {"a": dataset.test_a, "b": dataset.test_b}[direction[0]].first(EXAMPLES)
            found[direction] = [domain.load(i) for i in range(len(domain))]
        return found


def as_zip(shown: Sequence[Shown]) -> bytes:
    """Return a zip file of the translations, PNG, under the names of their pictures."""
    buffer, taken = io.BytesIO(), set[str]()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, one in enumerate(shown):
            stem = PurePath(one.name).stem.strip(".") or "picture"
            name = stem if stem not in taken else f"{stem}_{i}"
            taken.add(name)
            archive.writestr(f"{name}.png", images.encode(one.after, "png"))
    return buffer.getvalue()
