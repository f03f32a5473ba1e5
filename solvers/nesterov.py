"""Nesterov: momentum that looks ahead."""

from dltrain.fields import MovingShare
from dltrain.solver import Solver, solver


@solver("Nesterov")
class Nesterov(Solver):
    """v' <- momentum v + lr g;   w <- w - ((1 + momentum) v' - momentum v)

    Sutskever, Martens, Dahl & Hinton, ICML 2013, in Caffe's form (src/caffe/solvers/nesterov_solver.cpp).
    """

    momentum: MovingShare = 0.0

    slots = ("velocity",)

    @staticmethod
    def rule(w: float, g: float, velocity: float, lr: float, momentum: float) -> tuple[float, float]:
        v = momentum * velocity + lr * g
        return w - ((1 + momentum) * v - momentum * velocity), v
