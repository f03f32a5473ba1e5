"""The loop: batches, a step, hooks.  Display, test, saving and stopping are hooks; clip, decay and rate are the solver's."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.hooks import Hook, Sitting


def train(sitting: Sitting, hooks: Sequence[Hook]) -> str:
    """Applies updates until a hook gives a reason to end; returns it.  An iteration is an update applied."""
    engine, progress = sitting.engine, sitting.progress
    solver = sitting.config.solver
    assert solver is not None
    while progress.reason is None:
        first = progress.iteration * solver.iter_size
        batches = [sitting.train_batch(number) for number in range(first, first + solver.iter_size)]
        rates = solver.rates(progress.iteration, sitting.horizon)
        losses = engine.step(batches, rates)
        progress.iteration += 1
        for hook in hooks:
            hook(sitting, losses, rates["lr"])
    return progress.reason
