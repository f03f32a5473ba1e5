"""How a GPU convolves each channel by itself: no products of matrices there, a thread a place and channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.dense import column_sums, join
from dltrain.ops.cuda.launch import launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import MOST_PARTS, Finish, finishing
from dltrain.ops.signature import Call
from dltrain.ops.window import Window

MOST_TAPS = 49  # that a thread sums for their weights, each in a register


def alone(call: Call) -> bool:
    """Each output sees one channel, and there are several."""
    window, args = call.args["window"], call.args
    image: Any = args.get("x") or args.get("dx")
    return len(window.kernel) == 2 and 1 < window.group == image.shape[1] and bool(window.area <= MOST_TAPS)


def text(window: Window, finish: Finish | None = None) -> str:
    taps = f"#define HIGH {window.kernel[0]}\n#define LONG {window.kernel[1]}\n"
    return text_of("depthwise", taps + (finishing(*finish) if finish else ""))


def numbers(x: DeviceArray, y: DeviceArray, window: Window) -> list[int]:
    many = y.sizes[3] // x.sizes[3]
    return [*x.sizes[1:3], y.sizes[3], many, *y.sizes[1:3], *window.stride, *window.pad, *window.steps]


@recipe("conv", "conv_elementwise", fits=alone, short="x w y")
def conv(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, w, b, y), window = memory(call, arrays, "x", "w", "b", "y"), call.args["window"]
    finish = (call.args["formula"], call.args["constants"]) if "formula" in call.args else None
    return [cuda.each("", "depthwise", y.size, x, w, b, y, *numbers(x, y, window), text=text(window, finish))]


@recipe("conv_dx", fits=alone, short="w dy dx")
def conv_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (w, dy, dx), window = memory(call, arrays, "w", "dy", "dx"), call.args["window"]
    return [cuda.each("", "depthwise_dx", dx.size, w, dy, dx, *numbers(dx, dy, window), text=text(window))]


@recipe("conv_dw", fits=alone, short="x dy")
def conv_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, dy, dw, db), window = memory(call, arrays, "x", "dy", "dw", "db"), call.args["window"]
    if dw is None:
        return column_sums(cuda, dy.reshape(-1, dy.sizes[-1]), db)
    places, outs = dy.size // dy.sizes[3], dy.sizes[3]
    strips = -(-outs // 32)
    count = max(1, min(4 * cuda.driver.processors // strips, -(-places // 64), MOST_PARTS))
    parts = cuda.scratch(count, dw.size + (0 if db is None else outs))
    args = [x, dy, parts, places, *numbers(x, dy, window), int(db is not None)]
    made = launch(cuda.driver, text(window), "depthwise_dw", (strips, count), args, (32, 8))
    return [made, join(cuda, parts, dw, add=True, totals=db)]
