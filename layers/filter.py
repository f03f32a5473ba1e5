"""Filter: only the samples that a selector lets through."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Filter")
class Filter(Layer):
    """y = x[selector != 0], and so for every other bottom

    bottoms xs        (N, ...), (N, ...), ...
            selector  (N)  the last bottom
    tops    y         (K, ...)     K of the N samples
            1         (K, ...)     the second of xs, read as NAME.1, and so on

    How many there are is only known in the run: what is above a Filter is planned anew for each K.  No gradient by the selector.
    """

    cuts = True

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        return tuple(map(str, range(1, bottoms - 1)))

    def setup(self, *xs: Shape) -> list[Shape]:
        if len(xs) < 2:
            raise Refusal("bottom", "needs what is to be filtered and, last, the selector")
        selector = xs[-1]
        if selector.count != selector[0]:
            raise Refusal("bottom", f"the selector, its last bottom, must have one number a sample, not {selector}")
        for x in xs[:-1]:
            if x[0] != selector[0]:
                raise Refusal("bottom", f"{x} and the selector {selector} differ in the number of samples")
        kept = selector[0] if self.kept is None else self.kept
        self.index = self.buffer("index", (kept,), "index")
        return [Shape((kept, *x[1:]), x.dtype) for x in xs[:-1]]

    def measure(self, *xs: Blob) -> None:
        self.ops.count_nonzero(xs[-1].data, self.rows)

    def forward(self, *blobs: Blob) -> None:
        count = len(blobs) // 2 + 1
        xs, selector, self.ys = blobs[: count - 1], blobs[count - 1], blobs[count:]
        self.ops.find_nonzero(selector.data, self.index)
        for x, y in zip(xs, self.ys):
            self.ops.take(x.data, self.index, y.data)

    def backward(self, *blobs: Blob) -> None:
        count = len(self.ys)
        for x, y in zip(blobs[:count], self.ys):
            if y.grad:
                self.ops.take_dx(y.grad, self.index, x.grad)
            else:
                self.ops.fill(x.grad, 0.0)
        self.ops.fill(blobs[count].grad, 0.0)
