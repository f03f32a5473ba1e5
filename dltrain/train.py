"""The loop: batches, a step, hooks.  Display, test, saving and stopping are hooks; clip, decay and rate are the solver's."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.bursts import at_once, steps
from dltrain.hooks import Hook, Sitting


def train(sitting: Sitting, hooks: Sequence[Hook]) -> str:
    """Applies updates until a hook gives a reason to end; returns it.  An iteration is an update applied.

    Where the device is faster than the loop, several go at once, up to the next that something is due after.
    """
    engine, progress = sitting.engine, sitting.progress
    solver = sitting.config.solver
    assert solver is not None
    while progress.reason is None:
        most = at_once(engine)
        count = min(most, sitting.until_due) if most > 1 else 1
        first = progress.iteration * solver.iter_size
        batches = sitting.train_batches(first, count * solver.iter_size)
        rates = [solver.rates(progress.iteration + number, sitting.horizon) for number in range(count)]
        losses = steps(engine, batches, rates) if count > 1 else [engine.step(batches, rates[0])]
        progress.iteration += count
        for hook in hooks:
            hook(sitting, losses, rates[-1]["lr"])
    return progress.reason
