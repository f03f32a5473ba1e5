"""Convolution (cross-correlation, as everybody calls it) over any number of spatial axes, tap by tap."""

from math import prod
from typing import Any

import numpy as np

from dltrain.ops.signature import Add, In, Out, op
from dltrain.ops.window import Window


def padded(x: Any, window: Window) -> Any:
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in window.pad)])


def macs(args: dict[str, Any]) -> int:
    """Two operations for each product: 2 N O H' W' (C / group) kh kw"""
    y: Any = args.get("y", args.get("dy"))
    window = args["window"]
    x: Any = args.get("x", args.get("dx"))
    return int(2 * prod(y.shape) * (x.shape[1] // window.group) * window.area)


def groups(window: Window, x: Any, y: Any) -> Any:
    """(channels of x, channels of y) for each group."""
    c, o = x.shape[1] // window.group, y.shape[1] // window.group
    return [(slice(g * c, g * c + c), slice(g * o, g * o + o)) for g in range(window.group)]


@op(flops=macs)
def conv(x: In, w: In, b: In, y: Out, window: Window) -> None:
    """y[n, o] = sum over c, taps of x[n, c, at the tap] w[o, c, tap] + b[o]"""
    xp = padded(x, window)
    y[...] = 0 if b is None else b.reshape(-1, *[1] * len(window.kernel))
    for tap, at in window.taps(y.shape[2:]):
        for c, o in groups(window, x, y):
            y[:, o] += np.moveaxis(np.tensordot(w[o][:, :, *tap], xp[:, c][:, :, *at], (1, 1)), 0, 1)


@op(flops=macs)
def conv_dx(w: In, dy: In, dx: Out, window: Window) -> None:
    """dx[n, c, at the tap] += sum over o of dy[n, o] w[o, c, tap], over all taps"""
    dxp = np.zeros_like(padded(dx, window))
    for tap, at in window.taps(dy.shape[2:]):
        for c, o in groups(window, dx, dy):
            dxp[:, c][:, :, *at] += np.moveaxis(np.tensordot(w[o][:, :, *tap], dy[:, o], (0, 1)), 0, 1)
    inside = tuple(slice(p, p + n) for p, n in zip(window.pad, dx.shape[2:], strict=True))
    dx[...] = dxp[:, :, *inside]


@op(flops=macs)
def conv_dw(x: In, dy: In, dw: Add, db: Add, window: Window) -> None:
    """dw[o, c, tap] += sum over n, places of dy[n, o] x[n, c, at the tap];   db[o] += sum of dy[:, o]"""
    if db is not None:
        db += dy.sum(axis=(0, *range(2, dy.ndim)))
    if dw is None:
        return
    xp = padded(x, window)
    places = (0, *range(2, dy.ndim))
    for tap, at in window.taps(dy.shape[2:]):
        for c, o in groups(window, x, dy):
            dw[o][:, :, *tap] += np.tensordot(dy[:, o], xp[:, c][:, :, *at], (places, places))
