"""PReLU: a ReLU whose slope below 0 is learned."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("PReLU")
class PReLU(Layer):
    """y = x if x > 0 else slope x          dx = dy if x > 0 else slope dy;   dslope = sum of dy x where x <= 0

    bottom  x  (N, C, ...)
    top     y  the same shape
    params  slope  (C), or one number where channel_shared; 0.25

    He et al., ICCV 2015.
    """

    rectifies = True

    channel_shared: bool = False

    def setup(self, x: Shape) -> Shape:
        self.real(x)
        if len(x) < 2:
            raise Refusal("", f"needs a bottom with channels (N x C), not {x}")
        self.slope = self.param("slope", () if self.channel_shared else (x[1],), "constant", value=0.25)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.prelu(x.data, self.slope.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.prelu_dw(x.data, y.grad, self.slope.grad)
        self.ops.prelu_dx(x.data, self.slope.data, y.grad, x.grad)
