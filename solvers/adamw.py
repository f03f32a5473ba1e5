"""AdamW: Adam with the decay apart from the gradient."""

from math import sqrt

from dltrain.fields import MovingShare, NonNegative
from dltrain.policy import Horizon
from dltrain.solver import Solver, solver


@solver("AdamW")
class AdamW(Solver):
    """w <- w - lr (mean_scale m / (sqrt(square_scale v + inside_root) + delta) + weight_decay w)          (no m where v is 0)
    m <- momentum m + (1 - momentum) g;   v <- momentum2 v + (1 - momentum2) g^2          (first)

    with mean_scale = 1 / (1 - momentum^t), square_scale = 1 / (1 - momentum2^t) in step t = 1, 2, …  The decay does not go
    through m and v, but it is multiplied by the rate; a customary value is 0.01.  delta stands inside the correction.
    Adam with its eps inside the root is inside_root eps with delta 0 and weight_decay 0.

    Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101.
    """

    momentum: MovingShare = 0.9
    momentum2: MovingShare = 0.999
    delta: NonNegative = 1e-8
    inside_root: NonNegative = 0.0

    slots = ("mean", "square")

    def computed(self, iteration: int, run: Horizon) -> dict[str, float]:
        """The mean and the square begin at 0; these undo it."""
        mean, square = (1 - self.left(name, iteration, run) for name in ("momentum", "momentum2"))
        return {"mean_scale": 1 / mean, "square_scale": 1 / square}

    @staticmethod
    def rule(
        w: float, g: float, mean: float, square: float,
        lr: float, pull: float, momentum: float, momentum2: float, mean_scale: float, square_scale: float,
        delta: float, inside_root: float,
    ) -> tuple[float, float, float]:  # fmt: skip
        m = momentum * mean + (1 - momentum) * g
        v = momentum2 * square + (1 - momentum2) * g * g
        step = mean_scale * m / (sqrt(square_scale * v + inside_root) + delta) if v > 0 else 0
        return w - lr * (step + pull), m, v
