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
    `axis` is where the channels are: all axes before it are samples, all after it spatial (Caffe).
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
        self.window = self.geometry(image)
        if image[1] % self.group:
            raise Refusal("group", f"{self.group} does not divide the bottom's {image[1]} channels")
        if self.num_output % self.group:
            raise Refusal("group", f"{self.group} does not divide num_output {self.num_output}")
        sizes = self.window.convolved(image[2:])
        if min(sizes) < 1:
            size, room = " x ".join(map(str, self.window.extent)), Shape(n + 2 * p for n, p in zip(image[2:], self.window.pad))
            raise Refusal("kernel_size", f"is larger than its bottom: {size} over {room}, padding included")
        self.weight = self.param("weight", (self.num_output, image[1] // self.group, *self.window.kernel), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        y = (self.num_output, *sizes)
        self.folded = None if at == 1 else Blob(self.buffer("folded", image), self.buffer("folded_grad", image))
        self.top = None if at == 1 else Blob(*(self.buffer(role, (image[0], *y)) for role in ("top", "top_grad")))
        return Shape((*x[:at], *y))

    def geometry(self, x: Shape) -> Window:
        made = {}
        for key in ("kernel_size", "stride", "pad", "dilation"):
            value = spread(getattr(self, key), len(x) - 2)
            if value is None:
                raise Refusal(key, f"needs 1 or {len(x) - 2} numbers for {len(x) - 2} spatial axes")
            made[key] = value
        return Window(made["kernel_size"], made["stride"], made["pad"], made["dilation"], self.group)

    def forward(self, x: Blob, y: Blob) -> None:
        bias = self.bias.data if self.bias else None
        bottom, top = self.folded or x, self.top or y
        if bottom is not x:
            self.ops.reshape(x.data, bottom.data)
        self.ops.conv(bottom.data, self.weight.data, bias, top.data, self.window)
        if top is not y:
            self.ops.reshape(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded or x, self.top or y
        if top is not y:
            self.ops.reshape(y.grad, top.grad)
        self.ops.conv_dw(bottom.data, top.grad, self.weight.grad, self.bias.grad if self.bias else None, self.window)
        self.ops.conv_dx(self.weight.data, top.grad, bottom.grad if x.wants_grad else None, self.window)
        if bottom is not x and x.wants_grad:
            self.ops.reshape(bottom.grad, x.grad)
