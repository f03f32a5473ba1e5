"""ConfusionMatrix: rows of labels, columns of what they were taken for, sums over batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.confusion_matrix import ConfusionMatrix
from dltrain.tensor import Shape

X = np.array([[9.0, 1, 0], [1, 9, 0], [0, 9, 1], [0, 1, 9], [9, 1, 0]])
LABEL = np.array([0, 0, 1, 2, 2])


def test_by_hand(run: Any) -> None:
    made = run(ConfusionMatrix(), X, LABEL)
    assert made.y[0] == 3 / 5
    assert ConfusionMatrix.details(made.sums) == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    assert ConfusionMatrix.details(run(ConfusionMatrix(ignore_label=0), X, LABEL).sums) == [[0, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert ConfusionMatrix.details(run(ConfusionMatrix(ignore_label=255), X, np.full(5, 255)).sums) == [[0] * 3] * 3
    made = run(ConfusionMatrix(), X, LABEL, np.array([1.0, 2, 3, 4, 0.5]))
    assert ConfusionMatrix.details(made.sums) == [[1, 2, 0], [0, 3, 0], [0.5, 0, 4]]
    assert made.y[0] == pytest.approx(8 / 10.5)


def test_the_score_of_several_batches_is_that_of_their_sums(run: Any) -> None:
    sums = sum(np.array(run(ConfusionMatrix(), X[part], LABEL[part]).sums) for part in (slice(0, 1), slice(1, 5)))
    assert ConfusionMatrix.score(sums) == 0.6
    assert ConfusionMatrix.score([0.0] * 9) == 0.0


def test_of_equal_scores_the_last_is_the_best(run: Any) -> None:
    assert run(ConfusionMatrix(), np.zeros((2, 3)), np.array([0, 2])).sums == [0, 0, 1, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_every_place_of_an_image_counts(axis: int, run: Any) -> None:
    rng = np.random.default_rng(0)
    x, label = rng.standard_normal((4, 5, 6)), rng.integers(0, 6, (4, 5))
    found = np.zeros((6, 6))
    np.add.at(found, (label, x.argmax(axis=2)), 1)
    assert run(ConfusionMatrix(axis=axis), np.moveaxis(x, 2, axis), label).sums == list(found.reshape(-1))


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ({}, [Shape((4, 3), "index"), Shape((4,), "index")], "bottom", "needs real numbers, not the integers of 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(ConfusionMatrix(**keys), shapes, key, words)
