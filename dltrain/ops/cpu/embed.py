"""How the CPU looks rows up in a table, and adds to them: a worker its own samples forward, its own columns of the table back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Work
from dltrain.ops.cpu import rows
from dltrain.ops.cpu.backend import LINE, Cpu, recipe
from dltrain.ops.reference.embed import hold_inside
from dltrain.ops.signature import Call


@recipe("embed", "x y")
def embed(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    x, y = (arrays.logical(call.args[name]) for name in ("x", "y"))
    w, b = arrays.memory(call.args["w"]), None if call.args["b"] is None else arrays.memory(call.args["b"])

    def run(low: int, high: int) -> None:
        hold_inside(x, len(w), call.args["name"])
        found = w[x[low:high]]
        np.copyto(y[low:high], found) if b is None else np.add(found, b, out=y[low:high])

    return Work([partial(run, low, high) for _, low, high in cpu.spans(len(x))])


@recipe("embed_dw")
def embed_dw(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    """Rows are added in the order of their places, whoever does it."""
    x, dy = (arrays.logical(call.args[name]) for name in ("x", "dy"))
    dw, db = (None if call.args[name] is None else arrays.memory(call.args[name]) for name in ("dw", "db"))

    def run(low: int, high: int) -> None:
        made: Any = np.ascontiguousarray(dy).reshape(-1, dy.shape[-1])
        if dw is not None:
            rows.add_rows(np.ascontiguousarray(x).reshape(-1), made[:, low:high], dw[:, low:high])
        if db is not None:
            db[low:high] += made[:, low:high].sum(axis=0)

    return Work([partial(run, low, high) for _, low, high in cpu.spans(dy.shape[-1], LINE) if low < high])
