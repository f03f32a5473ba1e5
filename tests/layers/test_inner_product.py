"""InnerProduct: a matrix product by hand, with and without bias, over any number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.errors import Refusal
from dltrain.layers.inner_product import InnerProduct
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.arange(1.0, 7).reshape(2, 3)
W = np.arange(1.0, 13).reshape(3, 4).T  # x w' = x times 1 .. 12 in three rows


def test_is_a_matrix_product(run: Any) -> None:
    made = run(InnerProduct(num_output=4, bias_term=False), X, params={"weight": W})
    np.testing.assert_array_equal(made.y, [[38, 44, 50, 56], [83, 98, 113, 128]])


def test_the_bias_is_added_to_each_sample(run: Any) -> None:
    made = run(InnerProduct(num_output=4), X, params={"weight": W, "bias": [100, 0, -50, 1]})
    np.testing.assert_array_equal(made.y, [[138, 44, 0, 57], [183, 98, 63, 129]])


def test_gradients_by_hand(run: Any) -> None:
    made = run(InnerProduct(num_output=2), X, params={"weight": [[1, 0, 2], [0, 3, 0]], "bias": [0, 0]}, dy=[[1, 10], [2, 20]])
    np.testing.assert_array_equal(made.dx, [[1, 30, 2], [2, 60, 4]])
    np.testing.assert_array_equal(made.grads["weight"], [[9, 12, 15], [90, 120, 150]])
    np.testing.assert_array_equal(made.grads["bias"], [3, 30])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 1, 3), (2, 1, 1, 3, 1)])
def test_all_axes_after_the_sample_are_one(shape: tuple[int, ...], run: Any) -> None:
    made = run(InnerProduct(num_output=4, bias_term=False), X.reshape(shape), params={"weight": W})
    np.testing.assert_array_equal(made.y, [[38, 44, 50, 56], [83, 98, 113, 128]])
    np.testing.assert_array_equal(made.dx, np.broadcast_to([10, 26, 42], (2, 3)).reshape(shape))


def test_one_number_a_sample(run: Any) -> None:
    made = run(InnerProduct(num_output=2), np.array([1.0, 2, 3]), params={"weight": [[10], [20]], "bias": [1, 2]})
    np.testing.assert_array_equal(made.y, [[11, 22], [21, 42], [31, 62]])


def test_refuses_integers(run: Any) -> None:
    with pytest.raises(Refusal, match="needs real numbers, not the integers of 3"):
        InnerProduct(num_output=1).setup(Shape((3,), "index"))


@pytest.mark.parametrize(("keys", "expected"), [
    ({}, {"weight": (5, 24), "bias": (5,)}),
    ({"bias_term": False}, {"weight": (5, 24)}),
    ({"transpose": True}, {"weight": (24, 5), "bias": (5,)}),
    ({"axis": 2}, {"weight": (5, 12), "bias": (5,)}),
    ({"axis": -1, "transpose": True, "bias_term": False}, {"weight": (3, 5)}),
])  # fmt: skip
def test_the_shapes_of_its_parameters(keys: Any, expected: dict[str, Any]) -> None:
    parts = Trial(InnerProduct(num_output=5, **keys), [Shape((3, 2, 4, 3))]).store.segments.values()
    assert {part.role: part.shape for part in parts} == expected


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_transposed_weights_make_the_same(shape: tuple[int, ...], bias: bool, run: Any) -> None:
    term, dy = {"bias": [100.0, 0, -50, 1]} if bias else {}, np.arange(8.0).reshape(2, 4)
    one = run(InnerProduct(num_output=4, bias_term=bias), X.reshape(shape), params={"weight": W, **term}, dy=dy)
    other = run(
        InnerProduct(num_output=4, bias_term=bias, transpose=True), X.reshape(shape), params={"weight": W.T, **term}, dy=dy
    )
    np.testing.assert_array_equal(other.y, one.y)
    np.testing.assert_array_equal(other.dx, one.dx)
    np.testing.assert_array_equal(other.grads["weight"], one.grads["weight"].T)
    assert not bias or np.array_equal(other.grads["bias"], one.grads["bias"])


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize(
    ("axis", "shape", "top"), [(2, (1, 2, 3), (1, 2, 4)), (-1, (2, 1, 3), (2, 1, 4)), (2, (2, 1, 3, 1), (2, 1, 4))]
)
def test_axes_before_axis_are_samples(axis: int, shape: Any, top: Any, transpose: bool, run: Any) -> None:
    layer = InnerProduct(num_output=4, bias_term=False, axis=axis, transpose=transpose)
    made = run(layer, X.reshape(shape), params={"weight": W.T if transpose else W})
    np.testing.assert_array_equal(made.y, np.reshape([[38, 44, 50, 56], [83, 98, 113, 128]], top))
    np.testing.assert_array_equal(made.dx, np.broadcast_to([10, 26, 42], (2, 3)).reshape(shape))


@pytest.mark.parametrize("axis", [0, 3, -3])
def test_refuses_an_axis_that_is_not_there(axis: int, refuses: Any) -> None:
    refuses(
        InnerProduct(num_output=1, axis=axis), [(2, 3, 4)], "axis", f"{axis} is not an axis of 2 x 3 x 4 after the sample axis"
    )


def test_the_usual_layer_emits_three_calls() -> None:
    calls = Trial(InnerProduct(num_output=5), [Shape((4, 8))]).graph.calls
    assert [call.op.name for call in calls] == ["inner_product", "inner_product_dw", "inner_product_dx"]


def test_the_arithmetic_is_counted() -> None:
    calls = Trial(InnerProduct(num_output=500), [Shape((64, 800))]).graph.calls
    names = ("inner_product", "inner_product_dw", "inner_product_dx")
    assert {call.op.name: call.op.flops(call.args) for call in calls} == dict.fromkeys(names, 2 * 64 * 500 * 800)


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}])
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (3, 2, 2, 2), (2, 1, 3), (4,)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(InnerProduct(num_output=5, **keys), shape)


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}, {"axis": 2}, {"axis": -1, "bias_term": False}])
@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 2, 2, 2)])
def test_sits_the_exam_transposed(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(InnerProduct(num_output=5, transpose=True, **keys), shape)
    check_layer(InnerProduct(num_output=5, **keys), shape)
