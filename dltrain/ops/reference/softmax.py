"""Softmax along an axis."""

import numpy as np

from dltrain.ops.signature import In, Out, op


@op(y="x")
def softmax(x: In, y: Out, axis: int) -> None:
    """y = exp(x - max x) / sum of exp(x - max x)"""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y[...] = e / e.sum(axis=axis, keepdims=True)


@op(dx="dy")
def softmax_dx(y: In, dy: In, dx: Out, axis: int) -> None:
    """dx = (dy - sum of dy y) y"""
    dx[...] = (dy - (dy * y).sum(axis=axis, keepdims=True)) * y
