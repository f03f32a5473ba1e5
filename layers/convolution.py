"""Convolution: the same small filters applied at every place of an image."""

from dltrain.errors import Refusal
from dltrain.fields import Count, PerAxis, PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops.window import Window


@layer("Convolution")
class Convolution(Layer):
    """y[o] = sum over c of x[c] * w[o, c] + b[o], where * slides w over x by stride (cross-correlation: no flip).

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, num_output, H', W')     H' = floor((H + 2 pad - (dilation (kernel_size - 1) + 1)) / stride) + 1
    params  weight  (num_output, C / group, kernel_size...), msra before a ReLU, else xavier;   bias  (num_output), 0

    With group g, channels and outputs are cut into g parts that do not meet (AlexNet; g = C is depthwise).
    """

    num_output: Count
    kernel_size: PerAxis
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    dilation: PerAxis = (1,)
    group: Count = 1
    bias_term: bool = True

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        self.window = self.geometry(x)
        if x[1] % self.group:
            raise Refusal("group", f"{self.group} does not divide the bottom's {x[1]} channels")
        if self.num_output % self.group:
            raise Refusal("group", f"{self.group} does not divide num_output {self.num_output}")
        sizes = self.window.convolved(x[2:])
        if min(sizes) < 1:
            size, room = " x ".join(map(str, self.window.extent)), Shape(n + 2 * p for n, p in zip(x[2:], self.window.pad))
            raise Refusal("kernel_size", f"is larger than its bottom: {size} over {room}, padding included")
        shape = (self.num_output, x[1] // self.group, *self.window.kernel)
        self.weight = self.param("weight", shape, "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        return Shape((x[0], self.num_output, *sizes))

    def geometry(self, x: Shape) -> Window:
        if len(x) < 3:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        made = {}
        for key in ("kernel_size", "stride", "pad", "dilation"):
            value = spread(getattr(self, key), len(x) - 2)
            if value is None:
                raise Refusal(key, f"needs 1 or {len(x) - 2} numbers for {len(x) - 2} spatial axes")
            made[key] = value
        return Window(made["kernel_size"], made["stride"], made["pad"], made["dilation"], self.group)

    def forward(self, x: Blob, y: Blob) -> None:
        bias = self.bias.data if self.bias else None
        self.ops.conv(x.data, self.weight.data, bias, y.data, self.window)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.conv_dw(x.data, y.grad, self.weight.grad, self.bias.grad if self.bias else None, self.window)
        self.ops.conv_dx(self.weight.data, y.grad, x.grad, self.window)
