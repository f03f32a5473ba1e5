"""SGDW: momentum, and weights that shrink by a part of their own in each step, whatever the rate."""

from dltrain.fields import MovingShare
from dltrain.solver import Solver, solver


@solver("SGDW")
class SGDW(Solver):
    """v <- momentum v + lr g;   w <- (1 - weight_decay) w - v

    The decay is not multiplied by the rate, nor by lr_mult: SGD's 5e-4 at rate 0.01 is 5e-6 here.  With momentum 0 this is
    Smola's capacity control.

    Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101, algorithm 1, multiply the decay by their schedule (1 at first), though
    not by the rate that it schedules.  For that give weight_decay the policy of the rate.
    """

    momentum: MovingShare = 0.0

    slots = ("velocity",)

    @staticmethod
    def rule(w: float, g: float, velocity: float, lr: float, pull: float, momentum: float) -> tuple[float, float]:
        v = momentum * velocity + lr * g
        return w - pull - v, v
