"""HierarchicalSoftmaxLoss: a softmax over a large vocabulary in two steps, first the group, then the class in it."""

from math import ceil, sqrt

from dltrain.fields import Count
from dltrain.layer import Blob, Shape, layer
from dltrain.scored import Scored


@layer("HierarchicalSoftmaxLoss")
class HierarchicalSoftmaxLoss(Scored):
    """y = -(1/Z) sum over places of log P(group) + log P(label given group),   each a softmax of x w' + b

    bottoms x       (N, ..., K)       features
            label   (N, ...)          classes 0 .. num_output - 1; `ignore_label` does not count
            weight  (N) or as label   optional; Z is the sum of the weights that count
    top     y       one number
    params  weight        (num_output, K), xavier;   bias        (num_output), 0, with bias_term
            group_weight  (groups, K), xavier;       group_bias  (groups), 0

    Class c is in group c / group_size, rounded down; group_size is by default the root of num_output, rounded up.  A place costs
    about two roots of num_output products instead of num_output; sort classes so that neighbours belong together, or by
    frequency.  Goodman, ICASSP 2001; Morin & Bengio, AISTATS 2005.
    """

    kind = "loss"

    num_output: Count
    group_size: Count | None = None
    bias_term: bool = True
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = Shape(x[:-1])
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        self.size = min(self.group_size or ceil(sqrt(self.num_output)), self.num_output)
        groups = ceil(self.num_output / self.size)
        self.matrices, biases = [], []
        for level, count in (("", self.num_output), ("group_", groups)):
            self.matrices.append(self.param(f"{level}weight", (count, x[-1]), "weights"))
            biases.append(self.param(f"{level}bias", (count,), "constant") if self.bias_term else None)
        self.b, self.db = [b and b.data for b in biases], [b and b.grad for b in biases]
        rows = label.count
        self.flat, self.flat_grad = (self.buffer(role, (rows, x[-1])) for role in ("flat", "flat_grad"))
        self.own, self.w = self.buffer("label", (rows,), "index"), None if weight is None else self.buffer("weight", (rows,))
        self.group, self.prob = self.buffer("group", (rows, groups)), self.buffer("prob", (rows, self.size))
        self.spread = self.buffer("spread", label)
        return self.cost((rows,))

    def labels(self, x: Shape, label: Shape) -> tuple[int, ...] | range:
        return range(self.num_output)

    def forward(self, *blobs: Blob) -> None:
        x, label, *weight, y = (blob.data for blob in blobs)
        self.ops.reshape(x, self.flat)
        self.ops.reshape(label, self.own)
        if weight:
            self.ops.place_weights(label, weight[0], self.spread, None)
            self.ops.reshape(self.spread, self.w)
        (w, wg), (b, bg) = self.matrices, self.b
        given = (wg.data, bg, w.data, b, self.w, self.group, self.prob, self.loss, self.size, self.ignore_label)
        self.ops.hierarchical_softmax_loss(self.flat, self.own, *given)
        self.ops.weigh(self.own, self.w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, y, (w, wg), (db, dbg) = blobs[0], blobs[-1], self.matrices, self.db
        self.ops.hierarchical_softmax_loss_dx(
            self.flat, self.own, wg.data, w.data, self.w, self.group, self.prob, self.z, y.grad,
            self.flat_grad if x.wants_grad else None, wg.grad, dbg, w.grad, db, self.size, self.ignore_label,
        )  # fmt: skip
        if x.wants_grad:
            self.ops.reshape(self.flat_grad, x.grad)
