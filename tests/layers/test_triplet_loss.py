"""TripletLoss: by hand with both distances; nothing moves where the margin is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.triplet_loss import TripletLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

A, P, N = np.zeros((2, 2)), np.array([[3.0, 4], [0, 1]]), np.array([[0.0, 5.5], [9, 9]])


def test_by_hand(run: Any) -> None:
    made = run(TripletLoss(margin=6.0), A, P, N)
    assert made.y[0] == (6 + 25 - 30.25) / 2
    np.testing.assert_allclose(made.dxs[0], [[-3, 1.5], [0, 0]])
    np.testing.assert_allclose(made.dxs[1], [[3, 4], [0, 0]])
    np.testing.assert_allclose(made.dxs[2], [[0, -5.5], [0, 0]])


def test_by_hand_with_the_distance_itself(run: Any) -> None:
    made = run(TripletLoss(distance="euclidean"), A, P, N)
    assert made.y[0] == (1 + 5 - 5.5) / 2
    np.testing.assert_allclose(made.dxs[0], [[-0.3, 0.1], [0, 0]])
    np.testing.assert_allclose(made.dxs[1], [[0.3, 0.4], [0, 0]])
    np.testing.assert_allclose(made.dxs[2], [[0, -0.5], [0, 0]])


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_where_all_are_one_the_loss_is_the_margin_and_nothing_moves(distance: Any, run: Any) -> None:
    made = run(TripletLoss(distance=distance, margin=0.7), A, A, A)
    assert made.y[0] == pytest.approx(0.7)
    assert not any(dx.any() for dx in made.dxs)


def test_weights(run: Any) -> None:
    made = run(TripletLoss(margin=6.0), A, P, N, np.array([3.0, 1]))
    assert made.sums == [2.25, 4]
    np.testing.assert_allclose(made.dxs[1], [[4.5, 6], [0, 0]])
    assert made.dxs[3] is None


@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 2, 2)])
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_sits_the_exam(shape: Any, distance: Any) -> None:
    check_layer(TripletLoss(distance=distance, margin=0.41), *[shape] * 3)
    check_layer(TripletLoss(distance=distance, margin=0.41), *[shape] * 3, shape[:1])


@pytest.mark.parametrize(("shapes", "words"), [
    ([(2, 3), (2, 4), (2, 3)], "shapes differ: 2 x 3 and 2 x 4"),
    ([(2, 3), (2, 3), (2,)], "shapes differ: 2 x 3 and 2"),
    ([(2,), (2,), Shape((2,), "index")], "needs real numbers, not the integers of 2"),
    ([(2, 3), (2, 3), (2, 3), (2, 3)], "the weight must be 2, not 2 x 3"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(TripletLoss(), shapes, "bottom", words)
