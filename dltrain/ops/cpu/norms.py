"""How the CPU does BatchNorm and LRN: each worker sums over its own samples, block by block; one joins the blocks in float64."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel, Work
from dltrain.ops.cpu import channels, neighbours
from dltrain.ops.cpu.backend import Cpu, recipe
from dltrain.ops.cpu.dense import given
from dltrain.ops.cpu.formulas import norm_kernel
from dltrain.ops.signature import Call


def innermost(call: Call) -> bool:
    """True where the channels (axis 1) lie innermost in memory."""
    return len(call.args["x"].shape) in (2, 4)


def together(call: Call) -> int:
    """How many samples make a block: more than one where a sample has few places."""
    return max(1, int(channels.BLOCK // max(1, prod(call.args["x"].shape[2:]))))


def table(array: Any) -> Any:
    return array.reshape(-1, array.shape[-1])


class Blocks:
    """Whose blocks of rows are whose: a block is some samples or a part of one, whoever does it.

    parts   (worker, first row, last row, two arrays of (blocks, C)) of the workers that have any
    """

    def __init__(self, cpu: Cpu, x: Any) -> None:
        self.each = prod(x.shape[1:-1])
        samples = max(1, channels.BLOCK // max(1, self.each))
        self.rows = samples * self.each if samples > 1 else channels.BLOCK
        spans = [(worker, low * self.each, high * self.each) for worker, low, high in cpu.spans(len(x), samples)]
        counts = [self.count(high - low) for _, low, high in spans]
        room = cpu.apart(2 * max(counts) * x.shape[-1])
        self.parts = [
            (worker, low, high, room[worker][: 2 * count * x.shape[-1]].reshape(2, count, x.shape[-1]))
            for (worker, low, high), count in zip(spans, counts, strict=True)
        ]

    def count(self, rows: int) -> int:
        return -(-rows // self.rows)

    def joined(self) -> tuple[Any, Any]:
        """Both arrays of all blocks, in the order of the rows."""
        first, second = (np.concatenate([made[which] for *_, made in self.parts]).astype(np.float64) for which in (0, 1))
        return first, second

    def sizes(self) -> Any:
        """How many rows each block has, as a column."""
        made = [min(self.rows, high - at) for _, low, high, _ in self.parts for at in range(low, high, self.rows)]
        return np.array(made, np.float64).reshape(-1, 1)


@recipe("channel_moments", "x", innermost, together)
def channel_moments(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, mean, variance = given(call, arrays, "x", "mean", "variance")
    blocks, x = Blocks(cpu, x), table(x)
    sizes = blocks.sizes()

    def join() -> None:
        means, squares = blocks.joined()
        middle = (means * sizes).sum(0) / len(x)
        mean[...] = middle
        variance[...] = (squares + sizes * np.square(means - middle)).sum(0) / len(x)

    return Work([partial(channels.block_moments, x[a:b], blocks.rows, *made) for _, a, b, made in blocks.parts], [join])


def rates(variance: Any, scale: Any, eps: float) -> Any:
    """What (x - mean) is multiplied by."""
    rate = 1 / np.sqrt(variance + np.float32(eps))
    return rate if scale is None else rate * scale


@recipe("channel_norm", "x y", innermost)
def channel_norm(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y = (table(array) for array in given(call, arrays, "x", "y"))
    mean, variance, scale, bias = given(call, arrays, "mean", "variance", "scale", "bias")
    each, eps = len(x) // call.args["x"].shape[0], call.args["eps"]
    bias = np.zeros(len(mean), np.float32) if bias is None else bias

    def run(low: int, high: int) -> None:
        channels.normalise(x[low:high], mean, rates(variance, scale, eps), bias, y[low:high])

    return Work([partial(run, low * each, high * each) for _, low, high in cpu.spans(call.args["x"].shape[0])])


@recipe("channel_norm_elementwise", "x other y", innermost)
def channel_norm_elementwise(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y, other = given(call, arrays, "x", "y", "other")
    mean, variance, scale, bias = given(call, arrays, "mean", "variance", "scale", "bias")
    kernel = norm_kernel(call.args["formula"], other is not None)
    constants, eps = [np.float32(value) for value in call.args["constants"]], call.args["eps"]
    bias, other = np.zeros(len(mean), np.float32) if bias is None else bias, x if other is None else other

    def run(low: int, high: int) -> None:
        rows = [channels.repeated(row) for row in (mean, rates(variance, scale, eps), bias)]
        kernel(x[low:high].reshape(-1), *rows, other[low:high].reshape(-1), y[low:high].reshape(-1), *constants)

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(x))])


@recipe("channel_norm_dw", "x dy", innermost, together)
def channel_norm_dw(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, dy, mean, variance = given(call, arrays, "x", "dy", "mean", "variance")
    outs, grads = given(call, arrays, "total", "along"), given(call, arrays, "dbias", "dscale")
    blocks, x, dy = Blocks(cpu, x), table(x), table(dy)

    def join() -> None:
        total, along = (made.sum(0) for made in blocks.joined())
        along /= np.sqrt(variance + np.float32(call.args["eps"]))
        for value, out, grad in zip((total, along), outs, grads, strict=True):
            if out is not None:
                out[...] = value
            if grad is not None:
                grad += value.astype(np.float32)

    kernels: list[Kernel] = [
        partial(channels.block_sums, x[a:b], dy[a:b], mean, blocks.rows, *made) for _, a, b, made in blocks.parts
    ]
    return Work(kernels, [join])


@recipe("channel_norm_dx", "x dy dx", innermost)
def channel_norm_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, dy, dx = (table(array) for array in given(call, arrays, "x", "dy", "dx"))
    mean, variance, scale, total, along = given(call, arrays, "mean", "variance", "scale", "total", "along")
    each, eps, nothing = len(x) // call.args["x"].shape[0], call.args["eps"], np.zeros(len(mean), np.float32)

    def run(low: int, high: int) -> None:
        rate = rates(variance, scale, eps)
        push = nothing if total is None else rate * total / np.float32(len(x))
        pull = nothing if total is None else rate * along / np.float32(len(x)) * rates(variance, None, eps)
        channels.slope_back(x[low:high], dy[low:high], mean, rate, push, pull, dx[low:high])

    return Work([partial(run, low * each, high * each) for _, low, high in cpu.spans(call.args["x"].shape[0])])


# --- LRN ---
def across(call: Call) -> bool:
    return innermost(call) and call.args["axes"] == (1,)


@recipe("lrn", "x local y", across)
def lrn(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, local, y = given(call, arrays, "x", "local", "y")
    numbers = [np.float32(call.args[name]) for name in ("rate", "beta", "offset")]
    return Work(
        [
            partial(neighbours.lrn_rows, *(table(array[a:b]) for array in (x, local, y)), call.args["size"], *numbers)
            for _, a, b in cpu.spans(len(x))
        ]
    )


@recipe("lrn_dx", "x local dy dx", across)
def lrn_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, local, dy, dx = given(call, arrays, "x", "local", "dy", "dx")
    numbers = [np.float32(call.args[name]) for name in ("rate", "beta")]
    return Work(
        [
            partial(neighbours.lrn_rows_dx, *(table(array[a:b]) for array in (x, local, dy, dx)), call.args["size"], *numbers)
            for _, a, b in cpu.spans(len(x))
        ]
    )
