"""Gradients that are kept from vanishing in 16 bits: the objective times a factor on the way back, and divided by it again."""

import numpy as np

from dltrain.ops.signature import In, Out, Update, op

OVERFLOWN = 2  # what `failed` holds for the rest of a step whose gradient was too large for its numbers
LARGEST = 2.0**24


@op()
def magnified(x: In, factor: In, y: Out) -> None:
    """y = factor x"""
    np.multiply(x, factor[0], out=y)


@op()
def reduced(g: Update, factor: In, failed: Update) -> None:
    """g <- g / factor;   where g is not finite: g <- 0 and failed = OVERFLOWN, or 1 where the factor is 1 and cannot help"""
    if not np.isfinite(g).all() and not failed[0]:
        failed[...] = OVERFLOWN if factor[0] > 1 else 1
    g[...] = 0 if failed[0] == OVERFLOWN else g / factor[0]


@op()
def follow(factor: Update, taken: Update, failed: Update, every: int) -> None:
    """After a step that was OVERFLOWN: factor / 2, failed = 0;   after `every` steps in a row that were not: 2 factor

    `taken` counts these.  The factor stays a power of two from 1 to LARGEST.  Micikevicius et al., ICLR 2018, section 3.2.
    """
    if failed[0] == OVERFLOWN:
        failed[...], taken[...] = 0, 0
        factor[...] = max(1.0, factor[0] / 2)
    elif not failed[0]:
        taken += 1
        if taken[0] >= every:
            taken[...], factor[...] = 0, min(LARGEST, factor[0] * 2)
