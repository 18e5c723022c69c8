"""How a state lies in a checkpoint: items, each a tree that can be read without the others.

translating   the groups that translating needs, {group: tree}
ema           their moving average, where one is kept
training      all else: step, the other groups, optimisers, and what moves without a gradient

Programs before format 2 knew U-GAT-IT alone, under other names; their checkpoints are read.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ugatit_jax.data.storage import AnyPath
from ugatit_jax.methods.method import Method
from ugatit_jax.methods.state import TrainState, translating

Items = dict[str, Any]


class Layout(NamedTuple):
    """Names of items, and the way there and back. Without an average there is no item for it."""

    translating: str
    to_items: Callable[[Method, TrainState], Items]
    to_state: Callable[[Items], TrainState]
    # Of the items 'translating' and 'ema', the groups, and the other way round.
    wrap: Callable[[Any], Any]
    unwrap: Callable[[Any], Any]


def layout_of(checkpoint: AnyPath) -> Layout:
    """Return the layout of the checkpoint in a folder."""
    return FORMAT_1 if (checkpoint / "generators").exists() else FORMAT_2


def _to_items(method: Method, state: TrainState) -> Items:
    of_translating = translating(method, state.params)
    rest = {name: x for name, x in state.params.items() if name not in of_translating}
    training = {
        "step": state.step,
        "params": rest,
        "optimizers": state.optimizers,
        "other": state.other,
    }
    items = {"translating": of_translating, "training": training}
    return items if state.ema is None else items | {"ema": state.ema}


def _to_state(items: Items) -> TrainState:
    training = items["training"]
    params = items["translating"] | training["params"]
    return TrainState(
        training["step"], params, training["optimizers"], training["other"], items.get("ema")
    )


def _to_items_1(method: Method, state: TrainState) -> Items:
    training = {
        "step": state.step,
        "discriminators": state.params["discriminators"],
        "spectral": state.other["spectral"],
        "generator_optimizer": state.optimizers["generators"],
        "discriminator_optimizer": state.optimizers["discriminators"],
    }
    items = {"generators": state.params["generators"], "training": training}
    return items if state.ema is None else items | {"ema": state.ema["generators"]}


def _to_state_1(items: Items) -> TrainState:
    training = items["training"]
    optimizers = {
        "generators": training["generator_optimizer"],
        "discriminators": training["discriminator_optimizer"],
    }
    params = {"generators": items["generators"], "discriminators": training["discriminators"]}
    ema = {"generators": items["ema"]} if "ema" in items else None
    other = {"spectral": training["spectral"]}
    return TrainState(training["step"], params, optimizers, other, ema)


FORMAT_1 = Layout(
    "generators",
    _to_items_1,
    _to_state_1,
    lambda item: {"generators": item},
    lambda groups: groups["generators"],
)
FORMAT_2 = Layout("translating", _to_items, _to_state, lambda item: item, lambda groups: groups)
