"""The step that moves the weights, over flat arrays of all parameters."""

from typing import Any, Literal

import numpy as np

from dltrain.ops.formula import Formula
from dltrain.ops.signature import In, Out, Update, op

BLOCK = 1 << 16  # elements that are worked on together where a copy is needed


@op()
def sum_of_squares(g: In, norm: Out) -> None:
    """norm = sum of g^2, in double precision"""
    norm[...] = np.square(g.reshape(-1), dtype=np.float64).sum()


@op()
def squares(w: In, g: In, norms: Out, segments: Any) -> None:
    """norms[0, s], norms[1, s] = sum of w^2, of g^2, over each segment s, in double precision"""
    for number, (start, stop, *_) in enumerate(segments):
        for row, x in zip(norms, (w, g), strict=True):
            blocks = range(int(start), int(stop), BLOCK)
            row[number] = sum(np.square(x[at : min(at + BLOCK, int(stop))], dtype=np.float64).sum() for at in blocks)


def clipped(norm: float, clip: float | None, iter_size: int) -> float:
    """What g is multiplied by: the clip looks at the sum of all passes, then that is divided by their number."""
    length = float(np.sqrt(norm))
    return (clip / length if clip is not None and length > clip else 1.0) / iter_size


@op()
def update(
    w: Update, g: Update, slots: Update, rates: In, hyper: In, losses: In, norm: In, failed: Update,
    formula: Formula, segments: Any, l1: bool, clip: float | None, iter_size: int,
    norms: In = None, stage: Literal["whole", "first", "second"] = "whole",
) -> None:  # fmt: skip
    """For each segment (start, stop, lr_mult, decay_mult), with rates = (lr, decay):

    g <- g min(1, clip / sqrt(norm)) / iter_size;   g <- g + decay decay_mult w   (L1: sign(w))
    (w, slots) <- formula(w, g, slots, lr lr_mult, hyper);   g <- 0

    The order is Caffe's (src/caffe/solvers/sgd_solver.cpp).  Where the norm or a loss is not finite nothing moves and failed = 1.
    A formula may name, after lr: pull and decay (then nothing is added to g), decay_mult, w_norm, g_norm (from `norms`).
    In the first of two stages the formula makes g (and slots), and in the second w from a g that is taken as it is.
    """
    lr, decay = (float(rate[0]) for rate in rates)
    if failed[0] or not (np.isfinite(norm[0]) and all(np.isfinite(loss).all() for loss in losses)):
        failed[...] = 1
        return
    cast = g.dtype.type
    scale = cast(1.0 if stage == "second" else clipped(norm[0], clip, iter_size))
    coupled = stage != "second" and not {"pull", "decay"} & set(formula.arguments)
    for number, (start, stop, lr_mult, decay_mult) in enumerate(segments):
        part = slice(int(start), int(stop))
        pull = cast(decay * decay_mult) * (np.sign(w[part]) if l1 else w[part])
        given = {"pull": pull, "decay": cast(decay * decay_mult), "decay_mult": cast(decay_mult)}
        if norms is not None:
            given |= {"w_norm": cast(np.sqrt(norms[0, number])), "g_norm": scale * cast(np.sqrt(norms[1, number]))}
        values = [w[part], g[part] * scale + pull if coupled else g[part] * scale, *(slot[part] for slot in slots)]
        values += [cast(lr * lr_mult), *(h[0] for h in hyper)]
        names = [name for name in formula.arguments if name not in given]
        made, *news = formula(**dict(zip(names, values, strict=True)), **given)
        (g if stage == "first" else w)[part] = made
        for slot, new in zip(slots, news, strict=True):
            slot[part] = new
    if stage != "first":
        g[...] = 0


@op()
def keep_losses(losses: In, failed: In, ring: Update, at: Update) -> None:
    """A row of the ring, by turns, = the losses of a step, and 1 where a step has failed;   at <- at + 1"""
    row = ring[int(at[0]) % len(ring)]
    row[:-1], row[-1] = [loss[0] for loss in losses], failed[0]
    at += 1


@op()
def clip_weights(w: Update, failed: In, segments: Any, bound: float) -> None:
    """w <- min(max(w, -bound), bound) in each segment"""
    if not failed[0]:
        for start, stop, *_ in segments:
            part = w[int(start) : int(stop)]
            np.clip(part, -bound, bound, out=part)


@op()
def max_norm(w: Update, failed: In, rows: Any, bound: float) -> None:
    """For each (start, stop, rows): a row longer than bound is shortened to it, its direction kept.

    Srebro, Rennie & Jaakkola, NIPS 2004; with dropout, Srivastava et al., JMLR 2014.
    """
    if not failed[0]:
        for start, stop, count in rows:
            table = w[int(start) : int(stop)].reshape(int(count), -1)
            step = max(1, BLOCK // table.shape[1])
            for part in (table[at : at + step] for at in range(0, len(table), step)):
                lengths = np.sqrt(np.square(part, dtype=np.float64).sum(axis=1, keepdims=True))
                part *= (bound / np.maximum(lengths, bound)).astype(w.dtype)


@op()
def average(w: In, mean: Update, fresh: In, failed: In) -> None:
    """mean <- mean + fresh (w - mean)"""
    if not failed[0]:
        for at in range(0, len(w), BLOCK):
            part = mean[at : at + BLOCK]
            part += fresh[0] * (w[at : at + BLOCK] - part)
