"""What all recurrent layers promise: sequences against single steps, borders, padding, levels, directions, axes, states."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.errors import Refusal
from dltrain.layers.embed import Embed
from dltrain.layers.euclidean_loss import EuclideanLoss
from dltrain.layers.gru import GRU
from dltrain.layers.gru_cell import GRUCell
from dltrain.layers.lstm import LSTM
from dltrain.layers.lstm_cell import LSTMCell
from dltrain.layers.rnn import RNN
from dltrain.layers.rnn_cell import RNNCell
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_gradient, check_layer, samples
from dltrain.wiring import Line

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2))
FIRST = RNG.standard_normal((2, N, H))
CONT = np.array([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0]])
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1]])

OWN: list[tuple[Any, dict[str, Any]]] = [
    (RNN, {}), (RNN, {"output_term": False}), (LSTM, {}), (LSTM, {"peepholes": True}), (GRU, {}), (GRU, {"reset": "before"}),
]  # fmt: skip
NAMES = [" ".join([kind.__name__, *map(str, own)]) for kind, own in OWN]
each = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
each_formula = pytest.mark.parametrize(("kind", "own"), OWN, ids=NAMES)
each_cell = pytest.mark.parametrize(("cell", "kind", "own"), [
    (RNNCell, RNN, {}), (RNNCell, RNN, {"activation": "relu"}), (LSTMCell, LSTM, {}), (LSTMCell, LSTM, {"peepholes": True}),
    (GRUCell, GRU, {}), (GRUCell, GRU, {"reset": "before"}),
])  # fmt: skip
one_way_or_both = pytest.mark.parametrize("bidirectional", [False, True])


def named(kind: Any, roles: Any) -> Any:
    """The layer over just these bottoms, of those that it may have."""

    class Named(kind):  # type: ignore[misc]
        def setup(self, *shapes: Shape) -> Any:
            return kind.setup(self, **dict(zip(roles, shapes, strict=True)))

    return Named


class Ran:
    """A layer over named bottoms: its tops, and the gradients by each bottom and parameter."""

    def __init__(self, kind: Any, given: dict[str, Any], params: Any = None, dys: Any = None, **keys: Any) -> None:
        layer, self.arrays = named(kind, given)(**{"num_output": H} | keys), [np.asarray(x) for x in given.values()]
        shapes = [Shape(x.shape, "index" if x.dtype.kind == "i" else "float") for x in self.arrays]
        self.params = samples(layer, shapes, seed=1)[1] if params is None else params
        self.trial, self.given = Trial(layer, shapes), given
        self.dys = dys or [np.random.default_rng(2).standard_normal(shape) for shape in self.trial.promised]
        self.again(*self.arrays)

    def again(self, *xs: Any) -> list[Any]:
        self.tops, dxs, self.grads = self.trial.run(xs, self.dys, self.params)
        self.dxs = dict(zip(self.given, dxs, strict=True))
        return self.tops


def first(kind: Any, states: Any = FIRST) -> dict[str, Any]:
    """The bottoms h0 and, where there is a cell, c0."""
    return dict(zip(("h0", "c0")[: len(kind.more_tops)], states))


def same(found: Any, expected: Any) -> None:
    """Of two arrays, two lists or two dictionaries of arrays."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


# --- over time ---
@each_formula
def test_without_states_and_cont_it_starts_from_zero_and_goes_on(kind: Any, own: Any) -> None:
    made = Ran(kind, {"x": X}, **own)
    same(Ran(kind, {"x": X, "cont": np.ones((N, T), int), **first(kind, 0 * FIRST)}, made.params, **own).tops, made.tops)


@each_formula
def test_a_whole_sequence_is_its_steps_one_by_one(kind: Any, own: Any) -> None:
    """Forward, and backward: the gradients of the states go from step to step."""
    whole = Ran(kind, {"x": X, "cont": CONT, **first(kind)}, **own)
    states, steps = list(first(kind).values()), []
    for t in range(T):
        now = slice(t, t + 1)
        steps.append(Ran(kind, {"x": X[:, now], "cont": CONT[:, now], **first(kind, states)}, whole.params, **own))
        states = steps[-1].tops[1:]
        same(steps[-1].tops[0][:, 0], whole.tops[0][:, t])
    same(states, whole.tops[1:])
    dstates, grads = whole.dys[1:], dict.fromkeys(whole.grads, 0.0)
    for t in reversed(range(T)):
        steps[t].dys = [whole.dys[0][:, t : t + 1], *dstates]
        steps[t].again(*steps[t].arrays)
        dstates = [steps[t].dxs[role] for role in first(kind)]
        same(steps[t].dxs["x"][:, 0], whole.dxs["x"][:, t])
        grads = {role: grads[role] + grad for role, grad in steps[t].grads.items()}
    same(dstates, [whole.dxs[role] for role in first(kind)])
    same(grads, whole.grads)


@one_way_or_both
@each
def test_two_sequences_in_a_row_are_each_on_its_own(kind: Any, bidirectional: bool) -> None:
    cont = np.ones((N, T), int)
    cont[:, 0] = cont[:, 2] = 0
    both = Ran(kind, {"x": X, "cont": cont}, bidirectional=bidirectional)
    for part in (slice(0, 2), slice(2, T)):
        same(both.tops[0][:, part], Ran(kind, {"x": X[:, part]}, both.params, bidirectional=bidirectional).tops[0])


@each
@pytest.mark.parametrize("values", [[0.0, 0.5, 1.0], [1.0, 1.0, 2.0]])
def test_cont_may_be_any_number(kind: Any, values: list[float]) -> None:
    check_gradient(kind(num_output=2), (1, 3, 2), (1, 3), xs=[X[:1, :3, :2], np.array([values])])


@each_formula
def test_the_static_bottom_is_seen_at_every_step(kind: Any, own: Any) -> None:
    made = Ran(kind, {"x": X, "x_static": STATIC}, **own)
    joined = np.concatenate([X, np.repeat(STATIC[:, None], T, axis=1)], axis=2)
    params = {**made.params, "weight_x": np.concatenate([made.params["weight_x"], made.params["weight_static"]], axis=1)}
    del params["weight_static"]
    other = Ran(kind, {"x": joined}, params, made.dys, **own)
    same(made.tops, other.tops)
    same(made.dxs["x_static"], other.dxs["x"][:, :, D:].sum(axis=1))
    same(made.grads["weight_static"], other.grads["weight_x"][:, D:])


# --- padding ---
@each
def test_padding_changes_nothing_but_its_own_place(kind: Any) -> None:
    padded = X + 100 * (1 - MASK)[..., None]
    one, other = (Ran(kind, {"x": x, "cont": np.ones((N, T), int), "mask": MASK}) for x in (X, padded))
    assert not one.tops[0][MASK == 0].any() and not one.dxs["x"][MASK == 0].any()
    same(one.tops, other.tops)
    same(one.grads, other.grads)


@one_way_or_both
@each
def test_a_padded_sequence_is_the_shorter_one(kind: Any, bidirectional: bool) -> None:
    made = Ran(kind, {"x": X, "mask": MASK}, bidirectional=bidirectional)
    for n in range(N):
        live = MASK[n] == 1
        dys = [made.dys[0][n : n + 1, live], *(dy[n : n + 1] for dy in made.dys[1:])]
        short = Ran(kind, {"x": X[n : n + 1, live]}, made.params, dys, bidirectional=bidirectional)
        same([made.tops[0][n, live], *(top[n] for top in made.tops[1:])], [top[0] for top in short.tops])
        same(made.dxs["x"][n, live], short.dxs["x"][0])


@each
def test_a_sequence_may_start_at_a_padded_step(kind: Any) -> None:
    border = np.array([[1, 1, 0, 1]])
    made = Ran(kind, {"x": X[:1, :4], "cont": border, **first(kind, FIRST[:, :1]), "mask": border})
    same(made.tops[0][0, 3], Ran(kind, {"x": X[:1, 3:4]}, made.params).tops[0][0, 0])


# --- levels, directions, axes ---
@each
def test_the_way_back_is_the_way_forth_of_the_turned_sequence(kind: Any) -> None:
    both = Ran(kind, {"x": X}, bidirectional=True)
    forth = {role: value for role, value in both.params.items() if not role.endswith("_reverse")}
    one, turned = (
        Ran(kind, {"x": X}, forth),
        Ran(kind, {"x": X[:, ::-1]}, {role: both.params[f"{role}_reverse"] for role in forth}),
    )
    same(both.tops[0], np.concatenate([one.tops[0], turned.tops[0][:, ::-1]], axis=2))
    same(both.tops[1:], [np.stack(pair, axis=1) for pair in zip(one.tops[1:], turned.tops[1:], strict=True)])


@one_way_or_both
@each
def test_two_levels_are_two_layers(kind: Any, bidirectional: bool) -> None:
    given = {"cont": CONT, "x_static": STATIC, "mask": MASK}
    both = Ran(kind, {"x": X, **given}, num_layers=2, bidirectional=bidirectional)
    low = {role: value for role, value in both.params.items() if "_l1" not in role}
    high = {role.replace("_l1", ""): value for role, value in both.params.items() if "_l1" in role}
    ends = (slice(0, 2), slice(2, 4)) if bidirectional else (0, 1)
    one = Ran(kind, {"x": X, **given}, low, bidirectional=bidirectional)
    two = Ran(kind, {"x": one.tops[0], "cont": CONT, "mask": MASK}, high, [both.dys[0], *(dy[:, ends[1]] for dy in both.dys[1:])],
              bidirectional=bidirectional)  # fmt: skip
    one.dys = [two.dxs["x"], *(dy[:, ends[0]] for dy in both.dys[1:])]
    one.again(*one.arrays)
    same(both.tops[0], two.tops[0])
    for end, level in zip(ends, (one, two), strict=True):
        same([state[:, end] for state in both.tops[1:]], level.tops[1:])
    same([both.dxs[role] for role in ("x", "x_static")], [one.dxs[role] for role in ("x", "x_static")])
    grads = {**one.grads, **{f"{r}_l1".replace("_reverse_l1", "_l1_reverse"): grad for r, grad in two.grads.items()}}
    same(both.grads, {role: grads[role] for role in both.grads})


@pytest.mark.parametrize("keys", [{}, {"num_layers": 2, "bidirectional": True}])
@each
def test_time_major_is_the_transpose(kind: Any, keys: Any) -> None:
    one = Ran(kind, {"x": X, "cont": CONT, "x_static": STATIC, "mask": MASK}, **keys)
    given = {"x": X.swapaxes(0, 1), "cont": CONT.T, "x_static": STATIC, "mask": MASK.T}
    other = Ran(kind, given, one.params, [one.dys[0].swapaxes(0, 1), *one.dys[1:]], time_major=True, **keys)
    same([one.tops[0].swapaxes(0, 1), *one.tops[1:]], other.tops)
    same(one.dxs["x"].swapaxes(0, 1), other.dxs["x"])
    same(one.grads, other.grads)


@pytest.mark.parametrize("front", [(), (1,)])
@each
def test_caffes_state_with_one_in_front_is_taken_with_time_major(kind: Any, front: tuple[int, ...]) -> None:
    given = {"x": X.swapaxes(0, 1), **first(kind, FIRST.reshape(2, *front, N, H))}
    made = Ran(kind, given, time_major=True)
    same(made.tops[0].swapaxes(0, 1), Ran(kind, {"x": X, **first(kind)}, made.params).tops[0])
    assert made.dxs["h0"].shape == (*front, N, H)


@each
def test_all_axes_after_time_are_one(kind: Any) -> None:
    flat = Ran(kind, {"x": X})
    same(Ran(kind, {"x": X.reshape(N, T, 2, 1, 2)}, flat.params).tops, flat.tops)
    assert Ran(kind, {"x": X[:, :, 0]}).params["weight_x"].shape == (len(flat.params["weight_x"]), 1)


# --- states ---
@each
def test_the_gradient_of_the_last_state_alone_reaches_the_first(kind: Any) -> None:
    made = Ran(
        kind, {"x": X, **first(kind)}, dys=[np.zeros((N, T, H)), *([np.zeros((N, H))] * len(kind.more_tops))[1:], np.ones((N, H))]
    )
    assert all(np.abs(made.dxs[role]).max() > 0 for role in first(kind)) and made.grads["weight_x"].any()


@each
def test_truncated_states_pass_no_gradient_either_way(kind: Any) -> None:
    given = {"x": X, **first(kind)}
    made = Ran(kind, given, truncate_state=True)
    assert not any(made.dxs[role].any() for role in first(kind))
    other = Ran(kind, given, made.params, [made.dys[0], *map(np.zeros_like, made.dys[1:])])
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads, other.grads)


@pytest.mark.parametrize("layers", [1, 2])
@each
def test_a_carried_state_makes_one_sequence_of_two_batches(kind: Any, layers: int) -> None:
    whole = Ran(kind, {"x": X, "cont": CONT}, num_layers=layers)
    made = Ran(kind, {"x": X[:, :3], "cont": CONT[:, :3]}, whole.params, carry=True, num_layers=layers)
    same(made.tops[0], whole.tops[0][:, :3])
    same(made.again(X[:, 3:], CONT[:, 3:]), [whole.tops[0][:, 3:], *whole.tops[1:]])


@each
def test_the_gradient_of_a_carried_state_ends_at_the_batch(kind: Any) -> None:
    """The second batch sees the state, as one that is given; its weight gradients are those of a given state."""
    made = Ran(kind, {"x": X[:, :3]}, carry=True)
    states = made.tops[1:]
    made.again(X[:, 3:])
    other = Ran(kind, {"x": X[:, 3:], **first(kind, states)}, made.params, made.dys)
    same(made.tops, other.tops)
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads, other.grads)


def started(lines: list[Line], fields: dict[str, Shape]) -> tuple[Engine, dict[str, Any]]:
    """An engine with first weights, and its parameters by name."""
    engine = Engine(Net(lines, fields, batch=N), Reference(np.float64))
    engine.initialise(1)
    return engine, {part.name: part for part in engine.net.store.segments.values()}


@each
def test_a_carried_state_is_kept_for_each_split(kind: Any) -> None:
    engine, _ = started([Line("l", kind(num_output=H, carry=True))], {"x": Shape((T, D))})

    def y(split: str) -> Any:
        engine.forward("test", {"x": X}, split, upto=("l",))
        return engine.blob("l")

    one, two, other, three = y("val"), y("val"), y("test"), y("val")
    same(other, one)
    assert all(np.abs(before - after).max() > 1e-3 for before, after in ((one, two), (two, three), (one, three)))
    engine.reset()
    same(y("val"), one)


# --- in a net ---
@each
def test_an_encoder_hands_its_states_to_a_decoder(kind: Any) -> None:
    fields = {"words": Shape((T,), "index"), "cont": Shape((T,), "index"), "static": Shape((2,)), "target": Shape((T, H))}
    reads = {"x": "e", "cont": "cont", "x_static": "static", **first(kind, ["enc.state", "enc.cell"])}
    lines = [Line("e", Embed(num_output=D, input_dim=7), "words"), Line("enc", kind(num_output=H)),
             Line("dec", kind(num_output=H), reads), Line("loss", EuclideanLoss(), ["dec", "target"])]  # fmt: skip
    engine, parts = started(lines, fields)
    words, target = RNG.integers(0, 7, (N, T)), RNG.standard_normal((N, T, H))
    batch = {"words": words, "cont": np.ones((N, T)), "static": STATIC, "target": target}
    w, loss = engine.memory.slot("w", parts["enc.weight_h"]), []
    for step in (1e-5, -2e-5, 1e-5):
        engine.memory.memory(engine.memory.handles["g"])[...] = 0
        w[3, 2] += step
        loss.append(engine.step([batch], {})["loss"])
    slope = (loss[0] - loss[1]) / 2e-5
    assert abs(slope) > 1e-6
    assert engine.memory.slot("g", parts["enc.weight_h"])[3, 2] == pytest.approx(slope, rel=1e-4)


@each
def test_a_frozen_weight_gets_no_gradient_and_the_others_do(kind: Any) -> None:
    lines = [Line("l", kind(num_output=H), params={"weight_x": {"freeze": True}}), Line("loss", EuclideanLoss(), ["l", "target"])]
    engine, parts = started(lines, {"x": Shape((T, D)), "target": Shape((T, H))})
    engine.step([{"x": X, "target": np.ones((N, T, H))}], {})
    assert parts["l.weight_x"].handle.grad is None
    assert engine.memory.slot("g", parts["l.weight_h"]).any() and engine.memory.slot("g", parts["l.bias"]).any()


# --- promises ---
@pytest.mark.parametrize(("keys", "y", "state"), [
    ({}, (N, T, H), (N, H)), ({"num_layers": 2}, (N, T, H), (N, 2, H)), ({"bidirectional": True}, (N, T, 2 * H), (N, 2, H)),
])  # fmt: skip
@each
def test_the_shapes_of_its_tops(kind: Any, keys: Any, y: Any, state: Any) -> None:
    assert Ran(kind, {"x": X}, **keys).trial.promised == [y, *[state] * len(kind.more_tops)]


ALL: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {"x": (3,)}, "bottom", "needs sequences, N x T x ..., not 3"),
    ({}, {"x": Shape((3, 4), "index")}, "bottom", "needs real numbers, not the integers of 3 x 4"),
    ({}, {"x": (3, 6, 4), "cont": (6, 3)}, "bottom", "cont must be 3 x 6, not 6 x 3"),
    ({"time_major": True}, {"x": (6, 3, 4), "cont": (3, 6)}, "bottom", "cont must be 6 x 3, not 3 x 6"),
    ({}, {"x": (3, 6, 4), "x_static": (2, 4)}, "bottom", "x_static must be 3 x 4, not 2 x 4"),
    ({}, {"x": (3, 6, 4), "x_static": Shape((3, 4), "index")}, "bottom", "needs real numbers, not the integers of 3 x 4"),
    ({}, {"x": (3, 6, 4), "h0": (3, 4)}, "bottom", "h0 must be 3 x 5, not 3 x 4"),
    ({}, {"x": (3, 6, 4), "h0": (1, 3, 5)}, "bottom", "h0 must be 3 x 5, not 1 x 3 x 5"),
    ({"time_major": True}, {"x": (6, 3, 4), "h0": ()}, "bottom", "h0 must be 3 x 5, not one number"),
    ({"num_layers": 2}, {"x": (3, 6, 4), "h0": (3, 5)}, "bottom", "h0 must be 3 x 2 x 5, not 3 x 5"),
    ({}, {"x": (3, 6, 4), "mask": (3,)}, "bottom", "mask must be 3 x 6, not 3"),
    ({"carry": True, "bidirectional": True}, {"x": (3, 6, 4)}, "carry",
     "does not go with bidirectional: the way back would start in the next batch; remove one"),
]  # fmt: skip
ONE = "takes the first state from the last batch, not from h0; remove one"
TWO = "takes the first states from the last batch, not from h0 or c0; remove one"


@pytest.mark.parametrize(("kind", "keys", "given", "key", "words"), [
    *((kind, *row) for kind in (RNN, LSTM, GRU) for row in ALL),
    (LSTM, {}, {"x": (3, 6, 4), "h0": (3, 5), "c0": (3, 6)}, "bottom", "c0 must be 3 x 5, not 3 x 6"),
    *((kind, {"carry": True}, {"x": (3, 6, 4), "h0": (3, 5)}, "carry", words) for kind, words in ((RNN, ONE), (LSTM, TWO), (GRU, ONE))),
    (LSTM, {"carry": True}, {"x": (3, 6, 4), "c0": (3, 5)}, "carry", TWO),
    *((cell, {}, {"x": (3, 4), "h": h, **c}, "bottom", f"h must be 3 x 5, as num_output says, not {Shape(h)}")
      for cell, c in ((RNNCell, {}), (LSTMCell, {"c": (3, 5)}), (GRUCell, {})) for h in ((3, 4), (2, 5))),
    (LSTMCell, {}, {"x": (3, 4), "h": (3, 5), "c": (2, 5)}, "bottom", "c must be 3 x 5, as num_output says, not 2 x 5"),
    *((cell, {}, {"x": Shape((3, 4), "index"), "h": (3, 5), **c}, "bottom", "needs real numbers, not the integers of 3 x 4")
      for cell, c in ((RNNCell, {}), (LSTMCell, {"c": (3, 5)}), (GRUCell, {}))),
])  # fmt: skip
def test_refuses(kind: Any, keys: Any, given: dict[str, Any], key: str, words: str) -> None:
    shapes = [shape if isinstance(shape, Shape) else Shape(shape) for shape in given.values()]
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        Trial(named(kind, given)(num_output=5, **keys), shapes)
    assert caught.value.key == key


@pytest.mark.parametrize(("kind", "weights"), [(RNN, 200 * 500), (LSTM, 800 * 300), (GRU, 600 * 300)])
def test_the_arithmetic_is_counted(kind: Any, weights: int) -> None:
    calls = Trial(kind(num_output=200, bias_term=False), [Shape((20, 30, 100))]).graph.calls
    once = 2 * 20 * 30 * weights
    assert {call.op.name: call.op.flops(call.args) for call in calls} == {"recurrent": once, "recurrent_grad": 2 * once}


@each_formula
def test_nothing_is_kept_for_the_way_back_where_there_is_none(kind: Any, own: Any) -> None:
    calls = Trial(kind(num_output=H, **own), [Shape((N, T, D))], train=False).graph.calls
    assert [call.args["tape"] for call in calls] == [()]


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize(("kind", "keys"), [*OWN, *((kind, {"num_layers": 3, "bidirectional": True}) for kind in (RNN, LSTM, GRU)),
                                            (LSTM, {"num_layers": 3, "bidirectional": True, "peepholes": True})])  # fmt: skip
def test_sits_the_exam(kind: Any, keys: Any, static: bool) -> None:
    check_layer(kind(num_output=3, **keys), (2, 4, 3), Shape((2, 4), "index"), *([(2, 2)] if static else []))


# --- one step ---
@pytest.mark.parametrize("bias", [True, False])
@each_cell
def test_a_cell_is_a_sequence_of_one_step(cell: Any, kind: Any, own: Any, bias: bool) -> None:
    states, dstates = RNG.standard_normal((2, len(kind.more_tops), N, H))
    x, dy = RNG.standard_normal((N, D)), RNG.standard_normal((N, H))
    given = {"x": x[:, None], **first(kind, states)}
    plain = {"output_term": False} if kind is RNN else {}
    whole = Ran(kind, given, None, [dy[:, None], 0 * dy, *dstates[1:]], bias_term=bias, **own, **plain)
    one = Ran(cell, {"x": x, **dict(zip("hc", states))}, whole.params, [dy, *dstates[1:]], bias_term=bias, **own)
    same(one.tops, [whole.tops[0][:, 0], *whole.tops[2:]])
    same(list(one.dxs.values()), [whole.dxs["x"][:, 0], *(whole.dxs[role] for role in first(kind))])
    same(one.grads, whole.grads)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (3,), (2, 3, 2)])
@pytest.mark.parametrize("bias", [True, False])
@each_cell
def test_a_cell_sits_the_exam(cell: Any, kind: Any, own: Any, bias: bool, shape: tuple[int, ...]) -> None:
    states = [(shape[0], 3)] * len(kind.more_tops)
    check_layer(cell(num_output=3, bias_term=bias, **own), shape, *states)
