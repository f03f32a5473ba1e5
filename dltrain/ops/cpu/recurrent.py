"""How the CPU does recurrent nets: each worker takes its own samples through all steps, levels and ways, without a barrier.

What goes where is the reference's; here are the steps of a part, with one kernel between two matrix products.  Gradients of the
weights are made by each worker over all its steps, and joined at the end of the segment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dltrain.ops.backend import Arrays, Kernel, Work
from dltrain.ops.cpu import gates
from dltrain.ops.cpu.backend import LINE, Cpu, recipe
from dltrain.ops.cpu.patches import sum_rows
from dltrain.ops.reference.recurrent import Cell, Made, Stack, Weights, give, rows, track
from dltrain.ops.signature import Call

SMALL = 1_000_000  # multiplications: OpenBLAS does products up to here without packing them first
FEW = 4  # parts into which a larger product may be cut for that


def multiplier(samples: int, w: Any) -> Callable[[Any, Any], None]:
    """The product (x, y): y = x w, in parts where that is faster."""
    parts = -(-samples * w.size // SMALL)
    if parts == 1 or parts > min(FEW, samples):
        return lambda x, y: np.dot(x, w, out=y)
    cuts = [slice(samples * at // parts, samples * (at + 1) // parts) for at in range(parts)]

    def product(x: Any, y: Any) -> None:
        for cut in cuts:
            np.dot(x[cut], w, out=y[cut])

    return product


class Borders:
    """keep and live as numbers a sample, and the states before each step as its products see them."""

    def __init__(self, hs: Any, keep: Any, live: Any) -> None:
        self.keep, self.live = (np.ascontiguousarray(x[..., 0]) for x in (keep, live))
        self.hs, self.plain = hs, bool((self.keep == 1).all())
        self.room = np.empty_like(hs[0])

    def before(self, t: int) -> Any:
        if self.plain:
            return self.hs[t]
        gates.kept(self.hs[t], self.keep[t], self.room)
        return self.room

    def all_before(self) -> Any:
        """One row a step and sample."""
        return rows(self.hs[:-1] if self.plain else self.keep[..., None] * self.hs[:-1])


def turned(w: Any) -> Any:
    return np.ascontiguousarray(w.T)


def total(x: Any) -> Any:
    """The sum of all rows."""
    made = np.empty(x.shape[-1], x.dtype)
    sum_rows(rows(x), made)
    return made


# --- the steps of a part, as in the reference ---
def rnn_forth(kind: str, w: Weights, a: Any, start: Any, keep: Any, live: Any) -> Made:
    hs, p = track(start[0], a), np.empty_like(a[0])
    edge, step = Borders(hs, keep, live), gates.rnn_tanh if kind == "rnn_tanh" else gates.rnn_relu
    product = multiplier(len(p), turned(w["weight_h"]))
    for t in range(len(a)):
        h = edge.before(t)
        product(h, p)
        step(a[t], p, h, edge.live[t], hs[t + 1])
    if "weight_o" not in w:
        return hs[1:], [hs[-1]], [hs]
    out = rows(hs[1:]) @ w["weight_o"].T
    out += w.get("bias_o", 0)
    out = np.tanh(out, out=out).reshape(hs[1:].shape)
    return out, [hs[-1]], [out, hs]


def rnn_back(kind: str, w: Weights, tape: Any, dy: Any, dend: Any, keep: Any, live: Any) -> Made:
    hs, made = np.ascontiguousarray(tape[-1]), {}
    if "weight_o" in w:
        do = dy * (1 - tape[0] * tape[0])
        made = {"weight_o": rows(do).T @ rows(hs[1:]), "bias_o": total(do)}
        dy = do @ w["weight_o"]
    dy, dh, da = np.ascontiguousarray(dy), np.array(dend[0]), np.empty(dy.shape, dy.dtype)
    edge, p, step = Borders(hs, keep, live), np.empty_like(dh), gates.rnn_tanh_back if kind == "rnn_tanh" else gates.rnn_relu_back
    product = multiplier(len(dh), w["weight_h"])
    for t in reversed(range(len(da))):
        step(hs[t + 1], edge.live[t], dy[t], dh, da[t])
        product(da[t], p)
        gates.fell(p, edge.keep[t], edge.live[t], dh)
    return da, [dh], made | {"weight_h": rows(da).T @ edge.all_before()}


def peepholes(w: Weights, size: int) -> Any:
    return w["weight_c"] if "weight_c" in w else np.zeros((3, size), np.float32)


def lstm_forth(kind: str, w: Weights, a: Any, start: Any, keep: Any, live: Any) -> Made:
    hs, cs, p = track(start[0], a), track(start[1], a), np.empty_like(a[0])
    edge, peep = Borders(hs, keep, live), peepholes(w, hs.shape[2])
    product = multiplier(len(p), turned(w["weight_h"]))
    for t in range(len(a)):
        h = edge.before(t)
        product(h, p)
        gates.lstm(a[t], p, peep, h, cs[t], edge.keep[t], edge.live[t], hs[t + 1], cs[t + 1])
    return hs[1:], [hs[-1], cs[-1]], [hs, a, cs]


def lstm_back(kind: str, w: Weights, tape: Any, dy: Any, dend: Any, keep: Any, live: Any) -> Made:
    (hs, notes, cs), (dh, dc) = tape, (np.array(d) for d in dend)
    das, p, dy = np.empty(notes.shape, notes.dtype), np.empty_like(dh), np.ascontiguousarray(dy)
    edge, peep = Borders(hs, keep, live), peepholes(w, dh.shape[1])
    product = multiplier(len(dh), w["weight_h"])
    for t in reversed(range(len(das))):
        gates.lstm_back(notes[t], peep, cs[t], cs[t + 1], edge.keep[t], edge.live[t], dy[t], dh, dc, das[t])
        product(das[t], p)
        gates.fell(p, edge.keep[t], edge.live[t], dh)
    made = {"weight_h": rows(das).T @ edge.all_before()}
    if "weight_c" in w:
        seen, size = (keep * cs[:-1], keep * cs[:-1], cs[1:]), dh.shape[1]
        made["weight_c"] = np.stack([total(das[..., at * size : (at + 1) * size] * c) for at, c in enumerate(seen)])
    return das, [dh, dc], made


def gru_forth(kind: str, w: Weights, a: Any, start: Any, keep: Any, live: Any) -> Made:
    hs, size, after = track(start[0], a), a.shape[2] // 3, kind == "gru_after"
    edge, notes = Borders(hs, keep, live), np.empty((*a.shape[:2], 4 * size), a.dtype)
    wide = turned(w["weight_h"] if after else w["weight_h"][: 2 * size])
    p, q, s = np.empty((a.shape[1], wide.shape[1]), a.dtype), np.empty_like(hs[0]), np.empty_like(hs[0])
    first, second = multiplier(len(p), wide), multiplier(len(p), turned(w["weight_h"][2 * size :]))
    bias = w.get("bias_h", np.zeros(size, a.dtype))
    for t in range(len(a)):
        h = edge.before(t)
        first(h, p)
        if after:
            gates.gru_after(a[t], p, bias, h, edge.live[t], notes[t], hs[t + 1])
        else:
            gates.gru_gates(a[t], p, h, notes[t], q)
            second(q, s)
            gates.gru_before(a[t], s, h, edge.live[t], notes[t], hs[t + 1])
    return hs[1:], [hs[-1]], [hs, notes]


def gru_back(kind: str, w: Weights, tape: Any, dy: Any, dend: Any, keep: Any, live: Any) -> Made:
    (hs, notes), dh, size, after = tape, np.array(dend[0]), dy.shape[2], kind == "gru_after"
    wide, last = w["weight_h"] if after else w["weight_h"][: 2 * size], w["weight_h"][2 * size :]
    das, dps = (np.empty((*dy.shape[:2], width), dy.dtype) for width in (3 * size, len(wide)))
    edge, dy, p, dq, nothing = Borders(hs, keep, live), np.ascontiguousarray(dy), *np.zeros((3, *dh.shape), dh.dtype)
    first, second = multiplier(len(dh), wide), multiplier(len(dh), last)
    for t in reversed(range(len(das))):
        h = edge.before(t)
        gates.gru_back(notes[t], h, edge.live[t], dy[t], dh, das[t])
        if after:
            gates.gru_after_back(notes[t], das[t], dps[t])
        else:
            second(das[t][:, 2 * size :], dq)
            gates.gru_before_back(notes[t], dq, h, dh, das[t], dps[t])
        first(dps[t], p)
        gates.fell(p, edge.keep[t], nothing[:, 0], dh)
    made = rows(dps).T @ edge.all_before()
    if after:
        return das, [dh], {"weight_h": made, "bias_h": total(dps)[2 * size :]}
    new = np.ascontiguousarray(rows(das)[:, 2 * size :])
    made = np.concatenate([made, new.T @ rows(notes[..., 3 * size :])])
    return das, [dh], {"weight_h": made, "bias_h": total(new)}


CELLS: dict[str, tuple[Cell, Cell]] = {
    "rnn": (rnn_forth, rnn_back),
    "lstm": (lstm_forth, lstm_back),
    "gru": (gru_forth, gru_back),
}


# --- the ops ---
SAMPLES = "x cont x_static mask h0 c0 y state cell carried carried_cell dy dstate dcell dx dx_static dh0 dc0"  # or time first


class Part:
    """The samples low .. high of the arguments of a call."""

    def __init__(self, call: Call, arrays: Arrays, low: int, high: int) -> None:
        self.call, self.arrays, self.cut, self.empty = call, arrays, slice(low, high), low == high
        self.time = call.args["time"]
        self.rank = 2 + (sum(name.startswith("weight_x") for name in call.args["names"]) > 1)  # of states

    def __getitem__(self, name: str) -> Any:
        """An argument, samples first or (x, cont, mask, y and their gradients, with time=0) second."""
        tensor = self.call.args[name]
        if tensor is None:
            return None
        array = self.arrays.logical(tensor)
        timed = self.time == 0 and name in ("x", "cont", "mask", "y", "dx", "dy")
        caffes = name in ("h0", "c0", "dh0", "dc0") and array.ndim > self.rank  # 1 in front
        return array[:, self.cut] if timed or caffes else array[self.cut]

    def pick(self, *names: str) -> list[Any]:
        return [self[name] for name in names]

    @property
    def tape(self) -> list[Any]:
        return [self.arrays.logical(tensor)[:, self.cut] for tensor in self.call.args["tape"]]

    @property
    def weights(self) -> list[Any]:
        return [self.arrays.logical(tensor) for tensor in self.call.args["weights"]]


def parts(call: Call, arrays: Arrays, cpu: Cpu) -> list[Part]:
    """One a worker."""
    samples = call.args["x"].shape[1 if call.args["time"] == 0 else 0]
    return [Part(call, arrays, low, high) for _, low, high in cpu.spans(samples)]


def samples_first(call: Call) -> bool:
    return bool(call.args["time"] != 0)


def idle() -> None:
    """What a worker does that has no samples."""


def recurrent(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    kind, names, time = (call.args[name] for name in ("kind", "names", "time"))
    forth, count = partial(CELLS[kind.split("_")[0]][0], kind), 2 if kind == "lstm" else 1

    def run(part: Part) -> Kernel:
        x, cont, static, mask, y = part.pick("x", "cont", "x_static", "mask", "y")
        carried, first, last = (
            part.pick(*pair)[:count] for pair in (("carried", "carried_cell"), ("h0", "c0"), ("state", "cell"))
        )
        weights, tape = part.weights, part.tape
        if part.empty:
            return idle
        return lambda: Stack(x, cont, static, mask, weights, names, time).forward(forth, carried, first, y, last, tape)

    return Work([run(part) for part in parts(call, arrays, cpu)])


def recurrent_grad(call: Call, arrays: Arrays, cpu: Cpu) -> Work:
    kind, names, time, learns = (call.args[name] for name in ("kind", "names", "time", "learns"))
    back, count = partial(CELLS[kind.split("_")[0]][1], kind), 2 if kind == "lstm" else 1
    totals = {name: arrays.memory(d).reshape(-1) for name, d in zip(learns, call.args["dweights"], strict=True)}
    shares = parts(call, arrays, cpu)
    made: list[dict[str, Any]] = [{} for _ in shares]  # what each worker has found, by weight

    def run(part: Part, found: dict[str, Any]) -> Kernel:
        x, cont, static, mask, dy, dx, dstatic = part.pick("x", "cont", "x_static", "mask", "dy", "dx", "dx_static")
        last, first = (part.pick(*pair)[:count] for pair in (("dstate", "dcell"), ("dh0", "dc0")))
        weights, tape = part.weights, part.tape

        def kernel() -> None:
            stack = Stack(x, cont, static, mask, weights, names, time)
            below, by_static, starts = stack.backward(back, tape, dy, last, found)
            give([(dx, stack.out_of_time(below)), (dstatic, by_static), *zip(first, starts)])

        return idle if part.empty else kernel

    def join(worker: int) -> None:
        """Each worker its own stretch of every weight, always in the order of the workers."""
        for name, whole in totals.items():
            low, high = cpu.share(worker, whole.size, LINE)
            for found in filter(None, made):
                np.add(whole[low:high], found[name].reshape(-1)[low:high], out=whole[low:high])

    finish = [partial(join, worker) for worker in range(cpu.workers)] if totals else []
    return Work([run(part, found) for part, found in zip(shares, made, strict=True)], finish)


for name, bind in (("recurrent", recurrent), ("recurrent_grad", recurrent_grad)):
    recipe(name, SAMPLES, samples_first)(bind)
    recipe(name)(bind)
