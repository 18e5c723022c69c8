"""Layers of both networks: convolution, residual blocks, up-sampling, spectral norm."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models import normalization
from ugatit_jax.models.conventions import Conventions

Initializer = Callable[..., Array]


def reflect_pad(x: Array, padding: int | tuple[int, int]) -> Array:
    """Mirror x [N, H, W, C] at its borders, so many pixels wide, or (top and left, the rest)."""
    both = (padding, padding) if isinstance(padding, int) else padding
    return jnp.pad(x, ((0, 0), both, both, (0, 0)), mode="reflect")


def convolve(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve x [N, H, W, I] with kernel [h, w, I, O], without padding."""
    if kernel.shape[0] != 4:
        return _convolve_directly(x, kernel, stride)
    # XLA's gradient of the discriminators' 4×4 convolutions is slow on a CPU. As a matrix product
    # they take a fifth off the whole step at width 16; on other devices they stay what they are.
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(convolve_patches, stride=stride),
        default=functools.partial(_convolve_directly, stride=stride),
    )


def _convolve_directly(x: Array, kernel: Array, stride: int) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_patches(x: Array, kernel: Array, stride: int) -> Array:
    """Do what `convolve` does by copying every patch of x into a row of a matrix."""
    height, width, _, features = kernel.shape
    rows, columns = (x.shape[1] - height) // stride + 1, (x.shape[2] - width) // stride + 1
    patches = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, features)


class Conv(nn.Module):
    """Reflect-padded convolution, optionally with spectral normalisation.

    Parameters are `kernel` [h, w, in, out] and `bias` [out]. With spectral_norm the collection
    'spectral' holds the estimates `u` and `v` of the kernel's first singular vectors.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    use_bias: bool = False
    spectral_norm: bool = False
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, H', W', features], H' = (padded H - kernel_size) // stride + 1."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.spectral_norm:
            kernel = kernel / spectral_sigma(self, kernel)
        x = reflect_pad(x.astype(self.dtype), self.padding)
        x = convolve(x, kernel.astype(self.dtype), self.stride)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(self.dtype)
        return x


class RowParallelDense(nn.Module):
    """A dense layer whose kernel's rows may lie on several devices (row parallelism, Megatron-LM).

    Parameters are `kernel` [in, features] and `bias` [features]. Where it is applied inside a
    mapped axis, `split_over`, each device holds its share of the kernel's rows and has pictures of
    its own. All pictures' features go to where their rows are, and the partial sums go back: the
    2 MB of a picture at 256 px, instead of gradients or rows of a gigabyte.
    """

    features: int
    use_bias: bool
    kernel_init: Initializer
    dtype: DTypeLike
    split_over: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, features] for x [N, in]; N is this device's number of pictures."""
        axis = self.split_over
        devices = 1 if axis is None else jax.lax.axis_size(axis)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1] // devices, self.features))
        x = x.astype(self.dtype)
        if devices > 1:
            x = jax.lax.all_to_all(x, axis, split_axis=1, concat_axis=0, tiled=True)
        wide = jnp.promote_types(self.dtype, jnp.float32)  # what a product accumulates in, anyway
        x = jnp.matmul(x, kernel.astype(self.dtype), preferred_element_type=wide)
        if devices > 1:
            x = jax.lax.psum_scatter(x, axis, tiled=True)
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(wide)
        return x.astype(self.dtype)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), with AdaLIN where there is a style to adapt to."""

    conv: Callable[..., nn.Module]
    conventions: Conventions

    @nn.compact
    def __call__(self, x: Array, style: tuple[Array, Array] | None = None) -> Array:
        """Return [N, H, W, C] for x [N, H, W, C]; style is AdaLIN's gamma and beta, both [N, C]."""

        def normalize(y: Array, name: str) -> Array:
            if style is None:
                return normalization.InstanceNorm(self.conventions, name=name)(y)
            return normalization.AdaLIN(self.conventions, name=name)(y, *style)

        features = x.shape[-1]
        y = self.conv(features, 3, padding=1, name="conv_0")(x)
        y = nn.relu(normalize(y, "norm_0"))
        y = self.conv(features, 3, padding=1, name="conv_1")(y)
        return x + normalize(y, "norm_1")


class UpSample(nn.Module):
    """Nearest-neighbour ×2, convolution, LIN, ReLU."""

    conv: Callable[..., nn.Module]
    conventions: Conventions
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, 2H, 2W, features] for x [N, H, W, C]."""
        x = x.repeat(2, axis=1).repeat(2, axis=2)
        x = self.conv(self.features, 3, padding=1, name="conv")(x)
        return nn.relu(normalization.LIN(self.conventions, name="norm")(x))


# --- Spectral normalisation (Miyato et al., 2018) ---------------------------------------------
# The forward pass only reads u and v. They move in `power_iteration`, which the training step
# calls where it means to: explicit, pure, and one call serves any number of forward passes.


def spectral_sigma(module: nn.Module, kernel: Array) -> Array:
    """Return u·Wv, the estimate of the kernel's largest singular value, W = kernel as a matrix.

    u and v are constants: the gradient flows through W alone.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    v, u = (
        module.variable("spectral", name, _unit_vector, module, size).value
        for name, size in zip(("v", "u"), matrix.shape, strict=True)
    )
    return v @ matrix @ u


def power_iteration(params: Mapping[str, Any], spectral: Mapping[str, Any]) -> dict[str, Any]:
    """Return 'spectral' after one power iteration of every layer: v ← Wᵀu, u ← Wv, normalised.

    Args:
      params: the network's parameters.
      spectral: its 'spectral' collection, {layer: … {'u': [out], 'v': [in]}}.
    """
    if "u" not in spectral:
        return {name: power_iteration(params[name], spectral[name]) for name in spectral}
    matrix = jax.lax.stop_gradient(params["kernel"])
    matrix = matrix.reshape(-1, matrix.shape[-1])
    v = _normalize(matrix @ spectral["u"])
    return {"u": _normalize(v @ matrix), "v": v}


def _normalize(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)


def _unit_vector(module: nn.Module, size: int) -> Array:
    return _normalize(jax.random.normal(module.make_rng("params"), (size,)))


def fan_in_uniform(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """Draw a kernel [..., in, out] from U(±1/sqrt(fan_in)), PyTorch's default."""
    fan_in = 1
    for size in shape[:-1]:
        fan_in *= size
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0) / jnp.sqrt(fan_in).astype(dtype)
