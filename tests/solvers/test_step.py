"""What every solver can: a late start of the decay, bounded weights and rows, an average of the weights, alone and together."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.policy import Horizon
from dltrain.registry import SOLVERS
from dltrain.solver import OFFERED, WeightEma
from dltrain.solvers.annealing import Cosine, OneCycle, Plateau
from dltrain.solvers.schedules import MultiStep, Piecewise, Poly, Step, Warmup
from dltrain.solvers.sgd import SGD

RUN = Horizon(max_iter=100, per_epoch=Fraction(10))
NEEDED = {"WindowedAdaGrad": {"window": 3}}
EVERYTHING = {
    "weight_decay": 0.05, "regularization_start": Span(3), "clip_gradients": 2.0, "clip_weights": 0.8, "max_norm": 1.5,
    "weight_ema": WeightEma(decay=0.7), "iter_size": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_everything_at_once_on_two_workers(name: str, alike: Any) -> None:
    alike(SOLVERS[name](base_lr=0.05, **NEEDED.get(name, {}), **EVERYTHING))


@pytest.mark.parametrize("name", SOLVERS)
def test_two_workers_give_the_same_bits_twice(name: str, descend: Any, cpu: Any) -> None:
    rng = np.random.default_rng(3)
    w, gs = rng.standard_normal(80), rng.standard_normal((4, 80))
    solver = SOLVERS[name](base_lr=0.05, **NEEDED.get(name, {}), **EVERYTHING)
    one, other = (descend(solver, w, [(0, 70, 1.0, 1.0)], None, cpu, [(0, 70, 7)]) for _ in range(2))
    for g in gs:
        assert one.step(g).tobytes() == other.step(g).tobytes()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_rule_asks_for_keys_for_numbers_of_the_step_and_for_what_is_offered(name: str) -> None:
    made = SOLVERS[name](base_lr=0.1, **NEEDED.get(name, {}))
    known = {*made.__dataclass_fields__, *made.computed(0, RUN)} - {"lr_policy", "param"}
    for stage, slots in made.stages:
        assert stage.arguments[: 3 + len(slots)] == ("w", "g", *slots, "lr")
        assert set(stage.arguments[3 + len(slots) :]) <= known | set(OFFERED)
        assert len(stage.results) == 1 + len(slots)
    assert not known & set(OFFERED)
    assert tuple(made.rates(0, None)) == made.numbers  # type: ignore[arg-type]


# --- a late start ---
def test_before_its_start_the_decay_is_nothing(descend: Any) -> None:
    descent = descend(SGD(base_lr=0.5, weight_decay=1.0, regularization_start=Span(2)), [8.0])
    assert [float(descent.step([0.0])[0]) for _ in range(4)] == [8, 8, 4, 2]


def test_the_start_may_be_in_epochs(descend: Any) -> None:
    solver = SGD(base_lr=0.5, weight_decay=1.0, regularization_start=Span(0.3, "epochs"))  # ten iterations an epoch
    run = descend(solver, [8.0]).run
    assert [solver.rates(iteration, run)["decay"] for iteration in (0, 2, 3, 4)] == [0, 0, 1, 1]


# --- lengths ---
@pytest.mark.parametrize(("keys", "expected"), [
    ({}, []),
    ({"lr_policy": Poly(power=1.0)}, []),
    ({"regularization_start": Span(60, "seconds")},
     [(("regularization_start",), "regularization_start counts iterations or epochs; write 5 epochs")]),
    ({"lr_policy": Step(gamma=0.1, stepsize=Span(60, "seconds"))},
     [(("lr_policy", "stepsize"), "stepsize counts iterations or epochs; write 5 epochs")]),
    ({"lr_policy": Piecewise(steps=((Span(5), 0.1), (Span(60, "seconds"), 0.1)))},
     [(("lr_policy", "steps", 1, 0), "steps counts iterations or epochs; write 5 epochs")]),
    ({"lr_policy": Warmup(iterations=Span(1), then=MultiStep(gamma=0.1, stepvalue=(Span(5), Span(60, "seconds"))))},
     [(("lr_policy", "then", "stepvalue", 1), "stepvalue counts iterations or epochs; write 5 epochs")]),
])  # fmt: skip
def test_a_time_where_iterations_are_counted_is_told_at_its_place(keys: Any, expected: Any) -> None:
    assert list(SGD(base_lr=0.1, **keys).mistakes(ends=True)) == expected


@pytest.mark.parametrize(("policy", "path"), [
    (Poly(power=1.0), ("lr_policy",)), (Cosine(), ("lr_policy",)), (OneCycle(), ("lr_policy",)),
    (Warmup(iterations=Span(1), then=Poly(power=1.0)), ("lr_policy", "then")),
    (Warmup(iterations=Span(1), then=Warmup(iterations=Span(2), then=Cosine())), ("lr_policy", "then", "then")),
])  # fmt: skip
def test_a_run_that_only_a_time_ends_has_no_end_to_look_at(policy: Any, path: Any) -> None:
    ((where, words),) = SGD(base_lr=0.1, lr_policy=policy).mistakes(ends=False)
    assert where == path and words.endswith("looks at the end of the run; add max_iter or max_epochs")
    assert not list(SGD(base_lr=0.1, lr_policy=Cosine(period=Span(3))).mistakes(ends=False))


def test_the_policies_of_a_rate_with_their_keys() -> None:
    inner = Plateau(patience=Span(3))
    outer = Warmup(iterations=Span(1), then=inner)
    assert SGD(base_lr=0.1, lr_policy=outer).policies == [(("lr_policy",), outer), (("lr_policy", "then"), inner)]
    assert (outer.monitor, inner.monitor, SGD(base_lr=0.1).policies) == (None, "loss", [])


# --- bounds ---
def test_clipped_weights_stay_within_the_bound(descend: Any) -> None:
    descent = descend(SGD(base_lr=1.0, clip_weights=2.0), [0.0, 1.0, -1.0, 9.0], [(0, 3, 1.0, 1.0)])
    assert descent.step([-5.0, 0.5, 5.0, 0.0]).tolist() == [2, 0.5, -2, 9]  # the last belongs to nobody
    assert descent.step([3.0, 0.0, 0.0, 0.0]).tolist() == [-1, 0.5, -2, 9]


def test_a_row_is_shortened_to_max_norm_and_keeps_its_direction(descend: Any) -> None:
    descent = descend(SGD(base_lr=1.0, max_norm=5.0), [6.0, 8, 3, 4, 30, 40], [(0, 6, 1.0, 1.0)], rows=[(0, 4, 2)])
    np.testing.assert_allclose(descent.step(np.zeros(6)), [3, 4, 3, 4, 30, 40], rtol=1e-15)  # the last two are a bias


def test_rows_within_the_bound_do_not_change_a_bit(descend: Any, cpu: Any) -> None:
    w = np.random.default_rng(0).standard_normal(48).astype(np.float32)
    descent = descend(SGD(base_lr=1.0, max_norm=100.0), w, None, None, cpu, [(0, 48, 6)])
    assert descent.step(np.zeros(48)).tobytes() == w.tobytes()


def test_each_weight_is_bounded_before_its_row(descend: Any) -> None:
    descent = descend(SGD(base_lr=1.0, clip_weights=3.0, max_norm=2.5), [30.0, 4.0], rows=[(0, 2, 1)])
    np.testing.assert_allclose(descent.step(np.zeros(2)), [2.5 / np.sqrt(2), 2.5 / np.sqrt(2)])


# --- the average ---
def test_the_average_is_the_mean_at_first_and_forgets_later(descend: Any) -> None:
    descent, ws, average = descend(SGD(base_lr=1.0, weight_ema=WeightEma(decay=0.75)), [5.0, 5.0]), [], np.zeros(2)
    for step in range(12):
        ws.append(descent.step(np.random.default_rng(step).standard_normal(2)))
        average = np.mean(ws, axis=0) if step < 4 else 0.75 * average + 0.25 * ws[-1]
        np.testing.assert_allclose(descent["average"], average, rtol=1e-12)


def test_the_average_is_of_the_weights_after_all_bounds(descend: Any) -> None:
    keys = {"clip_weights": 3.0, "max_norm": 2.5, "weight_ema": WeightEma(decay=0.5)}
    descent = descend(SGD(base_lr=1.0, **keys), [30.0, 4.0], rows=[(0, 2, 1)])
    assert descent.step(np.zeros(2)).tolist() == descent["average"].tolist()


def test_an_average_of_what_stands_still_does_not_move_a_bit(descend: Any, cpu: Any) -> None:
    w = np.random.default_rng(0).standard_normal(48).astype(np.float32)
    descent = descend(SGD(base_lr=1.0, weight_ema=WeightEma()), w, None, None, cpu)
    for _ in range(20):
        descent.step(np.zeros(48))
    assert descent["average"].tobytes() == w.tobytes()


def test_after_a_failure_nothing_is_bounded_and_nothing_averaged(descend: Any) -> None:
    descent = descend(SGD(base_lr=1.0, **EVERYTHING), [30.0, 40.0], rows=[(0, 2, 1)])
    assert descent.step([np.nan, 0.0]).tolist() == [30, 40]
    assert descent["average"].tolist() == [30, 40] and descent["failed"][0] == 1
