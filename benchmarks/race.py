"""Train our recipe, our paper setting and PyTorch's, for the same minutes, and compare them.

    python -m benchmarks.race --minutes 30 --out runs/race

On this machine and the same pictures, one round per seed, as `timing/timed_training.py` does it;
the peer (peers/torch_peer.py, as its authors' users would run it) sees pictures as ours do, by the
same input pipeline. Its weights then become a run like the others.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks.peers.torch_peer import Peer
from benchmarks.timing.timed_training import (
    Contest,
    HelpFormatter,
    Trial,
    add_arguments,
    config_of,
    our_trial,
    train_ours,
)
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.data import datasets
from ugatit_jax.devices.runtime import set_up_jax
from ugatit_jax.interop.import_weights import read_weights, write_run

CONTESTANTS = ("ours", "paper", "pytorch")


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


def peer_trial(config: ConfigDict) -> Trial:
    """Return the trial of the peer."""
    peer, batches = peer_of(config), batches_of(config)
    return Trial({"": lambda: peer.train(next(batches))}, lambda step: "")


def train_peer(config: ConfigDict, steps: int, run_dir: Path) -> None:
    """Train the peer for so many steps, and write what it learned as a run."""
    config.train.steps = steps
    peer, batches = peer_of(config), batches_of(config)
    for _ in range(steps):
        losses = peer.train(next(batches))
    if not all(torch.isfinite(loss) for loss in losses.values()):
        raise FloatingPointError("a loss of the peer is no longer finite")
    file = run_dir.with_name(f"{run_dir.name}_params_{steps:07d}.pt")
    torch.save({name: network.state_dict() for name, network in peer.networks.items()}, file)
    set_up_jax()  # not before: it keeps freed memory, which is ours to do and not the peer's
    write_run(run_dir, read_weights(file, config.data.image_size[0]))


@exit_on_input_error
def main() -> None:
    """Run the race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add_arguments(parser, minutes=30.0, seeds=[0, 1, 2])
    parser.add_argument(
        "--ours", default="ours", metavar="VARIANT", help="of the config, that is our recipe"
    )
    args = parser.parse_args()
    variants = dict.fromkeys(CONTESTANTS, "light") | {"ours": args.ours}
    experiments = {name: f"{args.config}:{word}" for name, word in variants.items()}
    configs = {name: config_of(it, 0, args.set) for name, it in experiments.items()}

    def trial(name: str) -> Trial:
        return (peer_trial if name == "pytorch" else our_trial)(configs[name])

    def train(name: str, seed: int, steps: int, run_dir: Path) -> None:
        if name == "pytorch":
            train_peer(config_of(experiments[name], seed, args.set), steps, run_dir)
        else:
            train_ours(experiments[name], seed, steps, args.set, run_dir)

    source = configs["ours"].data.source
    Contest("benchmarks.race", CONTESTANTS, trial, train, source).hold(args)


if __name__ == "__main__":
    main()
