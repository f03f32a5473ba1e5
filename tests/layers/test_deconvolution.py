"""Deconvolution: Caffe's example, the transpose of Convolution, enlarging, and what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.convolution import Convolution
from dltrain.layers.deconvolution import Deconvolution
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu, fusion
from dltrain.plan.hazards import hazards
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer
from dltrain.wiring import Line

GEOMETRIES = {
    "plain": ((2, 3, 4, 3), {"num_output": 4, "kernel_size": (3,), "stride": (2,)}, (4, 9, 7)),
    "1 x 1": ((2, 5, 3, 4), {"num_output": 3, "kernel_size": (1,)}, (3, 3, 4)),
    "padded": ((1, 2, 5, 4), {"num_output": 2, "kernel_size": (3,), "pad": (1,)}, (2, 5, 4)),
    "another on each axis": ((1, 2, 3, 4), {"num_output": 2, "kernel_size": (3, 5), "pad": (0, 2), "stride": (1, 3),
                                             "dilation": (2, 1)}, (2, 7, 10)),
    "grouped": ((2, 4, 3, 3), {"num_output": 6, "kernel_size": (3,), "group": 2}, (6, 5, 5)),
    "depthwise": ((2, 3, 4, 4), {"num_output": 3, "kernel_size": (4,), "stride": (2,), "pad": (1,), "group": 3}, (3, 8, 8)),
    "without bias": ((2, 3, 4, 4), {"num_output": 2, "kernel_size": (2,), "bias_term": False}, (2, 5, 5)),
    "1-D": ((2, 2, 4), {"num_output": 3, "kernel_size": (3,), "stride": (2,), "pad": (1,)}, (3, 7)),
    "3-D": ((1, 2, 2, 3, 2), {"num_output": 2, "kernel_size": (2, 3, 1), "stride": (2, 1, 1), "pad": (0, 1, 0)}, (2, 4, 3, 2)),
    "gaps between the taps": ((1, 2, 2, 2), {"num_output": 1, "kernel_size": (2,), "stride": (3,)}, (1, 5, 5)),
}  # fmt: skip


def parts_of(layer: Any, shape: Any) -> dict[str, Any]:
    return {part.role: part.shape for part in Trial(layer, [Shape(shape)]).store.segments.values()}


@pytest.mark.parametrize("case", GEOMETRIES)
def test_is_the_transpose_of_a_convolution(case: str, run: Any) -> None:
    shape, keys, top = GEOMETRIES[case]
    rng = np.random.default_rng(1)
    roles = parts_of(Deconvolution(**keys), shape)
    x, params = rng.standard_normal(shape), {role: rng.standard_normal(size) for role, size in roles.items()}
    made = run(Deconvolution(**keys), x, params=params)
    assert made.y.shape == (shape[0], *top)
    back = Convolution(**{**keys, "num_output": shape[1], "bias_term": False})
    image = rng.standard_normal(made.y.shape)
    there = run(back, image, params={"weight": params["weight"]}, dy=x)
    bias = params.get("bias", np.zeros(keys["num_output"])).reshape(-1, *[1] * (len(shape) - 2))
    np.testing.assert_allclose(made.y, there.dx + bias, rtol=1e-12, atol=1e-12)
    again = run(Deconvolution(**keys), x, params=params, dy=image)
    np.testing.assert_allclose(again.dx, there.y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again.grads["weight"], there.grads["weight"], rtol=1e-12, atol=1e-12)
    assert "bias" not in params or np.allclose(again.grads["bias"], image.sum(axis=(0, *range(2, image.ndim))), rtol=1e-12)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_sits_the_exam(case: str) -> None:
    shape, keys, _ = GEOMETRIES[case]
    check_layer(Deconvolution(**keys), shape)


def test_overlaps_add_up(run: Any) -> None:
    """All inputs and weights 1, three channels, bias 0.1: 3.1, 3 more where windows meet on one axis, 9 more on both."""
    params = {"weight": np.ones((3, 4, 3, 3)), "bias": np.full(4, 0.1)}
    made = run(Deconvolution(num_output=4, kernel_size=(3,), stride=(2,)), np.ones((2, 3, 6, 4)), params=params)
    assert made.y.shape == (2, 4, 13, 9)
    rows, columns = (1 + (np.arange(n) % 2 == 0) * (np.arange(n) > 0) * (np.arange(n) < n - 1) for n in (13, 9))
    np.testing.assert_allclose(made.y, np.broadcast_to(3 * np.outer(rows, columns) + 0.1, made.y.shape))


def test_one_pixel_becomes_the_filter(run: Any) -> None:
    made = run(Deconvolution(num_output=1, kernel_size=(2,)), [[[[2.0]]]], params={"weight": [[[[1, 2], [3, 4]]]], "bias": [10]})
    np.testing.assert_array_equal(made.y, [[[[12, 14], [16, 18]]]])


def test_a_bilinear_filter_enlarges(run: Any) -> None:
    line = np.array([0.25, 0.75, 0.75, 0.25])
    layer = Deconvolution(num_output=1, kernel_size=(4,), stride=(2,), pad=(1,), bias_term=False)
    made = run(layer, [[[[1.0, 2], [3, 4]]]], params={"weight": np.outer(line, line).reshape(1, 1, 4, 4)})
    np.testing.assert_allclose(made.y[0, 0, 1:3, 1:3], [[1.75, 2.25], [2.75, 3.25]])


def test_channels_on_another_axis(run: Any) -> None:
    rng = np.random.default_rng(2)
    x, params = (
        rng.standard_normal((2, 3, 2, 4, 3)),
        {"weight": rng.standard_normal((2, 4, 3, 3)), "bias": rng.standard_normal(4)},
    )
    moved = run(Deconvolution(num_output=4, kernel_size=(3,), axis=2), x, params=params)
    plain = run(Deconvolution(num_output=4, kernel_size=(3,)), x.reshape(6, 2, 4, 3), params=params)
    np.testing.assert_array_equal(moved.y, plain.y.reshape(2, 3, 4, 6, 5))
    np.testing.assert_array_equal(moved.dx, plain.dx.reshape(x.shape))
    check_layer(Deconvolution(num_output=4, kernel_size=(3,), axis=2), x.shape)


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 3, 4, 3)), (2, (2, 1, 3, 4, 3))])
def test_the_back_end_joins_no_gradient_with_the_forward_pass(axis: int, shape: Any) -> None:
    calls = Trial(Deconvolution(num_output=2, kernel_size=(3,), axis=axis), [Shape(shape)]).graph.calls
    names = [call.op.name for call in fusion.fuse(calls, set()) if call.way == "forward"]
    assert "conv_dx" in names


CONV = ("conv", "Convolution", {"num_output": 5, "kernel_size": (3,), "stride": (2,)})
UP = ("up", "Deconvolution", {"num_output": 4, "kernel_size": (3,), "stride": (2,), "pad": (1,)})
PLAIN = ("plain", "Deconvolution", {"num_output": 3, "kernel_size": (2,), "bias_term": False})
RELU, POOL = ("relu", "ReLU", {}), ("pool", "Pooling", {"kernel_size": (2,), "stride": (2,)})


def passed(lines: list[Any], backend: Reference) -> tuple[list[str], dict[str, Any]]:
    """A step without update of a net on one back end: the names of its calls, its loss and the gradients of its parameters."""
    lines = [*lines, ("ip", "InnerProduct", {"num_output": 3}), ("loss", "SoftmaxWithLoss", {})]
    bottoms = {"loss": ["ip", "label"]}
    made = [
        Line(name, LAYERS[kind](**keys), **({"bottom": bottoms[name]} if name in bottoms else {})) for name, kind, keys in lines
    ]
    net = Net(made, {"data": Shape((2, 9, 8)), "label": Shape((), "index")}, 4, 3)
    engine, rng = Engine(net, backend), np.random.default_rng(0)
    engine.initialise(3)
    batch = {"data": rng.standard_normal((4, 2, 9, 8)).astype(np.float32), "label": rng.integers(0, 3, 4)}
    engine.pass_through("train", batch, "train")
    if engine.pool is not None:
        engine.pool.close()
    assert engine.plan is not None and engine.graph is not None and hazards(engine.plan) == []
    found = {part.name: engine.memory.logical(part.handle.grad) for part in net.store.segments.values() if part.handle.grad}
    found |= {str(one): engine.memory.logical(one, engine.plan) for one in engine.graph.losses.values()}
    return [call.op.name for call in engine.plan.calls], found


@pytest.mark.parametrize("lines", [
    [CONV, UP], [CONV, PLAIN], [CONV, RELU, UP], [CONV, POOL, RELU, UP], [UP, CONV], [UP, RELU, POOL], [UP, PLAIN, CONV],
], ids=lambda lines: "-".join(line[0] for line in lines))  # fmt: skip
def test_between_neighbours_the_cpu_does_what_the_reference_does(lines: list[Any]) -> None:
    """The gradient by the filters reads what the forward conv_dx reads: the two are no pair, whatever else is joined."""
    cpu = Cpu(2)
    names, found = passed(lines, cpu)
    cpu.close()
    assert "conv_dx" in names and "conv_grad" in names and "copy" not in names
    _, right = passed(lines, Reference(np.float64))
    assert found.keys() == right.keys()
    for name, want in right.items():
        np.testing.assert_allclose(found[name], want, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(want).max())), err_msg=name)


def test_parameters_have_the_shapes_of_caffe() -> None:
    layer = Deconvolution(num_output=6, kernel_size=(3, 5), group=2)
    assert parts_of(layer, (2, 4, 7, 7)) == {"weight": (4, 3, 3, 5), "bias": (6,)}


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 4), {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 4"),
    ((2, 4, 6, 6), {"kernel_size": (3, 3, 3)}, "kernel_size", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 4, 6), {"stride": (1, 1)}, "stride", "needs 1 or 1 numbers for 1 spatial axes"),
    ((2, 3, 6, 6), {"group": 2}, "group", "2 does not divide the bottom's 3 channels"),
    ((2, 3, 6, 6), {"group": 3}, "group", "3 does not divide num_output 4"),
    ((2, 3, 1, 2), {"pad": (2,)}, "pad", "takes away all of the top, 3 x 4 without it"),
    ((2, 4, 6, 6), {"axis": 4}, "axis", "4 is not an axis of 2 x 4 x 6 x 6 after the sample axis"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Deconvolution(**{"num_output": 4, "kernel_size": (3,), **keys}), [shape], key, words)
