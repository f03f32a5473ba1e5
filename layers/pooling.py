"""Pooling: one number for each window of an image, such as the largest or the mean."""

from typing import Annotated, Literal

from annotated_types import Ge

from dltrain.errors import Refusal
from dltrain.fields import Finite, PerAxis, PerAxisFromZero, Positive
from dltrain.layer import Blob, Shape, layer
from dltrain.ops import philox
from dltrain.ops.window import Window
from dltrain.windowed import Windowed


@layer("Pooling")
class Pooling(Windowed):
    """y = max (or what `pool` says) of x over a kernel_size window that moves by stride.

    mean         sum: the sum         lp: (sum of |x|^p)^(1/p)         lse: 1/beta log mean exp(beta x)
    stochastic   train: one x of the window, drawn with probability x / sum of x;   test: sum of x^2 / sum of x   (x below 0 is 0)

    bottom  x     (N, C, H, W)           any number of spatial axes; global_pooling takes them whole, without kernel_size
    tops    y     (N, C, H', W')         H' = ceil((H + 2 pad - kernel_size) / stride) + 1
            mask  as y                   of max only: the flat place of each winner in its plane (Unpooling reads it)

    Ceil, not floor: the last window may hang over the edge, as Caffe has it; with pad, the last window must start
    inside the image or the padding before it.  The mean counts padding, but not what hangs over beyond it; lse counts neither.

    Stochastic: Zeiler & Fergus, ICLR 2013; lp: Sermanet, Chintala & LeCun, ICPR 2012.
    """

    pool: Literal["max", "mean", "sum", "stochastic", "lp", "lse"] = "max"
    kernel_size: PerAxis | None = None
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)
    round: Literal["ceil", "floor"] = "ceil"
    global_pooling: bool = False
    p: Annotated[Finite, Ge(1)] = 2.0
    beta: Positive = 1.0

    def setup(self, x: Shape) -> Shape | list[Shape]:
        image = self.image(x)
        self.window = self.whole(image) if self.global_pooling else self.moving(image)
        y = Shape((*x[:2], *self.window.pooled(x[2:], self.round == "ceil")))
        drawn = self.pool == "stochastic" and self.train
        self.winner = self.buffer("winner", y, "index") if self.pool == "max" or drawn else None
        self.key = philox.key(self.seed, f"pooling {self.name}")
        return [y, y] if self.pool == "max" else y

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        return ("mask",) if self.pool == "max" else ()

    def whole(self, x: Shape) -> Window:
        for key, plain in (("kernel_size", None), ("stride", (1,)), ("pad", (0,))):
            if getattr(self, key) != plain:
                raise Refusal(key, "does not go with global_pooling, where the image is the window; remove one of them")
        axes = len(x) - 2
        return Window(tuple(x[2:]), (1,) * axes, (0,) * axes)

    def moving(self, x: Shape) -> Window:
        if self.kernel_size is None:
            raise Refusal("kernel_size", "is missing; add kernel_size: 2, or global_pooling: true for one number a channel")
        window = self.geometry(x)
        for k, p, n in zip(window.kernel, window.pad, x[2:]):
            if p >= k:
                raise Refusal("pad", f"{p} must be smaller than kernel_size {k}")
            if k > n + 2 * p:
                raise Refusal("kernel_size", f"{k} is larger than its bottom: {Shape(x[2:])}, padded by {p}")
        return window

    def forward(self, x: Blob, y: Blob, mask: Blob | None = None) -> None:
        if self.pool == "max":
            self.ops.max_pool(x.data, y.data, self.winner, self.window)
            self.ops.winner_mask(x.data, self.winner, mask.data if mask else None)
        elif self.pool == "mean":
            self.ops.mean_pool(x.data, y.data, self.window)
        elif self.pool == "sum":
            self.ops.sum_pool(x.data, y.data, self.window)
        elif self.pool == "lp":
            self.ops.lp_pool(x.data, y.data, self.window, self.p)
        elif self.pool == "lse":
            self.ops.lse_pool(x.data, y.data, self.window, self.beta)
        elif self.train:
            self.ops.stochastic_pool(x.data, self.step, y.data, self.winner, self.window, self.key)
        else:
            self.ops.expected_pool(x.data, y.data, self.window)

    def backward(self, x: Blob, y: Blob, mask: Blob | None = None) -> None:
        if self.pool in ("max", "stochastic"):
            self.ops.max_pool_dx(y.grad, self.winner, x.grad)
        elif self.pool == "mean":
            self.ops.mean_pool_dx(y.grad, x.grad, self.window)
        elif self.pool == "sum":
            self.ops.sum_pool_dx(y.grad, x.grad, self.window)
        elif self.pool == "lp":
            self.ops.lp_pool_dx(x.data, y.data, y.grad, x.grad, self.window, self.p)
        else:
            self.ops.lse_pool_dx(x.data, y.data, y.grad, x.grad, self.window, self.beta)
