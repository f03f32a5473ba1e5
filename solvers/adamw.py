"""AdamW: Adam with the decay apart from the gradient."""

from math import sqrt

from dltrain.fields import Positive, Share
from dltrain.solver import Solver, solver


@solver("AdamW")
class AdamW(Solver):
    """w <- w - lr (mean_scale m / (sqrt(square_scale v) + delta) + weight_decay w)
    m <- momentum m + (1 - momentum) g;   v <- momentum2 v + (1 - momentum2) g^2          (first)

    with mean_scale = 1 / (1 - momentum^t), square_scale = 1 / (1 - momentum2^t) in step t = 1, 2, …  The decay does not go
    through m and v, but it is multiplied by the rate; a customary value is 0.01.  delta stands inside the correction.

    Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101.
    """

    momentum: Share = 0.9
    momentum2: Share = 0.999
    delta: Positive = 1e-8

    slots = ("mean", "square")

    def computed(self, iteration: int) -> dict[str, float]:
        """The mean and the square begin at 0; these undo it."""
        t = iteration + 1
        return {"mean_scale": 1 / (1 - self.momentum**t), "square_scale": 1 / (1 - self.momentum2**t)}

    @staticmethod
    def rule(
        w: float, g: float, mean: float, square: float,
        lr: float, pull: float, momentum: float, momentum2: float, mean_scale: float, square_scale: float, delta: float,
    ) -> tuple[float, float, float]:  # fmt: skip
        m = momentum * mean + (1 - momentum) * g
        v = momentum2 * square + (1 - momentum2) * g * g
        return w - lr * (mean_scale * m / (sqrt(square_scale * v) + delta) + pull), m, v
