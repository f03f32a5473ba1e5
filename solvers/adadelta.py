"""AdaDelta: steps as long as the steps before, so that no rate has to be chosen."""

from math import sqrt

from dltrain.fields import MovingShare, Positive
from dltrain.solver import Solver, solver


@solver("AdaDelta")
class AdaDelta(Solver):
    """h <- momentum h + (1 - momentum) g^2;   u = g sqrt((s + delta) / (h + delta))
    s <- momentum s + (1 - momentum) u^2;   w <- w - lr u          (base_lr: 1 is the paper's)

    Zeiler 2012, arXiv:1212.5701, in Caffe's form (src/caffe/solvers/adadelta_solver.cpp).
    """

    momentum: MovingShare = 0.0
    delta: Positive = 1e-8

    slots = ("square", "step")

    @staticmethod
    def rule(
        w: float, g: float, square: float, step: float, lr: float, momentum: float, delta: float
    ) -> tuple[float, float, float]:
        h = momentum * square + (1 - momentum) * g * g
        u = g * sqrt((step + delta) / (h + delta))
        return w - lr * u, h, momentum * step + (1 - momentum) * u * u
