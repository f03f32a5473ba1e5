"""Reduction: four operations by hand, over any number of the last axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.reduction import Reduction
from dltrain.tensor import Shape
from dltrain.testing import check_layer

X = np.array([[1.0, -2, 0], [3, 4, -5]])
OPERATIONS: list[Any] = ["sum", "asum", "sumsq", "mean"]


@pytest.mark.parametrize(("operation", "y", "dx"), [
    ("sum", [-2, 4], [[10, 10, 10], [100, 100, 100]]),
    ("asum", [6, 24], [[10, -10, 0], [100, 100, -100]]),
    ("sumsq", [10, 100], [[20, -40, 0], [600, 800, -1000]]),
    ("mean", [-2 / 3, 4 / 3], [[10 / 3] * 3, [100 / 3] * 3]),
])  # fmt: skip
def test_by_hand(operation: Any, y: Any, dx: Any, run: Any) -> None:
    made = run(Reduction(operation=operation, axis=1, coeff=2.0), X, dy=[5, 50])
    np.testing.assert_allclose(made.y, y, rtol=1e-15)
    np.testing.assert_allclose(made.dx, dx, rtol=1e-15)


@pytest.mark.parametrize(("axis", "top", "counted"), [
    (0, (1,), 120), (1, (2,), 60), (2, (2, 3), 20), (3, (2, 3, 4), 5), (-1, (2, 3, 4), 5), (-4, (1,), 120)])  # fmt: skip
def test_all_axes_from_the_given_one_on_go(axis: int, top: tuple[int, ...], counted: int, run: Any) -> None:
    made = run(Reduction(axis=axis), np.ones((2, 3, 4, 5)))
    assert made.trial.promised == [top]
    np.testing.assert_array_equal(made.y, np.full(top, counted))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("axis", "shape"), [
    (0, (5,)), (0, (3, 4)), (1, (3, 4)), (-1, (2, 3, 4)), (1, (1, 1, 1)), (2, (2, 3, 4, 5))])  # fmt: skip
def test_sits_the_exam(axis: int, shape: Any, operation: Any) -> None:
    check_layer(Reduction(operation=operation, axis=axis, coeff=-0.7), shape)


@pytest.mark.parametrize(("keys", "shape", "key", "words"), [
    ({"axis": 2}, Shape((2, 3)), "axis", "2 is not an axis of 2 x 3"),
    ({"axis": -3}, Shape((2, 3)), "axis", "-3 is not an axis of 2 x 3"),
    ({}, Shape((2, 3), "index"), "bottom", "needs real numbers"),
])  # fmt: skip
def test_refuses(keys: Any, shape: Shape, key: str, words: str, refuses: Any) -> None:
    refuses(Reduction(**keys), [shape], key, words)
