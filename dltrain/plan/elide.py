"""Removes calls that only move values, where looking into the other tensor's memory will do."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from dltrain.ops.signature import Call
from dltrain.tensor import Shape, Tensor

if TYPE_CHECKING:
    from dltrain.plan.plan import Plan

Order = Callable[[Shape], tuple[int, ...]]


def elide(plan: Plan, order: Order) -> None:
    """Turns copy, reshape, one-term sums, cut and concat into views, in the order of the calls."""
    writers = {tensor: call for call in plan.calls for tensor in call.writes()}
    readers: dict[Tensor, int] = {}
    for call in plan.calls:
        for tensor in call.reads():
            readers[tensor] = readers.get(tensor, 0) + 1
    kept: list[Call] = []
    pinned, done = plan.pinned, plan.done
    for number, call in enumerate(plan.calls):
        views = view_of(call, order, writers, readers, plan)
        plan.views.update(views)
        if not views:
            kept.append(call)
        pinned -= bool(views) and number < plan.pinned
        done -= bool(views) and number < plan.done
    plan.calls, plan.pinned, plan.done = kept, pinned, done


def view_of(
    call: Call, order: Order, writers: dict[Tensor, Call], readers: dict[Tensor, int], plan: Plan
) -> dict[Tensor, tuple[Tensor, int]]:
    """The views that make the call unnecessary, if there are such: tensor -> (its new storage, offset in elements)."""
    args, y = call.args, call.args.get("y")
    sources = [tensor for _, tensor in call.uses("in")]
    if y is None or y.home != "arena" or any(x.dtype != y.dtype for x in sources):
        return {}
    match call.op.name:
        case "copy":
            return {y: (args["x"], 0)}
        case "reshape" if same_memory(args["x"].shape, y.shape, order):
            return {y: (args["x"], 0)}
        case "weighted_sum" if len(args["xs"]) == 1 and args["weights"][0] == 1.0 and args["xs"][0].shape == y.shape:
            return {y: (args["xs"][0], 0)}
        case "cut" if outermost(args["x"].shape, args["axis"], order):
            return {y: (args["x"], args["start"] * inner(args["x"].shape, args["axis"], order))}
        case "concat" if outermost(y.shape, args["axis"], order):
            return joined(call, order, writers, readers, plan)
    return {}


def joined(
    call: Call, order: Order, writers: dict[Tensor, Call], readers: dict[Tensor, int], plan: Plan
) -> dict[Tensor, tuple[Tensor, int]]:
    """A concat whose parts can be written straight to their places: each made by a call, none looked at twice."""
    xs, y, axis = call.args["xs"], call.args["y"], call.args["axis"]
    viewed = {owner for owner, _ in plan.views.values()}
    fit = all(x in writers and x not in plan.views and x not in viewed and x.home == "arena" and x not in plan.keep for x in xs)
    if not fit or len(set(xs)) < len(xs) or plan.pinned:
        return {}
    step, at, views = inner(y.shape, axis, order), 0, {}
    for x in xs:
        views[x] = (y, at * step)
        at += x.shape[axis]
    return views


def steps(shape: Shape, order: Order) -> list[tuple[int, int]]:
    """(logical axis, size) from the outermost in memory to the innermost, 1-axes left out."""
    return [(axis, shape[axis]) for axis in order(shape) if shape[axis] != 1]


def same_memory(x: Shape, y: Shape, order: Order) -> bool:
    """True where both shapes lie in memory in the order of their logical index."""
    return all(axes == sorted(axes) for axes in ([axis for axis, _ in steps(shape, order)] for shape in (x, y)))


def outermost(shape: Shape, axis: int, order: Order) -> bool:
    """True where nothing but 1-axes lies outside this axis in memory."""
    found = steps(shape, order)
    return shape[axis] == 1 or found[0][0] == axis


def inner(shape: Shape, axis: int, order: Order) -> int:
    """How many elements lie inside one step of an axis."""
    axes = list(order(shape))
    return prod(shape[other] for other in axes[axes.index(axis) + 1 :])
