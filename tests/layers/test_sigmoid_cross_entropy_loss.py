"""SigmoidCrossEntropyLoss: by hand, what each Z divides by, targets between yes and no, missing labels."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.sigmoid_cross_entropy_loss import SigmoidCrossEntropyLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((3, 4, 2)), RNG.integers(-1, 2, (3, 4, 2))
P = 1 / (1 + np.exp(-X))
COSTS = np.where(T == -1, 0, -(T * np.log(P) + (1 - T) * np.log(1 - P)))


def test_by_hand(run: Any) -> None:
    made = run(SigmoidCrossEntropyLoss(), np.array([[0.0, log(3)], [log(3), -log(3)]]), np.array([[1, 1], [0, 0]]))
    assert made.y[0] == pytest.approx((log(2) + log(4 / 3) + log(4) + log(4 / 3)) / 2)
    np.testing.assert_allclose(made.dx, np.array([[-1 / 2, -1 / 4], [3 / 4, 1 / 4]]) / 2)


@pytest.mark.parametrize(("normalization", "z"), [("valid", (T != -1).sum()), ("full", 24), ("batch_size", 3), ("none", 1)])
@pytest.mark.parametrize("kind", [int, float])
def test_what_the_sum_is_divided_by(normalization: Any, z: int, kind: Any, run: Any) -> None:
    made = run(SigmoidCrossEntropyLoss(normalization=normalization, ignore_label=-1), X, T.astype(kind))
    assert made.sums == pytest.approx([COSTS.sum(), z])
    np.testing.assert_allclose(made.dx, np.where(T == -1, 0, P - T) / z, atol=1e-15)


def test_the_batch_is_the_divisor_if_nothing_is_said(run: Any) -> None:
    assert run(SigmoidCrossEntropyLoss(), X, np.abs(T)).sums[1] == 3


def test_a_target_may_lie_between(run: Any) -> None:
    made = run(SigmoidCrossEntropyLoss(), np.zeros((1, 1)), np.array([[0.25]]))
    assert made.y[0] == pytest.approx(log(2))
    np.testing.assert_allclose(made.dx, [[0.25]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_cut_and_nothing_overflows(dtype: Any, run: Any) -> None:
    made = run(SigmoidCrossEntropyLoss(), np.array([-1000.0, 1000, 1000]), np.array([1, 0, 1]), dtype=dtype)
    assert made.sums == [2000, 3]
    np.testing.assert_allclose(made.dx, np.array([-1, 1, 0]) / 3, rtol=1e-6)


def test_where_all_is_missing_loss_and_gradient_are_zero(run: Any) -> None:
    made = run(SigmoidCrossEntropyLoss(ignore_label=-1, normalization="valid"), X, np.full(T.shape, -1))
    assert made.sums == [0, 0] and made.y[0] == 0 and not made.dx.any()


@pytest.mark.parametrize(("normalization", "z"), [("valid", None), ("full", 4 * 8), ("batch_size", 4), ("none", 1)])
def test_samples_count_as_much_as_they_weigh(normalization: Any, z: float | None, run: Any) -> None:
    layer, weight = SigmoidCrossEntropyLoss(normalization=normalization, ignore_label=-1), np.array([3.0, 0, 1])
    made = run(layer, X, T, weight)
    kept = (T != -1) * weight[:, None, None]
    assert made.sums == pytest.approx([(COSTS * kept).sum(), kept.sum() if z is None else z])
    assert made.sums == pytest.approx(run(layer, X[[0, 0, 0, 2]], T[[0, 0, 0, 2]]).sums)


def test_a_column_of_scores_goes_with_a_row_of_labels(run: Any) -> None:
    assert run(SigmoidCrossEntropyLoss(), np.zeros((3, 1)), np.array([0, 1, 1])).y[0] == pytest.approx(log(2))


@pytest.mark.parametrize("keys", [{}, {"ignore_label": 0, "normalization": "valid"}, {"normalization": "none"}])
@pytest.mark.parametrize(
    "shapes", [[(3, 4), Shape((3, 4), "index")], [(2, 3, 2), (2, 3, 2), (2,)], [(4, 1), Shape((4,), "index"), (4,)]]
)
def test_sits_the_exam(keys: Any, shapes: Any) -> None:
    check_layer(SigmoidCrossEntropyLoss(**keys), *shapes)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2,)], "needs a label for each number of x: 2 x 3 against 2"),
    ([(2, 3), (3, 2)], "needs a label for each number of x: 2 x 3 against 3 x 2"),
    ([Shape((2,), "index"), (2,)], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(SigmoidCrossEntropyLoss(), shapes, "bottom", words)
