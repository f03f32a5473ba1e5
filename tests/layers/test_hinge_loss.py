"""HingeLoss: every class against a margin, L1 and L2, Caffe's halves that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.hinge_loss import HingeLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

X, LABEL = np.array([[2.0, 0.5, -3], [0.5, 0.25, -0.5]]), np.array([0, 1])


def test_by_hand(run: Any) -> None:
    made = run(HingeLoss(), X, LABEL)
    assert made.y[0] == (0 + 1.5 + 0 + 1.5 + 0.75 + 0.5) / 2
    np.testing.assert_array_equal(made.dx, np.array([[0, 1, 0], [1, -1, 1]]) / 2)


def test_by_hand_squared(run: Any) -> None:
    made = run(HingeLoss(norm="L2"), X, LABEL, dy=[3])
    assert made.y[0] == (2.25 + 2.25 + 0.5625 + 0.25) / 2
    np.testing.assert_array_equal(made.dx, 3 * np.array([[0, 1.5, 0], [1.5, -0.75, 0.5]]))


@pytest.mark.parametrize(("margin", "y"), [(0.5, 0), (2.5, 2 * 1.25)])
def test_the_margin(margin: float, y: float, run: Any) -> None:
    assert run(HingeLoss(margin=margin), np.array([[1.25, -1.25]]), np.array([0])).y[0] == y


def test_at_the_margin_nothing_pulls(run: Any) -> None:
    assert not run(HingeLoss(), np.array([[1.0, -1]]), np.array([0])).dx.any()


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    made = run(HingeLoss(ignore_label=1), X, LABEL)
    assert made.sums == [1.5, 1] and not made.dx[1].any()
    assert run(HingeLoss(), X, LABEL, np.array([3.0, 1])).sums == [3 * 1.5 + 2.75, 4]
    assert run(HingeLoss(ignore_label=255), X, np.array([255, 255])).y[0] == 0


@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize(("shape", "axis", "label"), [((4, 3), 1, (4,)), ((2, 3, 2, 2), 1, (2, 2, 2)), ((2, 4, 3), -1, (2, 4))])
def test_sits_the_exam(norm: Any, shape: Any, axis: int, label: Any) -> None:
    check_layer(HingeLoss(norm=norm, axis=axis), shape, Shape(label, "index"), classes=3)
    check_layer(HingeLoss(norm=norm, axis=axis, ignore_label=2, margin=0.43), shape, Shape(label, "index"), label, classes=3)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ({}, [Shape((4, 3), "index"), Shape((4,), "index")], "bottom", "needs real numbers, not the integers of 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(HingeLoss(**keys), shapes, key, words)
