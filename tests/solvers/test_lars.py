"""LARS: by hand, its norms over whole parameters, and where it is plain momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from dltrain.solvers.lars import LARS
from dltrain.solvers.sgd import SGD

RNG = np.random.default_rng(7)


def test_by_hand(descend: Any) -> None:
    """|w| = 5, |g| = 10, r = 0.5 * 5 / 10."""
    descent = descend(LARS(base_lr=0.1, momentum=0.5, trust=0.5), [3.0, 4.0])
    np.testing.assert_allclose(descent.step([6.0, -8.0]), [3 - 0.1 * 0.25 * 6, 4 + 0.1 * 0.25 * 8])
    np.testing.assert_allclose(descent["velocity"], [0.15, -0.2])


def test_the_decay_is_in_the_rate_and_in_the_gradient(descend: Any) -> None:
    """r = 0.5 * 5 / (10 + 2 * 5)."""
    descent = descend(LARS(base_lr=0.1, trust=0.5, weight_decay=2.0), [3.0, 4.0])
    np.testing.assert_allclose(descent.step([6.0, -8.0]), [3 - 0.1 * 0.125 * (6 + 6), 4 - 0.1 * 0.125 * (-8 + 8)])


def test_the_length_of_the_gradient_is_that_after_clip_and_division(descend: Any) -> None:
    """|g| = 10, clipped to 5, halved by iter_size: as if the gradient were a quarter, with any momentum rule of its own."""
    keys = {"base_lr": 0.1, "trust": 0.5, "weight_decay": 0.3}
    one = descend(LARS(**keys, clip_gradients=5.0, iter_size=2), [3.0, 4.0])
    other = descend(LARS(**keys), [3.0, 4.0])
    np.testing.assert_allclose(one.step([6.0, -8.0]), other.step([1.5, -2.0]))


def test_each_parameter_has_its_own_rate_and_what_is_not_decayed_moves_as_with_momentum(descend: Any) -> None:
    segments = [(0, 2, 1.0, 1.0), (2, 4, 1.0, 1.0), (4, 6, 2.0, 0.0)]
    w = np.array([3.0, 4, 30, 40, 5, 6])
    one = descend(LARS(base_lr=0.1, momentum=0.9, trust=0.01), w, segments)
    plain = descend(SGD(base_lr=0.1, momentum=0.9), w, segments)
    for _ in range(4):
        before, g = one["w"].copy(), RNG.standard_normal(6)
        a, b = one.step(g), plain.step(g)
        np.testing.assert_allclose(a[4:], b[4:])
    first = descend(LARS(base_lr=0.1, momentum=0.0, trust=0.01), w, segments)
    before, after = w, first.step([6.0, 8, 6, 8, 0, 0])
    assert np.linalg.norm((after - before)[:2]) == pytest.approx(0.1 * 0.01 * 5)  # lr trust |w|, whatever the gradient's size
    assert np.linalg.norm((after - before)[2:4]) == pytest.approx(0.1 * 0.01 * 50)


def test_weights_of_zero_begin_as_with_momentum(descend: Any) -> None:
    one, other = descend(LARS(base_lr=0.1, momentum=0.0), [0.0, 0.0]), descend(SGD(base_lr=0.1), [0.0, 0.0])
    np.testing.assert_allclose(one.step([1.0, 2.0]), other.step([1.0, 2.0]))
    assert descend(LARS(base_lr=0.1, momentum=0.0), [1.0, 2.0]).step([0.0, 0.0]).tolist() == [1, 2]


def test_l1_has_no_length_to_be_in_the_rate() -> None:
    with pytest.raises(ValidationError, match="Input should be 'L2'"):
        TypeAdapter(LARS).validate_python({"base_lr": 0.1, "regularization_type": "L1"})


@pytest.mark.parametrize("keys", [{}, {"weight_decay": 0.1, "clip_gradients": 0.5, "iter_size": 2}])
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(LARS(base_lr=1.0, trust=0.1, **keys))
