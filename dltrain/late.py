"""Losses that are read later: where a device works on while the loop goes on, they wait in a ring on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dltrain.ops.signature import Tracer
from dltrain.tensor import Shape, Tensor

if TYPE_CHECKING:
    from dltrain.engine import Engine

ROWS = 256  # steps that may be under way, or unread


class Losses(Mapping[str, float]):
    """The losses of one step; looking at one of them waits for it."""

    def __init__(self, ring: Ring, names: tuple[str, ...]) -> None:
        self.ring, self.names = ring, names
        self.values_read: tuple[float, ...] | None = None

    def __getitem__(self, name: str) -> float:
        if self.values_read is None:
            self.ring.settle()
        assert self.values_read is not None
        return self.values_read[self.names.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Ring:
    """A row for each step, by turns: its losses, then 1 once a step has failed.  Read in one piece, at the latest when full."""

    def __init__(self, engine: Engine, names: tuple[str, ...]) -> None:
        self.engine, self.names = engine, names
        self.table = Tensor("losses kept", Shape((ROWS, len(names) + 1)), "scalar")
        self.at = Tensor("steps kept", Shape((1,), "index"), "scalar")
        self.waiting: list[Losses] = []
        self.steps = 0
        self.failed: int | None = None  # the step that failed first, counted from 0

    def emit(self, ops: Tracer, losses: tuple[Tensor, ...], failed: Tensor) -> None:
        ops.keep_losses(losses, failed, self.table, self.at)

    def make_room(self, steps: int) -> None:
        """Before so many steps are launched."""
        if len(self.waiting) + steps >= ROWS:
            self.settle()

    def taken(self) -> Losses:
        """After a step has been launched: what it will have lost.  The next one may be launched before anybody reads."""
        self.make_room(1)
        self.waiting.append(Losses(self, self.names))
        self.steps += 1
        return self.waiting[-1]

    def settle(self) -> None:
        """Waits for all steps that were launched, and reads what they have left."""
        if not self.waiting:
            return
        rows: Any = np.asarray(self.engine.memory.memory(self.table))
        first = self.steps - len(self.waiting)
        for number, losses in enumerate(self.waiting, first):
            row = rows[number % ROWS]
            losses.values_read = tuple(float(value) for value in row[:-1])
            if row[-1] and self.failed is None:
                self.failed = number
        self.waiting = []

    def reset(self) -> None:
        self.waiting, self.steps, self.failed = [], 0, None
        self.engine.memory.memory(self.at)[...] = 0
