"""MultinomialLogisticLoss: how surprised given probabilities are by the right class."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    """y = -1/Z sum over places of log max(x[label], 1e-20)          dx[label] = -1 / max(x[label], 1e-20) / Z, 0 elsewhere

    bottoms x       (N, C, ...)       probabilities; with log_probabilities their logarithms (as LogSoftmax gives them), not cut
            label   (N, ...)          classes 0 .. C - 1, x without `axis`
            weight  (N) or as label   optional
    top     y       one number

    Z is the number of places whose label is not `ignore_label`, or the sum of their weights.  A probability of 0 gets a gradient
    of 1e20 (Caffe): after a Softmax take SoftmaxWithLoss, which has no such edge.
    """

    kind = "loss"

    log_probabilities: bool = False
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
        self.loss = self.buffer("loss", places)
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.keys = (self.at, self.ignore_label, self.log_probabilities)
        self.ops.label_loss(x, label, self.w, self.loss, *self.keys)
        self.ops.weigh(label, self.w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        self.ops.label_loss_dx(x.data, label, self.w, self.z, y.grad, x.grad, *self.keys)
