"""Ops that back ends put in the place of several: what they mean, said with the plain ones."""

from math import prod
from typing import Any

import numpy as np

from dltrain.ops.formula import Formula
from dltrain.ops.reference.convolution import conv, conv_dw, conv_dx, macs
from dltrain.ops.reference.dense import inner_product
from dltrain.ops.reference.dense import macs as products
from dltrain.ops.reference.elementwise import elementwise
from dltrain.ops.reference.normalization import channel_norm
from dltrain.ops.reference.pooling import max_pool, max_pool_dx
from dltrain.ops.signature import Add, In, Out, op
from dltrain.ops.window import Window


def plane(x: Any, window: Window, channels: int) -> Any:
    return np.empty((len(x), channels, *window.convolved(x.shape[2:])), x.dtype)


def both(args: dict[str, Any]) -> int:
    """Forward's products once for each gradient that is wanted."""
    weights = args["w"] if args["w"] is not None else args["dw"]
    places = args["x"].shape[0] * prod(args["window"].convolved(args["x"].shape[2:]))
    return int(2 * places * prod(weights.shape)) * ((args["dx"] is not None) + (args["dw"] is not None))


@op(flops=lambda args: both({**args, "dx": None, "dw": args["w"]}))
def conv_max_pool(x: In, w: In, b: In, y: Out, winner: Out, window: Window, pool: Window) -> None:
    """y, winner = max_pool(conv(x, w, b))"""
    full = plane(x, window, len(w))
    conv.function(x, w, b, full, window)
    max_pool.function(full, y, winner, pool)


@op(flops=both)
def conv_max_pool_grad(x: In, w: In, dy: In, winner: In, dx: Out, dw: Add, db: Add, window: Window, pool: Window) -> None:
    """The gradients of conv_max_pool by x, w and b, as far as they are wanted"""
    full = plane(x, window, len(w))
    max_pool_dx.function(dy, winner, full)
    conv_grad.function(x, w, full, dx, dw, db, window)


@op(flops=both)
def conv_grad(x: In, w: In, dy: In, dx: Out, dw: Add, db: Add, window: Window) -> None:
    """conv_dx and conv_dw at once, as far as they are wanted"""
    if dx is not None:
        conv_dx.function(w, dy, dx, window)
    conv_dw.function(x, dy, dw, db, window)


@op(flops=macs)
def conv_elementwise(x: In, w: In, b: In, y: Out, window: Window, formula: Formula, constants: tuple[float, ...]) -> None:
    """y = formula(conv(x, w, b), constants)"""
    conv.function(x, w, b, y, window)
    elementwise.function((y,), y, formula, constants)


@op(flops=products)
def inner_product_elementwise(x: In, w: In, b: In, y: Out, formula: Formula, constants: tuple[float, ...]) -> None:
    """y = formula(x w' + b, constants)"""
    inner_product.function(x, w, b, y)
    elementwise.function((y,), y, formula, constants)


@op()
def channel_norm_elementwise(
    x: In, mean: In, variance: In, scale: In, bias: In, other: In, y: Out,
    eps: float, formula: Formula, constants: tuple[float, ...],
) -> None:  # fmt: skip
    """y = formula(channel_norm(x) + other, constants); other (or None) in the shape of x"""
    made = np.empty_like(x)
    channel_norm.function(x, mean, variance, scale, bias, made, eps)
    elementwise.function((made if other is None else made + other,), y, formula, constants)
