"""What each channel has of its own, and what goes on among the channels of one place."""

from typing import Any

import numpy as np

from dltrain.ops.signature import Add, In, Out, op


def beside(z: Any, x: Any, axis: int) -> Any:
    """z with its axes at those of x from `axis` on, ready for arithmetic with x; one number goes with everything."""
    if z.size == 1:
        return z.reshape((1,) * x.ndim)
    return z.reshape(*z.shape, *[1] * (x.ndim - axis - z.ndim))


def collected(x: Any, z: Any, axis: int) -> Any:
    """x summed over all axes that z was repeated along."""
    if z.size == 1:
        return x.sum().reshape(z.shape)
    return x.sum(axis=(*range(axis), *range(axis + z.ndim, x.ndim)))


@op(y="x")
def scale_bias(x: In, scale: In, bias: In, y: Out, axis: int) -> None:
    """y = x scale + bias, both (where given) at the axes of x from `axis` on, or one number (dx: on dy, no bias)"""
    made = x if scale is None else x * beside(scale, x, axis)
    y[...] = made if bias is None else made + beside(bias, x, axis)


@op()
def scale_bias_dw(x: In, dy: In, dscale: Add, dbias: Add, axis: int) -> None:
    """dscale += sum of dy x;   dbias += sum of dy, over the axes that they were repeated along"""
    if dscale is not None:
        dscale += collected(dy * x, dscale, axis)
    if dbias is not None:
        dbias += collected(dy, dbias, axis)


@op()
def scale_bias_dz(x: In, dy: In, dz: Out, axis: int) -> None:
    """dz = sum of dy x (of dy where there is no x), over the axes that z was repeated along"""
    dz[...] = collected(dy if x is None else dy * x, dz, axis)


@op(y="x")
def prelu(x: In, slope: In, y: Out) -> None:
    """y = x if x > 0 else slope x, a slope for each channel (axis 1) or one for all"""
    y[...] = np.where(x > 0, x, beside(slope, x, 1) * x)


@op(dx="dy")
def prelu_dx(x: In, slope: In, dy: In, dx: Out) -> None:
    """dx = dy if x > 0 else slope dy"""
    dx[...] = np.where(x > 0, dy, beside(slope, x, 1) * dy)


@op()
def prelu_dw(x: In, dy: In, dslope: Add) -> None:
    """dslope += sum of dy x where x <= 0"""
    dslope += collected(np.where(x > 0, 0, dy * x), dslope, 1)


def pieces(x: Any, y: Any) -> Any:
    """x as (N, channels of y, pieces, ...)."""
    return x.reshape(*y.shape[:2], x.shape[1] // y.shape[1], *x.shape[2:])


@op()
def maxout(x: In, y: Out, winner: Out) -> None:
    """y[c] = max of the channels of x in group c, neighbours all;   winner = which, the first of equals"""
    parts = pieces(x, y)
    winner[...] = parts.argmax(axis=2)
    y[...] = parts.max(axis=2)


@op()
def maxout_dx(dy: In, winner: In, dx: Out) -> None:
    """dx[winner] = dy, 0 elsewhere"""
    count = dx.shape[1] // dy.shape[1]
    for piece in range(count):
        dx[:, piece::count] = np.where(winner == piece, dy, 0)


@op(y="x")
def log_softmax(x: In, y: Out, axis: int) -> None:
    """y = x - max x - log(sum of exp(x - max x))"""
    moved = x - x.max(axis=axis, keepdims=True)
    y[...] = moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True))


@op(dx="dy")
def log_softmax_dx(y: In, dy: In, dx: Out, axis: int) -> None:
    """dx = dy - exp(y) sum of dy"""
    dx[...] = dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)
