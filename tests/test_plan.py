"""The plan: what it leaves out, joins, moves and overwrites changes no number, and what it promises to save is saved."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.engine import Engine
from dltrain.errors import DataError
from dltrain.graph import Graph
from dltrain.memory import Bound, Memory
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.formula import formula
from dltrain.ops.signature import Call, Tracer
from dltrain.ops.window import Window
from dltrain.plan import Plan, make_plan
from dltrain.plan.hazards import hazards
from dltrain.program import Pool, Program
from dltrain.registry import LAYERS, SOLVERS
from dltrain.sketch import sketch
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor
from dltrain.wiring import Line

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
Values = dict[Tensor, Any]


@pytest.fixture(scope="module")
def cpu() -> Iterator[Cpu]:
    made = Cpu(2)
    yield made
    made.close()


# --- what calls mean, without any plan ---
def interpret(calls: list[Call], values: Values) -> Values:
    """The reference ops one after another, every tensor an array of its own, float64."""
    values = {tensor: np.array(value) for tensor, value in values.items()}
    for call in calls:
        for _, tensor in call.uses("out"):
            values[tensor] = np.zeros(tensor.shape, np.int32 if tensor.dtype == "index" else np.float64)
        args = {}
        for name, value in call.args.items():
            if name in call.op.modes and value is not None:
                args[name] = tuple(values[one] for one in value) if isinstance(value, tuple) else values[value]
            else:
                args[name] = value
        with np.errstate(all="ignore"):
            call.op.function(**args)
    return values


def execute(plan: Plan, backend: Reference, values: Values, read: list[Tensor]) -> list[Any]:
    """What a program of the plan leaves in some tensors; the arena is dirty at first."""
    assert hazards(plan) == []
    memory = Memory(Store(), backend)
    memory.reserve(plan.arena)
    memory.bytes[:] = 255
    pool = Pool(backend.workers) if backend.workers > 1 else None
    program = Program(plan, backend, memory, pool)
    for tensor, value in values.items():
        memory.logical(tensor, plan)[...] = value
    program.run()
    if pool is not None:
        pool.close()
    return [Bound(memory, plan).logical(tensor).copy() for tensor in read]


def tensor(name: str, *sizes: int, dtype: Any = "float", home: Any = "arena") -> Tensor:
    return Tensor(name, Shape(sizes, dtype), home)


def given_tensor(name: str, *sizes: int) -> Tensor:
    return tensor(name, *sizes, home="input")


class Trace:
    """Calls written by hand: ops emit, `plan` plans, and the numbers are those of the calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ops = Tracer(self.calls, "it")

    def inputs(self) -> Values:
        rng = np.random.default_rng(0)
        found = [one for call in self.calls for one in call.reads() if one.home == "input"]
        return {one: rng.standard_normal(one.shape).astype(np.float32) for one in dict.fromkeys(found)}

    def plan(self, backend: Reference, *keep: Tensor, fast: bool = True) -> Plan:
        """Checks, besides, that the plan computes what the calls mean."""
        plan = make_plan(self.calls, backend, keep, fast=fast)
        values = self.inputs()
        right = interpret(self.calls, values)
        for one, found in zip(keep, execute(plan, backend, values, list(keep)), strict=True):
            np.testing.assert_allclose(found, right[one], rtol=1e-5, atol=1e-5, err_msg=str(one))
        return plan


def names(plan: Plan) -> list[str]:
    return [call.op.name for call in plan.calls]


def double(x: float) -> float:
    return x * 2


def lifted(x: float) -> float:
    return x + 1


# --- nets ---
def net_of(*lines: tuple[Any, ...], image: tuple[int, ...] = (2, 8, 8), batch: int = 4, seed: int = 3) -> Net:
    """Lines as (name, type, keys) with what a line says of itself among the keys; fields data, label and target."""
    own = ("bottom", "phases", "params", "loss_weight")
    made = []
    for name, kind, keys in lines:
        said = {key: keys[key] for key in own if key in keys}
        made.append(Line(name, LAYERS[kind](**{key: value for key, value in keys.items() if key not in own}), **said))
    return Net(made, {"data": Shape(image), "label": Shape((), "index"), "target": Shape((3,))}, batch, seed)


def batch_of(net: Net, size: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    made = {name: rng.standard_normal((size, *shape)).astype(np.float32) for name, shape in net.fields.items()}
    return made | {"label": rng.integers(0, 3, size)}


def meaning(
    net: Net, graph: Graph, batch: dict[str, Any], dtype: Any = np.float32, step: int = 0
) -> tuple[Values, dict[str, Any]]:
    """All values of a graph, and the gradients of its parameters, from the calls alone."""
    values: Values = {one: float(graph.values.get(name, step)) * np.ones(1) for name, one in graph.scalars.items()}
    values |= {one: batch[name].astype(np.float64 if one.dtype == "float" else np.int32) for name, one in graph.inputs.items()}
    for part in net.store.segments.values():
        values[part.handle.data] = part.fill(net.seed).astype(dtype).astype(np.float64)
        if part.handle.grad is not None:
            values[part.handle.grad] = np.zeros(part.shape)
    values = interpret(graph.calls, values)
    return values, {part.name: values[part.handle.grad] for part in net.store.segments.values() if part.handle.grad is not None}


def agree(found: Any, right: Any, tolerance: float, what: str) -> None:
    error = np.abs(found - right).max(initial=0)
    assert error <= tolerance * np.abs(right).max(initial=0.1), f"{what} is off by {error:.3g}"


def check_numbers(
    net: Net, backend: Reference, size: int = 4, phase: str = "train", fast: bool = True, tolerance: float = 1e-4
) -> Plan:
    """A pass of the net has no hazards, and makes the losses, blobs and gradients that its calls mean."""
    graph, batch = net.graph(phase, (size,), phase), batch_of(net, size)
    values, grads = meaning(net, graph, batch, backend.dtype)
    engine = Engine(net, backend)
    engine.initialise(net.seed)
    engine.pass_through(phase, batch, phase, fast=fast)
    if engine.pool is not None:
        engine.pool.close()
    assert engine.plan is not None and hazards(engine.plan) == []
    for one in graph.keep:
        agree(engine.memory.logical(one, engine.plan), values[one], tolerance, str(one))
    for _, one in graph.tallies.values():
        agree(engine.memory.memory(one), values[one], tolerance, str(one))
    for part in net.store.segments.values():
        if part.handle.grad is not None:
            agree(engine.memory.logical(part.handle.grad), grads[part.name], tolerance, f"the gradient of {part.name}")
    return engine.plan


LOSS = [("ip", "InnerProduct", {"num_output": 3}), ("loss", "SoftmaxWithLoss", {"bottom": ["ip", "label"]})]
CONV = ("conv", "Convolution", {"num_output": 5, "kernel_size": (3,)})
POOL = ("pool", "Pooling", {"kernel_size": (2,), "stride": (2,)})
RELU = ("relu", "ReLU", {})


def two_ways(side: str) -> list[tuple[Any, ...]]:
    """A loss of what the blobs `pool` and `side` give together."""
    return [
        ("one", "InnerProduct", {"num_output": 3, "bottom": side}),
        ("other", "InnerProduct", {"num_output": 3, "bottom": "pool"}),
        ("sum", "Eltwise", {"bottom": ["one", "other"]}),
        ("loss", "SoftmaxWithLoss", {"bottom": ["sum", "label"]}),
    ]


# --- elide: views in the place of moves ---
def moved(kind: str, x: tuple[int, ...], y: tuple[int, ...], **args: Any) -> tuple[Trace, Tensor, Tensor]:
    """x is made by a call, moved to y, and y is used."""
    trace, (a, b, c, d) = Trace(), (given_tensor("a", *x), tensor("b", *x), tensor("c", *y), tensor("d", *y))
    trace.ops.elementwise((a,), b, formula(double))
    if kind == "weighted_sum":
        trace.ops.weighted_sum((b,), c, **args)
    else:
        getattr(trace.ops, kind)(b, c, **args)
    trace.ops.elementwise((c,), d, formula(lifted))
    return trace, c, d


@pytest.mark.parametrize(("kind", "x", "y", "args", "reference", "cpu_too"), [
    ("copy", (3, 4), (3, 4), {}, True, True),
    ("copy", (2, 3, 4, 5), (2, 3, 4, 5), {}, True, True),
    ("reshape", (2, 3, 4), (2, 12), {}, True, True),
    ("reshape", (2, 3, 4, 5), (2, 60), {}, True, False),  # channels-last: the order in memory is another
    ("reshape", (2, 60), (2, 3, 4, 5), {}, True, False),
    ("reshape", (2, 3, 1, 1), (2, 3), {}, True, True),
    ("reshape", (2, 1, 4, 5), (2, 20), {}, True, True),
    ("reshape", (2, 3, 4, 1), (2, 12), {}, True, False),
    ("reshape", (2, 3, 4, 5), (2, 4, 3, 5), {}, True, False),
    ("reshape", (4, 6), (8, 3), {}, True, True),
    ("weighted_sum", (2, 3), (2, 3), {"weights": (1.0,)}, True, True),
    ("weighted_sum", (2, 3), (2, 3), {"weights": (0.5,)}, False, False),
    ("cut", (4, 3), (2, 3), {"axis": 0, "start": 1}, True, True),
    ("cut", (4, 3), (4, 2), {"axis": 1, "start": 1}, False, False),
    ("cut", (1, 3), (1, 2), {"axis": 1, "start": 1}, True, True),
    ("cut", (1, 3, 4, 5), (1, 2, 4, 5), {"axis": 1, "start": 1}, True, False),
    ("cut", (1, 3, 4, 5), (1, 3, 2, 5), {"axis": 2, "start": 1}, False, True),
    ("cut", (1, 3, 1, 1), (1, 2, 1, 1), {"axis": 1, "start": 1}, True, True),
    ("cut", (4, 1, 3), (4, 1, 3), {"axis": 1, "start": 0}, True, True),
    ("cut", (4, 3, 2, 2), (3, 3, 2, 2), {"axis": 0, "start": 1}, True, True),
])  # fmt: skip
def test_a_move_becomes_a_view_exactly_where_the_order_in_memory_allows(
    cpu: Cpu, kind: str, x: tuple[int, ...], y: tuple[int, ...], args: dict[str, Any], reference: bool, cpu_too: bool
) -> None:
    for backend, elided in ((Reference(), reference), (cpu, cpu_too)):
        for fast in (True, False):
            trace, c, d = moved(kind, x, y, **args)
            plan = trace.plan(backend, d, fast=fast)
            assert (kind not in names(plan)) == elided
            assert (c in plan.views and c not in plan.taken) == elided


@pytest.mark.parametrize("keep_moved", [False, True])
def test_a_view_of_an_input_leaves_the_input_as_it_is(cpu: Cpu, keep_moved: bool) -> None:
    trace, (a, b, c) = Trace(), (given_tensor("a", 2, 3), tensor("b", 2, 3), tensor("c", 2, 3))
    trace.ops.copy(a, b)
    trace.ops.elementwise((b,), c, formula(double))
    plan = trace.plan(cpu, c, a, *[b] * keep_moved)
    assert names(plan) == ["elementwise"]
    assert plan.extent(b) == plan.extent(a) != plan.extent(c)


def joined(sizes: list[tuple[int, ...]], axis: int) -> tuple[Trace, list[Tensor], Tensor]:
    """Parts made by calls, one behind another."""
    trace = Trace()
    parts = [tensor(f"part{number}", *size) for number, size in enumerate(sizes)]
    total = [sum(size[axis] for size in sizes) if at == axis else sizes[0][at] for at in range(len(sizes[0]))]
    y = tensor("y", *total)
    for number, part in enumerate(parts):
        trace.ops.elementwise((given_tensor(f"x{number}", *part.shape),), part, formula(double))
    trace.ops.concat(tuple(parts), y, axis)
    return trace, parts, y


@pytest.mark.parametrize(("sizes", "axis", "reference", "cpu_too"), [
    ([(2, 3), (1, 3), (4, 3)], 0, True, True),
    ([(2, 3), (2, 4)], 1, False, False),
    ([(1, 3), (1, 4)], 1, True, True),
    ([(1, 3, 2, 2), (1, 1, 2, 2)], 1, True, False),
    ([(1, 3, 1, 1), (1, 1, 1, 1)], 1, True, True),
    ([(2, 3, 2, 2), (3, 3, 2, 2)], 0, True, True),
])  # fmt: skip
def test_parts_are_written_straight_to_their_places_where_these_lie_one_behind_another(
    cpu: Cpu, sizes: list[tuple[int, ...]], axis: int, reference: bool, cpu_too: bool
) -> None:
    for backend, elided in ((Reference(), reference), (cpu, cpu_too)):
        trace, parts, y = joined(sizes, axis)
        plan = trace.plan(backend, y)
        assert ("concat" not in names(plan)) == elided
        assert all((part in plan.views) == elided for part in parts)


def test_what_is_joined_twice_kept_or_no_result_is_copied(cpu: Cpu) -> None:
    trace, parts, y = joined([(2, 3), (1, 3)], 0)
    assert "concat" in names(trace.plan(cpu, y, parts[0]))
    trace, (part, _), y = joined([(2, 3), (2, 3)], 0)
    trace.calls[-1].args["xs"] = (part, part)
    assert "concat" in names(trace.plan(cpu, y))
    trace, parts, y = joined([(2, 3), (1, 3)], 0)
    trace.calls[-1].args["xs"] = (given_tensor("x", 2, 3), parts[1])
    assert "concat" in names(trace.plan(cpu, y))
    trace, parts, y = joined([(2, 3), (1, 3)], 0)
    again = tensor("again", 3, 3)
    trace.ops.concat(tuple(parts), again, 0)
    assert names(trace.plan(cpu, y, again)).count("concat") == 1


def test_views_of_views_lie_where_their_elements_are(cpu: Cpu) -> None:
    trace, parts, y = joined([(2, 6), (4, 6)], 0)
    half, flat, end = tensor("half", 3, 6), tensor("flat", 9, 2), tensor("end", 2, 2)
    trace.ops.cut(y, half, 0, 1)
    trace.ops.reshape(half, flat)
    trace.ops.cut(flat, end, 0, 4)
    out = tensor("out", 2, 2)
    trace.ops.elementwise((end,), out, formula(lifted))
    plan = trace.plan(cpu, out, y)
    assert names(plan) == ["elementwise"] * 3
    assert plan.within(end) == (y, 6 + 8)
    assert plan.within(parts[1]) == (y, 12)


# --- what is looked into is there: fusing and eliding together ---
def test_what_only_a_view_reads_is_still_computed(cpu: Cpu) -> None:
    """conv -> (copy -> twice, pool): the copy is a view, so nobody but the pooling seems to read the convolution."""
    window, pool = Window((3, 3), (1, 1), (0, 0)), Window((2, 2), (2, 2), (0, 0))
    for way in ("conv", "activation"):
        trace = Trace()
        x, w, seen, other = (
            given_tensor("x", 2, 1, 6, 6),
            given_tensor("w", 3, 1, 3, 3),
            tensor("seen", 2, 3, 4, 4),
            tensor("other", 2, 3, 4, 4),
        )
        y, winner, out = tensor("y", 2, 3, 2, 2), tensor("winner", 2, 3, 2, 2, dtype="index"), tensor("out", 2, 3, 4, 4)
        if way == "conv":
            trace.ops.conv(x, w, None, seen, window)
        else:
            trace.ops.elementwise((given_tensor("z", 2, 3, 4, 4),), seen, formula(double), (), True)
        trace.ops.copy(seen, other)
        trace.ops.max_pool(seen, y, winner, pool)
        trace.ops.elementwise((other,), out, formula(lifted))
        trace.plan(cpu, y, out)


@pytest.mark.parametrize("between", ["conv", "relu"])
def test_dropout_that_is_a_view_in_the_test_phase_does_not_hide_a_reader(cpu: Cpu, between: str) -> None:
    pool = (*POOL[:2], POOL[2] | {"bottom": between})
    lines = [CONV, RELU, ("drop", "Dropout", {"bottom": between}), pool, *two_ways("drop")]
    for phase in ("test", "train"):
        check_numbers(net_of(*lines), cpu, phase=phase)


def test_what_a_concat_holds_and_a_pooling_reads_is_still_computed(cpu: Cpu) -> None:
    """For one sample and a plane of 1 x 1 the parts of a concat are views into it."""
    conv, pool = ("conv", "Convolution", {"num_output": 3, "kernel_size": (8,)}), ("pool", "Pooling", {"kernel_size": (1,)})
    second = ("second", "Convolution", {"num_output": 2, "kernel_size": (8,), "bottom": "data"})
    lines = [conv, pool, second, ("both", "Concat", {"bottom": ["conv", "second"]}), *two_ways("both")]
    for phase in ("test", "train"):
        check_numbers(net_of(*lines), cpu, size=1, phase=phase)


# --- fuse ---
CONV2 = ("conv2", "Convolution", {"num_output": 4, "kernel_size": (3,)})
GAPS = ("pool", "Pooling", {"kernel_size": (1,), "stride": (3,), "round": "floor"})
FREEZE = {"freeze": True}
RIGID = {"params": {"weight": FREEZE, "bias": FREEZE}}
FORMS: list[tuple[str, list[Any], str, str]] = [
    ("pooled", [CONV, POOL], "conv_max_pool", "conv_max_pool_grad"),
    ("activated, then pooled", [CONV, RELU, POOL], "conv_max_pool elementwise", "elementwise conv_max_pool_grad"),
    ("pooled, then activated", [CONV, POOL, RELU], "conv_max_pool elementwise", "elementwise conv_max_pool_grad"),
    ("activated", [CONV, RELU], "conv_elementwise", "elementwise conv_grad"),
    ("squashed, pooled", [CONV, ("tanh", "TanH", {}), POOL], "conv_max_pool elementwise", "elementwise conv_max_pool_grad"),
    ("squashed", [CONV, ("sigmoid", "Sigmoid", {})], "conv_elementwise", "elementwise conv_grad"),
    ("alone", [CONV], "conv", "conv_grad"),
    ("averaged", [CONV, ("pool", "Pooling", {"kernel_size": (2,), "pool": "mean"})], "conv mean_pool", "mean_pool_dx conv_grad"),
    ("pooled with gaps", [CONV, GAPS], "conv max_pool", "max_pool_dx conv_grad"),
    ("activated, pooled with gaps", [CONV, RELU, GAPS], "conv_elementwise max_pool", "max_pool_dx elementwise conv_grad"),
    ("falling", [CONV, ("relu", "ReLU", {"negative_slope": -0.5}), POOL], "conv elementwise max_pool",
     "max_pool_dx elementwise conv_grad"),
    ("pooled twice", [CONV, POOL, ("more", *POOL[1:])], "conv_max_pool max_pool", "max_pool_dx conv_max_pool_grad"),
    ("two layers", [CONV, RELU, CONV2, POOL], "conv_elementwise conv_max_pool", "conv_max_pool_grad elementwise conv_grad"),
    ("rigid below", [(*CONV[:2], CONV[2] | RIGID), RELU, CONV2, POOL], "conv_elementwise conv_max_pool", "conv_max_pool_grad"),
    ("rigid above", [CONV, RELU, (*CONV2[:2], CONV2[2] | RIGID)], "conv_elementwise conv", "conv_dx elementwise conv_grad"),
    ("rigid, pooled", [CONV, RELU, (*CONV2[:2], CONV2[2] | RIGID), POOL], "conv_elementwise conv_max_pool",
     "conv_max_pool_grad elementwise conv_grad"),
    ("only a bias", [(*CONV[:2], CONV[2] | {"params": {"weight": FREEZE}}), RELU], "conv_elementwise", "elementwise conv_dw"),
    ("no bias", [(*CONV[:2], CONV[2] | {"bias_term": False}), RELU, POOL], "conv_max_pool elementwise",
     "elementwise conv_max_pool_grad"),
]  # fmt: skip
DENSE = [
    "reshape",
    "inner_product",
    "inner_product_dx",
    "inner_product_dw",
    "softmax_loss",
    "softmax_loss_dx",
    "weigh",
    "weighted_mean",
]


@pytest.mark.parametrize(("title", "lines", "forward", "backward"), FORMS)
def test_a_convolution_joins_what_follows_it(cpu: Cpu, title: str, lines: list[Any], forward: str, backward: str) -> None:
    net = net_of(*lines, *LOSS)
    plan = check_numbers(net, cpu)
    assert [name for name in names(plan) if name not in DENSE] == [*forward.split(), *backward.split()]
    assert plan.flops > 0
    check_numbers(net, cpu, phase="test")
    check_numbers(net, cpu, fast=False)


@pytest.mark.parametrize(("kept", "forward"), [
    ("conv", ["conv", "max_pool", "elementwise"]),
    ("relu", ["conv_elementwise", "max_pool"]),
    ("pool", ["conv_max_pool", "elementwise"]),
])  # fmt: skip
def test_what_is_read_after_the_run_is_not_joined_away(cpu: Cpu, kept: str, forward: list[str]) -> None:
    net = net_of(CONV, RELU, POOL, *LOSS)
    graph = net.graph("test", (4,), "test", upto=("ip", kept))
    engine, batch = Engine(net, cpu), batch_of(net, 4)
    engine.initialise(net.seed)
    engine.forward("test", batch, "test", upto=("ip", kept))
    engine.pool.close()  # type: ignore[union-attr]
    assert engine.plan is not None and hazards(engine.plan) == []
    assert [name for name in names(engine.plan) if name not in DENSE] == forward
    values = meaning(net, graph, batch)[0]
    for name in ("ip", kept):
        agree(engine.blob(name), values[graph.blobs[name].data], 1e-5, name)


@pytest.mark.parametrize("read", ["conv", "relu"])
@pytest.mark.parametrize("phase", ["train", "test"])
def test_what_another_layer_reads_is_not_joined_away(cpu: Cpu, read: str, phase: str) -> None:
    lines = [CONV, RELU, POOL, *two_ways(read)]
    found = names(check_numbers(net_of(*lines), cpu, phase=phase))
    assert "conv_max_pool" not in found
    assert ("conv_elementwise" in found) == (read == "relu")


# --- schedule, segment ---
def lenet(batch: int = 64) -> Net:
    return net_of(
        ("conv1", "Convolution", {"num_output": 20, "kernel_size": (5,)}),
        ("pool1", "Pooling", {"kernel_size": (2,), "stride": (2,)}),
        ("conv2", "Convolution", {"num_output": 50, "kernel_size": (5,)}),
        ("pool2", "Pooling", {"kernel_size": (2,), "stride": (2,)}),
        ("ip1", "InnerProduct", {"num_output": 500}),
        ("relu1", "ReLU", {}),
        ("ip2", "InnerProduct", {"num_output": 10}),
        ("loss", "SoftmaxWithLoss", {"bottom": ["ip2", "label"]}),
        image=(1, 28, 28),
        batch=batch,
    )  # fmt: skip


def step_plan(net: Net, backend: Reference, size: int, fast: bool = True, iter_size: int = 1) -> Plan:
    solver = SOLVERS["SGD"](base_lr=0.1, iter_size=iter_size)
    engine = Engine(net, backend, solver)
    if engine.pool is not None:
        engine.pool.close()
    return engine.plan_of(net.graph("train", (size,), "train"), update=True, fast=fast)


def test_weight_gradients_wait_until_everything_else_but_the_update_is_done(cpu: Cpu) -> None:
    for backend in (cpu, Reference()):
        calls = step_plan(lenet(4), backend, 4).calls
        late = [all(one.home == "param_grad" for one in call.writes()) for call in calls]
        update = [call.way == "update" for call in calls]
        assert names_of(calls)[-2:] == ["sum_of_squares", "update"]
        assert sum(late) >= 3
        assert late == sorted(late[:-2]) + late[-2:]
        assert update == sorted(update)


def freshly_written(plan: Plan) -> set[str]:
    """The parameters whose gradients a call of the plan writes over."""
    return {tensor.name.removesuffix(".grad") for call in plan.calls for name, tensor in call.uses("add")
            if name in call.tags.get("fresh", ())}  # fmt: skip


def test_a_gradient_that_one_call_makes_is_written_where_the_step_is_one_pass(cpu: Cpu) -> None:
    net = lenet(4)
    names = {part.name for part in net.store.segments.values()}
    assert len(names) == 8 and freshly_written(step_plan(net, cpu, 4)) == names
    graph = net.graph("train", (4,))
    assert not any(call.tags for call in graph.calls), "other plans add still"
    assert freshly_written(make_plan(graph.calls, cpu, graph.keep)) == set()
    assert freshly_written(step_plan(net, cpu, 4, iter_size=2)) == set()


def test_a_gradient_that_two_layers_make_is_added_to(cpu: Cpu) -> None:
    lines = [
        ("one", "InnerProduct", {"num_output": 5}),
        ("two", "InnerProduct", {"num_output": 5, "params": {"weight": {"share": "one.weight"}}}),
        ("ip", "InnerProduct", {"num_output": 3}),
        ("loss", "EuclideanLoss", {"bottom": ["ip", "target"]}),
    ]
    net = net_of(*lines, image=(5,))
    assert freshly_written(step_plan(net, cpu, 4)) == {"one.bias", "two.bias", "ip.weight", "ip.bias"}


def names_of(calls: list[Call]) -> list[str]:
    return [call.op.name for call in calls]


def test_lenet_has_few_segments(cpu: Cpu) -> None:
    fused, plain = step_plan(lenet(), cpu, 64), step_plan(lenet(), cpu, 64, fast=False)
    assert len(fused.segments) <= 7
    assert len(fused.segments) < len(plain.segments) < len(plain.calls)
    assert hazards(fused) == hazards(plain) == []


def test_the_layers_of_a_chain_that_work_sample_by_sample_need_no_barrier(cpu: Cpu) -> None:
    plan = make_plan(net_of(CONV, RELU, POOL, *LOSS).graph("test", (4,), "test", upto=("ip",)).calls, cpu, ())
    assert len(plan.segments) == 1


def test_an_op_that_one_worker_does_has_barriers_before_and_after(cpu: Cpu) -> None:
    """The maximum of two blobs has no version of the CPU's own."""
    trace, (a, b, c, d, e) = (
        Trace(),
        (given_tensor("a", 4, 3), tensor("b", 4, 3), tensor("c", 4, 3), tensor("d", 4, 3), tensor("e", 4, 3)),
    )
    trace.ops.elementwise((a,), b, formula(double))
    trace.ops.elementwise((b,), c, formula(lifted))
    trace.ops.maximum((b, c), d, tensor("winner", 4, 3, dtype="index"))
    trace.ops.elementwise((d,), e, formula(double))
    plan = trace.plan(cpu, e)
    assert [names_of(calls) for calls in plan.segments] == [["elementwise"] * 2, ["maximum"], ["elementwise"]]
    assert [plan.access[call].kind for call in plan.calls] == ["batch", "batch", "serial", "batch"]


def test_a_segment_that_has_written_much_ends_and_its_memory_is_used_again(cpu: Cpu, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, t = Trace(), [given_tensor("t0", 4, 2, 6, 6), *(tensor(f"t{number}", 4, 2, 6, 6) for number in range(1, 7))]
    for x, y in zip(t, t[1:], strict=False):
        trace.ops.mean_pool(x, y, Window((3, 3), (1, 1), (1, 1)))
    size = 4 * t[0].shape.count
    joined_up = trace.plan(cpu, t[-1])
    assert [len(calls) for calls in joined_up.segments] == [6] and joined_up.arena >= 7 * size
    monkeypatch.setattr("dltrain.plan.segment.MOST", 2 * size)
    cut = trace.plan(cpu, t[-1])
    assert [len(calls) for calls in cut.segments] == [2, 2, 2] and cut.arena <= 5 * size and not hazards(cut)
    assert len(trace.plan(Reference(), t[-1]).segments) == 6  # each call by itself, as ever


def test_calls_over_different_numbers_of_samples_have_a_barrier_between(cpu: Cpu) -> None:
    trace, (a, b, c, d) = Trace(), (given_tensor("a", 4, 6), tensor("b", 4, 6), tensor("c", 8, 3), tensor("d", 8, 3))
    trace.ops.elementwise((a,), b, formula(double))
    trace.ops.reshape(b, c)
    trace.ops.elementwise((c,), d, formula(lifted))
    plan = trace.plan(cpu, d)
    assert [names_of(calls) for calls in plan.segments] == [["elementwise"], ["elementwise"]]


# --- share: overwriting what nobody reads any more ---
def chain() -> tuple[Trace, list[Tensor]]:
    """Each from the one before, the first being given."""
    trace, t = Trace(), [given_tensor("t0", 4, 3), *(tensor(f"t{number}", 4, 3) for number in range(1, 5))]
    for x, y in zip(t, t[1:], strict=False):
        trace.ops.elementwise((x,), y, formula(double))
    return trace, t


def test_a_chain_overwrites_what_it_has_read(cpu: Cpu) -> None:
    trace, t = chain()
    plan = trace.plan(cpu, t[4], t[0])
    assert plan.extent(t[1]) == plan.extent(t[2]) == plan.extent(t[3]) != plan.extent(t[0])  # the input is not ours to overwrite
    assert plan.taken == {t[2], t[3]}


def test_without_haste_nothing_is_overwritten(cpu: Cpu) -> None:
    trace, t = chain()
    plan = trace.plan(cpu, t[4], fast=False)
    assert len({plan.extent(one) for one in t}) == 5


def test_what_is_kept_is_not_overwritten(cpu: Cpu) -> None:
    trace, t = chain()
    assert trace.plan(cpu, t[4], t[1]).taken == {t[3]}
    assert trace.plan(cpu, t[4], t[2]).taken == set()


@pytest.mark.parametrize("through_a_view", [False, True])
def test_what_is_read_later_is_not_overwritten(cpu: Cpu, through_a_view: bool) -> None:
    trace, t = chain()
    again, late = tensor("again", 4, 3), tensor("late", 4, 3)
    if through_a_view:
        trace.ops.copy(t[1], again)
    trace.ops.elementwise((again if through_a_view else t[1],), late, formula(lifted))
    plan = trace.plan(cpu, t[4], late)
    assert plan.taken == {t[3]}
    assert plan.extent(t[1]) != plan.extent(t[2])


def test_an_op_that_does_not_say_so_never_overwrites_what_it_reads(cpu: Cpu) -> None:
    trace, (a, b, c) = Trace(), (given_tensor("a", 2, 1, 4, 4), tensor("b", 2, 1, 4, 4), tensor("c", 2, 1, 4, 4))
    trace.ops.elementwise((a,), b, formula(double))
    trace.ops.max_pool(b, c, tensor("winner", 2, 1, 4, 4, dtype="index"), Window((3, 3), (1, 1), (1, 1)))
    plan = trace.plan(cpu, c)
    assert not plan.taken


def test_a_part_of_something_is_not_overwritten_by_a_whole(cpu: Cpu) -> None:
    trace, (a, b, half, c) = Trace(), (given_tensor("a", 4, 3), tensor("b", 4, 3), tensor("half", 2, 3), tensor("c", 2, 3))
    trace.ops.elementwise((a,), b, formula(double))
    trace.ops.cut(b, half, 0, 2)
    trace.ops.elementwise((half,), c, formula(lifted))
    assert trace.plan(cpu, c).taken == set()


# --- place ---
def test_memory_is_used_again_and_lenet_shows_it(cpu: Cpu) -> None:
    for backend, most in ((cpu, 3.6e6), (Reference(), 7e6)):
        fast, slow = step_plan(lenet(), backend, 64), step_plan(lenet(), backend, 64, fast=False)
        assert fast.arena < most < 11e6 < slow.arena
        assert fast.arena >= max(fast.nbytes(one) for one in fast.offsets)


def test_each_place_begins_on_a_cache_line_and_lies_in_the_arena(cpu: Cpu) -> None:
    plan = step_plan(lenet(5), cpu, 5)
    for one, offset in plan.offsets.items():
        assert offset % 64 == 0
        assert offset + plan.nbytes(one) <= plan.arena


def test_what_lives_at_the_same_time_lies_apart(cpu: Cpu) -> None:
    """Inputs from the start, what is kept to the end."""
    trace, t = chain()
    other, last = given_tensor("other", 4, 3), tensor("last", 4, 3)
    trace.ops.weighted_sum((t[3], other), last, (1.0, 1.0))
    plan = trace.plan(cpu, last, t[0], fast=False)
    places = sorted(plan.extent(one) for one in plan.offsets)  # type: ignore[type-var]
    assert all(first[1] <= second[0] for first, second in zip(places, places[1:], strict=False))  # type: ignore[index]


# --- the fingerprint ---
PRINT = """
import sys
sys.path.insert(0, {tests!r})
from test_plan import lenet, step_plan, SMALL, net_of
from dltrain.ops.cpu import Cpu
cpu = Cpu(2)
print(step_plan(lenet(8), cpu, 8).fingerprint, step_plan(net_of(*SMALL), cpu, 4).fingerprint)
"""
SMALL = [("a", "InnerProduct", {"num_output": 3}), ("twice", "Eltwise", {"bottom": ["a", "a"]}), ("b", "TanH", {}),
         ("c", "Concat", {"bottom": ["b", "twice"]}), ("ip", "InnerProduct", {"num_output": 3}),
         ("main", "SoftmaxWithLoss", {"bottom": ["ip", "label"]}),
         ("also", "EuclideanLoss", {"bottom": ["twice", "target"]})]  # fmt: skip


def test_the_fingerprint_is_the_same_in_every_process(cpu: Cpu) -> None:
    found = [f"{step_plan(lenet(8), cpu, 8).fingerprint} {step_plan(net_of(*SMALL), cpu, 4).fingerprint}"]
    for seed in ("1", "2"):
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        given = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
        child = [sys.executable, "-c", PRINT.format(tests=str(ROOT / "tests"))]
        found.append(subprocess.run(child, env=given, capture_output=True, text=True, check=True, timeout=100).stdout.strip())
    assert len(set(found)) == 1


def test_the_fingerprint_tells_plans_apart(cpu: Cpu) -> None:
    plans = [
        step_plan(lenet(8), cpu, 8),
        step_plan(lenet(8), cpu, 7),
        step_plan(lenet(8), cpu, 8, fast=False),
        step_plan(lenet(8), Reference(), 8),
    ]
    assert len({plan.fingerprint for plan in plans}) == 4
    before = plans[0].fingerprint
    first = next(iter(plans[0].offsets))
    plans[0].offsets[first] += 64
    assert plans[0].fingerprint != before


def test_a_plan_can_be_printed(cpu: Cpu) -> None:
    text = str(step_plan(lenet(8), cpu, 8))
    assert text.startswith("19 calls in 8 segments, arena ")
    assert "batch   conv1.forward: conv_max_pool(x=data[8, 1, 28, 28], w=conv1.weight[20, 1, 5, 5]" in text


# --- the nets that come with dltrain ---
@pytest.mark.parametrize("name", CONFIGS)
def test_no_net_in_configs_has_a_hazard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes without samples; the long nets, which repeat themselves, on fewer workers and sizes."""
    monkeypatch.setenv("DLTRAIN_DATA", str(ROOT.parent / "shared" / "data"))
    try:
        read = sketch(str(ROOT / "configs" / name), ())
    except DataError as error:
        pytest.skip(f"needs its data: {error}")
    small = len(read.net.lines) < 30
    size = read.feed.batch_size("train")
    for backend in (Cpu(1), Cpu(2), Cpu(3), Reference()) if small else (Cpu(2),):
        engine = Engine(read.net, backend, read.solver)
        for batch in (size, size // 2 + 1, 1) if small else (3,):
            for phase in ("train", "test", "deploy"):
                for update in (False, True) if phase == "train" and small else (phase == "train",):
                    for fast in (True, False) if small else (True,):
                        plan = engine.plan_of(read.net.graph(phase, (batch,), phase), update, fast)
                        assert plan.calls and hazards(plan) == []
        engine.close()


# --- fast and slow ---
@pytest.mark.parametrize("phase", ["train", "test"])
def test_a_plan_that_fuses_nothing_makes_the_same_numbers(cpu: Cpu, phase: str) -> None:
    net = lenet(6)
    for backend in (cpu, Reference(), Reference(np.float64)):
        for size in (6, 1):
            for fast in (True, False):
                check_numbers(net, backend, size, phase, fast)


# --- any net ---
class Grown:
    """A random net over one image: each line reads blobs that are there already."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.image = (self.pick(1, 2, 3), self.pick(4, 5, 7), self.pick(4, 6))
        self.blobs: dict[str, tuple[int, ...]] = {"data": self.image}
        for _ in range(self.pick(*range(2, 9))):
            self.grow()
        self.lose("label", "SoftmaxWithLoss")
        if self.pick(True, False):
            self.lose("target", "EuclideanLoss")

    def pick(self, *values: Any) -> Any:
        return self.data.draw(some.sampled_from(values))

    def add(self, kind: str, shape: tuple[int, ...], **keys: Any) -> str:
        name = f"{kind.lower()}{len(self.lines)}"
        self.lines.append((name, kind, keys))
        self.blobs[name] = shape
        return name

    def grow(self) -> None:
        bottom = self.pick(*self.blobs)
        shape = self.blobs[bottom]
        like = [name for name, other in self.blobs.items() if other == shape]
        along = [name for name, other in self.blobs.items() if other[1:] == shape[1:]]
        flat = ["ReLU", "ReLU", "TanH", "Dropout", "Softmax", "Eltwise", "Concat", "InnerProduct"]
        kinds = [*flat, "Flatten", *["Convolution", "Pooling"] * 2] if len(shape) == 3 else flat
        kind = self.pick(*kinds)
        match kind:
            case "Convolution":
                k, pad, out = self.pick(1, 3), self.pick(0, 1), self.pick(1, 2, 4)
                sizes = Window((k, k), (1, 1), (pad, pad)).convolved(shape[1:])
                if min(sizes) > 0:
                    self.add(
                        kind,
                        (out, *sizes),
                        num_output=out,
                        kernel_size=(k,),
                        pad=(pad,),
                        bottom=bottom,
                        bias_term=self.pick(True, False),
                    )
            case "Pooling":
                k, stride, mode = self.pick(1, 2, 3), self.pick(1, 2), self.pick("max", "max", "mean")
                if k <= min(shape[1:]):
                    sizes = Window((k, k), (stride, stride), (0, 0)).pooled(shape[1:], stride <= k)
                    self.add(
                        kind,
                        (shape[0], *sizes),
                        kernel_size=(k,),
                        stride=(stride,),
                        pool=mode,
                        round="ceil" if stride <= k else "floor",
                        bottom=bottom,
                    )
            case "InnerProduct":
                out = self.pick(3, 5)
                self.add(kind, (out,), num_output=out, bottom=bottom)
            case "Eltwise":
                chosen = [bottom, self.pick(*like), *([self.pick(*like)] if self.pick(True, False) else [])]
                self.add(kind, shape, bottom=chosen, operation=self.pick("sum", "sum", "prod", "max"))
            case "Flatten":
                self.add(kind, (int(np.prod(shape)),), bottom=bottom)
            case "Concat":
                other = self.pick(*along)
                self.add(kind, (shape[0] + self.blobs[other][0], *shape[1:]), bottom=[bottom, other])
            case _:
                self.add(kind, shape, bottom=bottom)

    def lose(self, field: str, kind: str) -> None:
        head = self.add("InnerProduct", (3,), num_output=3, bottom=self.pick(*list(self.blobs)[-3:]))
        self.add(kind, (1,), bottom=[head, field], loss_weight=self.pick(1.0, 0.5))
        del self.blobs[self.lines[-1][0]]


@settings(max_examples=150, deadline=None, derandomize=True)  # a near tie that rounding decides otherwise is no fault
@given(data=some.data())
def test_any_net_has_the_gradients_that_its_calls_mean(cpu: Cpu, data: Any) -> None:
    grown = Grown(data)
    net = net_of(*grown.lines, image=grown.image)
    size = grown.pick(1, 2, 3, 5)
    for phase in ("train", "test"):
        check_numbers(net, cpu, size, phase)
    check_numbers(net, cpu, size, fast=False)
    check_numbers(net, Reference(np.float64), size, tolerance=1e-9)
