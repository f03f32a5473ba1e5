"""Matrix products: what an InnerProduct layer does."""

from typing import Any

import numpy as np

from dltrain.ops.signature import Add, In, Out, op


def macs(args: dict[str, Any]) -> int:
    """Two operations for each product: 2 N O K"""
    x: Any = args.get("x", args.get("dx"))
    y: Any = args.get("y", args.get("dy"))
    return int(2 * x.shape[0] * x.shape[1] * y.shape[1])


@op(flops=macs)
def inner_product(x: In, w: In, b: In, y: Out) -> None:
    """y = x w' + b          x (N, K), w (O, K), b (O)"""
    y[...] = x @ w.T
    if b is not None:
        y += b


@op(flops=macs)
def inner_product_dx(w: In, dy: In, dx: Out) -> None:
    """dx = dy w"""
    dx[...] = dy @ w


@op(flops=macs)
def inner_product_dw(x: In, dy: In, dw: Add, db: Add) -> None:
    """dw += dy' x;   db += sum of dy over the samples"""
    if dw is not None:
        dw += dy.T @ x
    if db is not None:
        db += np.sum(dy, axis=0)
