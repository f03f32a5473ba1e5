"""What happens to each element by itself, or to the same element of several blobs."""

from math import prod
from typing import Any

import numpy as np

from dltrain.ops.formula import Formula
from dltrain.ops.signature import In, Out, op


def terms(args: dict[str, Any]) -> int:
    return sum(prod(x.shape) for x in args["xs"])


@op(flops=terms, y="xs")
def elementwise(xs: In, y: Out, formula: Formula, constants: tuple[float, ...] = (), monotone: bool = False) -> None:
    """y = formula(x1, x2, …, constants), element by element; monotone: it never falls, so it may change places with a maximum"""
    values = [*xs, *(y.dtype.type(constant) for constant in constants)]
    (y[...],) = formula(**dict(zip(formula.arguments, values, strict=True)))


@op(flops=terms, y="xs")
def weighted_sum(xs: In, y: Out, weights: tuple[float, ...]) -> None:
    """y = weights[0] x0 + weights[1] x1 + …"""
    total = xs[0] * y.dtype.type(weights[0])
    for x, weight in zip(xs[1:], weights[1:], strict=True):
        total += x * y.dtype.type(weight)
    y[...] = total


@op(flops=terms, y="xs")
def product(xs: In, y: Out) -> None:
    """y = x0 x1 …"""
    total = xs[0].copy()
    for x in xs[1:]:
        total *= x
    y[...] = total


@op(flops=terms)
def product_dx(xs: In, dy: In, dx: Out, index: int) -> None:
    """dx[index] = dy times the product of all the others (never y / x: x may be 0)"""
    total = dy.copy()
    for place, x in enumerate(xs):
        if place != index:
            total *= x
    dx[...] = total


@op(flops=terms)
def maximum(xs: In, y: Out, winner: Out) -> None:
    """y = max of x0, x1, …; winner = which.  Between the first two the second wins a tie; later ones must be greater."""
    first = xs[0] > xs[1]
    best, who = np.where(first, xs[0], xs[1]), np.where(first, 0, 1)
    for place, x in enumerate(xs[2:], 2):
        wins = x > best
        best, who = np.where(wins, x, best), np.where(wins, place, who)
    y[...], winner[...] = best, who


@op()
def maximum_dx(dy: In, winner: In, dx: Out, index: int) -> None:
    """dx[index] = dy where index is the winner, else 0"""
    dx[...] = np.where(winner == index, dy, 0)
