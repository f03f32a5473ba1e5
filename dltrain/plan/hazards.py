"""Replays a finished plan symbolically, byte range by byte range, and names what would go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from dltrain.ops.signature import Call
from dltrain.plan.plan import Plan
from dltrain.tensor import Tensor

Range = tuple[int, int]
ARENA = object()  # the space that all tensors of the arena share


@dataclass
class Replay:
    """Who wrote each byte range last, and what the open segment has touched."""

    plan: Plan
    owners: dict[Range, Tensor] = field(default_factory=dict)
    touched: list[tuple[object, Range, object, bool, str]] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def write(self, where: Range, tensor: Tensor) -> None:
        """Takes the range; what lay there before is gone, the parts beside it stay."""
        for (low, high), owner in list(self.owners.items()):
            if low < where[1] and where[0] < high:
                del self.owners[low, high]
                if low < where[0]:
                    self.owners[low, where[0]] = owner
                if where[1] < high:
                    self.owners[where[1], high] = owner
        self.owners[where] = tensor

    def check_read(self, where: Range, tensor: Tensor, call: Call | str) -> None:
        """Every byte must have been written by a tensor of the same value: itself, its storage, or a part of it."""
        at = where[0]
        for (low, high), owner in sorted(self.owners.items()):
            if low <= at < high:
                if not self.same_value(owner, tensor):
                    self.found.append(f"{call}: reads {tensor}, but {owner} has overwritten it")
                    return
                at = high
            if at >= where[1]:
                return
        self.found.append(f"{call}: reads {tensor} before it is written")

    def same_value(self, owner: Tensor, tensor: Tensor) -> bool:
        """True where the one is a view of the other that moves no value (not one that took its memory over)."""
        return owner is tensor or elided(self.plan, owner) & elided(self.plan, tensor) != set()

    def check_barrier(self, space: object, where: Range, part: object, written: bool, call: Call) -> None:
        """Inside a segment two uses of a byte, one of them writing, must be one worker's: the same part of one range."""
        for other_space, other_where, other, before, name in self.touched:
            alike = part is not None and part == other and where == other_where
            if other_space is space and overlap(where, other_where) and (written or before) and not alike:
                self.found.append(f"{call}: no barrier after {name}")
                return

    def check_outputs(self, call: Call) -> None:
        """An output lies apart from every other argument, but for an input that the op gives away whole."""
        uses = [(name, tensor, mode) for mode in ("in", "out", "add", "update") for name, tensor in call.uses(mode)]
        for place, (out, tensor, mode) in enumerate(uses):
            for other, rival, _ in uses[:place] if mode != "in" else ():
                (space, where), (other_space, other_where) = memory(self.plan, tensor), memory(self.plan, rival)
                given = other in call.op.shares.get(out, ()) and where == other_where
                if space is other_space and overlap(where, other_where) and not given:
                    self.found.append(f"{call}: {out} lies over {other}")


def overlap(one: Range, other: Range) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def elided(plan: Plan, tensor: Tensor) -> set[Tensor]:
    """A tensor and all it is a mere view of; taking memory over (an in-place op) ends the chain."""
    chain = {tensor}
    while tensor in plan.views and tensor not in plan.taken:
        tensor = plan.views[tensor][0]
        chain.add(tensor)
    return chain


def hazards(plan: Plan) -> list[str]:
    """What is wrong with a plan; empty where nothing is."""
    replay = Replay(plan)
    for tensor in plan.offsets:
        where = plan.extent(tensor)
        if tensor.home == "input" and where:
            replay.write(where, tensor)
    for calls in plan.segments:
        replay.touched = []
        for call in calls:
            replay_call(replay, call)
    for tensor in plan.keep:
        where = plan.extent(tensor)
        if where is not None:
            replay.check_read(where, tensor, "the end of the run")
    return replay.found


def replay_call(replay: Replay, call: Call) -> None:
    plan, access = replay.plan, replay.plan.access[call]
    replay.check_outputs(call)
    uses = [(name, tensor, mode) for mode in ("in", "out", "add", "update") for name, tensor in call.uses(mode)]
    for name, tensor, mode in uses:
        where = plan.extent(tensor)
        if where is not None and mode != "out":
            replay.check_read(where, tensor, call)
        replay.check_barrier(*memory(plan, tensor), access.part(name), mode != "in", call)
    for name, tensor, mode in uses:
        where = plan.extent(tensor)
        replay.touched.append((*memory(plan, tensor), access.part(name), mode != "in", str(call)))
        if where is not None and mode != "in":
            replay.write(where, tensor)


def memory(plan: Plan, tensor: Tensor) -> tuple[object, Range]:
    """Where a tensor lies: bytes of the arena, or elements of an array of its own."""
    where = plan.extent(tensor)
    owner, low, high = plan.part(tensor)
    return (owner, (low, high)) if where is None else (ARENA, where)
