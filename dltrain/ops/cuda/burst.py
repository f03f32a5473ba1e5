"""Several steps as one graph: ahead of each, its scalars and the samples of its batch are put in place from a table of words.

The host writes the words of all of them, sends them in one piece and launches once; so a step that takes the device less time
than a launch takes the host runs at the speed of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.staging import SLOTS

if TYPE_CHECKING:
    from dltrain.ops.cuda.backend import Cuda
    from dltrain.ops.cuda.runner import Launches


class Pick(NamedTuple):
    """A field of the batch, and the table on the device that its samples are picked from."""

    to: DeviceArray
    table: DeviceArray


class Burst:
    """`count` steps of a program.  A step's words: those of each scalar, then the row of each sample, once for all fields."""

    def __init__(
        self, cuda: Cuda, segments: Sequence[Sequence[Launches]], count: int, scalars: Sequence[DeviceArray],
        picks: Sequence[Pick],
    ) -> None:  # fmt: skip
        self.cuda, self.count = cuda, count
        places = [array.address + 4 * word for array in scalars for word in range(array.nbytes // 4)]
        self.places = cuda.constant(np.array(places, np.uint64))
        self.ahead, self.rows = len(places), picks[0].to.shape[0]
        self.words = cuda.alloc(count * (self.ahead + self.rows), np.int32)
        self.pinned = [cuda.driver.pinned(self.words.nbytes) for _ in range(SLOTS)]
        self.free, self.turn = [cuda.driver.flag() for _ in range(SLOTS)], 0
        whole: list[Sequence[Kernel]] = []
        for step in range(count):
            whole += [self.begin(step, picks), *segments]
        self.graph = cuda.driver.capture(whole)

    def begin(self, step: int, picks: Sequence[Pick]) -> list[Kernel]:
        """What comes before a step."""
        cuda, at = self.cuda, step * (self.ahead + self.rows)
        head, rows = self.words[at : at + self.ahead], self.words[at + self.ahead : at + self.ahead + self.rows]
        made: list[Kernel] = [cuda.each("staging", "deal", self.ahead, head, self.places)]
        return [*made, *(cuda.staging.picking(to, table, rows) for to, table in picks)]

    def __call__(self, scalars: Sequence[Any], rows: Any) -> None:
        """One array of `count` values for each scalar, and (count, samples) rows."""
        head = [np.ascontiguousarray(values).view(np.int32).reshape(self.count, -1) for values in scalars]
        words = np.concatenate([*head, rows], axis=1, dtype=np.int32)
        driver, slot = self.cuda.driver, self.turn
        self.turn = (slot + 1) % SLOTS
        driver.wait_for(self.free[slot])
        self.pinned[slot][:] = words.reshape(-1).view(np.uint8)
        driver.hand(self.words.address, self.pinned[slot], words.nbytes)
        driver.raise_flag(self.free[slot])
        self.graph()
