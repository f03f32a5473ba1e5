"""Mean 0 and variance 1, over what and how differs: channels, rows, neighbours."""

from typing import Any

import numpy as np

from dltrain.ops.reference.channelwise import beside, collected
from dltrain.ops.signature import Add, In, Out, Update, op


# --- channels: statistics over samples and places (BatchNorm) ---
def others(x: Any) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def normal(x: Any, mean: Any, variance: Any, eps: float) -> Any:
    """(x - mean) / sqrt(variance + eps), a channel at a time."""
    return (x - beside(mean, x, 1)) / beside(np.sqrt(variance + x.dtype.type(eps)), x, 1)


@op()
def channel_moments(x: In, mean: Out, variance: Out) -> None:
    """mean = mean of x;   variance = mean of (x - mean)^2, of each channel (axis 1)"""
    mean[...] = x.mean(axis=others(x))
    variance[...] = np.square(x - beside(mean, x, 1)).mean(axis=others(x))


@op()
def keep_moments(
    mean: In, variance: In, kept_mean: Update, kept_variance: Update, factor: Update, fraction: float, count: int
) -> None:
    """factor <- fraction factor + 1, kept_mean <- fraction kept_mean + mean, and kept_variance the same
    with count / (count - 1) variance

    Caffe: the sums are kept, and divided by their weight when they are used.
    """
    kind = mean.dtype.type
    factor[...] = kind(fraction) * factor + 1
    kept_mean[...] = kind(fraction) * kept_mean + mean
    kept_variance[...] = kind(fraction) * kept_variance + kind(count / (count - 1) if count > 1 else 1) * variance


@op()
def kept_moments(kept_mean: In, kept_variance: In, factor: In, mean: Out, variance: Out) -> None:
    """mean = kept_mean / factor, variance = kept_variance / factor; 0 where nothing has been kept"""
    share = 1 / factor[0] if factor[0] else factor[0]
    mean[...] = kept_mean * share
    variance[...] = kept_variance * share


@op(y="x")
def channel_norm(x: In, mean: In, variance: In, scale: In, bias: In, y: Out, eps: float) -> None:
    """y = scale (x - mean) / sqrt(variance + eps) + bias, of each channel; scale, bias may be None"""
    made = normal(x, mean, variance, eps)
    y[...] = made if scale is None else made * beside(scale, x, 1) + beside(bias, x, 1)


@op()
def channel_norm_dw(
    x: In, mean: In, variance: In, dy: In, dscale: Add, dbias: Add, total: Out, along: Out, eps: float
) -> None:  # fmt: skip
    """Of each channel total = sum of dy, along = sum of dy (x - mean) / sqrt(variance + eps);   dbias += total, …"""
    sums = dy.sum(axis=others(x)), (dy * normal(x, mean, variance, eps)).sum(axis=others(x))
    for value, out in zip(sums, (total, along), strict=True):
        if out is not None:
            out[...] = value
    for value, grad in zip(sums, (dbias, dscale), strict=True):
        if grad is not None:
            grad += value


@op(dx="dy")
def channel_norm_dx(
    x: In, mean: In, variance: In, scale: In, dy: In, total: In, along: In, dx: Out, eps: float
) -> None:  # fmt: skip
    """dx = scale / sqrt(variance + eps) (dy - total / m - (x - mean) / sqrt(variance + eps) along / m), m values a channel

    Without total and along the statistics do not depend on x: dx = scale dy / sqrt(variance + eps).
    """
    rate = 1 / np.sqrt(variance + x.dtype.type(eps))
    made = dy
    if total is not None:
        m = x.dtype.type(x.size // x.shape[1])
        made = dy - beside(total / m, x, 1) - normal(x, mean, variance, eps) * beside(along / m, x, 1)
    dx[...] = made * beside(rate if scale is None else rate * scale, x, 1)


def divided(x: Any, by: Any) -> Any:
    """x / by, and 0 where `by` is 0."""
    return np.where(by > 0, x / np.where(by > 0, by, 1), 0)


# --- rows: statistics over a run of each sample's own numbers (LayerNorm, GroupNorm, InstanceNorm, MVN) ---
def rows(x: Any, mean: Any) -> Any:
    """x in its logical order, cut into as many equal rows as there are means."""
    return x.reshape(mean.size, -1)


def deviation(variance: Any, eps: float, eps_on: str) -> Any:
    """A column: what each row is divided by."""
    column, least = variance.reshape(-1, 1), variance.dtype.type(eps)
    return np.sqrt(column) + least if eps_on == "deviation" else np.sqrt(column + least)


@op()
def row_moments(x: In, mean: Out, variance: Out) -> None:
    """mean = mean of x;   variance = mean of (x - mean)^2, over each of mean.size equal runs of x in logical order"""
    made = rows(x, mean)
    mean[...] = made.mean(axis=1).reshape(mean.shape)
    if variance is not None:
        variance[...] = np.square(made - mean.reshape(-1, 1)).mean(axis=1).reshape(mean.shape)


def row_normal(x: Any, mean: Any, variance: Any, eps: float, eps_on: str) -> Any:
    made = rows(x, mean) - mean.reshape(-1, 1)
    if variance is not None:
        made = made / deviation(variance, eps, eps_on)
    return made.reshape(x.shape)


@op(y="x")
def row_norm(
    x: In, mean: In, variance: In, scale: In, bias: In, y: Out, eps: float, axis: int, eps_on: str = "variance"
) -> None:  # fmt: skip
    """y = scale (x - mean) / sqrt(variance + eps) + bias; scale and bias (or None) stand at the axes of x from `axis` on

    eps_on deviation: / (sqrt(variance) + eps).  No variance: y = x - mean.
    """
    made = row_normal(x, mean, variance, eps, eps_on)
    y[...] = made if scale is None else made * beside(scale, x, axis) + beside(bias, x, axis)


@op()
def row_norm_dw(x: In, mean: In, variance: In, dy: In, dscale: Add, dbias: Add, eps: float, axis: int) -> None:
    """dscale += sum of dy (x - mean) / sqrt(variance + eps);   dbias += sum of dy"""
    if dscale is not None:
        dscale += collected(dy * row_normal(x, mean, variance, eps, "variance"), dscale, axis)
    if dbias is not None:
        dbias += collected(dy, dbias, axis)


@op(dx="dy")
def row_norm_dx(
    x: In, mean: In, variance: In, scale: In, dy: In, dx: Out, eps: float, axis: int, eps_on: str = "variance"
) -> None:  # fmt: skip
    """With d = deviation + eps as in row_norm, n = (x - mean) / d, g = scale dy, means over each row:

    dx = (g - mean of g - n mean of g n d / d') / d,   d' = d, but sqrt(variance) where eps is on the deviation
    """
    g = rows(dy if scale is None else dy * beside(scale, x, axis), mean)
    made = g - g.mean(axis=1, keepdims=True)
    if variance is not None:
        n, d = rows(row_normal(x, mean, variance, eps, eps_on), mean), deviation(variance, eps, eps_on)
        pull = (g * n).mean(axis=1, keepdims=True)
        if eps_on == "deviation":
            bare = np.sqrt(variance.reshape(-1, 1))
            pull = divided(pull * d, bare)
        made = (made - n * pull) / d
    dx[...] = made.reshape(dx.shape)


# --- neighbours (LRN, LocalContrastNorm) ---
def around(x: Any, axes: tuple[int, ...], size: int) -> Any:
    """The sum over `size` neighbours along each of the axes; beyond the edge is 0."""
    for axis in axes:
        padded = np.pad(x, [(size // 2, size // 2) if a == axis else (0, 0) for a in range(x.ndim)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis)
        x = windows.sum(axis=-1)
    return x


@op()
def lrn(x: In, local: Out, y: Out, axes: tuple[int, ...], size: int, rate: float, beta: float, offset: float) -> None:
    """local = offset + rate sum of x^2 over `size` neighbours along each of the axes;   y = x local^-beta"""
    kind = x.dtype.type
    local[...] = kind(offset) + kind(rate) * around(np.square(x), axes, size)
    y[...] = x * local ** kind(-beta)


@op(dx="dy")
def lrn_dx(x: In, local: In, dy: In, dx: Out, axes: tuple[int, ...], size: int, rate: float, beta: float) -> None:
    """dx = dy local^-beta - 2 rate beta x (sum of dy x local^(-beta - 1) over the neighbours)"""
    kind = x.dtype.type
    power = local ** kind(-beta)
    dx[...] = dy * power - kind(2 * rate * beta) * x * around(dy * x * power / local, axes, size)


def window_weights(length: int, size: int, kind: Any) -> Any:
    """(length, length): row i has the weights of what is around i, a Gaussian of deviation size / 6 cut at the edges; sum 1."""
    apart = np.arange(length) - np.arange(length)[:, None]
    weights = np.where(np.abs(apart) <= size // 2, np.exp(-0.5 * np.square(apart / (size / 6))), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(kind)


def mean_around(x: Any, size: int, back: bool = False) -> Any:
    """(N, 1, ...): the weighted mean of x over all maps and the window at each place.  back: its transpose, for one map."""
    made = x.mean(axis=1, keepdims=True)
    for axis in range(2, x.ndim):
        weights = window_weights(x.shape[axis], size, x.dtype)
        made = np.moveaxis(np.tensordot(made, weights, (axis, 0 if back else 1)), -1, axis)
    return made


@op()
def subtract_around(x: In, y: Out, size: int) -> None:
    """y = x - mean of x around, over all maps and a Gaussian window of `size`"""
    y[...] = x - mean_around(x, size)


@op()
def subtract_around_dx(dy: In, dx: Out, size: int) -> None:
    """dx = dy - transpose of the mean around, of dy"""
    dx[...] = dy - mean_around(dy, size, back=True)


@op()
def divide_around(x: In, deviation: Out, y: Out, size: int) -> None:
    """deviation = sqrt(mean of x^2 around);   y = x / max(deviation, its mean over the sample), 0 where that is 0"""
    deviation[...] = np.sqrt(mean_around(np.square(x), size))
    d = np.maximum(deviation, deviation.mean(axis=tuple(range(1, x.ndim)), keepdims=True))
    y[...] = divided(x, d)


@op()
def divide_around_dx(x: In, deviation: In, dy: In, dx: Out, size: int) -> None:
    """With d = max(deviation, mean), e = -sum over maps of dy x / d^2, s = gradient by deviation (e, and what the mean gets):

    dx = dy / d + x (transpose of the mean around, of s / deviation)
    """
    places = tuple(range(1, x.ndim))
    mean = deviation.mean(axis=places, keepdims=True)
    d = np.maximum(deviation, mean)
    share = divided(np.ones_like(d), d)
    e = -(dy * x * share * share).sum(axis=1, keepdims=True)
    own = deviation >= mean
    s = np.where(own, e, 0) + np.where(own, 0, e).mean(axis=places, keepdims=True)
    pulled = divided(s, deviation)
    dx[...] = dy * share + x * mean_around(pulled, size, back=True) / x.dtype.type(x.shape[1])
