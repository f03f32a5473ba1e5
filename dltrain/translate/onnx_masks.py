"""The operators of ONNX that compare and choose, in layers of ours: what is true is 1, what is not is 0."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At
from dltrain.translate.onnx_formulas import ENDLESS, LARGEST, blob, constant, extended, node, scaled, several, shifted, two
from dltrain.translate.onnx_graph import Blob, Differs, Graph, frozen
from dltrain.translate.onnx_kinds import REAL, SMALL, TRUTH, WHOLE
from dltrain.translate.onnx_moves import embedded, squeeze, tile

MIRRORED = {"Greater": "Less", "Less": "Greater", "GreaterOrEqual": "LessOrEqual", "LessOrEqual": "GreaterOrEqual"}
COMPARED = {"Equal": np.equal, "Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal,
            "LessOrEqual": np.less_equal}  # fmt: skip


# --- true or not ---
def true(net: Graph, x: Blob) -> Blob:
    """A blob whose numbers are 1 or 0."""
    net.truths += [x.part] if x.part is not None else []
    return x


@node(*MIRRORED)
def compared(net: Graph, at: At, a: Any, b: Any) -> Blob:
    """a > b, and of the others the mirror image or what is not so."""
    op = at["op"]
    if not isinstance(a, Blob):
        a, b, op = b, a, MIRRORED[op]
    if (known := looked_up(net, op, a, b)) is not None:
        return known
    if op in ("GreaterOrEqual", "LessOrEqual"):
        other: Blob = compared(net, at | {"op": "Less" if op == "GreaterOrEqual" else "Greater"}, a, b)
        return opposite(net, other)
    sign = 1.0 if op == "Greater" else -1.0
    level = 0.0
    if not isinstance(b, Blob) and constant(b, "its second input").size == 1:
        level = float(np.clip(np.reshape(b, ()), -LARGEST, LARGEST))
    else:
        a = difference(net, at, a, b)
    return true(net, net("Threshold", net("Power", blob(a), scale=sign) if sign < 0 else blob(a), threshold=sign * level))


def looked_up(net: Graph, op: str, x: Blob, level: Any) -> Blob | None:
    """A number against what says places in a table whose rows are known: what is true of each place is a table, too."""
    if isinstance(level, Blob) or x.shape.dtype != "index" or np.size(level) != 1 or np.ndim(level) > x.ndim:
        return None
    source = x
    while source.part is not None and isinstance(source.part.bottoms[0], Blob) and source.part.bottoms[0].shape.dtype == "index":
        source = source.part.bottoms[0]
    rows = net.classes.get(source.name) if source.part is None else None
    if rows is None:
        return None
    table = COMPARED[op](np.arange(rows), np.reshape(level, ())).astype(np.float32)
    return true(net, net.reshape(frozen(embedded(net, table[:, None], x, [1])), list(x.shape[1:]), x.batch))


def difference(net: Graph, at: At, a: Any, b: Any) -> Blob:
    """a - b, which is 0 only where they are equal."""
    y: Blob = two(net, at | {"op": "Sub"}, a, b)
    return y if isinstance(b, Blob) else frozen(y, a)


@node("Equal")
def equal(net: Graph, at: At, a: Any, b: Any) -> Blob:
    if not isinstance(a, Blob):
        a, b = b, a
    classes = None if isinstance(b, Blob) else np.asarray(b)
    if a.shape.dtype == "index" and a.sizes[-1:] == [1] and classes is not None and classes.shape == (classes.size,):
        places = squeeze(net, {}, a, np.array([-1]))
        if np.array_equal(classes, np.arange(classes.size)):  # a place each, as one_hot is written
            return true(net, embedded(net, np.eye(classes.size), places, [classes.size]))
    if (known := looked_up(net, "Equal", a, b)) is not None:
        return known
    return opposite(net, net("Threshold", net("AbsVal", difference(net, at, a, b))))


@node("Not")
def negated(net: Graph, at: At, x: Any) -> Blob:
    return opposite(net, blob(x))


def opposite(net: Graph, x: Blob) -> Blob:
    return true(net, net("Power", x, scale=-1.0, shift=1.0))


@node("And", "Or")
def both(net: Graph, at: At, a: Any, b: Any) -> Blob:
    like = a if isinstance(a, Blob) else b
    xs = [x if isinstance(x, Blob) else frozen(net.blob(extended(constant(x, "an input"), like), like)) for x in (a, b)]
    made: Blob = two(net, at | {"op": "Mul"}, *xs) if at["op"] == "And" else several(net, at | {"op": "Max"}, *xs)
    return true(net, made)


@node("Xor")
def one_of_two(net: Graph, at: At, a: Any, b: Any) -> Blob:
    return true(net, net("AbsVal", difference(net, at, a, b)))


@node("Sign")
def sign(net: Graph, at: At, x: Any) -> Blob:
    above, below = net("Threshold", blob(x)), net("Threshold", net("Power", x, scale=-1.0))
    return net("Eltwise", above, below, operation="sub")


@node("Cast", "CastLike")
def cast(net: Graph, at: At, x: Any, like: Any = None) -> Blob:
    """Between real numbers nothing happens, nor between whole ones; to truth, what is not 0 becomes 1."""
    given, to = (*at.get("kinds", [None]), None)[0], at.get("makes")
    if blob(x).part in net.truths:
        return x  # type: ignore[no-any-return]
    if to == TRUTH and x.shape.dtype == "float":
        return true(net, net("Threshold", net("AbsVal", x)))
    if to == SMALL and x.shape.dtype == "float":
        raise Differs("to whole numbers of 8 or 16 bits, of which larger ones go around")
    if to in (WHOLE, SMALL) and (given in (WHOLE, SMALL) or x.shape.dtype == "index"):
        return x  # type: ignore[no-any-return]
    if to != REAL or x.shape.dtype != "float":
        which = "whole numbers" if x.shape.dtype == "index" else "real numbers"
        raise Differs(f"{which} to {'real ones' if to == REAL else 'whole ones' if to == WHOLE else 'another kind'}")
    return x  # type: ignore[no-any-return]


# --- one or the other ---
@node("Where")
def where(net: Graph, at: At, c: Any, a: Any, b: Any) -> Blob:
    if not isinstance(c, Blob):
        return masked(net, constant(c, "what it chooses by").astype(bool), a, b)
    sizes = common(c, a, b)
    like = widened(net, c, sizes)
    return net("Where", like, *(chosen(net, like, x, sizes) for x in (a, b)))


def common(*xs: Any) -> list[int]:
    """The sizes that all are repeated to."""
    like = max((x for x in xs if isinstance(x, Blob)), key=lambda x: x.ndim)
    shapes = [x.sizes if isinstance(x, Blob) else extended(np.asarray(x), like).shape for x in xs]
    return list(np.broadcast_shapes(*map(tuple, shapes)))


def chosen(net: Graph, like: Blob, x: Any, sizes: list[int]) -> Blob | float:
    """One of the two, as large as what chooses, or a single number."""
    if isinstance(x, Blob):
        return widened(net, x, sizes)
    array = np.clip(constant(x, "an input").astype(np.float32), -LARGEST, LARGEST)
    return float(array.reshape(())) if array.size == 1 else widened(net, frozen(net.blob(extended(array, like), like)), sizes)


def widened(net: Graph, x: Blob, sizes: list[int]) -> Blob:
    """x repeated to sizes of the file."""
    made: Blob = tile(net, {"op": "Expand"}, x, np.array(sizes, np.int64)) if list(x.sizes) != sizes else blob(x)
    return made


def masked(net: Graph, mask: Any, a: Any, b: Any) -> Blob:
    """Where the mask is known: a where it is true, b elsewhere."""
    sizes = common(mask, a, b)
    if isinstance(a, Blob) and isinstance(b, Blob):
        parts = [frozen_product(net, widened(net, x, sizes), m) for x, m in ((a, mask), (b, ~mask))]
        return net("Eltwise", *parts, operation="sum")
    x, other, keep = (a, b, mask) if isinstance(a, Blob) else (b, a, ~mask)
    x = widened(net, blob(x), sizes)
    keep, array = np.broadcast_arrays(*(extended(c, x) for c in (keep, constant(other, "an input").astype(np.float32))))
    y = x if (np.abs(array[~keep]) >= ENDLESS).all() else frozen_product(net, x, keep)
    beyond = np.where(keep, np.float32(0), np.clip(array, -LARGEST, LARGEST))
    return frozen(shifted(net, y, beyond), y) if beyond.any() else y


def frozen_product(net: Graph, x: Blob, mask: Any) -> Blob:
    """x where the mask is true, else 0."""
    if mask.all():
        return x
    if prod(mask.shape) == 1 and mask.ndim <= x.ndim:
        return net("Power", x, scale=0.0)
    return frozen(scaled(net, x, mask.astype(np.float32)), x)


@node("Trilu")
def trilu(net: Graph, at: At, x: Any, k: Any = None) -> Blob:
    """What lies on one side of a diagonal of the last two axes."""
    if blob(x).batch > x.ndim - 3:
        raise Differs(f"a triangle of {Shape(x.shape[1:])} a sample")
    ones = np.ones(x.sizes[-2:], bool)
    return frozen_product(
        net, x, (np.triu if at.get("upper", 1) else np.tril)(ones, 0 if k is None else int(constant(k, "its k")))
    )
