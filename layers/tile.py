"""Tile: a blob repeated along an axis."""

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Tile")
class Tile(Layer):
    """y = x, x, ... , `tiles` times one behind another along `axis`          dx = sum of the tiles of dy

    bottom  x  (N, C, H, W)
    top     y  (N, tiles C, H, W)
    """

    tiles: Count
    axis: int = 1

    def setup(self, x: Shape) -> Shape:
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 <= self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        return Shape((*x[: self.at], self.tiles * x[self.at], *x[self.at + 1 :]), x.dtype)

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.tile(x.data, y.data, self.at, self.tiles)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.tile_dx(y.grad, x.grad, self.at, self.tiles)
