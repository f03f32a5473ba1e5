"""KLDivergenceLoss: how far a distribution is from the one it should be."""

from math import log

from dltrain.layer import Blob, Shape, layer
from dltrain.ops.formula import formula
from dltrain.scored import Scored


@layer("KLDivergenceLoss")
class KLDivergenceLoss(Scored):
    """y = 1/N sum of target (log target - log max(x, 1e-20)), 0 where target is 0          dx = -target / max(x, 1e-20) / N

    bottoms x       (N, ...)  probabilities;   with log_probabilities their logarithms, as of LogSoftmax, and dx = -target / N
            target  as many probabilities; it gets no gradient
            weight  (N) or as target, optional: samples count as much as they weigh
    top     y       one number

    The sum over a sample is taken, not the mean: it is the divergence.  Kullback & Leibler, 1951.
    """

    kind = "loss"
    fixed = ("target", "weight")

    log_probabilities: bool = False

    def setup(self, x: Shape, target: Shape, weight: Shape | None = None) -> Shape:
        self.real(x, target)
        self.matched(x, target, "target")
        self.weighted(x, weight, target)
        return self.cost(x)

    @staticmethod
    def f(x: float, target: float) -> float:
        return target * log(target / max(x, 1e-20)) if target > 0 else 0

    @staticmethod
    def df(x: float, target: float) -> float:
        return -max(target, 0) / max(x, 1e-20)

    @staticmethod
    def f_of_logs(x: float, target: float) -> float:
        return target * (log(target) - x) if target > 0 else 0

    @staticmethod
    def df_of_logs(x: float, target: float) -> float:
        return -max(target, 0)

    def forward(self, *blobs: Blob) -> None:
        x, target, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        f = formula(self.f_of_logs if self.log_probabilities else self.f)
        self.ops.pointwise_loss((x, target), self.w, self.loss, f)
        self.ops.weigh(target, self.w, self.z, "batch_size", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        x, target, y = blobs[0], blobs[1].data, blobs[-1]
        df = formula(self.df_of_logs if self.log_probabilities else self.df)
        self.ops.pointwise_loss_dx((x.data, target), self.w, self.z, y.grad, x.grad, None, None, df)
