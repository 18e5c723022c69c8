"""Convolutions and their forms: results are the same, speed is not, and it depends on the device.

XLA's convolutions are made for TPUs and GPUs. On a CPU some of them are far from what the machine
can do, and other forms of the same sum are near it: `choose_form` says which, and what they gain.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ugatit_jax.models.winograd import convolve_doubled, convolve_tiles

PaddingMode = Literal["reflect", "constant"]
Form = Callable[[Array, Array], Array]  # of x [N, H, W, I] and kernel [h, w, I, O]


def pad(x: Array, padding: int | tuple[int, int], mode: PaddingMode) -> Array:
    """Pad x [N, H, W, C] by so many pixels, or (top and left, the rest); "constant" means zeros."""
    both = (padding, padding) if isinstance(padding, int) else padding
    return jnp.pad(x, ((0, 0), both, both, (0, 0)), mode=mode)


def precision_of(x: Array) -> jax.lax.Precision | None:
    """Return the precision of products that a type promises.

    Without it a TPU rounds float32 operands to bfloat16, and a GPU may to TensorFloat-32.
    """
    return None if x.dtype == jnp.bfloat16 else jax.lax.Precision.HIGHEST


def choose_form(height: int, width: int, kernel: tuple[int, ...], stride: int) -> Form:
    """Return the fastest form on a CPU for [h, w, I, O] = kernel and results of height × width.

    benchmarks/convolution.py measures all of them.
    """
    side, _, inputs, outputs = kernel
    plain = functools.partial(convolve_plainly, stride=stride)
    if not (isinstance(height, int) and isinstance(width, int)):  # traced for any size
        return plain
    pixels = height * width
    thin = min(inputs, outputs) <= 4
    if (side, stride) == (7, 1) and thin and height % 2 == width % 2 == 0:
        return _in_float32(convolve_blocks)
    if (side, stride) == (3, 1) and min(inputs, outputs) >= 32 and pixels >= 128:
        return _in_float32(functools.partial(convolve_tiles, tile=4))
    if (side, stride) == (4, 1) and outputs <= 4 < inputs:
        return _in_float32(_convolve_thin)
    if side == 4 and stride == 1 and not thin and pixels >= 128:
        return _in_float32(functools.partial(convolve_tiles, tile=3))
    if side == 4 and stride == 2 and pixels >= 256:
        return _in_float32(convolve_by_two)
    if side in (1, 4):
        return functools.partial(convolve_patches, stride=stride)
    return plain


def choose_backward_form(height: int, width: int, kernel: tuple[int, ...], stride: int) -> Form:
    """Return the form whose gradients are the fastest on a CPU: of large pictures another one.

    At 256 px and width 64, gradients of the layers that halve the sides take half of XLA's time.
    """
    side, _, inputs, _ = kernel
    known = isinstance(height, int) and isinstance(width, int)
    if known and (side, stride) == (3, 2) and height * width * inputs >= 2**19:
        return _in_float32(convolve_by_two)
    return choose_form(height, width, kernel, stride)


def _in_float32(form: Form) -> Form:
    """Return a form that computes in float32 at least: sums before products lose digits."""

    def widened(x: Array, kernel: Array) -> Array:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        return form(x.astype(wide), kernel.astype(wide)).astype(x.dtype)

    return widened


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve x [N, H, W, I] with kernel [h, w, I, O], without padding."""
    return _convolve(x, kernel, stride)


# Jitted, so that a layer's form is traced once for all layers of its shape.
@functools.partial(jax.jit, static_argnums=2)
def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    form, plain = _forms(choose_form, x, kernel, stride)
    return jax.lax.platform_dependent(x, kernel, cpu=form, default=plain)


def _forms(choose: Callable[..., Form], x: Array, kernel: Array, stride: int) -> tuple[Form, Form]:
    """Return a CPU's form, as one of the two functions above chooses it, and that of all others."""
    height, width = ((side - kernel.shape[0]) // stride + 1 for side in x.shape[1:3])
    plain = functools.partial(convolve_plainly, stride=stride)
    return choose(height, width, kernel.shape, stride), plain


def _pull_back(form: Form) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    return lambda x, kernel, g: jax.vjp(form, x, kernel)[1](g)


def _transpose(form: Form) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    def transpose(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        (of_x,) = jax.linear_transpose(lambda x: form(x, kernel), x)(g)
        (of_kernel,) = jax.linear_transpose(lambda kernel: form(x, kernel), kernel)(g)
        return of_x, of_kernel

    return transpose


def _forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    # Not by `convolve`, inside which rematerialisation would not see what it is to keep.
    return _convolve(x, kernel, stride), (x, kernel)


@functools.partial(jax.jit, static_argnums=0)
def _backward(stride: int, residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    form, plain = _forms(choose_backward_form, *residuals, stride)
    return jax.lax.platform_dependent(
        *residuals, g, cpu=_pull_back(form), default=_transpose(plain)
    )


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def upsample_and_convolve(x: Array, kernel: Array) -> Array:
    """Double x [N, H, W, I] (nearest neighbour), reflect-pad by 1, convolve with [3, 3, I, O]."""
    return _upsample_and_convolve(x, kernel)


@jax.jit
def _upsample_and_convolve(x: Array, kernel: Array) -> Array:
    form = _in_float32(convolve_doubled)
    return jax.lax.platform_dependent(x, kernel, cpu=form, default=double_plainly)


@jax.jit
def _backward_upsampled(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    form = _in_float32(convolve_doubled)
    return jax.lax.platform_dependent(
        *residuals, g, cpu=_pull_back(form), default=_transpose(double_plainly)
    )


upsample_and_convolve.defvjp(
    lambda x, kernel: (_upsample_and_convolve(x, kernel), (x, kernel)), _backward_upsampled
)


# --- Forms ----------------------------------------------------------------------------------------


def convolve_plainly(x: Array, kernel: Array, stride: int) -> Array:
    """Do what `convolve` does as XLA does it."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision_of(x),
    )


def double_plainly(x: Array, kernel: Array) -> Array:
    """Do what `upsample_and_convolve` says, word for word."""
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    return convolve_plainly(pad(doubled, 1, "reflect"), kernel, 1)


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


def convolve_by_two(x: Array, kernel: Array) -> Array:
    """Do what `convolve` does with stride 2 and a kernel of four or three pixels a side.

    With blocks of 2×2 pixels as channels it is one of stride 1 and 2×2 taps.
    """
    sides = (2 * ((side - kernel.shape[0]) // 2 + 2) for side in x.shape[1:3])
    x = _fit(x, *sides)
    missing = 4 - kernel.shape[0]
    kernel = jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    return convolve_tiles(_to_blocks(x), _kernel_to_blocks(kernel), 3)


def convolve_blocks(x: Array, kernel: Array) -> Array:
    """Do what `convolve` does with stride 1, a kernel of odd sides and a result of even sides.

    With blocks of 2×2 pixels as channels, both of the picture and of the result.
    """
    kernels = [
        _kernel_to_blocks(jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))))
        for i in (0, 1)
        for j in (0, 1)
    ]
    blocks = _convolve_thin(_to_blocks(x), jnp.concatenate(kernels, -1))
    batch, height, width, channels = blocks.shape
    pixels = blocks.reshape(batch, height, width, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    # Else XLA takes a normalisation's mean of the blocks, and 5 ms instead of 1 (256 px, width 64).
    return jax.lax.optimization_barrier(pixels.reshape(batch, 2 * height, 2 * width, channels // 4))


def _fit(x: Array, height: int, width: int) -> Array:
    """Crop x, or fill it with zeros, at the bottom and at the right."""
    x = x[:, :height, :width]
    return jnp.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)))


def _to_blocks(x: Array) -> Array:
    """Return [N, H/2, W/2, 4 C] for x [N, H, W, C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // 2, width // 2, 4 * channels)


def _kernel_to_blocks(kernel: Array) -> Array:
    """Return [h/2, w/2, 4 I, O] for kernel [h, w, I, O]."""
    height, width, inputs, outputs = kernel.shape
    blocks = _to_blocks(kernel.reshape(1, height, width, inputs * outputs))
    return blocks.reshape(height // 2, width // 2, 4 * inputs, outputs)


@jax.custom_vjp
def _convolve_thin(x: Array, kernel: Array) -> Array:
    """Do what `convolve` does with stride 1 and few channels on one side of the kernel.

    To few channels, the product with all taps comes first, and sums of its shifted parts then.
    """
    height, width, inputs, outputs = kernel.shape
    if inputs <= outputs:
        return convolve_plainly(x, kernel, 1)
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    products = x @ kernel.transpose(2, 0, 1, 3).reshape(inputs, -1)
    parts = [
        products[:, i : i + rows, j : j + columns, n * outputs : (n + 1) * outputs]
        for n, (i, j) in enumerate(np.ndindex(height, width))
    ]
    return functools.reduce(jnp.add, parts)


def _forward_thin(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolve_thin(x, kernel), (x, kernel)


def _backward_thin(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    height, width, inputs, outputs = kernel.shape
    padded = jnp.pad(g, ((0, 0), (height - 1,) * 2, (width - 1,) * 2, (0, 0)))
    if inputs <= outputs:
        transpose = jax.linear_transpose(lambda kernel: convolve_plainly(x, kernel, 1), kernel)
        return _convolve_thin(padded, kernel[::-1, ::-1].swapaxes(2, 3)), *transpose(g)
    shifted = [
        padded[:, height - 1 - i : height - 1 - i + x.shape[1], width - 1 - j :][:, :, : x.shape[2]]
        for i, j in np.ndindex(height, width)
    ]
    of_products = jnp.concatenate(shifted, -1)
    of_x = of_products @ kernel.transpose(0, 1, 3, 2).reshape(-1, inputs)
    of_kernel = jnp.einsum("nhwi,nhwo->io", x, of_products)
    return of_x, of_kernel.reshape(inputs, height, width, outputs).transpose(1, 2, 0, 3)


_convolve_thin.defvjp(_forward_thin, _backward_thin)


# --- Transposed convolutions ----------------------------------------------------------------------


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
        precision=precision_of(x),
    )


def convolve_doubling_by_parts(x: Array, kernel: Array) -> Array:
    """Do what `convolve_doubling` does as four convolutions, one per parity of row and column."""
    n, height, width, _ = x.shape

    def part(i: int, j: int) -> Array:
        """Return the rows 2y + i, columns 2x + j: each meets every other weight of the kernel."""
        near = jnp.pad(x, ((0, 0), (0, i), (0, j), (0, 0)))
        return convolve_plainly(near, kernel[1 - i :: 2, 1 - j :: 2], 1)

    rows = [jnp.stack([part(i, j) for j in (0, 1)], axis=3) for i in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, -1)
