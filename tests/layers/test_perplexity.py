"""Perplexity: C for a net that knows nothing; of several batches that of the mean loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.perplexity import Perplexity
from dltrain.tensor import Shape

X, LABEL = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), np.array([1, 2])


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_equal_scores_leave_all_classes_open(classes: int, run: Any) -> None:
    assert run(Perplexity(), np.full((4, classes), 3.0), np.arange(4) % 2).y[0] == pytest.approx(classes)


def test_by_hand(run: Any) -> None:
    made = run(Perplexity(), X, LABEL)
    assert made.y[0] == pytest.approx((1 / 0.25 / 0.8) ** 0.5)
    assert made.sums[1] == 2


def test_the_score_of_several_batches_is_that_of_their_sums(run: Any) -> None:
    sums = sum(np.array(run(Perplexity(), X[[n]], LABEL[[n]]).sums) for n in (0, 1))
    assert Perplexity.score(sums) == pytest.approx(run(Perplexity(), X, LABEL).y[0])
    assert Perplexity.score([0.0, 0.0]) == 0.0


def test_less_is_better() -> None:
    assert Perplexity.kind == "metric" and not Perplexity.higher_is_better


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    assert run(Perplexity(ignore_label=1), X, LABEL).y[0] == pytest.approx(1 / 0.8)
    assert run(Perplexity(), X, LABEL, np.array([3.0, 1])).y[0] == pytest.approx((4**3 / 0.8) ** 0.25)
    assert run(Perplexity(ignore_label=9), X, np.array([9, 9])).y[0] == 0


@pytest.mark.parametrize("axis", [2, -1])
def test_another_axis(axis: int, run: Any) -> None:
    made = run(Perplexity(axis=axis), X.reshape(1, 2, 3), LABEL.reshape(1, 2))
    assert made.y[0] == pytest.approx((1 / 0.25 / 0.8) ** 0.5)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 0}, [(4, 3), Shape((4,), "index")], "axis", "0 is not an axis of 4 x 3 after the sample axis"),
    ({}, [(4, 3), Shape((5,), "index")], "bottom", "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ({}, [(4, 3), (4,)], "bottom", "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ({}, [Shape((4, 3), "index"), Shape((4,), "index")], "bottom", "needs real numbers, not the integers of 4 x 3"),
    ({}, [(4, 3, 2), Shape((4, 2), "index"), (2,)], "bottom", "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Perplexity(**keys), shapes, key, words)
