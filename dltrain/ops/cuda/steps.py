"""A part of a recurrent net on a GPU: its steps, its states, what lies where, and the gradients of its weights.

Notes, marks and states lie in the order of the part's steps; what comes from other parts or goes to them, in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.dense import column_sums, gemm

FEW = 512  # units, up to which a step is one launch

Weights = dict[str, DeviceArray]
States = list[DeviceArray]


class Rows(NamedTuple):
    """Where units of all times and samples are: a flat array, and how far times and samples lie apart in it."""

    array: DeviceArray
    step: int
    row: int

    def at(self, time: int) -> DeviceArray:
        found: DeviceArray = self.array[time * self.step :]
        return found


class Room:
    """Scratch memory of one call: its launches follow one another, so that what is done with may be used again."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.top = cuda, 0

    @contextmanager
    def again(self) -> Iterator[None]:
        """What is taken inside may be taken again afterwards."""
        top = self.cuda.scratch_top
        yield
        self.top = max(self.top, self.cuda.scratch_top)
        self.cuda.scratch_top = top

    def close(self) -> None:
        """From here on other calls take memory, which may run beside this one."""
        self.cuda.scratch_top = max(self.top, self.cuda.scratch_top)


def turned(w: DeviceArray) -> DeviceArray:
    return w.transpose((1, 0))


@dataclass
class Part:
    """One level in one direction; `keep` and `live` (steps, samples), None where they are 1."""

    room: Room
    kind: str
    weights: Weights
    steps: int
    samples: int
    units: int
    backwards: bool
    keep: DeviceArray | None = None
    live: DeviceArray | None = None

    def scratch(self, *sizes: int) -> DeviceArray:
        return self.room.cuda.scratch(*sizes)

    def gemm(self, *operands: Any, **how: Any) -> list[Kernel]:
        with self.room.again():
            return gemm(self.room.cuda, *operands, **how)

    def time(self, step: int) -> int:
        return self.steps - 1 - step if self.backwards else step

    def at(self, array: DeviceArray | None, step: int) -> Any:
        """One of the steps (times) of an array: (samples, width), or a mark a sample; None where there is none."""
        if array is None or step == len(array):
            return None  # nothing marks what comes after the last step
        size = array.size // len(array)
        made = array.reshape(-1)[step * size : (step + 1) * size]
        return made if array.ndim == 2 else made.reshape(self.samples, -1)

    def marks(self, step: int) -> tuple[Any, Any]:
        return self.at(self.keep, step), self.at(self.live, step)

    def marks_back(self, step: int) -> tuple[Any, Any, Any]:
        return self.at(self.keep, step), self.at(self.keep, step + 1), self.at(self.live, step)

    def track(self, note: DeviceArray | None) -> States:
        """The states before the first step and after each; without a note, two in turn."""
        if note is not None:
            return [self.at(note, step) for step in range(self.steps + 1)]
        pair = [self.scratch(self.samples, self.units) for _ in range(2)]
        return [pair[step % 2] for step in range(self.steps + 1)]

    def each(self, name: str, *args: Any) -> Kernel:
        """A kernel over the samples and units of a step."""
        return self.room.cuda.each("gates", name, self.samples * self.units, *args, self.units)

    def together(self, *operands: DeviceArray) -> bool:
        """Whether a step is one launch: where the blocks that make it are few, and each has little to read."""
        blocks = -(-self.units // 8) * -(-self.samples // 32)
        fits = self.units % 4 == 0 and all(each.address % 16 == 0 for each in operands)
        return fits and self.units <= FEW and blocks <= 2 * self.room.cuda.driver.processors

    def at_once(self, name: str, *args: Any) -> list[Kernel]:
        """A step with its product."""
        grid = -(-self.units // 8), -(-self.samples // 32)
        return [self.room.cuda.launch("steps", name, grid, *args, self.units, self.samples)]

    def step(self, name: str, h: DeviceArray, w: DeviceArray, *args: Any) -> list[Kernel]:
        """The product of a state with W_h, and what follows it."""
        if self.together(h, w):
            return self.at_once(f"{name}_step", w, *args)
        with self.room.again():
            p = self.scratch(self.samples, len(w))
            return [*self.gemm(h, turned(w), p), self.each(name, p, *args)]

    def step_back(self, name: str, d: DeviceArray | None, w: DeviceArray, dh: DeviceArray, *args: Any) -> list[Kernel]:
        """The product of the step after, by whose gradient dh grows, and the step back; d is None at the end."""
        if d is None:
            return [self.each(f"{name}_back", *args)]
        if self.together(d, w):
            return self.at_once(f"{name}_step_back", w, d, *args)
        return [*self.gemm(d, w, dh, add=True), self.each(f"{name}_back", *args)]

    def whole(self, name: str, *args: Any) -> Kernel:
        """A kernel over the samples and units of all steps."""
        more = int(self.backwards), self.steps, self.samples, self.units
        return self.room.cuda.each("recurrent", name, self.steps * self.samples * self.units, *args, *more)

    def marked(self, x: DeviceArray, marks: DeviceArray | None, y: Rows, row: int) -> Kernel:
        """y = marks x, from the order of steps to that of time; `row`: how far samples of x lie apart."""
        return self.whole("marked", x, marks, y.array, row, y.step, y.row)

    # --- gradients of weights, over all steps ---
    def in_time(self, x: DeviceArray, marks: DeviceArray | None, row: int) -> tuple[list[Kernel], DeviceArray]:
        """marks x with one row a time and sample."""
        sizes = self.steps * self.samples, self.units
        if marks is None and not self.backwards and row == self.units:
            return [], x.reshape(-1)[: prod(sizes)].reshape(sizes)
        to = self.scratch(*sizes)
        return [self.marked(x, marks, Rows(to.reshape(-1), self.samples * self.units, self.units), row)], to

    def seen(self, hs: DeviceArray) -> tuple[list[Kernel], DeviceArray]:
        """The states before each step, as its product sees them."""
        return self.in_time(hs, self.keep, self.units)

    def learn(self, d: DeviceArray, read: DeviceArray | None, dw: Any, db: Any) -> list[Kernel]:
        """dw += d' read, db += the sum of d, as far as they are wanted."""
        d = d.reshape(-1, d.shape[-1])
        if dw is not None:
            return self.gemm(turned(d), read, dw, add=True, totals=db)
        return [] if db is None else column_sums(self.room.cuda, d, db)
