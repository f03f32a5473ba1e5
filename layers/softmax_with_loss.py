"""SoftmaxWithLoss: how surprised the net is by the right class."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import NonNegative, Share
from dltrain.layer import Blob, Shape, Tensor, layer
from dltrain.scored import Scored


@layer("SoftmaxWithLoss")
class SoftmaxWithLoss(Scored):
    """y = -(1/Z) sum over places of weight log p[label],   p = softmax(x) along `axis`          dx = (p - 1[label]) weight / Z

    bottoms x      (N, C, ...)       scores
            label  (N, ...)          classes 0 .. C - 1, x without `axis`; or probabilities of the shape of x
            weight (N) or a place    optional; Z then adds up weights where it counted
    tops    y      one number
            prob   the shape of x, only if read

    Z by `normalization`: valid, the places whose label is not `ignore_label` (a label that is missing); full, all places;
    batch_size, N; none, 1.  A place also weighs class_weight[its label].  label_smoothing puts that part of the target evenly
    on all classes (Szegedy et al., CVPR 2016).  log p is cut at the least normal float32, so a place costs at most 87.34 (Caffe).
    """

    kind = "loss"
    more_tops = ("prob",)

    axis: int = 1
    ignore_label: int | None = None
    normalization: Literal["valid", "full", "batch_size", "none"] = "valid"
    class_weight: tuple[NonNegative, ...] = ()
    label_smoothing: Share = 0.0

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> list[Shape]:
        self.real(x)
        places = self.places(x)
        self.soft = label.dtype == "float"
        if self.soft and label != x:
            raise Refusal("bottom", f"probabilities must have the shape of x: {label} against {x}")
        if not self.soft and label != places:
            raise Refusal("bottom", f"the label must be {places} for scores of {x}, not {label}")
        self.weighted(x, weight, places)
        if self.class_weight and len(self.class_weight) != x[self.at]:
            raise Refusal("class_weight", f"needs one number for each of the {x[self.at]} classes, not {len(self.class_weight)}")
        for key in ("ignore_label", "class_weight"):
            if self.soft and getattr(self, key) not in (None, ()):
                raise Refusal(key, "needs integer labels, not probabilities; give such places a weight")
        self.bottoms = 2 if weight is None else 3
        return [self.cost(places), x]

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight = (blob.data for blob in blobs[: self.bottoms])
        y, prob = blobs[self.bottoms :]
        self.prob = prob.data or self.buffer("prob", x.shape)
        self.w = weight[0] if weight else None
        if self.class_weight:
            given, self.w = self.w, self.buffer("weight", self.loss.shape)
            self.ops.place_weights(label, given, self.w, self.ignore_label, self.class_weight)
        if self.soft:
            self.ops.soft_label_loss(x, label, self.w, self.prob, self.loss, self.at, self.label_smoothing)
        elif self.label_smoothing:
            self.ops.smooth_softmax_loss(x, label, self.w, self.prob, self.loss, self.at, self.ignore_label, self.label_smoothing)
        else:
            self.ops.softmax_loss(x, label, self.w, self.prob, self.loss, self.at, self.ignore_label)
        self.ops.weigh(self.loss if self.soft else label, self.w, self.z, self.normalization, self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y.data)

    def backward(self, *blobs: Blob) -> None:
        x, label, (y, *prob) = blobs[0], blobs[1].data, blobs[self.bottoms :]
        if not x.wants_grad or not any(top.wants_grad for top in prob):
            self.slope(label, y, x.grad)
            return
        own, further = self.buffer("own_grad", x.shape), self.buffer("prob_grad", x.shape)
        self.slope(label, y, own)
        self.ops.softmax_dx(self.prob, prob[0].grad, further, self.at)
        self.ops.weighted_sum((own, further), x.grad, (1.0, 1.0))

    def slope(self, label: Tensor, y: Blob, dx: Tensor | None) -> None:
        given = (self.prob, label, self.w, self.z, y.grad, dx, self.at)
        if self.soft:
            self.ops.soft_label_loss_dx(*given, self.label_smoothing)
        elif self.label_smoothing:
            self.ops.smooth_softmax_loss_dx(*given, self.ignore_label, self.label_smoothing)
        else:
            self.ops.softmax_loss_dx(*given, self.ignore_label)
