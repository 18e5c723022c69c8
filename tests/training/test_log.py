"""What is said of a training's metrics; `test_train` looks at what a run has written."""

import pytest

from ugatit_jax.training.log import check_finite


def test_the_first_metric_that_is_not_finite_is_named() -> None:
    check_finite({"a": 0.0, "b": -1e30}, 3)
    for value in (float("nan"), float("inf")):
        with pytest.raises(FloatingPointError, match=f"^b is {value} at step 3, "):
            check_finite({"a": 0.0, "b": value, "c": float("nan")}, 3)
