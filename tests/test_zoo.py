"""Every net of configs/: read without its data, its gradient the slope of its loss, two steps of its training, its flat text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from dltrain.config import Config
from dltrain.engine import Engine
from dltrain.errors import DataError
from dltrain.flat import flat_text
from dltrain.marks import parse
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.plan.hazards import hazards
from tests import zoo

NAMES = sorted(path.stem for path in zoo.CONFIGS.glob("*.yaml"))
BATCH = 3
SHALLOW = {  # where more units are more of the same
    **dict.fromkeys(("resnet32", "resnet44", "resnet56", "resnet110"), ("vars.units=2",)),
    **dict.fromkeys(("resnet34", "resnet50", "resnet101", "resnet152"), ("vars.res3=2", "vars.res4=2")),
}


@cache
def read(name: str) -> Config:
    try:
        return zoo.read(name)
    except DataError as error:
        pytest.skip(f"its shapes hang on data that are not here: {error}")


@cache
def small(name: str) -> Net:
    return zoo.small(zoo.read(name, *SHALLOW[name]) if name in SHALLOW else read(name), BATCH)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_without_its_data_and_has_all_its_graphs(name: str) -> None:
    net = read(name).net
    for phase in ("train", "test", "deploy"):
        assert net.graph(phase, (2,)).calls


class Bench:
    """A small net on the reference back end in float64."""

    def __init__(self, net: Net) -> None:
        self.net, self.engine = net, Engine(net, Reference(np.float64))
        self.batch, self.parts = zoo.batch(net, BATCH, 1), list(net.store.segments.values())
        self.w = zoo.weights(net, 2)
        if self.total({}, 0.0) > 87:  # where SoftmaxWithLoss is cut off, and flat
            self.w = zoo.weights(net, 2, gain=0.03)

    def total(self, along: dict[str, Any], by: float) -> float:
        """The objective, from some way along a direction; every time from the same states, with the same masks."""
        memory = self.engine.memory
        memory.memory(memory.handles["g"])[...] = 0
        for part in self.parts:
            memory.slot("w", part)[...] = self.w[part.name] + by * along.get(part.name, 0.0)
        for state in self.net.store.states.values():
            memory.memory(state.handle)[...] = state.init
        graph = self.engine.pass_through("train", self.batch, "train")
        losses = {name: float(memory.memory(tensor, self.engine.plan)[0]) for name, tensor in graph.losses.items()}
        return self.net.total_loss(losses, "train")

    def grads(self) -> dict[str, Any]:
        self.total({}, 0.0)
        return {part.name: self.engine.memory.slot("g", part).copy() for part in self.parts if not part.frozen}


slopes: dict[Any, tuple[float, float]] = {}  # of nets that become the same when they are small, one is run


def slope(net: Net) -> tuple[float, float]:
    """(the slope of the loss, what the gradient promises) along a random direction that leans to the gradient."""
    key = str([(line.name, line.layer, line.bottom, line.params, line.phases) for line in net.lines]), str(net.fields)
    if key not in slopes:
        bench, rng = Bench(net), np.random.default_rng(3)
        grads = bench.grads()
        length = np.sqrt(sum((g * g).sum() for g in grads.values()))
        along = {name: 0.1 * rng.standard_normal(g.shape) + g / length for name, g in grads.items()}
        promised = float(sum((along[name] * g).sum() for name, g in grads.items()))
        for h in (1e-7, 1e-9):  # with Unpooling the loss jumps where a maximum moves: a step so small that none does
            slopes[key] = (bench.total(along, h) - bench.total(along, -h)) / (2 * h), promised
            if promised == pytest.approx(slopes[key][0], rel=1e-5):
                break
    return slopes[key]


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_slope_of_the_loss(name: str) -> None:
    found, promised = slope(small(name))
    assert abs(found) > 1e-3, "too flat a place to see anything"
    assert promised == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_of_its_training(name: str) -> None:
    made, net = read(name), small(name)
    assert made.solver is not None
    engine = Engine(net, Cpu(2), made.solver)
    try:
        w = zoo.weights(net, 2)
        for part in net.store.segments.values():
            engine.memory.slot("w", part)[...] = w[part.name]
        batches = [[zoo.batch(net, BATCH, 10 * step + part) for part in range(made.solver.iter_size)] for step in range(2)]
        for step, parts in enumerate(batches):
            rates = made.solver.rates(step, made.horizon)
            rates["lr"] = min(rates["lr"], 1e-3)  # whatever the scale of these samples does not throw it off
            losses = engine.step(parts, rates)
            assert np.isfinite(list(losses.values())).all() and not engine.has_failed
        moved = [not np.array_equal(engine.memory.slot("w", part), np.float32(w[part.name]))
                 for part in net.store.segments.values() if not part.frozen]  # fmt: skip
        assert any(moved) == (rates["lr"] > 0)
        engine.forward("test", batches[0][0])
        assert all(np.isfinite(sums).all() for sums in engine.tallies().values())
        assert hazards(engine.plan_of(net.graph("train", net.sizes(batches[0][0])), update=True)) == []
    finally:
        engine.close()


@pytest.mark.parametrize("name", NAMES)
def test_its_flat_text_makes_the_same_net(name: str) -> None:
    one = read(name)
    text = flat_text(one)
    other = zoo.read(name, document=parse(text, f"{name} laid out"))
    assert other.net.shapes == one.net.shapes
    assert [part.name for part in other.net.store.segments.values()] == [part.name for part in one.net.store.segments.values()]
    assert flat_text(other) == text
