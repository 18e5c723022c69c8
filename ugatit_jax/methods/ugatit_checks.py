"""Which of U-GAT-IT's fields can work, and what they mean to its networks."""

import dataclasses

from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import rules
from ugatit_jax.methods.losses import KINDS
from ugatit_jax.methods.rules import Rule
from ugatit_jax.models import (
    CAM,
    DECODER_FORMS,
    INITIALIZERS,
    SHIFTS,
    SKIPS,
    Conventions,
    minimum_size,
)

# What of `model` changes how a training begins or how pictures are finished, but not what its
# parameters mean.
_BESIDE = {
    "model.initializer",
    "model.rho_start",
    "model.shifts",
    "model.flatten",
    "model.soft_threshold",
}
_RULES = (
    rules.at_least_one("model.base_width", "model.residual_blocks", "model.mlp_pool"),
    rules.not_negative(*(f"loss.{term}" for term in ("adversarial", "cycle", "identity", "cam"))),
    rules.not_negative("loss.penalty"),
    rules.one_of("loss.kind", KINDS),
    rules.one_of("model.initializer", INITIALIZERS),
    rules.one_of("model.skip", SKIPS),
    rules.one_of("model.decoder_norm", DECODER_FORMS),
    rules.one_of("model.cam", CAM),
    Rule(("model.shifts",), SHIFTS.__contains__, "1, 2 or 4"),
    Rule(("model.flatten",), lambda v: 0 <= v <= 16, "from 0 to 16"),
    Rule(("model.soft_threshold",), lambda v: 0 <= v < 2, "in [0, 2)"),
    Rule(("model.rho_margin",), lambda v: 0 <= v < 1, "in [0, 1)"),
    Rule(("model.rho_start",), lambda v: 0 <= v <= 1, "in [0, 1]"),
    Rule(("model.local_layers", "model.global_layers"), lambda v: v >= 3, "3 or more"),
)


def check(config: ConfigDict) -> None:
    """Raise `InputError` for the first field whose value cannot work."""
    rules.check(config, _RULES)
    size = tuple(config.data.image_size)
    pool = config.model.mlp_pool
    if pool > 1 and not config.model.light:
        raise InputError(
            f"config.model.mlp_pool is {pool}, and full generators see the whole map; say "
            "--config.model.light=True, or leave it at 1"
        )
    if any(side // 4 % pool for side in size):
        raise InputError(
            f"config.model.mlp_pool is {pool}, which does not divide the sides of the map, "
            f"{size[0] // 4} and {size[1] // 4}: a quarter of config.data.image_size"
        )
    for scale in ("local", "global"):
        layers = config.model[f"{scale}_layers"]
        if min(size) < minimum_size(layers):
            fitting = layers
            while min(size) < minimum_size(fitting):
                fitting -= 1
            raise InputError(
                f"config.data.image_size is {size}, too small for the {scale} discriminator of "
                f"{layers} layers, which takes {minimum_size(layers)} px; say "
                f"--config.model.{scale}_layers={fitting}, or take larger pictures"
            )


def architecture(model: ConfigDict) -> set[str]:
    """Return the fields that decide the shapes and the meaning of the parameters."""
    # The first fully connected layer of full generators follows the size of the pictures.
    adaptive = DECODER_FORMS[model.decoder_norm].adaptive
    of_size = {"data.image_size"} if adaptive and not model.light else set()
    return {f"model.{name}" for name in model} - _BESIDE | of_size


def conventions_of(model: ConfigDict) -> Conventions:
    """Return the conventions that the section `model` holds, field by field."""
    names = (field.name for field in dataclasses.fields(Conventions))
    return Conventions(**{name: model[name] for name in names})
