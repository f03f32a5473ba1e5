"""LogisticLoss: labels of -1 and 1, as integers or numbers; the same as a sigmoid loss of 0 and 1."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.logistic_loss import LogisticLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer


def test_by_hand(run: Any) -> None:
    made = run(LogisticLoss(), np.array([0.0, log(3), log(3)]), np.array([1, 1, -1]))
    assert made.y[0] == pytest.approx((log(2) + log(4 / 3) + log(4)) / 3)
    np.testing.assert_allclose(made.dx, np.array([-1 / 2, -1 / 4, 3 / 4]) / 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_neither_overflow_nor_vanish(dtype: Any, run: Any) -> None:
    made = run(LogisticLoss(), np.array([1000.0, 1000, -1000]), np.array([1.0, -1, 1]), dtype=dtype)
    assert made.sums == [2000, 3]
    np.testing.assert_allclose(made.dx, np.array([0, 1, -1]) / 3, rtol=1e-6)


def test_integers_and_numbers_are_the_same_labels(run: Any) -> None:
    x, label = np.array([[0.3], [-2]]), np.array([1, -1])
    one, other = run(LogisticLoss(), x, label), run(LogisticLoss(), x, label.astype(float)[:, None])
    assert one.y[0] == other.y[0]
    np.testing.assert_array_equal(one.dx, other.dx)


def test_weights(run: Any) -> None:
    made = run(LogisticLoss(), np.zeros((2, 2)), np.ones((2, 2)), np.array([1.0, 3]))
    assert made.sums == pytest.approx([8 * log(2), 4])
    np.testing.assert_allclose(made.dx, [[-0.125] * 2, [-0.375] * 2])


@pytest.mark.parametrize("label", [Shape((4,), "index"), Shape((4, 1)), Shape((4, 1), "index")])
def test_sits_the_exam(label: Shape) -> None:
    check_layer(LogisticLoss(), (4, 1), label)
    check_layer(LogisticLoss(), (4, 1), label, (4,))


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2,)], "needs a label for each number of x: 2 x 3 against 2"),
    ([Shape((2,), "index"), (2,)], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(LogisticLoss(), shapes, "bottom", words)
