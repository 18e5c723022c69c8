"""The training loop: restore, step, log, sample, measure, save."""

import contextlib
import functools
import time
from collections.abc import Generator

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from orbax.checkpoint import CheckpointManager

from ugatit_jax.config.records import Origin
from ugatit_jax.data import datasets
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.devices import distributed, sharding
from ugatit_jax.inference.mapped import MappedTranslation, places_of
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Batch, Method
from ugatit_jax.methods.state import TrainState, create_state
from ugatit_jax.runs import checkpoints as on_disk
from ugatit_jax.runs.directory import record_start
from ugatit_jax.training.divergence import Guard, History, RolledBack
from ugatit_jax.training.log import Log, parameter_norms, say
from ugatit_jax.training.samples import Sampler
from ugatit_jax.training.start import Training, prepare
from ugatit_jax.training.step import FINITE, compile_step, jit_train_step
from ugatit_jax.training.stop import StopSignal
from ugatit_jax.training.summary import summarize
from ugatit_jax.training.tracking import Tracker

# Streams of pictures whose seeds are so far apart have nothing in common, whatever a method has.
OTHER_ORDER = 7919


def train(
    config: ConfigDict,
    workdir: AnyPath,
    changed: bool = False,
    origin: Origin | None = None,
    dry: bool = False,
) -> int:
    """Train, from the newest checkpoint in `workdir` if there is one, and return the step reached.

    That is `config.train.steps`, or less after Ctrl-C or SIGTERM, which save and end the run; the
    same call goes on from there, bit for bit. changed: go on although config or pictures are not
    what they were. origin: what command lines know of the config. dry: check everything, say what
    would be done, write nothing, and do none of it. Raises `InputError` for what the user can mend,
    before anything is compiled, and `FloatingPointError` when a loss is no longer finite, and
    `config.on_nonfinite` says to stop.
    """
    with contextlib.ExitStack() as until_the_end:
        training = prepare(config, workdir, changed, until_the_end, origin, dry)
        say(summarize(training))
        if not dry:
            with distributed.all_or_none():
                tracker = until_the_end.enter_context(_tracker(training))
            return _train(training, tracker)
        History.read(workdir)  # the last thing that a start reads
        say("dry run: nothing was trained or written")
        return config.train.steps


def _train(training: Training, tracker: Tracker) -> int:
    config, workdir, method = training.config, training.workdir, training.method
    say("drawing the first weights…")
    mesh = sharding.training_mesh(method.split, config.mesh.model)
    with (
        on_disk.open_checkpoints(workdir, config.checkpoint) as checkpoints,
        distributed.ending_with_the_others(),
    ):
        state = on_disk.restore(checkpoints, method, _first_state(training, mesh), workdir)
        start, steps = int(state.step), config.train.steps
        if start >= steps:
            say(f"nothing to do: {workdir} is at step {start} of {steps}")
            return start
        say(f"training in {workdir} from step {start} to {steps}")
        if jax.process_index() == 0:
            record_start(workdir, config, training.identity, start, training.origin)
        skip = config.on_nonfinite == "skip"
        train_steps = TrainSteps(method, config.train, config.seed, mesh, skip)
        while True:
            try:
                reached = _run(training, tracker, train_steps, mesh, state, checkpoints)
                break
            except RolledBack as error:
                say(str(error))
            # Not in the handler: the error has hold of the state that is of no use any more.
            state = on_disk.restore(checkpoints, method, _first_state(training, mesh), workdir)
    distributed.wait_for_all("saved")  # process 0 has had more to write
    return reached


def _first_state(training: Training, mesh: Mesh) -> TrainState:
    config, split = training.config, training.method.split
    create = functools.partial(create_state, build_method(config), config.train, config.seed)
    state = sharding.create_on(mesh, create, split)
    return state if training.initial is None else training.initial.put_into(state)


def _tracker(training: Training) -> Tracker:
    """What the first process sends scalars to, where there is something left to do."""
    *_, start = 0, *training.saved
    if jax.process_index() > 0 or start >= training.config.train.steps:
        return Tracker()
    return Tracker.open(training.config, training.workdir, start, say)


def _run(
    training: Training,
    tracker: Tracker,
    train_steps: "TrainSteps",
    mesh: Mesh,
    state: TrainState,
    checkpoints: CheckpointManager,
) -> int:
    config, method, kid_curve = training.config, training.method, training.kid_curve
    start, steps = int(state.step), config.train.steps
    history = History.read(training.workdir)
    batches = _batches(training, start, history.orders(start))
    batch = sharding.place_batch(next(batches), mesh)
    train_steps.compile(method.phase(start), state, batch)
    translation = MappedTranslation(method, mesh, places_of(method, state, mesh))
    sampler = Sampler(config.samples, method, training.dataset, translation)
    log = Log(method, config.train, config.log_every, training.workdir, start, tracker)
    guard = _guard(training, history, start, checkpoints, log)
    with log, StopSignal() as stop:
        if kid_curve is not None:
            kid_curve.forget_after(start)
            if kid_curve.is_missing(start):
                kids = kid_curve.measure(translation, state.best(method), start)
                on_disk.add_kids(checkpoints, training.workdir, start, kids)
                log.write_kids(start, kids)
        any_process, previous = distributed.AnyProcess(mesh), None
        for step in range(start + 1, steps + 1):
            state, metrics = train_steps(method.phase(step - 1), state, batch)
            metrics[FINITE].copy_to_host_async()  # before it is asked for, one step later
            stopped = any_process.wants(stop.received)
            last = step == steps or stopped
            if not last:
                batch = sharding.place_batch(next(batches), mesh)
            # At most two steps under way: the device never waits, and the bar tells the truth.
            if previous is not None:
                guard.check(*previous)
            previous = step, metrics

            # Whoever stops a run waits for no KID, but for that of the last step.
            measure = kid_curve is not None and kid_curve.is_due(step, steps, stopped)
            save = last or measure or step % config.checkpoint.every == 0
            draw = sampler.is_due(step, last)
            if save or draw or log.is_due(step):
                # A step's metrics say nothing of its update: what is saved or shown is sound.
                metrics = {**metrics, **parameter_norms(state.params)}
                guard.check(step, metrics)
                previous = None
            log.advance(step, state, metrics, force=save)
            if draw:
                log.write_grid(step, *sampler.grid(state.best(method), step))
            measured = None
            if kid_curve is not None and measure:
                measured = kid_curve.measure(translation, state.best(method), step)
                log.write_kids(step, measured)
            if save:
                on_disk.save(checkpoints, method, state, measured)
            if last:
                break
        if step == steps:
            log.write_film()
    if step < steps:
        say(f"stopped at step {step}, saved; the same command goes on from there")
    return step


def _guard(
    training: Training, history: History, start: int, checkpoints: CheckpointManager, log: Log
) -> Guard:
    config, method, orders = training.config, training.method, history.orders(start)

    def pictures(step: int) -> dict[str, np.ndarray]:
        with contextlib.closing(_batches(training, step - 1, orders, whole=True)) as batches:
            return next(batches)

    return Guard(
        config.on_nonfinite,
        config.nonfinite_limit,
        [player.name for player in method.all_players()],
        training.workdir,
        history,
        start,
        lambda: on_disk.newest(checkpoints) or 0,
        pictures,
        log.warn,
    )


def _batches(
    training: Training, start: int, orders: int, whole: bool = False
) -> Generator[dict[str, np.ndarray]]:
    """This process' share of the batches from a step on, or all of them.

    orders: how often their order has changed.
    """
    from ugatit_jax.data import input_pipeline

    config, dataset = training.config, training.dataset
    domains = {"a": dataset.train_a, "b": dataset.train_b}
    streams = {
        name: datasets.Stream(domains[each.domain], each.prepare)
        for name, each in training.method.inputs.items()
    }
    me, count = (0, 1) if whole else (jax.process_index(), jax.process_count())
    seed = config.seed + orders * OTHER_ORDER
    return input_pipeline.train_batches(
        streams, config.data, seed, config.train.batch_size, start, me, count, quiet=whole
    )


class TrainSteps:
    """The training steps of a method's phases, each compiled for the mesh when its turn comes."""

    def __init__(
        self, method: Method, train: ConfigDict, seed: int, mesh: Mesh, skip: bool = False
    ) -> None:
        """`skip`: see `make_train_step`."""
        self._method, self._train, self._seed, self._mesh = method, train, seed, mesh
        self._skip = skip
        everywhere = sharding.replicated(mesh)
        self._fixed = jax.tree.map(lambda x: sharding.place(x, everywhere), method.fixed())
        self._compiled: dict[str, jax.stages.Compiled] = {}

    def compile(self, phase: str, state: TrainState, batch: Batch) -> jax.stages.Compiled:
        """Return a phase's step, compiled; it consumes the state that it is given."""
        if phase not in self._compiled:
            name = f" of phase {phase}" if len(self._method.phases) > 1 else ""
            say(f"compiling the training step{name}…")
            since = time.monotonic()
            step = jit_train_step(
                self._method, self._train, self._seed, self._mesh, phase, state, self._skip
            )
            platform = self._mesh.devices.flat[0].platform
            lowered = step.lower(state, batch, self._fixed)
            self._compiled[phase] = compile_step(lowered, platform, self._train.deterministic)
            say(f"compiled in {time.monotonic() - since:.0f} s")
            distributed.wait_for_all(f"compiled {phase}")
        return self._compiled[phase]

    def __call__(
        self, phase: str, state: TrainState, batch: Batch
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Do a step of a phase."""
        return self.compile(phase, state, batch)(state, batch, self._fixed)
