"""Deconvolution: the transpose of a convolution, which makes images larger."""

from dltrain.fields import Count, PerAxis, PerAxisFromZero
from dltrain.layer import Blob, Shape, layer
from dltrain.windowed import Windowed


@layer("Deconvolution")
class Deconvolution(Windowed):
    """y[o, at the tap] += x[c] * w[c, o, tap], over all c and taps, + b[o]: what a Convolution does to its gradient.

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, num_output, H', W')     H' = stride (H - 1) + dilation (kernel_size - 1) + 1 - 2 pad
    params  weight  (C, num_output / group, kernel_size...), msra before a ReLU, else xavier;   bias  (num_output), 0

    pad takes away from the top.  The weight's first axis is the bottom's channels, as Caffe stores it.  Enlarging by a factor f
    without learning: num_output = group = C, kernel_size 2f - f % 2, stride f, pad ceil((f - 1) / 2), filler bilinear, lr_mult 0.
    `axis` is where the channels are, as in Convolution.

    Zeiler et al., CVPR 2010; Long, Shelhamer & Darrell, CVPR 2015.
    """

    num_output: Count
    kernel_size: PerAxis
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    dilation: PerAxis = (1,)
    group: Count = 1
    bias_term: bool = True
    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        image = self.image(x)
        self.window = self.geometry(image)
        y = Shape((image[0], self.num_output, *self.grown(image)))
        self.weight = self.param("weight", (image[1], self.num_output // self.group, *self.window.kernel), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        self.plain = self.buffer("plain", y) if self.bias_term else None
        return self.outer(x, image, y)

    def forward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(x.data, bottom.data)
        self.ops.conv_dx(self.weight.data, bottom.data, self.plain or top.data, self.window)
        if self.bias and self.plain:
            self.ops.scale_bias(self.plain, None, self.bias.data, top.data, 1)
        self.carry(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(y.grad, top.grad)
        self.ops.conv_dw(top.grad, bottom.data, self.weight.grad, None, self.window)
        self.ops.scale_bias_dw(None, top.grad, None, self.bias.grad if self.bias else None, 1)
        self.ops.conv(top.grad, self.weight.data, None, bottom.grad, self.window)
        self.carry(bottom.grad, x.grad)
