"""Which layer made the first number that is not finite."""

from __future__ import annotations

import numpy as np

from dltrain.engine import Batch, Engine
from dltrain.feed import Feed
from dltrain.memory import Bound
from dltrain.progress import Progress


def first_bad_layer(engine: Engine, feed: Feed, progress: Progress) -> str:
    """Runs the failed iteration again, call by call, nothing fused or overwritten, and looks at every result.

    The update has not moved the parameters, so they are still the ones that failed.
    """
    size = engine.solver.iter_size if engine.solver else 1
    for number in range((progress.iteration - 1) * size, progress.iteration * size):
        engine.memory.memory(engine.net.store.g)[...] = 0
        engine.step_count = number
        batch = feed.train_batch_now(number)
        bad = [field for field, x in batch.items() if not np.isfinite(x).all()]
        if bad:
            return f"the data themselves are not finite: field '{bad[0]}' of batch {number}"
        found = replay(engine, batch)
        if found:
            return found
    return largest_gradient(engine)


def largest_gradient(engine: Engine) -> str:
    """All values are finite, only their squares are not: the parameter whose gradient reaches farthest."""
    parts = [part for part in engine.net.store.segments.values() if part.handle.grad is not None]
    reach = {part: float(np.abs(engine.memory.logical(part.handle.grad)).max()) for part in parts if part.handle.grad is not None}
    worst = max(reach, key=lambda part: reach[part])
    return f"layer '{worst.layer}': the gradient of its {worst.role} reaches {reach[worst]:.2g}, too large to be squared"


def replay(engine: Engine, batch: Batch) -> str:
    sizes = engine.net.sizes(batch)
    graph = engine.net.graph("train", sizes, "train")
    plan = engine.plan_of(graph, fast=False)
    engine.memory.reserve(plan.arena)
    engine.programs.clear()
    engine.fill(graph, plan, batch)
    arrays = Bound(engine.memory, plan)
    bad = next(
        (part for part in engine.net.store.segments.values() if not np.isfinite(engine.memory.logical(part.handle.data)).all()),
        None,
    )
    if bad is not None:
        return f"the parameter {bad.name} is not finite"
    with np.errstate(all="ignore"):
        for calls in plan.to_run:
            for call in calls:
                engine.backend.replay(call, arrays)
                for tensor in call.writes():
                    if tensor.dtype in ("float", "double") and not np.isfinite(arrays.logical(tensor)).all():
                        where = f"on its way {call.way} ({call.op.name})"
                        return f"layer '{call.layer}' makes the first value that is not finite, {where}"
    return ""
