"""The back end itself: layouts, fusions, who divides what, and kernels bound to their arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel, Reference, Work, bind_reference
from dltrain.ops.cpu import fusion
from dltrain.ops.cpu.scratch import Scratch
from dltrain.ops.signature import Call
from dltrain.plan.segment import Access
from dltrain.tensor import Shape, Tensor

CHANNELS_LAST = (0, 2, 3, 1)
LINE = 16  # floats in a cache line
FEW = 8  # channels


@dataclass(frozen=True)
class Recipe:
    """How the CPU does an op: `bind` makes the Work; `own` are the arguments of which each worker touches its own samples."""

    bind: Callable[[Call, Arrays, Cpu], Work]
    own: frozenset[str]
    fits: Callable[[Call], bool]
    step: Callable[[Call], int]


RECIPES: dict[str, list[Recipe]] = {}


def recipe(
    name: str, own: str = "", fits: Callable[[Call], bool] = lambda call: True, step: Callable[[Call], int] = lambda call: 1
) -> Callable[[Any], Any]:
    """Registers how an op is done here; of several, the first that fits.  An op without one runs the reference, serially.

    `step`: samples are shared out in multiples of it.
    """

    def register(bind: Callable[[Call, Arrays, Cpu], Work]) -> Any:
        RECIPES.setdefault(name, []).append(Recipe(bind, frozenset(own.split()), fits, step))
        return bind

    return register


def recipe_of(call: Call) -> Recipe | None:
    return next((found for found in RECIPES.get(call.op.name, ()) if found.fits(call)), None)


class Cpu(Reference):
    """float32, `workers` threads, images channels-last in memory (weights of rank 4 too)."""

    name = "cpu"
    kernels = "numba"

    def __init__(self, workers: int = 1, strict: bool = False) -> None:
        from threadpoolctl import threadpool_limits

        from dltrain.ops.cpu import dense, embed, images, norms, recurrent  # noqa: F401  fill the recipes

        super().__init__(np.float32)
        self.workers, self.strict = workers, strict  # strict: every sum as it is defined
        self.scratches = [Scratch(self.alloc) for _ in range(workers)]
        self.parts: list[Any] = []  # what workers make apart, a piece of memory each
        self.free: list[Any] = []  # those that the open segment has not used yet
        self.limits = threadpool_limits(1, "blas")  # a worker's BLAS is its own thread's

    def close(self) -> None:
        self.limits.restore_original_limits()

    def order(self, shape: Shape) -> tuple[int, ...]:
        return CHANNELS_LAST if len(shape) == 4 else super().order(shape)

    def fuse(self, calls: list[Call], keep: set[Tensor]) -> list[Call]:
        return fusion.fuse(calls, keep)

    def access(self, call: Call) -> Access:
        found, size = recipe_of(call), sum(tensor.shape.count for tensor in call.writes()) * self.float_size
        if found is None:
            return Access(bytes=size)
        sizes = [tensor.shape[0] for name, tensor in call.uses("in", "out", "add", "update") if name in found.own]
        return Access("batch", found.own, sizes[0], found.step(call), size) if found.own else Access("outputs", bytes=size)

    def bind(self, call: Call, arrays: Arrays) -> Work:
        found = recipe_of(call)
        return found.bind(call, arrays, self) if found else Work([bind_reference(call, arrays)])

    def stage(self, to: Any, values: Any) -> None:
        """Pictures of few channels go plane by plane: NumPy would take them number by number."""
        if to.ndim == 4 and 1 < to.shape[1] <= FEW:
            for channel in range(to.shape[1]):
                to[:, channel] = values[:, channel]
        else:
            super().stage(to, values)

    # --- what workers share out ---
    def share(self, worker: int, size: int, step: int = 1) -> tuple[int, int]:
        """The part of 0 .. size that a worker does, in multiples of `step`."""
        units = -(-size // step)
        return min(units * worker // self.workers * step, size), min(units * (worker + 1) // self.workers * step, size)

    def spans(self, size: int, step: int = 1) -> list[tuple[int, int, int]]:
        """(worker, from, to) for all workers."""
        return [(worker, *self.share(worker, size, step)) for worker in range(self.workers)]

    def begin_segment(self) -> None:
        """What the workers make apart lives until the end of a segment."""
        self.free = list(self.parts)

    def apart(self, floats: int) -> Any:
        """(workers, floats): one row a worker, alive until the end of the segment."""
        width = -(-floats // LINE) * LINE
        fitting = [part for part in self.free if len(part) >= width * self.workers]
        if fitting:
            chosen = min(fitting, key=len)
            self.free = [part for part in self.free if part is not chosen]
        else:
            chosen = self.alloc(width * self.workers, np.float32)
            self.parts.append(chosen)
        return chosen[: width * self.workers].reshape(self.workers, width)[:, :floats]

    def join(self, call: Call, **made: tuple[Any, Any]) -> list[Kernel]:
        """total += the rows of parts, for each argument of the call that has (parts, total): each worker its own stretch,

        always in the order of the workers.  What is fresh in the call is written instead.
        """
        fresh = call.tags.get("fresh", ())
        sums = [(parts, total.reshape(-1), name in fresh) for name, (parts, total) in made.items() if parts is not None]

        def joined(worker: int) -> None:
            for parts, total, new in sums:
                low, high = self.share(worker, total.size, LINE)
                if new:
                    np.copyto(total[low:high], parts[0][low:high])
                for row in parts[1:] if new else parts:
                    np.add(total[low:high], row[low:high], out=total[low:high])

        return [partial(joined, worker) for worker in range(self.workers)] if sums else []
