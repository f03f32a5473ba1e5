"""How a GPU normalises channels (BatchNorm): sums by chunks of rows, joined in double precision; then each element by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.launch import Launch, launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import Finish, at_once, finishing
from dltrain.ops.signature import Call
from dltrain.tensor import Shape

LANES = 256  # threads of a block
WIDE = 32  # threads beside each other, at most
AHEAD = 8  # rows that a thread reads at once


class Layout(NamedTuple):
    """x as rows of channels: `plane` rows lie together where the channels are not innermost (1: they are).

    A thread has `beside` neighbouring channels: 1 or 4.
    """

    rows: int
    channels: int
    plane: int
    beside: int = 1

    @property
    def head(self) -> str:
        """What the text of a kernel that runs so begins with."""
        return "" if self.beside == 1 else f"#define BESIDE {self.beside}\n"

    @property
    def groups(self) -> int:
        """Of channels, one a thread."""
        return self.channels // self.beside

    @property
    def block(self) -> tuple[int, int]:
        """Threads beside each other for channels, and below each other for rows; as neighbours in memory."""
        wide = 1 if self.plane > 1 else min(WIDE, 1 << (self.groups - 1).bit_length())
        return wide, LANES // wide

    @property
    def columns(self) -> int:
        """Blocks beside each other."""
        return -(-self.groups // self.block[0])

    def chunk(self, processors: int) -> tuple[int, int]:
        """Rows that a block sums, and how many blocks that makes: enough for the device, none with too little to do."""
        wanted = max(1, -(-4 * processors // self.columns))
        turn = AHEAD * self.block[1]
        rows = max(turn, -(-self.rows // wanted))
        if self.beside > 1:  # only whole turns are read ahead
            rows = -(-rows // turn) * turn
        return rows, max(1, -(-self.rows // rows))

    def grid(self, processors: int) -> tuple[int, int]:
        """Blocks whose threads take some rows each."""
        turns = 16
        while turns > 1 and self.columns * -(-self.rows // (turns * self.block[1])) < 4 * processors:
            turns //= 2
        return self.columns, min(65535, max(1, -(-self.rows // (turns * self.block[1]))))


def layout(x: Shape, *arrays: DeviceArray | None) -> Layout:
    """How `arrays` of the shape of x lie: all of them are read four channels at once, or none."""
    plane = 1 if len(x) in (2, 4) else prod(x[2:])
    beside = 1 if plane > 1 else min(at_once(array, x[1]) for array in arrays if array is not None)
    return Layout(x.count // max(x[1], 1), x[1], plane, beside)


def in_parts(cuda: Cuda, of: Layout, name: str, chunks: int, *args: object) -> Launch:
    """A kernel that sums the rows of a chunk."""
    return launch(cuda.driver, text_of("norms", of.head), name, (of.columns, chunks), args, of.block)


def joined(cuda: Cuda, of: Layout, name: str, *args: object) -> Launch:
    """A kernel that joins such sums: one channel a thread."""
    one = of._replace(beside=1)
    return launch(cuda.driver, text_of("norms", of.head), name, one.columns, args, one.block)


@recipe("channel_moments", short="x")
def channel_moments(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, mean, variance = memory(call, arrays, "x", "mean", "variance")
    of = layout(call.args["x"].shape, x)
    chunk, chunks = of.chunk(cuda.driver.processors)
    parts = cuda.scratch(chunks, 2, of.channels)
    return [
        in_parts(cuda, of, "chunk_moments", chunks, x, parts, *of[:3], chunk),
        joined(cuda, of, "join_moments", parts, mean, variance, *of[:2], chunk, chunks),
    ]


@recipe("channel_norm_dw", short="x dy")
def channel_norm_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, mean, variance = memory(call, arrays, "x", "dy", "mean", "variance")
    outs, of = memory(call, arrays, "dscale", "dbias", "total", "along"), layout(call.args["x"].shape, x, dy)
    chunk, chunks = of.chunk(cuda.driver.processors)
    parts, eps = cuda.scratch(chunks, 2, of.channels), call.args["eps"]
    return [
        in_parts(cuda, of, "chunk_sums", chunks, x, dy, mean, parts, *of[:3], chunk),
        joined(cuda, of, "join_sums", parts, variance, *outs, of.channels, chunks, eps),
    ]


@recipe("channel_norm_dx", short="x dy dx")
def channel_norm_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "x", "mean", "variance", "scale", "dy", "total", "along", "dx")
    of = layout(call.args["x"].shape, *memory(call, arrays, "x", "dy", "dx"))
    args, text = (*given, *of[:3], call.args["eps"]), text_of("norms", of.head)
    return [launch(cuda.driver, text, "channel_norm_dx", of.grid(cuda.driver.processors), args, of.block)]


def normalised(call: Call, arrays: Arrays, cuda: Cuda, finish: Finish | None) -> list[Kernel]:
    x, *given, y = memory(call, arrays, "x", "mean", "variance", "scale", "bias", "y")
    other = None if call.args.get("other") is None else arrays.memory(call.args["other"])
    of = layout(call.args["x"].shape, x, other, y)
    args = (x, *given, other, y, *of[:3], call.args["eps"])
    text = text_of("normalise", of.head + ("" if finish is None else finishing(*finish)))
    return [launch(cuda.driver, text, "channel_norm", of.grid(cuda.driver.processors), args, of.block)]


@recipe("channel_norm", short="x y")
def channel_norm(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return normalised(call, arrays, cuda, None)


@recipe("channel_norm_elementwise", short="x other y")
def channel_norm_elementwise(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    return normalised(call, arrays, cuda, (call.args["formula"], call.args["constants"]))


# --- what is kept of batches ---
@recipe("keep_moments")
def keep_moments(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "mean", "variance", "kept_mean", "kept_variance", "factor")
    count, fraction = call.args["count"], call.args["fraction"]
    return [cuda.each("norms", "keep_moments", given[0].size, *given, fraction, count / (count - 1) if count > 1 else 1.0)]


@recipe("kept_moments")
def kept_moments(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "kept_mean", "kept_variance", "factor", "mean", "variance")
    return [cuda.each("norms", "kept_moments", given[0].size, *given)]
