"""Silence: reads blobs and makes nothing of them."""

from dltrain.layer import Blob, Layer, Shape, layer


@layer("Silence")
class Silence(Layer):
    """No y;   every dx = 0

    bottoms xs  any number, any shapes
    top     none

    Only for nets that come from Caffe, where it keeps unread blobs from being printed; here it costs nothing.
    """

    topless = True

    def setup(self, *xs: Shape) -> list[Shape]:
        return []

    def forward(self, *xs: Blob) -> None:
        """There is nothing to make."""

    def backward(self, *xs: Blob) -> None:
        for x in xs:
            self.ops.fill(x.grad, 0.0)
