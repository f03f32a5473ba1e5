"""Tensors whose batch shares an axis with others, N x 8 heads as 8 N rows, say: ours keep the axes apart.

A Blob with `beside` has in the file a N b on one axis, where ours has axes a, N and b.  What works on one of the other axes, or
number by number, is said of the tensor with its axes apart, and its output is seen with them together again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At, axes_of, ints
from dltrain.translate.onnx_formulas import constant, shifted
from dltrain.translate.onnx_graph import BATCH, Blob, Differs, Graph
from dltrain.translate.onnx_sums import REDUCED, linear

Node = Callable[..., Any]
ONE_BY_ONE = (
    "Abs", "Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "HardSwish", "Swish", "Exp", "Log", "Sqrt", "Reciprocal",
    "Neg", "Identity", "Selu", "Celu", "HardSigmoid", "Mish", "Softsign", "Gelu", "Erf", "Clip", "Dropout", "Pow", "Cast",
    "CastLike", "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Where", "MatMul", "Greater", "Less", "GreaterOrEqual",
    "LessOrEqual", "Equal", "And", "Or", "Not",
)  # fmt: skip
ALONG = {  # with the default of their `axis`
    "Softmax": -1, "LogSoftmax": -1, "LayerNormalization": -1, "Concat": 1, "Split": 0, "Gather": 0, "ArgMax": 0, "ArgMin": 0,
}  # fmt: skip
SEVERAL = {"Slice": 3, **dict.fromkeys(REDUCED, 1)}  # and their input of axes
ALONE = (*SEVERAL, "Split", "Gather")  # their other inputs are sizes and places


def apart(x: Blob) -> Blob:
    """The same numbers, each axis on its own."""
    return Blob(x.shape, x.batch, x.part, x.top, x.name, x.is_mask)


def together(x: Blob, beside: tuple[int, int]) -> Blob:
    return Blob(x.shape, x.batch, x.part, x.top, x.name, x.is_mask, beside)


def place(x: Blob) -> int:
    """The axis of the file that has the batch."""
    return x.batch - x.beside[0]


def reshaped(net: Graph, x: Blob, sizes: list[int]) -> Blob:
    """The batch stays an axis of its own, with as much before and behind it as there was; else it shares one."""
    before, behind = prod(x.shape[1 : x.batch + 1]), prod(x.shape[x.batch + 1 :])
    order = sorted(range(len(sizes)), key=lambda axis: (axis != place(x), axis))
    for axis in order:
        if sizes[axis] in (BATCH, net.fixed) or (sizes[axis] == -1 and sizes.count(-1) == 1):
            left, right = inferred(sizes[:axis], before), inferred(sizes[axis + 1 :], behind)
            if left is not None and right is not None:
                return net.reshape(apart(x), [*left, *right], axis)
    for axis in order if len(sizes) > 2 else sorted(order):  # a matrix has its rows in front
        found = shared(net, sizes, axis, before, behind)
        if found is not None:
            (left, a), (right, b) = found
            beside = int(a > 1), int(b > 1)
            made = net.reshape(apart(x), [*left, *[a] * beside[0], *[b] * beside[1], *right], axis + beside[0])
            return together(made, beside)
    words = ", ".join("N" if n == BATCH else f"{n // BATCH} N" if n and n % BATCH == 0 else str(n) for n in sizes)
    raise Differs(f"the shape [{words}] puts the samples together with something else of {Shape(x.shape[1:])}")


def inferred(sizes: list[int], count: int) -> list[int] | None:
    """The sizes with their -1 worked out; None where they are not `count` numbers."""
    known = prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or known <= 0 or count % known or (-1 not in sizes and known != count):
        return None
    return [count // known if n == -1 else n for n in sizes]


def shared(net: Graph, sizes: list[int], axis: int, before: int, behind: int) -> tuple[tuple[list[int], int], ...] | None:
    """With a N b on an axis: the sizes before it, and a; those behind it, and b.  None where it cannot be so."""
    said, others = sizes[axis], sizes[:axis] + sizes[axis + 1 :]
    known = prod(n for n in others if n != -1)
    if known <= 0 or before * behind % known:
        return None
    rows = before * behind // known  # a b, and what a -1 elsewhere stands for
    if said != -1:
        each = next((said // n for n in (BATCH, net.fixed) if n and said % n == 0), 0)
        if not each or rows % each or (rows != each and others.count(-1) != 1):
            return None
        others, rows = [rows // each if n == -1 else n for n in others], each
    left, right = others[:axis], others[axis:]
    if -1 in others or before % prod(left) or behind % prod(right):
        return None
    return (left, before // prod(left)), (right, behind // prod(right))


# --- operators over such tensors ---
def over_rows(net: Graph, at: At, node: Node, inputs: list[Any]) -> Any:
    """What an operator makes of inputs one of which has its batch beside other axes; Differs where that cannot be said."""
    x = next(x for x in inputs if isinstance(x, Blob) and any(x.beside))
    op = at["op"]
    if op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return reshaped(net, x, wanted(at, x, inputs[1:]))
    if op == "Transpose":
        return transposed(net, at, node, x)
    if op == "Gemm":
        if inputs[0] is not x:
            raise Differs("a product of a constant and samples that share an axis with others")
        return gemm(net, at, x, *inputs[1:])
    if op in SEVERAL:
        at, inputs = several(x, at, inputs)
    elif op in ALONG and (op != "Gather" or inputs[0] is x):
        at = at | {"axis": along(x, at)}
    elif op not in (*ONE_BY_ONE, "Gather"):
        raise Differs(f"reads samples that share an axis with others: {' x '.join(shown(x))}")
    return again(net, at, node, x, inputs)


def ours(x: Blob, axis: int) -> int:
    """An axis of the file's tensor among those that are apart."""
    chosen = axis + len(x.sizes) if axis < 0 else axis
    if not 0 <= chosen < len(x.sizes):
        raise Differs(f"axis {axis} of a tensor with {len(x.sizes)} axes")
    if chosen == place(x):
        raise Differs(f"works along axis {axis}, which has the batch: samples do not meet in a net of ours")
    return chosen + sum(x.beside) * (chosen > place(x))


def along(x: Blob, at: At) -> int:
    """The axis of an operator as it is apart; some work over all axes from one on."""
    said = at.get("axis", 1 if "Softmax" in at["op"] and at["opset"] < 13 else ALONG[at["op"]])
    to_the_end = at["op"] == "LayerNormalization" or ("Softmax" in at["op"] and at["opset"] < 13)
    if to_the_end and -len(x.sizes) <= said < len(x.sizes) and said % len(x.sizes) <= place(x):
        raise Differs(f"from axis {said} on, the batch among them")
    return ours(x, said)


def several(x: Blob, at: At, inputs: list[Any]) -> tuple[At, list[Any]]:
    """The attributes and inputs of an operator over several axes, with these as they are apart."""
    where, rest = SEVERAL[at["op"]], {key: value for key, value in at.items() if key not in ("axes", "starts", "ends")}
    if at["op"] == "Slice" and len(inputs) == 1:  # before opset 10
        inputs = [*inputs, *(np.array(at[key], np.int64) for key in ("starts", "ends"))]
    given = np.array(at["axes"], np.int64) if "axes" in at else inputs[where] if len(inputs) > where else None
    if given is None and at["op"] == "Slice":
        given = np.arange(constant(inputs[1], "where it cuts").size)
    if given is None or (where == 1 and not np.size(constant(given, "its axes"))):
        given = np.arange(0 if at.get("noop_with_empty_axes") else len(x.sizes))
    axes = np.array([ours(x, axis) for axis in ints(constant(given, "its axes"))], np.int64)
    inputs = [*inputs, *[None] * (where + 1 - len(inputs))]
    return rest, [*inputs[:where], axes, *inputs[where + 1 :]]


def again(net: Graph, at: At, node: Node, x: Blob, inputs: list[Any]) -> Any:
    """The operator over axes that are apart; its outputs with them together."""
    given = [apart(x) if value is x else value if at["op"] in ALONE else alike(value, x) for value in inputs]
    made = node(net, at, *given)

    def seen(y: Any) -> Any:
        return together(y, x.beside) if isinstance(y, Blob) else y

    return [seen(y) for y in made] if isinstance(made, list) else seen(made)


def alike(value: Any, x: Blob) -> Any:
    """An input beside x: a blob must have its batch beside the same axes; a constant gets axes of one for them."""
    if isinstance(value, Blob):
        if (value.beside, place(value)) != (x.beside, place(x)):
            raise Differs("the batches of its inputs do not meet")
        return apart(value)
    array = value if value is None else np.asarray(value)
    behind = len(x.sizes) - place(x)
    if array is None or array.ndim < behind:
        return array
    axis = array.ndim - behind
    low, high = place(x) + 1, place(x) + 1 + sum(x.beside)  # of ours, without the batch
    each = list(x.shape[low:high])
    each.insert(x.beside[0], -1)
    if array.shape[axis] == 1:
        each = [1] * len(each)
    elif array.shape[axis] % prod(x.shape[low:high]):
        raise Differs(f"a constant of {Shape(array.shape)} beside samples that share an axis: {' x '.join(shown(x))}")
    array = array.reshape(*array.shape[:axis], *each, *array.shape[axis + 1 :])
    once = np.take(array, [0], axis + x.beside[0])
    if (array != once).any():
        raise Differs(f"a constant of {Shape(np.shape(value))} has something of its own for every sample")
    return once


def shown(x: Blob) -> list[str]:
    return [f"{size // BATCH} N" if axis == place(x) else str(size) for axis, size in enumerate(x.sizes)]


def wanted(at: At, x: Blob, rest: list[Any]) -> list[int]:
    """The sizes that an operator of other axes and the same order makes."""
    op, sizes = at["op"], x.sizes
    if op == "Reshape":
        said = ints(at["shape"] if not rest and "shape" in at else constant(rest[0] if rest else None, "its shape"))
        if not at.get("allowzero") and any(n == 0 and axis >= len(sizes) for axis, n in enumerate(said)):
            raise Differs(f"a 0 in the shape {said} where {Shape(sizes)} has no axis")
        return said if at.get("allowzero") else [sizes[axis] if n == 0 else n for axis, n in enumerate(said)]
    if op == "Flatten":
        axis = at.get("axis", 1)
        return [prod(sizes[:axis]), prod(sizes[axis:])]
    given = (
        [] if op == "Squeeze" and not rest and "axes" not in at else ints(constant(rest[0], "its axes") if rest else at["axes"])
    )
    if op == "Unsqueeze":
        chosen = axes_of({}, given, len(sizes) + len(given))
        old = iter(sizes)
        return [1 if axis in chosen else next(old) for axis in range(len(sizes) + len(given))]
    chosen = axes_of({}, given, len(sizes)) if given else [axis for axis, size in enumerate(sizes) if size == 1]
    if any(sizes[axis] != 1 for axis in chosen):
        raise Differs(f"axes {chosen} of {' x '.join(shown(x))} are not all of one element")
    return [size for axis, size in enumerate(sizes) if axis not in chosen]


def transposed(net: Graph, at: At, node: Node, x: Blob) -> Blob:
    """What shares the batch's axis goes where it goes."""
    low, count = place(x), sum(x.beside)
    perm = at.get("perm", list(range(len(x.sizes)))[::-1])
    axes = [
        [axis] if axis < low else list(range(low, low + count + 1)) if axis == low else [axis + count]
        for axis in range(len(x.sizes))
    ]
    if sorted(perm) != list(range(len(axes))):
        raise Differs(f"perm {perm} of a tensor with {len(axes)} axes")
    return together(node(net, at | {"perm": [one for axis in perm for one in axes[axis]]}, apart(x)), x.beside)


def gemm(net: Graph, at: At, x: Blob, weight: Any, bias: Any = None) -> Blob:
    """Rows times a constant matrix, whatever stands before them."""
    if at.get("transA") or place(x) or len(x.sizes) != 2:
        raise Differs(f"a product over samples that share an axis with others: {' x '.join(shown(x))}")
    matrix = constant(weight, "its second input").astype(np.float32)
    y = linear(net, apart(x), at.get("alpha", 1.0) * (matrix.T if at.get("transB") else matrix))
    beta = at.get("beta", 1.0)
    if bias is not None and beta:
        y = shifted(net, y, beta * alike(constant(bias, "its bias").astype(np.float32), x))
    return together(y, x.beside)
