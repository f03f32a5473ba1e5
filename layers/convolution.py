"""Convolution: the same small filters applied at every place of an image."""

from dltrain.fields import Count, PerAxis, PerAxisFromZero
from dltrain.layer import Blob, Shape, layer
from dltrain.windowed import Windowed


@layer("Convolution")
class Convolution(Windowed):
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
        image = self.image(x)
        self.window = self.geometry(image)
        y = Shape((image[0], self.num_output, *self.shrunk(image)))
        self.weight = self.param("weight", (self.num_output, image[1] // self.group, *self.window.kernel), "weights")
        self.bias = self.param("bias", (self.num_output,), "constant") if self.bias_term else None
        return self.outer(x, image, y)

    def forward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(x.data, bottom.data)
        self.ops.conv(bottom.data, self.weight.data, self.bias.data if self.bias else None, top.data, self.window)
        self.carry(top.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        bottom, top = self.folded(x, y)
        self.carry(y.grad, top.grad)
        self.ops.conv_dw(bottom.data, top.grad, self.weight.grad, self.bias.grad if self.bias else None, self.window)
        self.ops.conv_dx(self.weight.data, top.grad, bottom.grad, self.window)
        self.carry(bottom.grad, x.grad)
