"""The training loop: restore, step, log, sample, save."""

import dataclasses
import functools
import math
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from orbax.checkpoint import CheckpointManager
from tqdm import tqdm

from ugatit_jax.config.checks import check_config
from ugatit_jax.data import datasets, images
from ugatit_jax.data.storage import AnyPath, epath
from ugatit_jax.devices import distributed, sharding
from ugatit_jax.methods.optimizer import learning_rate
from ugatit_jax.models import build_generator
from ugatit_jax.runs import checkpoints as checkpoint
from ugatit_jax.training.kid_curve import KidCurve
from ugatit_jax.training.step import TrainState, create_state, jit_train_step, sample
from ugatit_jax.viewing import visualize

# What the progress bar shows of the metrics.
SHOWN = {
    "D": "discriminator/adversarial",
    "G": "generator/adversarial",
    "cycle": "generator/cycle",
    "identity": "generator/identity",
    "cam": "generator/cam",
}


def train(config: ConfigDict, workdir: AnyPath) -> int:
    """Train, from the newest checkpoint in `workdir` if there is one, and return the step reached.

    That is `config.train.steps`, or less after Ctrl-C or SIGTERM, which save and end the run; the
    same call goes on from there, bit for bit. Raises `InputError` for what the user can mend,
    before anything is compiled, and `FloatingPointError` when a loss is no longer finite.
    """
    with distributed.all_or_none() as same:
        check_config(config, jax.device_count())
        changes = checkpoint.prepare_run(workdir, config)
        dataset = datasets.scan(datasets.open_dataset(config.data), config.data.skip_bad)
        same["config"] = config.to_json()
        same["checkpoints"] = checkpoint.saved_steps(workdir)
        same["pictures"] = [domain.names for domain in (dataset.train_a, dataset.train_b)]

    _say("drawing the first weights…")
    mesh = sharding.training_mesh(config)
    state = sharding.create_on(mesh, functools.partial(create_state, config))
    with (
        checkpoint.open_checkpoints(workdir, config) as checkpoints,
        distributed.ending_with_the_others(),
    ):
        state = checkpoint.restore(checkpoints, state, workdir)
        start = int(state.step)
        for field, (now, then) in changes.items():
            _say(f"config.{field} is {now!r} from here on; it was {then!r}")
        if start >= config.train.steps:
            _say(f"nothing to do: {workdir} is at step {start} of {config.train.steps}")
            return start
        with distributed.all_or_none():
            kid_curve = KidCurve.open(config, dataset, workdir, start)
        _say(f"training in {workdir} from step {start} to {config.train.steps}")
        if jax.process_index() == 0:
            checkpoint.record_start(workdir, config, start)
        reached = _run(config, workdir, dataset, mesh, state, checkpoints, kid_curve)
    distributed.wait_for_all("saved")  # process 0 has had more to write
    return reached


def _run(
    config: ConfigDict,
    workdir: AnyPath,
    dataset: datasets.Dataset,
    mesh: Mesh,
    state: TrainState,
    checkpoints: CheckpointManager,
    kid_curve: KidCurve | None,
) -> int:
    from ugatit_jax.data import input_pipeline  # imports TensorFlow: seconds, and only needed here

    start, steps = int(state.step), config.train.steps
    batches = input_pipeline.train_batches(
        dataset, config, start, jax.process_index(), jax.process_count()
    )
    batch = sharding.place_batch(next(batches), mesh)
    train_step = compile_train_step(config, mesh, state, batch)
    distributed.wait_for_all("compiled")
    with Log(config, workdir, start) as log, StopSignal() as stop:
        sampler = Sampler(config, dataset)
        any_process, previous = distributed.AnyProcess(mesh), None
        for step in range(start + 1, steps + 1):
            state, metrics = train_step(state, batch)
            stopped = any_process.wants(stop.received)
            last = step == steps or stopped
            if not last:
                batch = sharding.place_batch(next(batches), mesh)
            # At most two steps under way: the device never waits, and the bar tells the truth.
            jax.block_until_ready(previous)
            previous = metrics

            # Whoever stops a run waits for no KID.
            measure = kid_curve is not None and kid_curve.is_due(step) and not stopped
            save = last or measure or step % config.checkpoint.every == 0
            log.advance(step, state, metrics, force=save)
            if sampler.is_due(step, last):
                log.write_grid(step, sampler.grid(state, step))
            kids = None
            if kid_curve is not None and measure:
                kids = kid_curve.measure(state.best_generators, step)
                log.write_kids(step, kids)
            if save:
                checkpoint.save(checkpoints, state, kids)
            if last:
                break
    if step < steps:
        _say(f"stopped at step {step}, saved; the same command goes on from there")
    return step


def compile_train_step(
    config: ConfigDict, mesh: Mesh, state: TrainState, batch: dict[str, jax.Array]
) -> jax.stages.Compiled:
    """Return the training step, compiled for these devices; it consumes the state it is given."""
    _say("compiling the training step…")
    since = time.monotonic()
    compiled = jit_train_step(config, mesh).lower(state, batch).compile()
    _say(f"compiled in {time.monotonic() - since:.0f} s")
    return compiled


class Log:
    """What a run says: the progress bar, TensorBoard's scalars and pictures, files in samples/."""

    def __init__(self, config: ConfigDict, workdir: AnyPath, start: int) -> None:
        from clu import metric_writers  # imports TensorFlow

        self._config, self._workdir = config, workdir
        self._silent = jax.process_index() > 0
        # TensorFlow cannot add to what is in a bucket, and logs in there on its own.
        self._unsent = None if isinstance(workdir, Path) else TemporaryDirectory()
        self._writer = metric_writers.create_default_writer(
            self._unsent.name if self._unsent else str(workdir),
            just_logging=self._silent,
            asynchronous=False,
        )
        self._bar = tqdm(
            total=config.train.steps,
            initial=start,
            unit="step",
            dynamic_ncols=True,
            # In seconds; a log file wants no ten lines a second.
            mininterval=0.1 if sys.stderr.isatty() else 10,
            disable=self._silent,
        )
        self._first = start + 1
        self._since = (start, time.monotonic())
        self._learning_rate = learning_rate(config)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
        self._writer.close()
        self._send()
        if self._unsent:
            self._unsent.cleanup()

    def advance(
        self, step: int, state: TrainState, metrics: Mapping[str, jax.Array], force: bool
    ) -> None:
        """Count a finished step; every `log_every` steps, check and write its metrics.

        Raises `FloatingPointError`, with the name of the first metric that is not finite.
        """
        self._bar.update()
        due = step % self._config.log_every == 0
        if not (due or force or step == self._first):
            return
        # The metrics say nothing of the last update: with it, a saved state is known to be sound.
        found = jax.device_get({**metrics, **parameter_norms(state)})
        values = {name: float(value) for name, value in found.items()}
        check_finite(values, step)
        shown = {short: f"{values[name]:.3g}" for short, name in SHOWN.items()}
        if due or force:
            rates = self._rates(step)
            values |= rates | rho_statistics(state.generators)
            values["learning_rate"] = float(self._learning_rate(step - 1))
            self._writer.write_scalars(step, values)
            shown["img/s"] = f"{rates['images_per_second']:.3g}"
        self._bar.set_postfix(shown, refresh=False)

    def write_grid(self, step: int, grid: np.ndarray) -> None:
        """Write a sample grid, uint8 [H, W, 3], to samples/ and to TensorBoard."""
        if not self._silent:
            visualize.save_png(self._workdir / "samples" / f"step_{step:07d}.png", grid)
        self._writer.write_images(step, {"samples": grid[None]})
        self._writer.flush()
        self._send()
        self._since = (step, time.monotonic())  # what took its time here was no training

    def write_kids(self, step: int, kids: Mapping[str, float]) -> None:
        """Write KID to the target, by direction, to TensorBoard (times 100) and to the screen."""
        scores = {f"kid_x100/{direction}": 100 * kid for direction, kid in kids.items()}
        self._writer.write_scalars(step, scores)
        if not self._silent:
            said = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
            self._bar.write(f"step {step}: {said}")
        self._since = (step, time.monotonic())

    def _send(self) -> None:
        if self._unsent:
            for file in Path(self._unsent.name).iterdir():
                epath.Path(file).copy(self._workdir / file.name, overwrite=True)

    def _rates(self, step: int) -> dict[str, float]:
        (since_step, since), now = self._since, time.monotonic()
        self._since = (step, now)
        rate = (step - since_step) / max(now - since, 1e-9)
        # One picture per domain: `images` counts both.
        return {
            "steps_per_second": rate,
            "images_per_second": 2 * rate * self._config.train.batch_size,
        }


class Sampler:
    """Translates the same few test pictures again and again, to see how the run gets on."""

    def __init__(self, config: ConfigDict, dataset: datasets.Dataset) -> None:
        self._config = config
        # Pictures that it trains on say less, but a data set without test pictures has no others.
        pair = (dataset.test_a, dataset.test_b)
        domain_a, domain_b = pair if all(pair) else (dataset.train_a, dataset.train_b)
        count = min(config.samples.count, len(domain_a), len(domain_b))
        self._real_a, self._real_b = (
            self._spread(domain, count) for domain in (domain_a, domain_b)
        )
        self._mesh = sharding.training_mesh(config)
        generator = build_generator(config, split_over="model")

        def apply(params: Any, pairs: jax.Array) -> dict[str, dict[str, jax.Array]]:
            return sample(generator, params, pairs[:, 0], pairs[:, 1])

        self._sample = sharding.map_over_devices(apply, self._mesh)

    def _spread(self, domain: datasets.Domain, count: int) -> np.ndarray:
        domain = dataclasses.replace(domain, size=tuple(self._config.data.image_size))
        indices = [i * len(domain) // count for i in range(count)]
        return images.to_float(np.stack([domain.load(i) for i in indices]))

    def is_due(self, step: int, last: bool) -> bool:
        """Say whether `samples.every` asks for a grid after this, maybe the last, step."""
        every = self._config.samples.every
        return every > 0 and (last or step % every == 0)

    def grid(self, state: TrainState, step: int) -> np.ndarray:
        """Return the sample grid, uint8 [H, W, 3], of the generators (their average, if kept)."""
        pairs = np.stack([self._real_a, self._real_b], axis=1)
        params, count = state.best_generators, len(pairs)
        results = sharding.map_in_batches(self._sample, params, pairs, count, self._mesh)
        samples = jax.tree.map(lambda *pictures: np.stack(pictures), *results)
        return visualize.sample_grid(samples, step)


class StopSignal:
    """Notes the first Ctrl-C or SIGTERM, for the loop to end cleanly; the second one kills."""

    received = False

    def __enter__(self) -> "StopSignal":
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        signal.signal(number, self._before[signal.Signals(number)])
        together = "" if jax.process_count() == 1 else ", as all processes will,"
        name = signal.Signals(number).name
        print(f"\n{name}: ending{together} after this step (again: at once)", flush=True)


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Raise `FloatingPointError` that names the first metric that is NaN or infinite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} at step {step}, which is not saved: "
                "lower config.train.learning_rate, or take config.dtype=float32"
            )


@jax.jit
def parameter_norms(state: TrainState) -> dict[str, jax.Array]:
    """Return the Euclidean norm of all parameters of the generators, and of the discriminators."""
    return {
        "norm/generators": optax.tree.norm(state.generators),
        "norm/discriminators": optax.tree.norm(state.discriminators),
    }


def rho_statistics(generators: Any) -> dict[str, float]:
    """Return mean, min and max of every rho: {'rho/a2b/decoder_0/norm_0/mean': …}."""
    statistics = {}
    for path, value in jax.tree_util.tree_flatten_with_path(generators)[0]:
        *layer, name = (entry.key for entry in path)
        if name == "rho":
            rho = np.asarray(value)
            for what in ("mean", "min", "max"):
                statistics[f"rho/{'/'.join(layer)}/{what}"] = float(getattr(rho, what)())
    return statistics


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)
