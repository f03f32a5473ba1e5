"""SmoothL1Loss: by hand on both sides of the bend, which sigma moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.smooth_l1_loss import SmoothL1Loss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

A = np.array([[0.5, -3.0, 1.0]])


def test_by_hand(run: Any) -> None:
    made = run(SmoothL1Loss(), A, np.zeros((1, 3)))
    assert made.y[0] == 0.125 + 2.5 + 0.5
    np.testing.assert_array_equal(made.dxs[0], [[0.5, -1, 1]])
    np.testing.assert_array_equal(made.dxs[1], [[-0.5, 1, -1]])


def test_sigma_moves_the_bend_to_its_inverse_square(run: Any) -> None:
    made = run(SmoothL1Loss(sigma=2.0), np.array([0.125, 0.25, 1.0]), np.zeros(3))
    np.testing.assert_allclose(made.sums[0], 0.03125 + 0.125 + 0.875)
    np.testing.assert_allclose(made.dx, np.array([0.5, 1, 1]) / 3)


def test_value_and_slope_are_continuous_at_the_bend(run: Any) -> None:
    low, high = (run(SmoothL1Loss(sigma=3.0), np.array([1 / 9 + e]), np.zeros(1)) for e in (-1e-9, 1e-9))
    assert low.y[0] == pytest.approx(high.y[0], abs=1e-8)
    assert low.dx[0] == pytest.approx(high.dx[0], abs=1e-7)


def test_weights(run: Any) -> None:
    made = run(SmoothL1Loss(), np.array([[2.0], [4]]), np.zeros((2, 1)), np.array([1.0, 3]))
    assert made.sums == [1.5 + 3 * 3.5, 4]
    np.testing.assert_array_equal(made.dx, [[0.25], [0.75]])


@pytest.mark.parametrize("shapes", [[(4,), (4,)], [(2, 3), (2, 3, 1), (2,)], [(2, 3, 2), (2, 6), (2, 6)]])
@pytest.mark.parametrize("sigma", [0.7, 2.0])
def test_sits_the_exam(shapes: Any, sigma: float) -> None:
    check_layer(SmoothL1Loss(sigma=sigma), *shapes)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4)], "needs as many numbers a sample in both bottoms, not 2 x 3 and 2 x 4"),
    ([(2,), Shape((2,), "index")], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(SmoothL1Loss(), shapes, "bottom", words)
