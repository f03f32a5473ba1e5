"""LayerNorm: each sample or place by itself, over the last axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.layer_norm import LayerNorm
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.array([[1.0, 3, 5, 7], [2, 2, 4, 4]])  # means 4, 3; variances 5, 1
PARAMS = {"scale": [3, 3, 6, 3], "bias": [0, 0, 0, 100]}


def test_values_and_gradients_by_hand(run: Any) -> None:
    made = run(LayerNorm(eps=4.0), X, params=PARAMS, dy=[[1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(made.y[0], [-3, -1, 2, 103])
    np.testing.assert_allclose(made.y[1], np.array([-3, -3, 6, 3]) / 5**0.5 + [0, 0, 0, 100])
    np.testing.assert_allclose(made.dx[0], np.array([1, 0, 0, 0]) - 0.25 + np.array([-3, -1, 1, 3]) / 12)
    np.testing.assert_array_equal(made.dx[1], 0)
    np.testing.assert_allclose(made.grads["scale"], [-1, 0, 0, 0])
    np.testing.assert_allclose(made.grads["bias"], [1, 0, 0, 0])


@pytest.mark.parametrize(("axis", "shape"), [(-1, (2, 3, 5)), (1, (2, 3, 5)), (1, (4, 6)), (-2, (2, 3, 4, 5)), (2, (2, 3, 4, 5))])
def test_every_row_gets_mean_0_and_variance_1(axis: int, shape: tuple[int, ...], run: Any) -> None:
    y = run(LayerNorm(axis=axis, affine=False, eps=1e-12), np.random.default_rng(0).standard_normal(shape) * 3 + 1).y
    axes = tuple(range(axis % len(shape), len(shape)))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-9)


@pytest.mark.parametrize(("keys", "expected"), [
    ({}, {"scale": (5,), "bias": (5,)}), ({"axis": 1}, {"scale": (3, 4, 5), "bias": (3, 4, 5)}), ({"affine": False}, {}),
])  # fmt: skip
def test_the_shapes_of_its_parameters(keys: Any, expected: dict[str, Any]) -> None:
    parts = Trial(LayerNorm(**keys), [Shape((2, 3, 4, 5))]).store.segments.values()
    assert {part.role: part.shape for part in parts} == expected


@pytest.mark.parametrize(("axis", "shape"), [(-1, (3, 5)), (1, (2, 3, 4)), (-1, (2, 3, 4, 5)), (2, (2, 3, 4, 2)), (1, (1, 2))])
@pytest.mark.parametrize("affine", [True, False])
def test_sits_the_exam(axis: int, shape: tuple[int, ...], affine: bool) -> None:
    check_layer(LayerNorm(axis=axis, affine=affine), shape)


@pytest.mark.parametrize(("axis", "shape", "words"), [
    (0, (3, 4), "0 is not an axis of 3 x 4 after the sample axis"),
    (2, (3, 4), "2 is not an axis of 3 x 4 after the sample axis"),
    (-1, (3,), "-1 is not an axis of 3 after the sample axis"),
    (-1, (3, 4, 1), "one number has no variance: 3 x 4 x 1 from axis 2 on"),
])  # fmt: skip
def test_refuses(axis: int, shape: tuple[int, ...], words: str, refuses: Any) -> None:
    refuses(LayerNorm(axis=axis), [shape], "axis", words)


def test_it_starts_with_factors_of_1() -> None:
    parts = Trial(LayerNorm(), [Shape((4, 3))]).store.segments.values()
    assert {part.role: set(part.fill(1).flat) for part in parts} == {"scale": {1.0}, "bias": {0.0}}
