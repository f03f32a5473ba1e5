"""How the CPU does matrix products, elementwise formulas and losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Work
from dltrain.ops.cpu import rows, step  # noqa: F401  step fills the recipes of the update
from dltrain.ops.cpu.backend import LINE, Cpu, recipe
from dltrain.ops.cpu.formulas import elementwise_kernel
from dltrain.ops.cpu.patches import add_bias
from dltrain.ops.signature import Call

LARGE = 1 << 20  # weights: beyond this a worker takes outputs, not samples, so that each weight is read once
LESS = 1 << 19  # back, where no result has to be turned, half as many are large
MANY = 256  # samples


def wide(call: Call) -> bool:
    """More outputs than samples, and few of these: BLAS packs the weights, so a worker takes its own outputs and all samples."""
    samples = call.args["x"].shape[0]
    return bool(samples <= call.args["w"].shape[0] and samples < MANY)


def large(call: Call) -> bool:
    return bool(call.args["w"].shape.count > LARGE)


def large_for_few(call: Call) -> bool:
    """Back, the weights are read as they lie: for many samples that costs less than reading all of dy twice."""
    return bool(call.args["w"].shape.count > LESS and call.args["dy"].shape[0] < MANY)


def given(call: Call, arrays: Arrays, *names: str) -> list[Any]:
    """The memory of some arguments, None for those that are left out."""
    return [None if call.args[name] is None else arrays.memory(call.args[name]) for name in names]


# --- matrix products ---
Formula = Callable[[Any], None]


def product(x: Any, w: Any, b: Any, y: Any, after: Formula | None) -> None:
    np.dot(x, w.T, out=y)
    if b is not None:
        add_bias(y, b)
    if after is not None:
        after(y)


def product_columns(x: Any, w: Any, b: Any, y: Any) -> None:
    np.matmul(x, w.T, out=y)
    if b is not None:
        np.add(y, b, out=y)


def product_turned(x: Any, w: Any, b: Any, y: Any, low: int, after: Formula | None, scratch: Any) -> None:
    """y[:, low:] = (w x')' + b: so BLAS reads the weights as they lie."""
    made = scratch[: len(w) * len(x)].reshape(len(w), len(x))
    np.dot(w, x.T, out=made)
    if b is not None:
        rows.add_column(made, b)
    if after is not None:
        after(made)
    rows.turn(made, y, low)


def activation(call: Call) -> Formula | None:
    """The activation that follows a product or a convolution, in place; None where there is none."""
    if "formula" not in call.args:
        return None
    kernel = elementwise_kernel(call.args["formula"], 1)
    constants = tuple(np.float32(value) for value in call.args["constants"])
    return lambda y: kernel(y.reshape(-1), y.reshape(-1), *constants)


@recipe("inner_product", "", wide)
@recipe("inner_product_elementwise", "", wide)
def inner_product_turned(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y = given(call, arrays, "x", "w", "b", "y")
    after, kernels = activation(call), []
    for worker, low, high in cpu.spans(len(w), LINE):
        made = product_turned, x, w[low:high], None if b is None else b[low:high], y, low, after
        kernels.append(cpu.scratches[worker].bound((high - low) * len(x), *made))
    return Work(kernels)


@recipe("inner_product", "", large)
def inner_product_by_outputs(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y = given(call, arrays, "x", "w", "b", "y")
    spans = cpu.spans(len(w), LINE)
    return Work(
        [partial(product_columns, x, w[low:high], None if b is None else b[low:high], y[:, low:high]) for _, low, high in spans]
    )


@recipe("inner_product", "x y")
@recipe("inner_product_elementwise", "x y")
def inner_product(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, w, b, y = given(call, arrays, "x", "w", "b", "y")
    after = activation(call)
    return Work([partial(product, x[low:high], w, b, y[low:high], after) for _, low, high in cpu.spans(len(x))])


@recipe("inner_product_dx", "", large_for_few)
def inner_product_dx_by_outputs(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    w, dy, dx = (arrays.memory(call.args[name]) for name in ("w", "dy", "dx"))
    return Work([partial(np.matmul, dy, w[:, low:high], dx[:, low:high]) for _, low, high in cpu.spans(w.shape[1], LINE)])


@recipe("inner_product_dx", "dy dx")
def inner_product_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    w, dy, dx = (arrays.memory(call.args[name]) for name in ("w", "dy", "dx"))
    return Work([partial(np.dot, dy[low:high], w, out=dx[low:high]) for _, low, high in cpu.spans(len(dy))])


@recipe("inner_product_dw")
def inner_product_dw(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Each worker makes its own rows of dw, so the sum over samples is never split."""
    x, dy, dw, db = given(call, arrays, "x", "dy", "dw", "db")
    fresh, kernels = call.tags.get("fresh", frozenset()), []
    for worker, low, high in cpu.spans(dy.shape[1], LINE):
        block = max(1, min(high - low, (1 << 18) // max(1, x.shape[1])))
        if far_apart(dy):
            block = min(block, 640)
        elif "dw" in fresh:
            block = max(1, high - low)
        room = block * (x.shape[1] * ("dw" not in fresh) + len(dy) * far_apart(dy))
        kernels.append(cpu.scratches[worker].bound(room, add_products, x, dy, dw, db, low, high, block, fresh))
    return Work(kernels)


def far_apart(dy: Any) -> bool:
    """True where a product would look for each of many rows on a page of its own: then its columns are copied together first."""
    return len(dy) >= 128 and dy.shape[1] >= 2048


def add_products(x: Any, dy: Any, dw: Any, db: Any, low: int, high: int, block: int, fresh: frozenset[str], scratch: Any) -> None:
    """dw[low:high] += dy' x, a block of rows at a time so that the product is still in the cache when it is added

    What is fresh is written instead.
    """
    for at in range(low, high if dw is not None else low, block):
        top = min(at + block, high)
        part = dy[:, at:top]
        if far_apart(dy):
            room = scratch[-part.size :].reshape(part.shape)
            np.copyto(room, part)
            part = room
        if "dw" in fresh:
            np.dot(part.T, x, out=dw[at:top])
        else:
            made = scratch[: (top - at) * x.shape[1]].reshape(top - at, -1)
            np.dot(part.T, x, out=made)
            np.add(dw[at:top], made, out=dw[at:top])
    if db is not None and high > low:
        np.add(0 if "db" in fresh else db[low:high], dy[:, low:high].sum(axis=0), out=db[low:high])


# --- elementwise ---
def by_sample(*arrays: Any) -> list[Any]:
    return [array.reshape(len(array), -1) for array in arrays]


def same_sizes(call: Call) -> bool:
    return all(x.shape == call.args["y"].shape and x.dtype == "float" for x in call.args["xs"])


@recipe("elementwise", "xs y", same_sizes)
def elementwise(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    *xs, y = by_sample(*(arrays.memory(x) for x in call.args["xs"]), arrays.memory(call.args["y"]))
    kernel = elementwise_kernel(call.args["formula"], len(xs))
    constants = [np.float32(value) for value in call.args["constants"]]
    return Work(
        [partial(kernel, *(x[a:b].reshape(-1) for x in xs), y[a:b].reshape(-1), *constants) for _, a, b in cpu.spans(len(y))]
    )


@recipe("weighted_sum", "xs y")
def weighted_sum(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    *xs, y = (arrays.memory(tensor) for tensor in (*call.args["xs"], call.args["y"]))
    weights = [np.float32(weight) for weight in call.args["weights"]]

    def run(low: int, high: int) -> None:
        out = y[low:high]
        first = xs[0][low:high]
        total = first * weights[0] if weights[0] != 1 or len(xs) == 1 else first
        for x, weight in zip(xs[1:], weights[1:], strict=True):
            total = np.add(total, x[low:high] if weight == 1 else x[low:high] * weight)
        np.copyto(out, total)

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(y))])


# --- softmax, loss, accuracy: rows of classes ---
def classes_last(call: Call) -> bool:
    """True where the classes lie innermost in memory and nothing is weighted."""
    x = call.args.get("x") or call.args.get("prob") or call.args["y"]
    innermost = 1 if len(x.shape) == 4 else len(x.shape) - 1
    return call.args["axis"] == innermost > 0 and call.args.get("weight") is None


def table(array: Any) -> Any:
    return array.reshape(-1, array.shape[-1])


def spread(cpu: Cpu, samples: int, rows_each: int) -> list[slice]:
    return [slice(low * rows_each, high * rows_each) for _, low, high in cpu.spans(samples)]


def kept(call: Call) -> np.int64:
    ignore = call.args.get("ignore")
    return np.int64(-(2**40) if ignore is None else ignore)


@recipe("softmax", "x y", classes_last)
def softmax(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y = (arrays.memory(call.args[name]) for name in ("x", "y"))
    cuts = spread(cpu, len(x), prod(x.shape[1:-1]))
    return Work([partial(rows.softmax_rows, table(x)[cut], table(y)[cut]) for cut in cuts])


@recipe("softmax_dx", "y dy dx", classes_last)
def softmax_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    y, dy, dx = (arrays.memory(call.args[name]) for name in ("y", "dy", "dx"))
    cuts = spread(cpu, len(y), prod(y.shape[1:-1]))
    return Work([partial(rows.softmax_rows_dx, table(y)[cut], table(dy)[cut], table(dx)[cut]) for cut in cuts])


@recipe("softmax_loss", "x label prob loss", classes_last)
def softmax_loss(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, label, prob, loss = (arrays.memory(call.args[name]) for name in ("x", "label", "prob", "loss"))
    ignore = kept(call)

    def run(cut: slice) -> None:
        rows.softmax_rows(table(x)[cut], table(prob)[cut])
        rows.loss_rows(table(prob)[cut], label.reshape(-1)[cut], ignore, loss.reshape(-1)[cut])

    return Work([partial(run, cut) for cut in spread(cpu, len(x), prod(x.shape[1:-1]))])


@recipe("softmax_loss_dx", "prob label dx", classes_last)
def softmax_loss_dx(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    prob, label, z, dy, dx = (arrays.memory(call.args[name]) for name in ("prob", "label", "z", "dy", "dx"))
    ignore = kept(call)

    def run(cut: slice) -> None:
        scale = np.float32(dy[0] / z[0]) if z[0] != 0 else np.float32(0)
        rows.loss_rows_dx(table(prob)[cut], label.reshape(-1)[cut], ignore, scale, table(dx)[cut])

    return Work([partial(run, cut) for cut in spread(cpu, len(prob), prod(prob.shape[1:-1]))])


@recipe("hits", "x label hit", classes_last)
def hits(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, label, hit = (arrays.memory(call.args[name]) for name in ("x", "label", "hit"))
    top_k, ignore = np.int64(call.args["top_k"]), kept(call)
    cuts = spread(cpu, len(x), prod(x.shape[1:-1]))
    return Work(
        [partial(rows.hit_rows, table(x)[cut], label.reshape(-1)[cut], ignore, top_k, hit.reshape(-1)[cut]) for cut in cuts]
    )
