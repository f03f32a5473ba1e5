"""L1Loss: the distance between prediction and target, number by number."""

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("L1Loss")
class L1Loss(Scored):
    """y = 1/N sum of |a - b|          da = sign(a - b) / N,   db = -da

    bottoms a, b    (N, ...), as many numbers a sample
            weight  (N) or as b, such as 0 where a number is missing; optional: samples count as much as they weigh
    top     y       one number

    The gradient is 0 where a = b.
    """

    kind = "loss"
    fixed = ("weight",)

    def setup(self, a: Shape, b: Shape, weight: Shape | None = None) -> Shape:
        self.real(a, b)
        self.alike(a, b)
        self.weighted(a, weight, b)
        return self.cost(a)

    @staticmethod
    def f(a: float, b: float) -> float:
        return abs(a - b)

    @staticmethod
    def df(a: float, b: float) -> tuple[float, float]:
        d = 1.0 if a > b else (-1.0 if a < b else 0.0 * (a - b))
        return d, -d

    def forward(self, *blobs: Blob) -> None:
        a, b, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((a, b), self.w, self.loss, formula(self.f))
        self.ops.weigh(b, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        a, b, y = blobs[0], blobs[1], blobs[-1]
        self.ops.pointwise_loss_dx((a.data, b.data), self.w, self.z, y.grad, a.grad, b.grad, None, formula(self.df))
