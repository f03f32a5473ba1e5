"""How the CPU does what works on images: convolution, pooling, change of layout, dropout."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel, Work
from dltrain.ops.cpu import convolution, pooling, rows, separate  # noqa: F401  separate fills recipes that go before ours
from dltrain.ops.cpu.backend import Cpu, recipe
from dltrain.ops.cpu.convolution import Geometry, Pool
from dltrain.ops.cpu.dense import activation, given
from dltrain.ops.cpu.ways import backwards
from dltrain.ops.signature import Call
from dltrain.ops.window import Window


def planar(call: Call) -> bool:
    """Images with two spatial axes; others run the reference."""
    return all(len(call.args[name].shape) == 4 for name in ("x", "y", "dx", "dy") if call.args.get(name) is not None)


def geometry(window: Window, cpu: Cpu) -> Geometry:
    return Geometry(window.kernel, window.stride, window.pad, window.steps, window.group, cpu.strict)  # type: ignore[arg-type]


def pool_of(window: Window) -> Pool:
    return Pool(window.kernel, window.stride, window.pad)  # type: ignore[arg-type]


def part(array: Any, low: int, high: int) -> Any:
    return None if array is None else array[low:high]


# --- convolution ---
@recipe("conv", "x y", planar)
@recipe("conv_elementwise", "x y", planar)
def conv(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y = given(call, arrays, "x", "w", "b", "y")
    shape = geometry(call.args["window"], cpu)
    after = activation(call)
    kernels: list[Kernel] = []
    for worker, low, high in cpu.spans(len(x)):
        room = convolution.scratch_size(x[low:high].shape, w.shape, shape)
        made = convolution.conv_forward, x[low:high], w, b, y[low:high], shape, after
        kernels.append(cpu.scratches[worker].bound(room, *made))
    return Work(kernels)


@recipe("conv_max_pool", "x y winner", planar)
def conv_max_pool(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y, winner = given(call, arrays, "x", "w", "b", "y", "winner")
    b = np.zeros(len(w), np.float32) if b is None else b
    shape, pool = geometry(call.args["window"], cpu), pool_of(call.args["pool"])
    kernels: list[Kernel] = []
    for worker, low, high in cpu.spans(len(x)):
        room = convolution.scratch_size(x[low:high].shape, w.shape, shape, pool)
        made = convolution.conv_pool_forward, x[low:high], w, b, y[low:high], winner[low:high], shape, pool
        kernels.append(cpu.scratches[worker].bound(room, *made))
    return Work(kernels)


@recipe("conv_grad", "x dy dx", planar)
@recipe("conv_max_pool_grad", "x dy winner dx", planar)
def conv_grad(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Each worker makes the gradient of its own samples apart; joined at the end of the segment."""
    x, w, dy, dx, dw, db = given(call, arrays, "x", "w", "dy", "dx", "dw", "db")
    pooled = "pool" in call.args
    w = dw if w is None else w  # without dx the weights are only asked for their shape
    shape, pool = geometry(call.args["window"], cpu), pool_of(call.args["pool"]) if pooled else None
    dws, dbs = (None if total is None else cpu.apart(total.size) for total in (dw, db))
    kernels: list[Kernel] = []
    for worker, low, high in cpu.spans(len(x)):
        room = convolution.scratch_size(x[low:high].shape, w.shape, shape, pool, backwards(dw, dx))
        grads = (
            part(dx, low, high),
            None if dws is None else dws[worker].reshape(w.shape),
            None if dbs is None else dbs[worker],
            shape,
        )
        if pooled:
            winner = arrays.memory(call.args["winner"])[low:high]
            made: tuple[Any, ...] = (convolution.conv_pool_backward, x[low:high], dy[low:high], winner, w, *grads, pool)
        else:
            made = (convolution.conv_backward, x[low:high], dy[low:high], w, *grads)
        kernels.append(cpu.scratches[worker].bound(room, *made))
    return Work(kernels, cpu.join(call, dw=(dws, dw), db=(dbs, db)))


@recipe("conv_dx", "dy dx", planar)
def conv_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Where the weights are frozen; the image itself is only asked for its shape."""
    w, dy, dx = given(call, arrays, "w", "dy", "dx")
    shape = geometry(call.args["window"], cpu)
    kernels: list[Kernel] = []
    for worker, low, high in cpu.spans(len(dx)):
        part_dx = dx[low:high]
        room = convolution.scratch_size(part_dx.shape, w.shape, shape, None, backwards(None, dx))
        made = convolution.conv_backward, part_dx, dy[low:high], w, part_dx, None, None, shape
        kernels.append(cpu.scratches[worker].bound(room, *made))
    return Work(kernels)


# --- pooling ---
def covered(call: Call) -> bool:
    """True where no window can lie wholly outside the image."""
    window = call.args["window"]
    return planar(call) and all(s <= k for s, k in zip(window.stride, window.kernel, strict=True))


@recipe("max_pool", "x y winner", planar)
def max_pool(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y, winner = given(call, arrays, "x", "y", "winner")
    pool, zero = pool_of(call.args["window"]), np.zeros(x.shape[-1], np.float32)
    return Work([partial(pooling.max_pool, x[a:b], zero, y[a:b], winner[a:b], *pool) for _, a, b in cpu.spans(len(x))])


@recipe("max_pool_dx", "dy winner dx", lambda call: planar(call) and not call.tags.get("gaps"))
def max_pool_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    dy, winner, dx = given(call, arrays, "dy", "winner", "dx")
    return Work([partial(pooling.max_unpool, dy[a:b], winner[a:b], dx[a:b]) for _, a, b in cpu.spans(len(dx))])


@recipe("mean_pool", "x y", covered)
def mean_pool(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y = given(call, arrays, "x", "y")
    pool = pool_of(call.args["window"])
    return Work([partial(pooling.mean_pool, x[a:b], y[a:b], *pool) for _, a, b in cpu.spans(len(x))])


@recipe("mean_pool_dx", "dy dx", covered)
def mean_pool_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    dy, dx = given(call, arrays, "dy", "dx")
    pool = pool_of(call.args["window"])
    return Work([partial(pooling.mean_unpool, dy[a:b], dx[a:b], *pool) for _, a, b in cpu.spans(len(dx))])


# --- shapes ---
@recipe("reshape", "x y", lambda call: call.args["x"].shape[0] == call.args["y"].shape[0])
def reshape(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Between an image, which is channels-last in memory, and a row of numbers in the logical order."""
    x, y = arrays.logical(call.args["x"]), arrays.logical(call.args["y"])
    kernels: list[Kernel] = []
    for _, low, high in cpu.spans(len(x)):
        source, target = x[low:high], y[low:high]
        seen_so, seen_as = seen(source, target.shape), seen(target, source.shape)
        if seen_so is not None:
            kernels.append(partial(np.copyto, target, seen_so))
        elif seen_as is not None:
            kernels.append(partial(np.copyto, seen_as, source))
        else:
            kernels.append(partial(copy_reshaped, target, source))
    return Work(kernels)


def seen(array: Any, shape: tuple[int, ...]) -> Any:
    """The same memory in another shape; None where that would take a copy."""
    made = array.reshape(shape)
    return made if np.shares_memory(made, array) or not array.size else None


def copy_reshaped(target: Any, source: Any) -> None:
    target[...] = source.reshape(target.shape)


# --- random ---
@recipe("dropout", "x y")
def dropout(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y, count = given(call, arrays, "x", "y", "count")
    ratio, key = call.args["ratio"], tuple(np.uint64(word) for word in call.args["key"])
    planes = (len(x), prod(x.shape[1:-1]), x.shape[-1]) if x.ndim == 4 else (len(x), 1, prod(x.shape[1:]))
    flat_x, flat_y = x.reshape(planes), y.reshape(planes)
    least, scale = np.uint64(np.uint32(ratio * 2**32)), np.float32(1 / (1 - ratio))

    def run(low: int, high: int) -> None:
        rows.dropout_planes(flat_x[low:high], flat_y[low:high], low, np.uint64(count[0]), key, least, scale)

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(x))])
