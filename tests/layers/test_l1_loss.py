"""L1Loss: by hand, missing numbers, a gradient for both bottoms, 0 where they are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.l1_loss import L1Loss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

A, B = np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([[0.0, 2, 5], [3, 0, -1]])


def test_by_hand(run: Any) -> None:
    made = run(L1Loss(), A, B)
    assert made.y[0] == (1 + 2 + 3 + 1) / 2
    np.testing.assert_array_equal(made.dxs[0], [[0.5, 0, -0.5], [-0.5, 0, 0.5]])
    np.testing.assert_array_equal(made.dxs[1], -made.dxs[0])
    assert made.sums == [7, 2]


def test_samples_count_as_much_as_they_weigh(run: Any) -> None:
    made = run(L1Loss(), A, B, np.array([3.0, 1]), dy=[2])
    assert made.sums == [13, 4]
    np.testing.assert_array_equal(made.dxs[0], [[1.5, 0, -1.5], [-0.5, 0, 0.5]])


def test_a_number_that_is_missing_weighs_nothing(run: Any) -> None:
    made = run(L1Loss(), A, np.where(B == 5, np.nan, B), np.array([[1.0, 1, 0], [1, 1, 1]]))
    assert made.sums == pytest.approx([5, 5 * 2 / 6])
    assert made.dxs[0][0, 2] == 0


def test_where_nothing_weighs_loss_and_gradient_are_zero(run: Any) -> None:
    made = run(L1Loss(), A, B, np.zeros(2))
    assert made.y[0] == 0 and not made.dxs[0].any()


@pytest.mark.parametrize("shapes", [[(4,), (4,)], [(2, 3), (2, 3, 1)], [(2, 3, 2, 2), (2, 12)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(L1Loss(), *shapes)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4)], "needs as many numbers a sample in both bottoms, not 2 x 3 and 2 x 4"),
    ([(2,), Shape((2,), "index")], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(L1Loss(), shapes, "bottom", words)
