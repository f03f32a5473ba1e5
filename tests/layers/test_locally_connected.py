"""LocallyConnected: by hand, as a convolution where all filters are equal, and against plain loops where they are not."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dltrain.layers.convolution import Convolution
from dltrain.layers.locally_connected import LocallyConnected
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

GEOMETRIES = {
    "plain": ((2, 3, 5, 4), {"num_output": 4, "kernel_size": (3,)}, (4, 3, 2)),
    "strided and padded": ((2, 2, 5, 6), {"num_output": 3, "kernel_size": (3, 2), "stride": (2, 1), "pad": (1, 0)}, (3, 3, 5)),
    "dilated": ((1, 2, 6, 5), {"num_output": 2, "kernel_size": (2,), "dilation": (3,)}, (2, 3, 2)),
    "without bias": ((2, 3, 4, 4), {"num_output": 2, "kernel_size": (2,), "bias_term": False}, (2, 3, 3)),
    "1-D": ((2, 2, 7), {"num_output": 3, "kernel_size": (3,), "stride": (2,), "pad": (1,)}, (3, 4)),
    "3-D": ((1, 2, 3, 3, 2), {"num_output": 2, "kernel_size": (2, 3, 1)}, (2, 2, 1, 2)),
}  # fmt: skip


def roles(layer: Any, shape: Any) -> dict[str, Any]:
    return {part.role: part.shape for part in Trial(layer, [Shape(shape)]).store.segments.values()}


def test_each_place_has_its_own_filter(run: Any) -> None:
    params = {"weight": np.reshape([1.0, 2, 10, 20], (2, 1, 1, 2)), "bias": [[[100, 200]]]}
    made = run(LocallyConnected(num_output=1, kernel_size=(1, 2)), [[[[1.0, 2, 3]]]], params=params, dy=[[[[1, 10]]]])
    np.testing.assert_array_equal(made.y, [[[[105, 280]]]])
    np.testing.assert_array_equal(made.dx, [[[[1, 102, 200]]]])
    np.testing.assert_array_equal(made.grads["weight"].reshape(2, 2), [[1, 2], [20, 30]])
    np.testing.assert_array_equal(made.grads["bias"], [[[1, 10]]])


@pytest.mark.parametrize("case", GEOMETRIES)
def test_equal_filters_are_a_convolution(case: str, run: Any) -> None:
    shape, keys, top = GEOMETRIES[case]
    rng, plain = np.random.default_rng(1), Convolution(**keys)
    params = {role: rng.standard_normal(size) for role, size in roles(plain, shape).items()}
    places = int(np.prod(top[1:]))
    untied = {"weight": np.repeat(params["weight"], places, 0)}
    if "bias" in params:
        untied["bias"] = np.broadcast_to(params["bias"].reshape(-1, *[1] * (len(top) - 1)), top)
    x = rng.standard_normal(shape)
    one, other = run(plain, x, params=params), run(LocallyConnected(**keys), x, params=untied)
    assert other.y.shape == (shape[0], *top)
    np.testing.assert_allclose(other.y, one.y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(other.dx, one.dx, rtol=1e-12, atol=1e-12)
    summed = other.grads["weight"].reshape(top[0], places, -1).sum(1)
    np.testing.assert_allclose(summed, one.grads["weight"].reshape(top[0], -1), rtol=1e-12, atol=1e-12)


def test_is_what_plain_loops_make(run: Any) -> None:
    rng = np.random.default_rng(2)
    x, w, b = rng.standard_normal((2, 3, 4, 3)), rng.standard_normal((2 * 6, 3, 2, 2)), rng.standard_normal((2, 3, 2))
    made, expected = (
        run(LocallyConnected(num_output=2, kernel_size=(2,)), x, params={"weight": w, "bias": b}),
        np.zeros((2, 2, 3, 2)),
    )
    for n, o, i, j in product(*map(range, expected.shape)):
        expected[n, o, i, j] = (x[n, :, i : i + 2, j : j + 2] * w[o * 6 + i * 2 + j]).sum() + b[o, i, j]
    np.testing.assert_allclose(made.y, expected, rtol=1e-12)


@pytest.mark.parametrize("case", GEOMETRIES)
def test_sits_the_exam(case: str) -> None:
    shape, keys, _ = GEOMETRIES[case]
    check_layer(LocallyConnected(**keys), shape)


def test_the_shapes_of_its_parameters() -> None:
    layer = LocallyConnected(num_output=6, kernel_size=(3, 5))
    assert roles(layer, (2, 4, 7, 7)) == {"weight": (6 * 5 * 3, 4, 3, 5), "bias": (6, 5, 3)}


def test_the_arithmetic_is_counted() -> None:
    calls = Trial(LocallyConnected(num_output=20, kernel_size=(5,)), [Shape((4, 2, 8, 8))]).graph.calls
    names = ("local_conv", "local_conv_dw", "local_conv_dx")
    assert {call.op.name: call.op.flops(call.args) for call in calls} == dict.fromkeys(names, 2 * 4 * 20 * 16 * 2 * 25)


@pytest.mark.parametrize(("shape", "keys", "key", "words"), [
    ((2, 3), {}, "", "needs a bottom with spatial axes (N x C x H x W), not 2 x 3"),
    ((2, 3, 6, 6), {"dilation": (1, 1, 1)}, "dilation", "needs 1 or 2 numbers for 2 spatial axes"),
    ((2, 3, 2, 6), {"pad": (0, 1)}, "kernel_size", "is larger than its bottom: 3 x 3 over 2 x 8, padding included"),
])  # fmt: skip
def test_refuses(shape: tuple[int, ...], keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(LocallyConnected(**{"num_output": 4, "kernel_size": (3,), **keys}), [shape], key, words)
