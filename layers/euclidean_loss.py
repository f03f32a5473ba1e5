"""EuclideanLoss: half the squared distance between prediction and target."""

from dltrain.errors import Refusal
from dltrain.layer import Blob, Layer, Shape, layer


@layer("EuclideanLoss")
class EuclideanLoss(Layer):
    """y = 1/(2N) sum of (a - b)^2          da = (a - b) / N,   db = -da

    bottoms a, b    one shape, (N, ...)
            weight  (N)  optional; the sum of weights then stands for N
    top     y       one number
    """

    kind = "loss"
    fixed = ("weight",)

    def setup(self, a: Shape, b: Shape, weight: Shape | None = None) -> Shape:
        if a != b:
            raise Refusal("bottom", f"shapes differ: {a} and {b}")
        self.real(a, b)
        if weight is not None and tuple(weight) != (a[0],):
            raise Refusal("bottom", f"the weight must be {Shape(a[:1])}, not {weight}")
        self.loss = self.buffer("loss", (a[0],))
        self.z = self.buffer("z", (1,))
        self.sums = self.tally()
        return Shape((1,))

    def forward(self, *blobs: Blob) -> None:
        a, b, *weight, y = (blob.data for blob in blobs)
        self.w = weight[0] if weight else None
        self.ops.euclidean_loss(a, b, self.w, self.loss)
        self.ops.weigh(self.loss, self.w, self.z, "valid", None)
        self.ops.weighted_mean(self.loss, self.z, self.sums, y)

    def backward(self, *blobs: Blob) -> None:
        a, b, y = blobs[0], blobs[1], blobs[-1]
        self.ops.euclidean_loss_dx(a.data, b.data, self.w, self.z, y.grad, a.grad, b.grad)
