"""One convolution by the kernels of tiles: for each direction the way that takes least, and their parts of the scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from dltrain.ops.cpu.fewer import Fewer, size_of_tiles
from dltrain.ops.cpu.scratch import carve, room
from dltrain.ops.cpu.tiled import Sizes, Tiled

if TYPE_CHECKING:
    from dltrain.ops.cpu.convolution import Geometry

SLAB = 1 << 16  # results that are made before anybody works on them in the cache, about


class Ways:
    """x (N,H,W,C), w (O,KH,KW,C/G).  What is begun may be run on some samples after others."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry) -> None:
        self.tiled = Tiled(x_shape, w_shape, geometry)
        self.shape = (*self.tiled.plane, w_shape[0])
        m = {way: size_of_tiles(geometry, x_shape, w_shape, way) for way in ("forward", "gradient", "backward")}
        self.fewer = {
            way: Fewer(x_shape, w_shape, geometry, size, way == "backward") if size else None for way, size in m.items()
        }
        chunk = max(self.tiled.chunk, *(fewer.chunk for fewer in self.fewer.values() if fewer), 1)
        self.slab = chunk * max(1, SLAB // (chunk * prod(self.shape)))
        needs = {way: room(self.sizes(way)) for way in m}
        self.rooms = [max(needs["forward"], needs["gradient"]), needs["backward"]]

    def sizes(self, way: str) -> list[int]:
        fewer = self.fewer[way]
        if fewer is not None:
            return fewer.sizes
        return self.tiled.back_sizes if way == "backward" else self.tiled.sizes

    def room(self, pooled: bool) -> int:
        """Floats of scratch for all directions."""
        return room([*self.rooms, self.slab * prod(self.shape) * pooled])

    def slabs(self, samples: int) -> Iterator[slice]:
        return (slice(low, min(low + self.slab, samples)) for low in range(0, samples, self.slab))

    def between(self, scratch: Any, part: slice) -> Any:
        """The plane between convolution and pooling, of these samples."""
        images = part.stop - part.start
        *_, plane = carve(scratch, [*self.rooms, images * prod(self.shape)])
        return plane.reshape(images, *self.shape)

    def forward(self, w: Any, b: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, y)"""
        fewer, (scratch, _) = self.fewer["forward"], carve(scratch, self.rooms)
        return fewer.run(w, b, scratch) if fewer else self.tiled.forward(w, b, scratch)

    def backward(self, w: Any, scratch: Any) -> Callable[[Any, Any], None]:
        """run(dy, dx)"""
        fewer, (_, scratch) = self.fewer["backward"], carve(scratch, self.rooms)
        return fewer.run(w, None, scratch) if fewer else self.tiled.backward(w, scratch)

    def gradient(self, scratch: Any) -> Callable[[Any, Any], None]:
        """run(x, dy) adds to the gradient of the weights, which `collect` fetches."""
        fewer, (scratch, _) = self.fewer["gradient"], carve(scratch, self.rooms)
        return (fewer or self.tiled).gradient(scratch)

    def collect(self, scratch: Any, dw: Any) -> None:
        fewer, (scratch, _) = self.fewer["gradient"], carve(scratch, self.rooms)
        (fewer or self.tiled).collect(scratch, dw)

    def convolve(self, x: Any, w: Any, b: Any, y: Any, scratch: Any, after: Callable[[Any], None] | None) -> None:
        """y = conv(x, w) + b; `after` works on each finished part of y."""
        run = self.forward(w, b, scratch)
        for part in self.slabs(len(x)):
            run(x[part], y[part])
            if after is not None:
                after(y[part])

    def differentiate(self, x: Any, gradient: Callable[[slice], Any], w: Any, dx: Any, dw: Any, scratch: Any) -> None:
        """dx and dw (each may be None); gradient(part) gives dy of these samples."""
        back = None if dx is None else self.backward(w, scratch)
        add = None if dw is None else self.gradient(scratch)
        for part in self.slabs(len(x)):
            dy = gradient(part)
            if add is not None:
                add(x[part], dy)
            if back is not None:
                back(dy, dx[part])
        if dw is not None:
            self.collect(scratch, dw)
