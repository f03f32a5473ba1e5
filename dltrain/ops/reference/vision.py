"""What layers on images do besides convolution and pooling: patches, untied filters, places of winners, sizes, regions."""

from itertools import product
from math import floor
from typing import Any

import numpy as np

from dltrain.ops.reference.convolution import macs, padded
from dltrain.ops.signature import Add, In, Out, op
from dltrain.ops.window import Window


# --- patches ---
def inside(window: Window, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    """Where the image lies in the padded image."""
    return tuple(slice(p, p + n) for p, n in zip(window.pad, sizes, strict=True))


@op()
def im2col(x: In, y: Out, window: Window) -> None:
    """y[n, c K + tap] = x[n, c, at the tap], K the number of taps"""
    xp = padded(x, window)
    for number, (_, at) in enumerate(window.taps(y.shape[2:])):
        y[:, number :: window.area] = xp[:, :, *at]


@op()
def im2col_dx(dy: In, dx: Out, window: Window) -> None:
    """dx[n, c, at the tap] += dy[n, c K + tap], over all taps"""
    dxp = np.zeros_like(padded(dx, window))
    for number, (_, at) in enumerate(window.taps(dy.shape[2:])):
        dxp[:, :, *at] += dy[:, number :: window.area]
    dx[...] = dxp[:, :, *inside(window, dx.shape[2:])]


# --- untied filters ---
def untied(w: Any, y: Any) -> Any:
    """The weights as (O, P, C, kernel...), P the number of places."""
    return w.reshape(y.shape[1], -1, *w.shape[1:])


@op(flops=macs)
def local_conv(x: In, w: In, b: In, y: Out, window: Window) -> None:
    """y[n, o, p] = sum over c, taps of x[n, c, at the tap] w[o P + p, c, tap] + b[o, p]          p one of P places"""
    xp, places = padded(x, window), y.shape[2:]
    total = np.zeros((*y.shape[:2], int(np.prod(places))), y.dtype)
    for tap, at in window.taps(places):
        total += np.einsum("ncp,opc->nop", xp[:, :, *at].reshape(*x.shape[:2], -1), untied(w, y)[:, :, :, *tap])
    y[...] = total.reshape(y.shape)
    if b is not None:
        y += b


@op(flops=macs)
def local_conv_dx(w: In, dy: In, dx: Out, window: Window) -> None:
    """dx[n, c, at the tap] += sum over o of dy[n, o, p] w[o P + p, c, tap], over all taps"""
    dxp, places = np.zeros_like(padded(dx, window)), dy.shape[2:]
    flat = dy.reshape(*dy.shape[:2], -1)
    for tap, at in window.taps(places):
        dxp[:, :, *at] += np.einsum("nop,opc->ncp", flat, untied(w, dy)[:, :, :, *tap]).reshape(*dx.shape[:2], *places)
    dx[...] = dxp[:, :, *inside(window, dx.shape[2:])]


@op(flops=macs)
def local_conv_dw(x: In, dy: In, dw: Add, db: Add, window: Window) -> None:
    """dw[o P + p, c, tap] += sum over n of dy[n, o, p] x[n, c, at the tap];   db[o, p] += sum of dy[:, o, p]"""
    if db is not None:
        db += dy.sum(axis=0)
    if dw is None:
        return
    xp, flat = padded(x, window), dy.reshape(*dy.shape[:2], -1)
    for tap, at in window.taps(dy.shape[2:]):
        seen = xp[:, :, *at].reshape(*x.shape[:2], -1)
        dw[:, :, *tap] += np.einsum("nop,ncp->opc", flat, seen).reshape(dw.shape[:2])


# --- places of winners ---
@op()
def winner_mask(x: In, winner: In, mask: Out) -> None:
    """mask = winner as a real number

    x is what was pooled, named so that no back end moves the pooling before what made x: among equals the winner would change.
    """
    mask[...] = winner


@op()
def mask_winner(mask: In, winner: Out, size: int) -> None:
    """winner = mask as a place in a plane of `size`, and -1 (none) where there is no such place"""
    place = np.rint(np.where(np.isfinite(mask), mask, -1))
    winner[...] = np.where((place >= 0) & (place < size), place, -1)


@op()
def take_winner(x: In, winner: In, y: Out) -> None:
    """y = x[winner] in each plane, 0 where there is none"""
    flat, at = x.reshape(*x.shape[:2], -1), winner.reshape(*winner.shape[:2], -1)
    y[...] = np.where(at >= 0, np.take_along_axis(flat, np.maximum(at, 0), 2), 0).reshape(y.shape)


# --- sizes ---
@op()
def crop(x: In, y: Out, starts: tuple[int, ...]) -> None:
    """y = x from `starts` on, as much as y holds on each axis"""
    y[...] = x[tuple(slice(start, start + size) for start, size in zip(starts, y.shape, strict=True))]


@op()
def pad(x: In, y: Out, before: tuple[int, ...], mode: str) -> None:
    """y = x with `before` places before it on each axis and the rest of y after it: 0, the edge, or x turned round at the edge"""
    axes = zip(before, x.shape, y.shape, strict=True)
    y[...] = np.pad(x, [(p, m - n - p) for p, n, m in axes], {"zero": "constant"}.get(mode, mode))  # type: ignore[call-overload]


@op()
def pad_dx(dy: In, dx: Out, before: tuple[int, ...], mode: str) -> None:
    """dx = dy, and each place of the border added to the place it was copied from"""
    total = dy
    for axis, (p, n) in enumerate(zip(before, dx.shape, strict=True)):
        at = np.arange(dy.shape[axis]) - p
        at = np.clip(at, 0, n - 1) if mode == "edge" else (n - 1) - np.abs((n - 1) - np.abs(at))
        total = gathered(total, axis, at, n)
    dx[...] = total


def gathered(dy: Any, axis: int, at: Any, size: int) -> Any:
    """Zeros of `size` along the axis, and slice i of dy added at place at[i]."""
    made = np.zeros((*dy.shape[:axis], size, *dy.shape[axis + 1 :]), dy.dtype)
    np.add.at(made, (*(slice(None),) * axis, at), dy)
    return made


def between(size: int, scale: int, dtype: Any) -> tuple[Any, Any, Any]:
    """Two places and the share of the second, for each place of an axis `scale` times as long; its centres lie evenly."""
    at = np.clip((np.arange(size * scale) + 0.5) / scale - 0.5, 0, size - 1)
    low = at.astype(int)
    share = at - low
    return low, np.where(share > 0, low + 1, low), share.astype(dtype)


def along(share: Any, axis: int, ndim: int) -> Any:
    return share.reshape(-1, *[1] * (ndim - axis - 1))


@op()
def upsample(x: In, y: Out, scale: tuple[int, ...], mode: str) -> None:
    """nearest: y[i] = x[i // scale];   bilinear: between the two nearest places on each axis"""
    for axis, s in enumerate(scale, 2):
        if mode == "nearest":
            x = np.repeat(x, s, axis)
        else:
            low, high, share = between(x.shape[axis], s, x.dtype)
            share = along(share, axis, x.ndim)
            x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    y[...] = x


@op()
def upsample_dx(dy: In, dx: Out, scale: tuple[int, ...], mode: str) -> None:
    """dx = each place of dy added, by its shares, to the places it was made of"""
    for axis, s in enumerate(scale, 2):
        size = dx.shape[axis]
        if mode == "nearest":
            dy = dy.reshape(*dy.shape[:axis], size, s, *dy.shape[axis + 1 :]).sum(axis + 1)
        else:
            low, high, share = between(size, s, dy.dtype)
            share = along(share, axis, dy.ndim)
            dy = gathered(dy * (1 - share), axis, low, size) + gathered(dy * share, axis, high, size)
    dx[...] = dy


# --- regions ---
def nearest(value: float) -> int:
    """Rounded, halves away from 0."""
    return floor(value + 0.5) if value >= 0 else -floor(0.5 - value)


def bins(first: float, last: float, count: int, size: int) -> list[slice]:
    """Bin i of `count` from first to last, both included: floor(i n / count) to ceil((i + 1) n / count), clipped to the image."""
    start = nearest(first)
    n = max(nearest(last) - start + 1, 1)
    edges = [(start + i * n // count, start - (-(i + 1) * n // count)) for i in range(count)]
    return [slice(min(max(low, 0), size), min(max(high, 0), size)) for low, high in edges]


@op()
def roi_pool(x: In, rois: In, y: Out, winner: Out, scale: float) -> None:
    """y[r] = max of x[rois[r, 0]] over each bin of the region; winner = its flat place in the plane; -1, and y = 0, if empty"""
    y[...], winner[...] = 0, -1
    planes = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    for r, (number, x1, y1, x2, y2) in enumerate(np.asarray(rois, float)):
        if not 0 <= (n := nearest(number)) < len(x):
            continue
        rows = bins(y1 * scale, y2 * scale, y.shape[2], x.shape[2])
        columns = bins(x1 * scale, x2 * scale, y.shape[3], x.shape[3])
        for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
            values = x[n, :, row, column].reshape(x.shape[1], -1)
            if values.size:
                best = values.argmax(1)
                y[r, :, i, j] = np.take_along_axis(values, best[:, None], 1)[:, 0]
                winner[r, :, i, j] = planes[row, column].reshape(-1)[best]


@op()
def roi_pool_dx(rois: In, dy: In, winner: In, dx: Out) -> None:
    """dx[rois[r, 0]][winner] += dy[r]"""
    flat = np.zeros((*dx.shape[:2], dx.shape[2] * dx.shape[3]), dx.dtype)
    r, c, *_ = at = np.nonzero(winner >= 0)
    numbers = np.array([nearest(number) for number in np.asarray(rois[:, 0], float)], int)
    np.add.at(flat, (numbers[r], c, winner[at]), dy[at])
    dx[...] = flat.reshape(dx.shape)
