"""FocalLoss: by hand, with gamma 0 a cross-entropy, for classes and for questions of yes and no."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest

from dltrain.layers.focal_loss import FocalLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

RNG = np.random.default_rng(0)
X, LABEL = RNG.standard_normal((4, 3, 2)), RNG.integers(0, 3, (4, 2))
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
OWN = np.take_along_axis(P, LABEL[:, None], 1)[:, 0]


def test_by_hand(run: Any) -> None:
    made = run(FocalLoss(), np.log([[0.25, 0.75]]), np.array([0]))
    assert made.y[0] == pytest.approx(-(0.75**2) * log(0.25))
    factor = 0.75**2 * (1 - 2 * 0.25 * log(0.25) / 0.75)
    np.testing.assert_allclose(made.dx, [[factor * -0.75, factor * 0.75]])


def test_by_hand_of_yes_and_no(run: Any) -> None:
    made = run(FocalLoss(), np.array([[-log(3), -log(3)]]), np.array([[1, 0]]))
    assert made.y[0] == pytest.approx(-(0.75**2 * log(0.25) + 0.25**2 * log(0.75)) / 2)
    assert made.sums[1] == 2


@pytest.mark.parametrize("normalization", ["valid", "full", "batch_size", "none"])
def test_gamma_0_makes_a_cross_entropy(normalization: Any, run: Any) -> None:
    z = {"valid": (LABEL != 1).sum(), "full": 8, "batch_size": 4, "none": 1}[normalization]
    made = run(FocalLoss(gamma=0.0, ignore_label=1, normalization=normalization), X, LABEL)
    hits, kept = np.eye(3)[LABEL].transpose(0, 2, 1), (LABEL != 1)[:, None]
    assert made.sums == pytest.approx([-(np.log(OWN) * kept[:, 0]).sum(), z])
    np.testing.assert_allclose(made.dx, (P - hits) * kept / z, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_sure_costs_nothing_or_at_most_87(gamma: float, dtype: Any, run: Any) -> None:
    right = run(FocalLoss(gamma=gamma), np.array([[1e4, 0.0]]), np.array([0]), dtype=dtype)
    assert right.y[0] == 0 and not right.dx.any()
    wrong = run(FocalLoss(gamma=gamma), np.array([[1e4, 0.0]]), np.array([1]), dtype=dtype)
    assert wrong.y[0] == pytest.approx(87.3365, abs=1e-4)
    np.testing.assert_allclose(wrong.dx, [[1, -1]])
    either = run(FocalLoss(gamma=gamma), np.array([[500.0, -500]]), np.array([[1, 1]]), dtype=dtype)
    assert either.sums == [500, 2]
    np.testing.assert_allclose(either.dx, [[0, -0.5]], atol=1e-15)


def test_classes_weigh(run: Any) -> None:
    made = run(FocalLoss(class_weight=(1.0, 3.0, 0.0), gamma=1.0), X, LABEL)
    w = np.array([1.0, 3, 0])[LABEL]
    assert made.sums == pytest.approx([-((1 - OWN) * np.log(OWN) * w).sum(), w.sum()])
    both = run(FocalLoss(class_weight=(0.75, 0.25), gamma=0.0, normalization="none"), np.zeros((1, 2)), np.array([[0, 1]]))
    assert both.y[0] == pytest.approx(log(2))
    np.testing.assert_allclose(both.dx, [[0.375, -0.125]])


@pytest.mark.parametrize("keys", [{}, {"gamma": 0.5, "ignore_label": 1}, {"gamma": 1.5, "normalization": "batch_size"}])
@pytest.mark.parametrize(("shape", "axis", "label"), [((4, 3), 1, (4,)), ((2, 3, 2, 2), 1, (2, 2, 2)), ((2, 4, 3), -1, (2, 4)),
                                                      ((3, 2), 1, (3, 2)), ((4, 1), 1, (4,))])  # fmt: skip
def test_sits_the_exam(keys: Any, shape: Any, axis: int, label: Any) -> None:
    classes = 2 if np.prod(shape) == np.prod(label) else 3
    check_layer(FocalLoss(axis=axis, **keys), shape, Shape(label, "index"), classes=classes)
    layer = FocalLoss(axis=axis, class_weight=(0.5, 2.0, 0.7)[:classes], **keys)
    check_layer(layer, shape, Shape(label, "index"), label[:1], classes=classes)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 or 4 x 3 integers, not 5 of index"),
    ({}, [(4, 3), (4, 3)], "bottom", "the label must be 4 x 3 or 4 x 3 integers, not 4 x 3 of float"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
    ({"class_weight": (1.0, 2.0)}, [(4, 3), Shape((4,), "index")], "class_weight", "needs one number for each of the 3 classes"),
    ({"class_weight": (1.0,) * 3}, [(4, 3), Shape((4, 3), "index")], "class_weight", "for each of the 2 classes, not 3"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(FocalLoss(**keys), shapes, key, words)
