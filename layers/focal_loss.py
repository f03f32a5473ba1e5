"""FocalLoss: a cross-entropy that cares less for what is already right, where easy samples are many."""

from math import exp, log
from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import NonNegative
from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("FocalLoss")
class FocalLoss(Scored):
    """y = -(1/Z) sum of weight (1 - p)^gamma log p

    dx = (1 - p)^gamma (1 - gamma p log p / (1 - p)) (softmax(x) - 1[label]) weight / Z

    bottoms x      (N, C, ...)   scores
            label  (N, ...)      classes 0 .. C - 1, x without `axis`: p = softmax(x)[label];   or 0 or 1 for each score:
                                 p = sigmoid(x) of a 1, 1 - sigmoid(x) of a 0
            weight (N) or as label, optional
    top     y      one number

    A place also weighs class_weight[its label] (the alpha of the paper; of yes and no that of [0, 1]).
    Z by `normalization`: valid, the labels that are not `ignore_label`, as much as they weigh; full; batch_size, N; none, 1.
    Lin, Goyal, Girshick, He & Dollar, ICCV 2017, where the number of objects stands for Z.
    """

    kind = "loss"

    gamma: NonNegative = 2.0
    class_weight: tuple[NonNegative, ...] = ()
    axis: int = 1
    ignore_label: int | None = None
    normalization: Literal["valid", "full", "batch_size", "none"] = "valid"

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        self.each = self.as_many(x, label)
        places = label if self.each else self.places(x)
        self.integers(x, label, places, f"{places} or {x} integers")
        self.weighted(x, weight, places)
        classes = 2 if self.each else x[self.at]
        if self.class_weight and len(self.class_weight) != classes:
            raise Refusal("class_weight", f"needs one number for each of the {classes} classes, not {len(self.class_weight)}")
        self.prob = self.buffer("prob", x)
        return self.cost(x if self.each else places)

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return (0, 1) if x.count == label.count else range(x[self.axis])

    @staticmethod
    def f(x: float, label: float, gamma: float) -> float:
        s = x if label == 1 else -x
        both = log(1 + exp(-abs(s)))
        return (both - min(s, 0)) * exp(gamma * (min(-s, 0) - both))

    @staticmethod
    def df(x: float, label: float, gamma: float) -> float:
        s = x if label == 1 else -x
        log_p = min(s, 0) - log(1 + exp(-abs(s)))
        d = exp(gamma * (log_p - s)) * (gamma * exp(log_p) * log_p - exp(log_p - s))
        return d if label == 1 else -d

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        if self.class_weight:
            given, self.w = self.w, self.buffer("weight", label.shape)
            self.ops.place_weights(label, given, self.w, self.ignore_label, self.class_weight)
        if self.each:
            self.ops.pointwise_loss((x, label), self.w, self.loss, formula(self.f), (self.gamma,), self.ignore_label)
        else:
            self.ops.focal_loss(x, label, self.w, self.prob, self.loss, self.at, self.ignore_label, self.gamma)
        self.ops.weigh(label, self.w, self.z, self.normalization, self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, label, y = blobs[0], blobs[1].data, blobs[-1]
        if self.each:
            given = (x.grad, None, None, formula(self.df), (self.gamma,), self.ignore_label)
            self.ops.pointwise_loss_dx((x.data, label), self.w, self.z, y.grad, *given)
        else:
            keys = (self.at, self.ignore_label, self.gamma)
            self.ops.focal_loss_dx(self.prob, label, self.w, self.z, y.grad, x.grad, *keys)
