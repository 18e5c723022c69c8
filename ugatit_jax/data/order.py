"""Which picture comes when, and how it is flipped and cropped: functions of seeds, in NumPy.

The numbers are those of TensorFlow's `index_shuffle` and `stateless_uniform` (Philox), which
earlier versions called, so that whatever feeds a training, and whenever it began, its pictures are
the same.
"""

import functools

import numpy as np

# SIMON's constants (Beaulieu et al., 2013, "The SIMON and SPECK families of lightweight block
# ciphers"): its sequence z and, of its words, all bits but the last two.
SIMON_Z = 0x7369F885192C0EF5
SIMON_C = 0xFFFFFFFC
SHUFFLE_ROUNDS = 4  # as TensorFlow has it; few, but nobody's secret is kept here
SHUFFLE_KEY = 498247692  # TensorFlow's first word of three; a seed has two
SMALLEST_BLOCK = 16  # bits
# Philox 4×32 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3").
PHILOX_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
PHILOX_INCREMENTS = 0x9E3779B9, 0xBB67AE85
PHILOX_ROUNDS = 10
SCRAMBLING_KEY = 0x3EC8F720, 0x02461E29  # TensorFlow's, of its stateless numbers
WORD = 2**32 - 1


@functools.lru_cache(maxsize=16)  # passes that are under way
def permutation(count: int, seed: tuple[int, int]) -> np.ndarray:
    """Return the order of a pass through `count` pictures, int64 [count].

    A number is encrypted with SIMON, with fewer rounds, on the smallest block that has room for it,
    until it falls below `count` (Black & Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    # TensorFlow's block is too small, and forgets a picture, where count - 1 is 2 to the 16, 18, …
    bits = max(SMALLEST_BLOCK, 2 * -(-(count - 1).bit_length() // 2))
    encrypted = _simon(np.arange(1 << bits, dtype=np.uint64), bits // 2, seed).data
    order = np.empty(count, np.int64)
    for place in range(count):  # ways do not cross: all are no longer than the block together
        index = encrypted[place]
        while index >= count:
            index = encrypted[index]
        order[place] = index
    return order


def _simon(values: np.ndarray, width: int, seed: tuple[int, int]) -> np.ndarray:
    """Encrypt numbers of two words of `width` bits each."""
    mask = (1 << width) - 1

    def rotated(x: np.ndarray, by: int) -> np.ndarray:
        return ((x << by) | (x >> (width - by))) & mask

    def mixed(x: np.ndarray) -> np.ndarray:
        return rotated(x, 1) & rotated(x, 8 % width) ^ rotated(x, 2)

    left, right = values >> width, values & mask
    for key in _round_keys(width, seed):
        # Halves take turns: what would be exchanged after each round is not.
        left, right = right, left ^ mixed(right) ^ key
    return left << width | right


def _round_keys(width: int, seed: tuple[int, int]) -> list[int]:
    mask = (1 << width) - 1

    def rotated(x: int, by: int) -> int:
        return ((x >> by) | (x << (width - by))) & mask

    keys = [word & WORD & mask for word in (SHUFFLE_KEY, *seed)]
    for i in range(SHUFFLE_ROUNDS - len(keys)):
        constant = (SIMON_C ^ (SIMON_Z >> i & 1)) & mask
        keys.append(constant ^ keys[-3] ^ rotated(keys[-1], 3) ^ rotated(keys[-1], 4))
    return keys


def uniform(seed: tuple[int, int]) -> np.ndarray:
    """Return four numbers of [0, 1), float32 [4]."""
    low_first = tuple(word for half in seed for word in (half & WORD, half >> 32 & WORD))
    scrambled = _philox(low_first, SCRAMBLING_KEY)
    bits = np.array(_philox((0, 0, *scrambled[2:]), scrambled[:2]), np.uint32)
    # 23 bits are the fraction of a number of [1, 2).
    return (bits & 0x7FFFFF | 0x3F800000).view(np.float32) - np.float32(1)


def _philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    a, b, c, d = counter
    first, second = key
    for _ in range(PHILOX_ROUNDS):
        one, other = PHILOX_MULTIPLIERS[0] * a, PHILOX_MULTIPLIERS[1] * c
        a, b, c, d = other >> 32 ^ b ^ first, other & WORD, one >> 32 ^ d ^ second, one & WORD
        first = first + PHILOX_INCREMENTS[0] & WORD
        second = second + PHILOX_INCREMENTS[1] & WORD
    return a, b, c, d
