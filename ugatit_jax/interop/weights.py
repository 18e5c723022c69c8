"""What files of other implementations hold, in our names."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ugatit_jax.methods.method import Params


class Weights(NamedTuple):
    """What a file holds, in our names."""

    config: ConfigDict
    step: int
    params: Params
    other: dict[str, Any]  # what moves without a gradient
    moments: dict[str, Params] | None  # {'mu', 'nu'}, Adam's
