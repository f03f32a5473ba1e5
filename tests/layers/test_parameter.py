"""Parameter: a learnable blob, whole or once a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layers.parameter import Parameter
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.registry import FILLERS, LAYERS, SOLVERS
from dltrain.tensor import Shape
from dltrain.testing import check_layer
from dltrain.wiring import Line

W = np.array([[1.0, 2, 3]])


def engine(backend: Any, solver: Any = None, **params: Any) -> Engine:
    """y = x w, loss = sum of y / 2"""
    lines = [Line("w", Parameter(shape=(1, 3)), params={"weight": params}),
             Line("y", LAYERS["Eltwise"](operation="prod"), ["data", "w"]),
             Line("sum", LAYERS["Reduction"](), loss_weight=0.5)]  # fmt: skip
    made = Engine(Net(lines, {"data": Shape((3,))}), backend, solver)
    (part,) = made.net.store.segments.values()
    made.memory.slot("w", part)[...] = W
    return made


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_without_a_bottom_it_is_the_array_itself(backend: str) -> None:
    made = engine(Cpu(2) if backend == "cpu" else Reference(np.float64))
    data = np.array([[1.0, 2, 3], [4, 5, 6]])
    made.forward("train", {"data": data})
    (part,) = made.net.store.segments.values()
    np.testing.assert_allclose(made.memory.slot("g", part), data.sum(axis=0, keepdims=True) / 2)
    made.forward("test", {"data": data}, upto=("w", "y"))
    np.testing.assert_array_equal(made.blob("w"), W)
    np.testing.assert_array_equal(made.blob("y"), data * W)
    made.close()


def test_it_learns() -> None:
    made = engine(Reference(np.float64), SOLVERS["SGD"](base_lr=0.1))
    made.step([{"data": np.ones((2, 3))}], {"lr": 0.1, "decay": 0.0, "momentum": 0.0})
    (part,) = made.net.store.segments.values()
    np.testing.assert_allclose(made.memory.slot("w", part), W - 0.1)


def test_what_works_in_place_leaves_it_alone() -> None:
    lines = [Line("w", Parameter(shape=(1, 3))), Line("t", LAYERS["TanH"](), "w"), Line("u", LAYERS["Sigmoid"](), "t")]
    made = Engine(Net(lines, {"data": Shape((3,))}), Cpu(1))
    (part,) = made.net.store.segments.values()
    made.memory.slot("w", part)[...] = W
    made.forward("test", {"data": np.zeros((2, 3))}, upto=("u",))
    np.testing.assert_array_equal(made.memory.slot("w", part), W)
    made.close()


def test_with_a_bottom_there_is_one_for_each_sample(run: Any) -> None:
    made = run(Parameter(shape=(3,)), np.zeros((2, 7)), params={"weight": W[0]}, dy=[[1, 2, 3], [10, 20, 30]])
    np.testing.assert_array_equal(made.y, [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(made.grads["weight"], [11, 22, 33])
    assert made.dx is None


def test_it_is_0_at_first_unless_a_filler_is_given() -> None:
    for params, value in (({}, 0.0), ({"filler": FILLERS["constant"](value=3.0)}, 3.0)):
        made = engine(Reference(np.float64), **params)
        made.initialise(1)
        np.testing.assert_array_equal(made.memory.own[made.net.store.w][:3], [value] * 3)


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 1, 2, 2)])
def test_sits_the_exam(shape: tuple[int, ...]) -> None:
    check_layer(Parameter(shape=shape), (4, 5))
