"""DropConnect: which weights are forgotten, and that their gradients are, too."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.layers.drop_connect import DropConnect
from dltrain.ops import philox
from dltrain.testing import check_layer

PARAMS = {"weight": np.ones((50, 40)), "bias": np.zeros(50)}
EYE = np.eye(40)


def test_kept_weights_are_scaled_and_the_share_is_right(run: Any) -> None:
    y = run(DropConnect(num_output=50, dropout_ratio=0.75), EYE, params=PARAMS).y
    assert set(np.unique(y)) == {0, 4}
    assert abs((y != 0).mean() - 0.25) < 3 * sqrt(0.25 * 0.75 / y.size)


def test_the_mask_is_the_philox_stream_of_the_layer_and_the_step(run: Any) -> None:
    words = philox.words(philox.key(1, "drop_connect it"), 7, 2000).reshape(50, 40)
    np.testing.assert_array_equal(run(DropConnect(num_output=50), EYE, params=PARAMS, step=7).y.T != 0, words >= 2**31)


def test_what_is_forgotten_learns_nothing(run: Any) -> None:
    made = run(DropConnect(num_output=50), EYE, params=PARAMS)
    np.testing.assert_array_equal(made.grads["weight"], made.y.T)
    np.testing.assert_array_equal(made.grads["bias"], np.full(50, 40))
    np.testing.assert_array_equal(made.dx, np.broadcast_to(made.y.sum(axis=1), (40, 40)))


def test_all_samples_of_a_batch_share_the_mask(run: Any) -> None:
    y = run(DropConnect(num_output=50), np.ones((3, 40)), params=PARAMS).y
    np.testing.assert_array_equal(y[1:], y[:-1])


def test_in_the_test_phase_nothing_is_forgotten(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 40))
    made = run(DropConnect(num_output=50), x, params=PARAMS, train=False)
    np.testing.assert_allclose(made.y, np.broadcast_to(x.sum(axis=1, keepdims=True), (3, 50)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 2), (1, 1)])
@pytest.mark.parametrize("keys", [{}, {"bias_term": False, "dropout_ratio": 0.2}])
def test_sits_the_exam(shape: Any, keys: Any) -> None:
    check_layer(DropConnect(num_output=3, **keys), shape)
