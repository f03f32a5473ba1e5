"""Permute: which axis goes where, there and back."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from dltrain.layers.permute import Permute
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer


def test_by_hand(run: Any) -> None:
    made = run(Permute(order=(1, 0)), np.array([[1.0, 2, 3], [4, 5, 6]]), dy=[[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(made.y, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(made.dx, [[1, 3, 5], [2, 4, 6]])


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_of_four_axes(order: tuple[int, ...], run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    made = run(Permute(order=order), x, dy=10 * x.transpose(order))
    assert made.trial.promised == [tuple(x.shape[axis] for axis in order)]
    np.testing.assert_array_equal(made.y, x.transpose(order))
    np.testing.assert_array_equal(made.dx, 10 * x)


def test_integers_stay_integers() -> None:
    assert Trial(Permute(order=(1, 0)), [Shape((2, 3), "index")]).promised[0].dtype == "index"


@pytest.mark.parametrize("order", [(0,), (1, 2, 0), (0, 3, 1, 2)])
def test_sits_the_exam(order: tuple[int, ...]) -> None:
    check_layer(Permute(order=order), (2, 3, 4, 5)[: len(order)])


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (0, 1, 3), (0, 1, -1), (0, 1, 2, 3), ()])
def test_refuses(order: tuple[int, ...], refuses: Any) -> None:
    refuses(Permute(order=order), [(2, 3, 4)], "order", "must name each axis of 2 x 3 x 4 once: 0, 1, 2 in some order")
