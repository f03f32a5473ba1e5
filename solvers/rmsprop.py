"""RMSProp: AdaGrad that forgets."""

from math import sqrt

from dltrain.fields import Positive, Share
from dltrain.solver import Solver, solver


@solver("RMSProp")
class RMSProp(Solver):
    """h <- rms_decay h + (1 - rms_decay) g^2;   w <- w - lr g / (sqrt(h) + delta)

    Tieleman & Hinton, Coursera lecture 6.5, 2012, in Caffe's form (src/caffe/solvers/rmsprop_solver.cpp).
    """

    rms_decay: Share = 0.99
    delta: Positive = 1e-8

    slots = ("square",)

    @staticmethod
    def rule(w: float, g: float, square: float, lr: float, rms_decay: float, delta: float) -> tuple[float, float]:
        h = rms_decay * square + (1 - rms_decay) * g * g
        return w - lr * g / (sqrt(h) + delta), h
