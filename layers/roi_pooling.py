"""ROIPooling: each region of an image, whatever its size, as a small grid of maxima."""

from dltrain.errors import Refusal
from dltrain.fields import Count, Positive
from dltrain.layer import Blob, Layer, Shape, layer


@layer("ROIPooling")
class ROIPooling(Layer):
    """y[r, c, i, j] = max of x[n, c] over bin (i, j) of region r = (n, x1, y1, x2, y2)

    bottoms x     (N, C, H, W)
            rois  (R, 5)         the number of the image in the batch, then the corners, both included, in pixels of the input
    top     y     (R, C, pooled_h, pooled_w)

    Corners are multiplied by spatial_scale (1/16 where x is 16 times smaller than the input) and rounded, halves up.  Bins share
    their border rows: floor and ceil.  An empty bin, or a region of an image that is not there, gives 0.

    Girshick, ICCV 2015.
    """

    fixed = ("rois",)

    pooled_h: Count
    pooled_w: Count
    spatial_scale: Positive = 1.0

    def setup(self, x: Shape, rois: Shape) -> Shape:
        self.real(x)
        if len(x) != 4:
            raise Refusal("bottom", f"needs images, N x C x H x W, not {x}")
        if len(rois) != 2 or rois[1] != 5:
            raise Refusal("bottom", f"the regions must be R x 5: image, x1, y1, x2, y2; not {rois}")
        y = Shape((rois[0], x[1], self.pooled_h, self.pooled_w))
        self.winner = self.buffer("winner", y, "index")
        return y

    def forward(self, x: Blob, rois: Blob, y: Blob) -> None:
        self.ops.roi_pool(x.data, rois.data, y.data, self.winner, self.spatial_scale)

    def backward(self, x: Blob, rois: Blob, y: Blob) -> None:
        self.ops.roi_pool_dx(rois.data, y.grad, self.winner, x.grad)
