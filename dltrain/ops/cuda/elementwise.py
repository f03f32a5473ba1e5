"""How a GPU does what happens to each element by itself: texts made for as many arrays as there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe, tensors
from dltrain.ops.cuda.formulas import elementwise_text, mapping, prelude
from dltrain.ops.formula import Formula
from dltrain.ops.signature import Call


@cache
def over(arrays: int, body: str, more: str = "", fours: bool = False) -> str:
    """map(x0, …, y, more…, count) with `body` for each element i."""
    return f"{prelude()}{mapping(arrays, body, [more] if more else [], fours)}"


def mapped(call: Call, arrays: Arrays, cuda: Cuda, body: str, more: str = "", *values: object, out: str = "y") -> list[Kernel]:
    """`more` are numbers, or else there are other arrays, which go one by one."""
    (y,) = memory(call, arrays, out)
    return [each(cuda, body, [arrays.memory(tensor) for tensor in tensors(call, "xs")], y, more, *values)]


def each(cuda: Cuda, body: str, xs: Sequence[DeviceArray], y: DeviceArray, more: str = "", *values: object) -> Kernel:
    """`body` for each element of y, four at a time where that is possible."""
    fours = "*" not in more and all(array.in_fours for array in (*xs, y))
    return cuda.each("", "map", y.size // (4 if fours else 1), *xs, y, *values, text=over(len(xs), body, more, fours))


@recipe("elementwise", short="xs y")
def elementwise(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    xs, (y,) = [arrays.memory(tensor) for tensor in call.args["xs"]], memory(call, arrays, "y")
    return finished(cuda, call.args["formula"], call.args["constants"], xs, y)


def finished(cuda: Cuda, formula: Formula, constants: Sequence[float], xs: Sequence[DeviceArray], y: DeviceArray) -> list[Kernel]:
    """y = formula(xs…, constants…), element by element"""
    fours = all(array.in_fours for array in (*xs, y))
    text = elementwise_text(formula, len(xs), fours)
    return [cuda.each("", "map", y.size // (4 if fours else 1), *xs, y, *constants, text=text)]


@recipe("weighted_sum", short="xs y")
def weighted_sum(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    weights = call.args["weights"]
    terms = " + ".join(f"x{number}[i] * w{number}" for number in range(len(weights)))
    return mapped(
        call, arrays, cuda, f"y[i] = {terms};", ", ".join(f"float w{number}" for number in range(len(weights))), *weights
    )


@recipe("product", short="xs y")
def product(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return mapped(call, arrays, cuda, f"y[i] = {' * '.join(f'x{number}[i]' for number in range(len(call.args['xs'])))};")


@recipe("product_dx", short="xs dy dx")
def product_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (dy,) = memory(call, arrays, "dy")
    others = [f" * x{number}[i]" for number in range(len(call.args["xs"])) if number != call.args["index"]]
    return mapped(call, arrays, cuda, f"y[i] = dy[i]{''.join(others)};", "const real *dy", dy, out="dx")


@recipe("maximum", "minimum", short="xs y")
def extreme(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Between the first two the second wins a tie; later ones must be better."""
    sign = ">" if call.op.name == "maximum" else "<"
    (winner,) = memory(call, arrays, "winner")
    lines = [f"float best = x0[i] {sign} x1[i] ? x0[i] : x1[i]; int who = x0[i] {sign} x1[i] ? 0 : 1;"]
    lines += [f"if (x{n}[i] {sign} best) {{ best = x{n}[i]; who = {n}; }}" for n in range(2, len(call.args["xs"]))]
    return mapped(call, arrays, cuda, " ".join([*lines, "y[i] = best; winner[i] = who;"]), "int *winner", winner)


@recipe("maximum_dx", short="dy dx")
def maximum_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    dy, winner, dx = memory(call, arrays, "dy", "winner", "dx")
    return [cuda.each("elementwise", "maximum_dx", dx.size, dy, winner, dx, call.args["index"])]


@recipe("add_into", short="x y")
def add_into(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return [added(cuda, *memory(call, arrays, "x", "y"))]


def added(cuda: Cuda, x: DeviceArray, y: DeviceArray) -> Kernel:
    """y += x"""
    return each(cuda, "y[i] = x0[i] + x1[i];", [y, x], y)


@recipe("copy", short="x y")
def copy(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, y = memory(call, arrays, "x", "y")
    if x.dtype != y.dtype:
        return [cast(cuda, x, y)]

    def run() -> None:
        cuda.driver.copy(y.address, x.address, y.nbytes)

    return [run]


def cast(cuda: Cuda, x: DeviceArray, y: DeviceArray) -> Kernel:
    """y = x, of another type of real numbers, in the order of the memory"""
    return each(cuda, "y[i] = (float)x0[i];", [x], y)


def of_type(cuda: Cuda, x: DeviceArray, dtype: Any) -> tuple[list[Kernel], DeviceArray]:
    """x as numbers of a type: itself, or a copy in scratch memory and what makes it."""
    if x.dtype == dtype:
        return [], x
    flat = cuda.scratch(x.size, dtype=dtype)
    made = DeviceArray(x.driver, flat.address, x.sizes, dtype, flat.owner, x.axes)
    return [cast(cuda, x, made)], made


@recipe("fill", short="y")
def fill(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (y,) = memory(call, arrays, "y")
    return [cuda.each("elementwise", "fill", y.size, y, call.args["value"])]
