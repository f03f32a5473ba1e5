"""Constant: one number in every place, for any number of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.constant import Constant
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.testing import check_layer
from dltrain.wiring import Line


@pytest.mark.parametrize(("shape", "top"), [((1,), (3, 1)), ((2, 4), (3, 2, 4))])
def test_with_a_bottom_there_is_one_for_each_sample(shape: Any, top: Any, run: Any) -> None:
    made = run(Constant(value=2.5, shape=shape), np.zeros((3, 7)))
    np.testing.assert_array_equal(made.y, np.full(top, 2.5))
    assert made.dx is None


def test_without_a_bottom_it_has_its_own_shape() -> None:
    lines = [Line("c", Constant(value=2.0, shape=(1, 3))), Line("y", LAYERS["Eltwise"](operation="prod"), ["data", "c"])]
    engine = Engine(Net(lines, {"data": Shape((3,))}), Reference(np.float64))
    engine.forward("test", {"data": np.ones((4, 3))}, upto=("c", "y"))
    np.testing.assert_array_equal(engine.blob("c"), [[2, 2, 2]])
    np.testing.assert_array_equal(engine.blob("y"), np.full((4, 3), 2))


def test_sits_the_exam() -> None:
    check_layer(Constant(value=-1.0, shape=(2, 3)), (4, 5))
