"""Deconvolution: the transpose of a convolution, which makes images larger."""

from dltrain.errors import Refusal
from dltrain.fields import Count, PerAxis, PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops.window import Window


@layer("Deconvolution")
class Deconvolution(Layer):
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
        self.real(x)
        at = self.class_axis(self.axis, x) if len(x) > 1 else 1
        if len(x) < at + 2:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        image = Shape((Shape(x[:at]).count, *x[at:]))
        window = self.window = self.geometry(image)
        if image[1] % self.group:
            raise Refusal("group", f"{self.group} does not divide the bottom's {image[1]} channels")
        if self.num_output % self.group:
            raise Refusal("group", f"{self.group} does not divide num_output {self.num_output}")
        axes = zip(image[2:], window.stride, window.extent, window.pad)
        sizes = [s * (n - 1) + e - 2 * p for n, s, e, p in axes]
        if min(sizes) < 1:
            raise Refusal("pad", f"takes away all of the top, {Shape(n + 2 * p for n, p in zip(sizes, window.pad))} without it")
        self.weight = self.param("weight", (image[1], self.num_output // self.group, *window.kernel), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        y = (image[0], self.num_output, *sizes)
        self.folded = None if at == 1 else Blob(self.buffer("folded", image), self.buffer("folded_grad", image))
        self.top = None if at == 1 else Blob(self.buffer("top", y), self.buffer("top_grad", y))
        self.again = self.buffer("again", image)
        self.plain = self.buffer("plain", y) if self.bias_term else None
        return Shape((*x[:at], *y[1:]))

    def geometry(self, x: Shape) -> Window:
        made = {}
        for key in ("kernel_size", "stride", "pad", "dilation"):
            value = spread(getattr(self, key), len(x) - 2)
            if value is None:
                raise Refusal(key, f"needs 1 or {len(x) - 2} numbers for {len(x) - 2} spatial axes")
            made[key] = value
        return Window(made["kernel_size"], made["stride"], made["pad"], made["dilation"], self.group)

    def forward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded or x, self.top or y
        if bottom is not x:
            self.ops.reshape(x.data, bottom.data)
        self.ops.copy(bottom.data, self.again)  # by another name, so that no back end joins this conv_dx with backward's conv_dw
        self.ops.conv_dx(self.weight.data, self.again, self.plain or top.data, self.window)
        if self.bias and self.plain:
            self.ops.scale_bias(self.plain, None, self.bias.data, top.data, 1)
        if top is not y:
            self.ops.reshape(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded or x, self.top or y
        if top is not y:
            self.ops.reshape(y.grad, top.grad)
        self.ops.conv_dw(top.grad, bottom.data, self.weight.grad, None, self.window)
        self.ops.scale_bias_dw(None, top.grad, None, self.bias.grad if self.bias else None, 1)
        self.ops.conv(top.grad, self.weight.data, None, bottom.grad if x.wants_grad else None, self.window)
        if bottom is not x and x.wants_grad:
            self.ops.reshape(bottom.grad, x.grad)
