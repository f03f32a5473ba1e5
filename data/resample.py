"""How pictures are sampled anew: along one axis after the other, or every pixel from a place of its own.  Numba kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numba import njit

Sampling = Literal["bilinear", "nearest", "bicubic", "area"]
Window = tuple[int, int, int, int]  # upper left corner, height and width
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

F, U = np.float32, np.uint64


def kernel(function: Kernel) -> Kernel:
    """No fast arithmetic: every number is rounded where it stands, or results would depend on the machine and the batch."""
    made: Kernel = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)(function)
    return made


class Taps(NamedTuple):
    """y_i = sum over k of weights[i, k] x[first[i] + k];  between = True:  y_i = x_lo + weights[i, 0] (x_hi - x_lo)"""

    first: Any  # (new)
    weights: Any  # (new, K), float32
    between: bool = False  # lo = first[i], hi the one after it, but for the last

    def part(self, start: int, count: int) -> Taps:
        """Those of some of the new pixels."""
        return Taps(self.first[start : start + count], self.weights[start : start + count], self.between)

    def reach(self, old: int) -> tuple[int, int]:
        """The first of the `old` pixels that is read, and the one after the last."""
        return int(self.first[0]), min(old, int(self.first[-1]) + (2 if self.between else self.weights.shape[1]))

    def moved(self, start: int) -> Taps:
        """The same, where the old pixels are counted from `start`."""
        return Taps(frozen(self.first - start), self.weights, self.between)


@lru_cache(maxsize=256)
def taps(old: int, new: int, mode: Sampling) -> Taps:
    """Which old pixels make a new one along an axis, and with what weights: the formula of `resize`."""
    i, r = np.arange(new), old / new
    p, s = (i + 0.5) * old / new - 0.5, max(1.0, r)
    if mode == "bilinear" and new >= old:
        p = np.clip(p, 0, old - 1)
        low = np.floor(p)
        return fixed(low, (p - low)[:, None], True)
    if mode == "area":
        count, first = min(old, int(np.ceil(r)) + 1), np.floor(i * r)
    else:
        reach = s * (1 if mode == "bilinear" else 2)
        count, first = min(old, int(2 * reach) + 1), np.ceil(p - reach)
    first = np.clip(first, 0, old - count)
    j = first[:, None] + np.arange(count)
    if mode == "area":
        weights = np.minimum(j + 1, ((i + 1) * r)[:, None]) - np.maximum(j, (i * r)[:, None])
        return fixed(first, np.maximum(weights, 0))
    t = np.abs(j - p[:, None]) / s
    return fixed(first, np.maximum(0, 1 - t) if mode == "bilinear" else cubic(t))


def cubic(t: Any) -> Any:
    """Keys' cubic with a = -1/2, the one that is right for parabolas (1981)."""
    return np.where(t < 1, (1.5 * t - 2.5) * t * t + 1, np.where(t < 2, ((-0.5 * t + 2.5) * t - 4) * t + 2, 0))


@lru_cache(maxsize=8)
def bell(size: int, sigma: float) -> Taps:
    """A Gaussian round every pixel, cut off at 3 sigma and at the border."""
    reach = int(np.ceil(3 * sigma))
    i, count = np.arange(size), min(size, 2 * reach + 1)
    first = np.clip(i - reach, 0, size - count)
    t = np.abs(first[:, None] + np.arange(count) - i[:, None])
    return fixed(first, np.where(t <= reach, np.exp(-0.5 * (t / sigma) ** 2), 0))


def fixed(first: Any, weights: Any, between: bool = False) -> Taps:
    """Read-only, since they are shared; weights of a sum add up to 1."""
    total = 1 if between else weights.sum(axis=1, keepdims=True)
    return Taps(frozen(first.astype(np.int64)), frozen((weights / total).astype(F)), between)


def frozen(x: Any) -> Any:
    """Read-only and in order, so that each kernel is compiled for one kind of array."""
    made = np.ascontiguousarray(x).view()
    made.flags.writeable = False
    return made


def resized(x: Any, size: tuple[int, int], mode: Sampling, window: Window | None = None) -> Any:
    """C x H x W of any type and strides to C x H' x W', or to a window of that: float32, or for `nearest` as it was."""
    _, height, width = x.shape
    a, b, h, w = window or (0, 0, *size)
    if (height, width) == size:
        return x[:, a : a + h, b : b + w]
    if mode == "nearest":
        rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip((height, width), size, strict=True))
        return x.take(rows[a : a + h], 1).take(columns[b : b + w], 2)
    rows, columns = (taps(old, new, mode) if old != new else None for old, new in zip((height, width), size, strict=True))
    return separable(x, rows, columns, window)


def separable(x: Any, rows: Taps | None, columns: Taps | None, window: Window | None = None) -> Any:
    """C x H x W to float32, sampled along one axis and then the other: rows first, where that does not make more of them.

    A window of it has the same numbers as in the whole: each is computed as it would be there.
    """
    lines, step = in_lines(x)
    (_, height, width), planes = x.shape, len(lines)
    h, w = (old if taps is None else len(taps.first) for old, taps in ((height, rows), (width, columns)))
    a, b, h_, w_ = window or (0, 0, h, w)
    if rows is not None and columns is not None and (h < height or h * width < w * height):
        rows, columns = rows.part(a, h_), columns.part(b, w_)
        low, high = columns.reach(width)
        made = np.empty((planes, h_, (high - low) * step), F)
        along_rows(lines, *rows, low * step, made)
        y = np.empty((planes * step, h_, w_), F)
        across(frozen(made), columns.moved(low), step, y)
        return y
    if columns is None:
        assert rows is not None
        y = np.empty((planes, h, lines.shape[2]), F)
        along_rows(lines, *rows, 0, y)
        y = y.reshape(planes, h, w, step).transpose(0, 3, 1, 2).reshape(-1, h, w)
    else:
        y = np.empty((planes * step, height, w), F)
        across(lines, columns, step, y)
        if rows is not None:
            made, y = frozen(y), np.empty((planes * step, h, w), F)
            along_rows(made, *rows, 0, y)
    return y[:, a : a + h_, b : b + w_]


def across(x: Any, taps: Taps, step: int, y: Any) -> None:
    """Columns of y (planes step, H, W') from rows of x (planes, H, W step)"""
    if step == 3 and not taps.between:
        along_columns_of_colours(x, taps.first, taps.weights, y)
    else:
        along_columns(x, *taps, step, y)


def in_lines(x: Any) -> tuple[Any, int]:
    """The rows of a picture as they lie in memory, (planes, H, W step), with `step` channels side by side in each."""
    x = x if x.dtype in (np.uint8, F) else x.astype(F)
    channels, height, width = x.shape
    if 1 < channels <= 4 and abs(x.strides[0]) < abs(x.strides[2]):
        return frozen(x.transpose(1, 2, 0)).reshape(1, height, width * channels), channels
    return frozen(x), 1


@kernel
def along_rows(x: Any, first: Any, weights: Any, between: bool, start: int, y: Any) -> None:
    """Rows of y (planes, H', L') from those of x (planes, H, L), of which places `start` and on count"""
    end = start + y.shape[2]
    for p in range(y.shape[0]):
        for i in range(y.shape[1]):
            made = y[p, i]
            low = x[p, first[i], start:end]
            if between:
                high, t = x[p, min(first[i] + 1, x.shape[1] - 1), start:end], weights[i, 0]
                for l in range(made.size):
                    a = F(low[l])
                    made[l] = (F(high[l]) - a) * t + a
                continue
            for l in range(made.size):
                made[l] = weights[i, 0] * F(low[l])
            for k in range(1, weights.shape[1]):
                row, t = x[p, first[i] + k, start:end], weights[i, k]
                for l in range(made.size):
                    made[l] += t * F(row[l])


@kernel
def along_columns(x: Any, first: Any, weights: Any, between: bool, step: int, y: Any) -> None:
    """Columns of y (planes step, H, W') from rows of x (planes, H, W step)"""
    for p in range(x.shape[0]):
        for h in range(x.shape[1]):
            row = x[p, h]
            for c in range(step):
                made = y[p * step + c, h]
                for j in range(made.size):
                    at = U(first[j] * step + c)
                    if between:
                        a = F(row[at])
                        made[j] = (F(row[min(at + U(step), U(row.size - step + c))]) - a) * weights[j, 0] + a
                    else:
                        total = F(0.0)
                        for k in range(weights.shape[1]):
                            total += weights[j, k] * F(row[at])
                            at += U(step)
                        made[j] = total


@kernel
def along_columns_of_colours(x: Any, first: Any, weights: Any, y: Any) -> None:
    """The same for three channels side by side, whose weights are read once; never between = True"""
    for p in range(x.shape[0]):
        for h in range(x.shape[1]):
            row, red, green, blue = x[p, h], y[3 * p, h], y[3 * p + 1, h], y[3 * p + 2, h]
            for j in range(red.size):
                at, r, g, b = U(first[j] * 3), F(0.0), F(0.0), F(0.0)
                for k in range(weights.shape[1]):
                    t = weights[j, k]
                    r += t * F(row[at])
                    g += t * F(row[at + U(1)])
                    b += t * F(row[at + U(2)])
                    at += U(3)
                red[j], green[j], blue[j] = r, g, b


EDGE, REFLECT, CONSTANT = 0, 1, 2  # what lies beyond the border
BEYOND = {"edge": EDGE, "reflect": REFLECT, "constant": CONSTANT}


def folded(p: Any, size: int, mode: str) -> Any:
    """Places along an axis, those beyond its ends brought back to it."""
    if mode == "edge" or size == 1:
        return np.clip(p, 0, size - 1)
    p = p % (2 * (size - 1))
    return np.minimum(p, 2 * (size - 1) - p)


@kernel
def brought_back(p: float, size: int, beyond: int) -> float:
    """As `folded`, for one place of a picture."""
    last = float(size - 1)
    if 0.0 <= p <= last or beyond == CONSTANT:
        return p
    if beyond == REFLECT and size > 1:
        p = p % (2 * last)
        p = min(p, 2 * last - p)
    return min(max(p, 0.0), last)


@kernel
def pixel(plane: Any, size: Any, i: int, j: int, value: Any) -> Any:
    """x[i, j] where it is in the picture"""
    return plane[U(i * size[1] + j)] if 0 <= i < size[0] and 0 <= j < size[1] else value


@kernel
def taken(plane: Any, size: Any, p: float, q: float, value: Any) -> Any:
    """x at the place (p, q), of the four pixels around it, any of which may lie outside"""
    a, b = int(np.floor(p)), int(np.floor(q))
    low, high = F(pixel(plane, size, a, b, value)), F(pixel(plane, size, a + 1, b, value))
    t = F(q - b)
    low += (F(pixel(plane, size, a, b + 1, value)) - low) * t
    high += (F(pixel(plane, size, a + 1, b + 1, value)) - high) * t
    return low + (high - low) * F(p - a)


@kernel
def warp(x: Any, size: Any, matrix: Any, field: Any, beyond: int, nearest: bool, value: Any, y: Any) -> None:
    """y[n, :, i, j] = x[n, :, p, q]     (p, q) = matrix[n] (i, j, 1) + field[n, :, i, j]

    x, y (N, C, H W); size (H, W); matrix (N, 2, 3); field (N, 2, H W), or of no samples for none.  Between pixels bilinear.
    """
    channels, (H, W) = x.shape[1], size
    for n in range(x.shape[0]):
        for at in range(H * W):
            i, j = at // W, at % W
            p = matrix[n, 0, 0] * i + matrix[n, 0, 1] * j + matrix[n, 0, 2]
            q = matrix[n, 1, 0] * i + matrix[n, 1, 1] * j + matrix[n, 1, 2]
            if n < field.shape[0]:
                p, q = p + field[n, 0, at], q + field[n, 1, at]
            p, q = brought_back(p, H, beyond), brought_back(q, W, beyond)
            if nearest:
                a, b = int(np.floor(p + 0.5)), int(np.floor(q + 0.5))
                for c in range(channels):
                    y[n, c, at] = pixel(x[n, c], size, a, b, value)
            elif 0.0 <= p < H - 1 and 0.0 <= q < W - 1:  # most of them; the same arithmetic as `taken`
                a, b = int(p), int(q)
                here, s, t = U(a * W + b), F(p - a), F(q - b)
                below = here + U(W)
                for c in range(channels):
                    plane = x[n, c]
                    low, high = F(plane[here]), F(plane[below])
                    low += (F(plane[here + U(1)]) - low) * t
                    high += (F(plane[below + U(1)]) - high) * t
                    y[n, c, at] = low + (high - low) * s
            else:
                for c in range(channels):
                    y[n, c, at] = taken(x[n, c], size, p, q, value)
