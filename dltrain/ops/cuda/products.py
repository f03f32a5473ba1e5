"""How a GPU does many matrix products at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.dense import gemm, join
from dltrain.ops.signature import Call


def turned(array: DeviceArray) -> DeviceArray:
    """The last two axes changed over."""
    *front, last, end = range(array.ndim)
    return array.transpose((*front, end, last))


@recipe("matmul", short="a b y")
def matmul(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    a, b, y = logical(call, arrays, "a", "b", "y")
    a, b = turned(a) if call.args["transpose_a"] else a, turned(b) if call.args["transpose_b"] else b
    batch = a.shape[:-2] or b.shape[:-2]
    if len(batch) == y.ndim - 2:
        return gemm(cuda, a, b, y)
    if prod(batch) == 0:
        return [lambda: cuda.driver.clear(y.address, y.nbytes)]
    each = cuda.scratch(*batch, *y.shape)
    parts = DeviceArray(cuda.driver, each.address, (prod(batch), y.size), each.dtype, each.owner)
    return [*gemm(cuda, a, b, each), join(cuda, parts, y)]
