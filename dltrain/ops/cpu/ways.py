"""One convolution by the kernels of tiles: for each direction the way that takes least, and their parts of the scratch."""

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
TOGETHER = 1 << 20  # floats of scratch up to which both gradients are made side by side; beyond, one after the other

FORWARD: tuple[str, ...] = ("forward",)
BOTH = ("gradient", "backward")


class Ways:
    """x (N,H,W,C), w (O,KH,KW,C/G), the directions that are wanted.  What is begun may be run on some samples after others."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, wanted: tuple[str, ...]) -> None:
        self.tiled, self.wanted = Tiled(x_shape, w_shape, geometry), wanted
        self.shape = (*self.tiled.plane, w_shape[0])
        self.fewer: dict[str, Fewer | None] = {}
        for way in wanted:
            m = size_of_tiles(geometry, x_shape, w_shape, way)
            self.fewer[way] = Fewer(x_shape, w_shape, geometry, m, way) if m else None
        chunk = max(self.tiled.chunk, *(fewer.chunk for fewer in self.fewer.values() if fewer), 1)
        self.slab = chunk * max(1, SLAB // (chunk * prod(self.shape)))
        needs = [room(self.sizes(way)) for way in wanted]
        self.in_turn = sum(needs) > TOGETHER
        self.rooms = [max(needs)] if self.in_turn else needs

    def sizes(self, way: str) -> list[int]:
        fewer = self.fewer[way]
        if fewer is not None:
            return fewer.sizes
        return self.tiled.back_sizes if way == "backward" else self.tiled.sizes

    def room(self, pooled: bool) -> int:
        """Floats of scratch for all that is wanted."""
        return room([*self.rooms, self.slab * prod(self.shape) * pooled])

    def own(self, way: str, scratch: Any) -> Any:
        """The part of the scratch that a direction has."""
        return carve(scratch, self.rooms)[0 if self.in_turn else self.wanted.index(way)]

    def slabs(self, samples: int) -> Iterator[slice]:
        return (slice(low, min(low + self.slab, samples)) for low in range(0, samples, self.slab))

    def between(self, scratch: Any, part: slice) -> Any:
        """The plane between convolution and pooling, of these samples."""
        images = part.stop - part.start
        *_, plane = carve(scratch, [*self.rooms, images * prod(self.shape)])
        return plane.reshape(images, *self.shape)

    def forward(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y)"""
        fewer, scratch = self.fewer["forward"], self.own("forward", scratch)
        return fewer.run(w, b, scratch) if fewer else self.tiled.forward(w, b, scratch)

    def backward(self, w: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(dy, dx)"""
        fewer, scratch = self.fewer["backward"], self.own("backward", scratch)
        return fewer.run(w, None, scratch) if fewer else self.tiled.backward(w, scratch)

    def convolve(self, x: Any, w: Any, b: Any, y: Any, scratch: Any, after: Callable[[Any], None] | None) -> None:
        """y = conv(x, w) + b; `after` works on each finished part of y."""
        run = self.forward(w, b, scratch)
        for part in self.slabs(len(x)):
            run(x[part], y[part])
            if after is not None:
                after(y[part])

    def differentiate(self, x: Any, gradient: Callable[[slice], Any], w: Any, dx: Any, dw: Any, scratch: Any) -> None:
        """dx and dw (each may be None); gradient(part) gives dy of these samples."""
        if self.in_turn and dx is not None and dw is not None:
            self.differentiate(x, gradient, w, None, dw, scratch)
            self.differentiate(x, gradient, w, dx, None, scratch)
            return
        own = None if dw is None else self.own("gradient", scratch)
        by_weights = self.fewer.get("gradient") or self.tiled
        back = None if dx is None else self.backward(w, scratch)
        add = None if own is None else by_weights.gradient(own)
        for part in self.slabs(len(x)):
            dy = gradient(part)
            if add is not None:
                add(x[part], dy)
            if back is not None:
                back(dy, dx[part])
        if own is not None:
            by_weights.collect(own, dw)


def backwards(dw: Any, dx: Any) -> tuple[str, ...]:
    """The directions of those gradients that are wanted."""
    return tuple(way for way, made in zip(BOTH, (dw, dx), strict=True) if made is not None)


ways_of = lru_cache(maxsize=512)(Ways)
