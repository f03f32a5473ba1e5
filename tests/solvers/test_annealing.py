"""The policies that anneal: numbers by hand, restarts, and a rate that looks at the scores."""

from __future__ import annotations

from fractions import Fraction
from math import cos, inf, nan, pi
from typing import Any

import pytest

from dltrain.fields import Span
from dltrain.policy import Horizon
from dltrain.registry import POLICIES
from dltrain.solvers.annealing import Cosine, OneCycle, Plateau
from dltrain.solvers.schedules import Warmup
from dltrain.solvers.sgd import SGD

RUN = Horizon(max_iter=100, per_epoch=Fraction(15, 2))

TABLE = {
    "cosine": ("cosine", {}, {0: 0.5, 50: 0.25, 25: 0.25 * (1 + cos(pi / 4)), 100: 0, 1000: 0}),
    "cosine to a part": ("cosine", {"min": 0.2}, {0: 0.5, 50: 0.3, 100: 0.1, 1000: 0.1}),
    "cosine with restarts": ("cosine", {"period": Span(20)}, {0: 0.5, 10: 0.25, 20: 0.5, 30: 0.25, 40: 0.5, 990: 0.25}),
    "cosine in longer and longer periods": ("cosine", {"period": Span(10), "mult": 2.0},
                                            {0: 0.5, 5: 0.25, 10: 0.5, 20: 0.25, 30: 0.5, 50: 0.25, 70: 0.5, 110: 0.25}),
    "cosine in epochs": ("cosine", {"period": Span(2, "epochs")}, {0: 0.5, 15: 0.5, 30: 0.5, 5: 0.375}),
    "one_cycle": ("one_cycle", {"rise": 0.2, "start": 0.1, "end": 0.02},
                  {0: 0.05, 10: 0.275, 20: 0.5, 60: 0.255, 100: 0.01, 999: 0.01}),
    "one_cycle that only falls": ("one_cycle", {"rise": 0.0, "end": 0.0}, {0: 0.5, 50: 0.25, 100: 0}),
    "triangular": ("triangular", {"stepsize": Span(4)}, {0: 0, 1: 0.125, 4: 0.5, 6: 0.25, 8: 0, 12: 0.5, 20: 0.5}),
    "triangular above a part": ("triangular", {"stepsize": Span(4), "min": 0.2}, {0: 0.1, 2: 0.3, 4: 0.5, 8: 0.1}),
    "triangular, each half as high": ("triangular", {"stepsize": Span(4), "gamma": 0.5}, {4: 0.5, 12: 0.25, 20: 0.125}),
    "triangular in epochs": ("triangular", {"stepsize": Span(1, "epochs")}, {0: 0, 3: 0.2, 15: 0}),
    "plateau without tests": ("plateau", {"patience": Span(5)}, {0: 0.5, 99: 0.5}),
    "warmup, then cosine": ("warmup", {"iterations": Span(50), "then": Cosine()},
                            {0: 0, 25: 0.125 * (1 + cos(pi / 4)), 50: 0.25}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_rates_by_hand(case: str) -> None:
    name, keys, rates = TABLE[case]
    policy = POLICIES[name](**keys)
    assert {iteration: policy.rate(0.5, iteration, RUN) for iteration in rates} == pytest.approx(rates, rel=1e-12, abs=1e-15)


def test_every_policy_is_in_the_table() -> None:
    made = {name for name, kind in POLICIES.items() if kind.__module__ == Cosine.__module__}
    assert made <= {name for name, _, _ in TABLE.values()}


@pytest.mark.parametrize("case", TABLE)
def test_the_rate_is_in_proportion_to_the_base_and_never_above_it(case: str) -> None:
    name, keys, _ = TABLE[case]
    policy = POLICIES[name](**keys)
    for iteration in range(0, 130, 3):
        assert policy.rate(3.0, iteration, RUN) == pytest.approx(6 * policy.rate(0.5, iteration, RUN))
        assert 0 <= policy.rate(1.0, iteration, RUN) <= 1


def test_which_look_at_the_end() -> None:
    assert Cosine().to_the_end and OneCycle().to_the_end and Warmup(iterations=Span(2), then=Cosine()).to_the_end
    assert not Cosine(period=Span(5)).to_the_end and not Plateau(patience=Span(5)).to_the_end
    for policy in (Cosine(), OneCycle()):
        with pytest.raises(ValueError, match="needs an end; add max_iter or max_epochs"):
            policy.rate(0.1, 5, Horizon(0, Fraction(7)))


# --- plateau ---
def rates(policy: Any, scores: list[float], every: int = 10, name: str = "val.loss", **about: Any) -> list[float]:
    """The rate of the step after each test."""
    history = [(every * (number + 1), {"val.other": 0.0, name: score}) for number, score in enumerate(scores)]
    run = Horizon(1000, Fraction(10), history, **about)
    return [policy.rate(1.0, at, run) for at, _ in history]


def test_it_halves_when_the_loss_no_longer_falls() -> None:
    """Best 3 at 30; worse at 40; at 50, 20 after the best, it falls; 20 later again; 2 is better; 20 after that again."""
    found = rates(Plateau(patience=Span(20)), [5, 4, 3, 3, 4, 3.5, 3, 2, 2, 2])
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_a_short_patience_is_over_at_the_next_test() -> None:
    assert rates(Plateau(patience=Span(1), gamma=0.1), [5, 6, 4, 4, 4]) == pytest.approx([1, 0.1, 0.1, 0.01, 0.001])


def test_the_patience_may_be_in_epochs() -> None:
    assert rates(Plateau(patience=Span(2, "epochs")), [5, 5, 5, 5, 5]) == [1, 1, 0.5, 0.5, 0.25]


def test_better_by_less_than_min_delta_is_no_better() -> None:
    assert rates(Plateau(patience=Span(20), min_delta=0.5), [5, 4.8, 4.6, 4.4, 4.2]) == [1, 1, 0.5, 0.5, 0.5]


def test_it_stops_falling_at_min() -> None:
    assert rates(Plateau(patience=Span(1), gamma=0.0, min=0.2), [5, 5, 5]) == [1, 0.2, 0.2]


def test_nan_is_no_better() -> None:
    assert rates(Plateau(patience=Span(10)), [5, nan, inf, 4]) == [1, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(("keys", "about"), [
    ({"mode": "max"}, {}), ({}, {"higher": {"accuracy": True}}), ({"mode": "max"}, {"higher": {"accuracy": False}}),
])  # fmt: skip
@pytest.mark.parametrize("monitor", ["accuracy", "val.accuracy"])
def test_more_is_better_where_the_user_or_the_metric_says_so(monitor: str, keys: Any, about: Any) -> None:
    policy = Plateau(monitor=monitor, patience=Span(20), **keys)
    assert rates(policy, [0.5, 0.6, 0.7, 0.7, 0.6], name="val.accuracy", **about) == [1, 1, 1, 1, 0.5]


def test_a_part_of_a_metric_is_a_score_too() -> None:
    policy = Plateau(monitor="f1.macro", patience=Span(10))
    assert rates(policy, [0.5, 0.6, 0.6], name="val.f1.macro", higher={"f1.macro": True}) == [1, 1, 0.5]


def test_tests_to_come_do_not_count() -> None:
    """A pure function of iteration and history: the rate of an earlier step is the same when more is known."""
    scores = [5.0, 4, 4, 4, 3, 3, 3]
    policy, whole = Plateau(patience=Span(10)), [(10 * (n + 1), {"val.loss": score}) for n, score in enumerate(scores)]
    for n in range(len(whole) + 1):
        for iteration in range(10 * n, 10 * n + 10):
            some, full = (Horizon(1000, Fraction(10), history) for history in (whole[:n], whole))
            assert policy.rate(1.0, iteration, some) == policy.rate(1.0, iteration, full)


def test_the_history_grows_under_the_horizon() -> None:
    history: list[tuple[int, dict[str, float]]] = []
    run, solver = Horizon(1000, Fraction(10), history), SGD(base_lr=1.0, lr_policy=Plateau(patience=Span(10)))
    assert solver.rates(5, run)["lr"] == 1
    history += [(10, {"val.loss": 3.0}), (20, {"val.loss": 3.0})]
    assert solver.rates(20, run)["lr"] == 0.5


def test_plateau_behind_a_warmup() -> None:
    policy = Warmup(iterations=Span(40), then=Plateau(patience=Span(10)))
    assert rates(policy, [5, 5, 5, 5, 5]) == pytest.approx([0.25, 0.25, 0.1875, 0.125, 0.0625])


@pytest.mark.parametrize("policy", [Plateau(patience=Span(60, "seconds")), Cosine(period=Span(60, "seconds"))])
def test_a_time_is_no_number_of_iterations(policy: Any) -> None:
    with pytest.raises(ValueError, match="a time has no length in iterations"):
        policy.rate(0.1, 5, RUN)
