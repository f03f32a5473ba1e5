"""AdaGrad and WindowedAdaGrad: by hand, and against the sums written out."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from dltrain.solvers.adagrad import AdaGrad, WindowedAdaGrad


def test_by_hand(descend: Any) -> None:
    """h = 9, then 9 + 16."""
    descent = descend(AdaGrad(base_lr=0.5, delta=1.0), [1.0])
    assert descent.step([3.0])[0] == pytest.approx(1 - 0.5 * 3 / (3 + 1))
    assert descent.step([-4.0])[0] == pytest.approx(0.625 + 0.5 * 4 / (5 + 1))
    assert descent["square"][0] == 25


def test_smolas_form_has_its_constant_inside_the_root(descend: Any) -> None:
    descent = descend(AdaGrad(base_lr=0.5, delta=0.0, inside_root=16.0), [1.0])
    assert descent.step([3.0])[0] == pytest.approx(1 - 0.5 * 3 / 5)


def test_without_any_constant_a_weight_that_has_seen_no_gradient_stays(descend: Any) -> None:
    descent = descend(AdaGrad(base_lr=0.5, delta=0.0), [1.0, 2.0])
    assert descent.step([0.0, 5.0]).tolist() == [1.0, 1.5]
    assert not descent["failed"][0]


@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_a_short_window_is_exact(window: int, descend: Any) -> None:
    descent, gs = descend(WindowedAdaGrad(base_lr=0.1, window=window, inside_root=0.5), [1.0, -1.0]), []
    w, rng = np.array([1.0, -1.0]), np.random.default_rng(0)
    for _ in range(25):
        gs.append(rng.standard_normal(2))
        w = w - 0.1 * gs[-1] / np.sqrt(0.5 + np.square(gs[-window:]).sum(axis=0))
        np.testing.assert_allclose(descent.step(gs[-1]), w, rtol=1e-12)


def test_a_long_window_sums_between_seven_eighths_of_it_and_all_of_it(descend: Any) -> None:
    descent = descend(WindowedAdaGrad(base_lr=1.0, window=24), [0.0])
    before, seen = 0.0, []
    for _ in range(100):
        after = float(descent.step([1.0])[0])
        seen.append(round((before - after) ** -2))  # a step of 1 / sqrt(how many)
        before = after
    assert seen[:26] == [*range(1, 25), 22, 23] and set(seen[30:]) == {22, 23, 24}


def test_with_a_window_of_everything_it_is_adagrad(descend: Any) -> None:
    one, other = descend(WindowedAdaGrad(base_lr=0.1, window=80), [1.0]), descend(AdaGrad(base_lr=0.1, delta=0.0), [1.0])
    for g in np.random.default_rng(1).standard_normal(80):
        np.testing.assert_allclose(one.step([g]), other.step([g]), rtol=1e-12)


def test_a_window_that_eight_slots_cannot_hold_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be up to 8, or a multiple of 8 such as 16, not 20"):
        TypeAdapter(WindowedAdaGrad).validate_python({"base_lr": 0.1, "window": 20})
    assert TypeAdapter(WindowedAdaGrad).validate_python({"base_lr": 0.1, "window": 24}).window == 24


@pytest.mark.parametrize("kind", [AdaGrad, WindowedAdaGrad])
def test_there_is_no_momentum(kind: Any) -> None:
    assert "momentum" not in kind.__dataclass_fields__


@pytest.mark.parametrize("keys", [
    {}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "regularization_type": "L1"}, {"inside_root": 0.3, "delta": 0.0},
])  # fmt: skip
def test_two_workers_go_the_way_of_the_reference(keys: Any, alike: Any) -> None:
    alike(AdaGrad(base_lr=0.1, **keys))


def test_the_window_on_two_workers(alike: Any) -> None:
    alike(WindowedAdaGrad(base_lr=0.1, window=3, inside_root=0.1))
    alike(WindowedAdaGrad(base_lr=0.1, window=16, clip_gradients=0.5))


def test_large_gradients_and_small_ones_move_alike(descend: Any) -> None:
    descent = descend(AdaGrad(base_lr=0.1), [0.0, 0.0])
    assert descent.step([1e-3, 1e3]) == pytest.approx([-0.1, -0.1], rel=1e-4)
    assert descent.step([1e-3, 1e3]) == pytest.approx([-0.1 - 0.1 / sqrt(2)] * 2, rel=1e-4)
