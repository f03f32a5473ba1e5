"""InstanceNorm: each map of each sample by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.instance_norm import InstanceNorm
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.array([[[1.0, 3, 5, 7], [2, 2, 4, 4]]])  # means 4, 3; variances 5, 1


def test_values_and_gradients_by_hand(run: Any) -> None:
    made = run(InstanceNorm(eps=4.0), X, params={"scale": [3, 2], "bias": [0, 100]}, dy=[[[1, 0, 0, 0], [0, 0, 0, 0]]])
    np.testing.assert_allclose(made.y, [[[-3, -1, 1, 3], np.array([-2, -2, 2, 2]) / 5**0.5 + 100]])
    np.testing.assert_allclose(made.dx, [[np.array([1, 0, 0, 0]) - 0.25 + np.array([-3, -1, 1, 3]) / 12, [0, 0, 0, 0]]])
    np.testing.assert_allclose(made.grads["scale"], [-1, 0])
    np.testing.assert_allclose(made.grads["bias"], [1, 0])


def test_contrast_and_brightness_of_a_map_do_not_matter(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    layer = InstanceNorm(affine=False, eps=1e-12)
    np.testing.assert_allclose(run(layer, 7 * x + 3).y, run(layer, x).y, rtol=1e-7)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 3, 4), (1, 2, 2, 2, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_sits_the_exam(shape: tuple[int, ...], affine: bool) -> None:
    check_layer(InstanceNorm(affine=affine), shape)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 1), (4, 3, 1, 1)])
def test_refuses_maps_of_one_place(shape: tuple[int, ...], refuses: Any) -> None:
    words = f"needs a bottom with several places a map (N x C x H x W), not {' x '.join(map(str, shape))}"
    refuses(InstanceNorm(), [shape], "", words)


def test_it_starts_with_factors_of_1() -> None:
    parts = Trial(InstanceNorm(), [Shape((4, 3, 2))]).store.segments.values()
    assert {part.role: set(part.fill(1).flat) for part in parts} == {"scale": {1.0}, "bias": {0.0}}
