"""Unpooling: values go back to where max pooling found them."""

from dltrain.errors import Refusal
from dltrain.fields import PerAxis, PerAxisFromZero
from dltrain.layer import Blob, Shape, layer
from dltrain.windowed import Windowed


@layer("Unpooling")
class Unpooling(Windowed):
    """y[mask] += x in each plane, 0 elsewhere          dx = dy[mask]

    bottoms x     (N, C, H, W)           any number of spatial axes
            mask  as x                   of a Pooling, such as pool1.mask
            like  (N, any, H', W')       optional: the size of the top; best what was pooled
    top     y     (N, C, H', W')         without `like`: H' = stride (H - 1) + kernel_size - 2 pad

    The mask holds places in the plane that was pooled, so the top must be as large as that plane was; where pooling hung over
    the edge, only `like` says so.  Between overlapping windows with one winner the values add up.

    Zeiler & Fergus, ECCV 2014; Noh, Hong & Han, ICCV 2015.
    """

    fixed = ("mask", "like")

    kernel_size: PerAxis | None = None
    stride: PerAxis = (1,)
    pad: PerAxisFromZero = (0,)

    def setup(self, x: Shape, mask: Shape, like: Shape | None = None) -> Shape:
        self.real(x, mask)
        image = self.image(x)
        if mask != x:
            raise Refusal("bottom", f"the mask must be {x}, as x, not {mask}")
        sizes = self.given(image) if like is None else self.read(x, like)
        self.winner = self.buffer("winner", x, "index")
        return Shape((*x[:2], *sizes))

    def read(self, x: Shape, like: Shape) -> tuple[int, ...]:
        if self.kernel_size is not None:
            raise Refusal("kernel_size", "does not go with the bottom `like`, which says the size; remove one of them")
        if len(like) != len(x):
            raise Refusal("bottom", f"like must have the {len(x)} axes of x, {x}, not {like}")
        return tuple(like[2:])

    def given(self, image: Shape) -> tuple[int, ...]:
        if self.kernel_size is None:
            raise Refusal("kernel_size", "is missing; give the keys of the Pooling, or a third bottom like: what was pooled")
        self.window = self.geometry(image)
        return self.grown(image)

    def forward(self, x: Blob, mask: Blob, *tops: Blob) -> None:
        y = tops[-1]
        self.ops.mask_winner(mask.data, self.winner, Shape(y.shape[2:]).count)
        self.ops.max_pool_dx(x.data, self.winner, y.data)

    def backward(self, x: Blob, mask: Blob, *tops: Blob) -> None:
        self.ops.take_winner(tops[-1].grad, self.winner, x.grad)
