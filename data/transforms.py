"""What the steps of a transform share: the checks of what comes to them, and how numbers in [0, 1) become amounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from dltrain.errors import Refusal
from dltrain.fields import Finite, one_or_more, some, spread
from dltrain.source import ANY_SIZE, Shape

Phase = Literal["train", "test"]
WIDEST = 100  # pixels: the width of a Gaussian, whose weights are a table of size x 6 sigma
Range = Annotated[tuple[Finite, ...], BeforeValidator(some), one_or_more({"type": "number"})]  # one number, or [low, high]


def image_size(step: str, size: tuple[int, ...], x: Shape) -> tuple[int, int]:
    """(height, width) from the key `size`, one number or two, for a field that must be an image."""
    need_image(step, x)
    both = spread(size, 2)
    if both is None:
        raise Refusal("size", f"{step}: size needs one number, or [height, width]")
    return both[0], both[1]


def need_image(step: str, x: Shape) -> None:
    if len(x) != 3:
        raise Refusal("", f"{step}: needs an image (C x H x W), not {x}")


def need_numbers(step: str, x: Shape) -> None:
    if x.dtype == "index":
        raise Refusal("top", f"{step}: cannot be done with classes; name a field of measured numbers as top")


def need_size(step: str, x: Shape, way_out: str = "put resize, crop or pad before it") -> None:
    if ANY_SIZE in x:
        raise Refusal("", f"{step}: needs samples of one size; {way_out}")


def spanned(step: str, key: str, values: tuple[float, ...], low: Callable[[float], float]) -> tuple[float, float]:
    """[low, high] as it stands; of one number, `low` of it and the number itself."""
    if len(values) > 2 or len(values) == 2 and values[0] > values[1]:
        raise Refusal(key, f"{step}: {key} needs one number, or [low, high]")
    both = (low(values[0]), values[0]) if len(values) == 1 else (values[0], values[1])
    return min(both), max(both)


def between(low: float, high: float, u: Any) -> Any:
    """The number that lies at the share u of the way."""
    return low + u * (high - low)


def samples(part: Any) -> Iterator[Any]:
    """Arrays of some samples each: a part of the training split, or where its samples differ in size one after another."""
    if isinstance(part, list):
        yield from (np.asarray(sample)[None] for sample in part)
    else:
        yield part


def float_samples(x: Any) -> Any:
    """One sample of any type and strides as a batch of float32."""
    return np.ascontiguousarray(x, np.float32)[None]
