"""MarginRankingLoss: of two scores the right one should be higher, by a margin."""

from dltrain.errors import Refusal
from dltrain.fields import NonNegative
from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("MarginRankingLoss")
class MarginRankingLoss(Scored):
    """y = 1/N sum of max(0, margin - label (a - b))          da = -label / N where the margin is not kept, else 0;   db = -da

    bottoms a, b    (N, ...)  scores, as many a sample
            label   1 where a should be higher, -1 where b; for each score, or one for all: `bottom: [good, bad, 1]`
            weight  (N) or as a, optional: samples count as much as they weigh
    top     y       one number
    """

    kind = "loss"

    margin: NonNegative = 1.0

    def setup(self, a: Shape, b: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(a, b)
        self.alike(a, b, "scores")
        if label != (1,) and not self.as_many(label, a):
            raise Refusal("bottom", f"the label must be {a}, or the number 1 or -1 for all, not {label}")
        self.weighted(a, weight, a)
        return self.cost(a)

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return -1, 1

    @staticmethod
    def f(a: float, b: float, label: float, margin: float) -> float:
        return max(0, margin - label * (a - b))

    @staticmethod
    def df(a: float, b: float, label: float, margin: float) -> tuple[float, float]:
        d = label if margin > label * (a - b) else 0
        return -d, d

    def forward(self, *blobs: Blob) -> None:
        a, b, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((a, b, label), self.w, self.loss, formula(self.f), (self.margin,))
        self.ops.weigh(a, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        a, b, label, y = blobs[0], blobs[1], blobs[2].data, blobs[-1]
        grads = (a.grad, b.grad, None)
        self.ops.pointwise_loss_dx((a.data, b.data, label), self.w, self.z, y.grad, *grads, formula(self.df), (self.margin,))
