"""Which of DRIT's fields can work."""

from ml_collections import ConfigDict

from ugatit_jax.console.errors import InputError
from ugatit_jax.methods import multiscale, rules
from ugatit_jax.models import INITIALIZERS
from ugatit_jax.models.disentanglement import minimum_size

_TERMS = ("adversarial", "content_adversarial", "reconstruction", "cycle", "kl", "content_square")
_RULES = (
    rules.at_least_one("model.base_width", "model.residual_blocks", "model.style_size"),
    rules.not_negative("model.content_discriminator_layers"),
    rules.not_negative(*(f"loss.{term}" for term in (*_TERMS, "latent", "mode_seeking"))),
    rules.one_of("model.initializer", INITIALIZERS),
)


def check(config: ConfigDict) -> None:
    """Raise `InputError` for the first field whose value cannot work."""
    rules.check(config, _RULES)
    size, layers = tuple(config.data.image_size), config.model.content_discriminator_layers
    if min(size) < minimum_size(layers):
        fitting = max(n for n in range(layers) if min(size) >= minimum_size(n))  # 0 takes 16 px
        raise InputError(
            f"config.data.image_size is {size}, too small for the content discriminator of "
            f"{layers} layers, which takes {minimum_size(layers)} px; say "
            f"--config.model.content_discriminator_layers={fitting}, or take larger pictures"
        )
    multiscale.check(config)
