"""How a GPU does what all losses share: what they divide by and their sums; and the losses over distances and regions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import BLOCK, View, view
from dltrain.ops.signature import Call
from dltrain.tensor import Tensor

LARGE = 1 << 14  # a sum of more than so many numbers is split over several blocks
PARTS = 256


def by_type(label: DeviceArray | None) -> tuple[DeviceArray | None, DeviceArray | None]:
    """A label as the two arguments that kernels have for it: integers, or real numbers."""
    if label is None:
        return None, None
    return (label, None) if label.dtype == np.int32 else (None, label)


def ignored(call: Call) -> tuple[int, int]:
    ignore = call.args["ignore"]
    return int(ignore is not None), ignore or 0


def repeats(label: DeviceArray, weight: DeviceArray | None) -> int:
    """How many places one weight is for."""
    return 1 if weight is None else max(1, label.size // weight.size)


def threads(count: int) -> int:
    """A block for a sum of so many numbers: a power of two."""
    return min(1024, max(32, 1 << (count - 1).bit_length()))


def parted(cuda: Cuda, count: int) -> tuple[int, DeviceArray | None]:
    """How many blocks share a sum, and, of several, where each leaves its part."""
    blocks = 1 if count <= LARGE else min(PARTS, -(-count // (LARGE // 4)))
    return blocks, cuda.scratch(blocks, dtype=np.float64) if blocks > 1 else None


@recipe("weigh", short="label")
def weigh(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (label, weight, z), how = memory(call, arrays, "label", "weight", "z"), call.args["normalization"]
    count = {"valid": label.size, "full": label.size, "batch_size": call.args["label"].shape[0], "none": 1}[how]
    if how == "none" or (weight is None and (how != "valid" or call.args["ignore"] is None)):
        return [cuda.each("elementwise", "fill", 1, z, count)]
    given: tuple[Any, ...] = (None, None, weight)
    per, ignore, scale = 1, (0, 0), count / (1 if weight is None else weight.size)
    if how == "valid":
        given, per, ignore, scale = (*by_type(label), weight), repeats(label, weight), ignored(call), 1.0
    size = label.size if how == "valid" else weight.size
    blocks, parts = parted(cuda, size)
    made = cuda.launch("losses", "weigh", blocks, *given, parts, z, per, *ignore, scale, size, block=threads(size))
    if parts is None:
        return [made]
    return [made, cuda.launch("losses", "join_weights", 1, parts, z, scale, blocks, block=threads(blocks))]


@recipe("weighted_mean")
def weighted_mean(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    values, z, sums, y = memory(call, arrays, "values", "z", "sums", "y")
    return mean(cuda, values, z, sums, y)


def many(call: Call) -> bool:
    """More than a loss or a few: those stay as exact as they are."""
    x: Tensor = call.args["x"]
    return x.shape.count > LARGE


@recipe("total")
@recipe("total", fits=many, short="x")  # which comes first
def total(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, sums, y = memory(call, arrays, "x", "sums", "y")
    return mean(cuda, x, None, sums, y)


def mean(cuda: Cuda, values: DeviceArray, z: DeviceArray | None, sums: DeviceArray, y: DeviceArray | None) -> list[Kernel]:
    blocks, parts = parted(cuda, values.size)
    made = cuda.launch("losses", "mean", blocks, values, z, parts, sums, y, values.size, block=threads(values.size))
    if parts is None:
        return [made]
    return [made, cuda.launch("losses", "join_mean", 1, parts, z, sums, y, blocks, block=threads(blocks))]


@recipe("place_weights")
def place_weights(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    label, weight, y = memory(call, arrays, "label", "weight", "y")
    table = cuda.constant(np.asarray(call.args["table"], np.float32)) if call.args["table"] else None
    numbers = (repeats(label, weight), len(call.args["table"]), *ignored(call))
    return [cuda.each("losses", "place_weights", y.size, label, weight, table, y, *numbers)]


# --- distances ---
def each(x: DeviceArray) -> int:
    """Numbers of a sample."""
    return prod(x.shape[1:])


@recipe("contrastive_loss", short="a b similar")
def contrastive_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    a, b, similar, weight, distance, loss = logical(call, arrays, "a", "b", "similar", "weight", "distance", "loss")
    given = (a, b, *by_type(similar), weight, distance, loss, view(a), view(b))
    numbers = (call.args["margin"], int(call.args["legacy"]), each(a))
    return [cuda.launch("losses", "contrastive_loss", len(a), *given, *numbers, block=min(BLOCK, threads(each(a))))]


@recipe("contrastive_loss_dx", short="a b similar d_distance da db")
def contrastive_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    a, b, similar = logical(call, arrays, "a", "b", "similar")
    given = logical(call, arrays, "weight", "distance", "z", "dy", "d_distance", "da", "db")
    numbers = (view(a), view(b), call.args["margin"], int(call.args["legacy"]), each(a))
    return [cuda.each("losses", "contrastive_loss_dx", a.size, a, b, *by_type(similar), *given, *numbers)]


@recipe("triplet_loss", short="a p n")
def triplet_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    a, *given = logical(call, arrays, "a", "p", "n", "weight", "near", "far", "loss")
    numbers = (view(a), call.args["margin"], int(call.args["squared"]), each(a))
    return [cuda.launch("losses", "triplet_loss", len(a), a, *given, *numbers, block=min(BLOCK, threads(each(a))))]


@recipe("triplet_loss_dx", short="a p n da dp dn")
def triplet_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    a, *given = logical(call, arrays, "a", "p", "n", "weight", "near", "far", "z", "dy", "da", "dp", "dn")
    numbers = (view(a), call.args["margin"], int(call.args["squared"]), each(a))
    return [cuda.each("losses", "triplet_loss_dx", a.size, a, *given, *numbers)]


# --- regions ---
def regions(p: DeviceArray, label: DeviceArray, axis: int) -> tuple[View, View, View, int, int]:
    """Where element i of a region (sample, class) lies; its number in p where it has a label of its own; where that lies."""
    order = [0, axis, *(other for other in range(1, p.ndim) if other != axis)]
    plain = DeviceArray(p.driver, p.address, p.shape, p.dtype)  # p as it would lie in logical order: its steps count elements
    own = view(plain, order) if label.size == p.size else View()
    return view(p, order), own, view(label), p.shape[axis], prod(p.shape) // (p.shape[0] * p.shape[axis])


@recipe("dice_loss", short="p label")
def dice_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    p, label, weight, loss = logical(call, arrays, "p", "label", "weight", "loss")
    *views, classes, size = regions(p, label, call.args["axis"])
    given = (p, *by_type(label), weight, loss, *views, classes, size, *ignored(call), call.args["smooth"])
    return [cuda.launch("losses", "dice_loss", len(p) * classes, *given, block=threads(size))]


@recipe("dice_loss_dx", short="p label dx")
def dice_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    p, label, *given = logical(call, arrays, "p", "label", "weight", "z", "dy", "dx")
    *views, classes, size = regions(p, label, call.args["axis"])
    numbers = (*views, classes, size, *ignored(call), call.args["smooth"])
    return [cuda.launch("losses", "dice_loss_dx", len(p) * classes, p, *by_type(label), *given, *numbers, block=threads(size))]
