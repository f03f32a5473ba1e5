"""LayerNorm: each sample (or place) gets mean 0 and variance 1 over its own numbers, then a scale and a bias."""

from dltrain.errors import Refusal
from dltrain.fields import Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("LayerNorm")
class LayerNorm(Layer):
    """y = scale (x - mean) / sqrt(variance + eps) + bias, over the axes of x from `axis` on

    bottom  x  (N, ..., D)
    top     y  the same shape
    params  scale  x from `axis` on, 1;   bias  as scale, 0;   neither where affine is false

    The same in train and test.  Ba et al., 2016, arXiv:1607.06450.
    """

    axis: int = -1
    eps: Positive = 1e-5
    affine: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 < self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x} after the sample axis")
        if Shape(x[self.at :]).count == 1:
            raise Refusal("axis", f"one number has no variance: {x} from axis {self.at} on")
        self.scale = self.param("scale", x[self.at :], "constant", value=1.0) if self.affine else None
        self.bias = self.param("bias", x[self.at :], "constant") if self.affine else None
        self.mean, self.variance = self.buffer("mean", x[: self.at]), self.buffer("variance", x[: self.at])
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        scale, bias = (self.scale.data, self.bias.data) if self.scale and self.bias else (None, None)
        self.ops.row_moments(x.data, self.mean, self.variance)
        self.ops.row_norm(x.data, self.mean, self.variance, scale, bias, y.data, self.eps, self.at)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.scale and self.bias:
            self.ops.row_norm_dw(x.data, self.mean, self.variance, y.grad, self.scale.grad, self.bias.grad, self.eps, self.at)
        scale = self.scale.data if self.scale else None
        self.ops.row_norm_dx(x.data, self.mean, self.variance, scale, y.grad, x.grad, self.eps, self.at)
