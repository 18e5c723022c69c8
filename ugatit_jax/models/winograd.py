"""Convolutions with fewer multiplications: exact in exact arithmetic, and differentiable.

`convolve_tiles` is Winograd's minimal filtering (Lavin and Gray, 2016): tiles of the input and the
kernel are evaluated as polynomials at a few points, multiplied there, and interpolated.
`convolve_doubled` is the same idea for a kernel that slides over a doubled picture.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike


@dataclasses.dataclass(frozen=True, eq=False)
class Transforms:
    """What makes `out @ ((kernel @ k) * (data @ x))` the correlation of x [n] with k [taps].

    It has `tile` = n - taps + 1 elements. In two dimensions both axes are transformed.
    """

    data: np.ndarray  # [n, n]
    kernel: np.ndarray  # [n, taps]
    out: np.ndarray  # [tile, n]

    @property
    def tile(self) -> int:
        """Outputs per tile and axis."""
        return self.out.shape[0]

    @property
    def taps(self) -> int:
        """Length of the kernel along an axis."""
        return self.kernel.shape[1]

    @property
    def points(self) -> int:
        """Length of a tile of the input, and products per tile, along an axis."""
        return self.data.shape[0]


# Where polynomials are evaluated, besides at infinity. With these six, results in float32 are
# within 3e-6 of the largest; with 0, ±1, ±2, which is more usual, within 1e-5.
POINTS = {4: (0.0, 1.0, -1.0), 6: (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))}


@functools.cache
def transforms(tile: int, taps: int) -> Transforms:
    """Return the transforms of Toom and Cook; `tile + taps - 1` is 4 or 6."""
    finite = POINTS[tile + taps - 1]
    out = [[*(p**i for p in finite), float(i == tile - 1)] for i in range(tile)]
    kernel, data = [], []
    for point in finite:
        others = [p for p in finite if p != point]
        scale = np.prod([point - p for p in others])
        kernel.append([point**j / scale for j in range(taps)])
        data.append([*np.poly(others)[::-1], 0.0])
    kernel.append([0.0] * (taps - 1) + [1.0])
    data.append([*np.poly(finite)[::-1]])
    arrays: list[np.ndarray] = [np.array(rows) for rows in (data, kernel, out)]
    return Transforms(*(np.where(np.abs(x) < 1e-12, 0, x) for x in arrays))


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """Multiply a small constant matrix with a vector of arrays: elementwise, which XLA fuses.

    Where parts are every fourth pixel, to lay them out for a product of matrices takes two to six
    times as long on a CPU. Kernels and products lie right as they are: there a product takes half.
    """
    return [
        functools.reduce(
            jnp.add,
            (
                x if c == 1 else -x if c == -1 else c * x
                for c, x in zip(row, parts, strict=True)
                if c
            ),
        )
        for row in matrix.tolist()
    ]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_tiles(x: Array, kernel: Array, tile: int) -> Array:
    """Convolve x [N, H, W, I] with kernel [r, r, I, O], stride 1, without padding.

    tile: outputs per side that are computed together, by (tile + r - 1)² products of matrices.
    """
    t = transforms(tile, kernel.shape[0])
    height, width = (side - t.taps + 1 for side in x.shape[1:3])
    x = _fill_tiles(x, tile, t.taps - 1)
    products = jnp.matmul(_transform_data(t, x), _transform_kernel(t, kernel))
    rows, columns = -(-height // tile), -(-width // tile)
    return _transform_back(t, products, (x.shape[0], rows, columns))[:, :height, :width]


def _forward(x: Array, kernel: Array, tile: int) -> tuple[Array, tuple[Array, Array]]:
    return convolve_tiles(x, kernel, tile), (x, kernel)


def _backward(tile: int, residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Transpose every linear map by hand: XLA's transposes of slices with strides are slow."""
    x, kernel = residuals
    t = transforms(tile, kernel.shape[0])
    g = _fill_tiles(g, tile, 0)
    of_products = _transpose_back(t, g)
    of_data = jnp.einsum("pto,pio->pti", of_products, _transform_kernel(t, kernel))
    of_x = _transpose_data(t, of_data, (g.shape[0], g.shape[1] // tile, g.shape[2] // tile))
    data = _transform_data(t, _fill_tiles(x, tile, t.taps - 1))
    of_kernel = _transpose_kernel(t, jnp.einsum("pti,pto->pio", data, of_products))
    return of_x[:, : x.shape[1], : x.shape[2]], of_kernel


convolve_tiles.defvjp(_forward, _backward)


def _fill_tiles(x: Array, tile: int, overlap: int) -> Array:
    """Add zeros at the bottom and at the right, so that tiles cover x without its overlap."""
    missing = [-(side - overlap) % tile for side in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *((0, m) for m in missing), (0, 0)]) if any(missing) else x


def _transform_data(t: Transforms, x: Array) -> Array:
    """Return [points², tiles, C] for x [N, H, W, C]."""
    rows, columns = ((side - t.taps + 1) // t.tile for side in x.shape[1:3])
    return _transform_tiles(t.data, x, t.tile, (rows, columns))


def _transform_tiles(matrix: np.ndarray, x: Array, tile: int, count: tuple[int, int]) -> Array:
    """Transform both axes of the tiles that begin at every tile-th pixel of x [N, H, W, C].

    count: of rows and of columns of tiles. Returns [len(matrix)², tiles, C].
    """
    # Axis by axis: half the work, and less code. All rows of one tile lie side by side in between,
    # so that what they are made of is read once: a translation takes 3 % less.
    starts = range(matrix.shape[1])
    rows = [_every(x, 1, i, tile, count[0]) for i in starts]
    x = jnp.stack(_combine(matrix, rows), 2)
    columns = [_every(x, 3, j, tile, count[1]) for j in starts]
    x = jnp.stack(_combine(matrix, columns), 1)  # [N, column, rows, row, columns, C]
    return x.transpose(3, 1, 0, 2, 4, 5).reshape(len(matrix) ** 2, -1, x.shape[-1])


def _transpose_data(t: Transforms, y: Array, tiles: tuple[int, int, int]) -> Array:
    """Return [N, H, W, C], H = (rows + 1) tile, for y [points², tiles, C]."""
    y = y.reshape(t.points, t.points, *tiles, y.shape[-1])
    y = _overlap_tiles(t, _combine(t.data.T, [y[:, j] for j in range(t.points)]), 3)
    return _overlap_tiles(t, _combine(t.data.T, list(y)), 1)


def _overlap_tiles(t: Transforms, parts: list[Array], axis: int) -> Array:
    """Put element i of every tile, parts[i], in its place, adding where tiles overlap.

    The tiles are counted along `axis` of all parts.
    """

    own, beyond = parts[: t.tile], parts[t.tile :]
    beyond += [jnp.zeros_like(parts[0])] * (t.tile - len(beyond))

    def pad(x: Array, before: int, after: int) -> Array:
        return jnp.pad(x, [(0, 0)] * axis + [(before, after)] + [(0, 0)] * (x.ndim - 1 - axis))

    # Two fillings for all elements, not one for each: XLA writes and reads each of them.
    return pad(_interleave(own, axis), 0, t.tile) + pad(_interleave(beyond, axis), t.tile, 0)


def _transform_kernel(t: Transforms, kernel: Array) -> Array:
    """Return [points², I, O] for kernel [taps, taps, I, O]."""
    both = _of_both_axes(t.kernel, kernel.dtype) @ kernel.reshape(t.taps**2, -1)
    return both.reshape(t.points**2, *kernel.shape[2:])


def _transpose_kernel(t: Transforms, y: Array) -> Array:
    """Return [taps, taps, I, O] for y [points², I, O]."""
    both = _of_both_axes(t.kernel, y.dtype).T @ y.reshape(t.points**2, -1)
    return both.reshape(t.taps, t.taps, *y.shape[1:])


def _transform_back(t: Transforms, y: Array, tiles: tuple[int, int, int]) -> Array:
    """Return [N, rows tile, columns tile, O] for the products y [points², tiles, O]."""
    batch, rows, columns = tiles
    both = _of_both_axes(t.out, y.dtype) @ y.reshape(t.points**2, -1)
    pixels = both.reshape(t.tile, t.tile, *tiles, y.shape[-1]).transpose(2, 3, 0, 4, 1, 5)
    return pixels.reshape(batch, rows * t.tile, columns * t.tile, y.shape[-1])


def _of_both_axes(matrix: np.ndarray, dtype: DTypeLike) -> Array:
    """Return the matrix that transforms both axes, of arrays that begin with them, in one go."""
    return jnp.asarray(np.kron(matrix, matrix), dtype)


def _transpose_back(t: Transforms, g: Array) -> Array:
    """Return [points², tiles, O] for g [N, rows tile, columns tile, O]."""
    rows, columns = (side // t.tile for side in g.shape[1:3])
    return _transform_tiles(t.out.T, g, t.tile, (rows, columns))


def _every(x: Array, axis: int, start: int, stride: int, count: int) -> Array:
    """Return x[start], x[start + stride], … along an axis, `count` of them."""
    stop = start + stride * (count - 1) + 1
    return jax.lax.slice_in_dim(x, start, stop, stride, axis)


def _interleave(parts: Sequence[Array], axis: int) -> Array:
    """Return parts[0][0], parts[1][0], …, parts[0][1], … along an axis."""
    shape = list(parts[0].shape)
    shape[axis] *= len(parts)
    return jnp.stack(parts, axis + 1).reshape(shape)


# --- Doubled pictures -----------------------------------------------------------------------------
# Along one axis, with x doubled, mirrored by one pixel (its first is then there three times) and
# convolved with (k0, k1, k2), the outputs 2j and 2j + 1 are
#     k0 x[j-1] + (k1 + k2) x[j]  =  k0 (x[j-1] - x[j]) + (k0 + k1 + k2) x[j]
#     (k0 + k1) x[j] + k2 x[j+1]  =  -k2 (x[j] - x[j+1]) + (k0 + k1 + k2) x[j]
# with the border repeated: three products where there were six, and in two dimensions 9 for 36.


@jax.custom_vjp
def convolve_doubled(x: Array, kernel: Array) -> Array:
    """Double x [N, H, W, I], mirror it by a pixel, convolve with kernel [3, 3, I, O].

    Returns [N, 2H, 2W, O].
    """
    height, width, features = x.shape[1], x.shape[2], kernel.shape[3]
    plain, across, down, both = (
        d @ k for d, k in zip(_differences(x), _split_kernel(kernel), strict=True)
    )

    def at(i: int, j: int) -> Array:
        def channels(y: Array, n: int) -> Array:
            return y[..., n * features : (n + 1) * features]

        return (
            plain
            + channels(across, j)[:, :, j : j + width]
            + channels(down, i)[:, i : i + height]
            + channels(both, 2 * i + j)[:, i : i + height, j : j + width]
        )

    return _interleave([_interleave([at(i, 0), at(i, 1)], 2) for i in (0, 1)], 1)


def _forward_doubled(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return convolve_doubled(x, kernel), (x, kernel)


def _backward_doubled(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    gradients = _spread(g)
    of_differences = [d @ k.T for d, k in zip(gradients, _split_kernel(kernel), strict=True)]
    of_kernels = tuple(
        jnp.einsum("nhwi,nhwo->io", d, g) for d, g in zip(_differences(x), gradients, strict=True)
    )
    (of_x,) = jax.linear_transpose(_differences, x)(tuple(of_differences))
    (of_kernel,) = jax.linear_transpose(_split_kernel, kernel)(of_kernels)
    return of_x, of_kernel


convolve_doubled.defvjp(_forward_doubled, _backward_doubled)


def _differences(x: Array) -> tuple[Array, ...]:
    """Return x and its differences across, down and both, which are 0 at and beyond the border."""

    def along(x: Array, axis: int) -> Array:
        padding: list[Any] = [(0, 0)] * 4
        padding[axis] = (1, 1)
        return jnp.pad(-jnp.diff(x, axis=axis), padding)

    down = along(x, 1)
    return x, along(x, 2), down, along(down, 2)


def _split_kernel(kernel: Array) -> tuple[Array, ...]:
    """Return what x and its three differences are multiplied with: [I, O, 2 O, 2 O and 4 O]."""
    kernel_rows = (kernel.sum(0), kernel[0], -kernel[2])
    (plain, *across), *others = [(row.sum(0), row[0], -row[2]) for row in kernel_rows]
    down = [row[0] for row in others]
    both = [part for row in others for part in row[1:]]
    return plain, *(jnp.concatenate(parts, -1) for parts in (across, down, both))


def _spread(g: Array) -> tuple[Array, ...]:
    """Return the gradients of the four products of `convolve_doubled`."""
    at = [[g[:, i::2, j::2] for j in (0, 1)] for i in (0, 1)]

    def shift(x: Array, axis: int, pixels: int) -> Array:
        padding: list[Any] = [(0, 0)] * 4
        padding[axis] = (pixels, 1 - pixels)
        return jnp.pad(x, padding)

    across = [shift(at[0][j] + at[1][j], 2, j) for j in (0, 1)]
    down = [shift(at[i][0] + at[i][1], 1, i) for i in (0, 1)]
    both = [shift(shift(at[i][j], 1, i), 2, j) for i in (0, 1) for j in (0, 1)]
    plain = at[0][0] + at[0][1] + at[1][0] + at[1][1]
    return plain, *(jnp.concatenate(parts, -1) for parts in (across, down, both))
