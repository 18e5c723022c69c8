"""Inception-v3 as FID and KID use it: TensorFlow's network of 2015-12-05, up to its last pooling.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision". The released graph
deviates: average pooling leaves the padding out, and the last block pools by maximum.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugatit_jax.metrics.batch_norm import fold

NAME = "inception-v3"
DIMENSION = 2048
SIZE = 299  # px
PREPROCESSING = "299 × 299 px, bilinear without antialiasing as in TensorFlow 1, (x − 128) / 128"


def preprocess(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [h, w, 3] as the network takes it: float32 [299, 299, 3] in [-1, 1)."""
    return (resize(picture, SIZE) - 128) / 128


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """Scale [h, w, 3] to float32 [size, size, 3] as TensorFlow 1's `resize_bilinear` does.

    Pixel i of the result lies at i · h/size in the picture, and mixes the two pixels around it, no
    matter how many more it stands for.
    """
    low, high, weight = _neighbours(picture.shape[0], size)
    left, right, across = _neighbours(picture.shape[1], size)
    rows = picture[np.stack([low, high])].astype(np.float32)
    rows = _mix(rows[:, :, left], rows[:, :, right], across[:, None])
    return _mix(rows[0], rows[1], weight[:, None, None])


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` positions: the pixels before and after it, and the share of the second."""
    position = np.arange(size, dtype=np.float32) * np.float32(length / size)
    before = position.astype(np.int64)
    return before, np.minimum(before + 1, length - 1), position - before.astype(np.float32)


def _mix(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> np.ndarray:
    return x + (y - x) * share


class InceptionV3(nn.Module):
    """The network: float32 [N, 299, 299, 3] from `preprocess` to features [N, 2048]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the features, as in `pool_3` of the TensorFlow graph."""
        x = Conv(32, (3, 3), 2, name="Conv2d_1a_3x3")(x)
        x = Conv(32, (3, 3), padding="VALID", name="Conv2d_2a_3x3")(x)
        x = Conv(64, (3, 3), name="Conv2d_2b_3x3")(x)
        x = _reduce(x)
        x = Conv(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = Conv(192, (3, 3), padding="VALID", name="Conv2d_4a_3x3")(x)
        x = _reduce(x)
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pooled, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, inner in (
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ):
            x = BlockC(inner, name=name)(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(name="Mixed_7b")(x)
        x = BlockE(pool_by_maximum=True, name="Mixed_7c")(x)
        return x.mean((1, 2))


class Conv(nn.Module):
    """Convolution with its normalisation folded in, and ReLU; 'VALID' where it has a stride."""

    features: int
    size: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, h, w, c] to [N, h', w', features]."""
        x = nn.Conv(
            self.features,
            self.size,
            self.stride,
            "VALID" if self.stride > 1 else self.padding,
            precision="highest",
            name="conv",
        )(x)
        return nn.relu(x)


class BlockA(nn.Module):
    """35 × 35 px: up to a 5 × 5 convolution beside a pair of 3 × 3."""

    pooled: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, 35, 35, c] to [N, 35, 35, 224 + pooled]."""
        five = Conv(48, (1, 1), name="branch5x5_1")(x)
        three = Conv(64, (1, 1), name="branch3x3dbl_1")(x)
        three = Conv(96, (3, 3), name="branch3x3dbl_2")(three)
        branches = [
            Conv(64, (1, 1), name="branch1x1")(x),
            Conv(64, (5, 5), name="branch5x5_2")(five),
            Conv(96, (3, 3), name="branch3x3dbl_3")(three),
            Conv(self.pooled, (1, 1), name="branch_pool")(_average(x)),
        ]
        return jnp.concatenate(branches, -1)


class BlockB(nn.Module):
    """From 35 × 35 to 17 × 17 px."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, 35, 35, 288] to [N, 17, 17, 768]."""
        twice = Conv(64, (1, 1), name="branch3x3dbl_1")(x)
        twice = Conv(96, (3, 3), name="branch3x3dbl_2")(twice)
        branches = [
            Conv(384, (3, 3), 2, name="branch3x3")(x),
            Conv(96, (3, 3), 2, name="branch3x3dbl_3")(twice),
            _reduce(x),
        ]
        return jnp.concatenate(branches, -1)


class BlockC(nn.Module):
    """17 × 17 px: 7 × 7 convolutions, each as a row and a column."""

    inner: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, 17, 17, 768] to the same shape."""
        once = Conv(self.inner, (1, 1), name="branch7x7_1")(x)
        once = Conv(self.inner, (1, 7), name="branch7x7_2")(once)
        twice = Conv(self.inner, (1, 1), name="branch7x7dbl_1")(x)
        twice = Conv(self.inner, (7, 1), name="branch7x7dbl_2")(twice)
        twice = Conv(self.inner, (1, 7), name="branch7x7dbl_3")(twice)
        twice = Conv(self.inner, (7, 1), name="branch7x7dbl_4")(twice)
        branches = [
            Conv(192, (1, 1), name="branch1x1")(x),
            Conv(192, (7, 1), name="branch7x7_3")(once),
            Conv(192, (1, 7), name="branch7x7dbl_5")(twice),
            Conv(192, (1, 1), name="branch_pool")(_average(x)),
        ]
        return jnp.concatenate(branches, -1)


class BlockD(nn.Module):
    """From 17 × 17 to 8 × 8 px."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, 17, 17, 768] to [N, 8, 8, 1280]."""
        three = Conv(192, (1, 1), name="branch3x3_1")(x)
        seven = Conv(192, (1, 1), name="branch7x7x3_1")(x)
        seven = Conv(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = Conv(192, (7, 1), name="branch7x7x3_3")(seven)
        branches = [
            Conv(320, (3, 3), 2, name="branch3x3_2")(three),
            Conv(192, (3, 3), 2, name="branch7x7x3_4")(seven),
            _reduce(x),
        ]
        return jnp.concatenate(branches, -1)


class BlockE(nn.Module):
    """8 × 8 px: rows and columns side by side."""

    pool_by_maximum: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, 8, 8, c] to [N, 8, 8, 2048]."""
        once = Conv(384, (1, 1), name="branch3x3_1")(x)
        twice = Conv(448, (1, 1), name="branch3x3dbl_1")(x)
        twice = Conv(384, (3, 3), name="branch3x3dbl_2")(twice)
        pooled = nn.max_pool(x, (3, 3), (1, 1), "SAME") if self.pool_by_maximum else _average(x)
        branches = [
            Conv(320, (1, 1), name="branch1x1")(x),
            Conv(384, (1, 3), name="branch3x3_2a")(once),
            Conv(384, (3, 1), name="branch3x3_2b")(once),
            Conv(384, (1, 3), name="branch3x3dbl_3a")(twice),
            Conv(384, (3, 1), name="branch3x3dbl_3b")(twice),
            Conv(192, (1, 1), name="branch_pool")(pooled),
        ]
        return jnp.concatenate(branches, -1)


def _reduce(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _average(x: jax.Array) -> jax.Array:
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def params_from_state_dict(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The parameters of `InceptionV3` from pytorch-fid's (or torch-fidelity's) state_dict.

    Raises `KeyError` if normalisations are missing in it.
    """
    params: dict[str, Any] = {}
    for key in state_dict:
        if key.endswith(".conv.weight"):
            path = key.removesuffix(".conv.weight")
            module = params
            for name in path.split("."):
                module = module.setdefault(name, {})
            module["conv"] = fold(state_dict, f"{path}.conv", f"{path}.bn")
    return params
