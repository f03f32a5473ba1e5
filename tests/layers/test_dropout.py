"""Dropout: what is kept, how much of it, and that the mask is a function of the step and nothing else."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.layers.dropout import Dropout
from dltrain.ops import philox
from dltrain.testing import check_layer

ONES = np.ones((20, 500))


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.75, 0.99])
def test_kept_values_are_scaled_and_the_share_is_right(ratio: float, run: Any) -> None:
    x = np.random.default_rng(0).uniform(1, 2, (200, 500))
    y = run(Dropout(dropout_ratio=ratio), x).y
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - ratio), rtol=1e-14)
    assert abs(kept.mean() - (1 - ratio)) < 3 * sqrt(ratio * (1 - ratio) / x.size)


def test_the_gradient_goes_through_the_same_mask(run: Any) -> None:
    made = run(Dropout(dropout_ratio=0.75), ONES, dy=3 * ONES)
    np.testing.assert_array_equal(made.dx, 3 * made.y)
    assert set(np.unique(made.y)) == {0, 4}


def test_in_the_test_phase_nothing_is_forgotten(run: Any) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5))
    np.testing.assert_array_equal(run(Dropout(dropout_ratio=0.9), x, train=False).y, x)


def test_the_mask_is_the_philox_stream_of_the_layer_and_the_step(run: Any) -> None:
    words = philox.words(philox.key(1, "dropout it"), 7, ONES.size).reshape(ONES.shape)  # a Trial's seed is 1, its layer "it"
    np.testing.assert_array_equal(run(Dropout(dropout_ratio=0.25), ONES, step=7).y != 0, words >= 2**30)


def test_the_same_step_draws_the_same_mask(run: Any) -> None:
    np.testing.assert_array_equal(run(Dropout(), ONES, step=7).y, run(Dropout(), ONES, step=7).y)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (7, 8), (1, 2**32 + 1)])
def test_another_step_draws_another_mask(one: int, other: int, run: Any) -> None:
    agree = (run(Dropout(), ONES, step=one).y == run(Dropout(), ONES, step=other).y).mean()
    assert abs(agree - 0.5) < 3 * 0.5 / sqrt(ONES.size)


def test_a_larger_batch_begins_with_the_same_mask(run: Any) -> None:
    np.testing.assert_array_equal(run(Dropout(), ONES).y[:7], run(Dropout(), ONES[:7]).y)


def test_the_type_of_the_numbers_does_not_change_the_mask(run: Any) -> None:
    np.testing.assert_array_equal(run(Dropout(), ONES, dtype=np.float32).y, run(Dropout(), ONES).y)


def test_neighbours_are_forgotten_independently(run: Any) -> None:
    kept = run(Dropout(), np.ones((100, 1000))).y != 0
    for together in (kept[:, 1:] & kept[:, :-1], kept[1:] & kept[:-1]):
        assert abs(together.mean() - 0.25) < 0.006  # 4 standard errors


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(50,), (6, 7), (2, 3, 4, 5)])
def test_sits_the_exam(shape: tuple[int, ...], ratio: float) -> None:
    check_layer(Dropout(dropout_ratio=ratio), shape)
