"""MVN: each map of each sample gets mean 0 and deviation 1."""

from dltrain.errors import Refusal
from dltrain.fields import Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("MVN")
class MVN(Layer):
    """y = (x - mean) / (deviation + eps), over the places of each map, or of all maps of a sample where across_channels

    bottom  x  (N, C, H, W)          any number of spatial axes
    top     y  the same shape

    eps is added to the deviation, not to the variance (Caffe).  Without normalize_variance y = x - mean.
    """

    normalize_variance: bool = True
    across_channels: bool = False
    eps: Positive = 1e-9

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        rows = x[: 1 if self.across_channels else 2]
        if x.count == Shape(rows).count:
            raise Refusal(
                "",
                f"one number has no deviation: a bottom of {x}" + "; across_channels: true takes all of a sample" * (len(x) > 1),
            )
        self.mean = self.buffer("mean", rows)
        self.variance = self.buffer("variance", rows) if self.normalize_variance else None
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.row_moments(x.data, self.mean, self.variance)
        self.ops.row_norm(x.data, self.mean, self.variance, None, None, y.data, self.eps, 1, "deviation")

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.row_norm_dx(x.data, self.mean, self.variance, None, y.grad, x.grad, self.eps, 1, "deviation")
