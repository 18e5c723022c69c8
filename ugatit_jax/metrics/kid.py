"""Kernel inception distance: how far the features of two sets of pictures lie apart.

KID is the squared maximum mean discrepancy (MMD²) under the kernel k(x, y) = (x·y / d + 1)³, with
d the dimension of the features (Bińkowski et al. 2018, "Demystifying MMD GANs"). Every estimate
here is unbiased: it can be slightly negative where the sets are much alike. Papers print KID × 100.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ugatit_jax.console.errors import InputError

SUBSET_SIZE = 1000
BLOCK_SIZE = 10

_TILE = 1024  # rows of the kernel matrix computed at a time: big enough for a fast product


@dataclass(frozen=True)
class KID:
    """KID as the mean over random subsets.

    std: population standard deviation over the subsets. It tells how far single subsets of this
    size scatter, and is not the error of the mean.
    """

    mean: float
    std: float
    subsets: int
    subset_size: int


@dataclass(frozen=True)
class BlockKID:
    """KID as the mean over disjoint blocks, and its standard error: NaN for a single block."""

    mean: float
    standard_error: float
    blocks: int


@dataclass(frozen=True)
class Combined:
    """A weighted sum of two KIDs, and the same sum of their standard errors."""

    value: float
    spread: float


@dataclass(frozen=True)
class MeanKID:
    """What U-GAT-IT's authors report as KID: see `mean_kid`."""

    mean_kid: Combined
    weighted_mean_kid: Combined


def halves(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two halves of a set of features, [n, d], drawn at random, in the set's order."""
    order = np.random.RandomState(0).permutation(len(features))
    half, other = (features[np.sort(part)] for part in np.array_split(order, 2))
    return half, other


def kid(
    x: np.ndarray,
    y: np.ndarray,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 2020,
) -> KID:
    """Return the KID of two sets of features, [n, d] and [m, d], over random subsets.

    subset_size: pictures that each subset draws from either side. Default: 1,000; where a side has
    fewer, half of the smaller side, so that the subsets differ.

    Draws the subsets of torch-fidelity: for a subset size and a seed the score is its score. The
    computation is in float64, whatever the features are in. Raises `InputError` for fewer than 2
    pictures on a side, features that are not finite, and subsets that cannot be drawn.
    """
    x, y = check_features(x, y)
    smaller = min(len(x), len(y))
    if subset_size is None:
        subset_size = SUBSET_SIZE if smaller >= SUBSET_SIZE else max(2, smaller // 2)
    if not 2 <= subset_size <= smaller:
        raise InputError(
            f"a subset size of {subset_size} does not suit sets of {len(x)} and {len(y)} pictures: "
            f"take 2 to {smaller}"
        )
    if subsets < 1:
        raise InputError(f"{subsets} subsets make no KID: take 1 or more")
    drawn = _draw_subsets(len(x), len(y), subsets, subset_size, seed)
    scores = _subset_scores(x, y, *drawn, subset_size)
    return KID(float(scores.mean()), float(scores.std()), subsets, subset_size)


def block_kid(x: np.ndarray, y: np.ndarray) -> BlockKID:
    """Return the KID of two sets of features, [n, d] and [m, d], over blocks of about 10 pictures.

    The estimator of Bińkowski et al. (2018) as U-GAT-IT's authors use it: pictures in their given
    order, in ceil(max(n, m) / 10) blocks per side, of sizes as even as possible, the larger ones
    last. Raises `InputError` for features that are not finite, and where a block would have fewer
    than 2 pictures of a side.
    """
    x, y = check_features(x, y)
    blocks = math.ceil(max(len(x), len(y)) / BLOCK_SIZE)
    if min(len(x), len(y)) < 2 * blocks:
        raise InputError(
            f"{blocks} blocks of {len(x)} and {len(y)} pictures leave fewer than 2 of a side in "
            f"one: the smaller set needs {2 * blocks} or more"
        )
    pairs = zip(_split(x, blocks), _split(y, blocks), strict=True)
    scores = np.array([_block_mmd2(block_x, block_y) for block_x, block_y in pairs])
    error = scores.std(ddof=1) / math.sqrt(blocks) if blocks > 1 else math.nan
    return BlockKID(float(scores.mean()), float(error), blocks)


def mean_kid(translated: np.ndarray, target: np.ndarray, source: np.ndarray) -> MeanKID:
    """Return the two scores that U-GAT-IT's authors computed, from features [n, d] of each set.

    mean_kid: (KID(translated, target) + KID(translated, source)) / 2, which the paper reports.
    weighted_mean_kid: (0.02 · KID(translated, target) + 0.98 · KID(translated, source)) / 2, of a
    later version of their code.

    Neither is the KID to the target domain, and neither is a goal: pictures left as they were score
    well, as their KID to the source is 0 in truth, and estimated below 0 where both sets are in the
    same order (a block then meets itself). Both are over blocks, with the same combination of the
    two standard errors as spread. Raises as `block_kid`.
    """
    to_target, to_source = block_kid(translated, target), block_kid(translated, source)

    def combine(weight_target: float, weight_source: float) -> Combined:
        return Combined(
            weight_target * to_target.mean + weight_source * to_source.mean,
            weight_target * to_target.standard_error + weight_source * to_source.standard_error,
        )

    return MeanKID(combine(0.5, 0.5), combine(0.01, 0.49))


def check_features(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features that can be compared, both in float32 or both in float64.

    Raises `InputError` for fewer than 2 pictures in a set and for features that are not finite,
    `ValueError` for shapes other than [n, d] and [m, d].
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or x.shape[1] == 0:
        raise ValueError(f"features of shapes {x.shape} and {y.shape}: give [n, d] and [m, d]")
    for name, features in (("first", x), ("second", y)):
        if len(features) < 2:
            raise InputError(
                f"the {name} set to compare has too few pictures, {len(features)}: give 2 or more"
            )
        if not np.isfinite(features).all():
            i = int(np.argmin(np.isfinite(features).all(axis=1)))
            raise InputError(
                f"the {name} set to compare has features that are not finite, those of picture "
                f"{i + 1} of {len(features)}: leave it out, or repair the feature network's weights"
            )
    dtype = np.result_type(x, y, np.float32)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False)


def _subset_scores(
    x: np.ndarray, y: np.ndarray, drawn_x: np.ndarray, drawn_y: np.ndarray, size: int
) -> np.ndarray:
    """Return the MMD² of each subset, [subsets]; drawn_x, drawn_y: bool [subsets, n or m]."""
    # Even tiles, so that padding adds little.
    larger = max(len(x), len(y))
    tile = math.ceil(larger / math.ceil(larger / _TILE))
    features = np.concatenate([_pad(side, tile) for side in (x, y)])
    drawn = np.concatenate([_pad(side.T, tile) for side in (drawn_x, drawn_y)])
    tiles = len(features) // tile
    first, second = np.triu_indices(tiles)
    weights = _weights(first, second, math.ceil(len(x) / tile), size)
    with jax.enable_x64(True), _float64_device():
        scores = _mmd2(
            features.reshape(tiles, tile, -1),
            drawn.reshape(tiles, tile, -1),
            first,
            second,
            weights,
            1 / (size * (size - 1)),
        )
        return np.asarray(scores)


@jax.jit
def _mmd2(
    features: Array, drawn: Array, first: Array, second: Array, weights: Array, weight_self: float
) -> Array:
    """Return the unbiased MMD² of each subset, [subsets].

    features: [tiles, tile, d], those of x before those of y. drawn: bool [tiles, tile, subsets],
    whether a subset has a picture; never padding. first, second, weights: pairs of tiles, and what
    the sum of kernels between the two counts. weight_self: what k(x, x) counts, which no pair of
    different pictures contains and the tiles on the diagonal do.
    """
    # The subsets overlap: the kernel matrix of all pictures costs less than one per subset as long
    # as both sides have fewer than √subsets · subset_size pictures. Tile by tile it fits anywhere.
    dimension = features.shape[-1]

    def add(total: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, None]:
        i, j, weight = pair
        x, y = features[i].astype(jnp.float64), features[j].astype(jnp.float64)
        kernel = (x @ y.T / dimension + 1) ** 3
        sums = (kernel @ drawn[j].astype(jnp.float64) * drawn[i]).sum(0)
        return total + weight * sums, None

    def add_self(total: Array, tile: tuple[Array, Array]) -> tuple[Array, None]:
        x, selected = tile
        squares = jnp.square(x.astype(jnp.float64)).sum(1)
        return total + ((squares / dimension + 1) ** 3) @ selected.astype(jnp.float64), None

    zeros = jnp.zeros(drawn.shape[-1], jnp.float64)
    between, _ = jax.lax.scan(add, zeros, (first, second, weights))
    themselves, _ = jax.lax.scan(add_self, zeros, (features, drawn))
    return between - weight_self * themselves


def _weights(first: np.ndarray, second: np.ndarray, tiles_x: int, size: int) -> np.ndarray:
    """Return what each pair of tiles, first ≤ second, counts in MMD²: twice off the diagonal."""
    within = np.where(first == second, 1, 2) / (size * (size - 1))
    return np.where((first < tiles_x) == (second < tiles_x), within, -2 / size**2)


def _draw_subsets(
    n: int, m: int, subsets: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw as torch-fidelity does; returns bool [subsets, n] and [subsets, m]."""
    rng = np.random.RandomState(seed)
    drawn_x, drawn_y = np.zeros((subsets, n), bool), np.zeros((subsets, m), bool)
    for row_x, row_y in zip(drawn_x, drawn_y, strict=True):
        row_x[rng.choice(n, size, replace=False)] = True
        row_y[rng.choice(m, size, replace=False)] = True
    return drawn_x, drawn_y


def _pad(rows: np.ndarray, multiple: int) -> np.ndarray:
    return np.pad(rows, ((0, -len(rows) % multiple), (0, 0)))


def _float64_device() -> AbstractContextManager[None]:
    """Choose where to compute: the default device, but for a TPU the CPU beside it."""
    # A TPU only imitates float64; nobody has measured how well its matrix products do. In float32 a
    # KID of 2e-5 was wrong by 1e-3 of itself.
    if jax.default_backend() != "tpu":
        return nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        raise InputError("KID on a TPU needs the CPU too: set JAX_PLATFORMS=tpu,cpu") from None


def _split(features: np.ndarray, blocks: int) -> list[np.ndarray]:
    sizes = np.full(blocks, len(features) // blocks)
    sizes[blocks - len(features) % blocks :] += 1
    return np.split(features, np.cumsum(sizes)[:-1])


def _block_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased MMD² of features [n, d] and [m, d]."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_of_pairs(a: np.ndarray) -> float:
        gram = kernel(a, a)
        return (gram.sum() - np.trace(gram)) / (len(a) * (len(a) - 1))

    return mean_of_pairs(x) + mean_of_pairs(y) - 2 * kernel(x, y).mean()
