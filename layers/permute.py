"""Permute: the axes in another order."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Permute")
class Permute(Layer):
    """y = x, with x's axis order[i] as axis i

    bottom  x  (N, C, H, W)
    top     y  (N, H, W, C) for order: [0, 2, 3, 1]
    """

    order: tuple[int, ...]

    def setup(self, x: Shape) -> Shape:
        if sorted(self.order) != list(range(len(x))):
            axes = ", ".join(map(str, range(len(x))))
            raise Refusal("order", f"must name each axis of {x} once: {axes} in some order")
        self.back = tuple(self.order.index(axis) for axis in range(len(x)))
        return Shape((x[axis] for axis in self.order), x.dtype)

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.permute(x.data, y.data, self.order)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.permute(y.grad, x.grad, self.back)
