"""LRN: local response normalisation, where strong neighbours make a number smaller."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count, Finite
from dltrain.layer import Blob, Layer, Shape, layer


@layer("LRN")
class LRN(Layer):
    """y = x (k + alpha mean of x^2 over local_size channels around)^-beta          across_channels
    y = x (1 + alpha mean of x^2 over local_size x local_size places around)^-beta   within_channel

    bottom  x  (N, C, ...); within_channel needs spatial axes
    top     y  the same shape

    What lies beyond the edge counts as 0 in the mean; within_channel takes no k (Caffe).  Krizhevsky et al., NIPS 2012.
    """

    local_size: Count = 5
    alpha: Finite = 1.0
    beta: Finite = 0.75
    k: Finite = 1.0
    norm_region: Literal["across_channels", "within_channel"] = "across_channels"

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        across = self.norm_region == "across_channels"
        if self.local_size % 2 == 0:
            raise Refusal("local_size", f"{self.local_size} must be odd, to have a middle")
        if len(x) < (2 if across else 3):
            needed = "channels (N x C)" if across else "spatial axes (N x C x H x W)"
            raise Refusal("", f"needs a bottom with {needed}, not {x}")
        self.axes = (1,) if across else tuple(range(2, len(x)))
        self.offset = self.k if across else 1.0
        self.rate = self.alpha / self.local_size ** len(self.axes)
        self.local = self.buffer("local", x)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.lrn(x.data, self.local, y.data, self.axes, self.local_size, self.rate, self.beta, self.offset)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.lrn_dx(x.data, self.local, y.grad, x.grad, self.axes, self.local_size, self.rate, self.beta)
