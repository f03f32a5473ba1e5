"""Where: element by element one of two blobs, as a third says."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops.formula import formula


@layer("Where")
class Where(Layer):
    """y = a where c is not 0, else b          da = dy where c is not 0, else 0;   db = dy where c is 0, else 0

    bottoms c  any shape; gets no gradient
            a  the same shape, or a single number
            b  the same shape, or a single number
    top     y  the same shape

    What is not chosen may be infinite or no number at all: neither y nor a gradient sees it, as they would in c a + (1 - c) b.
    """

    fixed = ("c",)

    def setup(self, c: Shape, a: Shape, b: Shape) -> Shape:
        self.real(c, a, b)
        for x in (a, b):
            if x != c and x.count != 1:
                raise Refusal("bottom", f"{x} is neither as large as what chooses, {c}, nor a single number")
        self.wide = [None if x == c else self.buffer(f"wide{number}", c) for number, x in enumerate((a, b))]
        return c

    def forward(self, c: Blob, a: Blob, b: Blob, y: Blob) -> None:
        for x, wide in zip((a, b), self.wide):
            self.ops.broadcast(x.data, wide)
        xs = tuple(wide or x.data for x, wide in zip((a, b), self.wide))
        self.ops.elementwise((c.data, *xs), y.data, formula(chosen))

    def backward(self, c: Blob, a: Blob, b: Blob, y: Blob) -> None:
        for number, (x, slope) in enumerate(((a, chosen_da), (b, chosen_db))):
            wide = self.buffer(f"wide_grad{number}", y.shape) if self.wide[number] and x.grad else None
            self.ops.elementwise((c.data, y.grad), wide or x.grad, formula(slope))
            if wide:
                self.ops.broadcast_dx(wide, x.grad)


def chosen(c: float, a: float, b: float) -> float:
    return b if c == 0 else a


def chosen_da(c: float, dy: float) -> float:
    return 0 if c == 0 else dy


def chosen_db(c: float, dy: float) -> float:
    return dy if c == 0 else 0
