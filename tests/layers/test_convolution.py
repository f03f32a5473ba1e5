"""Convolution: by hand, by Sobel, and against plain loops over one to three spatial axes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dltrain.layers.convolution import Convolution
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

GEOMETRIES = {
    "plain": ((2, 3, 6, 4), {"num_output": 4, "kernel_size": (3,), "stride": (2,)}, (4, 2, 1)),
    "1 x 1": ((2, 5, 3, 4), {"num_output": 3, "kernel_size": (1,)}, (3, 3, 4)),
    "padded": ((1, 2, 5, 4), {"num_output": 2, "kernel_size": (3,), "pad": (1,)}, (2, 5, 4)),
    "another on each axis": ((1, 2, 9, 10), {"num_output": 2, "kernel_size": (3, 5), "pad": (0, 2), "stride": (1, 3),
                                             "dilation": (2, 1)}, (2, 5, 4)),
    "dilated": ((1, 2, 9, 8), {"num_output": 2, "kernel_size": (3,), "dilation": (3,), "pad": (1,)}, (2, 5, 4)),
    "grouped": ((2, 4, 5, 5), {"num_output": 6, "kernel_size": (3,), "group": 2}, (6, 3, 3)),
    "depthwise": ((2, 3, 4, 4), {"num_output": 6, "kernel_size": (2,), "group": 3}, (6, 3, 3)),
    "without bias": ((2, 3, 4, 4), {"num_output": 2, "kernel_size": (2,), "bias_term": False}, (2, 3, 3)),
    "pad wider than the kernel": ((1, 1, 2, 2), {"num_output": 1, "kernel_size": (2,), "pad": (3,), "stride": (2,)}, (1, 4, 4)),
    "window as large as the padded image": ((1, 1, 2, 3), {"num_output": 1, "kernel_size": (4, 5), "pad": (1,)}, (1, 1, 1)),
    "1-D": ((2, 2, 7), {"num_output": 3, "kernel_size": (3,), "stride": (2,), "pad": (1,)}, (3, 4)),
    "3-D": ((1, 2, 4, 5, 3), {"num_output": 2, "kernel_size": (2, 3, 1), "stride": (2, 1, 1), "pad": (0, 1, 0)}, (2, 2, 5, 3)),
    "channels on another axis": ((2, 3, 2, 5, 4), {"num_output": 3, "kernel_size": (3, 2), "axis": 2}, (3, 3, 3, 3)),
    "channels counted from the end": ((2, 3, 2, 5), {"num_output": 3, "kernel_size": (3,), "axis": -2}, (3, 3, 3)),
    "3-D in groups": ((1, 4, 3, 3, 3), {"num_output": 2, "kernel_size": (2,), "group": 2, "dilation": (2,)}, (2, 1, 1, 1)),
}  # fmt: skip


def slow(x: Any, w: Any, b: Any, layer: Convolution, shape: tuple[int, ...]) -> Any:
    """The definition: one number at a time, what lies outside the image is 0."""
    axes = x.ndim - 2
    stride, pad, dilation = (v * axes if len(v) == 1 else v for v in (layer.stride, layer.pad, layer.dilation))
    y, channels, outputs = np.zeros(shape), w.shape[1], w.shape[0] // layer.group
    for n, o, *place in product(*map(range, shape)):
        for c, *tap in product(*map(range, w.shape[1:])):
            at = [p * s - q + t * d for p, s, q, t, d in zip(place, stride, pad, tap, dilation)]
            if all(0 <= a < size for a, size in zip(at, x.shape[2:])):
                y[n, o, *place] += x[n, o // outputs * channels + c, *at] * w[o, c, *tap]
        y[n, o, *place] += b[o]
    return y


@pytest.mark.parametrize("case", GEOMETRIES)
def test_is_what_plain_loops_make(case: str, run: Any) -> None:
    shape, keys, expected = GEOMETRIES[case]
    layer, rng = Convolution(**keys), np.random.default_rng(1)
    at = layer.axis % len(shape)
    parts = {part.role: part.shape for part in Trial(layer, [Shape(shape)]).store.segments.values()}
    x, params = rng.standard_normal(shape), {role: rng.standard_normal(size) for role, size in parts.items()}
    made = run(layer, x, params=params)
    assert made.y.shape == (shape[0], *expected)
    bias = params.get("bias", np.zeros(layer.num_output))
    images = np.reshape(x, (-1, *shape[at:]))  # all axes before the channels are samples
    expected = slow(images, params["weight"], bias, layer, (len(images), *made.y.shape[at:]))
    np.testing.assert_allclose(made.y, expected.reshape(made.y.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_sits_the_exam(case: str) -> None:
    shape, keys, _ = GEOMETRIES[case]
    check_layer(Convolution(**keys), shape)


def test_does_not_turn_the_filter_round(run: Any) -> None:
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1
    made = run(Convolution(num_output=1, kernel_size=(2,)), x, params={"weight": [[[[1, 2], [3, 4]]]], "bias": [10]})
    np.testing.assert_array_equal(made.y, [[[[14, 13], [12, 11]]]])


def test_gradients_by_hand(run: Any) -> None:
    x, w = [[[[1.0, 2, 3]]]], [[[[10.0, 20]]]]
    made = run(Convolution(num_output=1, kernel_size=(1, 2)), x, params={"weight": w, "bias": [0]}, dy=[[[[1, 100]]]])
    np.testing.assert_array_equal(made.dx, [[[[10, 1020, 2000]]]])
    np.testing.assert_array_equal(made.grads["weight"], [[[[201, 302]]]])
    np.testing.assert_array_equal(made.grads["bias"], [101])


def test_sobel_is_two_thin_filters_one_after_the_other(run: Any) -> None:
    x = np.random.default_rng(2).standard_normal((2, 1, 6, 5))
    rise, run_along = np.array([1.0, 2, 1]).reshape(1, 1, 3, 1), np.array([-1.0, 0, 1]).reshape(1, 1, 1, 3)
    square, tall, wide = (Convolution(num_output=1, kernel_size=kernel, stride=stride, bias_term=False)
                          for kernel, stride in [((3,), (2,)), ((3, 1), (2, 1)), ((1, 3), (1, 2))])  # fmt: skip
    at_once = run(square, x, params={"weight": rise * run_along}).y
    second = run(wide, run(tall, x, params={"weight": rise}).y, params={"weight": run_along}).y
    np.testing.assert_allclose(second, at_once, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(at_once[0, 0, 0, 0], (np.outer([1, 2, 1], [-1, 0, 1]) * x[0, 0, :3, :3]).sum(), rtol=1e-12)


def test_a_third_axis_of_depth_one_changes_nothing(run: Any) -> None:
    rng = np.random.default_rng(3)
    x, w, b = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
    flat = run(Convolution(num_output=4, kernel_size=(3,)), x, params={"weight": w, "bias": b}).y
    deep = run(Convolution(num_output=4, kernel_size=(1, 3, 3)), x[:, :, None], params={"weight": w[:, :, None], "bias": b}).y
    np.testing.assert_array_equal(deep[:, :, 0], flat)


def test_axis_changes_nothing_else_that_is_emitted() -> None:
    plain = [call.op.name for call in Trial(Convolution(num_output=2, kernel_size=(3,)), [Shape((2, 3, 6, 5))]).graph.calls]
    moved = Trial(Convolution(num_output=2, kernel_size=(3,), axis=2), [Shape((2, 2, 3, 6, 5))]).graph.calls
    assert plain == ["conv", "conv_dw", "conv_dx"]
    assert [call.op.name for call in moved if call.op.name != "reshape"] == plain


def test_parameters_have_the_shapes_of_caffe() -> None:
    parts = Trial(Convolution(num_output=6, kernel_size=(3, 5), group=2), [Shape((2, 4, 7, 7))]).store.segments.values()
    assert {part.role: part.shape for part in parts} == {"weight": (6, 2, 3, 5), "bias": (6,)}


def test_without_bias_there_is_no_bias() -> None:
    parts = Trial(Convolution(num_output=6, kernel_size=(3,), bias_term=False), [Shape((2, 4, 7, 7))]).store.segments.values()
    assert [part.role for part in parts] == ["weight"]


def test_the_arithmetic_of_lenets_first_layer_is_counted() -> None:
    calls = Trial(Convolution(num_output=20, kernel_size=(5,)), [Shape((64, 1, 28, 28))]).graph.calls
    assert {call.op.name: call.op.flops(call.args) for call in calls} == dict.fromkeys(("conv", "conv_dw", "conv_dx"), 36_864_000)


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 4), {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 4"),
    ((2, 4, 6, 6), {"axis": 3}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 4 x 6 x 6"),
    ((2, 4, 6, 6), {"axis": 0}, "axis", "0 is not an axis of 2 x 4 x 6 x 6 after the sample axis"),
    ((2, 4, 6, 6), {"axis": 4}, "axis", "4 is not an axis of 2 x 4 x 6 x 6 after the sample axis"),
    ((2, 4, 6, 6), {"kernel_size": (3, 3, 3)}, "kernel_size", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 4, 6, 6), {"stride": (1, 1, 1)}, "stride", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 4, 6, 6), {"pad": (0, 0, 0)}, "pad", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 4, 6, 6, 6), {"dilation": (1, 1)}, "dilation", "needs 1 or 3 numbers for 3 spatial axes"),
    ((2, 3, 6, 6), {"group": 2}, "group", "2 does not divide the bottom's 3 channels"),
    ((2, 3, 6, 6), {"group": 3}, "group", "3 does not divide num_output 4"),
    ((2, 4, 4, 6), {"kernel_size": (5,)}, "kernel_size", "is larger than its bottom: 5 x 5 over 4 x 6, padding included"),
    ((2, 4, 4, 6), {"dilation": (4,), "pad": (1, 2)}, "kernel_size", "is larger than its bottom: 9 x 9 over 6 x 10, padding"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Convolution(**{"num_output": 4, "kernel_size": (3,), **keys}), [shape], key, words)
