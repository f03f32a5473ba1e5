"""Values in other places: axes in another order, rows picked, pieces repeated, and the sums that are their gradients."""

from typing import Any

import numpy as np

from dltrain.ops.signature import Add, In, Out, op


@op()
def permute(x: In, y: Out, order: tuple[int, ...]) -> None:
    """y's axis i = x's axis order[i]"""
    y[...] = x.transpose(order)


@op()
def permute_add(x: In, y: Add, order: tuple[int, ...]) -> None:
    """y's axis i += x's axis order[i]"""
    y += x.transpose(order)


@op()
def tile(x: In, y: Out, axis: int, tiles: int) -> None:
    """y = x, `tiles` times one behind another along the axis"""
    y[...] = np.concatenate([x] * tiles, axis)


@op()
def tile_dx(dy: In, dx: Out, axis: int, tiles: int) -> None:
    """dx = sum of the tiles of dy"""
    dx[...] = dy.reshape(*dx.shape[:axis], tiles, *dx.shape[axis:]).sum(axis=axis)


def lined_up(x: Any, axes: int) -> Any:
    """x with `axes` axes: one number has as many as are wanted."""
    return x.reshape((1,) * axes) if x.size == 1 else x


@op()
def broadcast(x: In, y: Out) -> None:
    """y = x, repeated along the axes where x has size 1 (and everywhere, where x is one number)"""
    y[...] = lined_up(x, y.ndim)


@op()
def broadcast_dx(dy: In, dx: Out) -> None:
    """dx = sum of dy along the axes where dx has size 1"""
    wide = (1,) * dy.ndim if dx.size == 1 else dx.shape
    axes = tuple(axis for axis, size in enumerate(wide) if size == 1)
    dx[...] = dy.sum(axis=axes, keepdims=True).reshape(dx.shape)


@op()
def add_into(x: In, y: Add) -> None:
    """y += x"""
    y += x


@op()
def count_nonzero(x: In, count: Out) -> None:
    """count = how many samples of x, one number each, are not 0"""
    count[...] = np.count_nonzero(x)


@op()
def find_nonzero(x: In, index: Out) -> None:
    """index = the samples of x that are not 0, in order; -1 behind the last"""
    found = np.flatnonzero(x)[: index.size]
    index[...] = -1
    index[: found.size] = found


@op()
def take(x: In, index: In, y: Out) -> None:
    """y[i] = x[index[i]];   0 where index is -1, and NaN where it is no sample of x, so that the run stops"""
    known = np.minimum(np.maximum(index, 0), len(x) - 1)
    y[...] = x[known] if len(x) else 0
    y[index == -1] = 0
    if y.dtype.kind == "f":
        y[(index < -1) | (index >= len(x))] = np.nan


@op()
def take_dx(dy: In, index: In, dx: Out) -> None:
    """dx[index[i]] += dy[i], over all i whose index is a sample of dx"""
    total = np.zeros(dx.shape, dx.dtype)
    inside = (index >= 0) & (index < len(dx))
    np.add.at(total, index[inside], dy[inside])
    dx[...] = total


@op()
def reduce(x: In, y: Out, operation: str, coeff: float) -> None:
    """y = coeff times the sum (sum of |x|, sum of x^2, mean) of x over the axes that y lacks, its last ones"""
    rows = x.reshape(y.size, -1)
    made = {"sum": lambda: rows.sum(1), "asum": lambda: np.abs(rows).sum(1), "sumsq": lambda: np.square(rows).sum(1),
            "mean": lambda: rows.mean(1)}[operation]()  # fmt: skip
    y[...] = (made * y.dtype.type(coeff)).reshape(y.shape)


@op()
def reduce_dx(x: In, dy: In, dx: Out, operation: str, coeff: float) -> None:
    """dx = coeff dy times 1 (sign x, 2 x, 1 / how many)"""
    share = np.reshape(dy * dx.dtype.type(coeff), (-1, 1))
    rows = x.reshape(share.size, -1)
    slope = {"sum": lambda: np.ones_like(rows), "asum": lambda: np.sign(rows), "sumsq": lambda: 2 * rows,
             "mean": lambda: np.full_like(rows, 1 / rows.shape[1])}[operation]()  # fmt: skip
    dx[...] = (share * slope).reshape(dx.shape)


@op()
def arg_max(x: In, y: Out, axis: int | None, top_k: int, values: bool) -> None:
    """The places of the top_k largest along `axis` (of each whole sample, where it is None), largest first.

    Among equals the larger place comes first.  values: with an axis, the numbers instead; without, in y[:, 1] beside the places.
    """
    rows = x.reshape(len(x), -1) if axis is None else np.moveaxis(x, axis, -1)
    size = rows.shape[-1]
    best = (size - 1 - np.argsort(-rows[..., ::-1], axis=-1, kind="stable"))[..., :top_k]
    best_values = np.take_along_axis(rows, best, -1)
    if axis is None:
        y[:, 0] = best
        if values:
            y[:, 1] = best_values
    else:
        y[...] = np.moveaxis(best_values if values else best, -1, axis)


@op()
def minimum(xs: In, y: Out, winner: Out) -> None:
    """y = min of x0, x1, …; winner = which.  Between the first two the second wins a tie; later ones must be less."""
    first = xs[0] < xs[1]
    best, who = np.where(first, xs[0], xs[1]), np.where(first, 0, 1)
    for place, x in enumerate(xs[2:], 2):
        wins = x < best
        best, who = np.where(wins, x, best), np.where(wins, place, who)
    y[...], winner[...] = best, who
