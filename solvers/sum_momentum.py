"""SumMomentum: gradient descent along a fading sum of gradients, with the rate outside of it."""

from dltrain.fields import MovingShare
from dltrain.solver import Solver, solver


@solver("SumMomentum")
class SumMomentum(Solver):
    """m <- g + momentum m;   w <- w - lr m

    At a constant rate these are SGD's steps.  A new rate acts at once on all that m has gathered; in SGD the rate is inside,
    and what was gathered keeps the old one.

    Larochelle's form, and that of PyTorch (torch.optim.SGD with dampening 0).
    """

    momentum: MovingShare = 0.9

    slots = ("total",)

    @staticmethod
    def rule(w: float, g: float, total: float, lr: float, momentum: float) -> tuple[float, float]:
        m = g + momentum * total
        return w - lr * m, m
