"""How a GPU looks rows of a table up, and adds to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import BLOCK, view
from dltrain.ops.signature import Call


@recipe("embed", short="y")
def embed(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Nobody waits for the device to hear of an index outside the table: its row is not a number, and so is the loss."""
    (x, y), (w, b) = logical(call, arrays, "x", "y"), memory(call, arrays, "w", "b")
    return [cuda.each("embed", "embed", y.size, x, w, b, y, view(x), view(y), *w.shape)]


@recipe("embed_dw", short="dy")
def embed_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, dy), (dw, db), made = logical(call, arrays, "x", "dy"), memory(call, arrays, "dw", "db"), []
    width, count = dy.shape[-1], x.size
    strips = -(-width // 32)
    if dw is not None and count:
        ordered, at = cuda.scratch(count, dtype=np.int32), cuda.scratch(count, dtype=np.int32)
        made += [
            cuda.launch("embed", "sort", -(-count // BLOCK), x, view(x), ordered, at, count),
            cuda.launch("embed", "embed_dw", (count, strips), ordered, at, dy, dw, view(dy), *dw.shape, count, block=(32, 8)),
        ]
    if db is not None:
        made += [cuda.launch("embed", "embed_db", strips, dy, db, view(dy), width, count, block=(32, 8))]
    return made
