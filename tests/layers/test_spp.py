"""SPP: levels by hand, the same length for every size, and images too small for the pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.spp import SPP
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.arange(1.0, 17).reshape(1, 1, 4, 4)


def test_levels_come_one_behind_another(run: Any) -> None:
    made = run(SPP(pyramid_height=3), X)
    np.testing.assert_array_equal(made.y, [[16, 6, 8, 14, 16, *range(1, 17)]])
    expected = np.ones((4, 4))
    expected[1::2, 1::2] += 1
    expected[3, 3] += 1
    np.testing.assert_array_equal(made.dx, [[expected]])


def test_means(run: Any) -> None:
    made = run(SPP(pyramid_height=2, pool="mean"), X)
    np.testing.assert_array_equal(made.y, [[8.5, 3.5, 5.5, 11.5, 13.5]])
    np.testing.assert_allclose(made.dx, np.full((1, 1, 4, 4), 1 / 16 + 1 / 4))


def test_channels_within_a_level_stand_together(run: Any) -> None:
    made = run(SPP(pyramid_height=2), np.concatenate([X, -X], 1))
    np.testing.assert_array_equal(made.y, [[16, -1, 6, 8, 14, 16, -1, -3, -9, -11]])


def test_one_level_is_not_flattened(run: Any) -> None:
    np.testing.assert_array_equal(run(SPP(pyramid_height=1), X).y, [[[[16]]]])


@pytest.mark.parametrize(("sizes", "height", "length"), [
    ((8, 9), 3, 3 * 21), ((15, 8), 3, 3 * 21), ((4, 4), 3, 3 * 21), ((16, 16), 5, 3 * 341), ((7, 5), 2, 3 * 5), ((6,), 2, 3 * 3),
    ((3, 4, 5), 2, 3 * 9),
])  # fmt: skip
def test_the_length_of_the_top_does_not_depend_on_the_size(sizes: Any, height: int, length: int) -> None:
    assert Trial(SPP(pyramid_height=height), [Shape((2, 3, *sizes))]).promised == [(2, length)]


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize(("shape", "height"), [((2, 3, 7, 5), 2), ((1, 2, 9, 8), 3), ((2, 2, 5, 6), 1), ((2, 3, 6), 2)])
def test_sits_the_exam(shape: tuple[int, ...], height: int, pool: Any) -> None:
    check_layer(SPP(pyramid_height=height, pool=pool), shape)


@pytest.mark.parametrize(("shape", "key", "words"), [
    ((2, 3), "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    ((2, 3, 5, 8), "pyramid_height", "is too large: 4 bins an axis do not fit an image of 5 x 8"),
    ((2, 3, 2, 2), "pyramid_height", "is too large: 4 bins an axis do not fit an image of 2 x 2"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], key: str, words: str, refuses: Any) -> None:
    refuses(SPP(pyramid_height=3), [shape], key, words)
