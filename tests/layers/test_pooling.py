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
    np.testing.assert_array_equal(made.tops[1], np.broadcast_to(winner, made.y.shape))
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


@pytest.mark.parametrize("pool", ["mean", "sum", "stochastic", "lp", "lse"])
def test_only_max_has_a_mask(pool: Any) -> None:
    assert Pooling().top_roles(1) == ("mask",) and Pooling(pool=pool).top_roles(1) == ()


def test_the_mask_of_a_volume_counts_through_the_volume(run: Any) -> None:
    made = run(Pooling(kernel_size=(2,), stride=(2,)), np.arange(64.0).reshape(1, 1, 4, 4, 4))
    np.testing.assert_array_equal(made.tops[1], made.y)


OTHERS = {
    "sum": ({"pool": "sum", "kernel_size": (2,), "stride": (2,)}, [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[12, 9], [15, 9]]),
    "sum with padding": ({"pool": "sum", "kernel_size": (1, 3), "stride": (1, 2), "pad": (0, 1)}, [[1, 2, 3, 4]], [[3, 9, 4]]),
    "sum of an empty window": ({"pool": "sum", "kernel_size": (1, 1), "stride": (1, 2)}, [[1, 2, 3, 4]], [[1, 3, 0]]),
    "lp is the length": ({"pool": "lp", "kernel_size": (1, 2)}, [[3, -4, 3], [0, 0, 0]], [[5, 5], [0, 0]]),
    "lp with p 1": ({"pool": "lp", "p": 1.0, "kernel_size": (1, 2)}, [[3, -4, 3]], [[7, 7]]),
    "lp with p 3": ({"pool": "lp", "p": 3.0, "kernel_size": (1, 3)}, [[3, 4, 5]], [[6]]),
    "lp of large numbers": ({"pool": "lp", "kernel_size": (1, 2)}, [[3e200, -4e200]], [[5e200]]),
    "lp of an empty window": ({"pool": "lp", "kernel_size": (1, 1), "stride": (1, 2)}, [[1, -2, -3, 4]], [[1, 3, 0]]),
    "lse": ({"pool": "lse", "kernel_size": (1, 2)}, [[0, np.log(3)]], [[np.log(2)]]),
    "lse with beta": ({"pool": "lse", "beta": 2.0, "kernel_size": (1, 2)}, [[0, np.log(3)]], [[np.log(5) / 2]]),
    "lse of equals": ({"pool": "lse", "beta": 7.0, "kernel_size": (2,)}, [[-3, -3], [-3, -3]], [[-3]]),
    "lse of large numbers": ({"pool": "lse", "kernel_size": (1, 2)}, [[1e4, 1e4 + np.log(3), -1e4]],
                             [[1e4 + np.log(2), 1e4 + np.log(1.5)]]),
    "lse counts no padding": ({"pool": "lse", "kernel_size": (1, 2), "stride": (1, 2), "pad": (0, 1)}, [[4, 2, 2]], [[4, 2]]),
    "lse of an empty window": ({"pool": "lse", "kernel_size": (1, 1), "stride": (1, 2)}, [[1, -2, -3, 4]], [[1, -3, 0]]),
    "lse with a large beta is nearly the largest": ({"pool": "lse", "beta": 1e6, "kernel_size": (2,)}, SMALL,
                                                    [[9, 5, 5, 8], [9, 5, 5, 8]]),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_numbers_of_a_window(case: str, run: Any) -> None:
    keys, x, y = OTHERS[case]
    made = run(Pooling(**keys), np.broadcast_to(np.array(x, float), (2, 3, *np.shape(x))))
    np.testing.assert_allclose(made.y, np.broadcast_to(y, made.y.shape), rtol=1e-5 if "nearly" in case else 1e-12)
    assert np.isfinite(made.dx).all()


@pytest.mark.parametrize("pool", ["max", "mean", "sum", "lp", "lse", "stochastic"])
def test_nan_stays_visible(pool: Any, run: Any) -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(run(Pooling(pool=pool, kernel_size=(2,)), np.full((1, 1, 2, 2), np.nan)).y).all()


def test_gradients_of_the_others_by_hand(run: Any) -> None:
    x = [[[[3.0, 4, 0, 0]]]]
    pair: Any = {"kernel_size": (1, 2), "stride": (1, 2)}
    np.testing.assert_allclose(run(Pooling(pool="lp", **pair), x, dy=[[[[10, 1]]]]).dx, [[[[6, 8, 0, 0]]]])
    np.testing.assert_allclose(run(Pooling(pool="sum", **pair), x, dy=[[[[10, 1]]]]).dx, [[[[10, 10, 1, 1]]]])
    made = run(Pooling(pool="lse", **pair), [[[[0, np.log(3), 5, 5]]]], dy=[[[[8, 1]]]])
    np.testing.assert_allclose(made.dx, [[[[2, 6, 0.5, 0.5]]]])


# --- stochastic ---
DRAW: Any = {"pool": "stochastic", "kernel_size": (1, 2), "stride": (1, 2)}


def test_draws_in_proportion_to_the_value(run: Any) -> None:
    x = np.tile([1.0, 3], (2, 5, 20, 50))
    made = run(Pooling(**DRAW), x)
    assert set(np.unique(made.y)) == {1, 3}
    assert abs((made.y == 3).mean() - 0.75) < 3 * np.sqrt(0.75 * 0.25 / made.y.size)
    np.testing.assert_array_equal(made.dx.reshape(-1, 2), np.stack([made.y == 1, made.y == 3], -1).reshape(-1, 2))


def test_each_pass_draws_anew_and_the_same_pass_the_same(run: Any) -> None:
    x = np.tile([1.0, 3], (2, 5, 20, 50))
    one, again, other = (run(Pooling(**DRAW), x, step=step).y for step in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert 0.3 < (one == other).mean() < 0.9


def test_never_draws_what_is_not_above_zero(run: Any) -> None:
    made = run(Pooling(**{**DRAW, "kernel_size": (1, 3), "stride": (1, 3)}), np.tile([-2.0, 0, 5], (1, 4, 10, 10)))
    assert (made.y == 5).all()
    assert (made.dx.reshape(-1, 3) == [0, 0, 1]).all()


def test_a_window_with_nothing_above_zero_gives_zero(run: Any) -> None:
    for train in (True, False):
        made = run(Pooling(**DRAW), [[[[0.0, 0, -1, -2]]]], train=train)
        np.testing.assert_array_equal(made.y, [[[[0, 0]]]])


def test_in_the_test_phase_it_gives_the_mean_of_the_draws(run: Any) -> None:
    made = run(Pooling(**DRAW), [[[[1.0, 3, 2, 2, -1, 4]]]], train=False)
    np.testing.assert_array_equal(made.y, [[[[2.5, 2, 4]]]])


# --- global ---
@pytest.mark.parametrize("pool", ["max", "mean", "sum", "lp", "lse"])
@pytest.mark.parametrize("sizes", [(5,), (4, 6), (2, 3, 2)])
def test_global_pooling_takes_the_whole_image(pool: Any, sizes: tuple[int, ...], run: Any) -> None:
    x = np.random.default_rng(3).standard_normal((2, 3, *sizes))
    whole, same = run(Pooling(pool=pool, global_pooling=True), x), run(Pooling(pool=pool, kernel_size=sizes), x)
    assert whole.y.shape == (2, 3, *[1] * len(sizes))
    np.testing.assert_array_equal(whole.y, same.y)
    np.testing.assert_array_equal(whole.dx, same.dx)


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
    assert Trial(Pooling(pool=pool, **keys), [Shape((2, 3, *sizes))]).promised[0] == (2, 3, *expected)


@pytest.mark.parametrize(("sizes", "keys", "expected"), SIZES)
@pytest.mark.parametrize("pool", ["max", "mean", "sum", "stochastic", "lp", "lse"])
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


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({}, "kernel_size", "is missing; add kernel_size: 2, or global_pooling: true for one number a channel"),
    ({"global_pooling": True, "kernel_size": (2,)}, "kernel_size", "does not go with global_pooling, where the image is"),
    ({"global_pooling": True, "stride": (2,)}, "stride", "does not go with global_pooling"),
    ({"global_pooling": True, "pad": (1,)}, "pad", "does not go with global_pooling"),
])  # fmt: skip
def test_wants_a_window_or_the_whole_image(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Pooling(**keys), [(2, 3, 5, 5)], key, words)
