"""Convolution of NHWC images as patch matrices times weights; BLAS does the products.

    y[n,oh,ow,o] = b[o] + sum over kh,kw,c of x[n, oh*s-p+kh*d, ow*s-p+kw*d, c] * w[o,kh,kw,c]
A batch is worked through in chunks of samples whose patches fit the scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from dltrain.ops.cpu.fewer import size_of_tiles
from dltrain.ops.cpu.patches import add_bias, col2im, copy_interior, im2col, sum_rows
from dltrain.ops.cpu.pooling import max_pool, max_unpool
from dltrain.ops.cpu.scratch import carve, room
from dltrain.ops.cpu.sparse import winner_gradient, winner_slope
from dltrain.ops.cpu.tiled import suits
from dltrain.ops.cpu.ways import FORWARD, backwards, ways_of
from dltrain.ops.window import Window

BUDGET = 1 << 21  # floats of scratch for one chunk; one sample may take more
SPARSITY = 3  # plane places per window from which winners alone pay
NEAR = 1 << 16  # floats of scratch for a chunk where only winners are gone over

Sizes = tuple[int, ...]


class Pool(NamedTuple):
    """A pooling window: (height, width) pairs."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)


class Geometry(NamedTuple):
    """Where a convolution's windows lie: (height, width) pairs and the number of groups."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    group: int = 1
    strict: bool = False  # no transforms that round otherwise

    def plane(self, height: int, width: int) -> tuple[int, int]:
        """Output (height, width)."""
        axes = zip((height, width), *self[:4], strict=True)
        rows, columns = ((size + 2 * p - (d * (k - 1) + 1)) // s + 1 for size, k, s, p, d in axes)
        return rows, columns

    @property
    def pointwise(self) -> bool:
        """Whether the image itself is the patch matrix."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and self.pad == (0, 0)


class Plan:
    """Chunk length and scratch arrays of one convolution."""

    def __init__(self, x_shape: Sizes, w_shape: Sizes, geometry: Geometry, pooled: bool, budget: int = 0) -> None:
        """With a budget of its own: without patches."""
        N, H, W, C = x_shape
        self.geometry = geometry
        self.outputs, self.patch = w_shape[0], w_shape[1] * w_shape[2] * w_shape[3]
        self.plane = OH, OW = geometry.plane(H, W)
        self.image = (H + 2 * geometry.pad[0], W + 2 * geometry.pad[1], C)
        each = [
            0 if geometry.pad == (0, 0) else self.image[0] * self.image[1] * C,
            0 if geometry.pointwise or budget else OH * OW * self.patch * geometry.group,
            OH * OW * self.outputs if pooled else 0,
        ]
        self.chunk = min(N, max(1, (budget or BUDGET) // max(1, sum(each))))  # grows with N only
        self.sizes = [self.chunk * size for size in each] + [0 if budget else self.outputs * self.patch]

    def arrays(self, scratch: Any) -> list[Any]:
        """Flat parts of scratch: bordered image, patches, output plane, weight gradient."""
        return carve(scratch, self.sizes)

    def bordered(self, x: Any, image: Any) -> Any:
        """The samples x inside their zero border, in scratch if there is one."""
        if not image.size:
            return x
        full = image[: len(x) * image.size // self.chunk].reshape(len(x), *self.image)
        copy_interior(x, full, (0, 0), self.geometry.pad, x.shape[1:3])
        return full

    def patches(self, x: Any, image: Any, col: Any) -> Any:
        """The patch matrix (G,P,K) of the samples x, built in scratch where needed."""
        g = self.geometry
        if g.pointwise:
            return self.grouped(x)
        col = self.matrix(col, len(x))
        im2col(self.bordered(x, image), col, self.plane, g.kernel, g.stride, g.dilation)
        return col

    def matrix(self, col: Any, n: int) -> Any:
        """The first n samples' patch matrix (G,P,K) in the flat array col."""
        G, P = self.geometry.group, n * self.plane[0] * self.plane[1]
        return col[: G * P * self.patch].reshape(G, P, self.patch)

    def grouped(self, a: Any) -> Any:
        """NHWC array as (G, P, C/G), one matrix a group."""
        G = self.geometry.group
        return a.reshape(-1, G, a.shape[-1] // G).transpose(1, 0, 2)

    def spread(self, col: Any, image: Any, dx: Any) -> None:
        """dx <- patches added at their places, without the border."""
        g = self.geometry
        self.within(dx, image, lambda target: col2im(col, target, self.plane, g.kernel, g.stride, g.dilation))

    def within(self, dx: Any, image: Any, fill: Callable[[Any], None]) -> None:
        """dx <- what `fill` makes of an image with the border, without it."""
        target = dx
        if image.size:
            target = image[: len(dx) * image.size // self.chunk].reshape(len(dx), *self.image)
        fill(target)
        if image.size:
            copy_interior(target, dx, self.geometry.pad, (0, 0), dx.shape[1:3])


def scratch_size(
    x_shape: Sizes, w_shape: Sizes, geometry: Geometry, pool: Pool | None = None, wanted: tuple[str, ...] = FORWARD
) -> int:
    """Floats of scratch that one worker needs for these shapes, or for fewer samples."""
    few = [way for way in wanted if pool is not None and by_winners(x_shape, w_shape, geometry, pool, way)]
    rest = tuple(way for way in wanted if way not in few)
    needed = [room(Plan(x_shape, w_shape, geometry, True, NEAR).sizes)] if few else []
    if rest and suits(geometry, x_shape, w_shape):
        needed.append(ways_of(x_shape, w_shape, geometry, rest).room(pool is not None))
    elif rest:
        needed.append(room(Plan(x_shape, w_shape, geometry, pool is not None).sizes))
    return max(needed, default=0)


def by_winners(x_shape: Sizes, w_shape: Sizes, geometry: Geometry, pool: Pool, way: str) -> bool:
    """Whether the way back through pooling goes by the winners: they are few, their patches runs of the image, and no transform
    saves as much."""
    plane = geometry.plane(*x_shape[1:3])
    windows = prod(Window(*pool).pooled(plane))
    plain = geometry.group == 1 and geometry.dilation[1] == 1 and way != "forward"
    return (
        plain
        and SPARSITY * windows <= prod(plane)
        and not (suits(geometry, x_shape, w_shape) and size_of_tiles(geometry, x_shape, w_shape, way))
    )


def product(a: Any, b: Any, out: Any) -> None:
    """out = a b for each group; np.dot frees the GIL whatever the size, np.matmul does not."""
    if len(a) == 1:
        np.dot(a[0], b[0], out=out[0])
    else:
        np.matmul(a, b, out=out)


def conv_forward(x: Any, w: Any, b: Any, y: Any, geometry: Geometry, after: Callable[[Any], None] | None, scratch: Any) -> None:
    """y = conv(x, w) + b (b may be None); `after` works on each finished part of y while it is in the cache."""
    if suits(geometry, x.shape, w.shape):
        ways_of(x.shape, w.shape, geometry, FORWARD).convolve(x, w, b, y, scratch, after)
        return
    plan = Plan(x.shape, w.shape, geometry, False)
    image, col, _, _ = plan.arrays(scratch)
    weights = w.reshape(geometry.group, -1, plan.patch).transpose(0, 2, 1)
    for i in range(0, len(x), max(1, plan.chunk)):
        part = y[i : i + plan.chunk]
        product(plan.patches(x[i : i + plan.chunk], image, col), weights, plan.grouped(part))
        if b is not None:
            add_bias(part.reshape(-1, plan.outputs), b)
        if after is not None:
            after(part)


def conv_pool_forward(x: Any, w: Any, b: Any, y: Any, winner: Any, geometry: Geometry, pool: Pool, scratch: Any) -> None:
    """y = maxpool(conv(x, w)) + b and the winner's place in the convolution's plane."""
    if suits(geometry, x.shape, w.shape):
        tiled = ways_of(x.shape, w.shape, geometry, FORWARD)
        run = tiled.forward(w, None, scratch)
        for part in tiled.slabs(len(x)):
            full = tiled.between(scratch, part)
            run(x[part], full)
            max_pool(full, b, y[part], winner[part], *pool)
        return
    plan = Plan(x.shape, w.shape, geometry, True)
    image, col, plane, _ = plan.arrays(scratch)
    weights = w.reshape(geometry.group, -1, plan.patch).transpose(0, 2, 1)
    for i in range(0, len(x), max(1, plan.chunk)):
        part = x[i : i + plan.chunk]
        full = plane[: len(part) * plane.size // plan.chunk].reshape(len(part), *plan.plane, -1)
        product(plan.patches(part, image, col), weights, plan.grouped(full))
        max_pool(full, b, y[i : i + plan.chunk], winner[i : i + plan.chunk], *pool)


def conv_backward(x: Any, dy: Any, w: Any, dx: Any, dw: Any, db: Any, geometry: Geometry, scratch: Any) -> None:
    """Overwrite dx, dw, db (each may be None) with the gradients of conv_forward."""
    if suits(geometry, x.shape, w.shape):
        ways_of(x.shape, w.shape, geometry, backwards(dw, dx)).differentiate(x, lambda part: dy[part], w, dx, dw, scratch)
    else:
        plan = Plan(x.shape, w.shape, geometry, False)
        _gradients(plan, x, lambda i, n, _: dy[i : i + n], w, dx, dw, scratch)
    if db is not None:
        sum_rows(dy.reshape(-1, len(w)), db)


def conv_pool_backward(
    x: Any, dy: Any, winner: Any, w: Any, dx: Any, dw: Any, db: Any, geometry: Geometry, pool: Any, scratch: Any
) -> None:
    """Overwrite dx, dw, db (each may be None) with the gradients of conv_pool_forward."""
    if db is not None:
        sum_rows(dy.reshape(-1, len(w)), db)
    if dw is not None and by_winners(x.shape, w.shape, geometry, pool, "gradient"):
        _winners_only(x, dy, winner, dw, geometry, scratch)
        dw = None
    if dx is not None and by_winners(x.shape, w.shape, geometry, pool, "backward"):
        _winners_back(dy, winner, w, dx, geometry, scratch)
        dx = None
    if suits(geometry, x.shape, w.shape) and backwards(dw, dx):
        tiled = ways_of(x.shape, w.shape, geometry, backwards(dw, dx))

        def spread(part: slice) -> Any:
            full = tiled.between(scratch, part)
            max_unpool(dy[part], winner[part], full)
            return full

        tiled.differentiate(x, spread, w, dx, dw, scratch)
        return
    plan = Plan(x.shape, w.shape, geometry, True)

    def unpooled(i: int, n: int, plane: Any) -> Any:
        full = plane[: n * plane.size // plan.chunk].reshape(n, *plan.plane, -1)
        max_unpool(dy[i : i + n], winner[i : i + n], full)
        return full

    _gradients(plan, x, unpooled, w, dx, dw, scratch)


def _winners_only(x: Any, dy: Any, winner: Any, dw: Any, geometry: Geometry, scratch: Any) -> None:
    """dw of conv_pool_backward from the winners' patches, without a patch matrix."""
    plan, (kernel, stride, _, dilation) = Plan(x.shape, dw.shape, geometry, True, NEAR), geometry[:4]
    image, lines = plan.arrays(scratch)[0], dw.reshape(plan.outputs, kernel[0], -1)
    dw[...] = 0
    for i in range(0, len(x), max(1, plan.chunk)):
        part = slice(i, i + plan.chunk)
        seen = plan.bordered(x[part], image)
        winner_gradient(seen, dy[part], winner[part], lines, plan.plane[1], kernel, stride, dilation)


def _winners_back(dy: Any, winner: Any, w: Any, dx: Any, geometry: Geometry, scratch: Any) -> None:
    """dx of conv_pool_backward from the winners, without a patch matrix."""
    plan = Plan(dx.shape, w.shape, geometry, True, NEAR)
    image, _, plane, _ = plan.arrays(scratch)
    for i in range(0, len(dx), max(1, plan.chunk)):
        part = slice(i, i + plan.chunk)
        target = dx[part]
        full = plane[: len(target) * plane.size // plan.chunk].reshape(len(target), *plan.plane, -1)
        max_unpool(dy[part], winner[part], full)
        plan.within(target, image, partial(winner_slope, full, w, geometry.stride, geometry.dilation))


def _gradients(plan: Plan, x: Any, gradient: Callable[[int, int, Any], Any], w: Any, dx: Any, dw: Any, scratch: Any) -> None:
    """dw = dy' col and dx = col2im(dy w), chunk by chunk; gradient(i, n, plane) gives dy."""
    if dw is None and dx is None:
        return
    if dw is not None and not len(x):
        dw[...] = 0
    image, col, plane, more = plan.arrays(scratch)
    weights = w.reshape(plan.geometry.group, -1, plan.patch)
    more = more.reshape(weights.shape)
    for i in range(0, len(x), max(1, plan.chunk)):
        part = x[i : i + plan.chunk]
        dy = plan.grouped(gradient(i, len(part), plane))
        if dw is not None:
            total = dw.reshape(weights.shape)
            product(dy.transpose(0, 2, 1), plan.patches(part, image, col), more if i else total)
            if i:
                np.add(total, more, out=total)
        if dx is not None:
            target = dx[i : i + plan.chunk]
            if plan.geometry.pointwise:
                product(dy, weights, plan.grouped(target))
            else:
                dcol = plan.matrix(col, len(part))
                product(dy, weights, dcol)
                plan.spread(dcol, image, target)
