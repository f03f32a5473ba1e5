"""EuclideanLoss: half the squared distance between prediction and target."""

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("EuclideanLoss")
class EuclideanLoss(Scored):
    """y = 1/(2N) sum of (a - b)^2          da = (a - b) / N,   db = -da

    bottoms a, b    (N, ...), as many numbers a sample
            weight  (N) or as b, such as 0 where a number is missing; optional: samples count as much as they weigh
    top     y       one number
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
        return 0.5 * (a - b) * (a - b)

    @staticmethod
    def df(a: float, b: float) -> tuple[float, float]:
        return a - b, b - a

    def forward(self, *blobs: Blob) -> None:
        a, b, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((a, b), self.w, self.loss, formula(self.f))
        self.ops.weigh(b, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        a, b, y = blobs[0], blobs[1], blobs[-1]
        self.ops.pointwise_loss_dx((a.data, b.data), self.w, self.z, y.grad, a.grad, b.grad, None, formula(self.df))
