"""SmoothL1Loss: squared where prediction and target are close, straight where they are far apart; also called Huber loss."""

from dltrain.fields import Positive
from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("SmoothL1Loss")
class SmoothL1Loss(Scored):
    """y = 1/N sum of h(a - b),   h(d) = (sigma d)^2 / 2 if |d| < 1/sigma^2, else |d| - 1/(2 sigma^2)          db = -da

    bottoms a, b    (N, ...), as many numbers a sample
            weight  (N) or as b, such as 0 where a number is missing; optional: samples count as much as they weigh
    top     y       one number

    sigma as in Fast R-CNN (Girshick, ICCV 2015), where 1/sigma^2 is the beta of others.
    """

    kind = "loss"
    fixed = ("weight",)

    sigma: Positive = 1.0

    def setup(self, a: Shape, b: Shape, weight: Shape | None = None) -> Shape:
        self.real(a, b)
        self.alike(a, b)
        self.weighted(a, weight, b)
        return self.cost(a)

    @staticmethod
    def f(a: float, b: float, sigma: float) -> float:
        d = abs(a - b)
        bend = 1 / (sigma * sigma)
        return 0.5 * d * d / bend if d < bend else d - 0.5 * bend

    @staticmethod
    def df(a: float, b: float, sigma: float) -> tuple[float, float]:
        d = max(-1.0, min(1.0, (a - b) * sigma * sigma))
        return d, -d

    def forward(self, *blobs: Blob) -> None:
        a, b, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((a, b), self.w, self.loss, formula(self.f), (self.sigma,))
        self.ops.weigh(b, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        a, b, y = blobs[0], blobs[1], blobs[-1]
        grads = (a.grad, b.grad, None)
        self.ops.pointwise_loss_dx((a.data, b.data), self.w, self.z, y.grad, *grads, formula(self.df), (self.sigma,))
