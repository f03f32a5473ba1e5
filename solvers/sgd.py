"""SGD: gradient descent with momentum."""

from dltrain.fields import Share
from dltrain.solver import Solver, solver


@solver("SGD")
class SGD(Solver):
    """v <- momentum v + lr g;   w <- w - v          (the rate is inside v, as Caffe has it: a new rate leaves v alone)"""

    momentum: Share = 0.0

    slots = ("velocity",)

    def rule(w, g, velocity, lr, momentum):  # type: ignore[no-untyped-def]
        v = momentum * velocity + lr * g
        return w - v, v
