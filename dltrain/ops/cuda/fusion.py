"""What a GPU joins: of what the CPU joins, all that saves passes over memory there."""

from __future__ import annotations

from dltrain.ops.cpu.fusion import (
    Flow,
    activated_convolutions,
    activated_norms,
    activated_products,
    pool_before_activation,
    summed_first,
)
from dltrain.ops.signature import Call
from dltrain.tensor import Tensor


def fuse(calls: list[Call], keep: set[Tensor]) -> list[Call]:
    """Rewrites the calls; a convolution's two gradients stay apart, for they may run side by side."""
    from dltrain.ops.cuda.pooling import remember_windows  # which needs the back end, which needs this

    flow = Flow(calls)
    for rewrite in (pool_before_activation, activated_convolutions, activated_products, activated_norms, summed_first):
        rewrite(flow, keep)
    return remember_windows(flow.ordered(flow.places))
