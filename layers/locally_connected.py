"""LocallyConnected: small filters as in a convolution, but another one at every place of the image."""

from dltrain.fields import Count, PerAxis, PerAxisFromZero
from dltrain.layer import Blob, Shape, layer
from dltrain.windowed import Windowed


@layer("LocallyConnected")
class LocallyConnected(Windowed):
    """y[o, p] = sum over c, taps of x[c, at the tap from p] * w[o, p, c, tap] + b[o, p]: a convolution that shares no weights.

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, num_output, H', W')     H' = floor((H + 2 pad - (dilation (kernel_size - 1) + 1)) / stride) + 1
    params  weight  (num_output H' W', C, kernel_size...), msra before a ReLU, else xavier;   bias  (num_output, H', W'), 0

    The weight's first axis counts all outputs, so that fillers see the true fan-in, C times the taps.  The size of the
    image is fixed with the weights.

    Taigman et al., CVPR 2014.
    """

    num_output: Count
    kernel_size: PerAxis
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    dilation: PerAxis = (1,)
    bias_term: bool = True

    def setup(self, x: Shape) -> Shape:
        self.window = self.geometry(self.image(x))
        y = Shape((self.num_output, *self.shrunk(x)))
        self.weight = self.param("weight", (y.count, x[1], *self.window.kernel), "weights")
        self.bias = self.param("bias", y, "constant") if self.bias_term else None
        return Shape((x[0], *y))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.local_conv(x.data, self.weight.data, self.bias.data if self.bias else None, y.data, self.window)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.local_conv_dw(x.data, y.grad, self.weight.grad, self.bias.grad if self.bias else None, self.window)
        self.ops.local_conv_dx(self.weight.data, y.grad, x.grad, self.window)
