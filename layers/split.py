"""Split: several copies of one blob."""

from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Split")
class Split(Layer):
    """y = y1 = y2 = ... = x          dx = dy + dy1 + dy2 + ...

    bottom  x   any shape
    tops    y   the same shape
            1   the same shape     read as NAME.1, and so on: `tops` of them

    Rarely needed: a blob may have any number of readers without it.
    """

    tops: Count = 2

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        return tuple(map(str, range(1, self.tops)))

    def setup(self, x: Shape) -> list[Shape]:
        return [x] * self.tops

    def forward(self, x: Blob, *ys: Blob) -> None:
        self.ys = ys
        for y in ys:
            self.ops.copy(x.data, y.data)

    def backward(self, x: Blob, *ys: Blob) -> None:
        grads = tuple(y.grad for y in self.ys if y.grad)
        self.ops.weighted_sum(grads, x.grad, (1.0,) * len(grads))
