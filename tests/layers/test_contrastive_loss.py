"""ContrastiveLoss: pairs by hand, Caffe's divisor d + 1e-4, the legacy form, the top of distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.contrastive_loss import ContrastiveLoss
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer

A, B = np.array([[3.0, 4], [0.3, 0.4], [0.3, 0.4], [3, 4]]), np.zeros((4, 2))
ALIKE = np.array([1, 1, 0, 0])


def alone(made: Any, *xs: Any) -> Any:
    """The gradients by both bottoms of the loss alone, as where nobody reads the distances."""
    return made.trial.run(xs, [np.ones(1), np.zeros(len(xs[0]))], {})[1]


def test_by_hand(run: Any) -> None:
    made = run(ContrastiveLoss(), A, B, ALIKE)
    assert made.y[0] == pytest.approx((25 + 0.25 + 0.25 + 0) / 8)
    np.testing.assert_allclose(made.tops[1], [5, 0.5, 0.5, 5])
    da, db, none = alone(made, A, B, ALIKE)
    np.testing.assert_allclose(da, A / 4 * [[1], [1], [-0.5 / 0.5001], [0]])
    np.testing.assert_array_equal(db, -da)
    assert none is None


def test_the_legacy_form(run: Any) -> None:
    made = run(ContrastiveLoss(legacy_version=True), A, B, ALIKE.astype(float))
    assert made.y[0] == pytest.approx((25 + 0.25 + 0.75 + 0) / 8)
    np.testing.assert_allclose(alone(made, A, B, ALIKE)[0], A / 4 * [[1], [1], [-1], [0]])


def test_a_larger_margin_reaches_farther(run: Any) -> None:
    assert run(ContrastiveLoss(margin=7.0), A[3:], B[3:], np.array([0])).y[0] == 2


def test_equal_bottoms_that_are_not_alike_stay_where_they_are(run: Any) -> None:
    made = run(ContrastiveLoss(), B, B, np.zeros(4, int))
    assert made.y[0] == 0.5
    assert not made.dxs[0].any()


def test_the_distances_pass_a_gradient_on(run: Any) -> None:
    made = run(ContrastiveLoss(), A, B, ALIKE)
    _, (da, db, _), _ = made.trial.run([A, B, ALIKE], [np.zeros(1), np.array([0.0, 0, 0, 10])], {})
    np.testing.assert_allclose(da, [[0, 0], [0, 0], [0, 0], [6, 8]])
    np.testing.assert_allclose(db, -da)


def test_weights(run: Any) -> None:
    weight = np.array([0.0, 1, 3, 0])
    made = run(ContrastiveLoss(), A, B, ALIKE, weight)
    assert made.sums == pytest.approx([0.5, 4])
    np.testing.assert_allclose(alone(made, A, B, ALIKE, weight)[0], A / 4 * [[0], [1], [-3 * 0.5 / 0.5001], [0]])


@pytest.mark.parametrize("shapes", [[(4, 3), (4, 3)], [(4, 2, 2), (4, 4)], [(4,), (4, 1)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(ContrastiveLoss(legacy_version=True, margin=1.3), *shapes, Shape((4,), "index"))
    check_layer(ContrastiveLoss(legacy_version=True, margin=1.3), *shapes, Shape((4,), "index"), (4,))


def test_the_gradient_of_pairs_that_are_not_alike_is_off_by_what_caffe_adds_to_the_divisor() -> None:
    check_gradient(ContrastiveLoss(margin=3.0), (6, 3), (6, 3), Shape((6,), "index"), tolerance=1e-3)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4), (2,)], "needs as many numbers a sample in both bottoms, not 2 x 3 and 2 x 4"),
    ([(2, 3), (2, 3), (2, 3)], "the label must be 2, one for each pair, not 2 x 3"),
    ([Shape((2,), "index"), (2,), (2,)], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (2,), (2, 3)], "the weight must be 2, not 2 x 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(ContrastiveLoss(), shapes, "bottom", words)
