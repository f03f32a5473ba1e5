"""GroupNorm: neighbouring channels of one sample together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.group_norm import GroupNorm
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.array([[[1.0, 3], [5, 7], [2, 2], [4, 4]]])  # in two groups: means 4, 3; variances 5, 1
PARAMS = {"scale": [3, 6, 3, 3], "bias": [0, 100, 0, 0]}


def test_values_and_gradients_by_hand(run: Any) -> None:
    made = run(GroupNorm(groups=2, eps=4.0), X, params=PARAMS, dy=[[[1, 0], [0, 0], [0, 0], [0, 0]]])
    np.testing.assert_allclose(made.y[0, :2], [[-3, -1], [102, 106]])
    np.testing.assert_allclose(made.y[0, 2:], np.array([[-3, -3], [3, 3]]) / 5**0.5)
    np.testing.assert_allclose(made.dx[0, :2].ravel(), np.array([1, 0, 0, 0]) - 0.25 + np.array([-3, -1, 1, 3]) / 12)
    np.testing.assert_array_equal(made.dx[0, 2:], 0)
    np.testing.assert_allclose(made.grads["scale"], [-1, 0, 0, 0])
    np.testing.assert_allclose(made.grads["bias"], [1, 0, 0, 0])


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_every_group_gets_mean_0_and_variance_1(groups: int, run: Any) -> None:
    y = run(GroupNorm(groups=groups, affine=False, eps=1e-12), np.random.default_rng(0).standard_normal((2, 6, 4, 3)) * 3 + 1).y
    rows = y.reshape(2 * groups, -1)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.var(axis=1), 1, rtol=1e-9)


@pytest.mark.parametrize(("groups", "shape"), [(2, (2, 4)), (1, (3, 5)), (3, (2, 6, 4)), (2, (2, 4, 3, 2)), (4, (1, 4, 2, 2, 2))])
@pytest.mark.parametrize("affine", [True, False])
def test_sits_the_exam(groups: int, shape: tuple[int, ...], affine: bool) -> None:
    check_layer(GroupNorm(groups=groups, affine=affine), shape)


@pytest.mark.parametrize(("groups", "shape", "key", "words"), [
    (2, (3,), "", "needs a bottom with channels (N x C), not 3"),
    (32, (2, 48, 3), "groups", "32 does not divide the bottom's 48 channels"),
    (4, (2, 4), "groups", "one number has no variance: a bottom of 2 x 4 in 4 groups"),
])  # fmt: skip
def test_refuses(groups: int, shape: tuple[int, ...], key: str, words: str, refuses: Any) -> None:
    refuses(GroupNorm(groups=groups), [shape], key, words)


def test_it_starts_with_factors_of_1() -> None:
    parts = Trial(GroupNorm(), [Shape((4, 32, 2))]).store.segments.values()
    assert {part.role: set(part.fill(1).flat) for part in parts} == {"scale": {1.0}, "bias": {0.0}}
