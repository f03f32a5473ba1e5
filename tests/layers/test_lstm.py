"""LSTM: whole sequences against single steps, borders, padding, levels, directions, states that are given, made and carried."""

from __future__ import annotations

from math import exp, tanh
from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layer import Layer
from dltrain.layers.embed import Embed
from dltrain.layers.euclidean_loss import EuclideanLoss
from dltrain.layers.lstm import LSTM
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_gradient, check_layer, samples
from dltrain.wiring import Line

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2))
H0, C0 = RNG.standard_normal((2, N, H))
CONT = np.array([[0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 0]])
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1]])


class Ran:
    """A layer over named bottoms: its tops, and the gradients by each bottom and parameter."""

    def __init__(self, kind: type[Layer], keys: Any, given: dict[str, Any], params: Any = None, dys: Any = None) -> None:
        class Named(kind):  # type: ignore[misc, valid-type]
            def setup(self, *shapes: Shape) -> Any:
                return kind.setup(self, **dict(zip(given, shapes, strict=True)))

        layer, self.arrays = Named(**keys), [np.asarray(x) for x in given.values()]
        shapes = [Shape(x.shape, "index" if x.dtype.kind == "i" else "float") for x in self.arrays]
        self.params = samples(layer, shapes, seed=1)[1] if params is None else params
        self.trial, self.given = Trial(layer, shapes), given
        self.dys = dys or [np.random.default_rng(2).standard_normal(shape) for shape in self.trial.promised]
        self.again(*self.arrays)

    def again(self, *xs: Any) -> list[Any]:
        self.tops, dxs, self.grads = self.trial.run(xs, self.dys, self.params)
        self.dxs = dict(zip(self.given, dxs, strict=True))
        return self.tops


def lstm(given: dict[str, Any], params: Any = None, dys: Any = None, **keys: Any) -> Ran:
    return Ran(LSTM, {"num_output": H} | keys, given, params, dys)


def by_definition(x: Any, w: dict[str, Any], cont: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """Sample by sample, step by step, unit by unit."""
    y, h, c = np.zeros((N, T, H)), h.copy(), c.copy()
    peep = w.get("weight_c", np.zeros((3, H)))
    for n, t in np.ndindex(N, T):
        before, kept = h[n] * cont[n, t], c[n] * cont[n, t]
        for u in range(H):
            a = [w["weight_x"][g * H + u] @ x[n, t] + w["bias"][g * H + u] + w["weight_h"][g * H + u] @ before for g in range(4)]
            i, f = (1 / (1 + exp(-(a[g] + peep[g, u] * kept[u]))) for g in range(2))
            c[n, u] = f * kept[u] + i * tanh(a[3])
            h[n, u] = tanh(c[n, u]) / (1 + exp(-(a[2] + peep[2, u] * c[n, u])))
        y[n, t] = h[n]
    return y, h, c


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


# --- what it computes ---
def test_two_steps_by_hand() -> None:
    params = {"weight_x": [[0.0], [0], [0], [1]], "bias": [0, 0, 0, 0], "weight_h": [[0.0], [0], [0], [0]]}
    made = lstm({"x": [[[1.0], [2.0]]]}, params, num_output=1)
    one = 0.5 * tanh(1)  # all gates are half open
    two = 0.5 * one + 0.5 * tanh(2)
    same(made.tops[0], [[[0.5 * tanh(one)], [0.5 * tanh(two)]]])
    same(made.tops[1], [[0.5 * tanh(two)]])
    same(made.tops[2], [[two]])


@pytest.mark.parametrize("peepholes", [False, True])
def test_is_what_the_definition_says(peepholes: bool) -> None:
    made = lstm({"x": X, "cont": CONT, "h0": H0, "c0": C0}, peepholes=peepholes)
    for found, expected in zip(made.tops, by_definition(X, made.params, CONT, H0, C0), strict=True):
        same(found, expected)


def test_without_states_and_cont_it_starts_from_zero_and_goes_on() -> None:
    made, zero = lstm({"x": X}), np.zeros((N, H))
    same(made.tops[0], by_definition(X, made.params, np.ones((N, T)), zero, zero)[0])


def test_a_whole_sequence_is_its_steps_one_by_one() -> None:
    """Forward, and backward: the gradients of the states go from step to step."""
    whole = lstm({"x": X, "cont": CONT, "h0": H0, "c0": C0})
    h, c, steps = H0, C0, []
    for t in range(T):
        steps.append(lstm({"x": X[:, t : t + 1], "cont": CONT[:, t : t + 1], "h0": h, "c0": c}, whole.params))
        h, c = steps[-1].tops[1:]
        same(steps[-1].tops[0][:, 0], whole.tops[0][:, t])
    same(h, whole.tops[1])
    same(c, whole.tops[2])
    dh, dc, grads = whole.dys[1], whole.dys[2], dict.fromkeys(whole.grads, 0.0)
    for t in reversed(range(T)):
        steps[t].dys = [whole.dys[0][:, t : t + 1], dh, dc]
        steps[t].again(*steps[t].arrays)
        dh, dc = steps[t].dxs["h0"], steps[t].dxs["c0"]
        same(steps[t].dxs["x"][:, 0], whole.dxs["x"][:, t])
        grads = {role: grads[role] + grad for role, grad in steps[t].grads.items()}
    same(dh, whole.dxs["h0"])
    same(dc, whole.dxs["c0"])
    for role, grad in grads.items():
        same(grad, whole.grads[role])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_sequences_in_a_row_are_each_on_its_own(bidirectional: bool) -> None:
    cont = np.ones((N, T), int)
    cont[:, 0] = cont[:, 2] = 0
    both = lstm({"x": X, "cont": cont}, bidirectional=bidirectional)
    for part in (slice(0, 2), slice(2, T)):
        alone = lstm({"x": X[:, part]}, both.params, [both.dys[0][:, part], *map(np.zeros_like, both.dys[1:])],
                     bidirectional=bidirectional)  # fmt: skip
        same(both.tops[0][:, part], alone.tops[0])


def test_the_static_bottom_is_seen_at_every_step() -> None:
    made = lstm({"x": X, "x_static": STATIC})
    joined = np.concatenate([X, np.repeat(STATIC[:, None], T, axis=1)], axis=2)
    weights = np.concatenate([made.params["weight_x"], made.params["weight_static"]], axis=1)
    other = lstm({"x": joined}, {**{r: made.params[r] for r in ("bias", "weight_h")}, "weight_x": weights}, made.dys)
    same(made.tops[0], other.tops[0])
    same(made.dxs["x_static"], other.dxs["x"][:, :, D:].sum(axis=1))
    same(made.grads["weight_static"], other.grads["weight_x"][:, D:])


# --- padding ---
def test_padding_changes_nothing_but_its_own_place() -> None:
    padded = X + 100 * (1 - MASK)[..., None]
    one, other = (lstm({"x": x, "cont": np.ones((N, T), int), "mask": MASK}) for x in (X, padded))
    assert not one.tops[0][MASK == 0].any() and not one.dxs["x"][MASK == 0].any()
    for found, expected in zip([*one.tops, *one.grads.values()], [*other.tops, *other.grads.values()], strict=True):
        if found.shape != one.grads["weight_x"].shape:
            same(found, expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_sequence_is_the_shorter_one(bidirectional: bool) -> None:
    made = lstm({"x": X, "mask": MASK}, bidirectional=bidirectional)
    for n in range(N):
        live = MASK[n] == 1
        dys = [made.dys[0][n : n + 1, live], made.dys[1][n : n + 1], made.dys[2][n : n + 1]]
        short = lstm({"x": X[n : n + 1, live]}, made.params, dys, bidirectional=bidirectional)
        same(made.tops[0][n, live], short.tops[0][0])
        same(made.tops[1][n], short.tops[1][0])
        same(made.tops[2][n], short.tops[2][0])
        same(made.dxs["x"][n, live], short.dxs["x"][0])


def test_a_sequence_may_start_at_a_padded_step() -> None:
    cont, mask = np.array([[1, 1, 0, 1]]), np.array([[1, 1, 0, 1]])
    made = lstm({"x": X[:1, :4], "cont": cont, "h0": H0[:1], "c0": C0[:1], "mask": mask})
    same(made.tops[0][0, 3], lstm({"x": X[:1, 3:4]}, made.params).tops[0][0, 0])


# --- levels, directions, axes ---
def test_the_way_back_is_the_way_forth_of_the_turned_sequence() -> None:
    both = lstm({"x": X}, bidirectional=True)
    forth = {role: value for role, value in both.params.items() if not role.endswith("_reverse")}
    back = {role: both.params[f"{role}_reverse"] for role in forth}
    same(both.tops[0][:, :, :H], lstm({"x": X}, forth).tops[0])
    turned = lstm({"x": X[:, ::-1]}, back)
    same(both.tops[0][:, ::-1, H:], turned.tops[0])
    same(both.tops[1][:, 1], turned.tops[1])
    same(both.tops[2][:, 1], turned.tops[2])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_levels_are_two_layers(bidirectional: bool) -> None:
    given = {"cont": CONT, "x_static": STATIC, "mask": MASK}
    both = lstm({"x": X, **given}, num_layers=2, bidirectional=bidirectional)
    low = {role: value for role, value in both.params.items() if "_l1" not in role}
    high = {role.replace("_l1", ""): value for role, value in both.params.items() if "_l1" in role}
    ends = (slice(0, 2), slice(2, 4)) if bidirectional else (0, 1)
    one = lstm({"x": X, **given}, low, bidirectional=bidirectional)
    two = lstm({"x": one.tops[0], "cont": CONT, "mask": MASK}, high, [both.dys[0], *(dy[:, ends[1]] for dy in both.dys[1:])],
               bidirectional=bidirectional)  # fmt: skip
    one.dys = [two.dxs["x"], *(dy[:, ends[0]] for dy in both.dys[1:])]
    one.again(*one.arrays)
    same(both.tops[0], two.tops[0])
    for state in (1, 2):
        same(both.tops[state][:, ends[0]], one.tops[state])
        same(both.tops[state][:, ends[1]], two.tops[state])
    same(both.dxs["x"], one.dxs["x"])
    same(both.dxs["x_static"], one.dxs["x_static"])
    for role, grad in {**one.grads, **{f"{r}_l1".replace("_reverse_l1", "_l1_reverse"): g for r, g in two.grads.items()}}.items():
        same(both.grads[role], grad)


@pytest.mark.parametrize("keys", [{}, {"num_layers": 2, "bidirectional": True}])
def test_time_major_is_the_transpose(keys: Any) -> None:
    one = lstm({"x": X, "cont": CONT, "x_static": STATIC, "mask": MASK}, **keys)
    given = {"x": X.swapaxes(0, 1), "cont": CONT.T, "x_static": STATIC, "mask": MASK.T}
    other = lstm(given, one.params, [one.dys[0].swapaxes(0, 1), *one.dys[1:]], time_major=True, **keys)
    same(one.tops[0].swapaxes(0, 1), other.tops[0])
    same(one.dxs["x"].swapaxes(0, 1), other.dxs["x"])
    for role, grad in one.grads.items():
        same(grad, other.grads[role])


def test_all_axes_after_time_are_one() -> None:
    flat = lstm({"x": X})
    same(lstm({"x": X.reshape(N, T, 2, 1, 2)}, flat.params).tops[0], flat.tops[0])
    assert lstm({"x": X[:, :, 0]}).params["weight_x"].shape == (4 * H, 1)


# --- states ---
def test_the_gradient_of_the_last_states_alone_reaches_the_first() -> None:
    made = lstm({"x": X, "h0": H0, "c0": C0}, dys=[np.zeros((N, T, H)), np.zeros((N, H)), np.ones((N, H))])
    assert np.abs(made.dxs["c0"]).min() > 0 and np.abs(made.dxs["h0"]).max() > 0 and made.grads["weight_x"].any()


def test_truncated_states_pass_no_gradient_either_way() -> None:
    given = {"x": X, "h0": H0, "c0": C0}
    made = lstm(given, truncate_state=True)
    assert not made.dxs["h0"].any() and not made.dxs["c0"].any()
    zero = np.zeros((N, H))
    other = lstm(given, made.params, [made.dys[0], zero, zero])
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads["weight_h"], other.grads["weight_h"])


@pytest.mark.parametrize("front", [(), (1,)])
def test_caffes_state_with_one_in_front_is_taken_with_time_major(front: tuple[int, ...]) -> None:
    given = {"x": X.swapaxes(0, 1), "h0": H0.reshape(*front, N, H), "c0": C0.reshape(*front, N, H)}
    made = lstm(given, time_major=True)
    same(made.tops[0].swapaxes(0, 1), lstm({"x": X, "h0": H0, "c0": C0}, made.params).tops[0])
    assert made.dxs["h0"].shape == (*front, N, H)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_carried_state_makes_one_sequence_of_two_batches(layers: int) -> None:
    whole = lstm({"x": X, "cont": CONT}, num_layers=layers)
    made = lstm({"x": X[:, :3], "cont": CONT[:, :3]}, whole.params, carry=True, num_layers=layers)
    same(made.tops[0], whole.tops[0][:, :3])
    for found, expected in zip(made.again(X[:, 3:], CONT[:, 3:]), whole.tops, strict=True):
        same(found, expected[:, 3:] if found.ndim == 3 and found.shape[1] == 3 else expected)


def test_the_gradient_of_a_carried_state_ends_at_the_batch() -> None:
    """The second batch sees the state, as one that is given; its weight gradients are those of a given state."""
    made = lstm({"x": X[:, :3]}, carry=True)
    _, h, c = made.tops
    made.again(X[:, 3:])
    other = lstm({"x": X[:, 3:], "h0": h, "c0": c}, made.params, made.dys)
    same(made.tops[0], other.tops[0])
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads["weight_h"], other.grads["weight_h"])


def test_a_carried_state_is_kept_for_each_split() -> None:
    net = Net([Line("l", LSTM(num_output=H, carry=True))], {"x": Shape((T, D))}, batch=N)
    engine = Engine(net, Reference(np.float64))
    engine.initialise(1)

    def y(split: str) -> Any:
        engine.forward("test", {"x": X}, split, upto=("l",))
        return engine.blob("l")

    first, second, other, third = y("val"), y("val"), y("test"), y("val")
    same(other, first)
    assert all(np.abs(one - two).max() > 1e-3 for one, two in ((first, second), (second, third), (first, third)))
    engine.reset()
    same(y("val"), first)


# --- in a net ---
def test_an_encoder_hands_its_states_to_a_decoder() -> None:
    keys: dict[str, Any] = {"num_output": H}
    fields = {"words": Shape((T,), "index"), "cont": Shape((T,), "index"), "static": Shape((2,)), "target": Shape((T, H))}
    reads = {"x": "e", "cont": "cont", "x_static": "static", "h0": "enc.state", "c0": "enc.cell"}
    lines = [Line("e", Embed(num_output=D, input_dim=7), "words"), Line("enc", LSTM(**keys)), Line("dec", LSTM(**keys), reads),
             Line("loss", EuclideanLoss(), ["dec", "target"])]  # fmt: skip
    engine = Engine(Net(lines, fields, batch=N), Reference(np.float64))
    engine.initialise(1)
    words, target = RNG.integers(0, 7, (N, T)), RNG.standard_normal((N, T, H))
    batch = {"words": words, "cont": np.ones((N, T)), "static": STATIC, "target": target}
    parts = {part.name: part for part in engine.net.store.segments.values()}
    w, loss = engine.memory.slot("w", parts["enc.weight_h"]), []
    for step in (1e-5, -2e-5, 1e-5):
        engine.memory.memory(engine.memory.handles["g"])[...] = 0
        w[3, 2] += step
        loss.append(engine.step([batch], {})["loss"])
    slope = (loss[0] - loss[1]) / 2e-5
    assert abs(slope) > 1e-6
    assert engine.memory.slot("g", parts["enc.weight_h"])[3, 2] == pytest.approx(slope, rel=1e-4)


def test_a_frozen_weight_gets_no_gradient_and_the_others_do() -> None:
    fields = {"x": Shape((T, D)), "target": Shape((T, H))}
    lines = [Line("l", LSTM(num_output=H), params={"weight_x": {"freeze": True}}), Line("loss", EuclideanLoss(), ["l", "target"])]
    engine = Engine(Net(lines, fields, batch=N), Reference(np.float64))
    engine.initialise(1)
    engine.step([{"x": X, "target": np.ones((N, T, H))}], {})
    parts = {part.role: part for part in engine.net.store.segments.values()}
    assert parts["weight_x"].handle.grad is None
    assert engine.memory.slot("g", parts["weight_h"]).any() and engine.memory.slot("g", parts["bias"]).any()


# --- promises ---
@pytest.mark.parametrize(("keys", "given", "expected"), [
    ({}, {}, {"weight_x": (20, 4), "bias": (20,), "weight_h": (20, 5)}),
    ({"bias_term": False, "peepholes": True}, {}, {"weight_x": (20, 4), "weight_h": (20, 5), "weight_c": (3, 5)}),
    ({"num_layers": 2}, {"x_static": STATIC}, {
        "weight_x": (20, 4), "bias": (20,), "weight_static": (20, 2), "weight_h": (20, 5),
        "weight_x_l1": (20, 5), "bias_l1": (20,), "weight_h_l1": (20, 5)}),
    ({"num_layers": 2, "bidirectional": True, "bias_term": False}, {}, {
        "weight_x": (20, 4), "weight_h": (20, 5), "weight_x_reverse": (20, 4), "weight_h_reverse": (20, 5),
        "weight_x_l1": (20, 10), "weight_h_l1": (20, 5), "weight_x_l1_reverse": (20, 10), "weight_h_l1_reverse": (20, 5)}),
])  # fmt: skip
def test_its_parameters_stand_in_caffes_order(keys: Any, given: Any, expected: dict[str, Any]) -> None:
    parts = lstm({"x": X, **given}, **keys).trial.store.segments.values()
    assert [(part.role, tuple(part.shape)) for part in parts] == list(expected.items())


@pytest.mark.parametrize(("keys", "y", "state"), [
    ({}, (N, T, H), (N, H)), ({"num_layers": 2}, (N, T, H), (N, 2, H)), ({"bidirectional": True}, (N, T, 2 * H), (N, 2, H)),
])  # fmt: skip
def test_the_shapes_of_its_tops(keys: Any, y: Any, state: Any) -> None:
    assert lstm({"x": X}, **keys).trial.promised == [y, state, state]


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({}, [(3,)], "bottom", "needs sequences, N x T x ..., not 3"),
    ({}, [Shape((3, 4), "index")], "bottom", "needs real numbers, not the integers of 3 x 4"),
    ({}, [(3, 6, 4), (6, 3)], "bottom", "cont must be 3 x 6, not 6 x 3"),
    ({}, [(3, 6, 4), (3, 6), (2, 4)], "bottom", "x_static must be 3 x 4, not 2 x 4"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (3, 4)], "bottom", "h0 must be 3 x 5, not 3 x 4"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (1, 3, 5)], "bottom", "h0 must be 3 x 5, not 1 x 3 x 5"),
    ({"num_layers": 2}, [(3, 6, 4), (3, 6), (3, 4), (3, 5)], "bottom", "h0 must be 3 x 2 x 5, not 3 x 5"),
    ({"time_major": True}, [(6, 3, 4), (3, 6)], "bottom", "cont must be 6 x 3, not 3 x 6"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (3, 5), (3, 6)], "bottom", "c0 must be 3 x 5, not 3 x 6"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (3, 5), (3, 5), (3,)], "bottom", "mask must be 3 x 6, not 3"),
    ({"carry": True}, [(3, 6, 4), (3, 6), (3, 4), (3, 5)], "carry",
     "takes the first states from the last batch, not from h0 or c0; remove one"),
    ({"carry": True, "bidirectional": True}, [(3, 6, 4)], "carry",
     "does not go with bidirectional: the way back would start in the next batch; remove one"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(LSTM(num_output=5, **keys), shapes, key, words)


def test_the_arithmetic_is_counted() -> None:
    calls = Trial(LSTM(num_output=200, bias_term=False), [Shape((20, 30, 100))]).graph.calls
    once = 2 * 20 * 30 * 800 * 300
    assert {call.op.name: call.op.flops(call.args) for call in calls} == {"recurrent": once, "recurrent_grad": 2 * once}


def test_nothing_is_kept_for_the_way_back_where_there_is_none() -> None:
    calls = Trial(LSTM(num_output=H), [Shape((N, T, D))], train=False).graph.calls
    assert [call.args["tape"] for call in calls] == [()]


@pytest.mark.parametrize("keys", [{}, {"peepholes": True}, {"num_layers": 3, "bidirectional": True, "peepholes": True}])
@pytest.mark.parametrize("static", [False, True])
def test_sits_the_exam(static: bool, keys: Any) -> None:
    check_layer(LSTM(num_output=3, **keys), (2, 4, 3), Shape((2, 4), "index"), *([(2, 2)] if static else []))


@pytest.mark.parametrize("values", [[0.0, 0.5, 1.0], [1.0, 1.0, 2.0]])
def test_cont_may_be_any_number(values: list[float]) -> None:
    check_gradient(LSTM(num_output=2), (1, 3, 2), (1, 3), xs=[X[:1, :3, :2], np.array([values])])
