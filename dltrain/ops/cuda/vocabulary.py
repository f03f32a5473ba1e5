"""How a GPU does the softmax over many classes: a block for each sample; gradients of weights gathered, class by class."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.ops.backend import Arrays, Kernel
from dltrain.ops.cuda.backend import Cuda, memory, recipe
from dltrain.ops.cuda.metrics import NOTHING
from dltrain.ops.signature import Call

THREADS = 128


def ignored(call: Call) -> int:
    return NOTHING if call.args["ignore"] is None else int(call.args["ignore"])


@recipe("sampled_softmax_loss", short="x")
def sampled(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    names = ("x", "label", "w", "b", "weight", "drawn", "prob", "loss")
    x, label, w, b, weight, drawn, prob, loss = memory(call, arrays, *names)
    sizes = (x.shape[1], drawn.size, w.shape[0], int(call.args["log_uniform"]), ignored(call))
    return [cuda.launch("vocabulary", "sampled", len(x), x, label, w, b, weight, drawn, prob, loss, *sizes, block=THREADS)]


@recipe("sampled_softmax_loss_dx", short="x dx")
def sampled_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    names = ("x", "label", "w", "weight", "drawn", "prob", "z", "dy", "dx", "dw", "db")
    x, label, w, weight, drawn, prob, z, dy, dx, dw, db = memory(call, arrays, *names)
    g, own = cuda.scratch(len(x), drawn.size + 1), cuda.scratch(len(x), dtype="int32")
    slopes = (prob, label, weight, z, dy, g, own, drawn.size + 1, ignored(call))
    made: list[Kernel] = [cuda.each("vocabulary", "sampled_slope", g.size, *slopes)]
    sizes = (len(x), x.shape[1], drawn.size)
    if dx is not None:
        made.append(cuda.each("vocabulary", "sampled_dx", dx.size, g, own, w, drawn, dx, *sizes))
    if dw is not None:
        made.append(cuda.each("vocabulary", "sampled_dw", dw.size, g, own, x, drawn, dw, *sizes))
    if db is not None:
        made.append(cuda.each("vocabulary", "sampled_db", db.size, g, own, drawn, db, *sizes))
    return made


@recipe("hierarchical_softmax_loss", short="x")
def hierarchical(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    names = ("x", "label", "wg", "bg", "w", "b", "weight", "group", "prob", "loss")
    given = memory(call, arrays, *names)
    x, wg, w = given[0], given[2], given[4]
    sizes = (x.shape[1], len(wg), call.args["size"], len(w), ignored(call))
    return [cuda.launch("vocabulary", "hierarchical", len(x), *given, *sizes, block=THREADS)]


@recipe("hierarchical_softmax_loss_dx", short="x dx")
def hierarchical_dx(call: Call, arrays: Arrays, cuda: Cuda) -> Sequence[Kernel]:
    names = ("x", "label", "wg", "w", "weight", "group", "prob", "z", "dy", "dx", "dwg", "dbg", "dw", "db")
    x, label, wg, w, weight, group, prob, z, dy, dx, dwg, dbg, dw, db = memory(call, arrays, *names)
    size, own = call.args["size"], cuda.scratch(len(x), dtype="int32")
    h, g = cuda.scratch(*group.shape), cuda.scratch(*prob.shape)
    slopes = (group, prob, label, weight, z, dy, h, g, own, len(wg), size, ignored(call))
    made: list[Kernel] = [cuda.each("vocabulary", "hierarchical_slope", len(x), *slopes)]
    sizes = (len(x), x.shape[1], len(wg), size, len(w))
    if dx is not None:
        made.append(cuda.each("vocabulary", "hierarchical_dx", dx.size, h, g, own, wg, w, dx, *sizes))
    for d, bias, slope, grouped, count in ((dwg, dbg, h, 0, len(wg)), (dw, db, g, 1, len(w))):
        if d is not None:
            made.append(cuda.each("vocabulary", "hierarchical_dw", d.size, slope, own, x, d, *sizes, grouped))
        if bias is not None:
            made.append(cuda.each("vocabulary", "hierarchical_db", count, slope, own, bias, *sizes, grouped))
    return made
