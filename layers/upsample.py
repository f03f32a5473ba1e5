"""Upsample: an image some times as large, nothing learned."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import PerAxis, spread
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Upsample")
class Upsample(Layer):
    """y[i] = x[i // scale] (nearest);   y[i] = (1 - f) x[j] + f x[j + 1] on each axis, j + f = (i + 1/2) / scale - 1/2 (bilinear)

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, C, scale H, scale W)

    In mode bilinear the corners of both images coincide, not the centres of their outermost elements; beyond those the
    edge goes on.

    Odena, Dumoulin & Olah, Distill 2016: before a Convolution, in place of a Deconvolution.
    """

    scale: PerAxis = (2,)
    mode: Literal["nearest", "bilinear"] = "nearest"

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        axes = len(x) - 2
        if axes < 1:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        scale = spread(self.scale, axes)
        if scale is None:
            raise Refusal("scale", f"needs 1 or {axes} numbers for {axes} spatial axes")
        self.factors = scale
        return Shape((*x[:2], *(n * s for n, s in zip(x[2:], scale))))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.upsample(x.data, y.data, self.factors, self.mode)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.upsample_dx(y.grad, x.grad, self.factors, self.mode)
