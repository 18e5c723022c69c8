"""Train our recipe, our paper setting and PyTorch's, for the same minutes, and score all of them.

    python -m benchmarks.race --minutes 30 --out runs/race

One after the other, on this machine and the same pictures, one round per seed. How many steps fit
into the minutes is measured before each training, so that its learning rate falls to 0 within
them; the peer (benchmarks/torch_peer.py, as its authors' users would run it) sees pictures as ours
do, by the same input pipeline. Its weights then become a run like the others, and one `evaluate`
scores all of them. What is there already is not trained again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks.step import set_up_step
from benchmarks.torch_peer import Peer
from ugatit_jax.config.flags import load_experiment, override
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.data import datasets
from ugatit_jax.interop.import_weights import read_weights, write_run

CONTESTANTS = {"ours": "ours", "paper": "light", "pytorch": "light"}  # by variant of the config
TRIAL = 30  # steps


def config_of(experiment: str, contestant: str, seed: int, fields: list[str]) -> ConfigDict:
    """Return a contestant's config: the experiment's pictures and sizes, its own recipe."""
    config = load_experiment(f"{experiment}:{CONTESTANTS[contestant]}")
    config.seed = seed
    for field in fields:
        override(config, *field.split("=", 1))
    return config


def peer_of(config: ConfigDict) -> Peer:
    """Return the peer with a config's networks and rates."""
    model, train = config.model, config.train
    return Peer(
        light=model.light,
        width=model.base_width,
        blocks=model.residual_blocks,
        size=config.data.image_size[0],
        layers=(model.local_layers, model.global_layers),
        steps=train.steps,
        learning_rate=train.learning_rate,
        seed=config.seed,
    )


def batches_of(config: ConfigDict) -> Iterator[dict[str, np.ndarray]]:
    """Return the batches that our training would see."""
    from ugatit_jax.data import input_pipeline  # imports TensorFlow

    dataset = datasets.open_dataset(config.data)
    streams = {"a": datasets.Stream(dataset.train_a), "b": datasets.Stream(dataset.train_b)}
    return input_pipeline.train_batches(streams, config.data, config.seed, config.train.batch_size)


def steps_in(minutes: float, step: Callable[[], object]) -> int:
    """Return how many steps fit into minutes, by a trial, the first three steps apart."""
    times = []
    for _ in range(TRIAL):
        since = time.perf_counter()
        step()
        times.append(time.perf_counter() - since)
    return max(2, int(60 * minutes / np.mean(times[3:])))


def trial_of(contestant: str, config: ConfigDict) -> Callable[[], object]:
    """Return a function that does one step."""
    if contestant == "pytorch":
        peer, batches = peer_of(config), batches_of(config)
        return lambda: peer.train(next(batches))
    import jax

    run, (state, *others) = set_up_step(config, jax.devices()[:1])
    kept = [state]

    def step() -> None:
        kept[0], _ = jax.block_until_ready(run(kept[0], *others))

    return step


def train_peer(config: ConfigDict, run_dir: Path) -> None:
    """Train the peer and write what it learned as a run."""
    peer, batches = peer_of(config), batches_of(config)
    for _ in range(config.train.steps):
        losses = peer.train(next(batches))
    if not all(torch.isfinite(loss) for loss in losses.values()):
        raise FloatingPointError("a loss of the peer is no longer finite")
    file = run_dir.with_name(f"{run_dir.name}_params_{config.train.steps:07d}.pt")
    torch.save({name: network.state_dict() for name, network in peer.networks.items()}, file)
    write_run(run_dir, read_weights(file, config.data.image_size[0]))


def train_ours(experiment: str, config: ConfigDict, fields: list[str], run_dir: Path) -> None:
    """Train by the program's own command, without what only people look at."""
    flags = [*fields, f"seed={config.seed}", f"train.steps={config.train.steps}"]
    flags += ["samples.every=0", "eval.every=0", f"checkpoint.every={config.train.steps}"]
    command = [sys.executable, "-m", "ugatit_jax.main", f"--config={experiment}"]
    command += [f"--workdir={run_dir}", *(f"--config.{flag}" for flag in flags)]
    subprocess.run(command, check=True)


@exit_on_input_error
def main() -> None:
    """Run the race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--config", default="configs/demo.py", help="pictures and sizes")
    parser.add_argument("--minutes", type=float, default=30.0, help="of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="of all")
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        contestant, seed = args.one[0], int(args.one[1])
        return train_one(args, contestant, seed)
    runs = []
    for seed in args.seeds:
        for contestant in CONTESTANTS:
            runs.append(args.out / f"{contestant}-{seed}")
            if not runs[-1].with_suffix(".json").exists():  # in a process of its own, as in life
                this = [sys.executable, "-m", "benchmarks.race", *sys.argv[1:]]
                subprocess.run([*this, "--one", contestant, str(seed)], check=True)
    evaluate = [sys.executable, "-m", "ugatit_jax.evaluate", *map(str, runs)]
    source = load_experiment(args.config).data.source
    subprocess.run([*evaluate, f"--data={source}", f"--out={args.out / 'scores'}"], check=True)
    for run in runs:
        print(run.name, run.with_suffix(".json").read_text().strip())
    return None


def train_one(args: argparse.Namespace, contestant: str, seed: int) -> None:
    """Train one contestant, and write down what it took."""
    config = config_of(args.config, contestant, seed, args.set)
    args.out.mkdir(parents=True, exist_ok=True)
    run_dir = args.out / f"{contestant}-{seed}"
    config.train.steps = steps_in(args.minutes, trial_of(contestant, config))
    print(f"{run_dir}: {config.train.steps} steps", flush=True)
    since = time.perf_counter()
    if contestant == "pytorch":
        train_peer(config, run_dir)
    else:
        variant = f"{args.config}:{CONTESTANTS[contestant]}"
        train_ours(variant, config, args.set, run_dir)
    took = {"steps": config.train.steps, "minutes": (time.perf_counter() - since) / 60}
    run_dir.with_suffix(".json").write_text(json.dumps(took) + "\n")


class _Plain(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
