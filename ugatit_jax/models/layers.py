"""Layers of the networks: convolutions, residual blocks, up-sampling, spectral norm."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from ugatit_jax.models import normalization
from ugatit_jax.models.conventions import Conventions
from ugatit_jax.models.convolution import (
    PaddingMode,
    convolve,
    convolve_doubling,
    pad,
    precision_of,
    upsample_and_convolve,
)

Initializer = Callable[..., Array]


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
    upsample: bool = False  # double the picture and mirror it by a pixel, in the place of padding
    use_bias: bool = False
    spectral_norm: bool = False
    kernel_init: Initializer = nn.initializers.normal(0.02)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, H', W', features], H' = (padded H - kernel_size) // stride + 1."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        sigma = spectral_sigma(self, kernel) if self.spectral_norm else None
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.upsample:
            x = upsample_and_convolve(x, kernel)
        else:
            x = convolve(pad(x, self.padding, self.padding_mode), kernel, self.stride)
        if sigma is not None:
            # Of the result, not of the kernel: 32 million weights are many more than the results
            # of a global discriminator's widest layer, and the gradient would read them again.
            x = (x / sigma).astype(self.dtype)
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
        precision = precision_of(x)
        x = jnp.matmul(
            x, kernel.astype(self.dtype), precision=precision, preferred_element_type=wide
        )
        if devices > 1:
            x = jax.lax.psum_scatter(x, axis, tiled=True)
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(wide)
        return x.astype(self.dtype)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    conv: Callable[..., nn.Module]
    conventions: Conventions
    norm: Callable[..., nn.Module] = normalization.InstanceNorm

    @nn.compact
    def __call__(self, x: Array, *style: Any) -> Array:
        """Return [N, H, W, C] for x [N, H, W, C]; style: what else the norm takes."""

        def normalize(y: Array, name: str) -> Array:
            return self.norm(self.conventions, name=name)(y, *style)

        features = x.shape[-1]
        y = self.conv(features, 3, padding=1, name="conv_0")(x)
        y = nn.relu(normalize(y, "norm_0"))
        y = self.conv(features, 3, padding=1, name="conv_1")(y)
        return x + normalize(y, "norm_1")


def apply_in_turn(
    module: nn.Module, block: nn.Module, name: str, times: int, x: Array, *others: Any
) -> Array:
    """Apply equal blocks with parameters of their own, NAME_0, NAME_1 and so on, one after another.

    In a loop, so that one of them is compiled and not all; but not on a CPU, where to fill and to
    copy what a loop keeps for its backward pass takes a twelfth of a step.

    Args:
      module: whose blocks they are; this is called in its `__call__`.
      block: of no module, without variables other than parameters.
      name: of the blocks in the module's parameters.
      times: how many there are.
      x: what goes through all of them, and keeps its shape.
      others: the blocks' other arguments, the same for all.
    """
    names = [f"{name}_{i}" for i in range(times)]
    if module.is_initializing():
        for each in names:
            x = block.clone(parent=module, name=each)(x, *others)
        return x
    params = module.variables["params"]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params[each] for each in names))

    def apply_one(x: Array, params: Any) -> tuple[Array, None]:
        return cast(Array, block.apply({"params": params}, x, *others)), None

    device = jax.sharding.get_abstract_mesh().abstract_device  # None outside of a mesh
    on_cpu = (jax.default_backend() if device is None else device.platform) == "cpu"
    with jax.named_scope(name):
        return jax.lax.scan(apply_one, x, stacked, unroll=on_cpu)[0]


class UpSample(nn.Module):
    """Nearest-neighbour ×2, convolution, LIN or what stands in its place, ReLU."""

    conv: Callable[..., nn.Module]
    conventions: Conventions
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return [N, 2H, 2W, features] for x [N, H, W, C]."""
        x = self.conv(self.features, 3, upsample=True, name="conv")(x)
        return nn.relu(normalization.DecoderNorm(self.conventions, name="norm")(x))


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


# N(0, sqrt(2 / fan_in)) (He et al., 2015), which keeps the size of what goes through ReLUs.
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
