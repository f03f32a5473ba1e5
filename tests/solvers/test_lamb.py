"""LAMB: by hand, in its two stages, and where it is AdamW."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.solvers.adamw import AdamW
from dltrain.solvers.lamb import LAMB

RNG = np.random.default_rng(8)


def test_by_hand(descend: Any) -> None:
    """In step 1 m / (1 - momentum) = g and v / (1 - momentum2) = g^2, so u = (1, -1) for delta 0, and |w| / |u| = 5 / sqrt 2."""
    descent = descend(LAMB(base_lr=0.1, delta=1e-12), [3.0, 4.0])
    np.testing.assert_allclose(descent.step([6.0, -8.0]), [3 - 0.1 * 5 / np.sqrt(2), 4 + 0.1 * 5 / np.sqrt(2)])
    np.testing.assert_allclose(descent["mean"], [0.6, -0.8])
    assert not descent["g"].any()


def test_ten_steps_written_out(descend: Any) -> None:
    solver = LAMB(base_lr=0.05, momentum=0.8, momentum2=0.95, delta=1e-3, weight_decay=0.1, clip_gradients=1.0, iter_size=2)
    segments = [(0, 2, 1.0, 1.0), (2, 5, 2.0, 0.5), (5, 6, 1.0, 0.0)]
    w, m, v = RNG.standard_normal(6), np.zeros(6), np.zeros(6)
    descent = descend(solver, w, segments)
    for t in range(1, 11):
        g = RNG.standard_normal(6)
        found = descent.step(g)
        g = g * min(1, 1 / np.linalg.norm(g)) / 2
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        for start, stop, lr_mult, decay_mult in segments:
            part = slice(start, stop)
            u = m[part] / (1 - 0.8**t) / (np.sqrt(v[part] / (1 - 0.95**t)) + 1e-3) + 0.1 * decay_mult * w[part]
            ratio = np.linalg.norm(w[part]) / np.linalg.norm(u) if decay_mult else 1
            w[part] = w[part] - 0.05 * lr_mult * ratio * u
        np.testing.assert_allclose(found, w, rtol=1e-10)


def test_what_is_not_decayed_moves_as_with_adamw(descend: Any) -> None:
    segments, w = [(0, 2, 1.0, 0.0)], [1.0, -2.0]
    one = descend(LAMB(base_lr=0.1, weight_decay=0.1), w, segments)
    other = descend(AdamW(base_lr=0.1, weight_decay=0.1, delta=1e-6), w, segments)
    for _ in range(5):
        g = RNG.standard_normal(2)
        np.testing.assert_allclose(one.step(g), other.step(g), rtol=1e-12)


def test_where_a_number_is_not_finite_neither_stage_moves_anything(descend: Any) -> None:
    descent = descend(LAMB(base_lr=0.1, weight_decay=0.1), [1.0, 2.0])
    descent.step([1.0, 2.0])
    before = {name: descent[name].copy() for name in ("w", "mean", "square")}
    descent.step([np.nan, 1.0])
    assert descent["failed"][0]
    for name, array in before.items():
        assert np.array_equal(descent[name], array)


@pytest.mark.parametrize(
    "keys", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "regularization_type": "L1", "clip_gradients": 0.5}]
)
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(LAMB(base_lr=0.01, **keys))
