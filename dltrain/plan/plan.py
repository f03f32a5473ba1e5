"""The plan of one graph: the final calls, the segments between barriers, and a place in the arena for each tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from dltrain.ops.signature import Call
from dltrain.plan.elide import elide
from dltrain.plan.place import place, share
from dltrain.plan.segment import Access, segment
from dltrain.tensor import DType, Shape, Tensor

SIZES: dict[DType, int] = {"index": 4, "double": 8, "byte": 1}


class Backend(Protocol):
    """What planning must know of a back end."""

    float_size: int  # bytes

    def order(self, shape: Shape) -> tuple[int, ...]: ...
    def fuse(self, calls: list[Call], keep: set[Tensor]) -> list[Call]: ...
    def schedule(self, calls: list[Call]) -> list[Call]: ...
    def access(self, call: Call) -> Access: ...
    def short(self, plan: Plan) -> set[Tensor]: ...


@dataclass
class Plan:
    """Calls in segments.  `views` maps a tensor to the tensor whose memory it looks into, and where (in elements)."""

    calls: list[Call]
    keep: set[Tensor]
    float_size: int
    pinned: int = 0  # the first calls belong to graphs before a cut: their tensors keep their places
    done: int = 0  # the first calls have been run already, by the graphs before
    views: dict[Tensor, tuple[Tensor, int]] = field(default_factory=dict)
    taken: set[Tensor] = field(default_factory=set)  # views that overwrite what they look into (in-place ops)
    short: set[Tensor] = field(default_factory=set)  # owners of memory whose numbers take two bytes
    segments: list[list[Call]] = field(default_factory=list)
    access: dict[Call, Access] = field(default_factory=dict)
    offsets: dict[Tensor, int] = field(default_factory=dict)  # bytes, of the tensors that own memory
    arena: int = 0  # bytes

    def within(self, tensor: Tensor) -> tuple[Tensor, int]:
        """The tensor that owns the memory which this one looks into, and where in it this begins, in elements."""
        at = 0
        while (step := self.views.get(tensor) or tensor.within) is not None:
            tensor, at = step[0], at + step[1]
        return tensor, at

    def storage(self, tensor: Tensor) -> Tensor:
        return self.within(tensor)[0]

    def start(self, tensor: Tensor) -> int:
        return self.within(tensor)[1]

    def part(self, tensor: Tensor) -> tuple[Tensor, int, int]:
        """Which elements of which storage a tensor is."""
        owner, at = self.within(tensor)
        return owner, at, at + tensor.shape.count

    def is_short(self, tensor: Tensor) -> bool:
        return self.storage(tensor) in self.short

    def itemsize(self, tensor: Tensor) -> int:
        """Bytes of an element."""
        return 2 if self.is_short(tensor) else SIZES.get(tensor.dtype, self.float_size)

    def nbytes(self, tensor: Tensor) -> int:
        return tensor.shape.count * self.itemsize(tensor)

    def extent(self, tensor: Tensor) -> tuple[int, int] | None:
        """The bytes of the arena that a tensor takes; None for one that lives elsewhere."""
        owner = self.storage(tensor)
        if owner not in self.offsets:
            return None
        first = self.offsets[owner] + self.start(tensor) * self.itemsize(tensor)
        return first, first + self.nbytes(tensor)

    @property
    def to_run(self) -> list[list[Call]]:
        """The segments that no graph before a cut has run."""
        ran = set(self.calls[: self.done])
        return [calls for calls in self.segments if calls[0] not in ran]

    @property
    def flops(self) -> int:
        return sum(call.op.flops(call.args) for call in self.calls)

    @property
    def fingerprint(self) -> str:
        """Equal for plans that do the same calls in the same order at the same places."""
        places = sorted((tensor.name, offset) for tensor, offset in self.offsets.items())
        return sha256(f"{self}{places}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        lines = [f"{len(self.calls)} calls in {len(self.segments)} segments, arena {self.arena:,} bytes"]
        for number, calls in enumerate(self.segments):
            lines += [f"{number:3d} {self.access[call].kind:7s} {call}" for call in calls]
        return "\n".join(lines)


def make_plan(
    calls: Iterable[Call], backend: Backend, keep: Iterable[Tensor] = (), done: int = 0, pinned: int = 0, fast: bool = True
) -> Plan:
    """A plan for `calls`; with fast=False nothing is fused, moved or overwritten (to look at every value)."""
    calls = list(calls)
    plan = Plan(calls, set(keep), backend.float_size, pinned, done)
    elide(plan, backend.order)
    before, after = plan.calls[: plan.pinned], plan.calls[plan.pinned :]
    if fast:
        below = {tensor for call in before for tensor in call.writes()}
        looked_into = set(plan.views) | {owner for owner, _ in plan.views.values()}  # read under another name, too
        after = backend.schedule(backend.fuse(after, plan.keep | below | looked_into))
    plan.calls = before + after
    plan.access = {call: backend.access(call) for call in plan.calls}
    plan.short = backend.short(plan)
    if fast:
        share(plan)
    plan.segments = segment(plan)
    place(plan, reuse=fast)
    return plan
