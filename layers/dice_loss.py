"""DiceLoss: how much of two regions lies outside of both."""

from dltrain.errors import Refusal
from dltrain.fields import NonNegative
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("DiceLoss")
class DiceLoss(Scored):
    """y = mean over samples and classes of 1 - (2 sum of x t + smooth) / (sum of x^2 + t^2 + smooth), over the places of an image

    bottoms x       (N, C, ...)  probabilities, after a Softmax or Sigmoid; at least one axis of places
            label   (N, ...)     classes 0 .. C - 1, x without `axis`; or as many as x, 0 or 1 (or between) for each probability
            weight  (N)          optional
    top     y       one number

    Places whose label is `ignore_label` are left out of the sums.  A class that is neither there nor predicted costs nothing.
    The denominator has squares, as in V-Net: Milletari, Navab & Ahmadi, 3DV 2016.
    """

    kind = "loss"

    smooth: NonNegative = 1.0
    axis: int = 1
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = self.places(x)
        if len(x) < 3:
            raise Refusal("bottom", f"needs places to add up, N x C x ..., not {x}")
        if not self.as_many(x, label):
            self.integers(x, label, places, f"{places} integers, or {x}")
        self.weighted(x, weight)
        return self.cost((x[0], x[self.at]))

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return (0, 1) if x.count == label.count else range(x[self.axis])

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.keys = (self.at, self.ignore_label, self.smooth)
        self.ops.dice_loss(x, label, self.w, self.loss, *self.keys)
        self.ops.weigh(self.loss, self.w, self.z, "valid", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        self.ops.dice_loss_dx(x.data, label, self.w, self.z, y.grad, x.grad, *self.keys)
