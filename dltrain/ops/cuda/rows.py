"""How a GPU normalises rows, runs of each sample's own numbers (LayerNorm, GroupNorm, InstanceNorm, MVN)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.launch import BLOCK, View, view
from dltrain.ops.cuda.norms import Layout
from dltrain.ops.cuda.teams import WARP, power, team_for
from dltrain.ops.signature import Call

PLAIN, GROUPED, ANYWHERE = range(3)  # as kernels/rows.cu has them


class Rows:
    """x as `count` rows of `width`, and how they lie: in a row, as groups of channels of images, or anyhow."""

    def __init__(self, x: DeviceArray, mean: DeviceArray) -> None:
        self.x, self.views, count = x, (view(x), view(mean)), mean.size
        self.count, self.width = count, x.size // count
        self.groups = count // x.shape[0]
        channels, self.area = (x.shape[1], prod(x.shape[2:])) if x.ndim > 1 else (1, 1)
        self.channels = channels
        whole = count % x.shape[0] == 0 and channels % max(self.groups, 1) == 0
        self.way = PLAIN if x.is_plain else GROUPED if whole else ANYWHERE
        self.run = channels // self.groups if self.way == GROUPED else 1
        self.team = team_for(self.width)
        self.block = max(BLOCK, self.team)
        self.blocks = -(-count * self.team // self.block)

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.way, self.width, self.run, max(self.groups, 1), self.channels, self.area

    def scales(self, scale: DeviceArray | None, axis: int) -> tuple[int, int]:
        """(inner, scales): element number i of x has scale number i / inner % scales."""
        return (1, 0) if scale is None else (prod(self.x.shape[axis + scale.ndim :]) if scale.size > 1 else 1, scale.size)


@recipe("row_moments", short="x")
def row_moments(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, mean, variance = logical(call, arrays, "x", "mean", "variance")
    rows = Rows(x, mean)
    given = (x, mean, variance, *rows.views, *rows.numbers, rows.count, rows.team)
    return [cuda.launch("rows", "row_moments", rows.blocks, *given, block=rows.block)]


def over(call: Call, cuda: Cuda, rows: Rows, scale: DeviceArray | None, grid: tuple[int, int], *args: object) -> list[Kernel]:
    own = View() if scale is None else view(scale)
    outside = int(call.args["eps_on"] == "deviation")
    numbers = (*rows.numbers, *rows.scales(scale, call.args["axis"]), call.args["eps"], outside, rows.count, rows.team)
    return [cuda.launch("rows", call.op.name, grid, *args, *rows.views, own, *numbers, block=rows.block)]


@recipe("row_norm", short="x y")
def row_norm(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Few long rows are shared by several blocks."""
    x, mean, *others, y = logical(call, arrays, "x", "mean", "variance", "scale", "bias", "y")
    rows = Rows(x, mean)
    turns, wanted = -(-rows.width // (4 * rows.team)), -(-4 * cuda.driver.processors // rows.blocks)
    return over(call, cuda, rows, others[1], (rows.blocks, max(1, min(turns, wanted))), x, mean, *others, y)


@recipe("row_norm_dx", short="x dy dx")
def row_norm_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, mean, *others = logical(call, arrays, "x", "mean", "variance", "scale", "dy", "dx")
    rows = Rows(x, mean)
    return over(call, cuda, rows, others[1], (rows.blocks, 1), x, mean, *others)


def beside(call: Call) -> bool:
    """Where neighbours in memory have neighbouring scales: the last axes of a row, or the channels of an image."""
    x, scale = (call.args[name] for name in ("x", "dscale"))
    scale = call.args["dbias"] if scale is None else scale
    if len(x.shape) == 4:
        return (
            call.args["axis"] == 1 and len(scale.shape) == 1 and x.shape[1] % (call.args["mean"].shape.count // x.shape[0]) == 0
        )
    width = x.shape.count // call.args["mean"].shape.count
    return call.args["axis"] + len(scale.shape) == len(x.shape) and scale.shape.count == width and len(scale.shape) != 4


@recipe("row_norm_dw", fits=beside, short="x dy")
def row_norm_dw_beside(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, mean, variance, dy, dscale, dbias = logical(call, arrays, "x", "mean", "variance", "dy", "dscale", "dbias")
    rows, scales = Rows(x, mean), (dbias if dscale is None else dscale).size
    of = Layout(x.size // scales, scales, 1)
    chunk, chunks = of.chunk(cuda.driver.processors)
    parts = cuda.scratch(chunks, 2, scales)
    numbers = (rows.groups, rows.run, rows.area) if rows.way == GROUPED else (1, scales, 1)
    given = (x, mean, variance, dy, parts, rows.views[1], scales, *numbers, call.args["eps"], chunk, of.rows)
    return [
        cuda.launch("rows", "chunk_dw", (of.columns, chunks), *given, block=of.block),
        cuda.launch(
            "norms", "join_sums", of.columns, parts, None, dscale, dbias, None, None, scales, chunks, 0.0, block=of.block
        ),
    ]


@recipe("row_norm_dw", short="x dy")
def row_norm_dw(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, mean, variance, dy, dscale, dbias = logical(call, arrays, "x", "mean", "variance", "dy", "dscale", "dbias")
    rows, scale = Rows(x, mean), dbias if dscale is None else dscale
    inner, scales = rows.scales(scale, call.args["axis"])
    count = x.size // scales
    numbers = (*rows.views, view(scale), rows.width, inner, scales, call.args["eps"], count)
    block = max(WARP, min(BLOCK, power(count)))
    return [cuda.launch("rows", "row_norm_dw", scales, x, mean, variance, dy, dscale, dbias, *numbers, block=block)]
