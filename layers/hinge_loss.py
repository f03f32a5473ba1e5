"""HingeLoss: the score of the right class should be above a margin, all others below minus that margin."""

from typing import Literal

from dltrain.fields import Positive
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("HingeLoss")
class HingeLoss(Scored):
    """y = 1/Z sum over places and classes c of max(0, margin - d x[c])^p,   d = 1 for the label, else -1          p: norm L1, L2

    bottoms x       (N, C, ...)       scores
            label   (N, ...)          classes 0 .. C - 1, x without `axis`
            weight  (N) or as label   optional
    top     y       one number

    Z is the number of places whose label is not `ignore_label`, or the sum of their weights.  All classes count, not only the
    strongest rival; with norm L2 nothing is halved (Caffe).
    """

    kind = "loss"

    norm: Literal["L1", "L2"] = "L1"
    margin: Positive = 1.0
    axis: int = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = self.places(x)
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        return self.cost(places)

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.keys = (self.at, self.ignore_label, self.margin, self.norm == "L2")
        self.ops.hinge_loss(x, label, self.w, self.loss, *self.keys)
        self.ops.weigh(label, self.w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        self.ops.hinge_loss_dx(x.data, label, self.w, self.z, y.grad, x.grad, *self.keys)
