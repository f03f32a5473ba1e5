"""Steps that cut, extend and mirror pictures along their axes; pixels stay what they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, WithJsonSchema

from dltrain.chain import Cutting, InPlace, Parted
from dltrain.data.transforms import Phase, image_size, need_image
from dltrain.errors import DataError, Refusal
from dltrain.fields import Finite, PerAxis, PerAxisFromZero
from dltrain.source import ANY_SIZE, Draw, Shape, Training, Unfit, transform


def place(value: Any) -> Any:
    """random or centre as it is; [y, x] as a tuple."""
    if value in ("random", "centre"):
        return value
    whole = isinstance(value, list | tuple) and all(type(n) is int and n >= 0 for n in value)
    if not whole or len(value) != 2:
        raise ValueError("must be random, centre, or the upper left corner [y, x]")
    return tuple(value)


_CORNER = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}
_PLACE = {"anyOf": [{"enum": ["random", "centre"]}, _CORNER]}


@transform("crop")
class Crop(Cutting):
    """y = x[:, :, a : a + h, b : b + w]

    random   train: a, b drawn;   test: the centre
    centre   a = floor((H - h) / 2), b = floor((W - w) / 2)
    [a, b]   that corner

    x  (N, C, H, W)        y  (N, C, h, w)
    """

    size: PerAxis
    at: Annotated[Any, BeforeValidator(place), WithJsonSchema(_PLACE)] = "random"
    phase: Phase | None = None
    top: str | None = None
    moves = keeps = True
    numbers = 2

    def setup(self, x: Shape, training: Training) -> Shape:
        self.window = h, w = image_size("crop", self.size, x)
        for axis, (side, need) in enumerate(zip(x[1:], self.window, strict=True)):
            if side == ANY_SIZE:
                continue
            if need > side:
                raise Refusal("size", f"crop: {h} x {w} is larger than the image, {x[1]} x {x[2]}; resize it first")
            if isinstance(self.at, tuple) and self.at[axis] + need > side:
                raise Refusal("at", f"crop: {h} x {w} from {list(self.at)} on leaves the image, {x[1]} x {x[2]}")
        return Shape((x[0], h, w), x.dtype)

    def corner(self, height: int, width: int, u: Any) -> tuple[int, int]:
        (h, w), fixed = self.window, isinstance(self.at, tuple)
        a, b = self.at if fixed else (0, 0)
        if a + h > height or b + w > width:
            start = f" from [{a}, {b}] on" if fixed else ""
            raise DataError(f"crop: {h} x {w}{start} is larger than a picture of {height} x {width}; put resize or pad before it")
        if fixed:
            return a, b
        if u is None or self.at == "centre":
            return (height - h) // 2, (width - w) // 2
        return int(u[0] * (height - h + 1)), int(u[1] * (width - w + 1))

    def one(self, x: Any, u: Any) -> Any:
        a, b = self.corner(x.shape[1], x.shape[2], u)
        return x[:, a : a + self.window[0], b : b + self.window[1]]

    def corners(self, sizes: Any, draw: Draw | None) -> Any:
        if draw is not None and self.at == "random" and (sizes >= self.window).all():
            return (draw.uniform(2) * (sizes - self.window + 1)).astype(np.intp)
        made = []
        for row, (height, width) in enumerate(sizes.tolist()):
            try:
                made.append(self.corner(height, width, None))
            except DataError as error:
                raise Unfit(str(error), row) from None
        return np.array(made)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        h, w = self.window
        if draw is None or self.at != "random":
            a, b = self.corner(x.shape[2], x.shape[3], None)
            return x[:, :, a : a + h, b : b + w]
        from dltrain.data.windows import cut

        y = np.empty((*x.shape[:2], h, w), x.dtype)
        cut(x, (np.arange(x.shape[2]), np.arange(x.shape[3])), self.corners(np.tile(x.shape[2:], (len(x), 1)), draw), y)
        return y


@transform("pad")
class Pad(Parted):
    """y = x with a border:   constant  value (label images: label)     edge  the nearest pixel     reflect  … 2 1 0 1 2 …

    margin   one number; [above and below, left and right]; or [above, below, left, right]
    size     [height, width] that it becomes, x in the middle (rounded up and to the left); a larger picture is an error

    x  (N, C, H, W)        y  (N, C, H', W')
    """

    margin: PerAxisFromZero = (0,)
    size: PerAxis | None = None
    mode: Literal["constant", "reflect", "edge"] = "constant"
    value: Finite = 0.0
    label: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    phase: Phase | None = None
    top: str | None = None
    moves = True

    def setup(self, x: Shape, training: Training) -> Shape:
        need_image("pad", x)
        self.fill: Any = np.int32(self.label) if x.dtype == "index" else np.float32(self.value)
        if self.size is not None:
            if any(self.margin):
                raise Refusal("size", "pad: takes margin or size, not both")
            self.target = image_size("pad", self.size, x)
            if any(side > most for side, most in zip(x[1:], self.target, strict=True)):
                raise Refusal("size", f"pad: the image, {x[1]} x {x[2]}, is larger than {self.target[0]} x {self.target[1]}")
            return Shape((x[0], *self.target), x.dtype)
        if len(self.margin) not in (1, 2, 4):
            raise Refusal("margin", "pad: margin needs one number, [vertical, horizontal] or [above, below, left, right]")
        above, below, left, right = self.border(0, 0)
        sides = zip(x[1:], (above + below, left + right), strict=True)
        return Shape((x[0], *(side if side == ANY_SIZE else side + more for side, more in sides)), x.dtype)

    def border(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Pixels above, below, left and right."""
        if self.size is None:
            m = self.margin
            above, below, left, right = m if len(m) == 4 else (m[0], m[0], m[-1], m[-1])
            return above, below, left, right
        h, w = (most - side for side, most in zip((height, width), self.target, strict=True))
        if h < 0 or w < 0:
            large = f"a picture of {height} x {width} is larger than {self.target[0]} x {self.target[1]}"
            raise DataError(f"pad: {large}; put {{resize: {min(self.target)}, side: long}} before it")
        return h // 2, h - h // 2, w // 2, w - w // 2

    def one(self, x: Any, u: Any) -> Any:
        return self.apply(x[None], None)[0]

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        above, below, left, right = self.border(height, width)
        return above + height + below, left + width + right

    def places(self, height: int, width: int) -> tuple[Any, Any]:
        """Which row and column of x those of y are; -1: none."""
        from dltrain.data.resample import folded

        above, below, left, right = self.border(height, width)
        both = (np.arange(-above, height + below), height), (np.arange(-left, width + right), width)
        if self.mode == "constant":
            rows, columns = (np.where((p >= 0) & (p < size), p, -1) for p, size in both)
        else:
            rows, columns = (folded(p, size, self.mode) for p, size in both)
        return rows, columns

    def apply(self, x: Any, draw: Draw | None) -> Any:
        height, width = x.shape[2:]
        if self.mode != "constant":
            rows, columns = self.places(height, width)
            return x.take(rows, 2).take(columns, 3)
        above, _, left, _ = self.border(height, width)
        y = np.full((*x.shape[:2], *self.fitted(height, width)), self.fill)
        y[:, :, above : above + height, left : left + width] = x
        return y

    def parts(self, x: Any, corners: Any, y: Any) -> None:
        from dltrain.data.windows import cut

        for some in [slice(n, n + 1) for n in range(len(x))] if isinstance(x, list) else [slice(None)]:
            part = x[some][0][None] if isinstance(x, list) else x
            left = self.border(*part.shape[2:])[2]
            cut(part, self.places(*part.shape[2:]), corners[some], y[some], left, self.fill)


@transform("mirror")
class Mirror(InPlace):
    """y = x, in train with the given probability its mirror image: left and right exchanged, or (axis: vertical) top and bottom

    x, y  (N, C, H, W)
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    axis: Literal["horizontal", "vertical"] = "horizontal"
    phase: Phase | None = None
    top: str | None = None
    moves = keeps = True
    numbers = 1

    def setup(self, x: Shape, training: Training) -> Shape:
        need_image("mirror", x)
        return x

    def turned(self, x: Any) -> Any:
        return x[..., ::-1] if self.axis == "horizontal" else x[..., ::-1, :]

    def one(self, x: Any, u: Any) -> Any:
        return x if u is None or u[0] >= self.probability else self.turned(x)

    def apply(self, x: Any, draw: Draw | None) -> Any:
        if draw is None:
            return x
        turned = draw.uniform()[:, 0] < self.probability
        y = x.copy()
        y[turned] = self.turned(x[turned])
        return y

    def change(self, x: Any, draw: Draw | None) -> None:
        if draw is None:
            return
        turned = draw.uniform()[:, 0] < self.probability
        if self.axis == "vertical":
            x[turned] = self.turned(x[turned])
            return
        from dltrain.data.windows import mirror

        mirror(x.reshape(len(x), -1), turned, x.shape[3])
