"""AdamW: by hand, the decay apart from the moments, and as Adam where there is none."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.solvers.adam import Adam
from dltrain.solvers.adamw import AdamW

RNG = np.random.default_rng(6)


def test_by_hand(descend: Any) -> None:
    """t = 1: m / (1/2) = 4, v / (1/4) = 16; t = 2: m = 3 of 3/4, v = 7 of 7/16."""
    descent = descend(AdamW(base_lr=0.1, momentum=0.5, momentum2=0.75, delta=1.0, weight_decay=0.5), [1.0])
    first = 1 - 0.1 * (4 / 5 + 0.5)
    assert descent.step([4.0])[0] == pytest.approx(first)
    assert descent.step([4.0])[0] == pytest.approx(first - 0.1 * (4 / (sqrt(16) + 1) + 0.5 * first))


def test_with_eps_inside_the_root(descend: Any) -> None:
    """Pérez's theta - alpha m / sqrt(v + eps) with the corrected m = 4, v = 16 and eps 9; nothing moves without a gradient."""
    keys: dict[str, Any] = {"base_lr": 0.1, "momentum": 0.5, "momentum2": 0.75, "delta": 0.0}
    descent = descend(AdamW(**keys, inside_root=9.0), [1.0])
    assert [float(descent.step([4.0])[0]) for _ in range(2)] == pytest.approx([1 - 0.1 * 4 / 5, 1 - 2 * 0.1 * 4 / 5])
    assert descend(AdamW(**keys), [2.0]).step([0.0]).tolist() == [2]


def test_without_decay_it_is_adam(descend: Any) -> None:
    one, other = descend(AdamW(base_lr=0.1), [1.0, -2.0]), descend(Adam(base_lr=0.1, momentum=0.9), [1.0, -2.0])
    for _ in range(10):
        g = RNG.standard_normal(2)
        np.testing.assert_allclose(one.step(g), other.step(g), rtol=1e-6)


def test_without_a_gradient_only_the_decay_is_left(descend: Any) -> None:
    descent = descend(AdamW(base_lr=0.1, weight_decay=0.5), [8.0, 8.0], [(0, 1, 1.0, 1.0), (1, 2, 2.0, 0.0)])
    assert descent.step([0.0, 0.0]).tolist() == [8 * 0.95, 8]
    assert descent.step([0.0, 0.0]) == pytest.approx([8 * 0.95**2, 8])


def test_l1_pulls_by_the_sign(descend: Any) -> None:
    descent = descend(AdamW(base_lr=0.5, weight_decay=0.5, regularization_type="L1"), [8.0, -3.0, 0.0])
    assert descent.step([0.0, 0.0, 0.0]).tolist() == [7.75, -2.75, 0]


def test_a_late_start_holds_for_a_decay_apart_too(descend: Any) -> None:
    descent = descend(AdamW(base_lr=0.1, weight_decay=0.5, regularization_start=Span(2)), [1.0])
    assert [float(descent.step([0.0])[0]) for _ in range(3)] == [1, 1, 0.95]


@pytest.mark.parametrize("keys", [
    {}, {"weight_decay": 0.1}, {"delta": 0.0, "inside_root": 0.1}, {"weight_decay": 0.1, "regularization_type": "L1"},
])  # fmt: skip
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(AdamW(base_lr=0.01, **keys))
