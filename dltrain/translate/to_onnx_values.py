"""What moves, joins and multiplies values, as nodes of ONNX: each function has the arguments of the op that it writes."""

from __future__ import annotations

from typing import Any

from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Fixed, Sheet, Unsayable, says

NATIVE = ("weighted_sum", "product", "maximum", "minimum", "elementwise")  # repeat by themselves along axes of size 1


# --- the same numbers elsewhere ---
@says("copy")
def copy(s: Sheet, x: Tensor, y: Tensor) -> None:
    """What is left of a Dropout is told as such, for whoever trains on; an Input without a bottom is an input."""
    layer: Any = s.layer
    if layer.type == "Input" and x.home == "state":
        s.names[y], s.inputs[y.name] = y.name, s.typed(y)
    elif layer.type == "Dropout":
        s.node("Dropout", [x, s.number(layer.dropout_ratio)], y)
    else:
        s.node("Identity", [x], y)


@says("reshape")
def reshape(s: Sheet, x: Tensor, y: Tensor) -> None:
    if len(y.shape) == 2 and y.shape[0] == x.shape[0] and len(x.shape) > 1 and s.is_free(y)[0] == s.is_free(x)[0]:
        s.node("Flatten", [x], y, axis=1)
        return
    copied = [a == b and fa and fb for a, b, fa, fb in zip(x.shape, y.shape, s.is_free(x), s.is_free(y))]
    copied += [False] * (len(y.shape) - len(copied))
    sizes = [0 if own else -1 if free else n for n, free, own in zip(y.shape, s.is_free(y), copied)]
    if sizes.count(-1) > 1:
        raise Fixed(f"the shape of {y.name}")
    s.shaped(x, sizes, y)


@says("concat")
def concat(s: Sheet, xs: tuple[Tensor, ...], y: Tensor, axis: int) -> None:
    s.node("Concat", xs, y, axis=axis)


@says("cut")
def cut(s: Sheet, x: Tensor, y: Tensor, axis: int, start: int) -> None:
    if s.is_free(y)[axis]:
        raise Fixed(f"what {y.name} is cut from")
    s.sliced(x, axis, start, start + y.shape[axis], y)


@says("crop")
def crop(s: Sheet, x: Tensor, y: Tensor, starts: tuple[int, ...]) -> None:
    axes = [axis for axis, (m, n) in enumerate(zip(x.shape, y.shape)) if m != n]
    if any(s.is_free(x)[axis] or s.is_free(y)[axis] for axis in axes):
        raise Fixed(f"what {y.name} is cut from")
    first = [starts[axis] for axis in axes]
    last = [starts[axis] + y.shape[axis] for axis in axes]
    if axes:
        s.node("Slice", [x, s.ints(first), s.ints(last), s.ints(axes)], y)
    else:
        s.node("Identity", [x], y)


@says("pad")
def pad(s: Sheet, x: Tensor, y: Tensor, before: tuple[int, ...], mode: str) -> None:
    after = [m - n - p for m, n, p in zip(y.shape, x.shape, before)]
    s.node("Pad", [x, s.ints([*before, *after])], y, mode={"zero": "constant"}.get(mode, mode))


@says("permute")
def permute(s: Sheet, x: Tensor, y: Tensor, order: tuple[int, ...]) -> None:
    s.turned(x, order, y)


@says("tile")
def tile(s: Sheet, x: Tensor, y: Tensor, axis: int, tiles: int) -> None:
    s.node("Tile", [x, s.ints([tiles if at == axis else 1 for at in range(len(x.shape))])], y)


@says("broadcast")
def broadcast(s: Sheet, x: Tensor, y: Tensor) -> None:
    if not s.is_blob(y) and all(call.op.name in NATIVE for call in s.readers.get(y, ())):
        s.alias(y, x)
    else:
        s.node("Expand", [x, s.shape_of(y)], y)


@says("fill")
def fill(s: Sheet, y: Tensor, value: float) -> None:
    import numpy as np

    made = s.onnx.numpy_helper.from_array(np.array([value], np.float32))
    s.node("ConstantOfShape", [s.shape_of(y)], y, value=made)


@says("draw")
def draw(s: Sheet, count: Tensor, y: Tensor, filler: Any, key: Any) -> None:
    """Drawn numbers are constants where their shape is one."""
    raise Fixed(f"what {y.name} draws")


@says("find_nonzero")
def find_nonzero(s: Sheet, x: Tensor, index: Tensor) -> None:
    s.alias(index, s.node("Squeeze", [s.node("NonZero", [s.shaped(x, [-1])]), s.ints([0])]))


@says("count_nonzero")
def count_nonzero(s: Sheet, x: Tensor, count: Tensor) -> None:
    """Only we must know how many there are before the rest is run."""


@says("take")
def take(s: Sheet, x: Tensor, index: Tensor, y: Tensor) -> None:
    s.node("Gather", [x, index], y, axis=0)


@says("embed")
def embed(s: Sheet, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor, name: str) -> None:
    if b is None:
        s.node("Gather", [w, x], y, axis=0)
    else:
        s.node("Add", [s.node("Gather", [w, x], axis=0), b], y)


# --- sums and products ---
@says("inner_product")
def inner_product(s: Sheet, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
    s.node("Gemm", [x, w, b], y, transB=1)


@says("inner_product_dx")
def inner_product_dx(s: Sheet, w: Tensor, dy: Tensor, dx: Tensor) -> None:
    bias, y = bias_after(s, dx)
    s.node("Gemm", [dy, w, bias], y)


def bias_after(s: Sheet, y: Tensor) -> tuple[Tensor | None, Tensor]:
    """The bias that a channel of y gets in the next call, and what comes of it; the call is done with that."""
    readers = s.readers.get(y, ())
    if len(readers) == 1 and readers[0].op.name == "scale_bias" and not s.is_blob(y):
        args = readers[0].args
        bias = args["bias"]
        if args["scale"] is None and args["axis"] == 1 and bias in s.arrays and bias.shape == y.shape[1:2]:
            s.done.add(readers[0])
            return bias, args["y"]
    return None, y


@says("matmul")
def matmul(s: Sheet, a: Tensor, b: Tensor, y: Tensor, transpose_a: bool, transpose_b: bool) -> None:
    sides = []
    for x, turn in ((a, transpose_a), (b, transpose_b)):
        axes = list(range(len(x.shape)))
        sides.append(s.turned(x, [*axes[:-2], axes[-1], axes[-2]]) if turn else x)
    s.node("MatMul", sides, y)


def beside(s: Sheet, z: Tensor, x: Tensor, axis: int) -> str:
    """z with its axes at those of x from `axis` on; one number goes with everything."""
    behind = len(x.shape) - axis - len(z.shape)
    if z in s.arrays:
        array = s.arrays[z]
        return s.constant(z.name, array.reshape((1,) if array.size == 1 else (*array.shape, *[1] * behind)))
    if behind <= 0 or z.shape.count == 1:
        return s.name(z)
    return s.node("Unsqueeze", [z, s.ints(range(len(z.shape), len(z.shape) + behind))])


@says("scale_bias")
def scale_bias(s: Sheet, x: Tensor, scale: Tensor | None, bias: Tensor | None, y: Tensor, axis: int) -> None:
    made: Any = x
    if scale is not None:
        made = s.node("Mul", [x, beside(s, scale, x, axis)], y if bias is None else None)
    if bias is not None:
        s.node("Add", [made, beside(s, bias, x, axis)], y)


@says("weighted_sum")
def weighted_sum(s: Sheet, xs: tuple[Tensor, ...], y: Tensor, weights: tuple[float, ...]) -> None:
    if weights == (1.0, -1.0):
        s.node("Sub", xs, y)
    elif len(xs) == 1:
        s.node("Mul", [xs[0], s.number(weights[0])], y) if weights[0] != 1 else s.node("Identity", xs, y)
    else:
        terms = [x if weight == 1 else s.node("Mul", [x, s.number(weight)]) for x, weight in zip(xs, weights)]
        s.node("Add" if len(xs) == 2 else "Sum", terms, y)


@says("product")
def product(s: Sheet, xs: tuple[Tensor, ...], y: Tensor) -> None:
    made: Any = xs[0]
    for number, x in enumerate(xs[1:], 2):
        made = s.node("Mul", [made, x], y if number == len(xs) else None)
    if len(xs) == 1:
        s.node("Identity", xs, y)


@says("maximum")
def maximum(s: Sheet, xs: tuple[Tensor, ...], y: Tensor, winner: Tensor) -> None:
    s.node("Max", xs, y)


@says("minimum")
def minimum(s: Sheet, xs: tuple[Tensor, ...], y: Tensor, winner: Tensor) -> None:
    s.node("Min", xs, y)


# --- one from many ---
@says("reduce")
def reduce(s: Sheet, x: Tensor, y: Tensor, operation: str, coeff: float) -> None:
    kind = {"sum": "ReduceSum", "asum": "ReduceL1", "sumsq": "ReduceSumSquare", "mean": "ReduceMean"}[operation]
    whole = not (len(y.shape) < len(x.shape) and y.shape == x.shape[: len(y.shape)]) or any(s.is_free(x)[len(y.shape) :])
    first = 0 if whole else len(y.shape)
    made = s.reduce(kind, x, range(first, len(x.shape)), keep=False)
    if whole:
        made = s.shaped(made, [1])
    s.alias(y, made) if coeff == 1 else s.node("Mul", [made, s.number(coeff)], y)


@says("arg_max")
def arg_max(s: Sheet, x: Tensor, y: Tensor, axis: int | None, top_k: int, values: bool) -> None:
    """The larger place of equals comes first: the axis is turned round, for in ONNX it is the smaller one."""
    whole, at = axis is None, 1 if axis is None else axis
    rows = s.node("Flatten", [x], axis=1) if whole and len(x.shape) != 2 else s.name(x)
    size = x.shape.count // x.shape[0] if axis is None else x.shape[axis]
    if s.is_free(x)[at if not whole else 0] and not whole:
        raise Fixed("the number of places")
    if top_k == 1 and not values:
        place = s.node("ArgMax", [rows], axis=at, keepdims=1, select_last_index=1)
        s.alias(y, s.shaped(place, [-1, 1, 1])) if whole else s.alias(y, place)
        return
    best, behind = s.fresh(f"{y.name}/values"), s.fresh(f"{y.name}/behind")
    back = s.sliced(rows, at, -1, -(size + 1), step=-1)
    s.node("TopK", [back, s.ints([top_k])], [best, behind], axis=at)
    place = s.node("Sub", [s.constant(f"last {size}", size - 1), behind])
    if not whole:
        s.alias(y, best if values else place)
    elif values:
        parts = [s.shaped(part, [-1, 1, top_k]) for part in (s.node("Cast", [place], to=s.onnx.TensorProto.FLOAT), best)]
        s.node("Concat", parts, y, axis=1)
    else:
        s.shaped(place, [-1, 1, top_k], y)


@says("softmax")
def softmax(s: Sheet, x: Tensor, y: Tensor, axis: int) -> None:
    s.node("Softmax", [x], y, axis=axis)


@says("log_softmax")
def log_softmax(s: Sheet, x: Tensor, y: Tensor, axis: int) -> None:
    s.node("LogSoftmax", [x], y, axis=axis)


@says("prelu")
def prelu(s: Sheet, x: Tensor, slope: Tensor, y: Tensor) -> None:
    if slope not in s.arrays:
        raise Unsayable("its slope is not constant")
    s.node("PRelu", [x, beside(s, slope, x, 1)], y)


@says("maxout")
def maxout(s: Sheet, x: Tensor, y: Tensor, winner: Tensor) -> None:
    pieces = s.shaped(x, [0, y.shape[1], x.shape[1] // y.shape[1], *x.shape[2:]])
    s.reduce("ReduceMax", pieces, [2], False, y)
