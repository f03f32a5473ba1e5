"""Puts calls in order and cuts them into segments: inside one, no worker waits for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dltrain.ops.signature import Call
from dltrain.tensor import Tensor

if TYPE_CHECKING:
    from dltrain.plan.plan import Plan


MOST = 32 << 20


@dataclass(frozen=True)
class Access:
    """How workers divide a call.  batch: each does its own samples of the arguments in `own`, and reads the others whole;
    outputs: each makes its own part of the result; serial: one does it all."""

    kind: Literal["batch", "outputs", "serial"] = "serial"
    own: frozenset[str] = frozenset()
    samples: int = 0  # how many are divided, in multiples of `step`: two calls divide alike if both are equal
    step: int = 1
    bytes: int = 0  # what it writes, of a back end that would rather wait than hold much memory at once

    def part(self, name: str) -> object:
        """Equal for two calls' arguments if each worker touches the same part of both, None if that cannot be told."""
        return ("batch", self.samples, self.step) if self.kind == "batch" and name in self.own else None


def of_weights(calls: list[Call]) -> list[Call]:
    """The calls on the way back whose results nobody reads before the update."""
    return [call for call in calls if call.way == "backward" and all(tensor.home == "param_grad" for tensor in call.writes())]


def schedule(calls: list[Call]) -> list[Call]:
    """Weight gradients wait until the update: together they need one barrier."""
    late = of_weights(calls)
    update = [call for call in calls if call.way == "update"]
    waiting = set(late) | set(update)
    return [call for call in calls if call not in waiting] + late + update


@dataclass(frozen=True)
class Use:
    """Which elements of a storage a call touches, as which part of the workers, and whether it writes."""

    low: int
    high: int
    part: object
    written: bool

    def meets(self, other: Use) -> bool:
        """True where both touch an element, one writes, and the workers' parts differ (or cannot be told apart)."""
        apart = self.high <= other.low or other.high <= self.low
        alike = self.part is not None and (self.part, self.low, self.high) == (other.part, other.low, other.high)
        return not apart and (self.written or other.written) and not alike


def segment(plan: Plan) -> list[list[Call]]:
    """A barrier before each call that touches, other than sample by sample, what a call of the open segment touches.

    Tensors of one segment cannot lie where others of it lay, so a segment that has written MOST bytes ends, too.
    """
    segments: list[list[Call]] = []
    touched: dict[Tensor, list[Use]] = {}  # storage -> its uses since the last barrier
    written = 0
    for number, call in enumerate(plan.calls):
        uses = []
        for mode in ("in", "out", "add", "update"):
            for name, tensor in call.uses(mode):
                storage, low, high = plan.part(tensor)
                uses.append((storage, Use(low, high, plan.access[call].part(name), mode != "in")))
        written += plan.access[call].bytes
        fresh = not segments or number in (plan.pinned, plan.done) or written > MOST
        if fresh or any(use.meets(earlier) for storage, use in uses for earlier in touched.get(storage, ())):
            segments.append([])
            touched, written = {}, plan.access[call].bytes
        segments[-1].append(call)
        for storage, use in uses:
            touched.setdefault(storage, []).append(use)
    return segments
