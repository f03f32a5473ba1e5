"""Operators of ONNX that are a constant matrix along an axis: other sizes, places in any order, running sums."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At
from dltrain.translate.onnx_formulas import blob, constant, node, number
from dltrain.translate.onnx_graph import Blob, Differs, Graph, bounded, frozen, moved

NEAREST: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda x: ceil(x - 0.5), "round_prefer_ceil": lambda x: floor(x + 0.5), "floor": floor, "ceil": ceil,
}  # fmt: skip


def tabled(net: Graph, x: Blob, axis: int, table: Any) -> Blob:
    """y_i = sum of table_ij x_j along an axis of ours; the table does not learn."""
    bounded(table.size)
    outputs, axes = len(table), list(x.shape[1:])
    if axis == x.ndim - 1:
        keys = {"num_output": outputs, "bias_term": False, "axis": axis}
        return frozen(net("InnerProduct", x, params={"weight": table}, **keys))
    flat = net.reshape(moved(x, 0), [*axes[: axis - 1], table.shape[1], prod(axes[axis:])], 0)
    held = frozen(net("Parameter", params={"weight": table}, shape=list(table.shape)))
    made = net.reshape(net("MatMul", held, flat), [*axes[: axis - 1], outputs, *axes[axis:]], 0)
    return moved(made, x.batch)


def picked(net: Graph, x: Blob, axis: int, places: list[int]) -> Blob:
    """Places of an axis of ours in any order, by a matrix of ones and zeros."""
    bounded(len(places) * x.shape[axis])
    return tabled(net, x, axis, np.eye(x.shape[axis], dtype=np.float32)[places])


@node("CumSum")
def running_sum(net: Graph, at: At, x: Any, axis: Any) -> Blob:
    ours = blob(x).axis(int(number(axis, "its axis")))
    bounded(x.shape[ours] ** 2)
    table = np.tril(np.ones((x.shape[ours],) * 2, np.float32), -1 if at.get("exclusive") else 0)
    return tabled(net, x, ours, table.T if at.get("reverse") else table)


@node("GatherND")
def gather_nd(net: Graph, at: At, x: Any, index: Any) -> Blob:
    """The first axes by one list of places; the batch stands behind them."""
    places = constant(index, "its places")
    count = places.shape[-1] if places.ndim else 0
    if at.get("batch_dims") or not 0 < count <= blob(x).batch:
        raise Differs(f"places along {count} axes of a tensor whose batch is axis {x.batch}")
    sizes = x.shape[1 : count + 1]
    flat = np.where(places < 0, places + np.array(sizes), places).reshape(-1, count)
    if (flat < 0).any() or (flat >= np.array(sizes)).any():
        raise Differs(f"places beyond {Shape(sizes)}")
    rows = np.ravel_multi_index(tuple(flat.T), sizes)
    y = net.reshape(x, [prod(sizes), *x.shape[count + 1 :]], x.batch - count + 1)
    y = picked(net, y, 1, [int(row) for row in rows]) if list(rows) != list(range(prod(sizes))) else y
    return net.reshape(y, [*places.shape[:-1], *x.shape[count + 1 :]], x.batch - count + places.ndim - 1)


# --- other sizes ---
def resized(net: Graph, x: Blob, at: At, ratios: list[float], sizes: list[int] | None, where: str, how: str) -> Blob:
    """Every axis but the batch's, from n places to `sizes`, or to floor(n ratio), by interpolation."""
    if ratios[x.batch] != 1:
        raise Differs(f"scales {ratios}: the batch grows")
    mode = at.get("mode", "nearest")
    if mode not in ("nearest", "linear", "cubic") or where not in COORDINATES or how not in NEAREST:
        raise Differs(f"mode {mode} with {where} and {how}")
    if at.get("antialias") and min(ratios) < 1:
        raise Differs("antialias")
    y = x
    for axis in (axis for axis in range(x.ndim) if axis != x.batch):
        ours, n = x.axis(axis), x.sizes[axis]
        size = sizes[axis] if sizes is not None else floor(np.float32(n) * np.float32(ratios[axis]))
        if size < 1:
            raise Differs(f"axis {axis} to {size} places")
        if where == "align_corners" and abs(size - n * ratios[axis]) > 1e-3:
            raise Differs(f"align_corners from {n} to {n * ratios[axis]:g} places")
        bounded(size * n)
        table = interpolation(n, size, np.float32(ratios[axis]), at | {"mode": mode, "where": where, "how": how})
        if table.shape != (n, n) or not np.array_equal(table, np.eye(n)):
            y = tabled(net, y, ours, table)
    return y


HALF = np.float32(0.5)
COORDINATES: dict[str, Callable[..., Any]] = {  # of place i, from n to m places by a scale
    "half_pixel": lambda i, n, m, scale: (i + HALF) / scale - HALF,
    "pytorch_half_pixel": lambda i, n, m, scale: (i + HALF) / scale - HALF if m > 1 else np.float32(0),
    "half_pixel_symmetric": lambda i, n, m, scale: n / 2 * (1 - m / (n * scale)) + (i + HALF) / scale - HALF,
    "align_corners": lambda i, n, m, scale: i * np.float32(n - 1) / np.float32(m - 1) if m > 1 else np.float32(0),
    "asymmetric": lambda i, n, m, scale: i / scale,
}  # fmt: skip


def interpolation(n: int, size: int, scale: Any, at: At) -> Any:
    """(size, n): what each new place takes of each old one; beyond the ends the last places go on."""
    table = np.zeros((size, n))
    for i in range(size):
        x = float(COORDINATES[at["where"]](np.float32(i), n, size, scale))
        low, reach = floor(x), x - floor(x)
        if at["mode"] == "nearest":
            taps = {NEAREST[at["how"]](x): 1.0}
        elif at["mode"] == "linear":
            taps = {low: 1 - reach, low + 1: reach}
        else:
            taps = {low + k: cubic(reach - k, at.get("cubic_coeff_a", -0.75)) for k in (-1, 0, 1, 2)}
            if at.get("exclude_outside"):
                taps = {place: share for place, share in taps.items() if 0 <= place < n}
                taps = {place: share / sum(taps.values()) for place, share in taps.items()}
        for place, share in taps.items():
            table[i, min(max(place, 0), n - 1)] += share
    return table


def cubic(t: float, a: float) -> float:
    """Keys's convolution kernel, 1981."""
    t = abs(t)
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0
