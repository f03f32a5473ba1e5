"""The hazard checker: it is silent about good plans, and finds and names what is wrong with broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.engine import Engine
from dltrain.memory import Bound, Memory
from dltrain.net import Net
from dltrain.ops.backend import Reference, bind_reference
from dltrain.ops.cpu import Cpu, dense
from dltrain.ops.formula import formula
from dltrain.ops.signature import Call, Tracer
from dltrain.plan import Plan, make_plan
from dltrain.plan.hazards import hazards
from dltrain.plan.segment import Access
from dltrain.registry import LAYERS, SOLVERS
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor
from dltrain.wiring import Line

SIZE = 4
LINES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("conv", "Convolution", {"num_output": 3, "kernel_size": (3,)}, None),
    ("pool", "Pooling", {"kernel_size": (2,), "stride": (2,)}, None),
    ("tanh", "TanH", {}, None),
    ("drop", "Dropout", {}, None),
    ("sum", "Eltwise", {}, ["tanh", "drop"]),
    ("ip", "InnerProduct", {"num_output": 6}, None),
    ("relu", "ReLU", {}, None),
    ("both", "Concat", {}, ["ip", "relu"]),
    ("head", "InnerProduct", {"num_output": 3}, None),
    ("main", "SoftmaxWithLoss", {}, ["head", "label"]),
    ("also", "EuclideanLoss", {}, ["head", "target"]),
]


@pytest.fixture(scope="module")
def cpu() -> Iterator[Cpu]:
    made = Cpu(2)
    yield made
    made.close()


def net_of(lines: Any = LINES) -> Net:
    made = [Line(name, LAYERS[kind](**keys), bottom) for name, kind, keys, bottom in lines]
    return Net(made, {"data": Shape((2, 6, 6)), "label": Shape((), "index"), "target": Shape((3,))}, SIZE, 1)


def plan_of(backend: Reference, update: bool = False, fast: bool = True, phase: str = "train") -> Plan:
    net = net_of()
    engine = Engine(net, backend, SOLVERS["SGD"](base_lr=0.1))
    if engine.pool is not None:
        engine.pool.close()
    return engine.plan_of(net.graph(phase, (SIZE,), phase), update, fast)


def broken(plan: Plan, **parts: Any) -> Plan:
    """A copy with other offsets or segments."""
    return replace(plan, **{"offsets": dict(plan.offsets), "segments": [list(calls) for calls in plan.segments], **parts})


def names_some(found: list[str], *words: object) -> bool:
    return any(str(word) in line for line in found for word in words)


# --- judges that know nothing of the checker ---
def outcome(plan: Plan, backend: Reference) -> list[Any] | None:
    """The bits that a plan makes when its calls run one after another over dirty memory; None where it breaks down."""
    memory = Memory(Store(), backend)
    memory.reserve(plan.arena)
    memory.bytes[:] = 255
    arrays, rng = Bound(memory, plan), np.random.default_rng(0)
    own = dict.fromkeys(one for call in plan.calls for one in [*call.reads(), *call.writes()] if plan.extent(one) is None)
    for one in sorted([*own, *(one for one in plan.offsets if one.home == "input")], key=lambda one: one.name):
        drawn = np.zeros(one.shape) if one.home in ("param_grad", "tally") else rng.standard_normal(one.shape)
        memory.logical(one, plan)[...] = np.ones(one.shape) if one.dtype in ("index", "double") else drawn
    try:
        with np.errstate(all="ignore"):
            for calls in plan.segments:
                for call in calls:
                    bind_reference(call, arrays)()
    except IndexError:
        return None
    read = [*plan.keep, *(one for one in own if one.home in ("param_grad", "tally"))]
    return [arrays.logical(one).copy() for one in sorted(read, key=lambda one: one.name)]


def same(a: list[Any] | None, b: list[Any] | None) -> bool:
    return a is not None and b is not None and all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


def stretches(plan: Plan, call: Call, workers: int) -> Iterator[tuple[int, object, int, int, bool]]:
    """(worker, memory, from, to, written) for all that the workers touch in a call, sample by sample where it says so."""
    access = plan.access[call]
    for mode in ("in", "out", "add", "update"):
        for name, tensor in call.uses(mode):
            extent, (owner, low, high) = plan.extent(tensor), plan.part(tensor)
            space: object = owner
            if extent is not None:
                space, (low, high) = "arena", extent
            for worker in range(1 if access.kind == "serial" else workers):
                start, stop = low, high
                if access.kind == "batch" and name in access.own:
                    each, units = (high - low) // access.samples, -(-access.samples // access.step)
                    start, stop = (
                        low + each * min(access.samples, units * place // workers * access.step) for place in (worker, worker + 1)
                    )
                yield worker, space, start, stop, mode != "in"


def collisions(plan: Plan, workers: int) -> list[tuple[Call, Call]]:
    """Pairs of calls without a barrier between, of which different workers touch the same memory, one of them writing."""
    found = []
    for calls in plan.segments:
        touched = {call: list(stretches(plan, call, workers)) for call in calls}
        for first, second in combinations(calls, 2):
            if any(
                a != b and space is other and low < stop and start < high and (written or also)
                for a, space, low, high, written in touched[first]
                for b, other, start, stop, also in touched[second]
            ):
                found.append((first, second))
    return found


# --- good plans ---
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize("phase", ["train", "test"])
def test_good_plans_have_none(cpu: Cpu, phase: str, update: bool, fast: bool) -> None:
    for backend in (cpu, Reference()):
        plan = plan_of(backend, update, fast, phase)
        assert hazards(plan) == []
        assert [collisions(plan, workers) for workers in (1, 2, 3)] == [[], [], []]


def test_looking_at_a_plan_changes_nothing(cpu: Cpu) -> None:
    plan = plan_of(cpu)
    before = plan.fingerprint
    assert hazards(plan) == hazards(plan) == []
    assert plan.fingerprint == before


# --- places ---
@pytest.mark.parametrize("fast", [True, False])
def test_every_swap_of_two_places_that_changes_a_number_is_found_and_named(fast: bool) -> None:
    backend = Reference(np.float64)
    plan, seen = plan_of(backend, fast=fast), 0
    right = outcome(plan, backend)
    assert same(right, outcome(plan, backend))
    for a, b in combinations(plan.offsets, 2):
        wrong = broken(plan, offsets=plan.offsets | {a: plan.offsets[b], b: plan.offsets[a]})
        wrong.arena = plan.arena + max(map(plan.nbytes, plan.offsets))
        if not same(right, outcome(wrong, backend)):
            seen += 1
            assert hazards(wrong), f"{a} and {b} have changed places"
    assert seen >= 20


@pytest.mark.parametrize("fast", [True, False])
def test_every_overlap_that_changes_a_number_is_found_and_named(fast: bool) -> None:
    """One tensor laid over another, whole or in part, as if the other had died sooner."""
    backend = Reference(np.float64)
    plan, seen = plan_of(backend, fast=fast), 0
    right = outcome(plan, backend)
    for number, (a, b) in enumerate(permutations(plan.offsets, 2)):
        shift = 0 if number % 2 else plan.nbytes(a) // 16 * 8
        wrong = broken(plan, offsets=plan.offsets | {b: plan.offsets[a] + shift})
        wrong.arena = plan.arena + plan.nbytes(b)
        if not same(right, outcome(wrong, backend)):
            seen += 1
            found = hazards(wrong)
            assert found, f"{b} lies over {a}"
            assert names_some(found, a.name, b.name, *(view.name for view in plan.views))
    assert seen >= 100


def test_an_output_may_not_lie_over_an_input_that_the_op_does_not_give_away(cpu: Cpu) -> None:
    """The reference makes a copy first and gets away with it; a kernel would not."""
    for backend in (cpu, Reference()):
        plan = plan_of(backend, fast=False)
        pool = next(call for call in plan.calls if call.op.name == "max_pool")
        x, y = plan.storage(pool.args["x"]), plan.storage(pool.args["y"])
        found = hazards(broken(plan, offsets=plan.offsets | {y: plan.offsets[x]}))
        assert names_some(found, f"{pool.layer}.{pool.way}: max_pool")


def test_two_outputs_of_a_call_may_not_lie_over_each_other(cpu: Cpu) -> None:
    plan = plan_of(cpu, fast=False)
    pool = next(call for call in plan.calls if call.op.name == "max_pool")
    y, winner = plan.storage(pool.args["y"]), plan.storage(pool.args["winner"])
    found = hazards(broken(plan, offsets=plan.offsets | {winner: plan.offsets[y]}))
    assert names_some(found, f"{pool.layer}.{pool.way}: max_pool")


def test_an_output_over_an_input_that_the_op_gives_away_is_fine(cpu: Cpu) -> None:
    plan = plan_of(cpu)
    assert plan.taken
    assert hazards(plan) == []


def test_an_input_that_is_overwritten_before_it_is_read_is_named(cpu: Cpu) -> None:
    plan = plan_of(cpu)
    target, first = next(one for one in plan.offsets if one.name == "target"), plan.calls[0].args["y"]
    found = hazards(broken(plan, offsets=plan.offsets | {target: plan.offsets[plan.storage(first)]}))
    assert names_some(found, "reads target[4, 3], but ")


def test_what_is_kept_must_be_there_at_the_end(cpu: Cpu) -> None:
    trace = Chain("elementwise", "elementwise")
    plan = make_plan(trace.calls, cpu, [trace.tensors[1], trace.tensors[2]])
    assert hazards(plan) == []
    a, b = trace.tensors[1:]
    found = hazards(broken(plan, offsets=plan.offsets | {b: plan.offsets[a]}))
    assert names_some(found, f"the end of the run: reads {a}, but {b} has overwritten it")


# --- order ---
@pytest.mark.parametrize("fast", [True, False])
def test_every_call_moved_before_its_writer_is_found_and_named(fast: bool) -> None:
    backend = Reference(np.float64)
    plan, seen = plan_of(backend, fast=fast), 0
    right, calls = outcome(plan, backend), [call for calls in plan.segments for call in calls]
    for start, call in enumerate(calls):
        for to in range(start):
            order = [*calls[:to], call, *calls[to:start], *calls[start + 1 :]]
            wrong = broken(plan, segments=[[one] for one in order])
            if not same(right, outcome(wrong, backend)):
                seen += 1
                found = hazards(wrong)
                assert found, f"{call} runs before {calls[to]}"
                assert names_some(found, f"{call.layer}.{call.way}: {call.op.name}", *(one.name for one in call.writes()))
    assert seen >= 50


@pytest.mark.parametrize("fast", [True, False])
def test_a_call_that_is_left_out_is_missed(cpu: Cpu, fast: bool) -> None:
    """All that write to the arena: of the gradients of parameters nobody can tell that they lack a term."""
    for backend in (cpu, Reference()):
        plan = plan_of(backend, fast=fast)
        for call in plan.calls:
            if any(plan.extent(one) is not None for one in call.writes()):
                wrong = broken(plan, segments=[[one for one in calls if one is not call] for calls in plan.segments])
                read = {plan.storage(one) for other in plan.calls for one in other.reads()} | {
                    plan.storage(one) for one in plan.keep
                }
                if any(plan.storage(one) in read for one in call.writes()):
                    assert hazards(wrong), f"nobody misses {call}"


def test_what_nobody_has_written_is_named(cpu: Cpu) -> None:
    trace = Chain("elementwise", "elementwise")
    plan = make_plan(trace.calls, cpu, trace.tensors[2:])
    first, second = plan.calls
    assert hazards(broken(plan, segments=[[second], [first]])) == [f"{second}: reads t1[4, 6] before it is written"]


# --- barriers ---
class Chain:
    """t1 = op(t0), t2 = op(t1) …: ops that work sample by sample, and ops that do not."""

    def __init__(self, *ops: str, samples: int = 4) -> None:
        self.calls: list[Call] = []
        tracer = Tracer(self.calls, "it")
        self.tensors = [Tensor("t0", Shape((samples, 6)), "input")]
        for number, op in enumerate(ops, 1):
            x, y = self.tensors[-1], Tensor(f"t{number}", Shape((samples, 6)))
            if op == "elementwise":
                tracer.elementwise((x,), y, formula(lifted))
            elif op == "product":
                tracer.product((x, x), y)
            else:
                tracer.inner_product(x, Tensor("w", Shape((6, 6)), "param"), None, y)
            self.tensors.append(y)


def lifted(x: float) -> float:
    return x + 1


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("update", [True, False])
def test_every_barrier_that_keeps_workers_apart_is_missed(cpu: Cpu, update: bool, fast: bool) -> None:
    plan, seen = plan_of(cpu, update, fast), 0
    for at in range(len(plan.segments) - 1):
        wrong = broken(plan)
        wrong.segments[at : at + 2] = [wrong.segments[at] + wrong.segments[at + 1]]
        found = hazards(wrong)
        for first, second in collisions(wrong, 2) + collisions(wrong, 3):
            seen += 1
            assert names_some(found, f"{second}: no barrier after"), f"{second} follows {first} without a barrier"
    assert seen >= 4


def test_without_any_barrier_every_call_that_needs_one_is_named(cpu: Cpu) -> None:
    plan = plan_of(cpu, update=True)
    wrong = broken(plan, segments=[[call for calls in plan.segments for call in calls]])
    found = hazards(wrong)
    needing = {second for _, second in collisions(wrong, 2)}
    assert len(needing) >= 4
    assert all(names_some(found, f"{call}: no barrier after") for call in needing)


def test_a_missing_barrier_is_named_with_both_calls(cpu: Cpu) -> None:
    trace = Chain("elementwise", "product")
    plan = make_plan(trace.calls, cpu, trace.tensors[2:])
    first, second = plan.calls
    assert hazards(plan) == []
    assert set(hazards(broken(plan, segments=[[first, second]]))) == {f"{second}: no barrier after {first}"}


def test_memory_that_two_tensors_share_within_a_segment_needs_a_barrier_though_both_are_divided_by_samples(
    cpu: Cpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half of the samples of t1 is not the second half of the bytes where a wider tensor begins."""
    monkeypatch.setattr(dense, "MANY", 0)  # no product is divided by its outputs
    for shift in (8, 16, 48):
        trace = Chain("elementwise", "inner_product", "inner_product")
        plan = make_plan(trace.calls, cpu, trace.tensors[3:], fast=False)
        assert [len(calls) for calls in plan.segments] == [3]
        t1, t3 = trace.tensors[1], trace.tensors[3]
        wrong = broken(plan, offsets=plan.offsets | {t3: plan.offsets[t1] + shift})
        wrong.arena += 64
        assert collisions(wrong, 2)
        assert names_some(hazards(wrong), f"{plan.calls[2]}: no barrier after")


def test_the_same_samples_of_two_tensors_of_one_shape_in_one_place_need_none(cpu: Cpu) -> None:
    trace = Chain("elementwise", "inner_product", "inner_product")
    plan = make_plan(trace.calls, cpu, trace.tensors[3:], fast=False)
    moved = broken(plan, offsets=plan.offsets | {trace.tensors[3]: plan.offsets[trace.tensors[1]]})
    assert collisions(moved, 2) == []
    assert hazards(moved) == []


def test_a_call_that_claims_to_be_divided_by_other_samples_needs_a_barrier(cpu: Cpu) -> None:
    trace = Chain("elementwise", "elementwise")
    plan = make_plan(trace.calls, cpu, trace.tensors[2:], fast=False)
    second = plan.calls[1]
    wrong = replace(plan, access=plan.access | {second: Access("batch", frozenset({"xs", "y"}), 3)})
    assert hazards(wrong) == [f"{second}: no barrier after {plan.calls[0]}"]


def test_parameters_too_need_barriers(cpu: Cpu) -> None:
    plan = plan_of(cpu, update=True)
    update = plan.calls[-1]
    wrong = broken(plan, segments=[*plan.segments[:-2], [*plan.segments[-2], *plan.segments[-1]]])
    assert names_some(hazards(wrong), f"{update}: no barrier after")


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_statistics_of_small_planes_wait_for_the_convolution_above(batch: int) -> None:
    """They are shared out by blocks of several samples, the convolution by single ones."""
    lines = [Line("conv", LAYERS["Convolution"](num_output=64, kernel_size=(7,))), Line("norm", LAYERS["BatchNorm"]()),
             Line("ip", LAYERS["InnerProduct"](num_output=3)), Line("loss", LAYERS["EuclideanLoss"](), ["ip", "target"])]  # fmt: skip
    net = Net(lines, {"data": Shape((16, 8, 8)), "target": Shape((3,))})
    rng = np.random.default_rng(0)
    x = {"data": rng.standard_normal((batch, 16, 8, 8), np.float32), "target": rng.standard_normal((batch, 3), np.float32)}
    losses = []
    for backend in (Reference(), *[Cpu(2)] * 12):
        engine = Engine(net, backend)
        engine.initialise(1)
        losses.append(engine.step([x], {})["loss"])
        engine.close()
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    assert len(set(losses[1:])) == 1
