"""Every layer of the catalogue on the CPU: between neighbours that leave it memory to overwrite, it is what the reference says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.graph import Builder, Demand
from dltrain.layer import Blob, Layer
from dltrain.memory import Memory
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.formula import formula
from dltrain.ops.signature import OPS, Tracer
from dltrain.plan import make_plan
from dltrain.plan.hazards import hazards
from dltrain.program import Pool, Program
from dltrain.registry import LAYERS
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor
from dltrain.testing import samples
from dltrain.wiring import Line


def catalogue() -> Any:
    """The common exam, for its table of layers and bottoms."""
    spec = spec_from_file_location("the_common_exam", Path(__file__).parents[1] / "test_catalogue.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROWS = [
    pytest.param(LAYERS[name](**keys), shapes, id=f"{name}-{number}")
    for name, rows in sorted(catalogue().BOTTOMS.items())
    for number, (keys, shapes) in enumerate(rows)
]


NEVER = {"copy": "it is a view", "prelu_dx": "the gradient of the slopes reads dy later"}  # ops that overwrite nothing here


def same(x: float) -> float:
    return x + 0


class Chain:
    """A layer whose bottoms and gradients are made by calls and whose tops are read by calls, planned in haste or not."""

    def __init__(self, layer: Layer, shapes: list[Shape], backend: Reference, train: bool, fast: bool) -> None:
        phase = "train" if train else "test"
        self.builder = Builder([Line("it", layer)], [0], {}, Store(), Demand(phase, (shapes[0][0] if shapes else 1,)), 1)
        self.builder.tracer = Tracer(self.builder.graph.calls, "it")
        self.builder.graph.scalar("step")
        self.layer, self.given, self.keep = self.builder.place(0), [], []
        bottoms = [Blob(self.made(f"x{number}", shape)) for number, shape in enumerate(shapes)]
        promised = self.layer.setup(*shapes)
        tops = [
            Blob(Tensor(f"y{number}", shape))
            for number, shape in enumerate(promised if isinstance(promised, list) else [promised])
        ]
        self.layer.forward(*bottoms, *tops)
        self.keep += [self.read(top.data) for top in tops]
        if train:
            self.backward(bottoms, tops)
        self.store, self.backend = self.builder.store, backend
        self.plan = make_plan(self.builder.graph.calls, backend, self.keep, fast=fast)

    def backward(self, bottoms: list[Blob], tops: list[Blob]) -> None:
        for number, top in enumerate(tops):
            top.grad = self.made(f"dy{number}", Shape(top.shape))
        for number, bottom in enumerate(bottoms):
            fixed = Builder.is_fixed(self.layer, number) or bottom.shape.dtype != "float" or self.layer.kind == "metric"
            bottom.grad = None if fixed else Tensor(f"dx{number}", bottom.shape)
        self.builder.tracer.way = "backward"
        self.layer.backward(*bottoms, *tops)
        self.keep += [self.read(bottom.grad) for bottom in bottoms if bottom.grad is not None]

    def made(self, name: str, shape: Shape) -> Tensor:
        """A tensor that a call writes; an index comes from outside."""
        self.given.append(Tensor(f"{name} given", shape, "input"))
        if shape.dtype != "float":
            return self.given[-1]
        blob = Tensor(name, shape)
        self.builder.tracer.elementwise((self.given[-1],), blob, formula(same))
        return blob

    def read(self, tensor: Tensor) -> Tensor:
        """What a call makes of a tensor, so that the tensor itself may go."""
        if tensor.dtype != "float":
            return tensor
        out = Tensor(f"{tensor.name} read", tensor.shape)
        self.builder.tracer.elementwise((tensor,), out, formula(same))
        return out

    def run(self, values: list[Any], params: dict[str, Any]) -> dict[str, Any]:
        """All that is left behind: what was read, gradients of parameters, states and sums."""
        memory, backend = Memory(self.store, self.backend), self.backend
        memory.reserve(self.plan.arena)
        memory.bytes[:] = 255
        pool = Pool(backend.workers) if backend.workers > 1 else None
        program = Program(self.plan, backend, memory, pool)
        for state in self.store.states.values():
            memory.logical(state.handle)[...] = state.init
        for part in self.store.segments.values():
            memory.logical(part.handle.data)[...] = params[part.role]
        for tensor in self.builder.graph.scalars.values():
            memory.memory(tensor)[...] = 3
        for tensor, value in zip(self.given, values, strict=True):
            if self.plan.extent(tensor) is not None:
                memory.logical(tensor, self.plan)[...] = value
        program.run()
        if pool is not None:
            pool.close()
        made = {str(tensor): memory.logical(tensor, self.plan) for tensor in self.keep}
        made |= {
            f"{part.role}.grad": memory.logical(part.handle.grad) for part in self.store.segments.values() if part.handle.grad
        }
        made |= {state.name: memory.logical(state.handle) for state in self.store.states.values()}
        return made | {name: memory.memory(tensor) for name, (_, tensor) in self.builder.graph.tallies.items()}


@pytest.fixture(scope="module")
def cpus() -> Iterator[list[Cpu]]:
    made = [Cpu(1), Cpu(3)]
    yield made
    for cpu in made:
        cpu.close()


def whole(shapes: Any) -> list[Shape]:
    return [Shape(shape, getattr(shape, "dtype", "float")) for shape in shapes]


def question(layer: Layer, shapes: list[Shape], train: bool) -> tuple[Chain, list[Any], dict[str, Any]]:
    """The reference's chain of calls, and what all chains are given: values of tensors and parameters."""
    xs, params = samples(layer, shapes)
    slow, rng = Chain(layer, shapes, Reference(np.float64), train, fast=False), np.random.default_rng(1)
    return slow, [*xs, *(rng.standard_normal(tensor.shape) for tensor in slow.given[len(xs) :])], params


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_it_is_what_the_reference_says(cpus: list[Cpu], layer: Layer, shapes: Any, train: bool) -> None:
    slow, values, params = question(layer, whole(shapes), train)
    right = slow.run(values, params)
    for cpu in cpus:
        chain = Chain(layer, whole(shapes), cpu, train, fast=True)
        assert hazards(chain.plan) == []
        found = chain.run(values, params)
        assert found.keys() == right.keys()
        for name, want in right.items():
            error = np.abs(found[name].astype(np.float64) - want)
            assert (error <= 2e-5 * np.abs(want).max(initial=0.1)).all(), (
                f"{name} is off by {error.max()} on {cpu.workers} workers"
            )


def test_every_op_that_may_overwrite_what_it_reads_does_so_in_one_of_these(cpus: list[Cpu]) -> None:
    seen = set()
    for row in ROWS:
        layer, shapes = row.values
        for train in (True, False):
            plan = Chain(layer, whole(shapes), cpus[0], train, fast=True).plan
            seen |= {call.op.name for call in plan.calls if any(call.args.get(out) in plan.taken for out in call.op.shares)}
    assert seen == {name for name, op in OPS.items() if op.shares} - set(NEVER)
