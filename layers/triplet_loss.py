"""TripletLoss: an anchor should be nearer to its like than to anything else, by a margin."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import NonNegative
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("TripletLoss")
class TripletLoss(Scored):
    """y = 1/N sum of max(0, margin + d(anchor, positive) - d(anchor, negative)),   d = |.|^2, or |.| with distance: euclidean

    bottoms anchor, positive, negative  one shape, (N, ...)
            weight  (N)  optional: triplets count as much as they weigh
    top     y       one number

    Squared distances, as in Schroff, Kalenichenko & Philbin, CVPR 2015.  The gradient of |.| is taken as 0 at distance 0.
    """

    kind = "loss"
    fixed = ("weight",)

    margin: NonNegative = 1.0
    distance: Literal["squared", "euclidean"] = "squared"

    def setup(self, anchor: Shape, positive: Shape, negative: Shape, weight: Shape | None = None) -> Shape:
        self.real(anchor, positive, negative)
        for other in (positive, negative):
            if other != anchor:
                raise Refusal("bottom", f"shapes differ: {anchor} and {other}")
        self.weighted(anchor, weight)
        self.near, self.far = (self.buffer(role, anchor[:1]) for role in ("near", "far"))
        return self.cost(anchor[:1])

    def forward(self, *blobs: Blob) -> None:
        *xs, y = (blob.data for blob in blobs)
        self.w = xs[3] if len(xs) > 3 else None
        self.keys = (self.margin, self.distance == "squared")
        self.ops.triplet_loss(*xs[:3], self.w, self.near, self.far, self.loss, *self.keys)
        self.ops.weigh(self.loss, self.w, self.z, "valid", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        xs, y = blobs[:3], blobs[-1]
        given = (self.w, self.near, self.far, self.z, y.grad, *(x.grad for x in xs))
        self.ops.triplet_loss_dx(*(x.data for x in xs), *given, *self.keys)
