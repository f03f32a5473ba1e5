"""Perplexity: among how many equally likely classes the net hesitates."""

from math import exp
from typing import Any

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Perplexity")
class Perplexity(Layer):
    """y = exp(mean over places of -log p[label]),   p = softmax(x) along `axis`

    bottoms x       (N, C, ...)       scores
            label   (N, ...)          classes 0 .. C - 1, x without `axis`; `ignore_label` does not count
            weight  (N) or as label   optional
    top     y       one number: 1 of a net that is always sure and right, C of one that knows nothing

    The score of a test is the exponential of the mean over all its places, not the mean of the batches' perplexities.
    """

    kind = "metric"

    axis: int = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        self.at = self.class_axis(self.axis, x)
        places = (*x[: self.at], *x[self.at + 1 :])
        if tuple(label) != places or label.dtype == "float":
            raise Refusal("bottom", f"the label must be {Shape(places)} integers where x is {x}, not {label} of {label.dtype}")
        if weight is not None and tuple(weight) not in ((x[0],), places):
            raise Refusal("bottom", f"the weight must be {Shape(x[:1])} or {Shape(places)}, not {weight}")
        self.prob = self.buffer("prob", x)
        self.loss = self.buffer("loss", places)
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        w = weight[0] if weight else None
        self.ops.softmax_loss(x, label, w, self.prob, self.loss, self.at, self.ignore_label)
        self.ops.weigh(label, w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, None)
        self.ops.scored(self.sums, y, self.score)

    def backward(self, *blobs: Blob) -> None:
        """A metric: SoftmaxWithLoss has the gradient."""

    @staticmethod
    def score(sums: Any) -> float:
        return exp(float(sums[0]) / float(sums[1])) if sums[1] else 0.0
