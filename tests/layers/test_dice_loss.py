"""DiceLoss: by hand; regions of classes, or one mask; nothing against nothing costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.dice_loss import DiceLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

P = np.array([[[0.5, 1, 0]]])  # one sample, one class, three places


@pytest.mark.parametrize("label", [np.array([[1, 1, 0]]), np.array([[[1.0, 1, 0]]])])
def test_by_hand(label: Any, run: Any) -> None:
    made = run(DiceLoss(smooth=0.0), P, label)
    assert made.y[0] == pytest.approx(1 - 2 * 1.5 / (1.25 + 2))
    np.testing.assert_allclose(made.dx, 2 * (P * 3 / 3.25 - [[[1, 1, 0]]]) / 3.25)


def test_smooth_stands_on_both_sides(run: Any) -> None:
    assert run(DiceLoss(smooth=2.0), P, np.array([[1, 1, 0]])).y[0] == pytest.approx(1 - 5 / 5.25)


def test_classes_are_regions_of_their_own(run: Any) -> None:
    p, label = np.array([[[1.0, 0, 0], [0, 1, 1]]]), np.array([[0, 1, 0]])
    made = run(DiceLoss(smooth=0.0), p, label)
    assert made.sums == pytest.approx([(1 - 2 / 3) + (1 - 2 / 3), 2])


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_the_right_answer_and_nothing_against_nothing_cost_nothing(smooth: float, run: Any) -> None:
    label = np.array([[[0, 1], [1, 1]]])
    made = run(DiceLoss(smooth=smooth), np.eye(3)[label].transpose(0, 3, 1, 2), label)
    assert made.y[0] == pytest.approx(0) and np.isfinite(made.dx).all()
    assert not made.dx[0, 2].any()


def test_an_ignored_place_is_in_neither_region(run: Any) -> None:
    one = run(DiceLoss(ignore_label=255), P, np.array([[1, 255, 0]]))
    other = run(DiceLoss(), P[:, :, [0, 2]], np.array([[1, 0]]))
    assert one.y[0] == pytest.approx(other.y[0])
    assert one.dx[0, 0, 1] == 0


def test_weights(run: Any) -> None:
    p, label = np.concatenate([P, P]), np.array([[1, 1, 0], [0, 0, 1]])
    made = run(DiceLoss(smooth=0.0), p, label, np.array([3.0, 1]))
    assert made.sums == pytest.approx([3 * (1 - 3 / 3.25) + 1, 4])


@pytest.mark.parametrize(("shape", "axis", "label"), [
    ((2, 3, 4), 1, (2, 4)), ((2, 3, 2, 2), 1, (2, 2, 2)), ((2, 4, 3), -1, (2, 4)), ((2, 2, 3), 1, (2, 2, 3)),
    ((3, 1, 2, 2), 1, (3, 2, 2)),
])  # fmt: skip
def test_sits_the_exam(shape: Any, axis: int, label: Any) -> None:
    check_layer(DiceLoss(axis=axis), shape, Shape(label, "index"))
    check_layer(DiceLoss(axis=axis, ignore_label=0, smooth=0.3), shape, Shape(label, "index"), label[:1])


def test_the_gradient_is_right_of_masks_that_are_no_integers() -> None:
    check_layer(DiceLoss(), (2, 3, 4), (2, 3, 4))


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3, 2), Shape((4, 2), "index")], "axis", "0 is not an axis of 4 x 3 x 2 after the sample axis"),
    ({}, [(4, 3), Shape((4,), "index")], "bottom", "needs places to add up, N x C x ..., not 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 3), "index")], "bottom", "the label must be 4 x 2 integers, or 4 x 3 x 2, not 4 x 3 of index"),
    ({}, [(4, 3, 2), (4, 2)], "bottom", "the label must be 4 x 2 integers, or 4 x 3 x 2, not 4 x 2 of float"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (4, 2)], "bottom", "the weight must be 4, not 4 x 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(DiceLoss(**keys), shapes, key, words)
