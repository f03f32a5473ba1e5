"""How the CPU does the update: one pass over the flat arrays, each worker its own stretch of them."""

from __future__ import annotations

from functools import partial

import numpy as np

from dltrain.ops.backend import Arrays, Work
from dltrain.ops.cpu import rows
from dltrain.ops.cpu.backend import LINE, Cpu, recipe
from dltrain.ops.cpu.formulas import per_segment, update_kernel
from dltrain.ops.reference.update import clipped
from dltrain.ops.signature import Call


@recipe("sum_of_squares")
def sum_of_squares(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    g, norm = arrays.memory(call.args["g"]), arrays.memory(call.args["norm"])
    parts = np.zeros(cpu.workers)

    def run(worker: int, low: int, high: int) -> None:
        parts[worker] = rows.square_sum(g[low:high])

    def join() -> None:
        norm[0] = sum(parts.tolist())

    return Work([partial(run, *span) for span in cpu.spans(len(g), LINE)], [join])


@recipe("update")
def update(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """The kernel is made from the formula; what it needs of each segment is computed before it, once a worker."""
    args = call.args
    w, g, norm, failed = (arrays.memory(args[name]) for name in ("w", "g", "norm", "failed"))
    slots, rates, hyper, losses = (
        [arrays.memory(tensor) for tensor in args[name]] for name in ("slots", "rates", "hyper", "losses")
    )
    norms = None if args.get("norms") is None else arrays.memory(args["norms"])
    formula, stage = args["formula"], args.get("stage", "whole")
    kernel, wanted = update_kernel(formula, len(slots), stage), per_segment(formula)
    starts, stops = (np.ascontiguousarray(args["segments"][:, column], np.int64) for column in (0, 1))
    lr_mult, decay_mult = (args["segments"][:, column] for column in (2, 3))
    l1, clip, size = args["l1"], args["clip"], args["iter_size"]

    def run(low: int, high: int) -> None:
        if failed[0] or not (np.isfinite(norm[0]) and all(np.isfinite(loss[0]) for loss in losses)):
            failed[0] = 1
            return
        scale = np.float32(1.0 if stage == "second" else clipped(norm[0], clip, size))
        lrs, decays = (
            (float(rate[0]) * mult).astype(np.float32) for rate, mult in zip(rates, (lr_mult, decay_mult), strict=True)
        )
        known = {"decay_mult": decay_mult.astype(np.float32)}
        if norms is not None:
            known |= {"w_norm": np.sqrt(norms[0]).astype(np.float32), "g_norm": scale * np.sqrt(norms[1]).astype(np.float32)}
        more = [known[name] for name in wanted]
        kernel(w, g, *slots, low, high, starts, stops, lrs, decays, l1, scale, *more, *(h[0] for h in hyper))

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(w), LINE)])
