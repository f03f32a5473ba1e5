"""How a GPU counts what metrics are made of: a bin for each place first, then the sum of each bin, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, memory, recipe
from dltrain.ops.cuda.launch import View, view
from dltrain.ops.cuda.moves import along, seen
from dltrain.ops.signature import Call

NOTHING = -(2**31)  # a label that is never ignored
AT_ONCE = 256  # places that a block counts


class Scores:
    """x along its classes: the places it has otherwise, with what each weighs."""

    def __init__(self, call: Call, arrays: Arrays) -> None:
        self.x, self.label, self.weight = logical(call, arrays, "x", "label", "weight")
        axis = call.args["axis"]
        rest = [each for each in range(self.x.ndim) if each != axis]
        self.lines, self.line, self.classes = along(self.x, rest), along(self.x, [axis]), self.x.shape[axis]
        self.sizes = tuple(self.x.shape[each] for each in rest)
        self.ignore = NOTHING if call.args["ignore"] is None else call.args["ignore"]
        self.count = self.x.size // self.classes
        self.given = (self.label, self.weight, view(self.label), self.weights, self.ignore)

    @property
    def weights(self) -> View:
        """The weight in the shape of the label: a weight a sample is for all its places."""
        return spread(self.weight, self.label.shape)


def spread(weight: DeviceArray | None, shape: tuple[int, ...]) -> View:
    """A weight of fewer axes than the shape, seen in the shape."""
    steps = () if weight is None else weight.strides
    return seen(shape, [*steps, *[0] * (len(shape) - len(steps))])


def counted(cuda: Cuda, bins: DeviceArray, weights: DeviceArray, sums: Any, count: int) -> list[Kernel]:
    """sums[b] = the sum of the weights of the places in bin b; a bin below 0 is none"""
    parts = max(1, min(-(-count // AT_ONCE), 1024))
    made, size = cuda.scratch(parts, sums.size, dtype="float64"), sums.size
    return [
        cuda.launch("metrics", "count_parts", (-(-size // 256), parts), bins, weights, made, count, size, -(-count // parts)),
        cuda.each("metrics", "count_joined", size, made, sums, parts, size),
    ]


@recipe("hits", short="x")
def hits(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    s, (hit,) = Scores(call, arrays), logical(call, arrays, "hit")
    top = call.args["top_k"]
    return [cuda.each("metrics", "hits", s.count, s.x, *s.given, hit, s.lines, s.line, view(hit), s.classes, top)]


@recipe("confusion", short="x")
def confusion(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    s, (sums,) = Scores(call, arrays), memory(call, arrays, "sums")
    bins, weights = cuda.scratch(s.count, dtype="int32"), cuda.scratch(s.count)
    told = cuda.each("metrics", "confusion", s.count, s.x, *s.given, bins, weights, s.lines, s.line, s.classes)
    return [told, *counted(cuda, bins, weights, sums, s.count)]


@recipe("class_means")
def class_means(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    values, label, weight = logical(call, arrays, "values", "label", "weight")
    (y,) = memory(call, arrays, "y")
    ignore = NOTHING if call.args["ignore"] is None else call.args["ignore"]
    bins, weights, kept = cuda.scratch(label.size, dtype="int32"), cuda.scratch(label.size), cuda.scratch(label.size)
    total, whole = (cuda.scratch(y.size, dtype="float64") for _ in range(2))
    told = cuda.each("metrics", "by_class", label.size, values, label, weight, view(values), view(label),
                     spread(weight, label.shape), ignore, bins, kept, weights)  # fmt: skip
    sums = [*counted(cuda, bins, kept, total, label.size), *counted(cuda, bins, weights, whole, label.size)]
    return [told, *sums, cuda.each("metrics", "divide", y.size, total, whole, y)]


@recipe("class_counts", short="x")
def class_counts(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    """Right, predicted and true of a class are three bins beside one another, each counted by itself."""
    s, (sums,), args = Scores(call, arrays), memory(call, arrays, "sums"), call.args
    many = args["threshold"] is not None
    count = s.x.size if many else s.count
    folded = sums.size < 3 * s.classes
    chosen = -2 if not folded else -1 if args["chosen"] is None else args["chosen"]
    made: list[Kernel] = []
    found = cuda.scratch(3, sums.size, dtype="float64")
    for which in range(3):
        bins, weights = cuda.scratch(count, dtype="int32"), cuda.scratch(count)
        if many:
            wide = spread(s.weight, s.x.shape) if s.weight is None or s.weight.size != s.x.size else view(s.weight)
            of_class = seen(s.x.shape, [int(axis == args["axis"]) for axis in range(s.x.ndim)])
            made.append(cuda.each("metrics", "exceeding", count, s.x, s.label, s.weight, view(s.x), view(s.label), wide, of_class,
                                  s.ignore, args["threshold"], which, chosen, bins, weights))  # fmt: skip
        else:
            made.append(cuda.each("metrics", "best_counts", count, s.x, *s.given, bins, weights, s.lines, s.line, s.classes,
                                  which, chosen))  # fmt: skip
        made += counted(cuda, bins, weights, row(found, which), count)
    return [*made, cuda.each("metrics", "add_three", sums.size, found, sums, sums.size)]


def row(table: DeviceArray, number: int) -> DeviceArray:
    width = table.shape[1]
    return DeviceArray(table.driver, table.address + table.dtype.itemsize * width * number, (width,), table.dtype, table.owner)


@recipe("score_histogram", short="x")
def score_histogram(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, label, weight = logical(call, arrays, "x", "label", "weight")
    (sums,), ignore = memory(call, arrays, "sums"), NOTHING if call.args["ignore"] is None else call.args["ignore"]
    pair = x.size != label.size
    shape = (x.shape[0], *x.shape[2:]) if pair else x.shape
    lines = seen(shape, [x.strides[0], *x.strides[2:]] if pair else x.strides)
    wide = view(weight) if weight is not None and weight.size == label.size else spread(weight, shape)
    bins, weights = cuda.scratch(label.size, dtype="int32"), cuda.scratch(label.size)
    told = cuda.each("metrics", "score_bins", label.size, x, label, weight, lines, view(label), wide, ignore,
                     x.strides[1] if pair else 0, int(call.args["squash"]), sums.size // 2, bins, weights)  # fmt: skip
    return [told, *counted(cuda, bins, weights, sums, label.size)]
