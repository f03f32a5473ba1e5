"""LocalContrastNorm: each place is compared with what is around it, in all maps."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("LocalContrastNorm")
class LocalContrastNorm(Layer):
    """subtractive: v = x - mean of x around;   divisive: y = v / max(s, mean of s over the image), s = sqrt(mean of v^2 around)

    bottom  x  (N, C, H, W)          any number of spatial axes
    top     y  the same shape

    The means are over all maps and a Gaussian window of kernel_size with deviation kernel_size / 6; at the edge the weights
    inside make up 1, so that an even image becomes 0.  subtractive alone gives v, divisive alone takes v = x.
    Jarrett et al., ICCV 2009; Pinto et al., 2008.
    """

    operation: Literal["subtractive", "divisive", "both"] = "both"
    kernel_size: Count = 9

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 3:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        if self.kernel_size % 2 == 0:
            raise Refusal("kernel_size", f"{self.kernel_size} must be odd, to have a middle")
        self.deviation = None if self.operation == "subtractive" else self.buffer("deviation", (x[0], 1, *x[2:]))
        self.v = Blob(self.buffer("v", x), self.buffer("v_grad", x)) if self.operation == "both" else None
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        if self.operation != "divisive":
            self.ops.subtract_around(x.data, (self.v or y).data, self.kernel_size)
        if self.operation != "subtractive":
            self.ops.divide_around((self.v or x).data, self.deviation, y.data, self.kernel_size)

    def backward(self, x: Blob, y: Blob) -> None:
        if x.wants_grad and self.operation != "subtractive":
            self.ops.divide_around_dx((self.v or x).data, self.deviation, y.grad, (self.v or x).grad, self.kernel_size)
        if self.operation != "divisive":
            self.ops.subtract_around_dx((self.v or y).grad, x.grad, self.kernel_size)
