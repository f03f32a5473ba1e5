"""Accuracy: ties count against, the top k, what is ignored, and the sums that exact scores are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.accuracy import Accuracy
from dltrain.tensor import Shape

RNG = np.random.default_rng(0)
SCORES, LABELS = RNG.standard_normal((100, 10)), RNG.integers(0, 10, 100)


def slow(top_k: int, kept: Any) -> float:
    """The share of the kept samples whose label is among the top_k best."""
    best = [sorted(range(10), key=lambda c: -SCORES[n, c])[:top_k] for n in range(100)]
    return sum(LABELS[n] in best[n] for n in range(100) if kept[n]) / sum(kept)


@pytest.mark.parametrize("top_k", [1, 3, 9, 10])
def test_is_what_a_plain_loop_counts(top_k: int, run: Any) -> None:
    made = run(Accuracy(top_k=top_k), SCORES, LABELS)
    assert made.y[0] == pytest.approx(slow(top_k, [True] * 100))
    assert made.sums == [round(100 * slow(top_k, [True] * 100)), 100]


@pytest.mark.parametrize(("scores", "label", "top_k", "y"), [
    ([0, 0, 0], 1, 1, 0),  # all equal: never right
    ([0, 0, 0], 1, 2, 0),
    ([0, 0, 0], 1, 3, 1),  # of three classes the best three hold every label
    ([5, 5, 1], 0, 1, 0),
    ([5, 5, 1], 0, 2, 1),
    ([5, 4, 4], 2, 2, 0),
    ([5, 4, 3], 0, 1, 1),
    ([5, 4, 3], 1, 1, 0),
])  # fmt: skip
def test_ties_count_against(scores: list[float], label: int, top_k: int, y: float, run: Any) -> None:
    assert run(Accuracy(top_k=top_k), np.array([scores], float), np.array([label])).y[0] == y


@pytest.mark.parametrize("ignored", [255, -1, 3])
def test_an_ignored_label_is_not_counted(ignored: int, run: Any) -> None:
    kept = LABELS != 3
    made = run(Accuracy(ignore_label=ignored), SCORES, np.where(kept, LABELS, ignored))
    assert made.y[0] == pytest.approx(slow(1, kept))
    assert made.sums[1] == kept.sum()


def test_three_of_a_hundred_ignored_leave_97(run: Any) -> None:
    label = LABELS.copy()
    label[[2, 32, 34]] = 255
    assert run(Accuracy(ignore_label=255), SCORES, label).sums[1] == 97


def test_where_all_is_ignored_the_score_is_zero(run: Any) -> None:
    made = run(Accuracy(ignore_label=7), np.eye(3), np.full(3, 7))
    assert made.y[0] == 0
    assert made.sums == [0, 0]


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_every_place_of_an_image_counts(axis: int, run: Any) -> None:
    x = np.moveaxis(SCORES.reshape(5, 20, 10), 2, axis)
    assert run(Accuracy(axis=axis), x, LABELS.reshape(5, 20)).y[0] == pytest.approx(slow(1, [True] * 100))


def test_weights_stand_for_samples(run: Any) -> None:
    x, label = np.array([[9.0, 1], [9, 1], [1, 9]]), np.array([0, 1, 1])
    made = run(Accuracy(), x, label, np.array([1.0, 3, 4]))
    assert made.y[0] == 5 / 8
    assert made.sums == [5, 8]


def test_a_weight_for_each_sample_is_spread_over_its_places(run: Any) -> None:
    x = np.array([[[9.0, 9], [1, 1]], [[9, 1], [1, 9]]])  # N x C x places
    made = run(Accuracy(), x, np.array([[0, 1], [0, 1]]), np.array([1.0, 3]))
    assert made.sums == [7, 8]


def test_per_class(run: Any) -> None:
    """Class 0: one of two; class 1: 3 of a weight of 4; class 2 only where it is ignored."""
    x = np.array([[9.0, 1, 0], [1, 9, 0], [1, 9, 0], [9, 1, 0], [0, 0, 9]])
    made = run(Accuracy(ignore_label=2), x, np.array([0, 0, 1, 1, 2]), np.array([1.0, 1, 3, 1, 1]))
    np.testing.assert_array_equal(made.tops[1], [0.5, 0.75, 0])
    assert made.sums == [4, 6]


def test_per_class_of_places(run: Any) -> None:
    x = np.array([[[9.0, 9], [1, 1]], [[9, 1], [1, 9]]])
    np.testing.assert_array_equal(run(Accuracy(), x, np.array([[0, 1], [0, 1]])).tops[1], [1, 0.5])


def test_the_score_of_several_batches_is_that_of_their_sums() -> None:
    assert Accuracy.score([3.0, 4.0]) == 0.75
    assert Accuracy.score([0.0, 0.0]) == 0.0


def test_more_is_better() -> None:
    assert Accuracy.kind == "metric" and Accuracy.higher_is_better


def test_it_gives_no_gradient_and_computes_none(run: Any) -> None:
    assert {call.way for call in run(Accuracy(), np.eye(3), np.arange(3)).trial.graph.calls} == {"forward"}


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({"axis": -2}, [(4, 3), Shape((4,), "index")], "axis", "-2 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers for scores of 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers for scores of 4 x 3, not 4 of float"),
    ({}, [(4, 3, 2), Shape((4,), "index")], "bottom", "the label must be 4 x 2 integers for scores of 4 x 3 x 2, not 4 of index"),
    ({}, [(4, 3), Shape((4,), "index"), (3,)], "bottom", "the weight must be 4 or 4, not 3"),
    ({"top_k": 4}, [(4, 3), Shape((4,), "index")], "top_k", "4 is more than the 3 classes"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Accuracy(**keys), shapes, key, words)
