"""Softmax: known probabilities along any axis, and no overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.softmax import Softmax
from dltrain.testing import check_layer


@pytest.mark.parametrize(("x", "y"), [
    ([0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]),
    ([0, np.log(3)], [0.25, 0.75]),
    ([1000, 1000 + np.log(4)], [0.2, 0.8]),
    ([-1000, 0, 1000], [0, 0, 1]),
    ([np.log(1), np.log(2), np.log(7)], [0.1, 0.2, 0.7]),
    ([5], [1]),
])  # fmt: skip
def test_probabilities_by_hand(x: list[float], y: list[float], run: Any) -> None:
    np.testing.assert_allclose(run(Softmax(), np.array([x, x], float)).y, [y, y], rtol=1e-12)


def test_the_gradient_by_hand(run: Any) -> None:
    made = run(Softmax(), np.array([[0.0, 0, 0, 0], [0, np.log(3), -99, -99]]), dy=[[4, 0, 0, 0], [4, 0, 0, 0]])
    np.testing.assert_allclose(made.dx, [[0.75, -0.25, -0.25, -0.25], [0.75, -0.75, 0, 0]], atol=1e-15)


@pytest.mark.parametrize(("shape", "axis"), [((2, 5), 1), ((2, 4, 3, 2), 1), ((2, 3, 5), -1), ((2, 3, 5, 2), 2), ((2, 3, 5), -2)])
def test_sums_to_one_along_the_axis_and_keeps_the_ratios(shape: tuple[int, ...], axis: int, run: Any) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    y = run(Softmax(axis=axis), x).y
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-14)
    np.testing.assert_allclose(np.diff(np.log(y), axis=axis), np.diff(x, axis=axis), atol=1e-12)


@pytest.mark.parametrize(("shape", "axis"), [((2, 5), 1), ((1, 4, 3, 2), 1), ((2, 3, 5), -1), ((2, 3, 5, 2), 2), ((2, 1), 1)])
def test_sits_the_exam(shape: tuple[int, ...], axis: int) -> None:
    check_layer(Softmax(axis=axis), shape)


@pytest.mark.parametrize("axis", [0, 2, -2, -3])
def test_refuses_an_axis_that_is_none_or_the_samples(axis: int, refuses: Any) -> None:
    refuses(Softmax(axis=axis), [(2, 5)], "axis", f"{axis} is not an axis of 2 x 5 after the sample axis")
