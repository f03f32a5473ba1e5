"""Ops that draw random numbers: pure functions of a key, the forward count and the logical index."""

import numpy as np

from dltrain.ops import philox
from dltrain.ops.signature import In, Out, op


@op(y="x")
def dropout(x: In, count: In, y: Out, ratio: float, key: tuple[int, int]) -> None:
    """y = x / (1 - ratio) where word >= ratio 2^32, else 0;   word i of the Philox stream (key, count) is for element i

    The gradient is the same op on dy: the mask is drawn again, never stored.
    """
    words = philox.words(key, int(count[0]), x.size).reshape(x.shape)
    y[...] = np.where(words >= np.uint32(ratio * 2**32), x / x.dtype.type(1 - ratio), 0)
