"""Scale: learned factors and factors from another blob, at every axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.scale import Scale
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.arange(1.0, 13).reshape(2, 3, 2)


def test_each_channel_has_a_factor(run: Any) -> None:
    made = run(Scale(), X, params={"scale": [1, 10, -1]})
    np.testing.assert_array_equal(made.y, [[[1, 2], [30, 40], [-5, -6]], [[7, 8], [90, 100], [-11, -12]]])
    np.testing.assert_array_equal(made.dx, np.broadcast_to([[1], [10], [-1]], (2, 3, 2)))
    np.testing.assert_array_equal(made.grads["scale"], [18, 26, 34])


def test_and_a_bias_where_asked_for(run: Any) -> None:
    made = run(Scale(bias_term=True), X, params={"scale": [1, 1, 1], "bias": [0, 100, 200]})
    np.testing.assert_array_equal(made.y[0], [[1, 2], [103, 104], [205, 206]])
    np.testing.assert_array_equal(made.grads["bias"], [4, 4, 4])


def test_factors_from_another_blob_get_a_gradient(run: Any) -> None:
    z = np.array([[1.0, 2, 3], [4, 5, 6]])
    made = run(Scale(axis=0), X, z, dy=np.full(X.shape, 10.0))
    np.testing.assert_array_equal(made.y, X * z[..., None])
    np.testing.assert_array_equal(made.dxs[0], np.broadcast_to(10 * z[..., None], X.shape))
    np.testing.assert_array_equal(made.dxs[1], [[30, 70, 110], [150, 190, 230]])


def test_one_number_from_another_blob_goes_with_everything(run: Any) -> None:
    made = run(Scale(), X, np.array([3.0]))
    np.testing.assert_array_equal(made.y, 3 * X)
    np.testing.assert_array_equal(made.dxs[1], [78])


@pytest.mark.parametrize(("keys", "shape"), [
    ({}, (3,)), ({"num_axes": 2}, (3, 4)), ({"num_axes": -1}, (3, 4, 5)), ({"num_axes": 0}, ()), ({"axis": -1}, (5,)),
    ({"axis": 2, "num_axes": -1}, (4, 5)), ({"axis": 0, "num_axes": 0}, ()),
])  # fmt: skip
def test_the_shapes_of_its_parameters(keys: Any, shape: tuple[int, ...]) -> None:
    parts = Trial(Scale(bias_term=True, **keys), [Shape((2, 3, 4, 5))]).store.segments.values()
    assert {part.role: part.shape for part in parts} == {"scale": shape, "bias": shape}
    check_layer(Scale(bias_term=True, **keys), (2, 3, 4, 5))


@pytest.mark.parametrize(("keys", "z"), [
    ({}, (3,)), ({}, (3, 4)), ({"axis": 0}, (2, 3)), ({"axis": 0}, (2,)), ({"axis": -1}, (5,)), ({"axis": 0}, (2, 3, 4, 5)),
    ({}, (1,)), ({"axis": 0, "bias_term": True}, (2, 3)),
])  # fmt: skip
def test_sits_the_exam_with_two_bottoms(keys: Any, z: tuple[int, ...]) -> None:
    check_layer(Scale(**keys), (2, 3, 4, 5), z)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 3}, [(2, 3, 4)], "axis", "3 is not an axis of 2 x 3 x 4"),
    ({"axis": -4}, [(2, 3, 4)], "axis", "-4 is not an axis of 2 x 3 x 4"),
    ({"axis": 0}, [(2, 3, 4)], "axis", "0 is the sample, and parameters cannot belong to samples; a second bottom can"),
    ({"num_axes": 3}, [(2, 3, 4)], "num_axes", "3 must lie between -1 and 2, the axes of 2 x 3 x 4 from axis 1 on"),
    ({"num_axes": -2}, [(2, 3, 4)], "num_axes", "-2 must lie between -1 and 2"),
    ({}, [(2, 3, 4), (4,)], "axis", "4 does not go with 2 x 3 x 4 from axis 1 on"),
    ({}, [(2, 3, 4), (2, 3)], "axis", "2 x 3 does not go with 2 x 3 x 4 from axis 1 on; axis: 0 would do"),
    ({}, [(2, 3), (3, 1)], "axis", "3 x 1 does not go with 2 x 3 from axis 1 on"),
    ({}, [(2, 3), Shape((3,), "index")], "bottom", "needs real numbers, not the integers of 3"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Scale(**keys), shapes, key, words)


def test_it_starts_with_factors_of_1() -> None:
    parts = Trial(Scale(bias_term=True), [Shape((4, 3))]).store.segments.values()
    assert {part.role: set(part.fill(1).flat) for part in parts} == {"scale": {1.0}, "bias": {0.0}}
