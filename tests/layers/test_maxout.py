"""Maxout: the largest of neighbouring channels, and which of equals gets the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.maxout import Maxout
from dltrain.testing import check_layer


def test_of_every_two_neighbours_the_larger(run: Any) -> None:
    made = run(Maxout(), np.array([[1.0, 5, 7, -2], [0, -1, 3, 4]]), dy=[[10, 20], [30, 40]])
    np.testing.assert_array_equal(made.y, [[5, 7], [0, 4]])
    np.testing.assert_array_equal(made.dx, [[0, 10, 20, 0], [30, 0, 0, 40]])


def test_each_place_has_its_own_winner(run: Any) -> None:
    made = run(Maxout(pieces=3), np.array([[[1.0, 2], [3, 0], [2, 9]]]), dy=[[[5, 6]]])
    np.testing.assert_array_equal(made.y, [[[3, 9]]])
    np.testing.assert_array_equal(made.dx, [[[0, 0], [5, 0], [0, 6]]])


def test_the_first_of_equals_gets_the_gradient(run: Any) -> None:
    np.testing.assert_array_equal(run(Maxout(pieces=3), np.array([[2.0, 7, 7]])).dx, [[0, 1, 0]])


def test_a_nan_stays_a_nan(run: Any) -> None:
    assert np.isnan(run(Maxout(), np.array([[1.0, np.nan]])).y).all()


@pytest.mark.parametrize(("pieces", "shape"), [(2, (3, 4)), (3, (2, 6, 4)), (2, (2, 2, 3, 4)), (4, (1, 8, 2, 2, 2))])
def test_sits_the_exam(pieces: int, shape: tuple[int, ...]) -> None:
    check_layer(Maxout(pieces=pieces), shape)


@pytest.mark.parametrize(("pieces", "shape", "key", "words"), [
    (2, (3, 5), "pieces", "2 does not divide the bottom's 5 channels"),
    (2, (4,), "", "needs a bottom with channels (N x C), not 4"),
])  # fmt: skip
def test_refuses(pieces: int, shape: tuple[int, ...], key: str, words: str, refuses: Any) -> None:
    refuses(Maxout(pieces=pieces), [shape], key, words)
