"""What a net computes from constants alone: mostly shapes, which exporters write as nodes.  It is worked out while reading."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import erf, prod
from typing import Any

import numpy as np

from dltrain.translate.onnx_file import TYPES
from dltrain.translate.onnx_graph import Differs, bounded

At = dict[str, Any]  # the attributes of a node, with op, outputs (how many) and opset
Fold = Callable[..., Any]
FOLDS: dict[str, Fold] = {}

ELEMENTWISE: dict[str, Any] = {
    "Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log,
    "Sign": np.sign, "Round": np.round, "Not": np.logical_not, "Reciprocal": lambda x: 1 / x, "Identity": lambda x: x,
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": lambda x, y: np.power(x, y).astype(x.dtype),
    "Mod": np.mod, "Equal": np.equal, "Less": np.less, "Greater": np.greater, "LessOrEqual": np.less_equal,
    "GreaterOrEqual": np.greater_equal, "And": np.logical_and, "Or": np.logical_or, "Where": np.where,
    "Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Tanh": np.tanh,
    "Sin": np.sin, "Cos": np.cos, "Erf": lambda x: np.vectorize(erf, otypes=[x.dtype])(x), "Xor": np.logical_xor,
    "IsNaN": np.isnan, "Div": lambda x, y: (np.trunc(x / y) if x.dtype.kind in "iu" else x / y).astype(x.dtype),
}  # fmt: skip
REDUCED: dict[str, Any] = {
    "ReduceProd": np.prod, "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceMean": np.mean,
    "ReduceL1": lambda x, **keys: np.sum(np.abs(x), **keys), "ReduceL2": lambda x, **keys: np.sqrt(np.sum(x * x, **keys)),
    "ReduceSumSquare": lambda x, **keys: np.sum(x * x, **keys),
}  # fmt: skip


def fold(*names: str) -> Callable[[Fold], Fold]:
    def register(function: Fold) -> Fold:
        FOLDS.update(dict.fromkeys(names, function))
        return function

    return register


def folded(at: At, inputs: list[Any]) -> list[Any]:
    """The outputs of a node all of whose inputs are arrays (None where left out); Differs where that cannot be worked out."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            made = FOLDS[at["op"]](at, *inputs)
        except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, AttributeError) as error:
            raise Differs(f"its constants do not go together ({first_line(error)})") from None
    return [np.asarray(array) for array in (made if isinstance(made, list) else [made])]


def first_line(error: Exception) -> str:
    """What an error says, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


def ints(values: Any) -> list[int]:
    return [int(value) for value in np.reshape(values, -1)]


def axes_of(at: At, given: Any, ndim: int) -> list[int]:
    """Axes, from an attribute or an input, counted from the front; all of them where none are said."""
    said = ints(at["axes"]) if given is None and "axes" in at else ints(given) if given is not None else list(range(ndim))
    made = [axis + ndim if axis < 0 else axis for axis in said]
    if any(not 0 <= axis < ndim for axis in made) or len(set(made)) < len(made):
        raise Differs(f"axes {said} of a tensor with {ndim} axes")
    return made


@fold(*ELEMENTWISE)
def elementwise(at: At, *xs: Any) -> Any:
    bounded(prod(np.broadcast_shapes(*(x.shape for x in xs))))
    return ELEMENTWISE[at["op"]](*xs)


@fold("Min", "Max")
def extreme(at: At, x: Any, *others: Any) -> Any:
    for other in others:
        bounded(prod(np.broadcast_shapes(x.shape, other.shape)))
        x = (np.minimum if at["op"] == "Min" else np.maximum)(x, other)
    return x


@fold(*REDUCED)
def reduced(at: At, x: Any, axes: Any = None) -> Any:
    if (axes is None or not axes.size) and not at.get("axes") and at.get("noop_with_empty_axes"):
        return x
    chosen = axes_of(at, axes if axes is None or axes.size else None, x.ndim)
    return REDUCED[at["op"]](x, axis=tuple(chosen), keepdims=bool(at.get("keepdims", 1))).astype(x.dtype)


@fold("Softmax")
def softmax(at: At, x: Any) -> Any:
    """Before opset 13 over all axes from `axis` on."""
    axis = at.get("axis", -1 if at["opset"] >= 13 else 1) % max(x.ndim, 1)
    axes = tuple(range(axis, x.ndim if at["opset"] < 13 else axis + 1))
    grown = np.exp(x - x.max(axes, keepdims=True))
    return grown / grown.sum(axes, keepdims=True)


@fold("Constant")
def constant(at: At) -> Any:
    for name, dtype in (("value", None), ("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64),
                        ("value_ints", np.int64)):  # fmt: skip
        if name in at:
            return np.asarray(at[name], dtype)
    raise Differs("a constant that is no numbers")


@fold("ConstantOfShape")
def constant_of_shape(at: At, shape: Any) -> Any:
    bounded(prod(ints(shape)))
    value = np.asarray(at.get("value", np.zeros(1, np.float32)))
    return np.broadcast_to(value.reshape(()), ints(shape))


@fold("Range")
def arange(at: At, start: Any, limit: Any, delta: Any) -> Any:
    bounded(int(max(np.ceil((limit.item() - start.item()) / delta.item()), 0)))
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


@fold("Shape")
def shape(at: At, x: Any) -> Any:
    return np.array(x.shape[slice(at.get("start", 0), at.get("end"))], np.int64)


@fold("Size")
def size(at: At, x: Any) -> Any:
    return np.array(x.size, np.int64)


@fold("Cast")
def cast(at: At, x: Any) -> Any:
    if at["to"] not in TYPES:
        raise Differs("casts to a type that a net of ours has not")
    return x.astype(np.float32 if at["to"] == 16 else TYPES[at["to"]][0])


@fold("CastLike")
def cast_like(at: At, x: Any, like: Any) -> Any:
    return x.astype(like.dtype)


@fold("Gather")
def gather(at: At, x: Any, index: Any) -> Any:
    bounded(x.size // max(x.shape[at.get("axis", 0)], 1) * index.size)
    return np.take(x, index, axis=at.get("axis", 0))


@fold("Concat")
def concat(at: At, *xs: Any) -> Any:
    return np.concatenate(xs, axis=at.get("axis", 1))


@fold("Unsqueeze")
def unsqueeze(at: At, x: Any, axes: Any = None) -> Any:
    return np.expand_dims(x, tuple(ints(at["axes"] if axes is None else axes)))


@fold("Squeeze")
def squeeze(at: At, x: Any, axes: Any = None) -> Any:
    return np.squeeze(x) if axes is None and "axes" not in at else np.squeeze(x, tuple(axes_of(at, axes, x.ndim)))


@fold("Reshape")
def reshape(at: At, x: Any, wanted: Any = None) -> Any:
    sizes = ints(at["shape"] if wanted is None else wanted)
    return x.reshape([x.shape[place] if n == 0 and not at.get("allowzero") else n for place, n in enumerate(sizes)])


@fold("Flatten")
def flatten(at: At, x: Any) -> Any:
    axis = at.get("axis", 1)
    return x.reshape(prod(x.shape[:axis]), -1)


@fold("Transpose")
def transpose(at: At, x: Any) -> Any:
    return np.transpose(x, at.get("perm"))


@fold("Slice")
def cut(at: At, x: Any, *given: Any) -> Any:
    return x[tuple(slices(at, given, x.shape))]


def slices(at: At, given: tuple[Any, ...], sizes: Any) -> list[slice]:
    """A slice for each axis, from the inputs of Slice, or in old files its attributes."""
    said: list[Any] = [None if values is None else ints(values) for values in given] or [at["starts"], at["ends"], at.get("axes")]
    starts, ends, axes, steps = [*said, None, None][:4]
    chosen = axes_of({}, axes, len(sizes)) if axes is not None else list(range(len(starts)))
    made = [slice(None)] * len(sizes)
    for axis, start, end, step in zip(chosen, starts, ends, steps or [1] * len(chosen)):
        made[axis] = slice(start, end, step)
    return made


@fold("Expand")
def expand(at: At, x: Any, wanted: Any) -> Any:
    made = np.broadcast_shapes(x.shape, tuple(ints(wanted)))
    bounded(prod(made))
    return np.broadcast_to(x, made)


@fold("Tile")
def tile(at: At, x: Any, times: Any) -> Any:
    bounded(x.size * prod(ints(times)))
    return np.tile(x, ints(times))


@fold("Split")
def split(at: At, x: Any, sizes: Any = None) -> list[Any]:
    axis, pieces = at.get("axis", 0), at["outputs"]
    each = -(-x.shape[axis] // pieces)
    given = ints(at.get("split", [each] * pieces) if sizes is None else sizes)
    return list(np.split(x, np.cumsum(given)[:-1], axis))


@fold("MatMul")
def matmul(at: At, a: Any, b: Any) -> Any:
    rows = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if min(a.ndim, b.ndim) > 1 else ()
    bounded(prod(rows) * prod(a.shape[-2:-1]) * prod(b.shape[-1:]))
    return np.matmul(a, b)


@fold("Gemm")
def gemm(at: At, a: Any, b: Any, c: Any = None) -> Any:
    y = at.get("alpha", 1.0) * matmul(at, a.T if at.get("transA") else a, b.T if at.get("transB") else b)
    return y if c is None else y + at.get("beta", 1.0) * np.broadcast_to(c, y.shape)


@fold("DequantizeLinear")
def dequantize(at: At, x: Any, scale: Any, zero: Any = None) -> Any:
    """(x - zero) scale, one a tensor or one a place of `axis`."""
    if at.get("block_size"):
        raise Differs("weights quantized in blocks")

    def along(values: Any) -> Any:
        axis = at.get("axis", 1) % max(x.ndim, 1)
        return values.reshape([-1 if place == axis else 1 for place in range(x.ndim)]) if values.size > 1 else values.reshape(())

    shifted = x.astype(np.float64) - (0 if zero is None else along(zero).astype(np.float64))
    return (shifted * along(scale)).astype(np.float32)


@fold("Trilu")
def trilu(at: At, x: Any, k: Any = None) -> Any:
    return (np.triu if at.get("upper", 1) else np.tril)(x, 0 if k is None else int(k))


@fold("EyeLike")
def eye_like(at: At, x: Any) -> Any:
    rows, columns = x.shape
    return np.eye(rows, columns, at.get("k", 0)).astype(TYPES[at["dtype"]][0] if "dtype" in at else x.dtype)


@fold("CumSum")
def running_sum(at: At, x: Any, axis: Any) -> Any:
    """Of `exclusive` the sum before each place, of `reverse` from behind."""
    along, way = int(np.reshape(axis, ())), slice(None, None, -1 if at.get("reverse") else 1)
    turned = np.moveaxis(x, along, 0)[way]
    total = np.cumsum(turned, 0, dtype=x.dtype) - (turned if at.get("exclusive") else 0)
    return np.moveaxis(total[way], 0, along)


@fold("GatherND")
def gather_nd(at: At, x: Any, index: Any) -> Any:
    if at.get("batch_dims"):
        raise Differs("batch_dims")
    bounded(prod(index.shape[:-1]) * prod(x.shape[index.shape[-1] :]))
    return x[tuple(np.moveaxis(index, -1, 0))]


@fold("ScatterND")
def scatter_nd(at: At, x: Any, index: Any, updates: Any) -> Any:
    if at.get("reduction", "none") != "none":
        raise Differs(f"reduction {at['reduction']}")
    made = x.copy()
    made[tuple(np.moveaxis(index, -1, 0))] = updates
    return made


@fold("NonZero")
def places(at: At, x: Any) -> Any:
    return np.array(np.nonzero(np.atleast_1d(x)), np.int64)


@fold("Clip")
def clip(at: At, x: Any, low: Any = None, high: Any = None) -> Any:
    low, high = at.get("min") if low is None else low, at.get("max") if high is None else high
    return (x if low is None and high is None else np.clip(x, low, high)).astype(x.dtype)
