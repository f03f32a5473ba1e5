"""EuclideanLoss: by hand, weighted, and with a gradient for both bottoms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.euclidean_loss import EuclideanLoss
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer

A = np.array([[1.0, 2, 3], [0, 0, 0]])
B = np.array([[0.0, 2, 5], [3, 0, -1]])


def test_by_hand(run: Any) -> None:
    made = run(EuclideanLoss(), A, B)
    assert made.y[0] == (1 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(made.dxs[0], [[0.5, 0, -1], [-1.5, 0, 0.5]])
    np.testing.assert_array_equal(made.dxs[1], -made.dxs[0])
    assert made.sums == [7.5, 2]


def test_the_gradient_is_as_large_as_the_loss_weighs(run: Any) -> None:
    np.testing.assert_allclose(run(EuclideanLoss(), A, B, dy=[3.7]).dx, 3.7 * run(EuclideanLoss(), A, B).dx, rtol=1e-15)


def test_further_axes_are_summed_and_only_samples_counted(run: Any) -> None:
    made = run(EuclideanLoss(), np.zeros((2, 3, 4)), np.full((2, 3, 4), 2.0))
    assert made.y[0] == 24
    np.testing.assert_array_equal(made.dx, np.full((2, 3, 4), -1))


def test_weights_stand_for_samples(run: Any) -> None:
    made = run(EuclideanLoss(), A, B, np.array([3.0, 1]))
    assert made.y[0] == (3 * 5 + 10) / 8
    np.testing.assert_array_equal(made.dxs[0], [[0.75, 0, -1.5], [-0.75, 0, 0.25]])
    assert made.dxs[2] is None


def test_where_nothing_weighs_loss_and_gradient_are_zero(run: Any) -> None:
    made = run(EuclideanLoss(), A, B, np.zeros(2))
    assert made.y[0] == 0
    assert not made.dxs[0].any() and not made.dxs[1].any()


def test_a_number_that_is_missing_weighs_nothing(run: Any) -> None:
    made = run(EuclideanLoss(), A, np.where(B == 5, np.nan, B), np.array([[1.0, 1, 0], [1, 1, 1]]))
    assert made.y[0] == pytest.approx((1 + 9 + 1) / 2 / (2 * 5 / 6))
    assert made.dxs[0][0, 2] == 0 and made.dxs[0][0, 0] == pytest.approx(0.6)


def test_a_column_goes_with_a_row_of_targets(run: Any) -> None:
    made = run(EuclideanLoss(), np.array([[1.0], [4]]), np.array([0.0, 2]))
    assert made.y[0] == 1.25
    np.testing.assert_array_equal(made.dxs[0], [[0.5], [1]])
    np.testing.assert_array_equal(made.dxs[1], [-0.5, -1])


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 5), (2, 3, 2, 2)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(EuclideanLoss(), shape, shape)


def test_the_gradient_is_right_with_weights() -> None:
    rng = np.random.default_rng(0)
    check_gradient(EuclideanLoss(), (3, 2, 2), (3, 2, 2), (3,), xs=[*rng.standard_normal((2, 3, 2, 2)), np.array([1, 0, 0.5])])


@pytest.mark.parametrize(("shapes", "key", "words"), [
    ([(2, 3), (2, 4)], "bottom", "needs as many numbers a sample in both bottoms, not 2 x 3 and 2 x 4"),
    ([(2, 3), (3, 2)], "bottom", "needs as many numbers a sample in both bottoms, not 2 x 3 and 3 x 2"),
    ([(2,), Shape((2,), "index")], "bottom", "needs real numbers, not the integers of 2"),
    ([Shape((2,), "index"), (2,)], "bottom", "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (3,)], "bottom", "the weight must be 2 or 2 x 3, not 3"),
    ([(2, 3), (2, 3), (2, 1)], "bottom", "the weight must be 2 or 2 x 3, not 2 x 1"),
])  # fmt: skip
def test_refuses(shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(EuclideanLoss(), shapes, key, words)
