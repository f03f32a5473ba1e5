"""InstanceNorm: each map of each sample gets mean 0 and variance 1, then each channel a scale and a bias."""

from dltrain.errors import Refusal
from dltrain.fields import Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("InstanceNorm")
class InstanceNorm(Layer):
    """y = scale (x - mean) / sqrt(variance + eps) + bias, over the places of each map

    bottom  x  (N, C, H, W)          any number of spatial axes
    top     y  the same shape
    params  scale  (C), 1;   bias  (C), 0;   neither where affine is false

    The same in train and test.  Ulyanov et al., 2016, arXiv:1607.08022.
    """

    eps: Positive = 1e-5
    affine: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 3 or Shape(x[2:]).count == 1:
            raise Refusal("", f"needs a bottom with several places a map (N x C x H x W), not {x}")
        self.scale = self.param("scale", x[1:2], "constant", value=1.0) if self.affine else None
        self.bias = self.param("bias", x[1:2], "constant") if self.affine else None
        self.mean, self.variance = self.buffer("mean", x[:2]), self.buffer("variance", x[:2])
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        scale, bias = (self.scale.data, self.bias.data) if self.scale and self.bias else (None, None)
        self.ops.row_moments(x.data, self.mean, self.variance)
        self.ops.row_norm(x.data, self.mean, self.variance, scale, bias, y.data, self.eps, 1)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.scale and self.bias:
            self.ops.row_norm_dw(x.data, self.mean, self.variance, y.grad, self.scale.grad, self.bias.grad, self.eps, 1)
        scale = self.scale.data if self.scale else None
        self.ops.row_norm_dx(x.data, self.mean, self.variance, scale, y.grad, x.grad, self.eps, 1)
