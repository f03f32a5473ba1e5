"""MeanMomentum: gradient descent along the gradient and a running mean of gradients."""

from dltrain.fields import MovingNonNegative, MovingShare
from dltrain.solver import Solver, solver


@solver("MeanMomentum")
class MeanMomentum(Solver):
    """m <- momentum m + (1 - momentum) g;   w <- w - lr g - lr mean_mult m

    momentum is Smola's 1 - lambda, and lr mean_mult his second rate: it follows lr_policy and each lr_mult as the first does,
    and mean_mult may have a policy of its own.  Where the gradient stays, a step is lr (1 + mean_mult) g.

    Smola, "Deep Learning", 10-701, chapter 9.
    """

    momentum: MovingShare = 0.9
    mean_mult: MovingNonNegative = 1.0

    slots = ("mean",)

    @staticmethod
    def rule(w: float, g: float, mean: float, lr: float, momentum: float, mean_mult: float) -> tuple[float, float]:
        m = momentum * mean + (1 - momentum) * g
        return w - lr * g - lr * mean_mult * m, m
