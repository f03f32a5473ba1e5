"""Bias: learned terms and terms from another blob, at every axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.bias import Bias
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.arange(1.0, 13).reshape(2, 3, 2)


def test_each_channel_has_a_term(run: Any) -> None:
    made = run(Bias(), X, params={"bias": [0, 10, -1]}, dy=X)
    np.testing.assert_array_equal(made.y, [[[1, 2], [13, 14], [4, 5]], [[7, 8], [19, 20], [10, 11]]])
    np.testing.assert_array_equal(made.dx, X)
    np.testing.assert_array_equal(made.grads["bias"], [18, 26, 34])


def test_terms_from_another_blob_get_a_gradient(run: Any) -> None:
    z = np.array([[1.0, 2, 3], [4, 5, 6]])
    made = run(Bias(axis=0), X, z, dy=X)
    np.testing.assert_array_equal(made.y, X + z[..., None])
    np.testing.assert_array_equal(made.dxs[0], X)
    np.testing.assert_array_equal(made.dxs[1], [[3, 7, 11], [15, 19, 23]])


def test_one_number_from_another_blob_goes_with_everything(run: Any) -> None:
    made = run(Bias(), X, np.array([3.0]))
    np.testing.assert_array_equal(made.y, X + 3)
    np.testing.assert_array_equal(made.dxs[1], [12])


@pytest.mark.parametrize(("keys", "shape"), [
    ({}, (3,)), ({"num_axes": 2}, (3, 4)), ({"num_axes": -1}, (3, 4, 5)), ({"num_axes": 0}, ()), ({"axis": -1}, (5,)),
    ({"axis": 2, "num_axes": -1}, (4, 5)), ({"axis": 0, "num_axes": 0}, ()),
])  # fmt: skip
def test_the_shape_of_its_parameter(keys: Any, shape: tuple[int, ...]) -> None:
    parts = Trial(Bias(**keys), [Shape((2, 3, 4, 5))]).store.segments.values()
    assert {part.role: part.shape for part in parts} == {"bias": shape}
    check_layer(Bias(**keys), (2, 3, 4, 5))


@pytest.mark.parametrize(("keys", "z"), [
    ({}, (3,)), ({}, (3, 4)), ({"axis": 0}, (2, 3)), ({"axis": -1}, (5,)), ({"axis": 0}, (2, 3, 4, 5)), ({}, (1,)),
])  # fmt: skip
def test_sits_the_exam_with_two_bottoms(keys: Any, z: tuple[int, ...]) -> None:
    check_layer(Bias(**keys), (2, 3, 4, 5), z)


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({"axis": 3}, [(2, 3, 4)], "axis", "3 is not an axis of 2 x 3 x 4"),
    ({"axis": 0}, [(2, 3, 4)], "axis", "0 is the sample, and parameters cannot belong to samples; a second bottom can"),
    ({"num_axes": 3}, [(2, 3, 4)], "num_axes", "3 must lie between -1 and 2, the axes of 2 x 3 x 4 from axis 1 on"),
    ({}, [(2, 3, 4), (4,)], "axis", "4 does not go with 2 x 3 x 4 from axis 1 on"),
    ({}, [(2, 3, 4), (2, 3)], "axis", "2 x 3 does not go with 2 x 3 x 4 from axis 1 on; axis: 0 would do"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Bias(**keys), shapes, key, words)
