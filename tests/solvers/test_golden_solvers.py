"""AdaGrad, RMSProp, AdaDelta and Adam go the way of the original Caffe on each back end (../shared/golden, where it is)."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.fields import Span
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.policy import Horizon
from dltrain.registry import POLICIES, SOLVERS
from dltrain.solver import Solver

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "solvers"
TOLERANCE = 1e-5  # of the largest value
RUN = Horizon(max_iter=10, per_epoch=Fraction(4))  # 20 rows, batches of 5
SEGMENTS = [(0, 18, 1.0, 1.0), (32, 35, 2.0, 0.0)]  # 3 x 6 weights, then, on a new line of 16 elements, 3 biases
FILES = [file for kind in ("adagrad", "rmsprop", "adadelta", "adam") for file in sorted(GOLDEN.glob(f"{kind}_*.npz"))]

pytestmark = pytest.mark.skipif(not FILES, reason=f"the golden values are not at {GOLDEN}")


def solver_of(settings: dict[str, Any]) -> Solver:
    policy = {name: settings.pop(name) for name in ("gamma", "power") if name in settings}
    if "stepsize" in settings:
        policy["stepsize"] = Span(settings.pop("stepsize"))
    if "stepvalue" in settings:
        policy["stepvalue"] = tuple(map(Span, settings.pop("stepvalue")))
    made: Solver = SOLVERS[settings.pop("type")](lr_policy=POLICIES[settings.pop("lr_policy")](**policy), **settings)
    return made


def hold(name: str, found: Any, expected: Any) -> None:
    error, size = np.abs(np.reshape(found, expected.shape) - expected).max(), np.abs(expected).max()
    assert error <= TOLERANCE * size, f"{name}: off by {error:.3g}, values up to {size:.3g}"


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES] or [None])
@pytest.mark.parametrize("on", ["reference", "cpu"])
def test_a_solver_goes_the_way_of_caffe(file: Path, on: str, descend: Callable[..., Any], cpu: Cpu) -> None:
    golden, problem = np.load(file), np.load(GOLDEN / "problem.npz")
    solver = solver_of(json.loads(bytes(golden["settings"]))["settings"])
    start = np.zeros(48, np.float32)
    start[:18], start[32:35] = problem["W0"].reshape(-1), problem["b0"]
    descent = descend(solver, start, SEGMENTS, RUN, cpu if on == "cpu" else Reference(np.float32))
    w = descent["w"]
    for iteration in range(10):
        g = np.zeros_like(w)
        for passed in range(solver.iter_size):
            rows = (np.arange(5) + 5 * (iteration * solver.iter_size + passed)) % 20
            x, d = problem["data"][rows], problem["data"][rows] @ w[:18].reshape(3, 6).T + w[32:35] - problem["label"][rows]
            g[:18] += (d.T @ x).reshape(-1) / 5
            g[32:35] += d.sum(axis=0) / 5
        descent.step(g)
        hold(f"W after {iteration + 1}", w[:18], golden["W"][iteration + 1])
        hold(f"b after {iteration + 1}", w[32:35], golden["b"][iteration + 1])
    for number, slot in enumerate(solver.slots):  # all parameters' first slots, then all their second ones
        hold(f"history {2 * number}", descent[slot][:18], golden[f"history/{2 * number}"])
        hold(f"history {2 * number + 1}", descent[slot][32:35], golden[f"history/{2 * number + 1}"])
    assert not descent["failed"][0]
