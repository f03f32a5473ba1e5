"""MultinomialLogisticLoss: of probabilities, cut at 1e-20 as in Caffe, or of their logarithms."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.multinomial_logistic_loss import MultinomialLogisticLoss
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer

P, LABEL = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), np.array([1, 2])


def test_by_hand(run: Any) -> None:
    made = run(MultinomialLogisticLoss(), P, LABEL)
    assert made.y[0] == pytest.approx(-(log(0.25) + log(0.8)) / 2)
    np.testing.assert_allclose(made.dx, [[0, -2, 0], [0, 0, -1 / 1.6]])


def test_by_hand_of_logarithms(run: Any) -> None:
    made = run(MultinomialLogisticLoss(log_probabilities=True), np.log(P), LABEL, dy=[4])
    assert made.y[0] == pytest.approx(-(log(0.25) + log(0.8)) / 2)
    np.testing.assert_allclose(made.dx, [[0, -2, 0], [0, 0, -2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_0_costs_46_and_pulls_with_1e20(dtype: Any, run: Any) -> None:
    made = run(MultinomialLogisticLoss(), np.array([[0.0, 1]]), np.array([0]), dtype=dtype)
    assert made.y[0] == pytest.approx(-log(1e-20), rel=1e-6)
    np.testing.assert_allclose(made.dx, [[-1e20, 0]])


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    made = run(MultinomialLogisticLoss(ignore_label=1), P, LABEL)
    assert made.sums == pytest.approx([-log(0.8), 1]) and not made.dx[0].any()
    made = run(MultinomialLogisticLoss(), P, LABEL, np.array([3.0, 1]))
    assert made.sums == pytest.approx([-3 * log(0.25) - log(0.8), 4])
    np.testing.assert_allclose(made.dx, [[0, -3, 0], [0, 0, -1 / 3.2]])


@pytest.mark.parametrize(("shape", "axis", "label"), [((4, 3), 1, (4,)), ((2, 3, 2, 2), 1, (2, 2, 2)), ((2, 4, 3), -1, (2, 4))])
def test_sits_the_exam(shape: Any, axis: int, label: Any) -> None:
    layer = MultinomialLogisticLoss(axis=axis, log_probabilities=True, ignore_label=0)
    check_layer(layer, shape, Shape(label, "index"), label, classes=3)
    rng = np.random.default_rng(0)
    xs = [rng.uniform(0.1, 1, shape), rng.integers(0, 3, label)]
    check_gradient(MultinomialLogisticLoss(axis=axis), shape, Shape(label, "index"), xs=xs)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ({}, [Shape((4, 3), "index"), Shape((4,), "index")], "bottom", "needs real numbers, not the integers of 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(MultinomialLogisticLoss(**keys), shapes, key, words)
