r"""Train all methods for the same minutes, score all of them, and show what they make of a picture.

    python -m benchmarks.methods --minutes 20 --out runs/methods
    python -m benchmarks.methods --methods ugatit,cyclegan --data cats dogs --out runs/pets
    python -m benchmarks.methods --config configs/ablation.py --minutes 6 --out runs/rows \
        --methods adalin,in,no_cam,adalin+model.mlp_pool=4

Each as `timing/timed_training.py` does it, with the config's own settings for the method, and then
`ugatit_jax.compare` of all: DIR/comparison.md has the tables, DIR/comparison.html the same test
pictures, row by row. Two folders of pictures, --data, take the place of the config's; every tenth
picture of theirs is kept for the test.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing.timed_training import (
    Contest,
    HelpFormatter,
    add_arguments,
    config_of,
    our_trial,
    train_ours,
)
from ugatit_jax.console.errors import InputError, exit_on_input_error
from ugatit_jax.data import images
from ugatit_jax.methods import METHODS

TESTED = 10  # one picture of so many is kept for the test


@exit_on_input_error
def main() -> None:
    """Train, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add_arguments(parser, minutes=20.0, seeds=[0])
    parser.add_argument(
        "--methods", default=",".join(METHODS), help="variants of the config, +FIELD=VALUE"
    )
    parser.add_argument("--data", type=Path, nargs=2, metavar=("A", "B"), help="folders instead")
    args = parser.parse_args()
    fields = list(args.set)
    if args.data:
        fields.append(f"data.source={args.out / 'data'}")
    names = args.methods.split(",")
    arms = {}
    for name in names:
        variant, *own = parts_of(name)
        arms[name] = f"{args.config}:{variant}", [*fields, *own]
    configs = {name: config_of(arm[0], 0, arm[1]) for name, arm in arms.items()}
    if args.data:
        split(args.data, args.out / "data")

    def train(name: str, seed: int, steps: int, run_dir: Path) -> None:
        experiment, with_fields = arms[name]
        train_ours(experiment, seed, steps, with_fields, run_dir)

    source = configs[names[0]].data.source
    Contest("benchmarks.methods", names, lambda name: our_trial(configs[name]), train, source).hold(
        args
    )


def parts_of(name: str) -> list[str]:
    """Return a variant and its fields: 'drit+++loss.cycle=5' is 'drit++' and 'loss.cycle=5'."""
    return re.split(r"\+(?=[\w.]+=)", name)


def split(folders: Sequence[Path], data: Path) -> None:
    """Lay two folders of pictures out as a data set, by links."""
    for folder, domain in zip(folders, "AB", strict=True):
        files = images.list_images(folder)
        if len(files) < 2 * TESTED:
            raise InputError(f"{folder} has {len(files)} pictures: give {2 * TESTED} or more")
        for i, file in enumerate(files):
            part = "test" if i % TESTED == 0 else "train"
            link = data / f"{part}{domain}" / file.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(file.resolve())


if __name__ == "__main__":
    main()
