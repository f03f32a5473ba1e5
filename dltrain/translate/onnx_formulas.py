"""The operators of ONNX that work number by number, in layers of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At
from dltrain.translate.onnx_graph import Blob, Differs, Graph, bounded, frozen, moved

Node = Callable[..., Any]
NODES: dict[str, Node] = {}
LARGEST = float(np.finfo(np.float32).max)
ENDLESS = 1e30  # from here on a number stands for infinity, such as what keeps a place out of a Softmax

# one layer, its keys under other names: (theirs, default), or what ours must say
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "Abs": ("AbsVal", {}), "Relu": ("ReLU", {}), "LeakyRelu": ("ReLU", {"negative_slope": ("alpha", 0.01)}),
    "Elu": ("ELU", {"alpha": ("alpha", 1.0)}), "Sigmoid": ("Sigmoid", {}), "Tanh": ("TanH", {}), "Softplus": ("BNLL", {}),
    "HardSwish": ("HardSwish", {}), "Swish": ("Swish", {"beta": ("alpha", 1.0)}), "Exp": ("Exp", {}), "Log": ("Log", {}),
    "Sqrt": ("Power", {"power": 0.5}), "Reciprocal": ("Power", {"power": -1.0}), "Neg": ("Power", {"scale": -1.0}),
    "Erf": ("Erf", {}), "Identity": ("Split", {"tops": 1}), "Binarizer": ("Threshold", {"threshold": ("threshold", 0.0)}),
    "GlobalMaxPool": ("Pooling", {"pool": "max", "global_pooling": True}),
    "GlobalAveragePool": ("Pooling", {"pool": "mean", "global_pooling": True}),
    "LRN": ("LRN", {"local_size": ("size", 5), "alpha": ("alpha", 1e-4), "beta": ("beta", 0.75), "k": ("bias", 1.0)}),
}  # fmt: skip
ELTWISE = {"Add": "sum", "Sub": "sub", "Mul": "prod", "Div": "div", "Max": "max", "Min": "min", "Sum": "sum", "Mean": "sum"}


def node(*names: str) -> Callable[[Node], Node]:
    def register(function: Node) -> Node:
        NODES.update(dict.fromkeys(names, function))
        return function

    return register


def blob(x: Any, what: str = "what it reads") -> Blob:
    """A bottom that must not be a constant."""
    if not isinstance(x, Blob):
        raise Differs(f"{what} is {'left out' if x is None else 'a constant'}")
    if x.is_mask:
        raise Differs("the places of a maximum are for a MaxUnpool only")
    return x


def constant(value: Any, what: str) -> Any:
    """An input that must be known while reading."""
    if isinstance(value, Blob) or value is None:
        raise Differs(f"{what} is {'left out' if value is None else 'computed by the net, and no constant'}")
    return np.asarray(value)


def number(value: Any, what: str) -> float:
    array = constant(value, what)
    if array.size != 1:
        raise Differs(f"{what} is {Shape(array.shape)}, and no single number")
    return float(array.reshape(()))


def image(x: Any) -> Blob:
    """A blob with the batch in front and channels behind it."""
    if blob(x).batch:
        raise Differs(f"the batch stands on axis {x.batch}, and must be the first before channels")
    return blob(x)


def keys_of(op: str, at: At) -> dict[str, Any]:
    """The keys of a layer of PLAIN from the attributes of a node."""
    return {key: at.get(*value) if isinstance(value, tuple) else value for key, value in PLAIN[op][1].items()}


@node(*PLAIN)
def plain(net: Graph, at: At, x: Any) -> Blob:
    if at["op"] == "Identity":
        return blob(x)
    image(x) if PLAIN[at["op"]][0] in ("Pooling", "LRN") else blob(x)
    return net(PLAIN[at["op"]][0], x, **keys_of(at["op"], at))


# --- activations of several layers ---
@node("Selu")
def selu(net: Graph, at: At, x: Any) -> Blob:
    y = net("ELU", blob(x), alpha=at.get("alpha", 1.6732632423543772))
    return net("Power", y, scale=at.get("gamma", 1.0507009873554805))


@node("Celu")
def celu(net: Graph, at: At, x: Any) -> Blob:
    alpha = at.get("alpha", 1.0)
    if not alpha:
        raise Differs("alpha is 0")
    return net("Power", net("ELU", net("Power", blob(x), scale=1 / alpha)), scale=alpha)


@node("HardSigmoid")
def hard_sigmoid(net: Graph, at: At, x: Any) -> Blob:
    return net("Clip", net("Power", blob(x), scale=at.get("alpha", 0.2), shift=at.get("beta", 0.5)), min=0.0, max=1.0)


@node("Mish")
def mish(net: Graph, at: At, x: Any) -> Blob:
    return net("Eltwise", blob(x), net("TanH", net("BNLL", x)), operation="prod")


@node("Softsign")
def softsign(net: Graph, at: At, x: Any) -> Blob:
    return net("Eltwise", blob(x), net("Power", net("AbsVal", x), shift=1.0), operation="div")


@node("SwiGLU")
def swiglu(net: Graph, at: At, a: Any, b: Any) -> Blob:
    return eltwise(net, "prod", [net("Swish", blob(a), beta=at.get("alpha", 1.0)), blob(b)])


@node("ThresholdedRelu")
def thresholded_relu(net: Graph, at: At, x: Any) -> Blob:
    return net("Eltwise", blob(x), net("Threshold", x, threshold=at.get("alpha", 1.0)), operation="prod")


@node("Shrink")
def shrink(net: Graph, at: At, x: Any) -> Blob:
    far, bias = at.get("lambd", 0.5), at.get("bias", 0.0)
    if bias == far:
        return net("SoftShrink", blob(x), lambda_=far)
    if bias:
        raise Differs("its bias is neither 0 nor lambd")
    return net("Eltwise", blob(x), net("Threshold", net("AbsVal", x), threshold=far), operation="prod")


@node("Gelu")
def gelu(net: Graph, at: At, x: Any) -> Blob:
    return net("GELU" if at.get("approximate", "none") == "tanh" else "ExactGELU", blob(x))


@node("PRelu")
def prelu(net: Graph, at: At, x: Any, slope: Any) -> Blob:
    array = constant(slope, "its slope")
    sizes = blob(x).shape[1:2]
    if array.size == 1 and len(sizes):
        return net("PReLU", image(x), params={"slope": array.reshape(())}, channel_shared=True)
    if image(x).ndim < 2 or array.shape not in (tuple(sizes), (*sizes, *[1] * (x.ndim - 2)), (1, *sizes, *[1] * (x.ndim - 2))):
        raise Differs(f"a slope of {Shape(array.shape)} for {Shape(x.shape[1:])}: one a channel, or one")
    return net("PReLU", x, params={"slope": array.reshape(-1)})


@node("Clip")
def clip(net: Graph, at: At, x: Any, low: Any = None, high: Any = None) -> Blob:
    least = at.get("min", -LARGEST) if low is None else number(low, "min")
    most = at.get("max", LARGEST) if high is None else number(high, "max")
    return clipped(net, blob(x), max(least, -LARGEST), min(most, LARGEST))


def clipped(net: Graph, x: Blob, low: float, high: float) -> Blob:
    if low == 0 and high in (6, LARGEST):
        return net("ReLU6" if high == 6 else "ReLU", x)
    return net("Clip", x, min=low, max=high)


@node("Dropout")
def dropout(net: Graph, at: At, x: Any, ratio: Any = None, training: Any = None) -> list[Any]:
    """The mask is not made: nothing is dropped where nothing is trained."""
    share = at.get("ratio", 0.5) if ratio is None else number(ratio, "its ratio")
    if training is not None and np.any(constant(training, "training_mode")):
        net.notes.append("Dropout: the file drops always, this net in training")
    return [net("Dropout", blob(x), dropout_ratio=round(share, 7)) if 0 < share < 1 else blob(x), None]


@node("Pow")
def power(net: Graph, at: At, x: Any, y: Any) -> Blob:
    return net("Power", blob(x), power=number(y, "its exponent"))


# --- two and more ---
@node("Add", "Sub", "Mul", "Div")
def two(net: Graph, at: At, a: Any, b: Any) -> Blob:
    op = at["op"]
    if isinstance(a, Blob) and isinstance(b, Blob):
        return eltwise(net, ELTWISE[op], [blob(a), blob(b)])
    if isinstance(a, Blob):
        c = aligned(at, a, constant(b, "its second input").astype(np.float32))
        a = wide(net, a, c.ndim)
        with np.errstate(divide="ignore"):  # what is divided by 0 becomes the largest number, or its opposite
            return (
                shifted(net, a, c if op == "Add" else -c) if op in ("Add", "Sub") else scaled(net, a, c if op == "Mul" else 1 / c)
            )
    c = constant(a, "its first input").astype(np.float32)
    x = wide(net, blob(b), c.ndim)
    if op in ("Sub", "Div"):
        x = net("Power", x, **({"scale": -1.0} if op == "Sub" else {"power": -1.0}))
    return shifted(net, x, c) if op in ("Add", "Sub") else scaled(net, x, c)


def aligned(at: At, x: Blob, c: Any) -> Any:
    """Before opset 7 `axis` says where the second input begins."""
    if at["opset"] < 7 and at.get("broadcast") and "axis" in at:
        return c.reshape(*c.shape, *[1] * max(x.ndim - at["axis"] - c.ndim, 0))
    return c


def wide(net: Graph, x: Blob, rank: int) -> Blob:
    """x with as many axes, those in front of one element."""
    more = rank - x.ndim
    return net.reshape(x, [1] * more + list(x.shape[1:]), x.batch + more) if more > 0 else x


def shifted(net: Graph, x: Blob, c: Any) -> Blob:
    """x + c"""
    endless, c = bool((np.abs(c) >= ENDLESS).any()), np.clip(c, -LARGEST, LARGEST)
    if c.size == 1 and c.ndim <= x.ndim:
        return net("Power", blob(x), shift=float(c.reshape(()))) if c.reshape(()) else x
    place, array = span(x, c)
    if array is None:
        return net("Eltwise", x, net.blob(extended(c, x), x), operation="sum")
    made = net("Bias", blob(x), params={"bias": array}, axis=place, num_axes=array.ndim)
    return frozen(made) if endless else made


def scaled(net: Graph, x: Blob, c: Any) -> Blob:
    """x c"""
    c = np.clip(c, -LARGEST, LARGEST)
    if c.size == 1 and c.ndim <= x.ndim:
        return net("Power", blob(x), scale=float(c.reshape(()))) if c.reshape(()) != 1 else x
    place, array = span(x, c)
    if array is None:
        return net("Eltwise", x, net.blob(extended(c, x), x), operation="prod")
    return net("Scale", blob(x), params={"scale": array}, axis=place, num_axes=array.ndim)


def extended(c: Any, x: Blob) -> Any:
    """A constant with as many axes as x; what it says of every sample alike, it says once."""
    if c.ndim > x.ndim:
        raise Differs(f"a constant of {Shape(c.shape)} has more axes than the blob beside it")
    whole = c.reshape((1,) * (x.ndim - c.ndim) + c.shape)
    once = np.take(whole, [0], x.batch) if whole.size else whole
    return once if whole.size and whole.shape[x.batch] > 1 and (whole == once).all() else whole


def span(x: Blob, c: Any) -> tuple[int, Any]:
    """The first axis of ours along which c changes, and c over the axes from there to the last such; None: x must be repeated."""
    whole = extended(c, x)
    if whole.shape[x.batch] != 1:
        raise Differs(f"a constant of {Shape(c.shape)} has something of its own for every sample")
    whole = np.take(whole, 0, x.batch)
    sizes = x.shape[1:]
    if any(m != n and 1 not in (m, n) for m, n in zip(whole.shape, sizes)):
        raise Differs(f"a constant of {Shape(c.shape)} does not go with {Shape(sizes)} a sample")
    if any(m != 1 and n == 1 for m, n in zip(whole.shape, sizes)):
        return 1, None
    along = [axis for axis, size in enumerate(whole.shape) if size != 1] or [0]
    first, last = along[0], along[-1] + 1
    bounded(prod(sizes[first:last]))
    made = whole.reshape(whole.shape[first:last])
    return first + 1, np.broadcast_to(made, sizes[first:last])


@node("Max", "Min", "Sum", "Mean")
def several(net: Graph, at: At, *xs: Any) -> Blob:
    op, blobs = at["op"], [blob(x) for x in xs if isinstance(x, Blob)]
    constants = [constant(x, "an input").astype(np.float32) for x in xs if not isinstance(x, Blob)]
    made = eltwise(net, ELTWISE[op], blobs) if len(blobs) > 1 else blobs[0]
    for c in constants:
        if op in ("Sum", "Mean"):
            made = shifted(net, made, c)
        elif c.size == 1:
            level = float(c.reshape(()))
            made = clipped(net, made, *((level, LARGEST) if op == "Max" else (-LARGEST, level)))
        else:
            made = net("Eltwise", made, net.blob(extended(c, made), made), operation=ELTWISE[op])
    return net("Power", made, scale=1 / len(xs)) if op == "Mean" and len(xs) > 1 else made


def eltwise(net: Graph, operation: str, xs: list[Blob]) -> Blob:
    """Blobs of fewer axes get axes of one element in front, as the standard has it."""
    rank = max(x.ndim for x in xs)
    if len({x.ndim - x.batch for x in xs}) > 1:
        raise Differs("the batches of its inputs do not meet")
    alike = [wide(net, x, rank) for x in xs]
    if operation == "div" and len(alike) > 2:
        return reduce(lambda a, b: net("Eltwise", a, b, operation="div"), alike)
    return moved(net("Eltwise", *alike, operation=operation), alike[0].batch)
