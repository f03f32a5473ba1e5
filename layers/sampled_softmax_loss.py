"""SampledSoftmaxLoss: a softmax over a large vocabulary that in training looks at the right class and a few others."""

from typing import Literal

from dltrain.fields import Count
from dltrain.layer import Blob, Shape, layer
from dltrain.ops import philox
from dltrain.scored import Scored


@layer("SampledSoftmaxLoss")
class SampledSoftmaxLoss(Scored):
    """y = -(1/Z) sum over places of log p[label],   p = softmax of s = x weight' + bias over all num_output classes;

    train: p[label] = exp(s[label]) / (exp(s[label]) + sum over num_sampled drawn classes c of exp(s[c]) / (num_sampled P(c)))

    bottoms x       (N, ..., K)       features
            label   (N, ...)          classes 0 .. num_output - 1; `ignore_label` does not count
            weight  (N) or as label   optional; Z is the sum of the weights that count
    top     y       one number
    params  weight  (num_output, K), xavier;   bias  (num_output), 0

    All places of a batch share the drawn classes; one that is the label counts nothing, so the sum is on average the full one.
    sampling: uniform; or log_uniform, where classes are sorted from frequent to rare: P(c) = log((c + 2) / (c + 1)) /
    log(num_output + 1).  Test: the full softmax.  To predict, add an InnerProduct below the loss that shares its parameters:
    `param: {weight: {share: NAME.weight}, bias: {share: NAME.bias}}`.
    Bengio & Senecal, AISTATS 2003; Jean, Cho, Memisevic & Bengio, ACL 2015.
    """

    kind = "loss"
    random = True

    num_output: Count
    num_sampled: Count = 64
    sampling: Literal["uniform", "log_uniform"] = "uniform"
    bias_term: bool = True
    ignore_label: int | None = None

    def setup(self, x: Shape, label: Shape, weight: Shape | None = None) -> Shape:
        self.real(x)
        places = Shape(x[:-1])
        self.integers(x, label, places)
        self.weighted(x, weight, places)
        self.matrix = self.param("weight", (self.num_output, x[-1]), "weights")
        bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        self.b, self.db = bias.data if bias else None, bias.grad if bias else None
        rows, width = label.count, 1 + self.num_sampled if self.train else self.num_output
        self.drawn = self.buffer("drawn", (self.num_sampled,), "index")
        self.flat, self.flat_grad = (self.buffer(role, (rows, x[-1])) for role in ("flat", "flat_grad"))
        self.own, self.w = self.buffer("label", (rows,), "index"), None if weight is None else self.buffer("weight", (rows,))
        self.scores, self.prob = (self.buffer(role, (rows, width)) for role in ("scores", "prob"))
        self.spread = self.buffer("spread", label)
        self.key = philox.key(self.seed, f"sampled classes {self.name}")
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
        rare = self.sampling == "log_uniform"
        if self.train:
            self.ops.draw_classes(self.step, self.drawn, self.num_output, rare, self.key)
            given = (self.w, self.drawn, self.prob, self.loss, self.ignore_label, rare)
            self.ops.sampled_softmax_loss(self.flat, self.own, self.matrix.data, self.b, *given)
        else:
            self.ops.inner_product(self.flat, self.matrix.data, self.b, self.scores)
            self.ops.softmax_loss(self.scores, self.own, self.w, self.prob, self.loss, 1, self.ignore_label)
        self.ops.weigh(self.own, self.w, self.z, "valid", self.ignore_label)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, y = blobs[0], blobs[-1]
        given = (self.flat, self.own, self.matrix.data, self.w, self.drawn, self.prob, self.z, y.grad)
        grads = (self.flat_grad if x.wants_grad else None, self.matrix.grad, self.db)
        self.ops.sampled_softmax_loss_dx(*given, *grads, self.ignore_label)
        if x.wants_grad:
            self.ops.reshape(self.flat_grad, x.grad)
