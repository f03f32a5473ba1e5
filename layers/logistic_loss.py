"""LogisticLoss: how surprised a single score is by a label of two kinds, -1 and 1."""

from math import exp, log, tanh

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("LogisticLoss")
class LogisticLoss(Scored):
    """y = 1/N sum of log(1 + exp(-label x))          dx = -label / (1 + exp(label x)) / N

    bottoms x       (N, ...)  scores
            label   -1 or 1 for each of them
            weight  (N) or as label, optional: samples count as much as they weigh
    top     y       one number

    With labels 0 and 1 it is SigmoidCrossEntropyLoss.
    """

    kind = "loss"

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        self.matched(x, label, "label")
        self.weighted(x, weight, label)
        return self.cost(x)

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return -1, 1

    @staticmethod
    def f(x: float, label: float) -> float:
        s = -label * x
        return max(s, 0) + log(1 + exp(-abs(s)))

    @staticmethod
    def df(x: float, label: float) -> float:
        return label * (0.5 * tanh(0.5 * label * x) - 0.5)

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((x, label), self.w, self.loss, formula(self.f))
        self.ops.weigh(label, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        self.ops.pointwise_loss_dx((x.data, label), self.w, self.z, y.grad, x.grad, None, None, formula(self.df))
