"""Runs graphs on a back end: one train step, or one pass of another phase, with weights shared by all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dltrain.averaged import Averaged
from dltrain.errors import OutOfMemory
from dltrain.graph import Demand, Graph
from dltrain.late import Ring
from dltrain.memory import Memory
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.signature import Call, Tracer
from dltrain.plan import Plan, make_plan
from dltrain.program import Pool, Program
from dltrain.scaling import Scaling
from dltrain.solver import AVERAGE, Solver
from dltrain.tensor import Shape, Tensor

Batch = dict[str, Any]  # field -> array of (N, …)
SCALING = "scaling"  # where a snapshot has what only some precisions need


class Engine:
    """A net, a back end, and the memory between them.

    step(batches, rates)   forward and backward of each, one update;          returns the losses
    forward(phase, batch)  one pass; then `tallies()` and `blob(name)` tell what came out
    """

    def __init__(self, net: Net, backend: Reference, solver: Solver | None = None) -> None:
        self.net, self.backend, self.solver = net, backend, solver
        self.memory = Memory(net.store, backend, solver.kept if solver else ())
        self.tested: Memory = Averaged(self.memory) if solver and solver.uses_average else self.memory
        self.pool = Pool(backend.workers) if backend.workers > 1 else None
        self.programs: dict[tuple[Demand, bool, bool], Program] = {}
        self.rates = {name: Tensor(name, Shape((1,)), "scalar") for name in (solver.numbers if solver else ())}
        self.norm = Tensor("norm", Shape((1,), "double"), "scalar")
        self.norms = Tensor("norms", Shape((2, len(net.store.table())), "double"), "scalar")  # of each parameter that learns
        self.failed = Tensor("failed", Shape((1,), "index"), "scalar")
        self.scaling = Scaling() if backend.scales else None
        self.step_count = 0  # forward passes in phase train: what random layers count by
        self.rings: dict[tuple[str, ...], Ring] = {}  # by the names of the losses, where these are read later
        self.told: dict[Tensor, float] = {}  # what was last written into each scalar
        self.graph: Graph | None = None
        self.plan: Plan | None = None
        self.begin_states()

    def begin_states(self) -> None:
        """What is no parameter, as it is before the first step."""
        for state in self.net.store.states.values():
            self.memory.memory(state.handle)[...] = state.init
        for tensor, value in (self.scaling.first if self.scaling else {}).items():
            self.memory.memory(tensor)[...] = value

    def initialise(self, seed: int) -> None:
        """First values of all parameters."""
        for part in self.net.store.segments.values():
            self.memory.logical(part.handle.data)[...] = part.fill(seed)
        self.begin_average()

    def begin_average(self) -> None:
        """Before the first update the average is the weights themselves."""
        if AVERAGE in self.memory.handles:
            self.memory.memory(self.memory.handles[AVERAGE])[...] = self.memory.memory(self.net.store.w)

    def check_room(self, phase: str, size: int) -> None:
        """OutOfMemory, before anything is taken, where a step of this batch cannot fit; it names a batch that does."""
        free = self.backend.free_bytes()
        graph = self.net.graph(phase, (size,), phase)
        plan = self.plan_of(graph, update=True)
        flat = sum(handle.shape.count for handle in self.memory.handles.values()) * self.backend.float_size
        fixed = flat + self.backend.margin
        if free and fixed + plan.arena > free:
            fits = max(0, int(size * (free - fixed) / max(plan.arena, 1)))
            way = f"a batch of about {fits} would fit" if fits else "not even one sample would fit"
            gib = 2.0**30
            raise OutOfMemory(
                f"a step on {size} samples needs {(fixed + plan.arena) / gib:.1f} GiB on {self.backend.name}, "
                f"{free / gib:.1f} GiB are free; {way}: set data.batch_size (iter_size keeps the mathematics)"
            )

    # --- graphs to programs ---
    def update_calls(self, graph: Graph) -> list[Call]:
        calls: list[Call] = []
        if self.solver is not None and self.net.store.table():
            tracer = Tracer(calls, "solver")
            tracer.way = "update"
            flat = {**self.memory.handles, **self.rates, "norm": self.norm, "norms": self.norms, "failed": self.failed}
            segments = np.array(self.net.store.table(), np.float64)
            losses = tuple(graph.losses.values())
            if self.scaling is not None:
                self.scaling.before(tracer, self.net.store.g, self.failed)
            self.solver.emit(tracer, flat, losses, segments, self.rows())
            if self.scaling is not None:
                self.scaling.behind(tracer, self.failed)
            if self.backend.late:
                self.ring(graph).emit(tracer, losses, self.failed)
        return calls

    def rows(self) -> list[tuple[int, int, int]]:
        """(start, stop, rows) of each weight that learns; axis 0, the rows, is the outermost in memory on every back end."""
        parts = [part for part in self.net.store.segments.values() if not part.frozen and len(part.shape) > 1]
        return [(part.start, part.start + part.shape.count, part.shape[0]) for part in parts]

    def plan_of(self, graph: Graph, update: bool = False, fast: bool = True) -> Plan:
        extra = self.update_calls(graph) if update and graph.cut is None else []
        pinned = len(graph.calls) if graph.cut is not None else graph.done
        calls = graph.calls if self.scaling is None else self.scaling.magnify(graph.calls, graph.prices)
        return make_plan(calls + extra, self.backend, graph.keep, self.ran(graph), pinned, fast)

    def ran(self, graph: Graph) -> int:
        """How many calls the graph before the last cut has run."""
        return 0 if not graph.demand.kept else self.before(graph).__len__()

    def before(self, graph: Graph) -> list[Call]:
        kept = graph.demand.kept[:-1]
        return self.net.graph(graph.demand.phase, graph.demand.sizes, graph.demand.split, graph.demand.upto, kept).calls

    def program(self, graph: Graph, update: bool = False, fast: bool = True) -> Program:
        """The compiled plan, kept for the next time; a larger arena binds all anew."""
        key = (graph.demand, update, fast)
        if key not in self.programs:
            plan = self.plan_of(graph, update, fast)
            if self.memory.reserve(plan.arena):
                self.programs = {old: self.compiled(old[0], program.plan) for old, program in self.programs.items()}
            self.programs[key] = self.compiled(graph.demand, plan)
        return self.programs[key]

    def compiled(self, demand: Demand, plan: Plan) -> Program:
        return Program(plan, self.backend, self.memory if demand.phase == "train" else self.tested, self.pool)

    # --- running ---
    def fill(self, graph: Graph, plan: Plan, batch: Batch) -> None:
        """Puts a batch and the scalars of the graph into their places."""
        for name, tensor in graph.scalars.items():
            self.tell(tensor, graph.values.get(name, self.step_count))
        for field, tensor in graph.inputs.items():
            if plan.storage(tensor) in plan.offsets:
                self.backend.stage(self.memory.logical(tensor, plan), batch[field])

    def tell(self, tensor: Tensor, value: float) -> None:
        """Writes a scalar that only the host writes, where it has changed."""
        if self.told.get(tensor) != value:
            self.memory.memory(tensor)[...] = self.told[tensor] = value

    def ring(self, graph: Graph) -> Ring:
        """Where the losses of a graph wait to be read."""
        names = tuple(graph.losses)
        if names not in self.rings:
            self.rings[names] = Ring(self, names)
        return self.rings[names]

    def settle(self) -> None:
        """Waits for all steps under way: losses and failures are then known."""
        for ring in self.rings.values():
            ring.settle()

    def pass_through(
        self, phase: str, batch: Batch, split: str, upto: tuple[str, ...] = (), update: bool = False, fast: bool = True
    ) -> Graph:
        """Runs the graph of a batch; at each cut the size is read and the next graph looked up."""
        sizes = self.net.sizes(batch)
        kept: tuple[int, ...] = ()
        while True:
            graph = self.net.graph(phase, sizes, split, upto, kept)
            program = self.program(graph, update, fast)
            self.fill(graph, program.plan, batch)
            program.run()
            self.graph, self.plan = graph, program.plan
            if graph.cut is None:
                return graph
            kept = (*kept, int(self.memory.memory(graph.cut, program.plan)[0]))

    def step(self, batches: Sequence[Batch], rates: dict[str, float]) -> Mapping[str, float]:
        """One update from one batch or several (iter_size); returns each loss, averaged over them.

        Where the back end is late the losses of a single batch may still be under way: looking at them waits.
        """
        assert self.solver is None or len(batches) == self.solver.iter_size, "a plan writes the gradients of so many passes"
        for name, tensor in self.rates.items():
            self.tell(tensor, rates[name])
        if self.tested is not self.memory and self.step_count == 0:  # weights may have been put where the average is
            self.memory.memory(self.net.store.w)[...] = self.memory.memory(self.memory.handles[AVERAGE])
        totals: dict[str, float] = {}
        for number, batch in enumerate(batches):
            graph = self.pass_through("train", batch, "train", update=number == len(batches) - 1)
            assert self.plan is not None
            if self.backend.late and len(batches) == 1 and self.solver is not None and self.net.store.table():
                self.step_count += 1
                return self.ring(graph).taken()
            for name, tensor in graph.losses.items():
                totals[name] = totals.get(name, 0.0) + float(self.memory.memory(tensor, self.plan)[0]) / len(batches)
            self.step_count += 1
        return totals

    def forward(self, phase: str, batch: Batch, split: str = "", upto: tuple[str, ...] = ()) -> None:
        """One pass of a phase; weights do not change."""
        self.pass_through(phase, batch, split or phase, upto)

    def tallies(self) -> dict[str, Any]:
        """The sums behind each score of the last pass."""
        assert self.graph is not None
        return {name: self.memory.memory(tensor).copy() for name, (_, tensor) in self.graph.tallies.items()}

    def blob(self, name: str) -> Any:
        """A copy of a blob that the last pass kept."""
        assert self.graph is not None
        memory = self.memory if self.graph.demand.phase == "train" else self.tested
        return np.ascontiguousarray(memory.logical(self.graph.blobs[name].data, self.plan)).copy()

    @property
    def has_failed(self) -> bool:
        """True after a step whose loss or gradient was not finite: that step, and all after it, changed nothing."""
        self.settle()
        return bool(self.memory.memory(self.failed)[0])

    @property
    def steps_since_failure(self) -> int:
        """How many steps were launched after the one that failed first, as far as is known."""
        return max((ring.steps - 1 - ring.failed for ring in self.rings.values() if ring.failed is not None), default=0)

    @property
    def is_late(self) -> bool:
        return self.backend.late

    # --- what is saved ---
    def state_arrays(self) -> dict[str, Any]:
        """Everything that a step changes, as logical arrays: data/, slots/, states/, and scaling/ in fp16.

        data/ are the weights that are tested; where that is the average, those that training moves are slots/moving.
        """
        parts = self.net.store.segments.values()
        names = {"data": "w"} | {f"slots/{slot}": slot for slot in (self.solver.kept if self.solver else ())}
        if self.tested is not self.memory:
            names |= {"data": names.pop(f"slots/{AVERAGE}"), "slots/moving": "w"}
        made = {
            f"{path}/{part.layer}/{part.role}": self.memory.slot(slot, part) for path, slot in names.items() for part in parts
        }
        made |= {f"states/{name}": self.memory.logical(state.handle) for name, state in self.net.store.states.items()}
        if self.scaling is not None:
            made |= {f"{SCALING}/{tensor.name}": self.memory.logical(tensor) for tensor in self.scaling.first}
        return made

    def forget(self, split: str) -> None:
        """The states that are one a split, at their beginning for this one: a score does not depend on earlier passes."""
        for state in self.net.store.states.values():
            if state.name.endswith(f"@{split}"):
                self.memory.memory(state.handle)[...] = state.init

    def reset(self) -> None:
        """Back to before the first step: gradients and slots 0, states at their beginning, nothing failed."""
        self.step_count = 0
        for name, handle in self.memory.handles.items():
            if name != "w":
                self.memory.memory(handle)[...] = 0
        self.begin_average()
        self.memory.memory(self.failed)[...] = 0
        for ring in self.rings.values():
            ring.reset()
        self.begin_states()

    # --- what it runs on ---
    def environment(self) -> dict[str, Any]:
        """What decides the last bits of a result: device, threads, kernels, versions."""
        import platform

        from dltrain import __version__
        from dltrain.devices import blas_words

        versions = {"dltrain": __version__, "python": platform.python_version(), "numpy": np.__version__}
        backend = {"device": self.backend.name, "threads": self.backend.workers, "kernels": self.backend.kernels}
        return {**versions, "machine": platform.machine(), **backend, "blas": blas_words()}

    def about(self) -> str:
        return self.backend.about("; ".join(self.environment()["blas"]))

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
        self.backend.close()


__all__ = ["Batch", "Demand", "Engine"]
