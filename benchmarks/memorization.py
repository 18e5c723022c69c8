"""Whether the discriminators of a run of U-GAT-IT have learned their pictures by heart.

    python -m benchmarks.memorization runs/demo

Mean logits of training pictures, of test pictures and of the latter's translations, and r: how far
test pictures are on the way from training pictures to translations (Karras et al. 2020, "Training
Generative Adversarial Networks with Limited Data", equation 1, left). At 0 nothing is known by
heart, at 1 unseen pictures are taken for translations; that paper augments pictures above 0.6.
"""

import argparse
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from ugatit_jax.console.errors import InputError, exit_on_input_error
from ugatit_jax.data import datasets, images
from ugatit_jax.devices.runtime import set_up_jax
from ugatit_jax.methods import build_method
from ugatit_jax.methods.ugatit import UGATIT
from ugatit_jax.runs.checkpoints import restore_judges, restore_weights

PICTURES = 100  # of each split and domain, at most


def load(domain: datasets.Domain, size: tuple[int, int]) -> np.ndarray:
    """Return pictures from all over a domain, [N, *size, 3] in [-1, 1]."""
    domain = dataclasses.replace(domain, size=size)
    indices = np.linspace(0, len(domain) - 1, min(PICTURES, len(domain))).astype(int)
    return np.stack([images.to_float(domain.load(i)) for i in indices])


def rows(method: UGATIT, weights: Any, judges: Any, dataset: datasets.Dataset) -> Iterator[str]:
    """Yield a line of a table for each discriminator and kind of logits."""

    @functools.partial(jax.jit, static_argnames="domain")
    def judge(judges: Any, pictures: Array, domain: str) -> dict[str, Array]:
        discriminators, spectral = judges[0]["discriminators"], judges[1]["spectral"]
        said = method.judge_scales(discriminators, spectral, pictures, domain)
        patches = {scale: each.logits.mean() for scale, each in said.items()}
        attention = {f"{scale}, CAM": each.cam_logits for scale, each in said.items()}
        return patches | {name: x.mean() for name, x in attention.items() if x is not None}

    for domain, source, way in (("a", "b", "b2a"), ("b", "a", "a2b")):
        trained, tested, inputs = (
            load(getattr(dataset, name), method.image_size)
            for name in (f"train_{domain}", f"test_{domain}", f"test_{source}")
        )
        translated, _ = jax.jit(method.translate, static_argnums=2)(weights[way], inputs, way)
        said = [jax.device_get(judge(judges, x, domain)) for x in (trained, tested, translated)]
        for name in said[0]:
            train, test, translation = (float(each[name]) for each in said)
            r = (train - test) / (train - translation)
            logits = f"{train:.3f} | {test:.3f} | {translation:.3f}"
            yield f"| {domain.upper()}, {name} | {logits} | {r:.2f} |"


@exit_on_input_error
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    run_dir = parser.parse_args().run
    set_up_jax()
    config, *judges = restore_judges(run_dir)
    method = build_method(config)
    if not isinstance(method, UGATIT):
        raise InputError(f"{run_dir} is of {config.method}: name a run of ugatit")
    print("| discriminator of | training pictures | test pictures | translations | r |")
    print("|---|---:|---:|---:|---:|")
    dataset = datasets.open_dataset(config.data)
    for row in rows(method, restore_weights(run_dir).weights, judges, dataset):
        print(row, flush=True)


if __name__ == "__main__":
    main()
