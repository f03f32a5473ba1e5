"""LogSoftmax: the logarithm of Softmax, exact where a probability would be 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.log_softmax import LogSoftmax
from dltrain.testing import check_layer


@pytest.mark.parametrize(("x", "y"), [
    ([0, 0, 0, 0], -np.log([4, 4, 4, 4])),
    ([0, np.log(3)], [-np.log(4), np.log(0.75)]),
    ([1000, 0, -1000], [0, -1000, -2000]),
    ([5], [0]),
])  # fmt: skip
def test_values_by_hand(x: list[float], y: Any, run: Any) -> None:
    np.testing.assert_allclose(run(LogSoftmax(), np.array([x, x], float)).y, [y, y], rtol=1e-12)


def test_the_gradient_by_hand(run: Any) -> None:
    made = run(LogSoftmax(), np.array([[0.0, 0, 0, 0], [0, np.log(3), -99, -99]]), dy=[[4, 0, 0, 0], [4, 0, 0, 0]])
    np.testing.assert_allclose(made.dx, [[3, -1, -1, -1], [3, -3, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(("shape", "axis"), [((2, 5), 1), ((1, 4, 3, 2), 1), ((2, 3, 5), -1), ((2, 3, 5, 2), 2), ((2, 1), 1)])
def test_sits_the_exam(shape: tuple[int, ...], axis: int, run: Any) -> None:
    y = run(LogSoftmax(axis=axis), np.random.default_rng(0).standard_normal(shape)).y
    np.testing.assert_allclose(np.exp(y).sum(axis=axis), 1, rtol=1e-14)
    check_layer(LogSoftmax(axis=axis), shape)


@pytest.mark.parametrize("axis", [0, 2, -2, -3])
def test_refuses_an_axis_that_is_none_or_the_samples(axis: int, refuses: Any) -> None:
    refuses(LogSoftmax(axis=axis), [(2, 5)], "axis", f"{axis} is not an axis of 2 x 5 after the sample axis")
