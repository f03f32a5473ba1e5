"""The operators of ONNX that put the same numbers elsewhere, in layers of ours."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At, axes_of, ints, slices
from dltrain.translate.onnx_formulas import LARGEST, blob, constant, node, number
from dltrain.translate.onnx_graph import BATCH, Blob, Differs, Graph, bounded, frozen, moved
from dltrain.translate.onnx_rows import reshaped
from dltrain.translate.onnx_tables import picked

PIECES = 8  # of one blob, put together again; more are multiplied out
NEAR = 16.0  # what may be added and taken away again, and little is lost


# --- axes ---
@node("Reshape")
def reshape(net: Graph, at: At, x: Any, wanted: Any = None) -> Blob:
    sizes = ints(at["shape"] if wanted is None and "shape" in at else constant(wanted, "its shape"))
    blob(x)
    if not at.get("allowzero"):
        if any(n == 0 and place >= x.ndim for place, n in enumerate(sizes)):
            raise Differs(f"a 0 in the shape {sizes} where {Shape(x.sizes)} has no axis")
        sizes = [x.sizes[place] if n == 0 else n for place, n in enumerate(sizes)]
    return reshaped(net, x, sizes)


@node("Flatten")
def flatten(net: Graph, at: At, x: Any) -> Blob:
    """Always to two axes."""
    axis = at.get("axis", 1)
    axis = axis + blob(x).ndim if axis < 0 else axis
    return reshaped(net, x, [prod(x.sizes[:axis]), prod(x.sizes[axis:])])


@node("Squeeze")
def squeeze(net: Graph, at: At, x: Any, axes: Any = None) -> Blob:
    given = None if axes is None else constant(axes, "its axes")
    said = axes_of(at, given, blob(x).ndim) if given is not None or "axes" in at else None
    chosen = [axis for axis, size in enumerate(x.sizes) if size == 1] if said is None else said
    if any(x.sizes[axis] != 1 for axis in chosen):
        raise Differs(f"axes {chosen} of {Shape(x.sizes)} are not all of one element")
    left = [axis for axis in range(x.ndim) if axis not in chosen]
    return net.reshape(x, [x.sizes[axis] for axis in left if axis != x.batch], left.index(x.batch))


@node("Unsqueeze")
def unsqueeze(net: Graph, at: At, x: Any, axes: Any = None) -> Blob:
    given = ints(at["axes"]) if axes is None and "axes" in at else ints(constant(axes, "its axes"))
    chosen = axes_of({}, given, blob(x).ndim + len(given))
    old = iter(range(x.ndim))
    made = [None if axis in chosen else next(old) for axis in range(x.ndim + len(given))]
    sizes = [1 if axis is None else x.sizes[axis] for axis in made if axis != x.batch]
    return net.reshape(x, sizes, made.index(x.batch))


@node("Transpose")
def transpose(net: Graph, at: At, x: Any) -> Blob:
    order = at.get("perm", list(range(blob(x).ndim))[::-1])
    if sorted(order) != list(range(x.ndim)):
        raise Differs(f"perm {order} of a tensor with {x.ndim} axes")
    return net.permute(x, [0, *(x.axis(axis) for axis in order if axis != x.batch)], order.index(x.batch))


# --- together and apart ---
@node("Concat")
def concat(net: Graph, at: At, *xs: Any) -> Blob:
    like = next(x for x in xs if isinstance(x, Blob))
    blobs = [blob(x) if isinstance(x, Blob) else net.blob(constant(x, "an input"), like) for x in xs]
    if len({(x.batch, x.ndim) for x in blobs}) > 1:
        raise Differs("the batches of its inputs do not meet")
    return net("Concat", *blobs, axis=like.axis(at.get("axis", 1))) if len(blobs) > 1 else blobs[0]


@node("Split")
def split(net: Graph, at: At, x: Any, sizes: Any = None) -> list[Blob]:
    axis, pieces = blob(x).axis(at.get("axis", 0)), at["outputs"]
    each = -(-x.shape[axis] // pieces)
    given = ints(at.get("split", [each] * (pieces - 1) + [x.shape[axis] - each * (pieces - 1)]) if sizes is None
                 else constant(sizes, "its sizes"))  # fmt: skip
    if len(given) != pieces or sum(given) != x.shape[axis] or min(given) < 1:
        raise Differs(f"pieces of {given} along {x.shape[axis]}")
    if pieces == 1:
        return [x]
    return net.tops("Slice", x, axis=axis, slice_point=list(accumulate(given))[:-1])


@node("Slice")
def cut(net: Graph, at: At, x: Any, *rest: Any) -> Blob:
    given = tuple(None if value is None else constant(value, "where it cuts") for value in rest)
    for axis, part in enumerate(slices(at, given, blob(x).sizes)):
        low, high, step = part.indices(x.sizes[axis])
        if (low, high, step) == (0, x.sizes[axis], 1) or (axis == x.batch and part.start in (None, 0) and step == 1
                                                          and (part.stop or 0) >= (net.fixed or BATCH)):  # fmt: skip
            continue
        places = list(range(low, high, step))
        if not places:
            raise Differs(f"from {low} to {high} by {step} along axis {axis}")
        ours = x.axis(axis)
        x = net.cut(x, ours, low, high) if step == 1 else thinned(net, x, ours, places)
    return x  # type: ignore[no-any-return]


def thinned(net: Graph, x: Blob, axis: int, places: list[int]) -> Blob:
    """Some places of an axis of ours, neighbours in one piece; every other one as one of two columns; else by a matrix."""
    size, step = x.shape[axis], places[1] - places[0] if len(places) > 1 else 0
    if step > 1 and size % step == 0 and places == list(range(places[0], size, step)) and places[0] < step:
        before, behind = x.shape[1:axis], x.shape[axis + 1 :]
        columns = net.reshape(moved(x, 0), [*before, size // step, step, *behind], 0)
        chosen = net.cut(columns, axis + 1, places[0], places[0] + 1)
        return moved(net.reshape(chosen, [*before, size // step, *behind], 0), x.batch)
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    if len(runs) > PIECES:
        return picked(net, x, axis, places)
    pieces = [net.cut(x, axis, low, high) for low, high in runs]
    return net("Concat", *pieces, axis=axis) if len(pieces) > 1 else pieces[0]


@node("Gather")
def gather(net: Graph, at: At, data: Any, index: Any) -> Blob:
    if isinstance(data, Blob):
        places = constant(index, "its index")
        axis = blob(data).axis(at.get("axis", 0))
        size = data.shape[axis]
        chosen = [int(place) + size if place < 0 else int(place) for place in places.reshape(-1)]
        if not chosen or not all(0 <= place < size for place in chosen):
            raise Differs(f"places {chosen[:8]} of an axis of {size}")
        y = thinned(net, data, axis, chosen)
        inner = [*data.shape[1:axis], *places.shape, *data.shape[axis + 1 :]]
        behind = at.get("axis", 0) % data.ndim < data.batch
        return net.reshape(y, inner, data.batch + (places.ndim - 1) * behind)
    table = constant(data, "its data")
    if at.get("axis", 0) % max(table.ndim, 1):
        raise Differs("takes places of a constant along another axis than the first")
    return embedded(net, table.reshape(len(table), -1), blob(index), list(table.shape[1:]))


def embedded(net: Graph, table: Any, index: Blob, each: list[int]) -> Blob:
    """A row of the table for each number."""
    rows, width = table.shape
    y = net("Embed", index, params={"weight": table}, input_dim=rows, num_output=width, bias_term=False)
    if index.part is None:
        net.classes[index.name] = rows
    return y if len(each) == 1 else net.reshape(y, [*index.shape[1:], *each], index.batch)


@node("OneHot")
def one_hot(net: Graph, at: At, index: Any, depth: Any, values: Any) -> Blob:
    size, levels = int(number(depth, "its depth")), constant(values, "its values").reshape(-1)
    if not 0 < size <= 1 << 12 or len(levels) != 2:
        raise Differs(f"a depth of {size}")
    y = embedded(net, levels[0] + (levels[1] - levels[0]) * np.eye(size), blob(index), [size])
    axis = at.get("axis", -1) % y.ndim
    order = [*range(axis), y.ndim - 1, *range(axis, y.ndim - 1)]
    made: Blob = transpose(net, {"perm": order}, y)
    return made


# --- more of the same ---
@node("Tile", "Expand")
def tile(net: Graph, at: At, x: Any, sizes: Any) -> Blob:
    x, wanted = blob(x), ints(constant(sizes, "its sizes"))
    wanted = [1] * (x.ndim - len(wanted)) + wanted
    more = len(wanted) - x.ndim
    y = net.reshape(x, [1] * more + list(x.shape[1:]), x.batch + more) if more else x
    for axis, size in enumerate(wanted):
        if axis == y.batch:
            if size not in (1, BATCH, net.fixed) or (at["op"] == "Tile" and size != 1):
                raise Differs(f"repeats the samples of a batch {size} times")
            continue
        ours = y.axis(axis)
        times = size if at["op"] == "Tile" or y.shape[ours] == 1 else 1
        if at["op"] == "Expand" and size not in (1, y.shape[ours]) and y.shape[ours] != 1:
            raise Differs(f"{y.shape[ours]} places cannot become {size}")
        y = net("Tile", y, axis=ours, tiles=times) if times != 1 else y
    return y


@node("Pad")
def pad(net: Graph, at: At, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Blob:
    """Pads below 0 cut."""
    given = ints(at.get("pads", at.get("paddings", [])) if pads is None else constant(pads, "its pads"))
    chosen, half = axes_of({}, None if axes is None else constant(axes, "its axes"), blob(x).ndim), len(given) // 2
    if len(given) != 2 * len(chosen):
        raise Differs(f"{len(given)} pads for {len(chosen)} axes")
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, low, high in zip(chosen, given[:half], given[half:]):
        if low or high:
            before[x.axis(axis)], after[x.axis(axis)] = low, high
    for axis in range(1, x.ndim):
        low, high = max(-before[axis], 0), x.shape[axis] - max(-after[axis], 0)
        x = net.cut(x, axis, low, high) if (low, high) != (0, x.shape[axis]) else x
        before[axis], after[axis] = max(before[axis], 0), max(after[axis], 0)
    if at.get("mode") == "wrap":
        return wrapped(net, x, before, after)
    level = float(at.get("value", 0.0)) if value is None else number(value, "its value")
    return padded(net, x, before, after, at.get("mode", "constant"), level) if any(before + after) else x


def wrapped(net: Graph, x: Blob, before: list[int], after: list[int]) -> Blob:
    """What leaves on one side comes in on the other."""
    for axis in range(1, x.ndim):
        n = x.shape[axis]
        if max(before[axis], after[axis]) > n:
            raise Differs(f"goes around {n} places more than once")
        pieces = [net.cut(x, axis, n - before[axis], n)] * (before[axis] > 0) + [x]
        pieces += [net.cut(x, axis, 0, after[axis])] * (after[axis] > 0)
        x = net("Concat", *pieces, axis=axis) if len(pieces) > 1 else x
    return x


def padded(net: Graph, x: Blob, before: list[int], after: list[int], how: str, level: float) -> Blob:
    """Ours pads with 0: another number is shifted there, or, where it is large, added to every place by its own term."""
    mode = {"constant": "zero", "reflect": "reflect", "edge": "edge"}.get(how)
    if mode is None or np.isnan(level):
        raise Differs(f"mode {how} with {level:g}")
    first = next(axis for axis in range(1, x.ndim) if before[axis] or after[axis])
    first = 2 if first > 1 else 1
    keys: dict[str, Any] = {"pad": before[first:], "mode": mode, "axis": first}
    if before != after:
        keys["pad_after"] = after[first:]
    shift = level if mode == "zero" else 0.0
    if abs(shift) > NEAR:
        return framed(net, net("Pad", x, **keys), first, [(low, low + n) for low, n in zip(before, x.shape)], shift)
    y = net("Pad", net("Power", x, shift=-shift) if shift else x, **keys)
    return net("Power", y, shift=shift) if shift else y


def framed(net: Graph, y: Blob, first: int, inner: list[tuple[int, int]], level: float) -> Blob:
    """y with a number added outside of what was there before, which does not learn."""
    bounded(prod(y.shape[first:]))
    table = np.full(y.shape[first:], np.clip(level, -LARGEST, LARGEST))
    table[tuple(slice(low, high) for low, high in inner[first:])] = 0
    return frozen(net("Bias", y, params={"bias": table}, axis=first, num_axes=table.ndim))
