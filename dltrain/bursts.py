"""Steps in one go: where a device does a step in less time than a host takes to ask for it, several are asked for at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dltrain.engine import Batch, Engine
from dltrain.program import Program
from dltrain.tensor import Picked

Rates = Mapping[str, float]


def at_once(engine: Engine) -> int:
    """How many steps like the last one may be asked for together."""
    program = last_program(engine)
    solver = engine.solver
    if program is None or solver is None or solver.iter_size > 1 or not engine.net.store.table():
        return 1
    return int(getattr(program.runner, "at_once", 1))


def last_program(engine: Engine) -> Program | None:
    """Of the last pass, where it was a whole step, with no size in it that depends on data."""
    graph = engine.graph
    whole = graph is not None and graph.cut is None and not graph.demand.kept
    return engine.programs.get((graph.demand, True, True)) if graph is not None and whole else None


def steps(engine: Engine, batches: Sequence[Batch], rates: Sequence[Rates]) -> list[Mapping[str, float]]:
    """An update from each batch, with the rates of each.  The batches are rows of tables, or they go one by one."""
    picked = all(isinstance(values, Picked) for batch in batches for values in batch.values())
    alike = len({engine.net.sizes(batch) for batch in batches}) == 1
    if picked and alike and 1 < len(batches) <= at_once(engine):
        return together(engine, batches, rates)
    return [engine.step([batch], dict(each)) for batch, each in zip(batches, rates, strict=True)]


def together(engine: Engine, batches: Sequence[Batch], rates: Sequence[Rates]) -> list[Mapping[str, float]]:
    graph, program, memory = engine.graph, last_program(engine), engine.memory
    assert graph is not None and program is not None
    plan, count, first = program.plan, len(batches), engine.step_count
    values: dict[Any, Any] = {
        tensor: np.arange(first, first + count, dtype=np.float64)
        for name, tensor in graph.scalars.items() if name not in graph.values
    }  # fmt: skip
    values |= {tensor: np.array([each[name] for each in rates], np.float32) for name, tensor in engine.rates.items()}
    fields = [(memory.logical(tensor, plan), batches[0][name].table) for name, tensor in graph.inputs.items()
              if plan.storage(tensor) in plan.offsets]  # fmt: skip
    rows = np.stack([next(iter(batch.values())).rows for batch in batches])
    ring = engine.ring(graph)
    ring.make_room(count)
    runner: Any = program.runner
    runner.burst([memory.memory(tensor) for tensor in values], list(values.values()), fields, rows)
    engine.told |= {tensor: float(array[-1]) for tensor, array in values.items()}
    engine.step_count += count
    return [ring.taken() for _ in batches]
