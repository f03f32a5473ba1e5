"""How the CPU does depthwise convolution: each worker its own samples, with the kernels of depthwise.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Work
from dltrain.ops.cpu import depthwise
from dltrain.ops.cpu.backend import Cpu, recipe
from dltrain.ops.cpu.dense import activation, given
from dltrain.ops.cpu.patches import sum_rows
from dltrain.ops.signature import Call

FEW = 8  # channels below which patches and products are as good


def separate(call: Call) -> bool:
    """True where every channel is a group with one output, in images with two spatial axes."""
    x: Any = call.args.get("x") or call.args["dx"]
    y: Any = call.args.get("y") or call.args["dy"]
    group = call.args["window"].group
    return len(x.shape) == 4 and group == x.shape[1] == y.shape[1] and group >= FEW


def where(call: Call) -> tuple[Any, ...]:
    window = call.args["window"]
    return window.kernel, window.stride, window.pad, window.steps


def taps(w: Any) -> Any:
    """The weights (C,KH,KW,1) as (taps, C)."""
    return np.ascontiguousarray(w.reshape(len(w), -1).T)


@recipe("conv", "x y", separate)
@recipe("conv_elementwise", "x y", separate)
def depthwise_conv(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y = given(call, arrays, "x", "w", "b", "y")
    b = np.zeros(len(w), np.float32) if b is None else b
    after = activation(call)

    def run(low: int, high: int) -> None:
        weights = taps(w)
        for n in range(low, high):
            depthwise.depthwise_forward(x[n : n + 1], weights, b, y[n : n + 1], *where(call))
            if after is not None:
                after(y[n])

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(x))])


@recipe("conv_dx", "dy dx", separate)
def depthwise_conv_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    w, dy, dx = given(call, arrays, "w", "dy", "dx")

    def run(low: int, high: int) -> None:
        depthwise.depthwise_dx(taps(w), dy[low:high], dx[low:high], *where(call))

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(dx))])


@recipe("conv_grad", "x dy dx", separate)
def depthwise_conv_grad(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Each worker makes the gradient of its own samples apart; joined at the end of the segment."""
    x, w, dy, dx, dw, db = given(call, arrays, "x", "w", "dy", "dx", "dw", "db")
    dws, dbs = (None if total is None else cpu.apart(total.size) for total in (dw, db))

    def run(worker: int, low: int, high: int) -> None:
        if dx is not None:
            depthwise.depthwise_dx(taps(w), dy[low:high], dx[low:high], *where(call))
        if dws is not None:
            made = np.empty((dw.size // len(dw), len(dw)), np.float32)
            depthwise.depthwise_dw(x[low:high], dy[low:high], made, *where(call))
            dws[worker].reshape(len(dw), -1)[...] = made.T
        if dbs is not None:
            sum_rows(dy[low:high].reshape(-1, dy.shape[-1]), dbs[worker])

    return Work([partial(run, *span) for span in cpu.spans(len(x))], cpu.join(call, dw=(dws, dw), db=(dbs, db)))
