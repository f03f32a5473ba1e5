"""How a GPU does the update: a kernel made from the rule's formula, a row of blocks for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.formulas import function, prelude
from dltrain.ops.cuda.launch import BLOCK, launch
from dltrain.ops.formula import Formula
from dltrain.ops.reference.scaling import LARGEST
from dltrain.ops.signature import Call

PARTS = 256  # blocks that a sum over all parameters is split into
A_THREAD = 4  # elements of a parameter
OFFERED = ("decay_mult", "w_norm", "g_norm", "pull", "decay")  # what the step itself knows


def rows_of(call: Call, cuda: Cuda) -> DeviceArray:
    """(start, stop, lr_mult, decay_mult) of each parameter that learns, on the device once."""
    return cuda.constant(np.asarray(call.args["segments"], np.float64))


def blocks(segments: Any) -> tuple[int, int]:
    """Enough blocks for the longest parameter, a row for each."""
    longest = max(int(stop - start) for start, stop, *_ in segments)
    return max(1, min(-(-longest // (BLOCK * A_THREAD)), 1024)), len(segments)


@recipe("sum_of_squares")
def sum_of_squares(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    g, norm = memory(call, arrays, "g", "norm")
    count = max(1, min(PARTS, -(-g.size // 1024)))
    parts = cuda.scratch(count, dtype=np.float64)
    return [cuda.launch("update", "square_sums", count, g, parts, norm, cuda.tickets(1), g.size)]


@recipe("squares")
def squares(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, g, norms = memory(call, arrays, "w", "g", "norms")
    count = len(call.args["segments"])
    return [cuda.launch("update", "segment_squares", (count, 2), w, g, rows_of(call, cuda), norms, count)]


@recipe("update")
def update(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    args, formula = call.args, call.args["formula"]
    w, g, norm, failed, norms = memory(call, arrays, "w", "g", "norm", "failed", "norms")
    slots, rates, hyper, losses = (
        [arrays.memory(tensor) for tensor in args[name]] for name in ("slots", "rates", "hyper", "losses")
    )
    stage, coupled = args["stage"], args["stage"] != "second" and not {"pull", "decay"} & set(formula.arguments)
    text = update_text(formula, len(slots), len(losses), stage, coupled)
    values = [w, g, *slots, *rates, *hyper, norm, norms, *losses, failed, rows_of(call, cuda)]
    numbers = [args["clip"] or -1.0, 1.0 / args["iter_size"], bool(args["l1"])]
    grid = blocks(args["segments"])
    return [launch(cuda.driver, text, "move", grid, [*values, *numbers, grid[1]], BLOCK)]


@cache
def update_text(formula: Formula, slots: int, losses: int, stage: str, coupled: bool) -> str:
    """The rule on every element of every parameter; where the norm or a loss is not finite nothing moves, and failed = 1."""
    finite = "".join(f" && isfinite(loss{number}[0])" for number in range(losses))
    text = f"{prelude()}{function(formula)}"
    lr, *rest = formula.arguments[2 + slots :]
    hyper = [name for name in rest if name not in OFFERED]
    heads = "".join(f", float *s{number}" for number in range(slots)) + ", const float *lr, const float *decay"
    heads += "".join(f", const float *h_{name}" for name in hyper)
    paid = "".join(f"const float *loss{number}, " for number in range(losses))
    text += f"KERNEL move(float *w, float *g{heads}, const double *norm, const double *norms, {paid}int *failed,\n"
    text += "            const double *rows, float clip, float share, int l1, int segments) {\n"
    text += f"    bool fine = isfinite(norm[0]){finite};\n"
    text += "    if (!fine && first() == 0 && blockIdx.y == 0) failed[0] = 1;\n    if (!fine || failed[0]) return;\n"
    text += "    const double *row = rows + 4 * blockIdx.y;\n    int start = (int)row[0], stop = (int)row[1];\n"
    text += "    float length = (float)sqrt(norm[0]);\n"
    text += "    float scale = " + (
        "1.0f;\n" if stage == "second" else "(clip > 0.0f && length > clip ? clip / length : 1.0f) * share;\n"
    )
    text += "    float rate = lr[0] * (float)row[2], by = decay[0] * (float)row[3];\n"
    text += "    for (int i = start + first(); i < stop; i += stride()) {\n"
    text += "        float sign = w[i] > 0.0f ? 1.0f : w[i] < 0.0f ? -1.0f : 0.0f, pull = by * (l1 ? sign : w[i]);\n"
    text += f"        float grad = g[i] * scale{' + pull' if coupled else ''};\n"
    segment = {"w_norm": "(float)sqrt(norms[blockIdx.y])", "g_norm": "scale * (float)sqrt(norms[segments + blockIdx.y])"}
    offered = {"decay_mult": "(float)row[3]", "pull": "pull", "decay": "by", **segment}
    given = ["w[i]", "grad", *(f"s{number}[i]" for number in range(slots)), "rate"]
    given += [offered.get(name, f"h_{name}[0]") for name in rest]
    made = [f"r{number}" for number in range(1 + slots)]
    text += f"        float {', '.join(made)};\n        formula({', '.join([*given, *made])});\n"
    text += f"        {'g' if stage == 'first' else 'w'}[i] = r0;\n"
    text += "".join(f"        s{number}[i] = r{number + 1};\n" for number in range(slots))
    return text + ("" if stage == "first" else "        g[i] = 0.0f;\n") + "    }\n}\n"


@recipe("clip_weights")
def clip_weights(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, failed = memory(call, arrays, "w", "failed")
    grid = blocks(call.args["segments"])
    return [cuda.launch("update", "clip_weights", grid, w, failed, rows_of(call, cuda), call.args["bound"])]


@recipe("max_norm")
def max_norm(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """A launch for each weight; a block for each of its rows."""
    w, failed = memory(call, arrays, "w", "failed")
    return [
        cuda.launch("update", "max_norm", int(rows), w[int(start) : int(stop)], failed, call.args["bound"],
                    int(stop - start) // int(rows))
        for start, stop, rows in call.args["rows"]
    ]  # fmt: skip


@recipe("average")
def average(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    w, mean, fresh, failed = memory(call, arrays, "w", "mean", "fresh", "failed")
    return [cuda.each("update", "average", w.size, w, mean, fresh, failed)]


@recipe("magnified")
def magnified(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, factor, y = memory(call, arrays, "x", "factor", "y")
    return [cuda.each("scaling", "magnified", y.size, x, factor, y)]


@recipe("reduced")
def reduced(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "g", "factor", "failed")
    return [cuda.each("scaling", kernel, given[0].size, *given) for kernel in ("overflown", "reduced")]


@recipe("follow")
def follow(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "factor", "taken", "failed")
    return [cuda.launch("scaling", "follow", 1, *given, call.args["every"], LARGEST, block=1)]


@recipe("keep_losses")
def keep_losses(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    failed, ring, at = memory(call, arrays, "failed", "ring", "at")
    losses = [arrays.memory(tensor) for tensor in call.args["losses"]]
    return [launch(cuda.driver, keep_text(len(losses)), "keep", 1, [*losses, failed, ring, at, *ring.shape], 1)]


@cache
def keep_text(losses: int) -> str:
    """A row of the ring: the losses of a step, then 1 where it has failed.  `at` counts the steps."""
    heads = "".join(f"const float *l{number}, " for number in range(losses))
    text = f"{prelude()}KERNEL keep({heads}const int *failed, float *ring, int *at, int rows, int width) {{\n"
    text += "    float *row = ring + at[0] % rows * width;\n"
    text += "".join(f"    row[{number}] = l{number}[0];\n" for number in range(losses))
    return text + "    row[width - 1] = (float)failed[0];\n    at[0] += 1;\n}\n"
