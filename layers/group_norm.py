"""GroupNorm: each group of maps of each sample gets mean 0 and variance 1, then each channel a scale and a bias."""

from dltrain.errors import Refusal
from dltrain.fields import Count, Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("GroupNorm")
class GroupNorm(Layer):
    """y = scale (x - mean) / sqrt(variance + eps) + bias, over C / groups neighbouring channels and all places of a sample

    bottom  x  (N, C, ...)
    top     y  the same shape
    params  scale  (C), 1;   bias  (C), 0;   neither where affine is false

    The same in train and test, and for any batch size.  Wu & He, ECCV 2018.
    """

    groups: Count = 32
    eps: Positive = 1e-5
    affine: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 2:
            raise Refusal("", f"needs a bottom with channels (N x C), not {x}")
        if x[1] % self.groups:
            raise Refusal("groups", f"{self.groups} does not divide the bottom's {x[1]} channels")
        rows = (x[0], self.groups)
        if x.count == Shape(rows).count:
            raise Refusal("groups", f"one number has no variance: a bottom of {x} in {self.groups} groups")
        self.scale = self.param("scale", x[1:2], "constant", value=1.0) if self.affine else None
        self.bias = self.param("bias", x[1:2], "constant") if self.affine else None
        self.mean, self.variance = self.buffer("mean", rows), self.buffer("variance", rows)
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
