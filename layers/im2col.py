"""Im2col: every patch of an image as a column of channels."""

from dltrain.errors import Refusal
from dltrain.fields import PerAxis, PerAxisFromZero, spread
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops.window import Window


@layer("Im2col")
class Im2col(Layer):
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
        self.real(x)
        if len(x) < 3:
            raise Refusal("", f"needs a bottom with spatial axes (N x C x H x W), not {x}")
        window = self.window = self.geometry(len(x) - 2)
        sizes = window.convolved(x[2:])
        if min(sizes) < 1:
            room = Shape(n + 2 * p for n, p in zip(x[2:], window.pad))
            raise Refusal("kernel_size", f"is larger than its bottom: {Shape(window.extent)} over {room}, padding included")
        return Shape((x[0], x[1] * window.area, *sizes))

    def geometry(self, axes: int) -> Window:
        made = {}
        for key in ("kernel_size", "stride", "pad", "dilation"):
            value = spread(getattr(self, key), axes)
            if value is None:
                raise Refusal(key, f"needs 1 or {axes} numbers for {axes} spatial axes")
            made[key] = value
        return Window(made["kernel_size"], made["stride"], made["pad"], made["dilation"])

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.im2col(x.data, y.data, self.window)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.im2col_dx(y.grad, x.grad, self.window)
