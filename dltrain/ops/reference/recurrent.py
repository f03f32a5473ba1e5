"""Recurrent nets over whole sequences: step by step in time, level by level, in one direction or both.

A part is one level in one direction.  Its weights are told apart by the end of their names: weight_x, weight_x_reverse,
weight_x_l1, weight_x_l1_reverse.  The sample axis is 0 and time is axis 1 (time=1), the other way round (time=0), or there is
no time axis and this is one step (time=None); inside, time comes first.  Before each step the state is multiplied by cont
(0 where a sequence starts, so that nothing crosses from one into the next, in either direction).  A step whose mask is 0
leaves the state as it is after that, and puts out 0.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.signature import Add, In, Out, Update, op

ROLES = ("weight_x", "bias", "weight_static", "weight_h", "bias_h", "weight_c", "weight_o", "bias_o")
Arrays = Sequence[Any]
Weights = dict[str, Any]
Made = tuple[Any, Arrays, Any]
Cell = Callable[..., Made]


def macs(args: dict[str, Any]) -> int:
    """Two operations for each weight and step; twice that for the gradients."""
    x: Any = args["x"]
    steps = x.shape[0] * (1 if args["time"] is None else x.shape[1])
    return int(2 * steps * sum(prod(w.shape) for w in args["weights"]) * (2 if "dy" in args else 1))


def sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def rows(x: Any) -> Any:
    """All steps of all samples one below another."""
    return x.reshape(-1, x.shape[-1])


def blocks(x: Any, count: int) -> list[Any]:
    """The last axis in equal views, one a gate."""
    size = x.shape[-1] // count
    return [x[..., at * size : (at + 1) * size] for at in range(count)]


def give(pairs: Any) -> None:
    """Writes what is wanted: (to, value) each."""
    for to, value in pairs:
        if to is not None:
            to[...] = value.reshape(to.shape)


class Stack:
    """The parts of a stack, over one batch of sequences."""

    def __init__(self, x: Any, cont: Any, x_static: Any, mask: Any, weights: Arrays, names: Sequence[str], time: int | None):
        self.time = time
        self.x, self.cont, self.mask = self.in_time(x), self.in_time(cont), self.in_time(mask)
        self.steps, self.samples = self.x.shape[:2]
        self.static = None if x_static is None else x_static.reshape(self.samples, -1)
        self.ends = [name.removeprefix("weight_x") for name in names if name.startswith("weight_x")]
        self.ways = 2 if "_reverse" in self.ends else 1
        given = dict(zip(names, weights, strict=True))
        self.weights = [{role: given[role + end] for role in ROLES if role + end in given} for end in self.ends]
        self.shape = (self.samples, len(self.ends), self.weights[0]["weight_h"].shape[1])

    def in_time(self, x: Any) -> Any:
        """(T, N, K)"""
        first = x if x is None or self.time == 0 else x[None] if self.time is None else np.moveaxis(x, 1, 0)
        return x if x is None else first.reshape(*first.shape[:2], -1)

    def out_of_time(self, x: Any) -> Any:
        return x if self.time == 0 else x[0] if self.time is None else np.moveaxis(x, 0, 1)

    def turn(self, x: Any, part: int) -> Any:
        """Steps in the order in which a part takes them, and back."""
        return x[::-1] if part % self.ways else x

    def borders(self, part: int) -> tuple[Any, Any]:
        """For each step, what the state before it is multiplied by, and 1 where it counts or 0 where it is masked."""
        one = keep = live = np.ones((self.steps, self.samples, 1), self.x.dtype)
        if self.cont is not None:
            keep = self.cont.astype(one.dtype)
            if part % self.ways:  # backwards, the border is crossed after the step that starts a sequence
                keep = np.concatenate([one[:1], keep[:0:-1]])
        if self.mask is not None:
            live = self.turn((self.mask != 0).astype(one.dtype), part)
        return keep, live

    def of_parts(self, *known: Any) -> Any:
        """A copy of the first state that is known, (N, parts, H); 0 where none is."""
        found = next((state for state in known if state is not None), None)
        return np.zeros(self.shape, self.x.dtype) if found is None else found.reshape(self.shape).copy()

    def forward(self, cell: Cell, carried: Arrays, first: Arrays, y: Any, last: Arrays, tape: Arrays) -> None:
        states = [self.of_parts(*pair) for pair in zip(carried, first, strict=True)]
        below, level, notes = self.x, [], []
        for part, w in enumerate(self.weights):
            a = (rows(self.turn(below, part)) @ w["weight_x"].T + w.get("bias", 0)).reshape(self.steps, self.samples, -1)
            if "weight_static" in w:
                a += self.static @ w["weight_static"].T
            keep, live = self.borders(part)
            out, end, note = cell(w, a, [state[:, part] for state in states], keep, live)
            for to, value in zip(states, end, strict=True):
                to[:, part] = value
            notes += note
            level.append(self.turn(out * live, part))
            if len(level) == self.ways:
                below, level = np.concatenate(level, axis=-1), []
        give([(y, self.out_of_time(below)), *zip(tape, notes), *zip(carried, states), *zip(last, states)])

    def below(self, part: int, tape: Arrays) -> Any:
        """What the level of a part has read: x, or what the level below has put out (a part's first note, but its start)."""
        if part < self.ways:
            return self.x
        size, first = len(tape) // len(self.ends), part - part % self.ways - self.ways
        outs = [tape[size * at][-self.steps :] * self.borders(at)[1] for at in range(first, first + self.ways)]
        return np.concatenate([self.turn(out, way) for way, out in enumerate(outs)], axis=-1)

    def backward(self, cell: Cell, tape: Arrays, dy: Any, dlast: Arrays, made: Weights) -> tuple[Any, Any, Arrays]:
        """Puts the gradient of each weight into `made`; returns those by x (time first), by x_static, by the first states."""
        dstates = [self.of_parts(d) for d in dlast]
        size, dabove = len(tape) // len(self.ends), self.in_time(dy)
        dstatic = None if self.static is None else np.zeros_like(self.static)
        for part in reversed(range(len(self.ends))):
            w, read = self.weights[part], self.turn(self.below(part, tape), part)
            if part % self.ways == self.ways - 1:
                dbelow = np.zeros_like(read)
            keep, live = self.borders(part)
            d = self.turn(blocks(dabove, self.ways)[part % self.ways], part) * live
            da, dstart, found = cell(w, tape[size * part : size * (part + 1)], d, [end[:, part] for end in dstates], keep, live)
            for to, value in zip(dstates, dstart, strict=True):
                to[:, part] = value
            found |= {"weight_x": rows(da).T @ rows(read), "bias": rows(da).sum(axis=0)}
            if "weight_static" in w:
                found["weight_static"] = da.sum(axis=0).T @ self.static
                dstatic += da.sum(axis=0) @ w["weight_static"]
            dbelow += self.turn((rows(da) @ w["weight_x"]).reshape(read.shape), part)
            made |= {role + self.ends[part]: value for role, value in found.items()}
            if part % self.ways == 0:
                dabove = dbelow
        return dbelow, dstatic, dstates


# --- the steps of a part: (its weights, W_x x + b, states at the start) to (what it puts out, states at the end, notes), and back
def track(start: Any, steps: Any) -> Any:
    """Room for the states before and after each step."""
    made = np.empty((len(steps) + 1, *start.shape), steps.dtype)
    made[0] = start
    return made


def rnn_forth(kind: str, w: Weights, a: Any, start: Arrays, keep: Any, live: Any) -> Made:
    hs = track(start[0], a)
    for t in range(len(a)):
        h = keep[t] * hs[t]
        z = a[t] + h @ w["weight_h"].T
        new = np.tanh(z) if kind == "rnn_tanh" else np.maximum(z, 0)
        hs[t + 1] = live[t] * new + (1 - live[t]) * h
    if "weight_o" not in w:
        return hs[1:], [hs[-1]], [hs]
    out = np.tanh(hs[1:] @ w["weight_o"].T + w.get("bias_o", 0))
    return out, [hs[-1]], [out, hs]


def rnn_back(kind: str, w: Weights, tape: Arrays, dy: Any, dend: Arrays, keep: Any, live: Any) -> Made:
    made, hs = {}, tape[-1]
    if "weight_o" in w:
        do = dy * (1 - tape[0] * tape[0])
        made = {"weight_o": rows(do).T @ rows(hs[1:]), "bias_o": rows(do).sum(axis=0)}
        dy = do @ w["weight_o"]
    da, dh = np.empty_like(dy), dend[0]
    for t in reversed(range(len(da))):
        slope = 1 - hs[t + 1] * hs[t + 1] if kind == "rnn_tanh" else hs[t + 1] > 0
        da[t] = live[t] * (dh + dy[t]) * slope
        dh = keep[t] * (da[t] @ w["weight_h"] + (1 - live[t]) * dh)
    made["weight_h"] = rows(da).T @ rows(keep * hs[:-1])
    return da, [dh], made


def lstm_forth(kind: str, w: Weights, a: Any, start: Arrays, keep: Any, live: Any) -> Made:
    hs, cs, peep = track(start[0], a), track(start[1], a), w.get("weight_c")
    for t in range(len(a)):
        h, c = keep[t] * hs[t], keep[t] * cs[t]
        a[t] += h @ w["weight_h"].T
        i, f, o, g = blocks(a[t], 4)  # views: a becomes the gates
        if peep is not None:
            i += peep[0] * c
            f += peep[1] * c
        i[...], f[...], g[...] = sigmoid(i), sigmoid(f), np.tanh(g)
        new = f * c + i * g
        if peep is not None:
            o += peep[2] * new
        o[...] = sigmoid(o)
        hs[t + 1] = live[t] * o * np.tanh(new) + (1 - live[t]) * h
        cs[t + 1] = live[t] * new + (1 - live[t]) * c
    return hs[1:], [hs[-1], cs[-1]], [hs, a, cs]


def lstm_back(kind: str, w: Weights, tape: Arrays, dy: Any, dend: Arrays, keep: Any, live: Any) -> Made:
    (hs, gates, cs), (dh, dc), peep = tape, dend, w.get("weight_c")
    das = np.empty_like(gates)
    for t in reversed(range(len(das))):
        i, f, o, g = blocks(gates[t], 4)
        di, df, do, dg = blocks(das[t], 4)
        c, top = keep[t] * cs[t], np.tanh(cs[t + 1])
        new = live[t] * (dh + dy[t])
        do[...] = new * top * o * (1 - o)
        dnew = live[t] * dc + new * o * (1 - top * top)
        if peep is not None:
            dnew = dnew + do * peep[2]
        di[...], df[...], dg[...] = dnew * g * i * (1 - i), dnew * c * f * (1 - f), dnew * i * (1 - g * g)
        dc = keep[t] * (dnew * f + (1 - live[t]) * dc + (0 if peep is None else di * peep[0] + df * peep[1]))
        dh = keep[t] * (das[t] @ w["weight_h"] + (1 - live[t]) * dh)
    made = {"weight_h": rows(das).T @ rows(keep * hs[:-1])}
    if peep is not None:
        seen = keep * cs[:-1], keep * cs[:-1], cs[1:]
        made["weight_c"] = np.stack([rows(d * c).sum(axis=0) for d, c in zip(blocks(das, 4), seen)])
    return das, [dh, dc], made


def gru_forth(kind: str, w: Weights, a: Any, start: Arrays, keep: Any, live: Any) -> Made:
    hs, size = track(start[0], a), 2 * start[0].shape[-1]
    notes, gates, last = np.empty((*a.shape[:2], 2 * size), a.dtype), w["weight_h"][:size], w["weight_h"][size:]
    for t in range(len(a)):
        h = keep[t] * hs[t]
        r, z, n, q = blocks(notes[t], 4)
        notes[t][:, :size] = sigmoid(a[t][:, :size] + h @ gates.T)
        q[...] = h @ last.T + w.get("bias_h", 0) if kind == "gru_after" else r * h
        n[...] = np.tanh(blocks(a[t], 3)[2] + (r * q if kind == "gru_after" else q @ last.T))
        hs[t + 1] = live[t] * (z * h + (1 - z) * n) + (1 - live[t]) * h
    return hs[1:], [hs[-1]], [hs, notes]


def gru_back(kind: str, w: Weights, tape: Arrays, dy: Any, dend: Arrays, keep: Any, live: Any) -> Made:
    (hs, notes), dh, size = tape, dend[0], 2 * dy.shape[2]
    das, gates, last = np.empty_like(notes[..., dy.shape[2] :]), w["weight_h"][:size], w["weight_h"][size:]
    (r, z, n, q), (dr, dz, dn) = blocks(notes, 4), blocks(das, 3)
    for t in reversed(range(len(das))):
        h = keep[t] * hs[t]
        new = live[t] * (dh + dy[t])
        dn[t] = new * (1 - z[t]) * (1 - n[t] * n[t])
        dz[t] = new * (h - n[t]) * z[t] * (1 - z[t])
        back = new * z[t] + (1 - live[t]) * dh
        if kind == "gru_after":
            dr[t] = dn[t] * q[t] * r[t] * (1 - r[t])
            back += (dn[t] * r[t]) @ last
        else:
            dq = dn[t] @ last
            dr[t] = dq * h * r[t] * (1 - r[t])
            back += dq * r[t]
        dh = keep[t] * (back + das[t][:, :size] @ gates)
    dlast, read = (rows(dn * r), rows(keep * hs[:-1])) if kind == "gru_after" else (rows(dn), rows(q))
    dgates = rows(das[..., :size]).T @ rows(keep * hs[:-1])
    return das, [dh], {"weight_h": np.concatenate([dgates, dlast.T @ read]), "bias_h": dlast.sum(axis=0)}


CELLS = {"rnn": (rnn_forth, rnn_back), "lstm": (lstm_forth, lstm_back), "gru": (gru_forth, gru_back)}


# --- the ops ---
@op(flops=macs)
def recurrent(
    x: In, weights: In, y: Out, tape: Out, kind: str, names: tuple[str, ...], time: int | None, cont: In = None,
    x_static: In = None, h0: In = None, c0: In = None, mask: In = None, state: Out = None, cell: Out = None,
    carried: Update = None, carried_cell: Update = None,
) -> None:  # fmt: skip
    """With h = cont h_{t-1}, c = cont c_{t-1}, a = W_x x_t + b [+ W_s x_static], and blocks of rows of a and W_h for the gates:

    rnn_tanh, rnn_relu  h_t = f(a + W_h h);   y_t = tanh(W_o h_t + b_o) with weight_o, else h_t
    lstm                i, f, o, g = sigmoid (g: tanh) of a + W_h h;   c_t = f c + i g;   y_t = h_t = o tanh c_t
                        with weight_c, i and f also see weight_c[0] c and weight_c[1] c, and o weight_c[2] c_t
    gru_after           r, z = sigmoid(a + W_h h);   n = tanh(a + r (W_h h + b_h));   y_t = h_t = z h + (1 - z) n
    gru_before          the same with n = tanh(a + W_h (r h))

    `names` are those of the weights; `state` and `cell` become the last h and c of each part (N, parts, H); `carried` is where
    the first come from (instead of h0, c0) and the last go; `tape` is for the way back: empty, or notes of each part.
    """
    forth, count = partial(CELLS[kind.split("_")[0]][0], kind), 2 if kind == "lstm" else 1
    stack = Stack(x, cont, x_static, mask, weights, names, time)
    stack.forward(forth, [carried, carried_cell][:count], [h0, c0][:count], y, [state, cell][:count], tape)


@op(flops=macs)
def recurrent_grad(
    x: In, weights: In, tape: In, dy: In, dweights: Add, kind: str, names: tuple[str, ...], learns: tuple[str, ...],
    time: int | None, cont: In = None, x_static: In = None, mask: In = None, dstate: In = None, dcell: In = None,
    dx: Out = None, dx_static: Out = None, dh0: Out = None, dc0: Out = None,
) -> None:  # fmt: skip
    """The gradients of `recurrent` by its bottoms and by the weights that `learns` names, all steps back through time."""
    back, count = partial(CELLS[kind.split("_")[0]][1], kind), 2 if kind == "lstm" else 1
    stack, made = Stack(x, cont, x_static, mask, weights, names, time), dict[str, Any]()
    found, static, first = stack.backward(back, tape, dy, [dstate, dcell][:count], made)
    for name, d in zip(learns, dweights, strict=True):
        d += made[name]
    give([(dx, stack.out_of_time(found)), (dx_static, static), *zip([dh0, dc0], first)])
