"""How a GPU takes a part of a recurrent net through its steps: a product of the state, and all that follows in one kernel.

On the way back dh holds what reaches the state after a step, but for its keep, which the step before puts to it.
"""

from __future__ import annotations

from collections.abc import Callable

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.steps import Part, Rows, States, Weights, turned

Forth = tuple[list[Kernel], States, States]  # what is launched, and where the states before and after it are


# --- RNN ---
def rnn_forth(part: Part, a: DeviceArray, tape: States, out: Rows) -> Forth:
    w, relu, squashes = part.weights, int(part.kind == "rnn_relu"), "weight_o" in part.weights
    steps, n, h, made = part.steps, part.samples, part.units, list[Kernel]()
    whole = tape[-1] if tape else part.scratch(steps + 1, n, h) if squashes else None
    hs = part.track(whole)
    for step in range(steps):
        time, h0 = part.time(step), hs[step]
        y = None if squashes else out.at(time)
        made += part.step("rnn", h0, w["weight_h"], part.at(a, time), h0, *part.marks(step), hs[step + 1], y, out.row, relu)
    if squashes:
        assert whole is not None
        z = (tape[0] if tape else part.scratch(steps, n, h)).reshape(steps * n, h)
        made += part.gemm(whole.reshape(-1)[n * h :].reshape(steps * n, h), turned(w["weight_o"]), z, w.get("bias_o"))
        made += [part.whole("squash", z, part.live, out.array, out.step, out.row)]
    return made, [hs[0]], [hs[-1]]


def rnn_back(part: Part, tape: States, dy: Rows, ds: States, da: DeviceArray, grads: Weights, first: bool) -> list[Kernel]:
    w, (dh,), hs, made, relu = part.weights, ds, tape[-1], list[Kernel](), int(part.kind == "rnn_relu")
    n, h, rows = part.samples, part.units, part.steps * part.samples
    if "weight_o" in w:
        do, through = part.scratch(rows, h), part.scratch(rows, h)
        made += [part.whole("squash_back", tape[0], part.live, dy.array, do, dy.step, dy.row)]
        after = hs.reshape(-1)[n * h :].reshape(rows, h)
        made += part.learn(do, after, grads.get("weight_o"), grads.get("bias_o"))
        made += part.gemm(do, w["weight_o"], through)
    d = None
    for step in reversed(range(part.steps)):
        here, (_, *marks) = part.at(da, part.time(step)), part.marks_back(step)
        above = (through.reshape(-1)[step * n * h :], h) if "weight_o" in w else (dy.at(part.time(step)), dy.row)
        made += part.step_back("rnn", d, w["weight_h"], dh, part.at(hs, step + 1), *marks, *above, dh, here, relu)
        d = here
    made += part.gemm(d, w["weight_h"], dh, add=True) if first else []
    if "weight_h" in grads:
        moved, seen = part.seen(hs)
        made += moved + part.learn(da, seen, grads["weight_h"], None)
    return made


# --- LSTM ---
def lstm_forth(part: Part, a: DeviceArray, tape: States, out: Rows) -> Forth:
    w, made, (notes, gates, cells) = part.weights, list[Kernel](), tape or (None, None, None)
    hs, cs = part.track(notes), part.track(cells)
    for step in range(part.steps):
        time, h0 = part.time(step), hs[step]
        made += part.step("lstm", h0, w["weight_h"], part.at(a, time), w.get("weight_c"), h0, cs[step], *part.marks(step),
                          part.at(gates, step), hs[step + 1], cs[step + 1], out.at(time), out.row)  # fmt: skip
    return made, [hs[0], cs[0]], [hs[-1], cs[-1]]


def lstm_back(part: Part, tape: States, dy: Rows, ds: States, da: DeviceArray, grads: Weights, first: bool) -> list[Kernel]:
    w, (hs, gates, cs), (dh, dc), made, d = part.weights, tape, ds, list[Kernel](), None
    for step in reversed(range(part.steps)):
        time, c0, c = part.time(step), part.at(cs, step), part.at(cs, step + 1)
        here = part.at(da, time)
        made += part.step_back("lstm", d, w["weight_h"], dh, part.at(gates, step), w.get("weight_c"), c0, c,
                               *part.marks_back(step), dy.at(time), dy.row, dh, dc, here)  # fmt: skip
        d = here
    made += part.gemm(d, w["weight_h"], dh, add=True) if first else []
    if "weight_h" in grads:
        moved, seen = part.seen(hs)
        made += moved + part.learn(da, seen, grads["weight_h"], None)
    if "weight_c" in grads:
        args = da, cs, part.keep, grads["weight_c"], int(part.backwards), part.steps, part.samples, part.units
        made += [part.room.cuda.launch("recurrent", "peepholes", (-(-part.units // 32), 3), *args, block=(32, 8))]
    return made


# --- GRU ---
def halves(w: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
    """weight_h of r and z, and of n."""
    size = w.shape[1]
    flat = w.reshape(-1)
    return flat[: 2 * size * size].reshape(2 * size, size), flat[2 * size * size :].reshape(size, size)


def after_forth(part: Part, a: DeviceArray, tape: States, out: Rows) -> Forth:
    w, made, (states, notes) = part.weights, list[Kernel](), tape or (None, None)
    hs = part.track(states)
    for step in range(part.steps):
        time, h0 = part.time(step), hs[step]
        made += part.step("gru", h0, w["weight_h"], part.at(a, time), w.get("bias_h"), h0, *part.marks(step),
                          part.at(notes, step), hs[step + 1], out.at(time), out.row)  # fmt: skip
    return made, [hs[0]], [hs[-1]]


def before_forth(part: Part, a: DeviceArray, tape: States, out: Rows) -> Forth:
    n, h, made, (states, notes) = part.samples, part.units, list[Kernel](), tape or (None, None)
    (gates, last), hs = halves(part.weights["weight_h"]), part.track(states)
    p, q, s = (part.scratch(n, width) for width in (2 * h, h, h))
    room = part.scratch(n, 4 * h) if notes is None else None
    for step in range(part.steps):
        time, (keep, live) = part.time(step), part.marks(step)
        note = part.at(notes, step) if room is None else room
        made += part.gemm(hs[step], turned(gates), p)
        made += [part.each("gru_gates", part.at(a, time), p, hs[step], keep, note, q)]
        made += part.gemm(q, turned(last), s)
        made += [part.each("gru_before", part.at(a, time), s, hs[step], keep, live, note, hs[step + 1], out.at(time), out.row)]
    return made, [hs[0]], [hs[-1]]


def after_back(part: Part, tape: States, dy: Rows, ds: States, da: DeviceArray, grads: Weights, first: bool) -> list[Kernel]:
    w, (hs, notes), (dh,), made, size = part.weights, tape, ds, list[Kernel](), part.units
    dp, d = part.scratch(part.steps, part.samples, 3 * size), None
    for step in reversed(range(part.steps)):
        time = part.time(step)
        here = part.at(dp, time)
        made += part.step_back("gru", d, w["weight_h"], dh, part.at(notes, step), part.at(hs, step), *part.marks_back(step),
                               dy.at(time), dy.row, dh, part.at(da, time), here)  # fmt: skip
        d = here
    made += part.gemm(d, w["weight_h"], dh, add=True) if first else []
    moved, seen = part.seen(hs)
    if "bias_h" not in grads:
        return [*made, *moved, *part.learn(dp, seen, grads.get("weight_h"), None)]
    each, whole = part.room.cuda.each, part.scratch(3 * size)
    made += [each("elementwise", "fill", 3 * size, whole, 0.0), *moved, *part.learn(dp, seen, grads.get("weight_h"), whole)]
    return [*made, each("elementwise", "add_into", size, whole[2 * size :], grads["bias_h"])]


def before_back(part: Part, tape: States, dy: Rows, ds: States, da: DeviceArray, grads: Weights, first: bool) -> list[Kernel]:
    (hs, notes), (dh,), made, size, sizes = tape, ds, list[Kernel](), part.units, (part.steps, part.samples)
    (gates, last), dn, dp = halves(part.weights["weight_h"]), part.scratch(*sizes, size), part.scratch(*sizes, 2 * size)
    dq = part.scratch(part.samples, size)
    for step in reversed(range(part.steps)):
        time, note, h0 = part.time(step), part.at(notes, step), part.at(hs, step)
        keep, *marks = part.marks_back(step)
        here = part.at(da, time)
        made += [part.each("gru_before_back", note, h0, keep, *marks, dy.at(time), dy.row, dh, here, part.at(dn, time))]
        made += part.gemm(part.at(dn, time), last, dq)
        made += [part.each("gru_gates_back", note, h0, keep, dq, dh, here, part.at(dp, time))]
        made += part.gemm(part.at(dp, time), gates, dh, add=True) if step or first else []
    if "weight_h" in grads:
        moved, seen = part.seen(hs)
        read, q = part.in_time(notes.reshape(-1)[3 * size :], None, 4 * size)
        of_gates, of_last = halves(grads["weight_h"])
        made += [*moved, *part.learn(dp, seen, of_gates, None), *read, *part.learn(dn, q, of_last, grads.get("bias_h"))]
        return made
    return [*made, *part.learn(dn, None, None, grads.get("bias_h"))]


Way = Callable[..., Forth]
Back = Callable[..., list[Kernel]]
CELLS: dict[str, tuple[Way, Back]] = {
    "rnn_tanh": (rnn_forth, rnn_back),
    "rnn_relu": (rnn_forth, rnn_back),
    "lstm": (lstm_forth, lstm_back),
    "gru_after": (after_forth, after_back),
    "gru_before": (before_forth, before_back),
}
