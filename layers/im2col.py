"""Im2col: every patch of an image as a column of channels."""

from dltrain.fields import PerAxis, PerAxisFromZero
from dltrain.layer import Blob, Shape, layer
from dltrain.windowed import Windowed


@layer("Im2col")
class Im2col(Windowed):
    """y[c K + tap] = x[c, at the tap], for each of the K taps of a window that moves over x.

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, C K, H', W')       H' = floor((H + 2 pad - (dilation (kernel_size - 1) + 1)) / stride) + 1

    Padding is 0.  A 1 x 1 Convolution after it is a Convolution.
    """

    kernel_size: PerAxis
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    dilation: PerAxis = (1,)

    def setup(self, x: Shape) -> Shape:
        self.window = self.geometry(self.image(x))
        return Shape((x[0], x[1] * self.window.area, *self.shrunk(x)))

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.im2col(x.data, y.data, self.window)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.im2col_dx(y.grad, x.grad, self.window)
