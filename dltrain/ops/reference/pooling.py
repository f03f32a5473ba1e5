"""Pooling with Caffe's edge rules: windows are clipped to the image; the mean's divisor counts padding, not overhang."""

from typing import Any

import numpy as np

from dltrain.ops import philox
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


# --- other ways to make one number of a window: what each place sees, stacked tap by tap ---
def bordered(window: Window, sizes: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """The sizes of the image with its padding and what hangs over, and where in them the image lies."""
    axes = list(zip(sizes, outputs, window.kernel, window.stride, window.pad, strict=True))
    full = tuple(max(p + n, (o - 1) * s + k) for n, o, k, s, p in axes)
    return full, tuple(slice(p, p + n) for n, _, _, _, p in axes)


def seen(x: Any, window: Window, outputs: tuple[int, ...], outside: float) -> Any:
    """(taps, N, C, places...): what lies under each tap of the window at each place; `outside` beyond the image."""
    full, image = bordered(window, x.shape[2:], outputs)
    xp = np.full((*x.shape[:2], *full), outside, x.dtype)
    xp[:, :, *image] = x
    return np.stack([xp[:, :, *at] for _, at in window.taps(outputs)])


def spread(shares: Any, dx: Any, window: Window) -> None:
    """dx = the shares (as `seen` orders them), each added at its tap's place"""
    full, image = bordered(window, dx.shape[2:], shares.shape[3:])
    dxp = np.zeros((*dx.shape[:2], *full), dx.dtype)
    for share, (_, at) in zip(shares, window.taps(shares.shape[3:]), strict=True):
        dxp[:, :, *at] += share
    dx[...] = dxp[:, :, *image]


def numbers(x: Any, window: Window, outputs: tuple[int, ...]) -> Any:
    """How many elements of the image each window holds."""
    return seen(np.ones((1, 1, *x.shape[2:]), x.dtype), window, outputs, 0).sum(0)


@op()
def sum_pool(x: In, y: Out, window: Window) -> None:
    """y = sum of x over each window"""
    y[...] = seen(x, window, y.shape[2:], 0).sum(0)


@op()
def sum_pool_dx(dy: In, dx: Out, window: Window) -> None:
    """dx += dy over each window"""
    spread(np.broadcast_to(dy, (window.area, *dy.shape)), dx, window)


@op()
def lp_pool(x: In, y: Out, window: Window, p: float) -> None:
    """y = (sum of |x|^p)^(1/p) over each window, with the largest |x| taken out, so that nothing overflows"""
    values = np.abs(seen(x, window, y.shape[2:], 0))
    largest = values.max(0)
    unit = np.where(largest > 0, largest, 1)
    y[...] = unit * np.power(np.power(values / unit, p).sum(0), 1 / p)


@op()
def lp_pool_dx(x: In, y: In, dy: In, dx: Out, window: Window, p: float) -> None:
    """dx += dy sign(x) (|x| / y)^(p - 1) over each window, 0 where y = 0"""
    values = seen(x, window, y.shape[2:], 0)
    spread(dy * np.sign(values) * np.power(np.abs(values) / np.where(y > 0, y, 1), p - 1), dx, window)


@op()
def lse_pool(x: In, y: Out, window: Window, beta: float) -> None:
    """y = 1/beta log mean exp(beta x) over what each window holds of the image, 0 where it holds nothing"""
    values, n = seen(x, window, y.shape[2:], -np.inf), numbers(x, window, y.shape[2:])
    largest = values.max(0)
    largest = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(all="ignore"):
        total = np.exp(beta * (values - largest)).sum(0)
        y[...] = np.where(n > 0, largest + np.log(total / n) / beta, 0)


@op()
def lse_pool_dx(x: In, y: In, dy: In, dx: Out, window: Window, beta: float) -> None:
    """dx += dy exp(beta (x - y)) / n over each window of n elements"""
    with np.errstate(all="ignore"):
        weights = np.exp(beta * (seen(x, window, y.shape[2:], -np.inf) - y))
    spread(dy * weights / np.maximum(numbers(x, window, y.shape[2:]), 1), dx, window)


@op()
def stochastic_pool(x: In, count: In, y: Out, winner: Out, window: Window, key: tuple[int, int]) -> None:
    """y = one x of each window, drawn with probability max(x, 0) / sum; winner = its flat place in the plane

    Word i of the Philox stream (key, count) draws for element i of y.  A window without anything above 0 gives 0 and winner -1.
    """
    values = seen(x, window, y.shape[2:], 0)
    places = seen(np.arange(np.prod(x.shape[2:])).reshape(1, 1, *x.shape[2:]), window, y.shape[2:], -1)
    upto = np.cumsum(np.maximum(values, 0), axis=0, dtype=np.float64)
    draw = philox.words(key, int(count[0]), y.size).reshape(y.shape) / 2.0**32
    tap = np.minimum((upto <= draw * upto[-1]).sum(0), len(values) - 1)[None]
    y[...] = np.where(upto[-1] > 0, np.take_along_axis(values, tap, 0)[0], upto[-1].astype(y.dtype))
    winner[...] = np.where(upto[-1] > 0, np.take_along_axis(np.broadcast_to(places, values.shape), tap, 0)[0], -1)


@op()
def expected_pool(x: In, y: Out, window: Window) -> None:
    """y = sum of a^2 / sum of a over each window, a = max(x, 0): the mean of what stochastic_pool draws; 0 where all a are 0"""
    values = np.maximum(seen(x, window, y.shape[2:], 0), 0)
    total = values.sum(0)
    y[...] = np.square(values).sum(0) / np.where(total == 0, 1, total)
