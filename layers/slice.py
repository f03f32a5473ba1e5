"""Slice: one blob cut into several along an axis."""

from itertools import pairwise

from dltrain.errors import Refusal
from dltrain.fields import Count, PerAxis
from dltrain.layer import Blob, Layer, Shape, Tensor, layer


@layer("Slice")
class Slice(Layer):
    """y, y1, y2, ... = x[.. : p1], x[p1 : p2], x[p2 : ..] along `axis` (from the end where negative), p = slice_point

    bottom  x   (N, C, H, W)
    tops    y   (N, p1, H, W)
            1   (N, p2 - p1, H, W)     read as NAME.1, and so on: NAME.2, NAME.3

    Without slice_point x is cut into `tops` pieces of one size (2 where neither is given).
    """

    axis: int = 1
    slice_point: PerAxis = ()
    tops: Count | None = None

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        pieces = len(self.slice_point) + 1 if self.slice_point else self.tops or 2
        return tuple(map(str, range(1, pieces)))

    def setup(self, x: Shape) -> list[Shape]:
        self.at = self.axis + len(x) if self.axis < 0 else self.axis
        if not 0 <= self.at < len(x):
            raise Refusal("axis", f"{self.axis} is not an axis of {x}")
        bounds = list(pairwise((0, *self.points(x[self.at]), x[self.at])))
        if any(low >= high for low, high in bounds):
            words = ", ".join(map(str, self.slice_point))
            raise Refusal("slice_point", f"must rise from 1 to less than the {x[self.at]} of axis {self.at}, not {words}")
        self.starts = [low for low, _ in bounds]
        self.pieces = [Shape((*x[: self.at], high - low, *x[self.at + 1 :]), x.dtype) for low, high in bounds]
        return self.pieces

    def points(self, size: int) -> tuple[int, ...]:
        """Where to cut."""
        pieces = len(self.top_roles(1)) + 1
        if self.slice_point:
            if self.tops not in (None, pieces):
                raise Refusal("tops", f"is {self.tops}, but {len(self.slice_point)} slice points make {pieces}; leave it out")
            return tuple(self.slice_point)
        if size % pieces:
            raise Refusal("tops", f"{pieces} does not divide the {size} of axis {self.at}; give slice_point")
        return tuple(range(size // pieces, size, size // pieces))

    def forward(self, x: Blob, *ys: Blob) -> None:
        self.ys = ys
        for y, start in zip(ys, self.starts):
            self.ops.cut(x.data, y.data, self.at, start)

    def backward(self, x: Blob, *ys: Blob) -> None:
        """A piece that nobody reads has the gradient 0."""
        if x.grad:
            parts = [y.grad or self.zeros(number, self.pieces[number]) for number, y in enumerate(self.ys)]
            self.ops.concat(tuple(parts), x.grad, self.at)

    def zeros(self, number: int, shape: Shape) -> Tensor:
        made = self.buffer(f"zeros{number}", shape)
        self.ops.fill(made, 0.0)
        return made
