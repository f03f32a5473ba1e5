"""Table look-up: a row for each index, and the way back."""

from math import prod
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.ops.signature import Add, In, Out, op


def looked_up(args: dict[str, Any]) -> int:
    """One operation for each number of each row that is fetched."""
    rows: Any = args.get("y", args.get("dy"))
    return prod(rows.shape)


def hold_inside(x: Any, size: int, name: str) -> None:
    """DataError for an index outside 0 .. size - 1."""
    outside = (x < 0) | (x >= size)
    if outside.any():
        place = tuple(int(at) for at in np.argwhere(outside)[0])
        raise DataError(
            f"layer '{name}' (Embed): index {x[place]} at {list(place)} of the batch is outside 0 .. {size - 1}; "
            "raise input_dim, or mend the data"
        )


@op(flops=looked_up)
def embed(x: In, w: In, b: In, y: Out, name: str = "") -> None:
    """y = w[x] + b          x any shape of 0 .. K - 1, w (K, O), b (O), y x's shape and O;   DataError for an x outside

    `name` is whose table it is, for the message.
    """
    hold_inside(x, len(w), name)
    y[...] = w[x]
    if b is not None:
        y += b


@op(flops=looked_up)
def embed_dw(x: In, dy: In, dw: Add, db: Add) -> None:
    """dw[k] += sum of dy where x = k;   db += sum of dy over all places"""
    rows = dy.reshape(-1, dy.shape[-1])
    if db is not None:
        db += rows.sum(axis=0)
    if dw is not None and x.size:
        at = x.reshape(-1)
        order = np.argsort(at, kind="stable")
        found, first = np.unique(at[order], return_index=True)
        dw[found] += np.add.reduceat(rows[order], first, axis=0)
