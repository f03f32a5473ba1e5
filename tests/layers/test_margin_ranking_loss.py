"""MarginRankingLoss: by hand; a label for each pair, or one number for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.margin_ranking_loss import MarginRankingLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

A, B = np.array([3.0, 1, 0]), np.array([1.0, 0.5, 2])


def test_by_hand(run: Any) -> None:
    made = run(MarginRankingLoss(), A, B, np.array([1, 1, -1]))
    assert made.y[0] == (0 + 0.5 + 0) / 3
    np.testing.assert_allclose(made.dxs[0], [0, -1 / 3, 0])
    np.testing.assert_allclose(made.dxs[1], [0, 1 / 3, 0])
    assert made.dxs[2] is None


def test_one_number_is_the_label_of_all(run: Any) -> None:
    one, other = run(MarginRankingLoss(), A, B, np.ones(1)), run(MarginRankingLoss(), A, B, np.ones(3))
    assert one.sums == other.sums == [0.5 + 3, 3]
    np.testing.assert_array_equal(one.dx, other.dx)
    np.testing.assert_allclose(one.dx, [0, -1 / 3, -1 / 3])


@pytest.mark.parametrize(("margin", "y"), [(0.0, 0), (2.0, 1), (2.5, 1.5)])
def test_the_margin(margin: float, y: float, run: Any) -> None:
    assert run(MarginRankingLoss(margin=margin), np.array([2.0]), np.array([1.0]), np.array([1])).y[0] == y


def test_weights(run: Any) -> None:
    made = run(MarginRankingLoss(), A, B, np.ones(1), np.array([1.0, 1, 2]))
    assert made.sums == [6.5, 4]
    np.testing.assert_array_equal(made.dx, [0, -0.25, -0.5])


@pytest.mark.parametrize("shapes", [[(4,), (4,), Shape((4,), "index")], [(3, 2), (3, 2), (1,)], [(3, 1), (3,), (3,), (3,)]])
def test_sits_the_exam(shapes: Any) -> None:
    check_layer(MarginRankingLoss(margin=0.37), *shapes)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4), (1,)], "needs as many scores a sample in both bottoms, not 2 x 3 and 2 x 4"),
    ([(2, 3), (2, 3), (2,)], "the label must be 2 x 3, or the number 1 or -1 for all, not 2"),
    ([(2,), Shape((2,), "index"), (2,)], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (1,), (3,)], "the weight must be 2 or 2 x 3, not 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(MarginRankingLoss(), shapes, "bottom", words)
