"""LSTMCell: its formula, and steps that share their parameters.  The rest is in tests/test_recurrent.py."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.euclidean_loss import EuclideanLoss
from dltrain.layers.lstm_cell import LSTMCell
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.tensor import Shape
from dltrain.wiring import Line

N, D, H = 3, 4, 5
RNG = np.random.default_rng(0)


def test_by_hand(run: Any) -> None:
    """All gates are half open."""
    params = {"weight_x": [[0.0], [0], [0], [1]], "bias": [0, 0, 0, 0], "weight_h": [[0.0], [0], [0], [2]]}
    made = run(LSTMCell(num_output=1), [[0.5]], [[3.0]], [[7.0]], params=params)
    cell = 0.5 * 7 + 0.5 * tanh(0.5 + 2 * 3)
    np.testing.assert_allclose(made.tops, [[[0.5 * tanh(cell)]], [[cell]]], rtol=1e-12)


def test_two_steps_share_the_parameters_of_one() -> None:
    share = {role: {"share": f"one.{role}"} for role in ("weight_x", "bias", "weight_h")}
    lines = [Line("one", LSTMCell(num_output=H), ["a", "h", "c"]),
             Line("two", LSTMCell(num_output=H), ["b", "one", "one.cell"], params=share),
             Line("loss", EuclideanLoss(), ["two", "target"])]  # fmt: skip
    fields = {"a": Shape((D,)), "b": Shape((D,)), "h": Shape((H,)), "c": Shape((H,)), "target": Shape((H,))}
    engine = Engine(Net(lines, fields, batch=N), Reference(np.float64))
    engine.initialise(1)
    parts = {part.role: part for part in engine.net.store.segments.values()}
    assert set(parts) == {"weight_x", "bias", "weight_h"}
    batch = {name: RNG.standard_normal((N, *shape)) for name, shape in fields.items()}
    w, loss = engine.memory.slot("w", parts["weight_h"]), []
    for step in (1e-5, -2e-5, 1e-5):
        engine.memory.memory(engine.memory.handles["g"])[...] = 0
        w[:] += step
        loss.append(engine.step([batch], {})["loss"])
    assert engine.memory.slot("g", parts["weight_h"]).sum() == pytest.approx((loss[0] - loss[1]) / 2e-5, rel=1e-6)
