"""How a GPU does matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.signature import Call

TILE = 64  # rows and columns of a product that a block makes
THREADS = 256


def gemm(cuda: Cuda, a: DeviceArray, b: DeviceArray, c: DeviceArray, bias: Any = None, add: bool = False) -> list[Kernel]:
    """c = a b (+ bias, a number a column), or c += a b;   a (M, K), b (K, N) in any layout, c (M, N) as memory has it

    More axes in front are a batch.
    """
    (*batch, m, k), n = a.shape, b.shape[-1]
    count = batch[0] if batch else 1
    steps = [s for x in (a, b) for s in ((x.strides[0] if batch else 0), *x.strides[-2:])]
    grid = (-(-n // TILE), -(-m // TILE), count)
    return [cuda.launch("gemm", "gemm", grid, a, b, c, bias, *steps, m, n, k, int(add), block=THREADS)]


@recipe("inner_product")
def inner_product(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, w, b, y = memory(call, arrays, "x", "w", "b", "y")
    return gemm(cuda, x, w.transpose((1, 0)), y, b)


@recipe("inner_product_dx")
def inner_product_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, dy, dx = memory(call, arrays, "w", "dy", "dx")
    return gemm(cuda, dy, w, dx)


@recipe("inner_product_dw")
def inner_product_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, dw, db = memory(call, arrays, "x", "dy", "dw", "db")
    made = [] if dw is None else gemm(cuda, dy.transpose((1, 0)), x, dw, add=True)
    return made if db is None else [*made, *column_sums(cuda, dy, db)]


def column_sums(cuda: Cuda, x: DeviceArray, y: DeviceArray) -> list[Kernel]:
    """y += the sum of the rows of x (rows, columns)"""
    rows, columns = x.shape
    return [cuda.launch("gemm", "column_sums", -(-columns // 32), x, y, rows, columns, block=(32, 8))]


