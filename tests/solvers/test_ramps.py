"""The policies that lead to another number: by hand, within their two ends, and the mirror of one cycle."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltrain.fields import Span
from dltrain.policy import Horizon
from dltrain.registry import POLICIES
from dltrain.solvers.annealing import OneCycle
from dltrain.solvers.ramps import Dip, Ramp

RUN = Horizon(max_iter=100, per_epoch=Fraction(15, 2))

TABLE = {
    "ramp": ("ramp", {"to": 0.9}, {0: 0.5, 25: 0.6, 50: 0.7, 99: 0.896, 100: 0.9, 500: 0.9}),
    "ramp over a part": ("ramp", {"to": 0.9, "over": Span(4)}, {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.8, 4: 0.9, 99: 0.9}),
    "ramp in epochs": ("ramp", {"to": 0.9, "over": Span(2, "epochs")}, {0: 0.5, 3: 0.58, 15: 0.9, 16: 0.9}),
    "ramp down": ("ramp", {"to": 0.0, "over": Span(10)}, {0: 0.5, 5: 0.25, 10: 0.0}),
    "dip": ("dip", {"to": 0.1, "rise": 0.2}, {0: 0.5, 10: 0.3, 20: 0.1, 60: 0.3, 100: 0.5, 500: 0.5}),
    "dip that only comes back": ("dip", {"to": 0.1, "rise": 0.0}, {0: 0.1, 50: 0.3, 100: 0.5}),
    "dip upwards": ("dip", {"to": 0.9, "rise": 0.5}, {0: 0.5, 25: 0.7, 50: 0.9, 100: 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_numbers_by_hand(case: str) -> None:
    name, keys, values = TABLE[case]
    policy = POLICIES[name](**keys)
    assert {iteration: policy.rate(0.5, iteration, RUN) for iteration in values} == pytest.approx(values, rel=1e-12, abs=1e-15)


def test_every_policy_is_in_the_table() -> None:
    made = {name for name, kind in POLICIES.items() if kind.__module__ == Ramp.__module__}
    assert made == {name for name, _, _ in TABLE.values()}


@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 300), st.integers(1, 200), st.sampled_from([0.0, 0.3, 0.999]))
def test_between_its_ends_always(base: float, to: float, iteration: int, last: int, rise: float) -> None:
    run = Horizon(last, Fraction(10))
    for policy in (Ramp(to=to), Ramp(to=to, over=Span(7)), Dip(to=to, rise=rise)):
        value = policy.rate(base, iteration, run)
        assert min(base, to) - 1e-15 <= value <= max(base, to) + 1e-15
    assert Ramp(to=to).rate(base, last, run) == to and Ramp(to=to).rate(base, 0, run) == base


@pytest.mark.parametrize("rise", [0.0, 0.3, 0.5])
def test_a_dip_is_one_cycle_upside_down(rise: float) -> None:
    cycle, dip = OneCycle(rise=rise, start=0.0, end=0.0), Dip(to=0.85, rise=rise)
    for iteration in range(0, 110, 3):
        assert dip.rate(0.95, iteration, RUN) == pytest.approx(0.95 - 0.1 * cycle.rate(1.0, iteration, RUN))


def test_which_look_at_the_end() -> None:
    assert Ramp(to=1.0).to_the_end and Dip(to=0.5).to_the_end and not Ramp(to=1.0, over=Span(5)).to_the_end


@pytest.mark.parametrize("policy", [Ramp(to=1.0), Dip(to=0.5)])
def test_without_an_end_there_is_nothing_to_look_at(policy: Any) -> None:
    with pytest.raises(ValueError, match="needs an end; add max_iter or max_epochs"):
        policy.rate(0.1, 5, Horizon(0, Fraction(7)))
