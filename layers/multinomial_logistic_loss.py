"""MultinomialLogisticLoss: how surprised given probabilities are by the right class."""

from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Scored):
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
        places = self.places(x)
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        return self.cost(places)

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
