"""SoftmaxWithLoss: how surprised the net is by the right class."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    """y = -(1/Z) sum over places of weight log p[label],   p = softmax(x) along `axis`          dx = (p - 1[label]) weight / Z

    bottoms x      (N, C, ...)       scores
            label  (N, ...)          classes 0 .. C - 1, x without `axis`; or probabilities (N, C)
            weight (N) or as label   optional; Z is then the sum of the weights that count
    top     y      one number

    Z by `normalization`: valid, the places whose label is not `ignore_label`; full, all places; batch_size, N; none, 1.
    log p is cut at the least normal float32, so a place costs at most 87.34 (Caffe).
    """

    kind = "loss"

    axis: int = 1
    ignore_label: int | None = None
    normalization: Literal["valid", "full", "batch_size", "none"] = "valid"

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        self.at = self.class_axis(self.axis, x)
        places = (*x[: self.at], *x[self.at + 1 :])
        self.soft = label.dtype == "float"
        if self.soft and (label != x or len(x) != 2):
            raise Refusal("bottom", f"probabilities must have the shape of x, N x C: {label} against {x}")
        if not self.soft and tuple(label) != places:
            raise Refusal("bottom", f"the label must be {Shape(places)} for scores of {x}, not {label}")
        if weight is not None and tuple(weight) not in ((x[0],), places):
            raise Refusal("bottom", f"the weight must be {Shape(x[:1])} or {Shape(places)}, not {weight}")
        if self.soft and self.ignore_label is not None:
            raise Refusal("ignore_label", "needs integer labels, not probabilities")
        self.prob = self.buffer("prob", x)
        self.loss = self.buffer("loss", places)
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        if self.soft:
            self.ops.soft_label_loss(x, label, self.w, self.prob, self.loss)
        else:
            self.ops.softmax_loss(x, label, self.w, self.prob, self.loss, self.at, self.ignore_label)
        self.ops.weigh(self.loss if self.soft else label, self.w, self.z, self.normalization, self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        if self.soft:
            self.ops.soft_label_loss_dx(self.prob, label, self.w, self.z, y.grad, x.grad)
        else:
            self.ops.softmax_loss_dx(self.prob, label, self.w, self.z, y.grad, x.grad, self.at, self.ignore_label)
