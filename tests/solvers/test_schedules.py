"""The policies of the rate: numbers by hand, units, and the warm-up before any of them."""

from __future__ import annotations

from fractions import Fraction
from math import exp, inf
from typing import Any

import pytest

from dltrain.fields import Span
from dltrain.policy import Horizon
from dltrain.registry import POLICIES
from dltrain.solvers.schedules import Fixed, Inv, MultiStep, Poly, Sigmoid, Step, Warmup
from dltrain.solvers.sgd import SGD

RUN = Horizon(max_iter=100, per_epoch=Fraction(15, 2))
STEPS = (Span(2), Span(5), Span(50))

TABLE = {
    "fixed": ("fixed", {}, {0: 0.5, 1: 0.5, 99: 0.5}),
    "step": ("step", {"gamma": 0.1, "stepsize": Span(10)}, {0: 0.5, 9: 0.5, 10: 0.05, 19: 0.05, 20: 0.005, 99: 0.5e-9}),
    "step in epochs": ("step", {"gamma": 0.5, "stepsize": Span(2, "epochs")}, {0: 0.5, 14: 0.5, 15: 0.25, 30: 0.125}),
    "exp": ("exp", {"gamma": 0.9}, {0: 0.5, 1: 0.45, 2: 0.405, 10: 0.5 * 0.3486784401}),
    "exp that stops at once": ("exp", {"gamma": 0.0}, {0: 0.5, 1: 0}),
    "inv": ("inv", {"gamma": 0.25, "power": 2.0}, {0: 0.5, 4: 0.125, 12: 0.03125}),
    "inv that rises": ("inv", {"gamma": 1.0, "power": -1.0}, {0: 0.5, 3: 2.0}),
    "multistep": ("multistep", {"gamma": 0.1, "stepvalue": STEPS}, {0: 0.5, 1: 0.5, 2: 0.05, 4: 0.05, 5: 0.005, 50: 0.0005}),
    "multistep in any order": ("multistep", {"gamma": 0.1, "stepvalue": STEPS[::-1]}, {1: 0.5, 2: 0.05, 5: 0.005}),
    "multistep in epochs": ("multistep", {"gamma": 0.1, "stepvalue": (Span(2, "epochs"),)}, {14: 0.5, 15: 0.05, 99: 0.05}),
    "multistep without steps": ("multistep", {"gamma": 0.1, "stepvalue": ()}, {0: 0.5, 99: 0.5}),
    "piecewise": ("piecewise", {"steps": ((Span(5), 0.4), (Span(9), 2.0), (Span(20), 0.0))},
                  {0: 0.5, 4: 0.5, 5: 0.2, 8: 0.2, 9: 1.0, 20: 0.0, 99: 0.0}),
    "piecewise in epochs": ("piecewise", {"steps": ((Span(2, "epochs"), 0.4),)}, {14: 0.5, 15: 0.2, 99: 0.2}),
    "piecewise without steps": ("piecewise", {"steps": ()}, {0: 0.5, 99: 0.5}),
    "poly": ("poly", {"power": 2.0}, {0: 0.5, 50: 0.125, 90: 0.005, 100: 0.0}),
    "poly of power 0": ("poly", {"power": 0.0}, {0: 0.5, 99: 0.5}),
    "poly after its end": ("poly", {"power": 1.5}, {101: 0.0, 1000: 0.0}),
    "sigmoid": ("sigmoid", {"gamma": -0.5, "stepsize": Span(20)}, {20: 0.25, 18: 0.5 / (1 + exp(-1)), 24: 0.5 / (1 + exp(2))}),
    "sigmoid far out": ("sigmoid", {"gamma": -50.0, "stepsize": Span(50)}, {0: 0.5, 99: 0.0}),
    "sigmoid that rises": ("sigmoid", {"gamma": 50.0, "stepsize": Span(50)}, {0: 0.0, 50: 0.25, 99: 0.5}),
    "decline": ("decline", {}, {0: 0.5, 3: 0.25, 99: 0.05}),
    "decline from later on": ("decline", {"beta": 4.0, "gamma": 1.0}, {0: 0.125, 4: 0.0625, 96: 0.005}),
    "decline that stays": ("decline", {"gamma": 0.0}, {0: 0.5, 99: 0.5}),
    "warmup": ("warmup", {"iterations": Span(4)}, {0: 0.0, 1: 0.125, 2: 0.25, 4: 0.5, 50: 0.5}),
    "warmup from a part": ("warmup", {"iterations": Span(4), "start": 0.2}, {0: 0.1, 1: 0.2, 2: 0.3, 4: 0.5, 5: 0.5}),
    "warmup in epochs": ("warmup", {"iterations": Span(2, "epochs")}, {0: 0.0, 3: 0.1, 15: 0.5}),
    "warmup, then step": ("warmup", {"iterations": Span(8), "then": Step(gamma=0.1, stepsize=Span(4))},
                          {2: 0.125, 4: 0.025, 6: 0.0375, 8: 0.005, 12: 0.0005}),
    "warmup, then poly": ("warmup", {"iterations": Span(10), "then": Poly(power=1.0)}, {5: 0.2375, 10: 0.45, 100: 0.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_rates_by_hand(case: str) -> None:
    name, keys, rates = TABLE[case]
    policy = POLICIES[name](**keys)
    assert {iteration: policy.rate(0.5, iteration, RUN) for iteration in rates} == pytest.approx(rates, rel=1e-12, abs=1e-15)


def test_every_policy_is_in_the_table() -> None:
    assert {name for name, _, _ in TABLE.values()} == {
        name for name, kind in POLICIES.items() if kind.__module__ == Step.__module__
    }


def test_a_step_of_an_epoch_falls_on_the_ends_of_the_epochs() -> None:
    """7.5 iterations an epoch: the first ends with the 8th, the second with the 15th, the third with the 23rd."""
    policy = Step(gamma=0.5, stepsize=Span(1, "epochs"))
    rates = [policy.rate(1.0, iteration, RUN) for iteration in (0, 7, 8, 14, 15, 22, 23, 29, 30)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]


def test_lenets_rate_after_a_hundred_iterations_is_caffes() -> None:
    assert Inv(gamma=1e-4, power=0.75).rate(0.01, 100, Horizon(10_000, Fraction(938))) == pytest.approx(0.00992565, abs=5e-9)


@pytest.mark.parametrize("case", TABLE)
def test_the_rate_is_in_proportion_to_the_base(case: str) -> None:
    name, keys, _ = TABLE[case]
    policy = POLICIES[name](**keys)
    for iteration in (0, 3, 17, 64, 100):
        assert policy.rate(3.0, iteration, RUN) == pytest.approx(6 * policy.rate(0.5, iteration, RUN))
        assert policy.rate(0.0, iteration, RUN) == 0


def test_the_solver_asks_its_policy() -> None:
    solver = SGD(base_lr=0.5, lr_policy=Step(gamma=0.1, stepsize=Span(10)))
    assert [solver.rates(iteration, RUN)["lr"] for iteration in (9, 10)] == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize("policy", [None, Fixed()])
def test_without_a_policy_the_rate_stays(policy: Any) -> None:
    assert SGD(base_lr=0.3, lr_policy=policy).rates(77, RUN)["lr"] == 0.3


@pytest.mark.parametrize("policy", [
    Step(gamma=0.1, stepsize=Span(60, "seconds")), Sigmoid(gamma=0.1, stepsize=Span(60, "seconds")),
    MultiStep(gamma=0.1, stepvalue=(Span(60, "seconds"),)), Warmup(iterations=Span(60, "seconds")),
])  # fmt: skip
def test_a_time_is_no_number_of_iterations(policy: Any) -> None:
    with pytest.raises(ValueError, match="a time has no length in iterations"):
        policy.rate(0.1, 5, RUN)


def test_decline_is_inv_with_another_beginning() -> None:
    """alpha / (beta + t)^gamma = base (1 + t / beta)^-gamma with base = alpha / beta^gamma"""
    one, other = POLICIES["decline"](beta=50.0, gamma=0.75), Inv(gamma=1 / 50, power=0.75)
    for iteration in (0, 7, 5000):
        assert one.rate(2.0, iteration, RUN) == pytest.approx(other.rate(2.0 / 50**0.75, iteration, RUN))


@pytest.mark.parametrize("policy", [Poly(power=1.0), Warmup(iterations=Span(5), then=Poly(power=1.0))])
def test_a_policy_that_looks_at_the_end_needs_one(policy: Any) -> None:
    assert policy.to_the_end
    with pytest.raises(ValueError, match="needs an end; add max_iter or max_epochs"):
        policy.rate(0.1, 5, Horizon(0, Fraction(7)))


def test_other_policies_do_not_look_at_the_end() -> None:
    assert not Step(gamma=0.1, stepsize=Span(2)).to_the_end and not Warmup(iterations=Span(5)).to_the_end


def test_an_exploding_rate_is_infinite_not_an_error() -> None:
    assert POLICIES["exp"](gamma=2.0).rate(0.1, 5000, RUN) == inf
