"""SigmoidCrossEntropyLoss: independent questions of yes or no, each answered by a score."""

from math import exp, log, tanh
from typing import Literal

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Scored):
    """y = -(1/Z) sum of label log p + (1 - label) log(1 - p),   p = 1 / (1 + exp(-x))          dx = (p - label) / Z

    bottoms x       (N, ...)  scores
            label   0 or 1, or what lies between, for each of them
            weight  (N) or as label, optional; Z then adds up weights where it counted
    top     y       one number

    Z by `normalization`: batch_size, N (Caffe's default here); valid, the labels that are not `ignore_label` (missing);
    full, all labels; none, 1.  No number is cut: a score of -1000 for a yes costs 1000.
    """

    kind = "loss"

    ignore_label: int | None = None
    normalization: Literal["valid", "full", "batch_size", "none"] = "batch_size"

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        self.matched(x, label, "label")
        self.weighted(x, weight, label)
        return self.cost(x)

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return 0, 1

    @staticmethod
    def f(x: float, label: float) -> float:
        return max(x, 0) - x * label + log(1 + exp(-abs(x)))

    @staticmethod
    def df(x: float, label: float) -> float:
        return 0.5 * tanh(0.5 * x) + 0.5 - label

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.pointwise_loss((x, label), self.w, self.loss, formula(self.f), (), self.ignore_label)
        self.ops.weigh(label, self.w, self.z, self.normalization, self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        given = (x.grad, None, None, formula(self.df), (), self.ignore_label)
        self.ops.pointwise_loss_dx((x.data, label), self.w, self.z, y.grad, *given)
