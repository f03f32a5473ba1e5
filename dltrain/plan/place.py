"""Gives each tensor a place in the arena: lifetimes in segment time, then the lowest place that is free all that time."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from dltrain.ops.signature import Call
from dltrain.tensor import Tensor

if TYPE_CHECKING:
    from dltrain.plan.plan import Plan

ALIGN = 64  # bytes: a cache line, and the widest vector
IN_ARENA = ("arena", "input")


def share(plan: Plan) -> None:
    """Lets an output take over the memory of an input that nobody reads later, where the op says it may."""
    last: dict[Tensor, Call] = {}
    first: dict[Tensor, Call] = {}
    for call in plan.calls:
        for tensor in [*call.reads(), *call.writes()]:
            last[plan.storage(tensor)] = call
            first.setdefault(plan.storage(tensor), call)
    fixed = {plan.storage(tensor) for tensor in plan.keep}
    fixed |= {plan.storage(tensor) for call in plan.calls[: plan.pinned] for tensor in [*call.reads(), *call.writes()]}
    for call in plan.calls[plan.pinned :]:
        for out, takes in call.op.shares.items():
            y = call.args.get(out)
            if y is None:
                continue
            donor = next((x for x in donors(call, takes) if gives(plan, call, x, y, last, fixed)), None)
            if donor is None or y in plan.views or y.home != "arena" or first.get(y) is not call or y in fixed:
                continue
            plan.views[y] = (donor, 0)
            plan.taken.add(y)
            last[plan.storage(donor)] = last.get(y, call)


def donors(call: Call, names: tuple[str, ...]) -> list[Tensor]:
    values = [call.args.get(name) for name in names]
    return [tensor for value in values for tensor in (value if isinstance(value, tuple) else (value,)) if tensor is not None]


def gives(plan: Plan, call: Call, x: Tensor, y: Tensor, last: dict[Tensor, Call], fixed: set[Tensor]) -> bool:
    """True where x owns the whole of its memory, y fits it exactly, and this call is the last to touch it."""
    owner = plan.storage(x)
    if owner.home != "arena" or owner in fixed or last.get(owner) is not call:
        return False
    return x.shape == y.shape and plan.nbytes(owner) == plan.nbytes(y)


def place(plan: Plan, reuse: bool = True) -> None:
    """Fills `offsets` and `arena`.  Tensors of pinned calls lie one behind another, in the order of their first use."""
    lives = lifetimes(plan)
    before = {plan.storage(t) for call in plan.calls[: plan.pinned] for t in [*call.reads(), *call.writes()]}
    top = 0
    for tensor in lives:
        if tensor in before or not reuse:
            plan.offsets[tensor] = top
            top += round_up(plan.nbytes(tensor))
    sizes = {tensor: plan.nbytes(tensor) for tensor in lives}
    placed: list[tuple[int, int, int, int]] = []  # (from, to, first segment, last segment), in the order of memory
    for tensor in sorted((t for t in lives if t not in plan.offsets), key=lambda t: (-sizes[t], lives[t], t.name)):
        at, (born, last) = top, lives[tensor]
        for start, end, first, late in placed:
            if first <= last and born <= late:
                if start - at >= sizes[tensor]:
                    break
                at = max(at, end)
        plan.offsets[tensor] = at
        insort(placed, (at, round_up(at + sizes[tensor]), born, last))
    plan.arena = max((plan.offsets[t] + round_up(plan.nbytes(t)) for t in plan.offsets), default=0)


def lifetimes(plan: Plan) -> dict[Tensor, tuple[int, int]]:
    """The first and last segment in which each storage is needed; inputs from the start, kept ones to the end."""
    lives: dict[Tensor, tuple[int, int]] = {}
    for time, calls in enumerate(plan.segments):
        for call in calls:
            for tensor in [*call.reads(), *call.writes()]:
                owner = plan.storage(tensor)
                if owner.home in IN_ARENA:
                    born = 0 if owner.home == "input" else time
                    lives[owner] = (lives.get(owner, (born, time))[0], time)
    for tensor in plan.keep:
        owner = plan.storage(tensor)
        if owner.home in IN_ARENA:
            lives[owner] = (lives.get(owner, (0, 0))[0], len(plan.segments))
    return lives


def round_up(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
