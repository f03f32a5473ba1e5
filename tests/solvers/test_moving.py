"""Numbers of a solver that a policy moves: what they are in each step, what is said of wrong ones, and a run that resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401
from dltrain import config
from dltrain.errors import ConfigError
from dltrain.fields import Moving, Span, moving
from dltrain.marks import parse
from dltrain.policy import Horizon, based
from dltrain.registry import POLICIES, SOLVERS
from dltrain.schema import schema
from dltrain.solvers.adam import Adam
from dltrain.solvers.adamw import AdamW
from dltrain.solvers.mean_momentum import MeanMomentum
from dltrain.solvers.nesterov import Nesterov
from dltrain.solvers.schedules import Fixed
from dltrain.solvers.sgd import SGD

ROOT = Path(__file__).parents[2]
RUN = Horizon(max_iter=100, per_epoch=Fraction(10))
RNG = np.random.default_rng(10)
SHARE, NUMBER = Moving(1.0), Moving()


def at(name: str, mark: Moving = SHARE, **keys: Any) -> Any:
    """A policy in the place of a number."""
    return based(POLICIES[name], mark)(**keys)


# --- what the numbers are ---
def test_momentum_and_decay_follow_their_policies(descend: Any) -> None:
    """Least squares in one weight, by NumPy: momentum ramps, the decay steps, the rate is halved on its own."""
    solver = SGD(
        base_lr=at("exp", NUMBER, base=0.2, gamma=0.5), momentum=at("ramp", base=0.5, to=0.9, over=Span(4)),
        weight_decay=at("step", NUMBER, base=0.4, gamma=0.5, stepsize=Span(2)),
    )  # fmt: skip
    descent, w, v = descend(solver, [3.0, -2.0]), np.array([3.0, -2.0]), np.zeros(2)
    for t in range(8):
        g, momentum = RNG.standard_normal(2), min(0.9, 0.5 + 0.1 * t)
        v = momentum * v + 0.2 * 0.5**t * (g + 0.4 * 0.5 ** (t // 2) * w)
        found, w = descent.step(g), w - v
        np.testing.assert_allclose(found, w, rtol=1e-12)


def test_mean_mult_may_move(descend: Any) -> None:
    solver = MeanMomentum(base_lr=1.0, momentum=0.0, mean_mult=at("ramp", NUMBER, base=0.0, to=2.0, over=Span(2)))
    descent = descend(solver, [0.0])
    assert [float(descent.step([1.0])[0]) for _ in range(3)] == [-1, -3, -6]


def test_a_late_start_comes_before_the_policy_of_the_decay() -> None:
    solver = SGD(base_lr=1.0, weight_decay=at("ramp", NUMBER, base=1.0, to=0.0, over=Span(4)), regularization_start=Span(2))
    assert [solver.rates(t, RUN)["decay"] for t in range(5)] == [0, 0, 0.5, 0.25, 0]


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_a_policy_that_stays_is_the_number(name: str, descend: Any) -> None:
    """Every number of every rule, moved by `fixed`, gives the steps of the bare number."""
    needed = {"WindowedAdaGrad": {"window": 3}}.get(name, {})
    plain = SOLVERS[name](base_lr=0.1, weight_decay=0.05, **needed)
    marks = moving(SOLVERS[name])
    moved = SOLVERS[name](**{key: at("fixed", mark, base=getattr(plain, key)) for key, mark in marks.items()}, **needed)
    assert set(moved.moved) == set(marks) >= {"base_lr", "weight_decay"}
    one, other = descend(plain, [1.0, -2.0]), descend(moved, [1.0, -2.0])
    for _ in range(6):
        g = RNG.standard_normal(2)
        np.testing.assert_allclose(other.step(g), one.step(g), rtol=1e-12)


def test_every_share_that_a_rule_keeps_a_mean_by_may_move() -> None:
    assert {name: sorted(set(moving(kind)) - {"base_lr", "weight_decay"}) for name, kind in SOLVERS.items()} == {
        "SGD": ["momentum"], "Nesterov": ["momentum"], "SumMomentum": ["momentum"], "SGDW": ["momentum"], "LARS": ["momentum"],
        "MeanMomentum": ["mean_mult", "momentum"], "AdaDelta": ["momentum"], "RMSProp": ["rms_decay"],
        "Adam": ["momentum", "momentum2"], "AdamW": ["momentum", "momentum2"], "LAMB": ["momentum", "momentum2"],
        "AdaGrad": [], "WindowedAdaGrad": [],
    }  # fmt: skip


# --- the corrections of means that begin at 0 ---
def test_a_correction_is_by_the_product_of_what_the_number_was() -> None:
    """0.5, then 0.6, then 0.7 …: a mean of a steady 1 is 1 - 0.5, 1 - 0.5 0.6, 1 - 0.5 0.6 0.7, and is corrected to 1."""
    ramp = at("ramp", base=0.5, to=0.9, over=Span(4))
    solver = AdamW(base_lr=0.1, momentum=ramp, momentum2=ramp)
    mean = 0.0
    for t in range(8):
        rates = solver.rates(t, RUN)
        mean = rates["momentum"] * mean + (1 - rates["momentum"])
        assert mean * rates["mean_scale"] == pytest.approx(1) and rates["square_scale"] == rates["mean_scale"]
    assert Adam(base_lr=0.1, momentum=ramp, momentum2=ramp).rates(1, RUN)["correction"] == pytest.approx(sqrt(0.7) / 0.7)


def test_a_step_asked_for_alone_is_the_step_of_the_row() -> None:
    """As a resumed run asks: to the last bit, forwards, backwards and again."""
    keys: dict[str, Any] = {"momentum": at("dip", base=0.95, to=0.6), "momentum2": at("ramp", base=0.9, to=0.9999)}
    row = [AdamW(base_lr=0.1, **keys).rates(0, RUN)]
    solver = AdamW(base_lr=0.1, **keys)
    row = [solver.rates(t, RUN) for t in range(100)]
    assert all(AdamW(base_lr=0.1, **keys).rates(t, RUN) == row[t] for t in range(0, 100, 7))
    assert [solver.rates(t, RUN) for t in (99, 3, 3, 60)] == [row[t] for t in (99, 3, 3, 60)]


def test_a_number_of_0_and_a_long_run_need_no_correction() -> None:
    solver = AdamW(base_lr=0.1, momentum=at("fixed", base=0.0), momentum2=at("ramp", base=0.9, to=0.99))
    assert solver.rates(0, RUN)["mean_scale"] == 1
    assert solver.rates(90_000, RUN)["square_scale"] == 1


def test_plateau_moves_a_number_by_the_scores_so_far() -> None:
    history: list[tuple[int, dict[str, float]]] = []
    run = Horizon(1000, Fraction(10), history)
    solver = SGD(base_lr=1.0, momentum=at("plateau", base=0.8, patience=Span(10)))
    assert solver.rates(5, run)["momentum"] == 0.8
    history += [(10, {"val.loss": 3.0}), (20, {"val.loss": 3.0})]
    assert solver.rates(20, run)["momentum"] == 0.4 and solver.rates(19, run)["momentum"] == 0.8


# --- bounds ---
def test_a_number_out_of_its_bounds_stops_the_step() -> None:
    solver = Nesterov(base_lr=0.1, momentum=at("ramp", base=0.5, to=1.5, over=Span(10)))
    assert solver.rates(4, RUN)["momentum"] == pytest.approx(0.9)
    with pytest.raises(ConfigError, match="solver: momentum is 1 in iteration 5; it must be less than 1: change its ramp"):
        solver.rates(5, RUN)


def test_where_it_leads_out_is_told_before_the_run() -> None:
    solver = SGD(base_lr=at("exp", NUMBER, base=1.0, gamma=1e9), momentum=at("inv", base=0.5, gamma=0.01, power=-1.0))
    assert list(solver.strays(Horizon(1000, Fraction(10)))) == [
        (("base_lr",), "base_lr is inf in iteration 35; it must be a finite number: change its exp"),
        (("momentum",), "momentum is 1 in iteration 100; it must be less than 1: change its inv"),
    ]
    assert not list(SGD(base_lr=0.1, momentum=at("ramp", base=0.5, to=1.0)).strays(RUN))  # 1 is where the run has ended


def test_lengths_and_ends_of_all_policies_are_looked_at() -> None:
    inner = Fixed()
    ramp, late = at("ramp", base=0.5, to=0.9), at("warmup", NUMBER, base=0.1, iterations=Span(60, "seconds"), then=inner)
    solver = SGD(base_lr=0.1, momentum=ramp, weight_decay=late)
    assert solver.policies == [(("weight_decay",), late), (("weight_decay", "then"), inner), (("momentum",), ramp)]
    assert list(solver.mistakes(ends=False)) == [
        (("weight_decay", "iterations"), "iterations counts iterations or epochs; write 5 epochs"),
        (("momentum",), "ramp looks at the end of the run; add max_iter or max_epochs"),
    ]


# --- in a text ---
TEXT = """\
name: t
data: {source: digits, batch_size: 64}
net:
  - {name: ip1, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip1, label]}
solver:
  type: Adam
  base_lr: 0.1
  max_epochs: 2
"""


def text(line: str, **changes: str) -> str:
    made = TEXT + f"  {line}\n"
    for old, new in changes.items():
        made = made.replace(f"{old}: {'0.1' if old == 'base_lr' else '2'}\n", new)
    return made


def read(made: str) -> Any:
    return config.read("net.yaml", document=parse(made, "net.yaml"))


def test_a_text_with_policies_in_the_places_of_numbers() -> None:
    line = "momentum: {type: ramp, base: 0.5, to: 0.99, over: 1 epoch}\n  weight_decay: {type: poly, base: 5e-4, power: 1}"
    made = read(text(line, base_lr="base_lr: {type: decline, base: 0.1}\n"))
    assert set(made.solver.moved) == {"base_lr", "momentum", "weight_decay"}
    rates = made.solver.rates(25, made.horizon)
    assert (rates["momentum"], rates["lr"]) == pytest.approx((0.99, 0.1 / sqrt(26)))
    assert rates["decay"] == pytest.approx(5e-4 * (1 - 25 / made.horizon.max_iter))


WRONG = {
    "no base": ("momentum: {type: ramp, to: 0.9}", "10:13: solver (Adam): momentum (ramp): needs 'base'; add base: …"),
    "a base out of bounds": ("momentum: {type: ramp, to: 0.9, base: 1.5}",
                             "10:41: solver (Adam): momentum (ramp): 'base' must be less than 1, not 1.5"),
    "a base that is no number": ("weight_decay: {type: fixed, base: x}",
                                 "10:37: solver (Adam): weight_decay (fixed): 'base' must be a number, not 'x'"),
    "a base below 0": ("weight_decay: {type: fixed, base: -1}",
                       "10:37: solver (Adam): weight_decay (fixed): 'base' must be at least 0, not -1"),
    "a misspelt key": ("momentum2: {type: fixed, bse: 0.9}",
                       "10:28: solver (Adam): momentum2 (fixed): unknown key 'bse'; did you mean 'base'?"),
    "no type": ("momentum: {base: 0.9}", "10:13: solver (Adam): momentum: needs 'type'; known: " + ", ".join(sorted(POLICIES))),
    "a misspelt type": ("momentum: {type: rmap, base: 0.9}",
                        "10:20: solver (Adam): momentum: unknown policy 'rmap'; did you mean 'ramp'?"),
    "a type that is no name": ("momentum: {type: [ramp], base: 0.9}",
                               "10:20: solver (Adam): momentum: unknown policy [\"ramp\"]; did you mean 'ramp'?"),
    "a key of another policy": ("momentum: {type: fixed, base: 0.9, gamma: 2}",
                                "10:38: solver (Adam): momentum (fixed): unknown key 'gamma'; known: base"),
    "an expression": ("momentum: {type: fixed, base: $m}",
                      "10:33: solver: there is no 'm'; known: data.classes"),
    "a bare name": ("momentum: ramp", "10:13: solver (Adam): 'momentum' must be a number, not 'ramp'"),
    "a base inside": ("momentum: {type: warmup, base: 0.9, iterations: 5, then: {type: fixed, base: 0.9}}",
                      "10:74: solver (Adam): momentum (warmup): then (fixed): unknown key 'base'"),
    "a base of lr_policy": ("lr_policy: {type: exp, gamma: 1, base: 0.9}",
                            "10:36: solver (Adam): lr_policy (exp): unknown key 'base'; known: gamma"),
    "a time": ("momentum: {type: ramp, base: 0.5, to: 0.9, over: 20 min}",
               "10:52: solver: over counts iterations or epochs; write 5 epochs"),
    "a way out of the bounds": ("momentum: {type: ramp, base: 0.5, to: 2, over: 3}",
                                "10:13: solver: momentum is 1 in iteration 1; it must be less than 1: change its ramp"),
    "steps out of order": ("lr_policy: {type: piecewise, steps: [[5, 0.1], [3, 0.2]]}",
                           "10:39: solver (Adam): lr_policy (piecewise): 'steps' must be in the order of time, with one unit"),
    "steps in two units": ("lr_policy: {type: piecewise, steps: [[5, 0.1], [9 epochs, 0.2]]}",
                           "10:39: solver (Adam): lr_policy (piecewise): 'steps' must be in the order of time, with one unit"),
    "a step without a factor": ("lr_policy: {type: piecewise, steps: [[5]]}",
                                "10:40: solver (Adam): lr_policy (piecewise): needs 'steps'; add steps: …"),
    "a score that is not there": ("momentum: {type: plateau, base: 0.9, patience: 1 epoch, monitor: accuracy}",
                                  "10:68: solver: there is no score 'accuracy'; known: loss, test.loss, val.loss"),
    "a number without a policy": ("delta: {type: fixed, base: 0.9}",
                                  "10:10: solver (Adam): 'delta' must be a number, not {\"type\": \"fixed\", \"base\": 0.9}; "
                                  "a policy here is not yet built"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_at_its_place(case: str) -> None:
    line, words = WRONG[case]
    with pytest.raises(ConfigError) as error:
        read(text(line))
    assert str(error.value).startswith(f"net.yaml:{words}") and "\n" not in str(error.value)


def test_the_rate_has_one_policy() -> None:
    with pytest.raises(ConfigError, match=r"net.yaml:10:14: solver: base_lr has a policy of its own; leave lr_policy out"):
        read(text("lr_policy: fixed", base_lr="base_lr: {type: fixed, base: 0.1}\n"))


def test_a_run_that_only_a_time_ends_has_no_end_to_ramp_to() -> None:
    words = r"net.yaml:10:13: solver: ramp looks at the end of the run; add max_iter or max_epochs"
    with pytest.raises(ConfigError, match=words):
        read(text("momentum: {type: ramp, base: 0.5, to: 0.9}", max_epochs="max_time: 20 min\n"))
    read(text("momentum: {type: ramp, base: 0.5, to: 0.9, over: 9}", max_epochs="max_time: 20 min\n"))


@pytest.mark.parametrize("line", [
    "loss_weight: {type: ramp, base: 1, to: 0}", "dropout_ratio: {type: ramp, base: 0.5, to: 0.1}, type: Dropout",
])  # fmt: skip
def test_a_layer_has_no_numbers_that_move_yet(line: str) -> None:
    kind = "" if "type: Drop" in line else "type: InnerProduct, num_output: 10, "
    with pytest.raises(ConfigError, match=r"must be a number, not .*; a policy here is not yet built"):
        read(TEXT.replace("{name: ip1, type: InnerProduct, num_output: 10}", f"{{name: ip1, {kind}{line}}}"))


# --- in an editor ---
@pytest.fixture(scope="module")
def editor() -> Any:
    from jsonschema import Draft7Validator

    return Draft7Validator(schema())


@pytest.mark.parametrize("line", [
    "momentum: 0.9", "momentum: null", "momentum: $m", "momentum: {type: ramp, base: 0.5, to: 0.9}",
    "momentum: {type: ramp, base: $b, to: 0.9, over: null}", "weight_decay: {type: exp, base: 2, gamma: 0.5}",
    "lr_policy: {type: piecewise, steps: [[2 epochs, 0.5], [4 epochs, 0.1]]}",
    "momentum2: {type: warmup, base: 0.9, iterations: 3 epochs, then: {type: fixed}}",
])  # fmt: skip
def test_what_is_right_is_not_underlined(line: str, editor: Any) -> None:
    assert editor.is_valid(parse(text(line)).value)
    if "$" not in line:
        read(text(line))


UNDERLINED = set(WRONG) - {
    "an expression",
    "steps out of order",
    "steps in two units",
    "a time",
    "a way out of the bounds",
    "a score that is not there",
}


@pytest.mark.parametrize("case", sorted(UNDERLINED))
def test_what_is_wrong_is_underlined(case: str, editor: Any) -> None:
    assert not editor.is_valid(parse(text(WRONG[case][0])).value)


# --- in a run ---
def test_a_run_with_moving_numbers_resumes_bit_for_bit(tmp_path: Path) -> None:
    line = ("momentum: {type: dip, base: 0.95, to: 0.85}\n  momentum2: {type: ramp, base: 0.9, to: 0.999, over: 30}\n"
            "  weight_decay: {type: plateau, base: 1e-3, patience: 1 epoch}\n  snapshot: 7")  # fmt: skip
    (tmp_path / "t.yaml").write_text(text(line, max_epochs="max_epochs: 30\n"))

    def run(*words: str, stop: bool = False) -> Any:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "dltrain", "train", *words, "--json", "--quiet"], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        if stop:
            while not list((tmp_path / "b").glob("t/latest/snapshots/*.h5")) and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        return None if stop else json.loads(out) if process.returncode == 0 else err

    straight = run("t.yaml", "--runs", "a")
    run("t.yaml", "--runs", "b", stop=True)
    longer = run("--resume", "b/t", "--set", "solver.max_epochs=40")
    assert run("--resume", "b/t")["state_hash"] == straight["state_hash"]
    assert "--resume cannot change solver.max_epochs: it would be another run" in longer
