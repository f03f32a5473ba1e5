"""Windows that move over an image, as nodes of ONNX, which rounds sizes down and knows no padding but its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.reference.pooling import numbers
from dltrain.ops.window import Window
from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet, Unsayable, Value, says
from dltrain.translate.to_onnx_values import bias_after

LOWEST = float(np.finfo(np.float32).min)


def geometry(window: Window, before: Sequence[int], after: Sequence[int]) -> dict[str, Any]:
    return {"kernel_shape": list(window.kernel), "strides": list(window.stride), "pads": [*before, *after]}


def behind(window: Window, sizes: Sequence[int], outputs: Sequence[int], pad: Sequence[int]) -> tuple[int, ...]:
    """How far the last window reaches beyond an image on each axis: what Caffe's rounding up hangs over included."""
    axes = zip(sizes, outputs, window.kernel, window.stride, pad, strict=True)
    return tuple(max((o - 1) * s + k - n - p, 0) for n, o, k, s, p in axes)


def bordered(s: Sheet, x: Value, before: tuple[int, ...], after: tuple[int, ...], value: float = 0.0) -> str:
    if not any(before + after):
        return s.name(x)
    pads = s.ints([0, 0, *before, 0, 0, *after])
    return s.node("Pad", [x, pads, s.number(value)] if value else [x, pads], mode="constant")


def is_whole(window: Window, x: Tensor, y: Tensor) -> bool:
    """True for global pooling: there is one window, the image."""
    return window.kernel == tuple(x.shape[2:]) and not any(window.pad) and y.shape[2:].count(1) == len(window.kernel)


# --- products ---
@says("conv")
def conv(s: Sheet, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor, window: Window) -> None:
    keys = geometry(window, window.pad, window.pad) | {"dilations": list(window.steps), "group": window.group}
    s.node("Conv", [x, w, b], y, **keys)


@says("conv_dx")
def conv_transpose(s: Sheet, w: Tensor, dy: Tensor, dx: Tensor, window: Window) -> None:
    bias, y = bias_after(s, dx)
    keys = geometry(window, window.pad, window.pad) | {"dilations": list(window.steps), "group": window.group}
    s.node("ConvTranspose", [dy, w, bias], y, **keys)


@says("im2col")
def im2col(s: Sheet, x: Tensor, y: Tensor, window: Window) -> None:
    patches(s, x, x.shape[1], window, window.pad, window.pad, y)


def patches(
    s: Sheet, x: Value, channels: int, window: Window, before: Sequence[int], after: Sequence[int], out: Tensor | None = None
) -> str:
    """(N, C taps, ...): each tap of the window as a filter that lets one place through."""
    taps = np.eye(window.area, dtype=np.float32).reshape(window.area, 1, *window.kernel)
    w = s.constant(f"taps {' x '.join(map(str, (channels, *window.kernel)))}", np.tile(taps, (channels, *[1] * (taps.ndim - 1))))
    keys = geometry(window, before, after) | {"dilations": list(window.steps), "group": channels}
    return s.node("Conv", [x, w], out, **keys)


@says("local_conv")
def local_conv(s: Sheet, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor, window: Window) -> None:
    """A place at a time: y_nop = sum over k of patches_nkp w_opk."""
    width, places = x.shape[1] * window.area, prod(y.shape[2:])
    untied = s.array(w).reshape(y.shape[1], places, width)
    flat = s.shaped(patches(s, x, x.shape[1], window, window.pad, window.pad), [0, width, places])
    made = s.node("Einsum", [flat, s.constant(w.name, untied)], equation="nkp,opk->nop")
    made = s.shaped(made, [0, *y.shape[1:]], y if b is None else None)
    if b is not None:
        s.node("Add", [made, b], y)


# --- pooling ---
def slide(
    s: Sheet, kind: str, x: Value, sizes: Sequence[int], y: Tensor, window: Window, pad: tuple[int, ...], value: float,
    out: Tensor | None, **more: Any,
) -> str:  # fmt: skip
    """A pooling node.  Windows beside the image, which only stand there because Caffe rounds up, are put behind it as `value`."""
    outputs = y.shape[2:]
    seeing = [min(o, (n - 1 + p) // step + 1) for n, o, p, step in zip(sizes, outputs, pad, window.stride, strict=True)]
    beside = [o - inner for o, inner in zip(outputs, seeing)]
    keys = geometry(window, pad, behind(window, sizes, seeing, pad)) | more
    if not any(beside):
        return s.node(kind, [x], out, **keys)
    pads = s.ints([0] * (len(y.shape) + 2) + beside)
    return s.node("Pad", [s.node(kind, [x], **keys), pads, s.number(value)], out, mode="constant")


@says("max_pool")
def max_pool(s: Sheet, x: Tensor, y: Tensor, winner: Tensor, window: Window) -> None:
    """winner: of ONNX a place in the whole tensor, of ours in the plane."""
    sizes = x.shape[2:]
    if not s.is_read(winner):
        if is_whole(window, x, y):
            s.node("GlobalMaxPool", [x], y)
        else:
            slide(s, "MaxPool", x, sizes, y, window, window.pad, LOWEST, y)
        return
    after = behind(window, sizes, y.shape[2:], window.pad)
    if any(a >= k for a, k in zip(after, window.kernel)):
        raise Unsayable("a window beside the image has no winner")
    index = s.fresh(f"{y.name}/Indices")
    s.node("MaxPool", [x], [y, index], **geometry(window, window.pad, after))
    s.alias(winner, s.node("Mod", [index, s.constant(f"plane {prod(sizes)}", prod(sizes))]))


@says("winner_mask")
def winner_mask(s: Sheet, x: Tensor, winner: Tensor, mask: Tensor) -> None:
    s.node("Cast", [winner], mask, to=s.onnx.TensorProto.FLOAT)


@says("mean_pool")
def mean_pool(s: Sheet, x: Tensor, y: Tensor, window: Window) -> None:
    """The divisor counts padding and not what hangs over: zeros put there beforehand count, ONNX's own padding need not."""
    sizes, pad = tuple(x.shape[2:]), window.pad
    if is_whole(window, x, y):
        s.node("GlobalAveragePool", [x], y)
    elif all(a <= p for a, p in zip(behind(window, sizes, y.shape[2:], pad), pad)):
        slide(s, "AveragePool", x, sizes, y, window, pad, 0.0, y, count_include_pad=int(any(pad)))
    else:
        wide = tuple(n + 2 * p for n, p in zip(sizes, pad))
        slide(s, "AveragePool", bordered(s, x, pad, pad), wide, y, window, (0,) * len(pad), 0.0, y, count_include_pad=0)


def sums(s: Sheet, x: Value, of: Tensor, y: Tensor, window: Window, out: Tensor | None = None) -> str:
    """The sum over each window, for x of the shape of `of`."""
    mean = slide(s, "AveragePool", x, of.shape[2:], y, window, window.pad, 0.0, None, count_include_pad=1)
    return s.node("Mul", [mean, s.number(float(window.area))], out)


@says("sum_pool")
def sum_pool(s: Sheet, x: Tensor, y: Tensor, window: Window) -> None:
    sums(s, x, x, y, window, y)


@says("lp_pool")
def lp_pool(s: Sheet, x: Tensor, y: Tensor, window: Window, p: float) -> None:
    if p == int(p):
        slide(s, "LpPool", x, x.shape[2:], y, window, window.pad, 0.0, y, p=int(p))
    else:
        powers = s.node("Pow", [s.node("Abs", [x]), s.number(p)])
        s.node("Pow", [sums(s, powers, x, y, window), s.number(1 / p)], y)


@says("lse_pool")
def lse_pool(s: Sheet, x: Tensor, y: Tensor, window: Window, beta: float) -> None:
    """1/beta log mean exp(beta x), over the taps of each window that lie in the image."""
    count = numbers(np.empty((1, 1, *x.shape[2:]), np.float32), window, y.shape[2:])
    if not count.all():
        raise Unsayable("a window beside the image has nothing to take the mean of")
    steeper = s.node("Mul", [x, s.number(beta)])
    if is_whole(window, x, y):
        total = s.reduce("ReduceLogSumExp", steeper, range(2, len(x.shape)))
    else:
        none = (0,) * len(window.kernel)
        after = behind(window, x.shape[2:], y.shape[2:], window.pad)
        wide = bordered(s, steeper, window.pad, after, -1e30)
        each = s.shaped(patches(s, wide, x.shape[1], window, none, none), [0, x.shape[1], window.area, *y.shape[2:]])
        total = s.reduce("ReduceLogSumExp", each, [2], keep=False)
    mean = s.node("Sub", [total, s.constant(f"{y.name}/log count", np.log(count))])
    s.node("Mul", [mean, s.number(1 / beta)], y)


@says("expected_pool")
def expected_pool(s: Sheet, x: Tensor, y: Tensor, window: Window) -> None:
    """sum of a^2 / sum of a, a = max(x, 0); 0 where all a are 0."""
    a = s.node("Relu", [x])
    total, squares = sums(s, a, x, y, window), sums(s, s.node("Mul", [a, a]), x, y, window)
    nothing = s.node("Equal", [total, s.number(0.0)])
    s.node("Div", [squares, s.node("Where", [nothing, s.number(1.0), total])], y)


@says("mask_winner")
def mask_winner(s: Sheet, mask: Tensor, winner: Tensor, size: int) -> None:
    """A place outside the plane becomes -1, as ours."""
    place = s.node("Round", [mask])
    inside = s.node("And", [s.node("GreaterOrEqual", [place, s.number(0.0)]), s.node("Less", [place, s.number(float(size))])])
    kept = s.node("Where", [inside, place, s.number(-1.0)])
    s.alias(winner, s.node("Cast", [kept], to=s.onnx.TensorProto.INT64))


@says("max_pool_dx")
def unpool(s: Sheet, dy: Tensor, winner: Tensor, dx: Tensor) -> None:
    """Unpooling: added at each winner, nothing where there is none."""
    plane, flat = prod(dx.shape[2:]), [0, dy.shape[1], -1]
    none = s.constant("no place", 0)
    there = s.node("GreaterOrEqual", [winner, none])
    place = s.shaped(s.node("Max", [winner, none]), flat)
    what = s.shaped(s.node("Where", [there, dy, s.number(0.0)]), flat)
    sizes = s.node("Concat", [s.node("Shape", [dy], start=0, end=2), s.ints([plane])], axis=0)
    empty = s.node("ConstantOfShape", [sizes])
    made = s.node("ScatterElements", [empty, place, what], axis=2, reduction="add")
    s.shaped(made, [0, *dx.shape[1:]], dx)


# --- sizes and regions ---
@says("upsample")
def upsample(s: Sheet, x: Tensor, y: Tensor, scale: tuple[int, ...], mode: str) -> None:
    scales = s.constant(f"scales {' '.join(map(str, scale))}", np.array([1, 1, *scale], np.float32))
    if mode == "nearest":
        keys = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        keys = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    s.node("Resize", [x, None, scales], y, **keys)


@says("roi_pool")
def roi_pool(s: Sheet, x: Tensor, rois: Tensor, y: Tensor, winner: Tensor, scale: float) -> None:
    s.node("MaxRoiPool", [x, rois], y, pooled_shape=list(y.shape[2:]), spatial_scale=scale)
