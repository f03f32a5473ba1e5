"""LSTMCell: one step, the same as an LSTM over a sequence of one, with the same parameters."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.euclidean_loss import EuclideanLoss
from dltrain.layers.lstm import LSTM
from dltrain.layers.lstm_cell import LSTMCell
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer, samples
from dltrain.wiring import Line

N, D, H = 3, 4, 5
RNG = np.random.default_rng(0)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_by_hand() -> None:
    trial = Trial(LSTMCell(num_output=1), [Shape((1, 1))] * 3)
    params = {"weight_x": [[0.0], [0], [0], [1]], "bias": [0, 0, 0, 0], "weight_h": [[0.0], [0], [0], [2]]}
    tops, _, _ = trial.run([[[0.5]], [[3.0]], [[7.0]]], [[[1.0]], [[1.0]]], params)
    cell = 0.5 * 7 + 0.5 * tanh(0.5 + 2 * 3)  # all gates are half open
    same(tops, [[[0.5 * tanh(cell)]], [[cell]]])


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}, {"peepholes": True}])
def test_is_a_sequence_of_one_step(keys: Any) -> None:
    x, h, c, dy, dcell = RNG.standard_normal((N, D)), *RNG.standard_normal((4, N, H))
    cell = Trial(LSTMCell(num_output=H, **keys), [Shape((N, D)), Shape((N, H)), Shape((N, H))])
    cont, static = np.ones((N, 1)), np.zeros((N, 1))
    whole = Trial(LSTM(num_output=H, **keys), [Shape(s) for s in ((N, 1, D), (N, 1), (N, 1), (N, H), (N, H))])
    params = samples(LSTM(num_output=H, **keys), [Shape((N, 1, D)), Shape((N, 1), "index"), Shape((N, 1))])[1]
    one, ones, few = cell.run([x, h, c], [dy, dcell], params)
    all_, alls, many = whole.run([x[:, None], cont, static, h, c], [dy[:, None], np.zeros((N, H)), dcell], params)
    same(one, [all_[0][:, 0], all_[2]])
    same(ones[0], alls[0][:, 0])
    same(ones[1:], alls[3:])
    for role, grad in few.items():
        same(grad, many[role])


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


@pytest.mark.parametrize(("shapes", "words"), [
    ([(3, 4), (3, 4), (3, 5)], "h must be 3 x 5, as num_output says, not 3 x 4"),
    ([(3, 4), (3, 5), (2, 5)], "c must be 3 x 5, as num_output says, not 2 x 5"),
    ([Shape((3, 4), "index"), (3, 5), (3, 5)], "needs real numbers, not the integers of 3 x 4"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(LSTMCell(num_output=5), shapes, "bottom", words)


@pytest.mark.parametrize("keys", [{}, {"bias_term": False}, {"peepholes": True}])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (3,), (2, 3, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(LSTMCell(num_output=3, **keys), shape, (shape[0], 3), (shape[0], 3))
