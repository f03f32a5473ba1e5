"""One convolution by the kernels of tiles: for each direction the way that takes least."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

from dltrain.ops.cpu.fewer import Fewer, size_of_tiles
from dltrain.ops.cpu.scratch import carve, room
from dltrain.ops.cpu.tiled import Sizes, Tiled

if TYPE_CHECKING:
    from dltrain.ops.cpu.convolution import Geometry

SLAB = 1 << 16  # results that are made before anybody works on them in the cache, about

FORWARD: tuple[str, ...] = ("forward",)
BOTH = ("gradient", "backward")


class Ways:
    """x (N,H,W,C), w (O,KH,KW,C/G), the directions that are wanted.  What is begun may be run on some samples after others.

    Directions take turns with one scratch.  (Side by side, slab by slab, the two gradients are no faster: each needs the cache.)
    """

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, wanted: tuple[str, ...]) -> None:
        self.tiled = Tiled(x_shape, w_shape, geometry)
        self.shape = (*self.tiled.plane, w_shape[0])
        self.fewer: dict[str, Fewer | None] = {}
        for way in wanted:
            m = size_of_tiles(geometry, x_shape, w_shape, way)
            self.fewer[way] = Fewer(x_shape, w_shape, geometry, m, way) if m else None
        chunk = max(self.tiled.chunk, *(fewer.chunk for fewer in self.fewer.values() if fewer), 1)
        self.slab = chunk * max(1, SLAB // (chunk * prod(self.shape)))
        self.most = max((room(self.sizes(way)) for way in wanted), default=0)

    def sizes(self, way: str) -> list[int]:
        fewer = self.fewer[way]
        if fewer is not None:
            return fewer.sizes
        return self.tiled.back_sizes if way == "backward" else self.tiled.sizes

    def room(self, pooled: bool) -> int:
        """Floats of scratch for all that is wanted."""
        return room([self.most, self.slab * prod(self.shape) * pooled])

    def slabs(self, samples: int) -> Iterator[slice]:
        return (slice(low, min(low + self.slab, samples)) for low in range(0, samples, self.slab))

    def between(self, scratch: Any, part: slice) -> Any:
        """The plane between convolution and pooling, of these samples."""
        images = part.stop - part.start
        _, plane = carve(scratch, [self.most, images * prod(self.shape)])
        return plane.reshape(images, *self.shape)

    def forward(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y)"""
        fewer = self.fewer["forward"]
        return fewer.run(w, b, scratch) if fewer else self.tiled.forward(w, b, scratch)

    def convolve(self, x: Any, w: Any, b: Any, y: Any, scratch: Any, after: Callable[[Any], None] | None) -> None:
        """y = conv(x, w) + b; `after` works on each finished part of y."""
        run = self.forward(w, b, scratch)
        for part in self.slabs(len(x)):
            run(x[part], y[part])
            if after is not None:
                after(y[part])

    def differentiate(self, x: Any, gradient: Callable[[slice], Any], w: Any, dx: Any, dw: Any, scratch: Any) -> None:
        """dx and dw (each may be None); gradient(part) gives dy of these samples."""
        if dw is not None:
            by_weights = self.fewer["gradient"] or self.tiled
            add = by_weights.gradient(scratch)
            for part in self.slabs(len(x)):
                add(x[part], gradient(part))
            by_weights.collect(scratch, dw)
        if dx is not None:
            fewer = self.fewer["backward"]
            back = fewer.run(w, None, scratch) if fewer else self.tiled.backward(w, scratch)
            for part in self.slabs(len(x)):
                back(gradient(part), dx[part])


def backwards(dw: Any, dx: Any) -> tuple[str, ...]:
    """The directions of those gradients that are wanted."""
    return tuple(way for way, made in zip(BOTH, (dw, dx), strict=True) if made is not None)


ways_of = lru_cache(maxsize=512)(Ways)
