"""MVN: each map or each sample, the deviation or only the mean, and eps where Caffe has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.mvn import MVN
from dltrain.testing import check_layer

X = np.array([[[1.0, 3, 5, 7], [2, 2, 4, 4]]])  # means 4, 3; deviations sqrt(5), 1


@pytest.mark.parametrize(("keys", "y"), [
    ({"eps": 1.0}, [[-3 / (5**0.5 + 1), -1 / (5**0.5 + 1), 1 / (5**0.5 + 1), 3 / (5**0.5 + 1)], [-0.5, -0.5, 0.5, 0.5]]),
    ({"normalize_variance": False}, [[-3, -1, 1, 3], [-1, -1, 1, 1]]),
    ({"normalize_variance": False, "across_channels": True}, [[-2.5, -0.5, 1.5, 3.5], [-1.5, -1.5, 0.5, 0.5]]),
    ({"across_channels": True}, (X[0] - 3.5) / 3.25**0.5),
])  # fmt: skip
def test_values_by_hand(keys: Any, y: Any, run: Any) -> None:
    np.testing.assert_allclose(run(MVN(**keys), X).y, [y], rtol=1e-8)


def test_the_gradient_by_hand(run: Any) -> None:
    made = run(MVN(eps=1.0), X, dy=[[[0, 0, 0, 0], [1, 0, 0, 0]]])
    np.testing.assert_allclose(made.dx, [[[0] * 4, np.array([0.75, -0.25, -0.25, -0.25]) / 2 - np.array([1, 1, -1, -1]) / 16]])


@pytest.mark.parametrize("keys", [{}, {"normalize_variance": False}, {"across_channels": True}])
def test_samples_do_not_meet(keys: Any, run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    whole = run(MVN(**keys), x).y
    np.testing.assert_allclose(np.concatenate([run(MVN(**keys), x[i : i + 1]).y for i in range(3)]), whole, rtol=1e-12)


def test_an_even_map_becomes_0(run: Any) -> None:
    made = run(MVN(), np.full((1, 1, 4), 3.0))
    np.testing.assert_array_equal(made.y, 0)
    assert np.isfinite(made.dx).all()


@pytest.mark.parametrize("keys", [
    {}, {"eps": 0.5}, {"normalize_variance": False}, {"across_channels": True}, {"across_channels": True, "eps": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 3, 4), (1, 2, 2, 2, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(MVN(**keys), shape)


@pytest.mark.parametrize(("keys", "shape", "words"), [
    ({}, (4, 3), "one number has no deviation: a bottom of 4 x 3; across_channels: true takes all of a sample"),
    ({}, (4, 3, 1, 1), "one number has no deviation: a bottom of 4 x 3 x 1 x 1"),
    ({"across_channels": True}, (4, 1), "one number has no deviation: a bottom of 4 x 1"),
])  # fmt: skip
def test_refuses_maps_of_one_place(keys: Any, shape: tuple[int, ...], words: str, refuses: Any) -> None:
    refuses(MVN(**keys), [shape], "", words)
