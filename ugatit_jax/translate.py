"""Translate pictures with a trained run: `Translator` in Python, and a command line.

    python -m ugatit_jax.translate RUN_DIR INPUT... --out DIR

INPUT is a picture or a folder, searched in depth; the translation of FOLDER/x/y.jpg is DIR/x/y.png.
Exit status: 0, or 1 if some picture could not be read, or 2 if nothing could be done.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from ugatit_jax import images
from ugatit_jax.checkpoint import Step, parse_step, restore_generators
from ugatit_jax.errors import InputError, exit_on_input_error
from ugatit_jax.models import Translation, build_generator
from ugatit_jax.visualize import save_png

DIRECTIONS = ("a2b", "b2a")
BATCH = 8  # pictures per call of the network

Picture = np.ndarray | jax.Array | Image.Image
Pictures = Picture | Sequence[Picture]


class Translator:
    """Both generators of a run, ready to translate pictures of any size.

    `config`, `step` and `params` {'a2b', 'b2a'} are those of the checkpoint; `image_size` is the
    (height, width) in px that pictures are scaled to cover, and then cropped to in the middle.
    """

    def __init__(self, config: ConfigDict, step: int, params: dict[str, Any]) -> None:
        self.config = config
        self.step = step
        height, width = config.data.image_size
        self.image_size = (int(height), int(width))
        self.params = jax.device_put(params)
        generator = build_generator(config)

        @jax.jit
        def apply(params: Any, batch: jax.Array) -> tuple[jax.Array, jax.Array]:
            result = cast(Translation, generator.apply({"params": params}, images.to_float(batch)))
            return result.image, result.heatmap

        self._apply = apply

    @classmethod
    def load(cls, run_dir: str | Path, step: Step = None) -> Self:
        """Read the newest checkpoint of a run directory, that of `step`, or the 'best'.

        Raises `InputError` where there is none such.
        """
        return cls(*restore_generators(Path(run_dir), step))

    def __call__(self, pictures: Pictures, direction: str = "a2b") -> np.ndarray:
        """Translate one picture or several, of any sizes.

        pictures: a uint8 array [h, w, 3] or a Pillow image; or several, as uint8 [N, h, w, 3] or as
        a list. Returns uint8 [H, W, 3], or [N, H, W, 3] for several, with (H, W) = `image_size`.
        Raises `InputError` for any other input.
        """
        return self.with_attention(pictures, direction)[0]

    def with_attention(
        self, pictures: Pictures, direction: str = "a2b"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Translate, and tell where the generator looked.

        As calling the translator, with a second result: heat maps of any range, float32
        [H/4, W/4] or [N, H/4, W/4], for `visualize.attention_overlay`.
        """
        if direction not in DIRECTIONS:
            raise InputError(f"no direction {direction!r}: say {' or '.join(DIRECTIONS)}")
        single = _is_single(pictures)
        arrays = [_to_array(x) for x in cast(Any, [pictures] if single else pictures)]
        height, width = self.image_size
        translations = np.empty((len(arrays), height, width, 3), np.uint8)
        heatmaps = np.empty((len(arrays), height // 4, width // 4), np.float32)
        # Two batch sizes and no others, so that the network is compiled twice at most.
        batch_size = 1 if len(arrays) == 1 else BATCH
        for start in range(0, len(arrays), batch_size):
            chunk = arrays[start : start + batch_size]
            batch = np.zeros((batch_size, height, width, 3), np.uint8)
            for i, array in enumerate(chunk):
                batch[i] = images.cover_resize(array, self.image_size)
            image, heatmap = jax.device_get(self._apply(self.params[direction], batch))
            stop = start + len(chunk)
            translations[start:stop] = images.to_uint8(image)[: len(chunk)]
            heatmaps[start:stop] = heatmap[: len(chunk)]
        return (translations[0], heatmaps[0]) if single else (translations, heatmaps)


def _is_single(pictures: Any) -> bool:
    if isinstance(pictures, Image.Image):
        return True
    if isinstance(pictures, np.ndarray | jax.Array):
        return pictures.ndim != 4
    if isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes):
        return False
    raise InputError(
        f"cannot translate a {type(pictures).__name__}: give an array, a Pillow image or a list"
    )


def _to_array(picture: Any) -> np.ndarray:
    """A single picture as uint8 [h, w, 3]."""
    if isinstance(picture, Image.Image):
        try:
            return images.from_pillow(picture)
        except OSError as error:
            raise InputError(f"cannot read {picture}: {error}; replace it") from error
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        raise InputError(
            f"cannot translate an array of {array.dtype} {list(array.shape)}: give uint8 in "
            "[0, 255] of shape [h, w, 3], or [N, h, w, 3] for several pictures"
        )
    return array


def plan_outputs(inputs: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where the translation of each picture goes, {source: target}, in reading order.

    Raises `InputError` for an input that does not exist, for a folder without pictures, and where
    a target would overwrite a source or another target, or would be found in an input folder.
    """
    sources: dict[Path, Path] = {}  # by target
    for item in inputs:
        if not item.is_dir() and not item.is_file():
            raise InputError(f"no picture or folder {item}")
        if item.is_dir() and out.resolve().is_relative_to(item.resolve()):
            raise InputError(
                f"--out {out} is inside the input folder {item}: choose one outside it"
            )
        root = item if item.is_dir() else item.parent
        found = images.list_images(item) if item.is_dir() else [item]
        if not found:
            raise InputError(
                f"no pictures in {item}: it needs {', '.join(sorted(images.EXTENSIONS))}"
            )
        for source in found:
            target = (out / source.relative_to(root)).with_suffix(".png")
            if target.resolve() == source.resolve():
                raise InputError(f"{source} would be overwritten: choose another folder for --out")
            if sources.setdefault(target, source) != source:
                raise InputError(
                    f"{sources[target]} and {source} would both become {target}: "
                    "rename one, or translate them into separate folders"
                )
    return {source: target for target, source in sources.items()}


def translate_files(translator: Translator, files: dict[Path, Path], direction: str) -> int:
    """Translate picture files, {source: target}, with a progress bar. Returns how many failed."""
    failed = 0
    todo = list(files.items())
    with tqdm(total=len(todo), unit="picture", disable=None) as progress:
        for start in range(0, len(todo), BATCH):
            decoded, targets = [], []
            for source, target in todo[start : start + BATCH]:
                try:
                    decoded.append(images.decode(source))
                    targets.append(target)
                except InputError as error:
                    failed += 1
                    progress.write(f"error: {error}", file=sys.stderr)
            for target, translation in zip(targets, translator(decoded, direction), strict=True):
                save_png(target, translation)
            progress.update(len(todo[start : start + BATCH]))
    return failed


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ugatit_jax.translate", description="Translate pictures with a trained run."
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="what training wrote")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="picture or folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument("--direction", choices=DIRECTIONS, default="a2b", help="default: a2b")
    parser.add_argument(
        "--step", type=parse_step, help="of the checkpoint, or best; default: the newest"
    )
    parser.add_argument("--overwrite", action="store_true", help="translate again what is there")
    args = parser.parse_args(argv)

    files = plan_outputs(args.inputs, args.out)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write into --out {args.out}: {error.strerror}") from None
    there = {source for source, target in files.items() if target.exists() and not args.overwrite}
    files = {source: target for source, target in files.items() if source not in there}
    translator = Translator.load(args.run_dir, args.step)
    failed = translate_files(translator, files, args.direction)
    print(
        f"{args.out}: {len(files) - failed} pictures translated, {len(there)} were there already, "
        f"{failed} could not be read"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
