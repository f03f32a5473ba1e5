"""How a GPU does softmax and the losses over classes: a team of threads for each line of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda, logical, recipe
from dltrain.ops.cuda.launch import BLOCK, View, view
from dltrain.ops.cuda.teams import team_for
from dltrain.ops.signature import Call

LEAST = float(np.finfo(np.float32).tiny)  # what softmax losses take for a probability of 0
CAFFE_LEAST = 1e-20  # what Caffe's losses over probabilities do
ONE, FOCAL, TABLE, SOFT = range(4)  # as kernels/softmax.cu has them


def lines(x: DeviceArray, axis: int) -> View:
    """Where the lines of x along an axis begin."""
    made = view(x, [*(other for other in range(x.ndim) if other != axis), axis])
    made.rank -= 1
    return made


def team_of(x: DeviceArray, axis: int) -> int:
    """Threads for a line: where its classes are not neighbours in memory, the lines are, and one thread does each."""
    return team_for(x.shape[axis]) if x.strides[axis] == 1 else 1


def over_lines(cuda: Cuda, kernel: str, x: DeviceArray, axis: int, *args: object, team: int | None = None) -> list[Kernel]:
    """A kernel with a team for each line of x; the number of lines and the size of a team come last."""
    team, count = team or team_of(x, axis), x.size // x.shape[axis]
    block = max(BLOCK, team)
    return [cuda.launch("softmax", kernel, max(1, -(-count * team // block)), *args, count, team, block=block)]


@recipe("softmax", "log_softmax", short="x y")
def softmax(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x, y), axis = logical(call, arrays, "x", "y"), call.args["axis"]
    numbers = (x.strides[axis], x.shape[axis], int(call.op.name.startswith("log")))
    return over_lines(cuda, "softmax", x, axis, x, y, lines(x, axis), *numbers)


@recipe("softmax_dx", "log_softmax_dx", short="y dy dx")
def softmax_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (y, dy, dx), axis = logical(call, arrays, "y", "dy", "dx"), call.args["axis"]
    numbers = (y.strides[axis], y.shape[axis], int(call.op.name.startswith("log")))
    return over_lines(cuda, "softmax_dx", y, axis, y, dy, dx, lines(y, axis), *numbers)


# --- losses over classes ---
def kind_of(call: Call) -> tuple[int, float, float]:
    """What is wanted of each class, its number (smoothing, or gamma), and what stands for a probability of 0."""
    args = call.args
    match call.op.name.removesuffix("_dx"):
        case "focal_loss":
            return FOCAL, args["gamma"], LEAST
        case "infogain_loss":
            return TABLE, 0.0, CAFFE_LEAST
        case "soft_label_loss":
            return SOFT, args["smoothing"], LEAST
    return ONE, args.get("smoothing", 0.0), LEAST


def wanted(call: Call, arrays: Arrays, cuda: Cuda) -> tuple[DeviceArray | None, View]:
    """The array that tells it, where the label does not do so alone: a target, or a row for each label."""
    if call.args.get("target") is not None:
        return arrays.logical(call.args["target"]), View()
    if call.args.get("matrix") is not None:
        matrix = arrays.logical(call.args["matrix"])
        return matrix, view(matrix)
    if call.args.get("table") is None:
        return None, View()
    table = cuda.constant(np.asarray(call.args["table"], np.float32).reshape(-1))
    return table, view(table)


class Places:
    """What all losses over classes know of the places of x: labels, weights, and how both lie."""

    def __init__(self, call: Call, arrays: Arrays, x: DeviceArray) -> None:
        self.axis = call.args["axis"]
        count, ignore = x.size // max(x.shape[self.axis], 1), call.args.get("ignore")
        self.label, self.weight, self.loss = (
            None if call.args.get(name) is None else arrays.logical(call.args[name]) for name in ("label", "weight", "loss")
        )
        alike = self.label if self.label is not None else self.loss
        per = 1 if self.weight is None else max(1, count // self.weight.size)
        views = [View() if array is None else view(array) for array in (alike, self.weight)]
        self.views = [lines(x, self.axis), *views]
        self.numbers = [per, x.strides[self.axis], x.shape[self.axis], int(ignore is not None), ignore or 0]


@recipe("softmax_loss", "smooth_softmax_loss", "soft_label_loss", "infogain_loss", "focal_loss", short="x target")
def class_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, prob = logical(call, arrays, "x", "prob")
    places, (target, table) = Places(call, arrays, x), wanted(call, arrays, cuda)
    given = (x, places.label, target, places.weight, prob, places.loss, *places.views, table, *places.numbers)
    return over_lines(cuda, "class_loss", x, places.axis, *given, *kind_of(call))


@recipe("softmax_loss_dx", "smooth_softmax_loss_dx", "soft_label_loss_dx", "infogain_loss_dx", "focal_loss_dx", short="target dx")
def class_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    prob, z, dy, dx = logical(call, arrays, "prob", "z", "dy", "dx")
    places, (target, table) = Places(call, arrays, prob), wanted(call, arrays, cuda)
    given = (prob, places.label, target, places.weight, z, dy, dx, *places.views, table, *places.numbers)
    return over_lines(cuda, "class_loss_dx", prob, places.axis, *given, *kind_of(call)[:2])


def choice(call: Call) -> tuple[object, ...]:
    """The numbers of their own that the losses without a softmax have."""
    if call.op.name.startswith("hinge"):
        return call.args["margin"], int(call.args["squared"])
    return int(call.args["logarithms"]), CAFFE_LEAST


@recipe("hinge_loss", "label_loss", short="x")
def score_loss(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    (x,) = logical(call, arrays, "x")
    places = Places(call, arrays, x)
    given = (x, places.label, places.weight, places.loss, *places.views, *places.numbers, *choice(call))
    return over_lines(cuda, call.op.name, x, places.axis, *given, team=1 if call.op.name == "label_loss" else None)


@recipe("hinge_loss_dx", "label_loss_dx", short="x dx")
def score_loss_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    x, z, dy, dx = logical(call, arrays, "x", "z", "dy", "dx")
    places = Places(call, arrays, x)
    given = (x, places.label, places.weight, z, dy, dx, *places.views, *places.numbers, *choice(call))
    return over_lines(cuda, call.op.name, x, places.axis, *given)
