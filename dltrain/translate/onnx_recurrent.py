"""The recurrent operators of ONNX, in layers of ours: their gates stand in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At
from dltrain.translate.onnx_formulas import blob, constant, node
from dltrain.translate.onnx_graph import Blob, Differs, Graph, moved

# our gates in the order of theirs; of the peepholes theirs are i, o, f
GATES = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 1, 3]}
USUAL = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}


def gates(kind: str, rows: Any) -> Any:
    """Rows of all gates in our order."""
    parts = np.split(rows, len(GATES[kind]))
    return np.concatenate([parts[at] for at in GATES[kind]])


def way(at: At, w: Any, r: Any, b: Any, p: Any) -> dict[str, Any]:
    """The params of one direction."""
    kind, h = at["op"], at["hidden_size"]
    biases = np.zeros((2, len(w))) if b is None else b.reshape(2, -1).copy()
    ours = {"weight_x": gates(kind, w), "weight_h": gates(kind, r)}
    if at.get("linear_before_reset"):
        ours["bias_h"], biases[1, -h:] = biases[1, -h:].copy(), 0
    ours["bias"] = gates(kind, biases.sum(axis=0))
    return ours if p is None else ours | {"weight_c": p.reshape(3, h)[[0, 2, 1]]}


@node("RNN", "GRU", "LSTM")
def recurrent(
    net: Graph, at: At, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h0: Any = None, c0: Any = None, p: Any = None
) -> list[Any]:
    """A way back alone is half of a bidirectional one."""
    kind, ways = at["op"], {"forward": 1, "reverse": 1, "bidirectional": 2}.get(at.get("direction", "forward"), 0)
    weights = [constant(array, what) for array, what in ((w, "its weight W"), (r, "its weight R"))]
    weights += [None if array is None else constant(array, "a weight") for array in (b, p)]
    h = at.setdefault("hidden_size", weights[1].shape[-1])
    hold(at, blob(x), weights, ways, lengths)
    back = at.get("direction", "forward") == "reverse"
    sides = [way(at, *(None if array is None else array[i] for array in weights)) for i in range(ways)]
    sides = [sides[0], *sides] if back else sides
    ours = dict(sides[0]) | {f"{role}_reverse": array for role, array in sides[-1].items() if len(sides) == 2}
    states = [first(net, x, h, len(sides), back, state, at) for state in (h0, c0)[: 1 + (kind == "LSTM")]]
    if any(state is not None for state in states):
        states = [zeros(net, x, h, len(sides)) if state is None else state for state in states]
    bottoms = [x, None, None, *states] if any(state is not None for state in states) else [x]
    keys: dict[str, Any] = {"num_output": h, "bidirectional": len(sides) == 2}
    if kind == "RNN":
        keys |= {"output_term": False, "activation": activation(at)}
    else:
        keys |= (
            {"peepholes": p is not None} if kind == "LSTM" else {"reset": "after" if at.get("linear_before_reset") else "before"}
        )
    y, *ends = net.tops(kind, *bottoms, params=ours, batch=0, **keys)
    return outputs(net, at, y, ends, back)


def outputs(net: Graph, at: At, y: Blob, ends: list[Blob], back: bool) -> list[Blob]:
    """Theirs are T x ways x N x H and ways x N x H; with layout 1 the batch is in front, and in Y the ways behind T."""
    h, t = at["hidden_size"], y.shape[1]
    y = net.cut(y, 2, h, 2 * h) if back else y
    ends = [net.cut(end, 1, 1, 2) if back else end for end in ends]
    ways = y.shape[2] // h
    return [
        net.reshape(y, [t, ways, h], 0 if at.get("layout") else 2),
        *(net.reshape(end, [ways, h], 0 if at.get("layout") else 1) for end in ends),
    ]


def hold(at: At, x: Blob, weights: list[Any], ways: int, lengths: Any) -> None:
    """Refuses what ours has not."""
    time_major = not at.get("layout", 0)
    if x.ndim != 3 or x.batch != int(time_major):
        raise Differs(f"its batch stands on axis {x.batch} of {x.ndim}, and is wanted on axis {int(time_major)} of 3")
    if not ways or any(array is not None and len(array) != ways for array in weights):
        raise Differs(f"direction {at.get('direction')} with weights for {len(weights[0])}")
    if any(array is not None and array.ndim < 2 for array in weights):
        raise Differs("weights without a direction")
    if at.get("clip") or at.get("input_forget"):
        raise Differs("clip or input_forget")
    if lengths is not None and (isinstance(lengths, Blob) or np.any(np.asarray(lengths) != x.shape[1])):
        raise Differs("sequences of different lengths, by sequence_lens")
    usual = USUAL[at["op"]]
    said = [name.lower() for name in at.get("activations", usual * ways)]
    if at["op"] != "RNN" and said != usual * ways:
        raise Differs(f"activations {at['activations']}")


def activation(at: At) -> str:
    said = {str(name).lower() for name in at.get("activations", ["Tanh"])}
    if said not in ({"tanh"}, {"relu"}):
        raise Differs(f"activations {at['activations']}")
    return min(said)


def first(net: Graph, x: Blob, h: int, parts: int, back: bool, state: Any, at: At) -> Blob | None:
    """A first state: N x H, or N x parts x H; None where it is 0."""
    if state is None or (not isinstance(state, Blob) and not np.any(state)):
        return None
    if not isinstance(state, Blob):
        array = np.moveaxis(np.asarray(state), 0 if at.get("layout") else 1, 0)
        if array.ndim != 3 or (array != array[:1]).any():
            raise Differs("a first state that is constant and differs from sample to sample")
        like = net.reshape(x, list(x.shape[1:]), 0)
        state = net.blob(array[:1], Blob(Shape((like.shape[0], *array.shape[1:])), 0, like.part, like.top, like.name))
    ways = state.shape[1] if state.ndim == 3 else 0
    if state.batch != (0 if at.get("layout") else 1) or state.shape[1:] != (parts - back, h):
        raise Differs(f"a first state of {Shape(state.shape[1:])} a sample")
    made = moved(state, 0)
    if back:
        made = net("Concat", made, made, axis=1)
    return net.reshape(made, [h]) if parts == 1 else made if ways else None


def zeros(net: Graph, x: Blob, h: int, parts: int) -> Blob:
    """A first state of 0 beside one that is not."""
    return net("Constant", x, value=0.0, shape=[h] if parts == 1 else [parts, h], batch=0)
