"""Input: a value from outside, or a field whose shape is checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.engine import Engine
from dltrain.layers.input import Input
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import check_layer
from dltrain.wiring import Line


def test_a_field_goes_through(run: Any) -> None:
    made = run(Input(shape=(2, 2)), np.arange(12.0).reshape(3, 2, 2), dy=np.ones((3, 2, 2)))
    np.testing.assert_array_equal(made.y, np.arange(12).reshape(3, 2, 2))
    np.testing.assert_array_equal(made.dx, np.ones((3, 2, 2)))
    assert made.trial.plan.calls == []


def test_without_a_bottom_it_has_the_value_that_was_set() -> None:
    lines = [Line("in", Input(shape=(2, 3))), Line("y", LAYERS["TanH"](), "in")]
    engine = Engine(Net(lines, {"data": Shape((1,))}), Reference(np.float64))
    for value in (0.0, 0.5):
        if value:
            engine.memory.logical(engine.net.store.states["in.value"].handle)[...] = value
        engine.forward("test", {"data": np.zeros((1, 1))}, upto=("y",))
        np.testing.assert_allclose(engine.blob("y"), np.full((2, 3), np.tanh(value)), rtol=1e-15)


def test_sits_the_exam() -> None:
    check_layer(Input(shape=(4,)), (3, 4))


def test_refuses_other_samples(refuses: Any) -> None:
    refuses(Input(shape=(3, 4)), [(2, 4, 3)], "shape", "is 3 x 4, but the samples of the bottom are 4 x 3")
