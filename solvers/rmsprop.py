"""RMSProp: AdaGrad that forgets."""

from math import sqrt

from dltrain.fields import MovingShare, NonNegative
from dltrain.solver import Solver, solver


@solver("RMSProp")
class RMSProp(Solver):
    """h <- rms_decay h + (1 - rms_decay) g^2;   w <- w - lr g / (sqrt(h + inside_root) + delta)          (0 where h is 0)

    Caffe's form is inside_root 0; Larochelle's, lr g / sqrt(h + eps), is inside_root eps with delta 0.

    Tieleman & Hinton, Coursera lecture 6.5, 2012, in Caffe's form (src/caffe/solvers/rmsprop_solver.cpp).
    """

    rms_decay: MovingShare = 0.99
    delta: NonNegative = 1e-8
    inside_root: NonNegative = 0.0

    slots = ("square",)

    @staticmethod
    def rule(
        w: float, g: float, square: float, lr: float, rms_decay: float, delta: float, inside_root: float
    ) -> tuple[float, float]:
        h = rms_decay * square + (1 - rms_decay) * g * g
        step = lr * g / (sqrt(h + inside_root) + delta) if h > 0 else 0
        return w - step, h
