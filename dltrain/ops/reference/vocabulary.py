"""Softmax over so many classes that training looks at a part of them only: a sample of them, or groups first."""

from typing import Any

import numpy as np

from dltrain.ops import philox
from dltrain.ops.reference.loss import logs, places, share, softened
from dltrain.ops.signature import Add, In, Out, op


# --- a sample of the classes ---
@op()
def draw_classes(count: In, drawn: Out, classes: int, log_uniform: bool, key: tuple[int, int]) -> None:
    """drawn = classes by the words of the Philox stream (key, count): uniform, or P(c) = log((c + 2) / (c + 1)) / log(C + 1)"""
    words = philox.words(key, int(count[0]), drawn.size).astype(np.uint64)
    if log_uniform:
        u = words.astype(np.float64) / 2.0**32
        drawn[...] = np.minimum(np.exp(u * np.log(classes + 1.0)).astype(np.int64) - 1, classes - 1)
    else:
        drawn[...] = ((words * np.uint64(classes)) >> np.uint64(32)).astype(np.int64)


def expected(c: Any, draws: int, classes: int, log_uniform: bool, dtype: Any) -> Any:
    """log of how often class c is expected among the draws"""
    p = np.log((c + 2.0) / (c + 1.0)) / np.log(classes + 1.0) if log_uniform else np.full(c.shape, 1.0 / classes)
    return np.log(draws * p).astype(dtype)


def biases(b: Any, c: Any) -> Any:
    return 0 if b is None else b[c]


@op()
def sampled_softmax_loss(
    x: In, label: In, w: In, b: In, weight: In, drawn: In, prob: Out, loss: Out, ignore: int | None, log_uniform: bool
) -> None:
    """prob = softmax over (label, drawn classes) of s = x w' + b, of drawn ones less log(how often they are expected);

    loss = -weight log prob[0].  A drawn class that is the label counts nothing, so that the sum of exp(s) is on average that over
    all classes.  x (N, K), w (C, K), drawn (S), prob (N, 1 + S).
    """
    v = places(label, weight, ignore, x.dtype)
    own = np.where(v != 0, label, 0)
    scores = np.empty_like(prob)
    scores[:, 0] = (x * w[own]).sum(axis=1) + biases(b, own)
    scores[:, 1:] = x @ w[drawn].T + biases(b, drawn) - expected(drawn, len(drawn), len(w), log_uniform, x.dtype)
    scores[:, 1:][own[:, None] == drawn] = -np.inf
    prob[...] = softened(scores, 1)
    loss[...] = np.where(v != 0, -logs(prob[:, 0]) * v, 0)


@op()
def sampled_softmax_loss_dx(
    x: In, label: In, w: In, weight: In, drawn: In, prob: In, z: In, dy: In, dx: Out, dw: Add, db: Add, ignore: int | None
) -> None:
    """With g = (prob - 1[0]) weight dy / z:   dx = g w,   dw += g' x,   db += sum of g, at the rows of label and drawn"""
    v = places(label, weight, ignore, x.dtype)
    own = np.where(v != 0, label, 0)
    g = prob * v[:, None]
    g[:, 0] -= v
    g *= share(dy, z)
    if dx is not None:
        dx[...] = g[:, :1] * w[own] + g[:, 1:] @ w[drawn]
    if dw is not None:
        np.add.at(dw, own, g[:, :1] * x)
        np.add.at(dw, drawn, g[:, 1:].T @ x)
    if db is not None:
        np.add.at(db, own, g[:, 0])
        np.add.at(db, drawn, g[:, 1:].sum(axis=0))


# --- groups of classes ---
def members(label: Any, v: Any, size: int, classes: int) -> Any:
    """For each group that a label is of: the rows of its samples, and the slice of its classes."""
    group = label // size
    for g in np.unique(group[v != 0]):
        yield np.flatnonzero((group == g) & (v != 0)), slice(int(g) * size, min((int(g) + 1) * size, classes))


@op()
def hierarchical_softmax_loss(
    x: In, label: In, wg: In, bg: In, w: In, b: In, weight: In, group: Out, prob: Out, loss: Out, size: int, ignore: int | None
) -> None:
    """group = softmax of x wg' + bg;   prob = softmax of x w' + b over the classes of the label's group;

    loss = -weight (log group[label / size] + log prob[label % size]);   x (N, K), wg (G, K), w (C, K), prob (N, size)
    """
    v = places(label, weight, ignore, x.dtype)
    own = np.where(v != 0, label, 0)
    group[...] = softened(x @ wg.T + (0 if bg is None else bg), 1)
    prob[...] = 0
    for at, classes in members(own, v, size, len(w)):
        prob[at, : classes.stop - classes.start] = softened(x[at] @ w[classes].T + biases(b, classes), 1)
    each = np.arange(len(x))
    loss[...] = np.where(v != 0, -(logs(group[each, own // size]) + logs(prob[each, own % size])) * v, 0)


@op()
def hierarchical_softmax_loss_dx(
    x: In, label: In, wg: In, w: In, weight: In, group: In, prob: In, z: In, dy: In,
    dx: Out, dwg: Add, dbg: Add, dw: Add, db: Add, size: int, ignore: int | None,
) -> None:  # fmt: skip
    """With h = (group - 1[label / size]) weight dy / z and g alike of prob:   dx = h wg + g w,   dwg += h' x,   dw += g' x, …"""
    v = places(label, weight, ignore, x.dtype)
    own, scale, each = np.where(v != 0, label, 0), v * share(dy, z), np.arange(len(x))
    h, g = group * scale[:, None], prob * scale[:, None]
    h[each, own // size] -= scale
    g[each, own % size] -= scale
    d = h @ wg
    if dwg is not None:
        dwg += h.T @ x
    if dbg is not None:
        dbg += h.sum(axis=0)
    for at, classes in members(own, v, size, len(w)):
        part = g[at, : classes.stop - classes.start]
        d[at] += part @ w[classes]
        if dw is not None:
            dw[classes] += part.T @ x[at]
        if db is not None:
            db[classes] += part.sum(axis=0)
    if dx is not None:
        dx[...] = d
