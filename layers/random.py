"""Random: noise, added to a blob or as a blob of its own."""

from dltrain.fields import PerAxis, chosen
from dltrain.layer import Blob, Layer, Shape, layer
from dltrain.ops import philox


@layer("Random")
class Random(Layer):
    """Train: y = x + noise;   test: y = x;   with `shape`, in both: y = noise          dx = dy, or 0

    bottom  x  (N, ...)
    top     y  the same shape, or (N, shape...)

    `noise` is a filler (gaussian with mean 0 and std 1 unless said otherwise), drawn anew in every training pass; in phase test
    the same in every pass.  The first blob of a generator is Random with a shape.
    """

    random = True

    noise: chosen("FILLERS") = None  # type: ignore[valid-type]
    shape: PerAxis = ()

    def setup(self, x: Shape) -> Shape:
        self.key = philox.key(self.seed, f"random {self.name}")
        if self.shape:
            return Shape((x[0], *self.shape))
        self.real(x)
        self.drawn = self.buffer("drawn", x)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        if self.shape:
            self.ops.draw(self.step, y.data, self.noise, self.key)
        elif self.train:
            self.ops.draw(self.step, self.drawn, self.noise, self.key)
            self.ops.weighted_sum((x.data, self.drawn), y.data, (1.0, 1.0))
        else:
            self.ops.copy(x.data, y.data)

    def backward(self, x: Blob, y: Blob) -> None:
        if self.shape:
            self.ops.fill(x.grad, 0.0)
        else:
            self.ops.copy(y.grad, x.grad)
