"""ContrastiveLoss: what is alike is pulled together, what is not is pushed a margin apart."""

from dltrain.errors import Refusal
from dltrain.fields import Positive
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("ContrastiveLoss")
class ContrastiveLoss(Scored):
    """y = 1/(2N) sum over pairs of d^2 if label, else max(margin - d, 0)^2,   d = |a - b|

    da = (a - b) / N if label, else -(a - b) max(margin - d, 0) / (d + 1e-4) / N;   db = -da

    bottoms a, b      (N, ...), as many numbers a sample
            label     (N)  1 for a pair that is alike, 0 for one that is not
            weight    (N)  optional: pairs count as much as they weigh
    tops    y         one number
            distance  (N)  d, only if read

    legacy_version: of pairs not alike max(margin - d^2, 0).  The 1e-4 is Caffe's.  Hadsell, Chopra & LeCun, CVPR 2006.
    """

    kind = "loss"
    more_tops = ("distance",)

    margin: Positive = 1.0
    legacy_version: bool = False

    def setup(self, a: Shape, b: Shape, label: Shape, weight: Shape | None = None) -> list[Shape]:
        self.real(a, b)
        self.alike(a, b)
        if label[0] != a[0] or label.count != a[0]:
            raise Refusal("bottom", f"the label must be {Shape(a[:1])}, one for each pair, not {label}")
        self.weighted(a, weight)
        self.bottoms = 3 if weight is None else 4
        return [self.cost(a[:1]), Shape(a[:1])]

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return 0, 1

    def forward(self, *blobs: Blob) -> None:
        a, b, label, *weight = (blob.data for blob in blobs[: self.bottoms])
        y, distance = blobs[self.bottoms :]
        self.w = weight[0] if weight else None
        self.distance = distance.data or self.buffer("distance", (a.shape[0],))
        self.keys = (self.margin, self.legacy_version)
        self.ops.contrastive_loss(a, b, label, self.w, self.distance, self.loss, *self.keys)
        self.ops.weigh(self.loss, self.w, self.z, "valid", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y.data)

    def backward(self, *blobs: Blob) -> None:
        a, b, label, (y, *distance) = blobs[0], blobs[1], blobs[2].data, blobs[self.bottoms :]
        further = distance[0].grad if distance else None
        given = (self.w, self.distance, self.z, y.grad, further, a.grad, b.grad)
        self.ops.contrastive_loss_dx(a.data, b.data, label, *given, *self.keys)
