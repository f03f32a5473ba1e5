"""LAMB: AdamW with a rate for each parameter, by how long its step is next to itself; for very large batches."""

from math import sqrt

from dltrain.fields import MovingShare, Positive
from dltrain.policy import Horizon
from dltrain.solver import Solver, solver


@solver("LAMB")
class LAMB(Solver):
    """w <- w - lr |w| / |u| u,   u = mean_scale m / (sqrt(square_scale v) + delta) + weight_decay w
    m <- momentum m + (1 - momentum) g;   v <- momentum2 v + (1 - momentum2) g^2          (first)

    with mean_scale = 1 / (1 - momentum^t), square_scale = 1 / (1 - momentum2^t) in step t = 1, 2, …; |w| and |u| are lengths
    of whole parameters.  |w| / |u| is 1 where one of them is 0, and for parameters that are not decayed (decay_mult 0: biases
    and scales), as the authors have it.

    You et al., ICLR 2020, arXiv:1904.00962.
    """

    momentum: MovingShare = 0.9
    momentum2: MovingShare = 0.999
    delta: Positive = 1e-6

    slots = ("mean", "square")

    def computed(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The mean and the square begin at 0; these undo it."""
        mean, square = (1 - self.left(name, iteration, run) for name in ("momentum", "momentum2"))
        return {"mean_scale": 1 / mean, "square_scale": 1 / square}

    @staticmethod
    def direction(
        w: float, g: float, mean: float, square: float,
        lr: float, pull: float, momentum: float, momentum2: float, mean_scale: float, square_scale: float, delta: float,
    ) -> tuple[float, float, float]:  # fmt: skip
        m = momentum * mean + (1 - momentum) * g
        v = momentum2 * square + (1 - momentum2) * g * g
        return mean_scale * m / (sqrt(square_scale * v) + delta) + pull, m, v

    @staticmethod
    def rule(w: float, g: float, lr: float, decay_mult: float, w_norm: float, g_norm: float) -> float:
        ratio = w_norm / g_norm if decay_mult > 0 and w_norm > 0 and g_norm > 0 else 1
        return w - lr * ratio * g
