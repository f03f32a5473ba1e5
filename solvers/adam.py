"""Adam: momentum, and a rate for each weight by the size of its gradients."""

from math import sqrt

from dltrain.fields import MovingShare, Positive
from dltrain.policy import Horizon
from dltrain.solver import Solver, solver


@solver("Adam")
class Adam(Solver):
    """w <- w - lr correction m / (sqrt(v) + delta),   correction = sqrt(1 - momentum2^t) / (1 - momentum^t) in step t = 1, 2, …
    m <- momentum m + (1 - momentum) g;   v <- momentum2 v + (1 - momentum2) g^2          (first)

    delta stands outside the correction, as Caffe has it, and weight_decay is in g; for decay apart from g take AdamW.

    Kingma & Ba, ICLR 2015, arXiv:1412.6980, section 2, last lines (src/caffe/solvers/adam_solver.cpp).
    """

    momentum: MovingShare = 0.0
    momentum2: MovingShare = 0.999
    delta: Positive = 1e-8

    slots = ("mean", "square")

    def computed(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The mean and the square begin at 0; this undoes it."""
        return {"correction": sqrt(1 - self.left("momentum2", iteration, run)) / (1 - self.left("momentum", iteration, run))}

    @staticmethod
    def rule(
        w: float, g: float, mean: float, square: float,
        lr: float, correction: float, momentum: float, momentum2: float, delta: float,
    ) -> tuple[float, float, float]:  # fmt: skip
        m = momentum * mean + (1 - momentum) * g
        v = momentum2 * square + (1 - momentum2) * g * g
        return w - lr * correction * m / (sqrt(v) + delta), m, v
