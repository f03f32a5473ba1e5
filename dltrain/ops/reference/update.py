"""The step that moves the weights, over flat arrays of all parameters."""

from typing import Any

import numpy as np

from dltrain.ops.formula import Formula
from dltrain.ops.signature import In, Out, Update, op


@op()
def sum_of_squares(g: In, norm: Out) -> None:
    """norm = sum of g^2, in double precision"""
    norm[...] = np.square(g.reshape(-1), dtype=np.float64).sum()


@op()
def update(
    w: Update, g: Update, slots: Update, rates: In, hyper: In, losses: In, norm: In, failed: Update,
    formula: Formula, segments: Any, l1: bool, clip: float | None, iter_size: int,
) -> None:  # fmt: skip
    """For each segment (start, stop, lr_mult, decay_mult), with rates = (lr, decay):

    g <- g min(1, clip / sqrt(norm)) / iter_size;   g <- g + decay decay_mult w   (L1: sign(w))
    (w, slots) <- formula(w, g, slots, lr lr_mult, hyper);   g <- 0

    The order is Caffe's (src/caffe/solvers/sgd_solver.cpp).  Where the norm or a loss is not finite nothing moves and failed = 1.
    """
    lr, decay = (float(rate[0]) for rate in rates)
    if failed[0] or not (np.isfinite(norm[0]) and all(np.isfinite(loss).all() for loss in losses)):
        failed[...] = 1
        return
    length = float(np.sqrt(norm[0]))
    scale = g.dtype.type((clip / length if clip is not None and length > clip else 1.0) / iter_size)
    for start, stop, lr_mult, decay_mult in segments:
        part = slice(int(start), int(stop))
        pull = np.sign(w[part]) if l1 else w[part]
        moved = g[part] * scale + g.dtype.type(decay * decay_mult) * pull
        values = [w[part], moved, *(slot[part] for slot in slots), g.dtype.type(lr * lr_mult), *(h[0] for h in hyper)]
        w[part], *news = formula(**dict(zip(formula.arguments, values, strict=True)))
        for slot, new in zip(slots, news, strict=True):
            slot[part] = new
    g[...] = 0
