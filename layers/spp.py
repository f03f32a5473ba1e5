"""SPP: spatial pyramid pooling, a row of numbers of the same length for images of any size."""

from typing import Literal

from dltrain.errors import Refusal
from dltrain.fields import Count
from dltrain.layer import Blob, Shape, layer
from dltrain.ops.window import Window
from dltrain.windowed import Windowed


@layer("SPP")
class SPP(Windowed):
    """y = x pooled into 1 window, into 2 x 2, into 4 x 4, ... (pyramid_height levels), flattened, one behind another.

    bottom  x  (N, C, H, W)           any number of spatial axes
    top     y  (N, C (1 + 4 + 16 + ...));  (N, C, 1, 1) where pyramid_height is 1 (Caffe)

    Level l has 2^l bins an axis: kernel = stride = ceil(H / bins), pad = floor((kernel bins - H + 1) / 2).
    The mean counts padding.

    He, Zhang, Ren & Sun, ECCV 2014.
    """

    pyramid_height: Count
    pool: Literal["max", "mean"] = "max"

    def setup(self, x: Shape) -> Shape:
        image = self.image(x)
        self.windows = [self.level(2**number, image) for number in range(self.pyramid_height)]
        shapes = [Shape((*x[:2], *window.pooled(x[2:]))) for window in self.windows]
        self.winners = [self.buffer(f"winner{i}", shape, "index") for i, shape in enumerate(shapes)]
        if self.pyramid_height == 1:
            return shapes[0]
        rows = [(x[0], Shape(shape[1:]).count) for shape in shapes]
        self.levels = [Blob(self.buffer(f"level{i}", s), self.buffer(f"level{i}_grad", s)) for i, s in enumerate(shapes)]
        self.rows_of = [Blob(self.buffer(f"rows{i}", s), self.buffer(f"rows{i}_grad", s)) for i, s in enumerate(rows)]
        self.shares = [self.buffer(f"share{i}", x) for i in range(self.pyramid_height)]
        return Shape((x[0], sum(length for _, length in rows)))

    @staticmethod
    def level(bins: int, x: Shape) -> Window:
        kernel = tuple(-(-n // bins) for n in x[2:])
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, x[2:]))
        if any(p >= k for p, k in zip(pad, kernel)):
            raise Refusal("pyramid_height", f"is too large: {bins} bins an axis do not fit an image of {Shape(x[2:])}")
        return Window(kernel, kernel, pad)

    def forward(self, x: Blob, y: Blob) -> None:
        tops = [y] if self.pyramid_height == 1 else self.levels
        for window, winner, top in zip(self.windows, self.winners, tops):
            if self.pool == "max":
                self.ops.max_pool(x.data, top.data, winner, window)
            else:
                self.ops.mean_pool(x.data, top.data, window)
        if self.pyramid_height > 1:
            for level, row in zip(self.levels, self.rows_of):
                self.ops.reshape(level.data, row.data)
            self.ops.concat(tuple(row.data for row in self.rows_of), y.data, 1)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.pyramid_height == 1:
            self.unpool(0, y, x)
        elif x.wants_grad:
            start = 0
            for number, (level, row, share) in enumerate(zip(self.levels, self.rows_of, self.shares)):
                self.ops.cut(y.grad, row.grad, 1, start)
                self.ops.reshape(row.grad, level.grad)
                self.unpool(number, level, Blob(x.data, share))
                start += row.shape[1]
            self.ops.weighted_sum(tuple(self.shares), x.grad, (1.0,) * len(self.shares))

    def unpool(self, number: int, top: Blob, bottom: Blob) -> None:
        if self.pool == "max":
            self.ops.max_pool_dx(top.grad, self.winners[number], bottom.grad)
        else:
            self.ops.mean_pool_dx(top.grad, bottom.grad, self.windows[number])
