"""How a GPU does the losses that are a formula over elements: a text made for what is given and what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.formulas import function, prelude
from dltrain.ops.cuda.launch import View, view
from dltrain.ops.formula import Formula
from dltrain.ops.signature import Call

ONE, SAME, OTHER = "one", "same", "other"  # how an array is indexed: its only number, as the first, or in its own layout


@cache
def text(
    formula: Formula, xs: tuple[tuple[str, str], ...], weight: str, outs: tuple[str, ...], slope: bool, ignores: bool
) -> str:
    """point(x…, weight, (z, dy,) out…, view of each, constants…, per, ignore, count):  out = weight formula(x…) (dy / z)

    xs: (real or int, index) of each; outs: the index of each, or "" where it is not wanted.
    """

    def at(kind: str, view: str) -> str:
        return {ONE: "0", SAME: "i", OTHER: f"place({view}, i)"}[kind]

    constants = [f"c{number}" for number in range(len(formula.arguments) - len(xs))]
    made = [f"r{number}" for number in range(len(formula.results))]
    heads = [f"const {kind} *x{number}" for number, (kind, _) in enumerate(xs)]
    heads += ["const float *weight", *(["const float *z", "const float *dy"] if slope else [])]
    heads += [f"real *o{number}" for number in range(len(outs))]
    heads += [f"View vx{number}" for number in range(len(xs))] + ["View vw"] + [f"View vo{number}" for number in range(len(outs))]
    heads += [*(f"float {name}" for name in constants), "int per", "int ignore", "int count"]
    lines = [f"float a{number} = (float)x{number}[{at(index, f'vx{number}')}];" for number, (_, index) in enumerate(xs)]
    own = "weight[i / per]" if weight == ONE else f"weight[{at(weight, 'vw')}]"
    lines.append(f"float w = weight ? {own} : 1.0f, {', '.join(made)};")
    if ignores:
        lines.append("if (a1 == (float)ignore) w = 0.0f;")
    lines.append(f"formula({', '.join([*(f'a{number}' for number in range(len(xs))), *constants, *made])});")
    for number, index in enumerate(outs):
        if index:
            value = f"(w != 0.0f ? r{number} * w : 0.0f){' * rate' if slope else ''}"
            lines.append(f"o{number}[{at(index, f'vo{number}')}] = {value};")
    rate = "    float rate = z[0] != 0.0f ? dy[0] / z[0] : dy[0] * 0.0f;\n" if slope else ""
    body = "".join(f"        {line}\n" for line in lines)
    return f"{prelude()}{function(formula)}KERNEL point({', '.join(heads)}) {{\n{rate}    EACH(i, count) {{\n{body}    }}\n}}\n"


def point(call: Call, arrays: Arrays, cuda: Cuda, outs: list[DeviceArray | None], slope: tuple[DeviceArray, ...]) -> list[Kernel]:
    xs, (weight,) = [arrays.logical(tensor) for tensor in call.args["xs"]], logical(call, arrays, "weight")
    first, ignore = xs[0], call.args["ignore"]
    alike = all(array is None or array.size != first.size or array.shape == first.shape for array in (*xs, *outs, weight))

    def index(array: DeviceArray | None) -> str:
        if array is None:
            return ""
        return ONE if array.size != first.size else SAME if alike else OTHER

    kinds = tuple(("int" if x.dtype == np.int32 else "real", index(x)) for x in xs)
    made = text(call.args["formula"], kinds, index(weight) or SAME, tuple(map(index, outs)), bool(slope), ignore is not None)
    views = [View() if array is None or alike else view(array) for array in (*xs, weight, *outs)]
    numbers = (*call.args["constants"], 1 if weight is None else max(1, first.size // weight.size), ignore or 0)
    return [cuda.each("", "point", first.size, *xs, weight, *slope, *outs, *views, *numbers, text=made)]


@recipe("pointwise_loss", short="xs")
def pointwise_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return point(call, arrays, cuda, logical(call, arrays, "loss"), ())


@recipe("pointwise_loss_dx", short="xs da db dc")
def pointwise_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    z, dy, *outs = logical(call, arrays, "z", "dy", "da", "db", "dc")
    return point(call, arrays, cuda, outs[: len(call.args["formula"].results)], (z, dy))
