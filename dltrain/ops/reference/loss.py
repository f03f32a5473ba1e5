"""Losses of any kind: the weight of each place, what the sum is divided by, (total, weight) sums; softmax; formulas."""

from typing import Any

import numpy as np

from dltrain.ops.formula import Formula
from dltrain.ops.signature import In, Out, op


def places(label: Any, weight: Any, ignore: int | None, dtype: Any) -> Any:
    """The weight of each place of `label`: 0 where the label is `ignore`; a weight a sample is spread over its places."""
    kept = np.ones(label.shape, dtype) if ignore is None else (label != ignore).astype(dtype)
    return kept if weight is None else kept * weight.reshape(*weight.shape, *[1] * (label.ndim - weight.ndim))


def share(dy: Any, z: Any) -> Any:
    """dy / z, and 0 where nothing counted"""
    return dy[0] / z[0] if z[0] != 0 else dy[0] * 0


def is_class(label: Any, axis: int, classes: int) -> Any:
    """1[label] along the axis of classes."""
    counted = np.arange(classes).reshape(-1, *[1] * (label.ndim - axis))
    return np.asarray(counted == np.expand_dims(label, axis))


@op()
def weigh(label: In, weight: In, z: Out, normalization: str, ignore: int | None) -> None:
    """z = what the sum of a loss is divided by: valid, places that count; full, all places; batch_size, samples; none, 1

    With weights each counts as much as it weighs.
    """
    if normalization == "valid":
        z[...] = places(label, weight, ignore, z.dtype).sum()
    else:
        count = {"full": label.size, "batch_size": label.shape[0], "none": 1}[normalization]
        weighted = weight is not None and normalization != "none"
        z[...] = weight.sum(dtype=np.float64) * (count / weight.size) if weighted else count


@op()
def place_weights(label: In, weight: In, y: Out, ignore: int | None, table: tuple[float, ...] = ()) -> None:
    """y = weight of each place, times table[label]"""
    w = places(label, weight, ignore, y.dtype)
    y[...] = w * np.asarray(table, y.dtype)[np.where(w != 0, label, 0)] if table else w


@op()
def weighted_mean(values: In, z: In, sums: Out, y: Out) -> None:
    """sums = (sum of values, z);   y = sums[0] / z, and 0 where nothing counted"""
    sums[...] = values.sum(dtype=np.float64), z[0]
    if y is not None:
        y[...] = sums[0] / sums[1] if sums[1] != 0 else 0


@op()
def total(x: In, sums: Out, y: Out) -> None:
    """y = sum of all elements of x;   sums = (y, 1)"""
    y[...] = x.sum(dtype=np.float64)
    sums[...] = y[0], 1


# --- softmax ---
def softened(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def logs(prob: Any, least: float = float(np.finfo(np.float32).tiny)) -> Any:
    """log prob, where prob is at least the least normal float32 (Caffe's FLT_MIN)"""
    return np.log(np.maximum(prob, prob.dtype.type(least)))


def taken(x: Any, label: Any, w: Any, axis: int) -> Any:
    """x[label] along the axis; where nothing weighs, the label may be any number."""
    return np.take_along_axis(x, np.expand_dims(np.where(w != 0, label, 0), axis), axis).squeeze(axis)


@op()
def softmax_loss(x: In, label: In, weight: In, prob: Out, loss: Out, axis: int, ignore: int | None) -> None:
    """prob = softmax of x;   loss = -weight log max(prob[label], least normal number), 0 where the label is `ignore`"""
    prob[...] = softened(x, axis)
    w = places(label, weight, ignore, x.dtype)
    loss[...] = np.where(w != 0, -logs(taken(prob, label, w, axis)) * w, 0)


@op()
def softmax_loss_dx(prob: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None) -> None:
    """dx = (prob - 1[label]) weight dy / z"""
    w = np.expand_dims(places(label, weight, ignore, prob.dtype), axis)
    dx[...] = np.where(w != 0, (prob - is_class(label, axis, prob.shape[axis])) * w, 0) * share(dy, z)


@op()
def smooth_softmax_loss(
    x: In, label: In, weight: In, prob: Out, loss: Out, axis: int, ignore: int | None, smoothing: float
) -> None:
    """prob = softmax of x;   loss = -weight ((1 - smoothing) log prob[label] + smoothing mean of log prob), cut alike"""
    prob[...] = softened(x, axis)
    w = places(label, weight, ignore, x.dtype)
    log = logs(prob)
    mixed = taken(log, label, w, axis) * x.dtype.type(1 - smoothing) + log.mean(axis=axis) * x.dtype.type(smoothing)
    loss[...] = np.where(w != 0, -mixed * w, 0)


@op()
def smooth_softmax_loss_dx(
    prob: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, smoothing: float
) -> None:
    """dx = (prob - (1 - smoothing) 1[label] - smoothing / C) weight dy / z"""
    w, classes = np.expand_dims(places(label, weight, ignore, prob.dtype), axis), prob.shape[axis]
    hit = is_class(label, axis, classes) * prob.dtype.type(1 - smoothing)
    dx[...] = np.where(w != 0, (prob - hit - prob.dtype.type(smoothing / classes)) * w, 0) * share(dy, z)


@op()
def soft_label_loss(x: In, target: In, weight: In, prob: Out, loss: Out, axis: int, smoothing: float) -> None:
    """prob = softmax of x;   loss = -weight sum over classes of t log max(prob, least normal number)

    t = (1 - smoothing) target + smoothing mean of target
    """
    prob[...] = softened(x, axis)
    made = -(smoothed(target, axis, smoothing) * logs(prob)).sum(axis=axis)
    loss[...] = made if weight is None else made * places(made, weight, None, x.dtype)


@op()
def soft_label_loss_dx(prob: In, target: In, weight: In, z: In, dy: In, dx: Out, axis: int, smoothing: float) -> None:
    """dx = (prob sum of t - t) weight dy / z, with t of soft_label_loss"""
    t = smoothed(target, axis, smoothing)
    d = (prob * t.sum(axis=axis, keepdims=True) - t) * share(dy, z)
    dx[...] = d if weight is None else d * np.expand_dims(places(prob.take(0, axis), weight, None, prob.dtype), axis)


def smoothed(target: Any, axis: int, smoothing: float) -> Any:
    keep, rest = target.dtype.type(1 - smoothing), target.dtype.type(smoothing)
    return target * keep + target.mean(axis=axis, keepdims=True) * rest if smoothing else target


# --- formulas ---
def alike(xs: Any) -> list[Any]:
    """Each of xs in the shape and type of the first; one number stands for all."""
    first = xs[0]
    return [(x.reshape(first.shape) if x.size == first.size else x.reshape(-1)).astype(first.dtype, copy=False) for x in xs]


def element_weights(xs: Any, weight: Any, ignore: int | None) -> Any:
    """The weight of each element of the first of xs: 0 where the second is `ignore`."""
    x = xs[0]
    w = np.ones(x.shape, x.dtype)
    if weight is not None:
        w = w * weight.reshape(x.shape if weight.size == x.size else (-1, *[1] * (x.ndim - 1)))
    return w if ignore is None else np.where(xs[1] != ignore, w, 0)


@op()
def pointwise_loss(
    xs: In, weight: In, loss: Out, formula: Formula, constants: tuple[float, ...] = (), ignore: int | None = None
) -> None:
    """loss = weight formula(x1, x2, …, constants), element by element of x1, 0 where x2 is `ignore`

    The others have as many elements as x1, or one, and may be integers; a weight is for a sample, or for an element.
    """
    values = [*alike(xs), *(xs[0].dtype.type(constant) for constant in constants)]
    w = element_weights(values, weight, ignore)
    (made,) = formula(**dict(zip(formula.arguments, values, strict=True)))
    loss[...] = np.where(w != 0, made * w, 0)


@op()
def pointwise_loss_dx(
    xs: In, weight: In, z: In, dy: In, da: Out, db: Out, dc: Out,
    formula: Formula, constants: tuple[float, ...] = (), ignore: int | None = None,
) -> None:  # fmt: skip
    """(da, db, dc), as many as are wanted = formula(x1, x2, …, constants) weight dy / z, with a result for each"""
    values = [*alike(xs), *(xs[0].dtype.type(constant) for constant in constants)]
    w = element_weights(values, weight, ignore)
    results = formula(**dict(zip(formula.arguments, values, strict=True)))
    for d, made in zip((da, db, dc), results, strict=False):
        if d is not None:
            d[...] = (np.where(w != 0, made * w, 0) * share(dy, z)).reshape(d.shape)
