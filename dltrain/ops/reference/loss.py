"""Losses and metrics: a value at each place, then (total, weight) sums, which scores over many batches are made of."""

from typing import Any

import numpy as np

from dltrain.ops.signature import In, Out, op


def places(label: Any, weight: Any, ignore: int | None, dtype: Any) -> Any:
    """The weight of each place of `label`: 0 where the label is `ignore`; a weight a sample is spread over its places."""
    kept = np.ones(label.shape, dtype) if ignore is None else (label != ignore).astype(dtype)
    return kept if weight is None else kept * weight.reshape(*weight.shape, *[1] * (label.ndim - weight.ndim))


@op()
def weigh(label: In, weight: In, z: Out, normalization: str, ignore: int | None) -> None:
    """z = what the sum of a loss is divided by: valid, sum of the weights that count; full, places; batch_size, N; none, 1"""
    if normalization == "valid":
        z[...] = places(label, weight, ignore, z.dtype).sum()
    else:
        z[...] = {"full": label.size, "batch_size": label.shape[0], "none": 1}[normalization]


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


@op()
def softmax_loss(x: In, label: In, weight: In, prob: Out, loss: Out, axis: int, ignore: int | None) -> None:
    """prob = softmax of x;   loss = -weight log max(prob[label], least normal number), 0 where the label is `ignore`"""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    prob[...] = e / e.sum(axis=axis, keepdims=True)
    least = np.finfo(np.float32).tiny
    w = places(label, weight, ignore, x.dtype)
    safe = np.where(w != 0, label, 0)
    p = np.take_along_axis(prob, np.expand_dims(safe, axis), axis).squeeze(axis)
    loss[...] = np.where(w != 0, -np.log(np.maximum(p, least)) * w, 0)


@op()
def softmax_loss_dx(prob: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None) -> None:
    """dx = (prob - 1[label]) weight dy / z"""
    w = np.expand_dims(places(label, weight, ignore, prob.dtype), axis)
    classes = np.arange(prob.shape[axis]).reshape(-1, *[1] * (prob.ndim - axis - 1))
    hit = classes == np.expand_dims(label, axis)
    dx[...] = np.where(w != 0, (prob - hit) * w, 0) * (dy[0] / z[0] if z[0] != 0 else 0)


@op()
def soft_label_loss(x: In, target: In, weight: In, prob: Out, loss: Out) -> None:
    """prob = softmax of x;   loss = -weight sum over classes of target log max(prob, least normal number)   (x, target N x C)"""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    prob[...] = e / e.sum(axis=1, keepdims=True)
    loss[...] = -(target * np.log(np.maximum(prob, np.finfo(np.float32).tiny))).sum(axis=1)
    if weight is not None:
        loss *= weight


@op()
def soft_label_loss_dx(prob: In, target: In, weight: In, z: In, dy: In, dx: Out) -> None:
    """dx = (prob sum of target - target) weight dy / z"""
    dx[...] = (prob * target.sum(axis=1, keepdims=True) - target) * (dy[0] / z[0] if z[0] != 0 else 0)
    if weight is not None:
        dx *= weight[:, None]


@op()
def euclidean_loss(a: In, b: In, weight: In, loss: Out) -> None:
    """loss = weight/2 sum of (a - b)^2, for each sample"""
    loss[...] = 0.5 * np.square(a - b).reshape(len(a), -1).sum(axis=1)
    if weight is not None:
        loss *= weight


@op()
def euclidean_loss_dx(a: In, b: In, weight: In, z: In, dy: In, da: Out, db: Out) -> None:
    """da = (a - b) weight dy / z;   db = -da"""
    d = (a - b) * (dy[0] / z[0] if z[0] != 0 else 0)
    if weight is not None:
        d *= weight.reshape(-1, *[1] * (a.ndim - 1))
    if da is not None:
        da[...] = d
    if db is not None:
        db[...] = -d


@op()
def hits(x: In, label: In, weight: In, hit: Out, axis: int, top_k: int, ignore: int | None) -> None:
    """hit = weight where fewer than top_k other classes score at least as high as the label's (ties count against), else 0"""
    w = places(label, weight, ignore, x.dtype)
    safe = np.expand_dims(np.where(w != 0, label, 0), axis)
    rivals = (x >= np.take_along_axis(x, safe, axis)).sum(axis=axis) - 1
    hit[...] = np.where(rivals < top_k, w, 0)
