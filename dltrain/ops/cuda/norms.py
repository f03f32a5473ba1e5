"""How a GPU normalises channels (BatchNorm): sums by chunks of rows, joined in double precision; then each element by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.launch import launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import Finish, finishing
from dltrain.ops.signature import Call
from dltrain.tensor import Shape

LANES = 256  # threads of a block
WIDE = 32  # channels of a block, at most
AHEAD = 8  # rows that a thread reads at once


class Layout(NamedTuple):
    """x as rows of channels: `plane` rows lie together where the channels are not innermost (1: they are)."""

    rows: int
    channels: int
    plane: int

    @property
    def block(self) -> tuple[int, int]:
        """Threads beside each other for channels, and below each other for rows; as neighbours in memory."""
        wide = 1 if self.plane > 1 else min(WIDE, 1 << (self.channels - 1).bit_length())
        return wide, LANES // wide

    @property
    def columns(self) -> int:
        """Blocks beside each other."""
        return -(-self.channels // self.block[0])

    def chunk(self, processors: int) -> tuple[int, int]:
        """Rows that a block sums, and how many blocks that makes: enough for the device, none with too little to do."""
        wanted = max(1, -(-4 * processors // self.columns))
        rows = max(AHEAD * self.block[1], -(-self.rows // wanted))
        return rows, max(1, -(-self.rows // rows))

    def grid(self, processors: int) -> tuple[int, int]:
        """Blocks whose threads take some rows each."""
        turns = 16
        while turns > 1 and self.columns * -(-self.rows // (turns * self.block[1])) < 4 * processors:
            turns //= 2
        return self.columns, min(65535, max(1, -(-self.rows // (turns * self.block[1]))))


def layout(x: Shape) -> Layout:
    return Layout(x.count // max(x[1], 1), x[1], 1 if len(x) in (2, 4) else prod(x[2:]))


@recipe("channel_moments", short="x")
def channel_moments(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, mean, variance), of = memory(call, arrays, "x", "mean", "variance"), layout(call.args["x"].shape)
    chunk, chunks = of.chunk(cuda.driver.processors)
    parts = cuda.scratch(chunks, 2, of.channels)
    return [
        cuda.launch("norms", "chunk_moments", (of.columns, chunks), x, parts, *of, chunk, block=of.block),
        cuda.launch("norms", "join_moments", of.columns, parts, mean, variance, *of[:2], chunk, chunks, block=of.block),
    ]


@recipe("channel_norm_dw", short="x dy")
def channel_norm_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, dy, mean, variance = memory(call, arrays, "x", "dy", "mean", "variance")
    outs, of = memory(call, arrays, "dscale", "dbias", "total", "along"), layout(call.args["x"].shape)
    chunk, chunks = of.chunk(cuda.driver.processors)
    parts, eps = cuda.scratch(chunks, 2, of.channels), call.args["eps"]
    return [
        cuda.launch("norms", "chunk_sums", (of.columns, chunks), x, dy, mean, parts, *of, chunk, block=of.block),
        cuda.launch("norms", "join_sums", of.columns, parts, variance, *outs, of.channels, chunks, eps, block=of.block),
    ]


@recipe("channel_norm_dx", short="x dy dx")
def channel_norm_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    given = memory(call, arrays, "x", "mean", "variance", "scale", "dy", "total", "along", "dx")
    of, eps = layout(call.args["x"].shape), call.args["eps"]
    return [cuda.launch("norms", "channel_norm_dx", of.grid(cuda.driver.processors), *given, *of, eps, block=of.block)]


def normalised(call: Call, arrays: Arrays, cuda: Cuda, finish: Finish | None) -> list[Kernel]:
    given, of = memory(call, arrays, "x", "mean", "variance", "scale", "bias"), layout(call.args["x"].shape)
    (y,), other = memory(call, arrays, "y"), call.args.get("other")
    args = (*given, None if other is None else arrays.memory(other), y, *of, call.args["eps"])
    text = text_of("normalise", "" if finish is None else finishing(*finish))
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
