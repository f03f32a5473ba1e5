"""Pooling with Caffe's edge rules: windows are clipped to the image; the mean's divisor counts padding, not overhang."""

from typing import Any

import numpy as np

from dltrain.ops.signature import In, Out, op
from dltrain.ops.window import Window


def starts(window: Window, y: Any) -> Any:
    """For each output place: its index, and the first position of its window on each axis (before clipping)."""
    for place in np.ndindex(*y.shape[2:]):
        yield place, [o * s - p for o, s, p in zip(place, window.stride, window.pad, strict=True)]


def clipped(first: list[int], window: Window, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    axes = zip(first, window.kernel, sizes, strict=True)
    return tuple(slice(max(f, 0), max(min(f + k, n), max(f, 0))) for f, k, n in axes)


def divisor(first: list[int], window: Window, sizes: tuple[int, ...]) -> int:
    """The window's size clipped to the padded image, as Caffe counts it before it clips to the image."""
    area = 1
    for f, k, n, p in zip(first, window.kernel, sizes, window.pad, strict=True):
        area *= min(f + k, n + p) - f
    return area


@op()
def max_pool(x: In, y: Out, winner: Out, window: Window) -> None:
    """y = max of x over each window; winner = its flat place in the plane.  The first of equals wins.

    A number beats NaN; where there is none above -inf, the first element stands, so that NaN stays visible.  (Caffe gives the
    lowest finite number there.)  A window with no element gives the lowest finite number and winner -1, as in Caffe.
    """
    planes = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:])
    for place, first in starts(window, y):
        at = clipped(first, window, x.shape[2:])
        values = x[:, :, *at].reshape(*x.shape[:2], -1)
        y[:, :, *place], winner[:, :, *place] = np.finfo(x.dtype).min, -1
        if values.shape[-1]:
            best = np.where(np.isnan(values), -np.inf, values).argmax(-1)
            y[:, :, *place] = np.take_along_axis(values, best[..., None], -1)[..., 0]
            winner[:, :, *place] = planes[at].reshape(-1)[best]


@op()
def max_pool_dx(dy: In, winner: In, dx: Out) -> None:
    """dx[winner] += dy"""
    flat = np.zeros((dx.shape[0] * dx.shape[1], int(np.prod(dx.shape[2:]))), dx.dtype)
    to, what = winner.reshape(len(flat), -1), dy.reshape(len(flat), -1)
    rows = np.broadcast_to(np.arange(len(flat))[:, None], to.shape)
    np.add.at(flat, (rows[to >= 0], to[to >= 0]), what[to >= 0])
    dx[...] = flat.reshape(dx.shape)


@op()
def mean_pool(x: In, y: Out, window: Window) -> None:
    """y = sum of x over each window / divisor"""
    for place, first in starts(window, y):
        at = clipped(first, window, x.shape[2:])
        total = x[:, :, *at].sum(axis=tuple(range(2, x.ndim)))
        y[:, :, *place] = total / max(divisor(first, window, x.shape[2:]), 1)


@op()
def mean_pool_dx(dy: In, dx: Out, window: Window) -> None:
    """dx += dy / divisor over each window"""
    dx[...] = 0
    spatial = (1,) * (dx.ndim - 2)
    for place, first in starts(window, dy):
        share = dy[:, :, *place] / max(divisor(first, window, dx.shape[2:]), 1)
        dx[:, :, *clipped(first, window, dx.shape[2:])] += share.reshape(*share.shape, *spatial)
