"""Recurrent layers as nodes of ONNX: its LSTM, GRU and RNN where they say the same, else a Scan over the steps."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_scan import Stack, scans, squashed
from dltrain.translate.to_onnx_sheet import Sheet, says

ORDER = {"rnn": (0,), "lstm": (0, 2, 1, 3), "gru": (1, 0, 2)}  # our blocks of rows in the order of ONNX
PEEPHOLES = (0, 2, 1)
KINDS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


@says("recurrent")
def recurrent(
    s: Sheet, x: Tensor, weights: tuple[Tensor, ...], y: Tensor, tape: Any, kind: str, names: tuple[str, ...], time: int | None,
    cont: Tensor | None, x_static: Tensor | None, h0: Tensor | None, c0: Tensor | None, mask: Tensor | None,
    state: Tensor | None, cell: Tensor | None, carried: Tensor | None, carried_cell: Tensor | None,
) -> None:  # fmt: skip
    steps = 1 if time is None else x.shape[time]
    border, live = (None if each is None else in_time(s, each, steps, time, 1) for each in (cont, mask))
    if live is not None:
        live = s.node("Cast", [s.node("Cast", [live], to=s.onnx.TensorProto.BOOL)], to=s.onnx.TensorProto.FLOAT)
    static = None if x_static is None else s.shaped(x_static, [-1, prod(x_static.shape[1:])])
    stack = Stack(s, kind, dict(zip(names, weights, strict=True)), steps, border, live, static)
    count = 2 if kind == "lstm" else 1
    firsts = [first(stack, *pair) for pair in list(zip((carried, carried_cell), (h0, c0)))[:count]]
    below = in_time(s, x, steps, time, prod(x.shape[1 if time is None else 2 :]))
    ends: list[list[str]] = [[] for _ in range(count)]
    for level in range(len(stack.ends) // stack.ways):
        parts = stack.ends[level * stack.ways : (level + 1) * stack.ways]
        starts = [None if each is None else portion(stack, each, level) for each in firsts]
        below, last = (operator if stack.plain else scans)(stack, parts, below, starts)
        for states, value in zip(ends, last):
            states.append(value)
    out_of_time(s, below, time, y)
    for values, to, carry in zip(ends, (state, cell), (carried, carried_cell)):
        finish(stack, values, to, carry)


# --- layout ---
def in_time(s: Sheet, x: Tensor, steps: int, time: int | None, width: int) -> str:
    """(T, N, width) of real numbers."""
    value = s.name(x) if x.dtype == "float" else s.node("Cast", [x], to=s.onnx.TensorProto.FLOAT)
    if time == 1:
        return s.turned(value if len(x.shape) == 3 else s.shaped(value, [-1, steps, width]), (1, 0, 2))
    return value if len(x.shape) == 3 and time == 0 else s.shaped(value, [steps, -1, width])


def out_of_time(s: Sheet, made: str, time: int | None, y: Tensor) -> None:
    if time == 1:
        s.turned(made, (1, 0, 2), y)
    elif time is None:
        s.node("Squeeze", [made, s.ints([0])], y)
    else:
        s.alias(y, made)


def first(stack: Stack, carried: Tensor | None, given: Tensor | None) -> str | None:
    """The states before the first step, (parts, N, H); None for 0.  What a layer carries on is an input of its own."""
    s, parts = stack.s, len(stack.ends)
    if carried is not None:
        role = carried.name.rpartition(".")[2].split("@")[0]
        name = s.names[carried] = s.fresh(f"{s.call.layer}.{role}.before")
        s.inputs[name] = s.typed(carried)
        s.carried[name] = s.fresh(f"{s.call.layer}.{role}.after")
    elif given is None:
        return None
    value = s.name(carried or given)  # type: ignore[arg-type]
    return s.shaped(value, [1, -1, stack.size]) if parts == 1 else s.turned(s.shaped(value, [-1, parts, stack.size]), (1, 0, 2))


def portion(stack: Stack, states: str, level: int) -> str:
    """The states of the parts of a level."""
    ways = stack.ways
    return states if len(stack.ends) == ways else stack.s.sliced(states, 0, level * ways, (level + 1) * ways)


def finish(stack: Stack, values: list[str], to: Tensor | None, carried: Tensor | None) -> None:
    """The last states, from (ways, N, H) of each level to (N, parts, H), or (N, H) where there is one part."""
    s, several = stack.s, len(stack.ends) > 1
    if to is None and carried is None:
        return
    joined = values[0] if len(values) == 1 else s.node("Concat", values, axis=0)
    if to is not None:
        s.turned(joined, (1, 0, 2), to) if several else s.shaped(joined, [-1, stack.size], to)
    if carried is not None:
        name = s.carried[s.names[carried]]
        turned = s.turned(joined, (1, 0, 2)) if several else s.shaped(joined, [-1, 1, stack.size])
        s.node("Identity", [turned], name)
        s.outputs[name] = s.typed(carried)


# --- with the operators of ONNX ---
def operator(stack: Stack, parts: list[str], below: str, starts: list[str | None]) -> tuple[str, list[str]]:
    """One level: what it puts out, (T, N, ways H), and its last states, (ways, N, H) each."""
    s, cell, h = stack.s, stack.cell, stack.size
    packed = [pack(stack, end) for end in parts]
    label = f"{s.call.layer}.{{}}{parts[0]}"
    w, r, b = (
        s.constant(label.format(role), np.stack([each[role] for each in packed])) for role in ("weight_x", "weight_h", "bias")
    )
    inputs: list[str | None] = [below, w, r, b, None, *starts]
    keys: dict[str, Any] = {"hidden_size": h, "direction": "forward" if stack.ways == 1 else "bidirectional"}
    if packed[0]["weight_c"] is not None:
        inputs += [s.constant(label.format("weight_c"), np.stack([each["weight_c"] for each in packed]))]
    if cell == "gru":
        keys["linear_before_reset"] = int(stack.kind == "gru_after")
    elif cell == "rnn":
        keys["activations"] = [{"rnn_tanh": "Tanh", "rnn_relu": "Relu"}[stack.kind]] * stack.ways
    count = len(starts)
    made = [s.fresh(f"{s.call.layer}/{name}") for name in ("Y", "Y_h", "Y_c")[: 1 + count]]
    s.node(KINDS[cell], inputs, made, **keys)
    outs = [made[0]] if stack.ways == 1 else [s.sliced(made[0], 1, way, way + 1) for way in range(2)]
    if "weight_o" in stack.weights or stack.ways == 1:
        flat = [squashed(stack, end, s.node("Squeeze", [out, s.ints([1])])) for end, out in zip(parts, outs)]
        return (flat[0] if stack.ways == 1 else s.node("Concat", flat, axis=2)), made[1:]
    return s.shaped(s.turned(made[0], (0, 2, 1, 3)), [stack.steps, -1, 2 * h]), made[1:]


def pack(stack: Stack, end: str) -> dict[str, Any]:
    """The parameters of a part, rows in ONNX's order; its two biases are added up there."""
    order = ORDER[stack.cell]

    def rows(array: Any) -> Any:
        blocks = np.split(array, len(order))
        return np.concatenate([blocks[at] for at in order])

    w, r = rows(stack.array("weight_x", end)), rows(stack.array("weight_h", end))
    bias, own, peep = stack.array("bias", end), np.zeros(len(w), np.float32), stack.array("weight_c", end)
    bias = own.copy() if bias is None else rows(bias)
    late = stack.array("bias_h", end)
    if late is not None:
        own[-stack.size :] = late
    elif stack.kind == "gru_after":
        own = np.zeros(len(w), np.float32)
    peep = None if peep is None else peep[list(PEEPHOLES)].reshape(-1)
    return {"weight_x": w, "weight_h": r, "bias": np.concatenate([bias, own]), "weight_c": peep}
