"""GaussianNLLLoss: by hand; with a variance of 1 half the squared distance; the best variance is the squared error."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.gaussian_nll_loss import GaussianNLLLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

MEAN, TARGET = np.array([[1.0, 2], [0, -1]]), np.array([[3.0, 2], [0, 0]])


def test_by_hand(run: Any) -> None:
    made = run(GaussianNLLLoss(), np.array([1.0]), np.array([3.0]), np.array([log(4)]))  # sigma 2, two away
    assert made.y[0] == pytest.approx(log(2) + 4 / 8)
    assert [dx[0] for dx in made.dxs] == pytest.approx([-0.5, 0.5, 0])


def test_a_variance_of_1_makes_it_half_the_squared_distance(run: Any) -> None:
    made = run(GaussianNLLLoss(), MEAN, TARGET, np.zeros((2, 2)))
    assert made.y[0] == 5 / 4
    np.testing.assert_array_equal(made.dx, (MEAN - TARGET) / 2)


def test_the_variance_grows_where_the_error_is_larger_and_shrinks_where_it_is_smaller(run: Any) -> None:
    slope = run(GaussianNLLLoss(), MEAN, TARGET, np.zeros((2, 2))).dxs[2]
    np.testing.assert_array_equal(slope, (1 - (MEAN - TARGET) ** 2) / 4)


def test_weights(run: Any) -> None:
    made = run(GaussianNLLLoss(), MEAN, TARGET, np.zeros((2, 2)), np.array([3.0, 1]))
    assert made.sums == [6.5, 4]
    missing = run(GaussianNLLLoss(), MEAN, np.where(TARGET == 3, np.nan, TARGET), np.zeros((2, 2)), (TARGET != 3) * 1.0)
    assert missing.sums == [0.5, 1.5]
    assert missing.dx[0, 0] == 0


@pytest.mark.parametrize("shapes", [[(4,)] * 3, [(2, 3)] * 3 + [(2,)], [(2, 3, 2), (2, 6), (2, 6), (2, 6)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(GaussianNLLLoss(), *shapes)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4), (2, 3)], "needs a target for each mean: 2 x 3 against 2 x 4"),
    ([(2, 3), (2, 3), (2,)], "needs a log_variance for each mean: 2 x 3 against 2"),
    ([(2,), Shape((2,), "index"), (2,)], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(GaussianNLLLoss(), shapes, "bottom", words)
