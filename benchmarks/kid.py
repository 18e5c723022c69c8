"""KID and FID of random features: time of ours and of torch-fidelity, and whether they agree.

python -m benchmarks.kid [--pictures N] [--dimension D] [--subsets N] [--subset_size N]
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np
import torch

from benchmarks.peers.fidelity import torch_fidelity
from ugatit_jax.metrics.fid import fid
from ugatit_jax.metrics.kid import kid


def timed(compute: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return what a function returns, and its seconds."""
    start = time.perf_counter()
    result = compute()
    return result, time.perf_counter() - start


def main() -> None:
    """Print a line for KID and one for FID."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kid")
    parser.add_argument("--pictures", type=int, default=10_000, help="per side")
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--subsets", type=int, default=100)
    parser.add_argument("--subset_size", type=int, default=1000)
    args = parser.parse_args()

    print(
        f"{jax.devices()[0].device_kind}, jax {jax.__version__}, numpy {np.__version__}, "
        f"torch-fidelity {torch_fidelity.__version__}"
    )
    rng = np.random.default_rng(0)
    shape = (args.pictures, args.dimension)
    x, y = rng.gamma(0.8, 0.5, shape), rng.gamma(0.84, 0.5, shape)
    theirs_x, theirs_y = torch.from_numpy(x), torch.from_numpy(y)

    def our_kid() -> np.ndarray:
        score = kid(x, y, args.subsets, args.subset_size)
        return np.array([score.mean, score.std])

    def their_kid() -> np.ndarray:
        score = torch_fidelity.metric_kid.kid_features_to_metric(
            theirs_x,
            theirs_y,
            kid_subsets=args.subsets,
            kid_subset_size=args.subset_size,
            verbose=False,
        )
        return np.array(list(score.values()))

    def their_fid() -> np.ndarray:
        peer = torch_fidelity.metric_fid
        statistics = [peer.fid_features_to_statistics(side) for side in (theirs_x, theirs_y)]
        return np.array(list(peer.fid_statistics_to_metric(*statistics, verbose=False).values()))

    for name, ours, theirs in (
        ("KID, mean and std", our_kid, their_kid),
        ("FID", lambda: np.array([fid(x, y)]), their_fid),
    ):
        score, seconds = timed(ours)
        their_score, their_seconds = timed(theirs)
        difference = np.abs(score / their_score - 1).max()
        print(
            f"{name}: ours {seconds:.1f} s, torch-fidelity {their_seconds:.1f} s, "
            f"ratio {their_seconds / seconds:.2f}; {score}, relative difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
