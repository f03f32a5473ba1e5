"""Tile: repeated along an axis, and the sum of the pieces as its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.tile import Tile
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

CASES = [((2, 3, 4), 1, 3), ((2, 3), -1, 2), ((2, 3, 2, 2), 0, 2), ((2, 3), 1, 1), ((4,), 0, 5)]


def test_by_hand(run: Any) -> None:
    made = run(Tile(tiles=2), np.array([[1.0, 2], [3, 4]]), dy=[[1, 2, 30, 40], [5, 6, 70, 80]])
    np.testing.assert_array_equal(made.y, [[1, 2, 1, 2], [3, 4, 3, 4]])
    np.testing.assert_array_equal(made.dx, [[31, 42], [75, 86]])


@pytest.mark.parametrize(("shape", "axis", "tiles"), CASES)
def test_values(shape: Any, axis: int, tiles: int, run: Any) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_array_equal(run(Tile(tiles=tiles, axis=axis), x).y, np.concatenate([x] * tiles, axis))


def test_integers_stay_integers() -> None:
    assert Trial(Tile(tiles=2), [Shape((2, 3), "index")]).promised[0].dtype == "index"


@pytest.mark.parametrize(("shape", "axis", "tiles"), CASES)
def test_sits_the_exam(shape: Any, axis: int, tiles: int) -> None:
    check_layer(Tile(tiles=tiles, axis=axis), shape)


@pytest.mark.parametrize("axis", [2, -3])
def test_refuses(axis: int, refuses: Any) -> None:
    refuses(Tile(tiles=2, axis=axis), [(2, 3)], "axis", f"{axis} is not an axis of 2 x 3")
