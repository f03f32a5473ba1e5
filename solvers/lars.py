"""LARS: momentum with a rate for each parameter, by how long its gradient is next to itself; for very large batches."""

from typing import Literal

from dltrain.fields import MovingShare, Positive
from dltrain.solver import Solver, solver


@solver("LARS")
class LARS(Solver):
    """r = trust |w| / (|g| + weight_decay |w|);   v <- momentum v + lr r (g + weight_decay w);   w <- w - v

    |w| and |g| are the lengths of the whole parameter and of its gradient.  r is 1 where one of them is 0, and for parameters
    that are not decayed (decay_mult 0: biases and scales), which have no size of their own to go by.

    You, Gitman & Ginsburg 2017, arXiv:1708.03888.
    """

    momentum: MovingShare = 0.9
    trust: Positive = 0.001
    regularization_type: Literal["L2"] = "L2"

    slots = ("velocity",)

    @staticmethod
    def rule(
        w: float, g: float, velocity: float,
        lr: float, momentum: float, trust: float, pull: float, decay: float, decay_mult: float, w_norm: float, g_norm: float,
    ) -> tuple[float, float]:  # fmt: skip
        r = trust * w_norm / (g_norm + decay * w_norm) if decay_mult > 0 and w_norm > 0 and g_norm > 0 else 1
        v = momentum * velocity + lr * r * (g + pull)
        return w - v, v
