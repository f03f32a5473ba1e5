"""Normalisation as nodes of ONNX: its own operators where they say the same, else sums and roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.ops.reference.normalization import window_weights
from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet, Value, says
from dltrain.translate.to_onnx_values import beside


def or_else(s: Sheet, z: Tensor | None, name: str, shape: tuple[int, ...], value: float) -> str:
    """A parameter, or a constant where there is none."""
    return s.constant(name, np.full(shape, value, np.float32)) if z is None else s.name(z)


# --- BatchNorm ---
@says("kept_moments")
def kept_moments(s: Sheet, kept_mean: Tensor, kept_variance: Tensor, factor: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Constants, always computed beforehand: sums over their weight."""
    raise TypeError("statistics hang on what the net reads")


@says("channel_moments")
def channel_moments(s: Sheet, x: Tensor, mean: Tensor, variance: Tensor) -> None:
    axes = [0, *range(2, len(x.shape))]
    middle = s.reduce("ReduceMean", x, axes)
    off = s.node("Sub", [x, middle])
    spread = s.reduce("ReduceMean", s.node("Mul", [off, off]), axes)
    s.shaped(middle, [-1], mean)
    s.shaped(spread, [-1], variance)


@says("channel_norm")
def channel_norm(
    s: Sheet, x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor | None, bias: Tensor | None, y: Tensor, eps: float
) -> None:
    layer, channels = s.call.layer, (x.shape[1],)
    scales = or_else(s, scale, f"{layer}.scale", channels, 1.0)
    biases = or_else(s, bias, f"{layer}.bias", channels, 0.0)
    s.node("BatchNormalization", [x, scales, biases, mean, variance], y, epsilon=eps)


# --- LayerNorm, GroupNorm, InstanceNorm, MVN ---
@says("row_moments")
def row_moments(s: Sheet, x: Tensor, mean: Tensor, variance: Tensor | None) -> None:
    """Written with what is done by them."""


@says("row_norm")
def row_norm(
    s: Sheet, x: Tensor, mean: Tensor, variance: Tensor | None, scale: Tensor | None, bias: Tensor | None, y: Tensor,
    eps: float, axis: int, eps_on: str,
) -> None:  # fmt: skip
    layer, own = s.call.layer, mean.shape == x.shape[: len(mean.shape)]
    if eps_on == "deviation" or variance is None:
        centred(s, x, len(mean.shape), variance is not None, eps, y)
    elif own and axis == len(mean.shape):  # LayerNorm
        scales = or_else(s, scale, f"{layer}.scale", x.shape[axis:], 1.0)
        s.node("LayerNormalization", [x, scales, bias], y, axis=axis, epsilon=eps)
    elif own and len(mean.shape) == 2 and len(x.shape) > 2:
        scales = or_else(s, scale, f"{layer}.scale", x.shape[1:2], 1.0)
        biases = or_else(s, bias, f"{layer}.bias", x.shape[1:2], 0.0)
        s.node("InstanceNormalization", [x, scales, biases], y, epsilon=eps)
    else:
        groups = mean.shape[1:2]
        ones, zeros = (or_else(s, None, f"{layer}/{name}", groups, value) for name, value in (("ones", 1.0), ("zeros", 0.0)))
        made = s.node("InstanceNormalization", [s.shaped(x, [0, *groups, -1]), ones, zeros], epsilon=eps)
        made = s.shaped(made, [0, *x.shape[1:]], y if scale is None else None)
        if scale is not None and bias is not None:
            s.node("Add", [s.node("Mul", [made, beside(s, scale, x, axis)]), beside(s, bias, x, axis)], y)


def centred(s: Sheet, x: Tensor, first: int, scaled: bool, eps: float, y: Tensor) -> None:
    """(x - mean) / (deviation + eps) over the axes from `first` on; the first half alone where not scaled."""
    axes = range(first, len(x.shape))
    off = s.node("Sub", [x, s.reduce("ReduceMean", x, axes)], None if scaled else y)
    if scaled:
        deviation = s.node("Sqrt", [s.reduce("ReduceMean", s.node("Mul", [off, off]), axes)])
        s.node("Div", [off, s.node("Add", [deviation, s.number(eps)])], y)


# --- neighbours ---
@says("lrn")
def lrn(
    s: Sheet, x: Tensor, local: Tensor, y: Tensor, axes: tuple[int, ...], size: int, rate: float, beta: float, offset: float
) -> None:
    """In ONNX alpha is over the size; over the places of a map a mean is what AveragePool gives."""
    if axes == (1,):
        s.node("LRN", [x], y, size=size, alpha=rate * size, beta=beta, bias=offset)
        return
    keys: dict[str, Any] = {"kernel_shape": [size] * len(axes), "pads": [size // 2] * 2 * len(axes), "count_include_pad": 1}
    squares = s.node("AveragePool", [s.node("Mul", [x, x])], **keys)
    around = s.node("Add", [s.node("Mul", [squares, s.number(rate * size ** len(axes))]), s.number(offset)])
    s.node("Mul", [x, s.node("Pow", [around, s.number(-beta)])], y)


def mean_around(s: Sheet, x: Value, shape: tuple[int, ...], size: int) -> str:
    """(N, 1, ...): the weighted mean over all maps and the window; a product with the weights along each axis."""
    made = s.reduce("ReduceMean", x, [1])
    for axis in range(2, len(shape)):
        order = [at for at in range(len(shape)) if at != axis] + [axis]
        back = [order.index(at) for at in range(len(shape))]
        weights = s.constant(f"around {shape[axis]} {size}", window_weights(shape[axis], size, np.float32).T)
        made = s.turned(s.node("MatMul", [s.turned(made, order), weights]), back)
    return made


@says("subtract_around")
def subtract_around(s: Sheet, x: Tensor, y: Tensor, size: int) -> None:
    s.node("Sub", [x, mean_around(s, x, x.shape, size)], y)


@says("divide_around")
def divide_around(s: Sheet, x: Tensor, deviation: Tensor, y: Tensor, size: int) -> None:
    d = s.node("Sqrt", [mean_around(s, s.node("Mul", [x, x]), x.shape, size)])
    most = s.node("Max", [d, s.reduce("ReduceMean", d, range(1, len(x.shape)))])
    there = s.node("Greater", [most, s.number(0.0)])
    s.node("Where", [there, s.node("Div", [x, most]), s.number(0.0)], y)
