"""How well a straight line tells two domains apart, by one kind of thing about their pictures.

Translation is to learn what makes a domain. If framing or the cast of colours alone give it away, a
discriminator may learn these first, and the generator with it.
"""

from dataclasses import dataclass

import numpy as np

FEWEST = 20  # pictures of each domain
_MOST = 2000  # of each: more make no difference
_FOLDS = 5
_SHRINKAGE = 0.1  # of standardised features: several times as many as pictures are no trouble


@dataclass(frozen=True)
class Probe:
    """Share of pictures not trained on that are told right, of both domains alike: 0.5 is chance.

    error: its standard error. count: how many pictures of each domain.
    """

    accuracy: float
    error: float
    count: tuple[int, int]


def tell_apart(first: np.ndarray, second: np.ndarray) -> Probe | None:
    """Train a probe (ridge regression) on features, float [N, d] and [M, d].

    Cross-validated in five parts. None for fewer than 20 pictures of a domain.
    """
    if min(len(first), len(second)) < FEWEST:
        return None
    rng = np.random.default_rng(0)
    chosen = [x[rng.permutation(len(x))[:_MOST]].astype(np.float64) for x in (first, second)]
    right: list[list[np.ndarray]] = [[], []]
    for fold in range(_FOLDS):
        parts = [np.arange(len(x)) % _FOLDS == fold for x in chosen]
        normal, offset = _train(*(x[~part] for x, part in zip(chosen, parts, strict=True)))
        for domain, sign in enumerate((-1, 1)):
            told = chosen[domain][parts[domain]] @ normal + offset
            right[domain].append(sign * told > 0)
    shares = [np.concatenate(x) for x in right]
    variance = sum(x.mean() * (1 - x.mean()) / len(x) for x in shares) / 4
    accuracy = float(np.mean([x.mean() for x in shares]))
    return Probe(accuracy, float(np.sqrt(variance)), (len(chosen[0]), len(chosen[1])))


def _train(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """The line's normal and offset: below 0 is the first domain. Both weigh the same."""
    both = np.concatenate([first, second])
    weights = np.repeat([0.5 / len(first), 0.5 / len(second)], [len(first), len(second)])
    mean = weights @ both
    deviation = np.sqrt(weights @ (both - mean) ** 2)
    scaled = (both - mean) / np.where(deviation > 1e-6, deviation, 1)
    sides = np.repeat([-1.0, 1.0], [len(first), len(second)])
    moments = (scaled * weights[:, None]).T @ scaled + _SHRINKAGE * np.eye(scaled.shape[1])
    normal = np.linalg.solve(moments, (scaled * weights[:, None]).T @ sides)
    normal = normal / np.where(deviation > 1e-6, deviation, 1)
    return normal, float(-mean @ normal)


def distances(features: np.ndarray) -> np.ndarray:
    """How far pictures are from their centre, by the median of that: float [N] of [N, d]."""
    if not len(features):
        return np.zeros(0)
    apart = np.linalg.norm(features - features.mean(0), axis=1)
    return apart / max(float(np.median(apart)), 1e-12)
