"""Unpooling: back to the places of the winners, in layers, in nets, and after a back end has moved things."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.layers.pooling import Pooling
from dltrain.layers.unpooling import Unpooling
from dltrain.net import Net
from dltrain.ops.cpu import fusion
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import check_gradient, check_layer
from dltrain.wiring import Line

X = [[[[1.0, 5, 3], [2, 4, 6], [9, 8, 7]]]]


def test_values_go_back_to_their_places(run: Any) -> None:
    made = run(Unpooling(kernel_size=(2,), stride=(2,)), [[[[10.0, 20]]]], [[[[4.0, 3]]]], dy=[[[[1, 2, 3, 4], [5, 6, 7, 8]]]])
    np.testing.assert_array_equal(made.y, [[[[0, 0, 0, 20], [10, 0, 0, 0]]]])
    np.testing.assert_array_equal(made.dx, [[[[5, 4]]]])
    assert made.dxs[1] is None


def test_undoes_a_pooling_that_hangs_over(run: Any) -> None:
    y, mask = run(Pooling(kernel_size=(2,), stride=(2,)), X).tops
    made = run(Unpooling(), y, mask, X)
    np.testing.assert_array_equal(made.y, [[[[0, 5, 0], [0, 0, 6], [9, 0, 7]]]])
    np.testing.assert_array_equal(made.dx, np.ones((1, 1, 2, 2)))


def test_overlapping_windows_with_one_winner_add_up(run: Any) -> None:
    y, mask = run(Pooling(kernel_size=(2,)), X).tops
    made = run(Unpooling(kernel_size=(2,)), y, mask)
    np.testing.assert_array_equal(made.y, [[[[0, 5, 0], [0, 0, 6], [9, 8, 0]]]])


def test_overlap(run: Any) -> None:
    made = run(Unpooling(kernel_size=(2,)), [[[1.0, 2, 4]]], [[[1.0, 1, 3]]], dy=[[[1, 2, 3, 4]]])
    np.testing.assert_array_equal(made.y, [[[0, 3, 0, 4]]])
    np.testing.assert_array_equal(made.dx, [[[2, 2, 4]]])


@pytest.mark.parametrize("place", [-1.0, 4.0, float("nan"), 1e9])
def test_a_place_outside_the_plane_gets_nothing(place: float, run: Any) -> None:
    made = run(Unpooling(kernel_size=(2,)), [[[1.0, 2, 4]]], [[[0, place, 3]]])
    np.testing.assert_array_equal(made.y, [[[1, 0, 0, 4]]])
    np.testing.assert_array_equal(made.dx, [[[1, 0, 1]]])


@pytest.mark.parametrize(("shape", "keys", "like"), [
    ((2, 3, 2, 3), {"kernel_size": (2,), "stride": (2,)}, None),
    ((2, 3, 3), {"kernel_size": (3,), "stride": (2,), "pad": (1,)}, None),
    ((2, 3, 2, 2), {}, (2, 1, 3, 4)), ((1, 2, 2, 1, 2), {"kernel_size": (2, 1, 3)}, None),
])  # fmt: skip
def test_sits_the_exam(shape: Any, keys: Any, like: Any) -> None:
    shapes, rng = [shape, shape, like][: 2 + bool(like)], np.random.default_rng(1)
    check_layer(Unpooling(**keys), *shapes)
    places = rng.integers(0, np.prod(shape[2:]), shape).astype(float)
    check_gradient(Unpooling(**keys), *shapes, xs=[rng.standard_normal(shape), places, *map(np.zeros, shapes[2:])])


def net() -> Net:
    lines = [
        Line("conv", LAYERS["Convolution"](num_output=2, kernel_size=(3,), pad=(1,))),
        Line("relu", LAYERS["ReLU"]()),
        Line("pool", LAYERS["Pooling"](kernel_size=(2,), stride=(2,))),
        Line("up", LAYERS["Unpooling"](), ["pool", "pool.mask", "relu"]),
        Line("loss", LAYERS["EuclideanLoss"](), ["up", "data"]),
    ]  # fmt: skip
    return Net(lines, {"data": Shape((2, 5, 4))}, batch=3)


@pytest.mark.parametrize("phase", ["train", "test"])
def test_in_a_net_no_back_end_moves_the_pooling_whose_mask_is_read(phase: str) -> None:
    """Before the ReLU the winner among its zeros would be another."""
    calls = fusion.fuse(net().graph(phase, (3,)).calls, set())
    pooled = next(call for call in calls if call.op.name == "max_pool")
    assert pooled.args["x"].name == "relu"


@pytest.mark.parametrize(("shapes", "keys", "key", "words"), [
    ([(2, 3), (2, 3)], {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    ([(2, 3, 4), (2, 3, 5)], {}, "bottom", "the mask must be 2 x 3 x 4, as x, not 2 x 3 x 5"),
    ([(2, 3, 4), (2, 3, 4)], {}, "kernel_size", "is missing; give the keys of the Pooling, or a third bottom like"),
    ([(2, 3, 4), (2, 3, 4)], {"kernel_size": (2, 2)}, "kernel_size", "needs 1 or 1 numbers for 1 spatial axes"),
    ([(2, 3, 4), (2, 3, 4)], {"kernel_size": (2,), "stride": (2, 2)}, "stride", "needs 1 or 1 numbers for 1 spatial axes"),
    ([(2, 3, 1), (2, 3, 1)], {"kernel_size": (2,), "pad": (1,)}, "pad", "takes away all of the top, 2 without it"),
    ([(2, 3, 4)] * 3, {"kernel_size": (2,)}, "kernel_size", "does not go with the bottom `like`, which says the size"),
    ([(2, 3, 4), (2, 3, 4), (2, 4)], {}, "bottom", "like must have the 3 axes of x, 2 x 3 x 4, not 2 x 4"),
])  # fmt: skip
def test_refuses(shapes: Any, keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Unpooling(**keys), shapes, key, words)
