"""AUC: pairs by hand, exact where no two scores share a bin, else within the bound that the docstring gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.auc import AUC
from dltrain.tensor import Shape

X, LABEL = np.array([-2.0, -1, 0, 1, 2]), np.array([0, 1, 0, 1, 1])


def slow(x: Any, label: Any, weight: Any = None) -> float:
    """Every pair of a yes and a no; ties are a half."""
    w = np.ones(len(x)) if weight is None else weight
    pairs = w[label == 1][:, None] * w[label == 0]
    higher = x[label == 1][:, None] - x[label == 0]
    return float((pairs * ((higher > 0) + (higher == 0) / 2)).sum() / pairs.sum())


def test_by_hand(run: Any) -> None:
    assert run(AUC(), X, LABEL).y[0] == pytest.approx(5 / 6)
    assert slow(X, LABEL) == pytest.approx(5 / 6)


@pytest.mark.parametrize(("x", "y"), [([0.0, 1, 2, 3, 4], 1), ([4.0, 3, 2, 1, 0], 0), ([1.0] * 5, 0.5)])
def test_the_ends(x: list[float], y: float, run: Any) -> None:
    assert run(AUC(), np.array(x), np.array([0, 0, 0, 1, 1])).y[0] == y


def test_it_is_exact_where_no_two_scores_share_a_bin(run: Any) -> None:
    rng = np.random.default_rng(0)
    p, label = (rng.permutation(1000)[:300] + 0.5) / 1000, rng.integers(0, 2, 300)
    assert run(AUC(scores="probability", bins=1000), p, label).y[0] == pytest.approx(slow(p, label), rel=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 10, 100, 2048])
def test_it_is_off_by_at_most_half_the_share_of_pairs_in_one_bin(bins: int, run: Any) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 500)
    x = rng.standard_normal(500) + label
    made = run(AUC(bins=bins), x, label)
    yes, no = np.reshape(made.sums, (2, bins))
    assert abs(made.y[0] - slow(x, label)) <= (yes * no).sum() / 2 / (yes.sum() * no.sum()) + 1e-12


@pytest.mark.parametrize("shape", [(5, 1), (5,), (5, 1, 1)])
def test_a_score_for_each_label(shape: Any, run: Any) -> None:
    assert run(AUC(), X.reshape(shape), LABEL).y[0] == pytest.approx(5 / 6)


def test_two_classes(run: Any) -> None:
    both = np.stack([np.ones(5), X + 1], axis=1)
    assert run(AUC(), both, LABEL).y[0] == pytest.approx(5 / 6)
    p = 1 / (1 + np.exp(-X))
    made = run(AUC(scores="probability"), np.stack([1 - p, p], axis=1), LABEL)
    assert made.y[0] == pytest.approx(5 / 6)
    assert made.sums == run(AUC(), X, LABEL).sums


def test_what_is_ignored_and_what_weighs(run: Any) -> None:
    assert run(AUC(ignore_label=-1), X, np.array([0, 1, 0, -1, -1])).y[0] == 0.5
    weight = np.array([1.0, 2, 3, 4, 0])
    assert run(AUC(), X, LABEL, weight).y[0] == pytest.approx(slow(X, LABEL, weight))


def test_scores_at_and_beyond_the_ends_are_counted(run: Any) -> None:
    made = run(AUC(bins=4), np.array([-1e4, 1e4]), np.array([0, 1]))
    assert made.sums == [0, 0, 0, 1, 1, 0, 0, 0]
    made = run(AUC(bins=4, scores="probability"), np.array([0.0, 1.0, 0.25]), np.array([0, 1, 1]))
    assert made.sums == [0, 1, 0, 1, 1, 0, 0, 0]


def test_the_score_of_several_batches_is_that_of_their_sums(run: Any) -> None:
    sums = sum(np.array(run(AUC(), X[part], LABEL[part]).sums) for part in (slice(0, 2), slice(2, 5)))
    assert AUC.score(sums) == pytest.approx(5 / 6)
    assert AUC.score([0.0] * 8) == 0.0


@pytest.mark.parametrize(("shapes", "words"), [
    ([(4, 3), Shape((4,), "index")], "needs an integer label for each score (or for both of N x 2): 4 x 3 against 4 of index"),
    ([(4,), (4,)], "needs an integer label for each score (or for both of N x 2): 4 against 4 of float"),
    ([(4,), Shape((4,), "index"), (3,)], "the weight must be 4 or 4, not 3"),
    ([Shape((4,), "index"), Shape((4,), "index")], "needs real numbers, not the integers of 4"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(AUC(), shapes, "bottom", words)
