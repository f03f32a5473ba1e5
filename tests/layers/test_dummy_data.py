"""DummyData: what is drawn, and when it is drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.dummy_data import DummyData
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.registry import FILLERS, LAYERS
from dltrain.tensor import Shape
from dltrain.wiring import Line

X = np.zeros((200, 1))


@pytest.mark.parametrize(("filler", "mean", "std"), [
    (None, 0, 0), (FILLERS["constant"](value=3.0), 3, 0), (FILLERS["uniform"](min=2.0, max=4.0), 3, 12**-0.5 * 2),
    (FILLERS["gaussian"](mean=-1.0, std=0.5), -1, 0.5),
])  # fmt: skip
def test_the_filler_says_what_is_drawn(filler: Any, mean: float, std: float, run: Any) -> None:
    y = run(DummyData(shape=(100,), data_filler=filler), X).y
    assert y.shape == (200, 100)
    assert abs(y.mean() - mean) <= 4 * std / y.size**0.5 and abs(y.std() - std) <= 0.02 * std


def test_each_pass_draws_anew_and_the_same_pass_the_same(run: Any) -> None:
    layer = DummyData(shape=(100,), data_filler=FILLERS["gaussian"]())
    one, again, other = (run(layer, X, step=step).y for step in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]) < 0.03


def test_float32_draws_the_same(run: Any) -> None:
    layer = DummyData(shape=(100,), data_filler=FILLERS["gaussian"]())
    np.testing.assert_allclose(run(layer, X, dtype=np.float32).y, run(layer, X).y, rtol=1e-6)


def test_training_sees_new_numbers_in_every_step() -> None:
    lines = [Line("noise", DummyData(shape=(2, 3), data_filler=FILLERS["uniform"]())),
             Line("ip", LAYERS["InnerProduct"](num_output=1), "noise", loss_weight=1.0)]  # fmt: skip
    engine, sums = Engine(Net(lines, {"data": Shape((1,))}), Reference(np.float64)), []
    engine.initialise(1)
    for _ in range(3):
        sums.append(engine.step([{"data": np.zeros((2, 1))}], {})["ip"])
    assert len(set(sums)) == 3
