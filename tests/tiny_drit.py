"""DRIT with networks of a dense layer each: its steps without what takes them long to compile."""

from typing import Any, Self

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from ugatit_jax.methods.drit import DRIT
from ugatit_jax.methods.drit_fields import FIELDS, VARIANTS
from ugatit_jax.methods.drit_networks import Networks
from ugatit_jax.models.disentanglement import Gaussian

__all__ = ["FIELDS", "VARIANTS", "TinyDRIT"]


class Content(nn.Module):
    base_width: int = 2

    @nn.compact
    def __call__(self, x: Array) -> Array:
        n, height, width, _ = x.shape
        blocks = x.reshape(n, height // 4, 4, width // 4, 4, 3).swapaxes(2, 3)
        return nn.Dense(4 * self.base_width)(blocks.reshape(n, height // 4, width // 4, 48))


class Attributes(nn.Module):
    style_size: int

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        found = nn.Dense(2 * self.style_size)(jnp.square(x).mean((1, 2)))
        return Gaussian(*jnp.split(found, 2, -1))


class Shared(nn.Module):
    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x + nn.Dense(x.shape[-1])(nn.relu(x))


class Pictures(nn.Module):
    @nn.compact
    def __call__(self, x: Array, styles: Array) -> Array:
        n, height, width, _ = x.shape
        x = nn.Dense(48)(x) * (1 + nn.Dense(48)(styles)[:, None, None])
        blocks = x.reshape(n, height, width, 4, 4, 3).swapaxes(2, 3)
        return jnp.tanh(blocks.reshape(n, 4 * height, 4 * width, 3))


class Judge(nn.Module):
    scales: int

    @nn.compact
    def __call__(self, x: Array) -> Any:
        logits = [nn.Dense(1)(nn.relu(nn.Dense(4)(x)))[..., 0] for _ in range(self.scales)]
        return tuple(logits) if self.scales > 1 else logits[0]


class TinyDRIT(DRIT):
    @classmethod
    def from_config(cls, config: ConfigDict, mapped: bool = False) -> Self:
        size, (height, width) = config.model.style_size, config.data.image_size
        networks: Any = (Content(), Attributes(size), Shared(), Pictures(), Judge(2), Judge(1))
        return cls(Networks(*networks), config.loss, (height, width), size)
