"""GaussianNLLLoss: how surprised a Gaussian is by a target, with a mean and a spread that the net gives for each number."""

from math import exp

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("GaussianNLLLoss")
class GaussianNLLLoss(Scored):
    """y = 1/N sum of log sigma + (mean - target)^2 / (2 sigma^2),   log_variance = 2 log sigma

    d mean = (mean - target) / sigma^2 / N = -d target,   d log_variance = (1 - (mean - target)^2 / sigma^2) / (2N)

    bottoms mean, target, log_variance   (N, ...), as many numbers a sample
            weight  (N) or as target, such as 0 where a number is missing; optional: samples count as much as they weigh
    top     y       one number

    The logarithm of the variance, not sigma: any number will do, and nothing is divided by 0.  The constant log(2 pi) / 2 for
    each number is left out.  With sigma fixed at 1 it is EuclideanLoss.  Nix & Weigend, ICNN 1994.
    """

    kind = "loss"
    fixed = ("weight",)

    def setup(self, mean: Shape, target: Shape, log_variance: Shape, weight: Shape | None = None) -> Shape:
        self.real(mean, target, log_variance)
        for name, other in (("target", target), ("log_variance", log_variance)):
            self.matched(mean, other, name, "mean")
        self.weighted(mean, weight, target)
        return self.cost(mean)

    @staticmethod
    def f(a: float, b: float, s: float) -> float:
        return 0.5 * (s + (a - b) * (a - b) * exp(-s))

    @staticmethod
    def df(a: float, b: float, s: float) -> tuple[float, float, float]:
        d = (a - b) * exp(-s)
        return d, -d, 0.5 * (1 - d * (a - b))

    def forward(self, *blobs: Blob) -> None:
        *xs, y = (blob.data for blob in blobs)
        self.w = xs[3] if len(xs) > 3 else None
        self.ops.pointwise_loss(tuple(xs[:3]), self.w, self.loss, formula(self.f))
        self.ops.weigh(xs[1], self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        xs, y = blobs[:3], blobs[-1]
        grads = (x.grad for x in xs)
        self.ops.pointwise_loss_dx(tuple(x.data for x in xs), self.w, self.z, y.grad, *grads, formula(self.df))
