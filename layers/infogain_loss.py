"""InfogainLoss: a softmax loss in which some mistakes are worse than others."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.layer import Blob, Shape, layer
from dltrain.matrix import read_matrix
from dltrain.scored import Scored


@layer("InfogainLoss")
class InfogainLoss(Scored):
    """y = -(1/Z) sum over places and classes c of H[label, c] log p[c],   p = max(softmax(x), 1e-20)

    dx[c] = (p[c] sum of H[label] - H[label, c]) / Z;   H = 1 is SoftmaxWithLoss, diagonal H are weights of classes

    bottoms x       (N, C, ...)       scores
            label   (N, ...)          classes 0 .. C - 1, x without `axis`
            matrix  C C numbers       H; or `source`, a FILE.npy or .npz that holds it, and there is no such bottom
            weight  (N) or as label   optional
    top     y       one number

    Z by `normalization`: valid, the places whose label is not `ignore_label`; full, all places; batch_size, N; none, 1.  Weights
    add up where it counted; H does not.
    """

    kind = "loss"
    fixed = ("label", "matrix", "weight")
    paths = ("source",)

    source: str | None = None
    axis: int = 1
    ignore_label: int | None = None
    normalization: Literal["valid", "full", "batch_size", "none"] = "valid"

    def setup(self, x: Shape, label: Shape, matrix: Shape | None = None, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = self.places(x)
        classes = x[self.at]
        if self.source is not None and None not in (matrix, weight):
            raise Refusal("source", "stands for the matrix: the bottoms are then x, label and, if you like, weight")
        if self.source is not None:
            matrix, weight = None, matrix or weight
        elif matrix is None:
            raise Refusal("bottom", "needs a matrix as third bottom, or source: FILE.npy")
        elif matrix.count != classes * classes:
            raise Refusal("bottom", f"the matrix must have {classes} x {classes} numbers, not {matrix}")
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        self.table = None if self.source is None else read_matrix(self.source, classes)
        self.prob = self.buffer("prob", x)
        return self.cost(places)

    def forward(self, *blobs: Blob) -> None:
        x, label, *others, y = (blob.data for blob in blobs)
        self.h, self.w = [*([None] if self.source is not None else []), *others, None][:2]
        self.keys = (self.at, self.ignore_label, self.table)
        self.ops.infogain_loss(x, label, self.h, self.w, self.prob, self.loss, *self.keys)
        self.ops.weigh(label, self.w, self.z, self.normalization, self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        self.ops.infogain_loss_dx(self.prob, label, self.h, self.w, self.z, y.grad, x.grad, *self.keys)
