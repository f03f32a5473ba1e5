"""Pooling: Caffe's own examples with the places of the winners, its edge rules, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.pooling import Pooling
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

SMALL = [[1, 2, 5, 2, 3], [9, 4, 1, 4, 8], [1, 2, 5, 2, 3]]
MAGIC = [[35, 1, 6, 26, 19, 24], [3, 32, 7, 21, 23, 25], [31, 9, 2, 22, 27, 20],
         [8, 28, 33, 17, 10, 15], [30, 5, 34, 12, 14, 16], [4, 36, 29, 13, 18, 11]]  # fmt: skip
NONE = np.finfo(np.float64).min  # what an empty window gives

WINNERS = {
    "square": (
        SMALL, {"kernel_size": (2,)},
        [[9, 5, 5, 8], [9, 5, 5, 8]],
        [[5, 2, 2, 9], [5, 12, 12, 9]],
    ),
    "tall": (
        MAGIC, {"kernel_size": (3, 2)},
        [[35, 32, 26, 27, 27], [32, 33, 33, 27, 27], [31, 34, 34, 27, 27], [36, 36, 34, 18, 18]],
        [[0, 7, 3, 16, 16], [7, 20, 20, 16, 16], [12, 26, 26, 16, 16], [31, 31, 26, 34, 34]],
    ),
    "wide": (
        MAGIC, {"kernel_size": (2, 3)},
        [[35, 32, 26, 26], [32, 32, 27, 27], [33, 33, 33, 27], [34, 34, 34, 17], [36, 36, 34, 18]],
        [[0, 7, 3, 3], [7, 7, 16, 16], [20, 20, 20, 16], [26, 26, 26, 21], [31, 31, 26, 34]],
    ),
    "padded": (
        [[1, 2, 4], [2, 3, 2], [4, 2, 1]], {"kernel_size": (3,), "stride": (2,), "pad": (2,)},
        [[1, 4, 4], [4, 4, 4], [4, 4, 1]],
        [[0, 2, 2], [6, 2, 2], [6, 6, 8]],
    ),
    "overhanging": (
        [[1, 5, 3], [2, 4, 6], [9, 8, 7]], {"kernel_size": (2,), "stride": (2,)},
        [[5, 6], [9, 7]],
        [[1, 5], [6, 8]],
    ),
    "all equal": (
        [[2, 2], [2, 2]], {"kernel_size": (2,)},
        [[2]],
        [[0]],
    ),
    "below zero in the padding": (
        [[-3, -1], [-2, -4]], {"kernel_size": (2,), "stride": (2,), "pad": (1,)},
        [[-3, -1], [-2, -4]],
        [[0, 1], [2, 3]],
    ),
    "with an empty last window": (
        [[1, 2, 3, 4], [5, 6, 7, 8]], {"kernel_size": (1, 1), "stride": (1, 2)},
        [[1, 3, NONE], [5, 7, NONE]],
        [[0, 2, -1], [4, 6, -1]],
    ),
    "a number beats NaN, and NaN alone stays visible": (
        [[np.nan, 1], [2, np.nan], [np.nan, np.nan]], {"kernel_size": (1, 2)},
        [[1], [2], [np.nan]],
        [[1], [2], [4]],
    ),
    "minus infinity": (
        [[-np.inf, -np.inf], [-np.inf, -1]], {"kernel_size": (1, 2)},
        [[-np.inf], [-1]],
        [[0], [3]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WINNERS)
def test_max_takes_the_first_largest_and_remembers_where(case: str, run: Any) -> None:
    x, keys, y, winner = WINNERS[case]
    shape = (2, 3, *np.shape(x))
    made = run(Pooling(pool="max", **keys), np.broadcast_to(np.array(x, float), shape))
    np.testing.assert_array_equal(made.y, np.broadcast_to(y, made.y.shape))
    np.testing.assert_array_equal(made.held(made.trial.layer.winner), np.broadcast_to(winner, made.y.shape))
    counts = np.bincount([place for place in np.ravel(winner) if place >= 0], minlength=np.size(x)).reshape(np.shape(x))
    np.testing.assert_array_equal(made.dx, np.broadcast_to(counts, shape))


MEANS = {
    "counts the padding": (np.full((3, 3), 2), {"kernel_size": (3,), "pad": (1,)},
                           [[8 / 9, 4 / 3, 8 / 9], [4 / 3, 2, 4 / 3], [8 / 9, 4 / 3, 8 / 9]]),
    "does not count what hangs over": ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], {"kernel_size": (2,), "stride": (2,)},
                                       [[3, 4.5], [7.5, 9]]),
    "counts the padding on both sides of a line": ([[1, 2, 3, 4]], {"kernel_size": (1, 3), "stride": (1, 2), "pad": (0, 1)},
                                                   [[1, 3, 2]]),
    "of an empty window is 0": ([[1, 2, 3, 4]], {"kernel_size": (1, 1), "stride": (1, 2)}, [[1, 3, 0]]),
    "of everything": (MAGIC, {"kernel_size": (6,)}, [[18.5]]),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANS)
def test_mean(case: str, run: Any) -> None:
    x, keys, y = MEANS[case]
    made = run(Pooling(pool="mean", **keys), np.broadcast_to(np.array(x, float), (2, 3, *np.shape(x))))
    np.testing.assert_allclose(made.y, np.broadcast_to(y, made.y.shape), rtol=1e-15)


def test_mean_gives_each_place_its_share_of_the_gradient(run: Any) -> None:
    made = run(Pooling(pool="mean", kernel_size=(2,), stride=(2,)), np.zeros((1, 1, 3, 3)), dy=[[[[4, 6], [8, 5]]]])
    np.testing.assert_array_equal(made.dx, [[[[1, 1, 3], [1, 1, 3], [4, 4, 5]]]])


def test_one_spatial_axis(run: Any) -> None:
    np.testing.assert_array_equal(run(Pooling(kernel_size=(2,), stride=(2,)), [[[1.0, 3, 2, 5, 4]]]).y, [[[3, 5, 4]]])


def test_three_spatial_axes(run: Any) -> None:
    x = np.arange(27.0).reshape(1, 1, 3, 3, 3)
    np.testing.assert_array_equal(run(Pooling(kernel_size=(2,)), x).y, [[[[[13, 14], [16, 17]], [[22, 23], [25, 26]]]]])
    np.testing.assert_array_equal(run(Pooling(pool="mean", kernel_size=(3,)), x).y, [[[[[13]]]]])


SIZES = [
    ((6, 5), {"kernel_size": (3,), "stride": (2,)}, (3, 2)),
    ((6, 5), {"kernel_size": (3,), "stride": (2,), "round": "floor"}, (2, 2)),
    ((6, 5), {"kernel_size": (3,), "stride": (2,), "pad": (1,)}, (4, 3)),
    ((6, 5), {"kernel_size": (3,), "stride": (2,), "pad": (1,), "round": "floor"}, (3, 3)),
    ((32, 32), {"kernel_size": (3,), "stride": (2,)}, (16, 16)),  # CIFAR-10 quick: floor would give 15
    ((5, 5), {"kernel_size": (2,), "stride": (2,), "pad": (1,)}, (3, 3)),  # a fourth would start outside
    ((5, 8), {"kernel_size": (2, 1), "stride": (2, 3), "pad": (1, 0)}, (3, 3)),  # pad on one axis drops windows on both
    ((5, 7), {"kernel_size": (5, 7)}, (1, 1)),
    ((9,), {"kernel_size": (4,), "stride": (3,)}, (3,)),
    ((4, 5, 6), {"kernel_size": (2, 3, 2), "stride": (2,)}, (2, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("sizes", "keys", "expected"), [*SIZES, ((5, 8), {"kernel_size": (2, 1), "stride": (2, 3)}, (3, 4))])
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_the_size_of_the_top(pool: Any, sizes: tuple[int, ...], keys: Any, expected: tuple[int, ...]) -> None:
    assert Trial(Pooling(pool=pool, **keys), [Shape((2, 3, *sizes))]).promised == [(2, 3, *expected)]


@pytest.mark.parametrize(("sizes", "keys", "expected"), SIZES)
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_sits_the_exam(pool: Any, sizes: tuple[int, ...], keys: Any, expected: tuple[int, ...]) -> None:
    check_layer(Pooling(pool=pool, **keys), (2, 3, *sizes))


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 3), {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    ((2, 3, 5, 5), {"kernel_size": (2, 2, 2)}, "kernel_size", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 3, 5, 5), {"stride": (2, 2, 2)}, "stride", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 3, 5), {"pad": (0, 0)}, "pad", "needs 1 or 1 numbers for 1 spatial axes"),
    ((2, 3, 5, 5), {"pad": (2,)}, "pad", "2 must be smaller than kernel_size 2"),
    ((2, 3, 5, 5), {"kernel_size": (7,)}, "kernel_size", "7 is larger than its bottom: 5 x 5, padded by 0"),
    ((2, 3, 5, 4), {"kernel_size": (5, 7), "pad": (0, 1)}, "kernel_size", "7 is larger than its bottom: 5 x 4, padded by 1"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Pooling(**{"kernel_size": (2,), **keys}), [shape], key, words)
