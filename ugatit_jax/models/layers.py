"""Layers of the networks: convolutions, residual blocks, up-sampling, spectral norm."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models import normalization
from ugatit_jax.models.conventions import Conventions

Initializer = Callable[..., Array]
PaddingMode = Literal["reflect", "constant"]


def pad(x: Array, padding: int | tuple[int, int], mode: PaddingMode) -> Array:
    """Pad x [N, H, W, C] by so many pixels, or (top and left, the rest); "constant" means zeros."""
    both = (padding, padding) if isinstance(padding, int) else padding
    return jnp.pad(x, ((0, 0), both, both, (0, 0)), mode=mode)


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


def convolve_doubling(x: Array, kernel: Array) -> Array:
    """Return [N, 2H, 2W, O], x [N, H, W, I] convolved transposed with kernel [3, 3, I, O].

    Row and column 2i of the result lie on i of x, under the kernel's middle, and 2i + 1 between i
    and i + 1; beyond the last are zeros. So it is PyTorch's transposed convolution of stride 2,
    padding 1 and output padding 1, with the kernel turned by 180°.
    """
    # On a CPU, XLA's gradient for the kernel is slow where the input has holes. Without them the
    # gradient of CycleGAN's generator at 256 px takes 6.8 s instead of 13.3 s on two cores.
    return jax.lax.platform_dependent(
        x, kernel, cpu=convolve_doubling_by_parts, default=convolve_doubling_dilated
    )


def convolve_doubling_dilated(x: Array, kernel: Array) -> Array:
    """Do what `convolve_doubling` does as one convolution of x with holes between its pixels."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        ((1, 2), (1, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def convolve_doubling_by_parts(x: Array, kernel: Array) -> Array:
    """Do what `convolve_doubling` does as four convolutions, one per parity of row and column."""
    n, height, width, _ = x.shape

    def part(i: int, j: int) -> Array:
        """Return the rows 2y + i, columns 2x + j: each meets every other weight of the kernel."""
        near = jnp.pad(x, ((0, 0), (0, i), (0, j), (0, 0)))
        return _convolve_directly(near, kernel[1 - i :: 2, 1 - j :: 2], 1)

    rows = [jnp.stack([part(i, j) for j in (0, 1)], axis=3) for i in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, -1)


class Conv(nn.Module):
    """Padded convolution, optionally with spectral normalisation.

    Parameters are `kernel` [h, w, in, out] and `bias` [out]. With spectral_norm the collection
    'spectral' holds the estimates `u` and `v` of the kernel's first singular vectors.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int | tuple[int, int] = 0
    padding_mode: PaddingMode = "reflect"
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
        x = pad(x.astype(self.dtype), self.padding, self.padding_mode)
        x = convolve(x, kernel.astype(self.dtype), self.stride)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(self.dtype)
        return x


class DoublingConv(nn.Module):
    """Transposed 3×3 convolution of stride 2, which doubles the sides (`convolve_doubling`).

    Parameters are `kernel` [3, 3, in, out] and `bias` [out].
    """

    features: int
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, 2H, 2W, features] for x [N, H, W, C]."""
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = convolve_doubling(x.astype(self.dtype), kernel.astype(self.dtype))
        return x + bias.astype(self.dtype)


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
