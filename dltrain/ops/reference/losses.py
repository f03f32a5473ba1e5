"""Losses that are no formula over elements: over classes, over distances, over regions, over parts of a large vocabulary."""

from typing import Any

import numpy as np

from dltrain.ops.reference.loss import is_class, logs, places, share, softened, taken
from dltrain.ops.signature import In, Out, op

LEAST = 1e-20  # what Caffe's losses over probabilities take for 0


# --- over classes ---
@op()
def hinge_loss(x: In, label: In, weight: In, loss: Out, axis: int, ignore: int | None, margin: float, squared: bool) -> None:
    """loss = weight sum over classes c of max(0, margin - d x[c])^p,   d = 1 for the label, else -1;   p = 1, or 2: squared"""
    w = places(label, weight, ignore, x.dtype)
    gap = np.maximum(x.dtype.type(margin) - np.where(is_class(label, axis, x.shape[axis]), x, -x), 0)
    loss[...] = np.where(w != 0, (gap * gap if squared else gap).sum(axis=axis) * w, 0)


@op()
def hinge_loss_dx(
    x: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, margin: float, squared: bool
) -> None:
    """dx = -d p max(0, margin - d x)^(p - 1) weight dy / z, 0 where the margin is kept"""
    w = np.expand_dims(places(label, weight, ignore, x.dtype), axis)
    hit = is_class(label, axis, x.shape[axis])
    gap = np.maximum(x.dtype.type(margin) - np.where(hit, x, -x), 0)
    slope = 2 * gap if squared else (gap > 0).astype(x.dtype)
    dx[...] = np.where(w != 0, np.where(hit, -slope, slope) * w, 0) * share(dy, z)


@op()
def label_loss(x: In, label: In, weight: In, loss: Out, axis: int, ignore: int | None, logarithms: bool) -> None:
    """loss = -weight log max(x[label], 1e-20);   of logarithms -weight x[label]"""
    w = places(label, weight, ignore, x.dtype)
    own = taken(x, label, w, axis)
    loss[...] = np.where(w != 0, -(own if logarithms else logs(own, LEAST)) * w, 0)


@op()
def label_loss_dx(x: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, logarithms: bool) -> None:
    """dx[label] = -weight dy / z / max(x[label], 1e-20), of logarithms -weight dy / z;   0 elsewhere"""
    w = np.expand_dims(places(label, weight, ignore, x.dtype), axis)
    slope = 1 if logarithms else 1 / np.maximum(x, x.dtype.type(LEAST))
    dx[...] = np.where(is_class(label, axis, x.shape[axis]) & (w != 0), -w * share(dy, z) * slope, 0)


def gains(matrix: Any, table: Any, label: Any, w: Any, axis: int) -> Any:
    """H[label, c] of each place, the classes along the axis; H is the matrix, or the constant table."""
    h = table if matrix is None else matrix
    size = round(h.size**0.5)
    return np.moveaxis(h.reshape(size, size).astype(w.dtype, copy=False)[np.where(w != 0, label, 0)], -1, axis)


@op()
def infogain_loss(
    x: In, label: In, matrix: In, weight: In, prob: Out, loss: Out, axis: int, ignore: int | None, table: Any = None
) -> None:
    """prob = softmax of x;   loss = -weight sum over c of H[label, c] log max(prob[c], 1e-20),   H = matrix or table"""
    prob[...] = softened(x, axis)
    w = places(label, weight, ignore, x.dtype)
    made = (gains(matrix, table, label, w, axis) * logs(prob, LEAST)).sum(axis=axis)
    loss[...] = np.where(w != 0, -made * w, 0)


@op()
def infogain_loss_dx(
    prob: In, label: In, matrix: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, table: Any = None
) -> None:
    """dx[c] = (prob[c] sum of H[label] - H[label, c]) weight dy / z"""
    w = places(label, weight, ignore, prob.dtype)
    h = gains(matrix, table, label, w, axis)
    dx[...] = (prob * h.sum(axis=axis, keepdims=True) - h) * np.expand_dims(w, axis) * share(dy, z)


@op()
def focal_loss(x: In, label: In, weight: In, prob: Out, loss: Out, axis: int, ignore: int | None, gamma: float) -> None:
    """prob = softmax of x;   loss = -weight (1 - p)^gamma log max(p, least normal number),   p = prob[label]"""
    prob[...] = softened(x, axis)
    w = places(label, weight, ignore, x.dtype)
    p = taken(prob, label, w, axis)
    loss[...] = np.where(w != 0, -((1 - p) ** x.dtype.type(gamma)) * logs(p) * w, 0)


@op()
def focal_loss_dx(prob: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, gamma: float) -> None:
    """dx = (1 - p)^gamma (1 - gamma p log p / (1 - p)) (prob - 1[label]) weight dy / z"""
    w = places(label, weight, ignore, prob.dtype)
    p = taken(prob, label, w, axis)
    rest = 1 - p
    ratio = np.where(rest > 0, p * logs(p) / np.where(rest > 0, rest, 1), -1)  # its limit where p is 1
    slope = rest ** prob.dtype.type(gamma) * (1 - prob.dtype.type(gamma) * ratio) * w
    d = (prob - is_class(label, axis, prob.shape[axis])) * np.expand_dims(slope, axis)
    dx[...] = np.where(np.expand_dims(w, axis) != 0, d, 0) * share(dy, z)


# --- over distances ---
def rows(x: Any) -> Any:
    return x.reshape(len(x), -1)


def lengths(d: Any) -> Any:
    return np.sqrt(np.square(rows(d)).sum(axis=1))


def per_sample(d: Any, factor: Any) -> Any:
    return d * factor.reshape(-1, *[1] * (d.ndim - 1))


@op()
def contrastive_loss(a: In, b: In, similar: In, weight: In, distance: Out, loss: Out, margin: float, legacy: bool) -> None:
    """distance = |a - b|;   loss = weight/2 (distance^2 if similar, else max(margin - distance, 0)^2)

    legacy: of dissimilar ones max(margin - distance^2, 0)
    """
    distance[...] = lengths(a - b.reshape(a.shape))
    square, m = distance * distance, distance.dtype.type(margin)
    apart = np.maximum(m - square, 0) if legacy else np.square(np.maximum(m - distance, 0))
    made = 0.5 * np.where(similar.reshape(-1) != 0, square, apart)
    loss[...] = made if weight is None else made * weight


@op()
def contrastive_loss_dx(
    a: In, b: In, similar: In, weight: In, distance: In, z: In, dy: In, d_distance: In, da: Out, db: Out,
    margin: float, legacy: bool,
) -> None:  # fmt: skip
    """da = (a - b) f weight dy / z + (a - b) / distance d_distance;   db = -da

    f = 1 of similar ones; else -max(margin - distance, 0) / (distance + 1e-4);   legacy: -1 where distance^2 < margin
    """
    m, one = distance.dtype.type(margin), distance.dtype.type(1)
    if legacy:
        apart = np.where(m > distance * distance, -one, 0 * one)
    else:
        apart = -np.maximum(m - distance, 0) / (distance + distance.dtype.type(1e-4))
    factor = np.where(similar.reshape(-1) != 0, one, apart) * share(dy, z)
    factor = factor if weight is None else factor * weight
    if d_distance is not None:
        factor = factor + np.where(distance > 0, d_distance / np.where(distance > 0, distance, 1), 0)
    d = per_sample(a - b.reshape(a.shape), factor)
    if da is not None:
        da[...] = d
    if db is not None:
        db[...] = -d.reshape(db.shape)


@op()
def triplet_loss(a: In, p: In, n: In, weight: In, near: Out, far: Out, loss: Out, margin: float, squared: bool) -> None:
    """near = d(a, p), far = d(a, n);   loss = weight max(0, margin + near - far),   d = |.|^2 if squared, else |.|"""
    near[...], far[...] = lengths(a - p), lengths(a - n)
    if squared:
        near *= near
        far *= far
    made = np.maximum(near - far + near.dtype.type(margin), 0)
    loss[...] = made if weight is None else made * weight


@op()
def triplet_loss_dx(
    a: In, p: In, n: In, weight: In, near: In, far: In, z: In, dy: In, da: Out, dp: Out, dn: Out, margin: float, squared: bool
) -> None:
    """dp = -d'(a, p) g, dn = d'(a, n) g, da = -(dp + dn);   g = weight dy / z where the margin is not kept;   0 at distance 0"""
    g = (near - far + near.dtype.type(margin) > 0) * (share(dy, z) if weight is None else weight * share(dy, z))
    pulls = []
    for other, distance in ((p, near), (n, far)):
        slope = 2 * g if squared else np.where(distance > 0, g / np.where(distance > 0, distance, 1), 0)
        pulls.append(per_sample(a - other, slope.astype(a.dtype, copy=False)))
    for out, made in ((da, pulls[0] - pulls[1]), (dp, -pulls[0]), (dn, pulls[1])):
        if out is not None:
            out[...] = made


# --- over regions ---
def masks(p: Any, label: Any, axis: int, ignore: int | None) -> tuple[Any, Any]:
    """(target, kept) in the shape of p: labels are 0 or 1 for each element, or classes."""
    if label.size == p.size:
        t = label.reshape(p.shape)
    else:
        t = is_class(label, axis, p.shape[axis])
        label = np.expand_dims(label, axis)
    kept = np.ones(p.shape, p.dtype) if ignore is None else (label != ignore).astype(p.dtype)
    return t.astype(p.dtype), np.broadcast_to(kept.reshape(kept.shape if kept.ndim == p.ndim else p.shape), p.shape)


def overlaps(p: Any, t: Any, kept: Any, axis: int, smooth: float) -> tuple[Any, Any]:
    """(2 sum of p t + smooth, sum of p^2 + t^2 + smooth) over the places of each sample and class"""
    others = tuple(other for other in range(1, p.ndim) if other != axis)
    s = p.dtype.type(smooth)
    both = (2 * p * t * kept).sum(axis=others, keepdims=True) + s
    return both, ((p * p + t * t) * kept).sum(axis=others, keepdims=True) + s


@op()
def dice_loss(p: In, label: In, weight: In, loss: Out, axis: int, ignore: int | None, smooth: float) -> None:
    """loss = weight (1 - (2 sum of p t + smooth) / (sum of p^2 + t^2 + smooth)) for each sample and class, 0 of nothing"""
    both, size = overlaps(p, *masks(p, label, axis, ignore), axis, smooth)
    made = np.where(size > 0, 1 - both / np.where(size > 0, size, 1), 0).reshape(loss.shape)
    loss[...] = made if weight is None else made * weight[:, None]


@op()
def dice_loss_dx(p: In, label: In, weight: In, z: In, dy: In, dx: Out, axis: int, ignore: int | None, smooth: float) -> None:
    """dx = 2 (p both / size - t) / size weight dy / z,   with loss = 1 - both / size"""
    t, kept = masks(p, label, axis, ignore)
    both, size = overlaps(p, t, kept, axis, smooth)
    safe = np.where(size > 0, size, 1)
    d = np.where(size > 0, 2 * (p * (both / safe) - t) / safe * kept, 0) * share(dy, z)
    dx[...] = d if weight is None else per_sample(d, weight)
