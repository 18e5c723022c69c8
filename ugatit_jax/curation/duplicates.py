"""Groups of pictures that are the same, or nearly so, among many: no pair of all pairs is tried.

Near duplicates have perceptual hashes of which few bits differ, and much the same colours, which
the hash does not see. They are looked for as Charikar (STOC 2002) looks for neighbours in Hamming
space: sorted by some of their bits, chosen at random, two such hashes are likely to lie close
together, and over many choices all but sure to. That takes N log N time, and memory for N pictures.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Of 256. Copies as JPEG of quality 40, and scaled by half or two, were up to 6 apart; cut by 3 px,
# up to 36; faces cut twice out of the same picture, up to 50. Different ones began at 58.
MOST_BITS = 48
MOST_COLOUR = 32  # levels: hearts in two colours have one hash
_SORTINGS = 48
_NEIGHBOURS = 16  # in the order of a sorting, that each picture is compared with


def group_equal(keys: Sequence[Hashable]) -> list[list[int]]:
    """Return the indices of equal keys, in groups of two and more, each in order."""
    groups: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def group_near(bits: np.ndarray, colours: np.ndarray) -> list[list[int]]:
    """Return the indices of near duplicates, in groups of two and more, each in order.

    bits: uint64 [N, 4], perceptual hashes. colours: float [N, 3], means of the channels, levels.
    A group holds what is linked, from one to the next: its ends may be further apart.
    """
    count = len(bits)
    labels = np.arange(count)
    columns = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), axis=1)
    rng = np.random.default_rng(0)
    for turn in range(_SORTINGS):
        chosen = columns[:, rng.permutation(columns.shape[1])[:64]]
        key = np.ascontiguousarray(np.packbits(chosen, axis=1)).view(">u8")[:, 0]
        # Of those with equal bits, the ones of like colours come together.
        order = np.lexsort((colours[:, turn % colours.shape[1]], key))
        labels = _join(labels, _links(bits[order], colours[order], labels[order]))
    return group_equal(labels.tolist())


def _links(bits: np.ndarray, colours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels of near pictures among neighbours that are not linked yet, int [n, 2]."""
    found = [np.empty((0, 2), labels.dtype)]
    for shift in range(1, _NEIGHBOURS + 1):
        near = np.bitwise_count(bits[:-shift] ^ bits[shift:]).sum(1, dtype=np.int16) <= MOST_BITS
        first = np.flatnonzero(near & (labels[:-shift] != labels[shift:]))
        alike = np.abs(colours[first] - colours[first + shift]).max(1, initial=0) <= MOST_COLOUR
        first = first[alike]
        found.append(np.stack([labels[first], labels[first + shift]], axis=1))
    return np.concatenate(found)


def _join(labels: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Give linked groups one label, the index of the first of their pictures."""
    if not len(links):
        return labels
    count = len(labels)
    rows = np.concatenate([np.arange(count), links[:, 0]])
    columns = np.concatenate([labels, links[:, 1]])
    graph = coo_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(count, count))
    joined = connected_components(graph, directed=False)[1]
    first = np.full(joined.max(initial=-1) + 1, count)
    np.minimum.at(first, joined, np.arange(count))
    return first[joined]
