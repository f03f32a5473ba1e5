"""The operators of the ONNX standard that work number by number or put numbers elsewhere, said in layers of dltrain."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from dltrain.translate.onnx_formulas import ELTWISE, LARGEST, PLAIN, keys_of
from tests.onnx_bench import Array, Bench, Differs, along, ints, node, param


@node(*PLAIN)
def plain(net: Bench, at: Any, x: Array) -> Array:
    return net(PLAIN[at["op"]][0], x, **keys_of(at["op"], at))


# --- activations of several layers ---
@node("Selu")
def selu(net: Bench, at: Any, x: Array) -> Array:
    y = net("ELU", x, alpha=at.get("alpha", 1.6732632423543772))
    return net("Power", y, scale=at.get("gamma", 1.0507009873554805))


@node("Celu")
def celu(net: Bench, at: Any, x: Array) -> Array:
    alpha = at.get("alpha", 1.0)
    return net("Power", net("ELU", net("Power", x, scale=1 / alpha)), scale=alpha)


@node("HardSigmoid")
def hard_sigmoid(net: Bench, at: Any, x: Array) -> Array:
    return net("Clip", net("Power", x, scale=at.get("alpha", 0.2), shift=at.get("beta", 0.5)), min=0.0, max=1.0)


@node("Mish")
def mish(net: Bench, at: Any, x: Array) -> Array:
    return net("Eltwise", x, net("TanH", net("BNLL", x)), operation="prod")


@node("Softsign")
def softsign(net: Bench, at: Any, x: Array) -> Array:
    return net("Eltwise", x, net("Power", net("AbsVal", x), shift=1.0), operation="div")


@node("SwiGLU")
def swiglu(net: Bench, at: Any, a: Array, b: Array) -> Array:
    return net("Eltwise", net("Swish", a, beta=at.get("alpha", 1.0)), b, operation="prod")


@node("ThresholdedRelu")
def thresholded_relu(net: Bench, at: Any, x: Array) -> Array:
    return net("Eltwise", x, net("Threshold", x, threshold=at.get("alpha", 1.0)), operation="prod")


@node("Shrink")
def shrink(net: Bench, at: Any, x: Array) -> Array:
    far = at.get("lambd", 0.5)
    if at.get("bias", 0.0) == far:
        return net("SoftShrink", x, lambda_=far)
    return net("Eltwise", x, net("Threshold", net("AbsVal", x), threshold=far), operation="prod")


@node("Gelu")
def gelu(net: Bench, at: Any, x: Array) -> Array:
    return net("GELU" if at.get("approximate", "none") == "tanh" else "ExactGELU", x)


@node("PRelu")
def prelu(net: Bench, at: Any, x: Array, slope: Array) -> Array:
    if slope.size == 1:
        return net("PReLU", x, params={"slope": slope.reshape(1)}, channel_shared=True)
    channels = slope.shape in (x.shape[1:2], (*x.shape[1:2], *[1] * (x.ndim - 2)))
    flat = x if channels else x.reshape(-1, slope.size)  # a slope for each of the last numbers: these are the channels
    return net("PReLU", flat, params={"slope": slope.reshape(-1)}).reshape(x.shape)


@node("Clip")
def clip(net: Bench, at: Any, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    bounds = {"min": at.get("min", -LARGEST), "max": at.get("max", LARGEST)}
    return net("Clip", x, **(bounds | {key: float(v) for key, v in (("min", low), ("max", high)) if v is not None}))


@node("Dropout")
def dropout(net: Bench, at: Any, x: Array, ratio: Array | None = None, training: Array | None = None) -> Any:
    """Of theirs, the mask is a top, too."""
    share = at.get("ratio", 0.5) if ratio is None else float(ratio)
    if training is not None and training and share:
        raise Differs("the mask is drawn by another generator")
    return net("Dropout", x, dropout_ratio=share, train=bool(training)), None


@node("Pow")
def power(net: Bench, at: Any, x: Array, y: Array) -> Array:
    if np.ptp(y):
        raise Differs("an exponent for each number")
    return net("Power", x, power=float(y.flat[0]))


@node("Softmax", "LogSoftmax")
def softmax(net: Bench, at: Any, x: Array) -> Array:
    axis = along(at.get("axis", -1 if at["opset"] >= 13 else 1), x)
    return net(at["op"], x, axis=axis) if axis else net(at["op"], x[None], axis=1)[0]


# --- several bottoms ---
@node(*ELTWISE)
def eltwise(net: Bench, at: Any, *xs: Array) -> Array:
    rank = max(x.ndim for x in xs)
    xs = tuple(x.reshape((1,) * (rank - x.ndim) + x.shape) for x in xs)
    keys = {"coeff": [1 / len(xs)] * len(xs)} if at["op"] == "Mean" else {}
    return net("Eltwise", *xs, operation=ELTWISE[at["op"]], **keys)


@node("Gemm")
def gemm(net: Bench, at: Any, a: Array, b: Array, c: Array | None = None) -> Array:
    x = net("Permute", a, order=[1, 0]) if at.get("transA") else a
    alpha, beta, outputs = at.get("alpha", 1.0), at.get("beta", 1.0), len(b) if at.get("transB") else b.shape[1]
    each = c is not None and c.ndim == 2 and len(c) > 1  # a term for each number, not a bias
    bias = None if c is None or each else np.broadcast_to(beta * c.reshape(-1), outputs)
    keys = {"num_output": outputs, "bias_term": bias is not None, "transpose": not at.get("transB")}
    y = net("InnerProduct", x, params=param(weight=alpha * b, bias=bias), **keys)
    return net("Eltwise", y, c, coeff=[1.0, beta]) if each else y


@node("MatMul")
def matmul(net: Bench, at: Any, a: Array, b: Array) -> Array:
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    return net("MatMul", left, right)


# --- the same numbers elsewhere ---
@node("Concat")
def concat(net: Bench, at: Any, *xs: Array) -> Array:
    return net("Concat", *xs, axis=at.get("axis", 1))


@node("Split")
def split(net: Bench, at: Any, x: Array, sizes: Array | None = None) -> list[Array]:
    axis, pieces = at.get("axis", 0), at["outputs"]
    each = -(-x.shape[axis] // pieces)
    given = ints(at.get("split", [each] * pieces) if sizes is None else sizes)
    return net.tops("Slice", x, axis=axis, slice_point=list(accumulate(given))[:-1])


@node("Slice")
def cut(net: Bench, at: Any, x: Array, *rest: Array) -> Array:
    given = [ints(values) for values in rest] or [at["starts"], at["ends"], *([at["axes"]] if "axes" in at else [])]
    starts, ends, axes, steps = (*given, *[list(range(len(given[0]))), [1] * len(given[0])][len(given) - 2 :])
    for start, end, axis, step in zip(starts, ends, axes, steps):
        low, high, _ = slice(start, end).indices(x.shape[axis])
        if step != 1 or low >= high:
            raise Differs("Slice takes neighbours, and at least one")
        points = [point for point in (low, high) if 0 < point < x.shape[axis]]
        x = net.tops("Slice", x, axis=axis, slice_point=points)[low > 0] if points else x
    return x


@node("Reshape")
def reshape(net: Bench, at: Any, x: Array, shape: Array) -> Array:
    return net("Reshape", x, shape=ints(shape))


@node("Flatten")
def flatten(net: Bench, at: Any, x: Array) -> Array:
    """Always to two axes."""
    axis = along(at.get("axis", 1), x)
    if axis in (0, x.ndim):
        return net("Reshape", x, shape=[-1, 1] if axis else [1, -1])
    return net("Flatten", net("Flatten", x, axis=axis), axis=0, end_axis=axis - 1)


@node("Squeeze", "Unsqueeze")
def squeeze(net: Bench, at: Any, x: Array, axes: Array | None = None) -> Array:
    given = tuple(at["axes"] if axes is None else ints(axes))
    return net("Reshape", x, shape=list((np.squeeze if at["op"] == "Squeeze" else np.expand_dims)(x, given).shape))


@node("Transpose")
def transpose(net: Bench, at: Any, x: Array) -> Array:
    return net("Permute", x, order=at.get("perm", list(range(x.ndim))[::-1]))


@node("Tile", "Expand")
def tile(net: Bench, at: Any, x: Array, sizes: Array) -> Array:
    wanted = [1] * (x.ndim - sizes.size) + ints(sizes)
    x = net("Reshape", x, shape=[1] * (len(wanted) - x.ndim) + list(x.shape))
    for axis, size in enumerate(wanted):
        times = size if at["op"] == "Tile" or x.shape[axis] == 1 else 1
        x = net("Tile", x, axis=axis, tiles=times) if times > 1 else x
    return x


@node("Pad")
def pad(net: Bench, at: Any, x: Array, pads: Array | None = None, value: Array | None = None, axes: Array | None = None) -> Array:
    given = ints(at["pads"] if pads is None else pads)
    chosen, half = (range(x.ndim) if axes is None else ints(axes)), len(given) // 2
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, low, high in zip(chosen, given[:half], given[half:]):
        before[axis], after[axis] = low, high
    level = float(at.get("value", 0.0) if value is None else value)
    mode = {"constant": "zero"}.get(at.get("mode", "constant"), at.get("mode"))
    x = net("Power", x, shift=-level) if level else x
    y = net("Pad", x, axis=1, pad=before[1:], pad_after=after[1:], mode=mode)
    return net("Power", y, shift=level) if level else y


@node("Gather")
def gather(net: Bench, at: Any, data: Array, index: Array) -> Array:
    axis, places = along(at.get("axis", 0), data), index.astype(np.int32)
    if (places < 0).any():
        raise Differs("an index counts from the front")
    if axis == 0:
        table = data.reshape(len(data), -1)
        y = net("Embed", places, params={"weight": table}, input_dim=len(data), num_output=table.shape[1], bias_term=False)
        return y.reshape(*places.shape, *data.shape[1:])
    order = [axis, *(i for i in range(data.ndim) if i != axis)]
    y = net("BatchReindex", net("Permute", data, order=order), places.reshape(-1))
    back = net("Permute", y, order=[*range(1, axis + 1), 0, *range(axis + 1, data.ndim)])
    return net("Reshape", back, shape=list(places.shape), axis=axis, num_axes=1)


@node("OneHot")
def one_hot(net: Bench, at: Any, index: Array, depth: Array, values: Array) -> Array:
    size, places = int(depth.flat[0]), index.astype(np.int32)
    if (places < 0).any():
        raise Differs("an index counts from the front")
    table = values[0] + (values[1] - values[0]) * np.eye(size)
    y = net("Embed", places, params={"weight": table}, input_dim=size, num_output=size, bias_term=False)
    axis = along(at.get("axis", -1), y)
    return net("Permute", y, order=[*range(axis), y.ndim - 1, *range(axis, y.ndim - 1)])


@node("Compress")
def compress(net: Bench, at: Any, x: Array, condition: Array) -> Array:
    x, axis = (x, along(at["axis"], x)) if "axis" in at else (net("Flatten", x, axis=0), 0)
    chosen = np.pad(condition, (0, x.shape[axis] - len(condition)))
    order = [axis, *(i for i in range(x.ndim) if i != axis)]
    y = net("Filter", net("Permute", x, order=order), chosen, kept=int(chosen.sum()))
    return net("Permute", y, order=[*range(1, axis + 1), 0, *range(axis + 1, x.ndim)])


@node("Constant")
def constant(net: Bench, at: Any) -> Array:
    value = np.atleast_1d(at["value"])
    return net("Parameter", params={"weight": value}, shape=list(value.shape)).reshape(np.shape(at["value"]))


@node("ConstantOfShape")
def constant_of_shape(net: Bench, at: Any, shape: Array) -> Array:
    return net("Constant", shape=ints(shape), value=float(at["value"].flat[0]))
