"""Steps that sample pictures anew along their axes: the whole picture, or a window of it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from dltrain.chain import Parted
from dltrain.data.transforms import Phase, Range, between, image_size, spanned
from dltrain.errors import Refusal
from dltrain.fields import PerAxis, spread
from dltrain.source import ANY_SIZE, Draw, Shape, Step, Training, transform, varies

CACHED = 1 << 15  # elements that are resized together, so that they stay in the cache


@transform("resize")
class Resize(Parted):
    """y_i = sum_j f((j - p) / s) x_j / sum_j f((j - p) / s)    p = (i + 1/2) old / new - 1/2, s = max(1, old / new)   each axis

    bilinear  f(t) = max(0, 1 - |t|)
    bicubic   f(t) = 3/2 |t|^3 - 5/2 t^2 + 1 up to |t| = 1;  -1/2 |t|^3 + 5/2 t^2 - 4 |t| + 2 up to 2;  else 0
    area      y_i = mean of x over [i old / new, (i + 1) old / new), parts of pixels counted as such
    nearest   y_i = x_j,  j = floor((i + 1/2) old / new);  label images always

    side both: H' x W' = size.  short, long: that side becomes `size`, and the other keeps the shape of the picture.

    x  (N, C, H, W)        y  (N, C, H', W')

    Shrinking smooths (s widens f), so that no pixel is passed over; enlarging, s is 1.
    """

    size: PerAxis
    mode: Literal["bilinear", "nearest", "bicubic", "area"] = "bilinear"
    side: Literal["both", "short", "long"] = "both"
    phase: Phase | None = None
    top: str | None = None
    moves = True

    def setup(self, x: Shape, training: Training) -> Shape:
        self.target = image_size("resize", self.size, x)
        if self.side != "both" and len(self.size) != 1:
            raise Refusal("size", f"resize: with side: {self.side} size needs one number")
        self.classes = x.dtype == "index"
        unknown = self.side != "both" and varies(x)
        return Shape((x[0], *((ANY_SIZE, ANY_SIZE) if unknown else self.fitted(x[1], x[2]))), x.dtype)

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        """The new height and width of a picture."""
        if self.side == "both":
            return self.target
        named = (min if self.side == "short" else max)(height, width)
        h, w = (max(1, (2 * side * self.size[0] + named) // (2 * named)) for side in (height, width))
        return h, w

    def apply(self, x: Any, draw: Draw | None) -> Any:
        size = self.fitted(x.shape[2], x.shape[3])
        if size == x.shape[2:]:
            return x
        made = np.empty((*x.shape[:2], *size), x.dtype)
        some = max(1, CACHED // (x[:1].size + made[:1].size))
        for start in range(0, len(x), some):
            part = x[start : start + some]
            made[start : start + some] = self.one(part.reshape(-1, *x.shape[2:]), None).reshape(-1, *made.shape[1:])
        return made

    def one(self, x: Any, u: Any) -> Any:
        return self.part(x, None)

    def part(self, x: Any, window: Any) -> Any:
        """A sample, or a window of it: upper left corner, height and width."""
        from dltrain.data.resample import resized

        return resized(x, self.fitted(x.shape[1], x.shape[2]), "nearest" if self.classes else self.mode, window)

    def parts(self, x: Any, corners: Any, y: Any) -> None:
        h, w = y.shape[2:]
        whole = None if isinstance(x, list) else self.apply(x, None)  # small ones are resized many at a time
        for row, (a, b) in enumerate(corners.tolist()):
            y[row] = self.part(x[row], (a, b, h, w)) if whole is None else whole[row, :, a : a + h, b : b + w]

    def least(self) -> tuple[int, int] | None:
        both = spread(self.size, 2)
        return (both[0], both[1]) if both is not None else None


@transform("crop_resize")
class CropResize(Step):
    """y = a window of x, resized      train: its area a H W and its aspect r = width / height drawn, then its place
                                        test: the largest window of the shape of y, in the centre

    h = sqrt(a H W / r), w = sqrt(a H W r);   a even in `area`, log r even in the part of `aspect` with which such a window fits

    x  (N, C, H, W)        y  (N, C, H', W')

    Where no aspect fits, the window is the largest of the aspect that comes nearest.  Szegedy et al., "Going deeper with
    convolutions", 2015.
    """

    size: PerAxis
    area: Range = (0.08, 1.0)
    aspect: Range = (0.75, 4 / 3)
    mode: Literal["bilinear", "nearest", "bicubic", "area"] = "bilinear"
    phase: Phase | None = None
    top: str | None = None
    moves = True
    numbers = 4

    def setup(self, x: Shape, training: Training) -> Shape:
        self.target = image_size("crop_resize", self.size, x)
        self.areas = spanned("crop_resize", "area", self.area, lambda a: a)
        self.aspects = spanned("crop_resize", "aspect", self.aspect, lambda r: 1 / r if r else r)
        if not 0 < self.areas[0] <= self.areas[1] <= 1:
            raise Refusal("area", "crop_resize: area is a share of the picture, above 0 and at most 1")
        if self.aspects[0] <= 0:
            raise Refusal("aspect", "crop_resize: aspect must be above 0")
        self.way: Any = "nearest" if x.dtype == "index" else self.mode
        return Shape((x[0], *self.target), x.dtype)

    def window(self, height: int, width: int, u: Any) -> tuple[int, int, int, int]:
        """Upper left corner, height and width."""
        if u is None:
            a, r = 1.0, self.target[1] / self.target[0]
        else:
            a, (low, high) = between(*self.areas, u[0]), self.aspects
            low, high = (min(max(r, a * width / height), width / (a * height)) for r in (low, high))
            r = float(np.exp(between(np.log(low), np.log(high), u[1])))
            r = min(max(r, self.aspects[0]), self.aspects[1])
        h, w = np.sqrt(a * height * width / r), np.sqrt(a * height * width * r)
        shrink = min(1.0, height / h, width / w)
        h, w = (max(1, min(side, round(float(length * shrink)))) for side, length in ((height, h), (width, w)))
        if u is None:
            return (height - h) // 2, (width - w) // 2, h, w
        return int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w

    def one(self, x: Any, u: Any) -> Any:
        from dltrain.data.resample import resized

        a, b, h, w = self.window(x.shape[1], x.shape[2], u)
        return resized(x[:, a : a + h, b : b + w], self.target, self.way)
