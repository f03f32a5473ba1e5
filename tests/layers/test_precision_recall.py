"""PrecisionRecall: each average by hand, of classes and of questions of yes and no."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.precision_recall import PrecisionRecall
from dltrain.tensor import Shape

SAID, LABEL = np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 0, 0])  # of class 2 there is none
X = np.eye(3)[SAID]


def scores(layer: PrecisionRecall, made: Any) -> list[float]:
    found = layer.score(made.sums)
    assert tuple(found) == layer.parts and made.y[0] == pytest.approx(found["f1"])
    return list(found.values())


def test_macro(run: Any) -> None:
    """Class 0: 3 right of 4 predicted and 4 true; class 1: 1 of 2 and 2; class 2 is left out."""
    layer = PrecisionRecall()
    assert scores(layer, run(layer, X, LABEL)) == pytest.approx([(3 / 4 + 1 / 2) / 2] * 3)


def test_a_class_that_is_only_predicted_or_only_true_counts(run: Any) -> None:
    layer = PrecisionRecall()
    found = scores(layer, run(layer, np.eye(3)[[0, 0, 2]], np.array([0, 1, 0])))
    assert found == pytest.approx([(1 / 2 + 0 + 0) / 3] * 3)


def test_micro_of_classes_is_the_accuracy(run: Any) -> None:
    layer = PrecisionRecall(average="micro")
    made = run(layer, X, LABEL)
    assert made.sums == [4, 6, 6]
    assert scores(layer, made) == pytest.approx([4 / 6] * 3)


def test_one_class(run: Any) -> None:
    layer = PrecisionRecall(positive=1)
    made = run(layer, np.eye(3)[[1, 1, 1, 0]], np.array([1, 0, 0, 1]))
    assert made.sums == [1, 3, 2]
    assert scores(layer, made) == pytest.approx([1 / 3, 1 / 2, 2 / 5])


@pytest.mark.parametrize(("threshold", "sums"), [(0.0, [1, 3, 2]), (0.5, [1, 2, 2]), (3.0, [0, 0, 2])])
def test_one_score_for_yes(threshold: float, sums: list[float], run: Any) -> None:
    made = run(PrecisionRecall(threshold=threshold), np.array([[1.0], [0.2], [2], [-1]]), np.array([1, 0, 0, 1]))
    assert made.sums == sums


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_several_labels_a_sample(average: Any, run: Any) -> None:
    layer = PrecisionRecall(average=average)
    x, label = np.array([[1.0, -1], [1, 1], [-1, 1]]), np.array([[1, 1], [0, 1], [1, 0]])
    made = run(layer, x, label)
    assert made.sums == ([2, 4, 4] if average == "micro" else [1, 2, 2, 1, 2, 2])
    assert scores(layer, made) == pytest.approx([0.5] * 3)


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    layer = PrecisionRecall(ignore_label=1, average="micro")
    assert run(layer, X, LABEL).sums == [3, 4, 4]
    assert run(PrecisionRecall(positive=0), X, LABEL, np.array([5.0, 1, 2, 1, 3, 1])).sums == [7, 9, 10]
    assert run(PrecisionRecall(ignore_label=-1), np.ones((2, 1)), np.array([-1, 1])).sums == [1, 1, 1]


def test_nothing_at_all_scores_0() -> None:
    assert PrecisionRecall.score([0.0] * 3) == {"precision": 0, "recall": 0, "f1": 0}


def test_the_score_of_several_batches_is_that_of_their_sums(run: Any) -> None:
    layer = PrecisionRecall()
    sums = sum(np.array(run(layer, X[part], LABEL[part]).sums) for part in (slice(0, 2), slice(2, 6)))
    assert layer.score(sums) == layer.score(run(layer, X, LABEL).sums)


@pytest.mark.parametrize("axis", [1, -1])
def test_places_of_images(axis: int, run: Any) -> None:
    x = np.moveaxis(X.reshape(2, 3, 3), 2, axis)
    assert run(PrecisionRecall(axis=axis), x, LABEL.reshape(2, 3)).sums == [3, 4, 4, 1, 2, 2, 0, 0, 0]


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({"positive": 3}, [(4, 3), Shape((4,), "index")], "positive", "3 is none of the 3 classes"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 or 4 x 3 integers, not 5 of index"),
    ({}, [(4, 3), (4, 3)], "bottom", "the label must be 4 x 3 or 4 x 3 integers, not 4 x 3 of float"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(PrecisionRecall(**keys), shapes, key, words)
