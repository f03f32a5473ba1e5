"""BatchNorm: each channel gets mean 0 and variance 1 over the batch, then a scale and a bias."""

from typing import Annotated

from annotated_types import Ge, Le

from dltrain.errors import Refusal
from dltrain.fields import Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("BatchNorm")
class BatchNorm(Layer):
    """y = scale (x - mean) / sqrt(variance + eps) + bias, a channel at a time, over samples and places

    bottom  x  (N, C, ...)
    top     y  the same shape
    params  scale  (C), 1;   bias  (C), 0;   neither where affine is false, as in Caffe
    states  mean  (C);   variance  (C);   factor  (1)

    Train: mean and variance are the batch's, and the states become: factor = f factor + 1, mean = f mean + the batch's,
    variance = f variance + m / (m - 1) times the batch's over m values, f = moving_average_fraction.
    Test: they are mean / factor and variance / factor of the states.  use_global_stats: true has this in train, too, and false
    the batch's in test; only train changes the states, and `freeze` keeps and uses them.  Ioffe & Szegedy, ICML 2015.
    """

    use_global_stats: bool | None = None
    moving_average_fraction: Annotated[float, Ge(0), Le(1)] = 0.999
    eps: Positive = 1e-5
    affine: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 2:
            raise Refusal("", f"needs a bottom with channels (N x C), not {x}")
        c = x[1:2]
        self.scale = self.param("scale", c, "constant", value=1.0) if self.affine else None
        self.bias = self.param("bias", c, "constant") if self.affine else None
        self.states = (self.state("mean", c), self.state("variance", c), self.state("factor", (1,)))
        self.mean, self.variance = self.buffer("batch_mean", c), self.buffer("batch_variance", c)
        self.kept = not self.train if self.use_global_stats is None else self.use_global_stats
        self.kept = self.kept or self.frozen
        self.total = None if self.kept else self.buffer("total", c)
        self.along = None if self.kept else self.buffer("along", c)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        if self.kept:
            self.ops.kept_moments(*self.states, self.mean, self.variance)
        else:
            self.ops.channel_moments(x.data, self.mean, self.variance)
            if self.train:
                count = x.shape.count // x.shape[1]
                self.ops.keep_moments(self.mean, self.variance, *self.states, self.moving_average_fraction, count)
        scale, bias = (self.scale.data, self.bias.data) if self.scale and self.bias else (None, None)
        self.ops.channel_norm(x.data, self.mean, self.variance, scale, bias, y.data, self.eps)

    def backward(self, x: Blob, y: Blob) -> None:
        total, along = (self.total, self.along) if x.wants_grad else (None, None)
        scale, dscale = (self.scale.data, self.scale.grad) if self.scale else (None, None)
        dbias = self.bias.grad if self.bias else None
        self.ops.channel_norm_dw(x.data, self.mean, self.variance, y.grad, dscale, dbias, total, along, self.eps)
        self.ops.channel_norm_dx(x.data, self.mean, self.variance, scale, y.grad, total, along, x.grad, self.eps)
