"""SGD: gradient descent with momentum."""

from dltrain.fields import MovingShare
from dltrain.solver import Solver, solver


@solver("SGD")
class SGD(Solver):
    """v <- momentum v + lr g;   w <- w - v          (the rate is inside v, as Caffe has it: a new rate leaves v alone)"""

    momentum: MovingShare = 0.0

    slots = ("velocity",)

    @staticmethod
    def rule(w: float, g: float, velocity: float, lr: float, momentum: float) -> tuple[float, float]:
        v = momentum * velocity + lr * g
        return w - v, v
