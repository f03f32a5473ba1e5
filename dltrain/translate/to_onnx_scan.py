"""A recurrent layer step by step, as a Scan of ONNX: for what its LSTM, GRU and RNN cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet


@dataclass
class Stack:
    """What all parts of a recurrent layer have in common.  A part is one level in one direction."""

    s: Sheet
    kind: str  # rnn_tanh, lstm, gru_after, …
    weights: dict[str, Tensor]
    steps: int
    cont: str | None  # (T, N, 1)
    mask: str | None  # (T, N, 1), of 0 and 1
    static: str | None  # (N, S)

    @property
    def cell(self) -> str:
        return self.kind.split("_")[0]

    @property
    def ends(self) -> list[str]:
        return [name.removeprefix("weight_x") for name in self.weights if name.startswith("weight_x")]

    @property
    def ways(self) -> int:
        return 2 if "_reverse" in self.ends else 1

    @property
    def size(self) -> int:
        return self.weights["weight_h"].shape[1]

    @property
    def plain(self) -> bool:
        """True where an operator of ONNX says it: nothing is seen but x, and no step is another's start or padding."""
        return self.cont is None and self.mask is None and self.static is None

    def array(self, role: str, end: str) -> Any:
        """A parameter of a part; None where the layer has none of this role."""
        name = role + end
        return self.s.array(self.weights[name]) if name in self.weights else None


def squashed(stack: Stack, end: str, out: str) -> str:
    """tanh(W_o h + b_o), where a part has it."""
    return out if "weight_o" + end not in stack.weights else stack.s.node("Tanh", [linear(stack, out, "weight_o", "bias_o", end)])


def linear(stack: Stack, x: str, weight: str, bias: str | None, end: str) -> str:
    """x W' + b for any number of axes before the last."""
    s = stack.s
    made = s.node("MatMul", [x, s.constant(f"{s.call.layer}.{weight}{end}", stack.array(weight, end).T)])
    term = None if bias is None else stack.array(bias, end)
    return made if term is None else s.node("Add", [made, s.constant(f"{s.call.layer}.{bias}{end}", term)])


def scans(stack: Stack, parts: list[str], below: str, starts: list[str | None]) -> tuple[str, list[str]]:
    """One level, each part a Scan: what is the same for all steps is done before, the output's own weights after."""
    s, outs, lasts = stack.s, [], []
    for way, end in enumerate(parts):
        a = linear(stack, below, "weight_x", "bias", end)
        if stack.static is not None and "weight_static" + end in stack.weights:
            a = s.node("Add", [a, linear(stack, stack.static, "weight_static", None, end)])
        keep = stack.cont if not way or stack.cont is None else turned_border(stack)
        first = [zeros(stack, a) if state is None else s.shaped(s.sliced(state, 0, way, way + 1), [-1, stack.size])
                 for state in starts]  # fmt: skip
        out, *last = scan(stack, end, way, a, keep, first)
        out = squashed(stack, end, out)
        outs.append(out if stack.mask is None else s.node("Mul", [out, stack.mask]))
        lasts.append([s.node("Unsqueeze", [state, s.ints([0])]) for state in last])
    if len(outs) == 1:
        return outs[0], lasts[0]
    return s.node("Concat", outs, axis=2), [s.node("Concat", pair, axis=0) for pair in zip(*lasts)]


def turned_border(stack: Stack) -> str:
    """Backwards, the border is crossed after the step that starts a sequence: cont a step earlier, and 1 at the end."""
    s, cont = stack.s, stack.cont
    assert cont is not None
    ones = s.node("Add", [s.node("Mul", [s.sliced(cont, 0, 0, 1), s.number(0.0)]), s.number(1.0)])
    return ones if stack.steps == 1 else s.node("Concat", [s.sliced(cont, 0, 1, stack.steps), ones], axis=0)


def zeros(stack: Stack, a: str) -> str:
    """(N, H), for as many samples as there are in a (T, N, ...)."""
    s = stack.s
    sizes = s.node("Concat", [s.node("Shape", [a], start=1, end=2), s.ints([stack.size])], axis=0)
    return s.node("ConstantOfShape", [sizes])


def scan(stack: Stack, end: str, way: int, a: str, keep: str | None, first: list[str]) -> list[str]:
    """A part step by step: its outputs (T, N, H) and its last states."""
    s, helper = stack.s, stack.s.onnx.helper
    seen = [value for value in (a, keep, stack.mask) if value is not None]
    given = [s.fresh(f"{s.call.layer}/{name}") for name in ("h", "c")[: len(first)]]
    each = [s.fresh(f"{s.call.layer}/{name}") for name, value in (("a", a), ("cont", keep), ("mask", stack.mask)) if value]
    named = iter(each)
    step, border, counts = next(named), next(named) if keep else None, next(named) if stack.mask else None
    with s.body() as nodes:
        before = [s.node("Mul", [state, border]) if border else state for state in given]
        after = CELLS[stack.cell](stack, end, step, before)
        if counts:
            rest = s.node("Sub", [s.number(1.0), counts])
            after = [s.node("Add", [s.node("Mul", [counts, new]), s.node("Mul", [rest, old])]) for new, old in zip(after, before)]
        tops = [s.node("Identity", [state]) for state in (*after, after[0])]
    infos = [
        [helper.make_tensor_value_info(name, s.onnx.TensorProto.FLOAT, None) for name in names]
        for names in ([*given, *each], tops)
    ]
    body = helper.make_graph(nodes, s.fresh(f"{s.call.layer}/step"), *infos)
    made = [s.fresh(f"{s.call.layer}/Scan") for _ in tops]
    ways = {"scan_input_directions": [way] * len(seen), "scan_output_directions": [way]}
    s.node("Scan", [*first, *seen], made, body=body, num_scan_inputs=len(seen), **ways)
    return [made[-1], *made[:-1]]


def gates(stack: Stack, x: str, count: int) -> list[str]:
    s = stack.s
    made = [s.fresh(f"{s.call.layer}/gate") for _ in range(count)]
    s.node("Split", [x, s.ints([stack.size] * count)], made, axis=1)
    return made


def rnn_step(stack: Stack, end: str, a: str, states: list[str]) -> list[str]:
    s = stack.s
    z = s.node("Add", [a, linear(stack, states[0], "weight_h", None, end)])
    return [s.node("Tanh" if stack.kind == "rnn_tanh" else "Relu", [z])]


def lstm_step(stack: Stack, end: str, a: str, states: list[str]) -> list[str]:
    s, (h, c) = stack.s, states
    i, f, o, g = gates(stack, s.node("Add", [a, linear(stack, h, "weight_h", None, end)]), 4)
    peep = stack.array("weight_c", end)

    def seeing(gate: str, row: int, cell: str) -> str:
        if peep is None:
            return gate
        return s.node("Add", [gate, s.node("Mul", [cell, s.constant(f"{s.call.layer}.weight_c{end}/{row}", peep[row])])])

    kept = s.node("Mul", [s.node("Sigmoid", [seeing(f, 1, c)]), c])
    new = s.node("Add", [kept, s.node("Mul", [s.node("Sigmoid", [seeing(i, 0, c)]), s.node("Tanh", [g])])])
    return [s.node("Mul", [s.node("Sigmoid", [seeing(o, 2, new)]), s.node("Tanh", [new])]), new]


def gru_step(stack: Stack, end: str, a: str, states: list[str]) -> list[str]:
    s, h, size = stack.s, states[0], stack.size
    w = stack.array("weight_h", end)
    name = f"{s.call.layer}.weight_h{end}"
    both, last = s.constant(f"{name}/gates", w[: 2 * size].T), s.constant(f"{name}/new", w[2 * size :].T)
    ar, az, an = gates(stack, a, 3)
    hr, hz = gates(stack, s.node("MatMul", [h, both]), 2)
    r, z = (s.node("Sigmoid", [s.node("Add", pair)]) for pair in ((ar, hr), (az, hz)))
    if stack.kind == "gru_after":
        late, q = stack.array("bias_h", end), s.node("MatMul", [h, last])
        q = q if late is None else s.node("Add", [q, s.constant(f"{s.call.layer}.bias_h{end}", late)])
        q = s.node("Mul", [r, q])
    else:
        q = s.node("MatMul", [s.node("Mul", [r, h]), last])
    n = s.node("Tanh", [s.node("Add", [an, q])])
    return [s.node("Add", [s.node("Mul", [z, h]), s.node("Mul", [s.node("Sub", [s.number(1.0), z]), n])])]


CELLS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}
