"""How a GPU does matrix products, batched or not: by tiles of our own, or by cuBLAS where that is there and faster."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda import cublas
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.elementwise import finished
from dltrain.ops.cuda.launch import RANKS, View, launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import JOINED, MOST_PARTS, TILES, ByTiles, Cut, Finish, at_once, head, joint, told
from dltrain.ops.cuda.tuning import Given, Way, chosen, there
from dltrain.ops.signature import Call


def gemm(
    cuda: Cuda, a: DeviceArray, b: DeviceArray, c: DeviceArray, bias: Any = None, add: bool = False, totals: Any = None,
    finish: Finish | None = None,
) -> list[Kernel]:  # fmt: skip
    """c = a b (+ bias, a number a column), finished, or c += a b;   a (M, K), b (K, N), c (M, N) in any layout

    More axes in front are a batch; an operand of two axes serves all of it.   totals += the sums of a's rows.
    """
    if not c.size:
        return []
    (m, k), n, count = a.shape[-2:], b.shape[-1], prod(c.shape[:-2])

    def after(given: Given) -> list[Kernel]:
        """What a library leaves undone."""
        rest = [] if totals is None else column_sums(cuda, there(given, "a").transpose((1, 0)), there(given, "totals"))
        return rest + formed(cuda, "c", finish, given)

    own = ByTiles(cuda, (m, n, k, count), partial(tiled, cuda, add, finish), c.is_plain and count == 1)
    given = {"a": a, "b": b, "c": c, "bias": bias, "totals": totals}
    ways: dict[str, Way] = {"tiles": own, **cublas.ways(cuda, given, add, after)}
    return chosen(cuda, f"gemm {'+=' if add else '='} {told(finish)}", given, ("c", "totals"), ways, cublas.version())


def tiled(cuda: Cuda, add: bool, finish: Finish | None, way: Cut, given: Given) -> list[Kernel]:
    """gemm by our own kernels."""
    a, b, c, bias, totals = there(given, "a"), there(given, "b"), there(given, "c"), given["bias"], given["totals"]
    if way.parts <= JOINED:
        return [product(cuda, way, a, b, c, c, bias, add, totals, finish)]
    parts = cuda.scratch(way.parts, c.size + (0 if totals is None else totals.size))
    return [product(cuda, way, a, b, c, parts, None, False, totals, None), join(cuda, parts, c, bias, add, totals, finish)]


def formed(cuda: Cuda, name: str, finish: Finish | None, given: Given) -> list[Kernel]:
    """The formula on each element of an array, where there is one."""
    if finish is None:
        return []
    y = there(given, name)
    return finished(cuda, *finish, [y], y)


class Side(NamedTuple):
    """How one side of a product is read: along its depth or across it, by which step, every how-manyth, how many at once."""

    along: bool
    step: int
    unit: int
    vector: int


def side(array: DeviceArray, deep: int, other: int) -> Side:
    one, far = array.strides[deep], array.strides[other]
    rest = array.strides[:-2] if array.ndim > 2 else ()
    if one == 1:
        return Side(True, far, 1, at_once(array, array.shape[deep], far, *rest))
    if far == 1:
        return Side(False, one, 1, at_once(array, array.shape[other], one, *rest))
    return Side(True, far, one, 1)


def spread(array: DeviceArray, batch: tuple[int, ...]) -> View:
    """How the matrices of a batch lie; one that serves all of it stays where it is."""
    whole, rest = ctypes.c_int * RANKS, RANKS - len(batch)
    steps = array.strides[:-2] if array.ndim > 2 else (0,) * len(batch)
    return View(len(batch), whole(*batch, *[1] * rest), whole(*steps, *[0] * rest))


def product(
    cuda: Cuda, way: Cut, a: DeviceArray, b: DeviceArray, c: DeviceArray, into: DeviceArray, bias: Any, add: bool, totals: Any,
    finish: Finish | None,
) -> Kernel:  # fmt: skip
    """The kernel itself, which writes c, or parts of it."""
    (m, k), n, batch = a.shape[-2:], b.shape[-1], c.shape[:-2]
    left, right = side(a, -1, -2), side(b, -2, -1)
    tiles = -(-m // way.tile.rows) * -(-n // way.tile.columns) * prod(batch)
    text = text_of("gemm", head(way.tile, finish, LEFT_ALONG=left.along, RIGHT_ALONG=right.along,
                                LEFT_VECTOR=left.vector, RIGHT_VECTOR=right.vector))  # fmt: skip
    args = [
        a,
        b,
        into,
        bias,
        totals,
        *joint(cuda, way, tiles),
        *(spread(each, batch) for each in (a, b, c)),
        left.step,
        left.unit,
        right.step,
        right.unit,
    ]
    args += [*c.strides[-2:], m, n, k, way.parts, way.span, int(add)]
    return launch(cuda.driver, text, "gemm", tiles * way.parts, args, way.tile.threads)


def join(
    cuda: Cuda, parts: DeviceArray, c: DeviceArray, bias: Any = None, add: bool = False, totals: Any = None,
    finish: Finish | None = None,
) -> Kernel:  # fmt: skip
    """c = the sum of its parts (+ bias), finished, or c += it; what lies behind c in each part is added to totals."""
    rows, width = parts.shape
    args = [parts, c, bias, totals, c.size, rows, c.sizes[-1], width - c.size, int(add)]
    text = text_of("gemm", head(TILES[-1], finish))
    return launch(cuda.driver, text, "join", -(-width // 32), args, (32, 8))


@recipe("inner_product", "inner_product_elementwise", short="x w y")
def inner_product(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, w, b, y = memory(call, arrays, "x", "w", "b", "y")
    finish = (call.args["formula"], call.args["constants"]) if "formula" in call.args else None
    return gemm(cuda, x, w.transpose((1, 0)), y, b, finish=finish)


@recipe("inner_product_dx", short="w dy dx")
def inner_product_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, dy, dx = memory(call, arrays, "w", "dy", "dx")
    return gemm(cuda, dy, w, dx)


@recipe("inner_product_dw", short="x dy")
def inner_product_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = memory(call, arrays, "x", "dy", "dw", "db")
    return column_sums(cuda, dy, db) if dw is None else gemm(cuda, dy.transpose((1, 0)), x, dw, add=True, totals=db)


def column_sums(cuda: Cuda, x: DeviceArray, y: DeviceArray) -> list[Kernel]:
    """y += the sum of the rows of x (rows, columns); many rows in parts"""
    assert x.is_plain
    rows, columns = x.shape
    strips = -(-columns // 32)
    count = max(1, min(4 * cuda.driver.processors // strips, rows // 256, MOST_PARTS))
    parts = y if count == 1 else cuda.scratch(count, columns)
    made: list[Kernel] = [cuda.launch("gemm", "column_sums", (strips, count), x, parts, rows, columns, block=(32, 8))]
    return made if count == 1 else [*made, join(cuda, parts, y, add=True)]
