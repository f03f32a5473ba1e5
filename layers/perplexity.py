"""Perplexity: among how many equally likely classes the net hesitates."""

from math import exp
from typing import Any

from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("Perplexity")
class Perplexity(Scored):
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
        places = self.places(x)
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        self.prob = self.buffer("prob", x)
        return self.cost(places)

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
