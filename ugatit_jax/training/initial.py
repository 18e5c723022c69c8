"""A training that begins from a trained model: new optimisers and step 0, but its weights."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from ugatit_jax.config.records import architecture_differences
from ugatit_jax.console.errors import InputError
from ugatit_jax.data.storage import AnyPath
from ugatit_jax.devices.sharding import place
from ugatit_jax.interop.import_weights import read_weights
from ugatit_jax.methods import build_method
from ugatit_jax.methods.method import Method, shapes
from ugatit_jax.methods.state import TrainState, translating
from ugatit_jax.runs.advice import WEIGHTS, check_run
from ugatit_jax.runs.checkpoints import restore_state, restore_weights
from ugatit_jax.runs.directory import is_run
from ugatit_jax.runs.trained import open_model

Flat = dict[tuple[str, ...], Any]


class Initial(NamedTuple):
    """Arrays to begin with, by path: parameters, and what moves without a gradient beside them."""

    params: Flat
    other: Flat

    def put_into(self, state: TrainState) -> TrainState:
        """Return a first state with these arrays; its moving average begins at them, too."""
        params = _overwrite(state.params, self.params)
        other = _overwrite(state.other, self.other)
        ema = state.ema and _overwrite(state.ema, self.params)
        return TrainState(state.step, params, state.optimizers, other, ema)


def read_initial(config: ConfigDict, method: Method) -> tuple[Initial, str]:
    """Read what `config.init_from` names; return it, and what was taken of it, in words.

    That is a run (its newest checkpoint, and of what translates the moving average where there is
    one), an export, the name of a model that comes with the program, or a file of the authors'
    implementations. Raises `InputError` if there is none, or if an array does not fit.
    """
    source = config.init_from
    trained, params, other = _read(open_model(source))
    if trained.method != config.method:
        raise InputError(
            f"config.init_from: {source} is of the method {trained.method}, which has other "
            f"networks than {config.method}: train that method, or begin from another model"
        )
    differences = ", ".join(
        f"config.{field} was {then!r} and is {now!r}"
        for field, (now, then) in architecture_differences(config, trained).items()
        if field.startswith(("model.", "data."))
    )
    expected, expected_other = (flatten_dict(tree) for tree in shapes(method))
    networks = {name[:2] for name in params}
    for name in sorted(params.keys() | {name for name in expected if name[:2] in networks}):
        here, there = (x[name].shape if name in x else "absent" for x in (expected, params))
        if here != there:
            raise InputError(
                f"config.init_from: {source} does not fit, {'/'.join(name)} is {there} there and "
                f"{here} here{differences and f'. {differences}; say the same, or'}"
                f"{'' if differences else '; '} begin from another model"
            )
    other = {k: x for k, x in other.items() if k[0] in method.carried and k in expected_other}
    said = f"beginning from {source}: {len(params)} of {len(expected)} arrays of parameters are its"
    if anew := sorted({name[0] for name in expected.keys() - params.keys()}):
        said += f"; anew: {', '.join(anew)}"
    if differences:
        said += f"; mind that {differences}"
    return Initial(params, other), said


def _read(path: AnyPath) -> tuple[ConfigDict, Flat, Flat]:
    """Return a model's config, its parameters, and what moves without a gradient, by path."""
    if WEIGHTS.fullmatch(path.name) and not path.is_dir():
        found = read_weights(Path(path))
        return found.config, flatten_dict(found.params), flatten_dict(found.other)
    check_run(path, or_export=True)
    config, step, weights = restore_weights(path)
    method = build_method(config)
    params: Flat = {}
    other: Flat = {}
    if is_run(path):
        _, state = restore_state(path, step)
        params, other = flatten_dict(state.params), flatten_dict(state.other)
    # Where in the parameters each array of a direction lies is what `select` makes of their paths.
    of_groups = translating(method, shapes(method)[0])
    paths = unflatten_dict({name: Path(*name) for name in flatten_dict(of_groups)})
    for direction in weights:
        names = flatten_dict(method.select(paths, direction))
        values = flatten_dict(weights[direction])
        params |= {names[each].parts: values[each] for each in names}
    # On the host: the devices are about to hold a state of their own.
    return config, jax.device_get(params), jax.device_get(other)


def _overwrite(tree: Any, by: Flat) -> Any:
    """Return a tree with some of its arrays replaced, each placed and typed as the old one."""
    flat = flatten_dict(tree)
    for name, value in by.items():
        if name in flat:
            old = flat[name]
            flat[name] = place(np.asarray(value, old.dtype), old.sharding)
    return unflatten_dict(flat)
