"""What KID sees: the emoji's own test pictures, damaged, against the undamaged ones.

    python -m benchmarks.sensitivity

A perfect translator would score 0; each row says what a defect alone costs. And with a run,
`--run RUN_DIR`, what its translations score as the network makes them, if the change that they make
of their inputs is soft-thresholded, and if it is averaged by fills (`model.flatten`).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ugatit_jax.console.cache import find_cache_dir
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.data import images
from ugatit_jax.data.emoji import prepare
from ugatit_jax.devices.runtime import set_up_jax
from ugatit_jax.inference.translator import Translator
from ugatit_jax.methods import build_method
from ugatit_jax.metrics.features import open_extractor
from ugatit_jax.metrics.kid import kid
from ugatit_jax.runs.checkpoints import restore_weights
from ugatit_jax.runs.trained import open_model

THRESHOLDS = (0, 12, 24, 38, 50, 64)  # of 255 levels
RADII = (3, 5, 8)  # px


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    """Add noise of a standard deviation in levels of 255."""
    noise = np.random.default_rng(picture.sum()).normal(0, deviation, picture.shape)
    return to_uint8(picture + noise)


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """Blur by a Gaussian of a radius in px."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Round to levels."""
    return picture.round().clip(0, 255).astype(np.uint8)


def shrink(before: np.ndarray, after: np.ndarray, threshold: float) -> np.ndarray:
    """Bring what changed nearer to 0 by a threshold in levels of 255."""
    change = after.astype(float) - before
    return to_uint8(before + np.sign(change) * np.maximum(abs(change) - threshold, 0))


@exit_on_input_error
def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--run", type=Path, help="a run or an export on emoji of that size")
    args = parser.parse_args()
    set_up_jax()
    extractor = open_extractor("efficientnet-lite0", "")
    folder = prepare(find_cache_dir(""))
    size = (args.size, args.size)
    pictures = {
        domain: [
            images.cover_resize(np.asarray(Image.open(file).convert("RGB")), size)
            for file in sorted((folder / f"test{domain}").iterdir())
        ]
        for domain in "AB"
    }

    def features(those: list[np.ndarray]) -> np.ndarray:
        return extractor(iter(those), len(those), "features")

    real = {domain: features(those) for domain, those in pictures.items()}

    def row(what: str, domain: str, those: list[np.ndarray]) -> None:
        found = kid(features(those), real[domain])
        print(f"{what:<40} {100 * found.mean:6.2f}", flush=True)

    for levels in (0.5, 1, 3, 8):
        row(f"B, noise of {levels} levels", "B", [noisy(x, levels) for x in pictures["B"]])
    for radius in (0.5, 1):
        row(f"B, blur of {radius} px", "B", [blurred(x, radius) for x in pictures["B"]])
    if args.run is None:
        return
    config, step, weights = restore_weights(open_model(args.run))
    config.model.soft_threshold = 0.0
    translators = {}
    for radius in (0, *RADII):
        config.model.flatten = radius
        translators[radius] = Translator(build_method(config, mapped=True), step, weights)
    for direction, source, target in (("a2b", "A", "B"), ("b2a", "B", "A")):
        for radius in RADII:
            flat = translators[radius](pictures[source], direction)
            row(f"{direction}, flattened within {radius} px", target, flat)
        translated = translators[0](pictures[source], direction)
        for threshold in THRESHOLDS:
            both = zip(pictures[source], translated, strict=True)
            shrunk = [shrink(x, y, threshold) for x, y in both]
            row(f"{direction}, changes less {threshold} levels", target, shrunk)


if __name__ == "__main__":
    main()
