"""GRU: whole sequences against single steps, where the reset stands, borders, padding, levels, directions, and states."""

from __future__ import annotations

from math import tanh
from typing import Any

import numpy as np
import pytest

from dltrain.layer import Layer
from dltrain.layers.gru import GRU
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer, samples

N, T, D, H = 3, 6, 4, 5
RNG = np.random.default_rng(0)
X, STATIC = RNG.standard_normal((N, T, D)), RNG.standard_normal((N, 2))
H0 = RNG.standard_normal((N, H))
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


def gru(given: dict[str, Any], params: Any = None, dys: Any = None, **keys: Any) -> Ran:
    return Ran(GRU, {"num_output": H} | keys, given, params, dys)


def by_definition(x: Any, w: dict[str, Any], cont: Any, h: Any, reset: str) -> tuple[Any, Any]:
    """Sample by sample, step by step."""
    y, h = np.zeros((N, T, H)), h.copy()
    rows, late = [slice(g * H, g * H + H) for g in range(3)], w.get("bias_h", np.zeros(H))
    for n, t in np.ndindex(N, T):
        kept = h[n] * cont[n, t]
        seen = [w["weight_x"][at] @ x[n, t] + w["bias"][at] for at in rows]
        r, z = (1 / (1 + np.exp(-seen[g] - w["weight_h"][rows[g]] @ kept)) for g in range(2))
        felt = r * (w["weight_h"][rows[2]] @ kept + late) if reset == "after" else w["weight_h"][rows[2]] @ (r * kept)
        y[n, t] = h[n] = z * kept + (1 - z) * np.tanh(seen[2] + felt)
    return y, h


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


# --- what it computes ---
def test_a_step_by_hand() -> None:
    params = {"weight_x": [[0.0], [0], [1]], "bias": [0, 0, 0], "weight_h": [[0.0], [0], [2]], "bias_h": [3]}
    given = {"x": [[[0.5]]], "h0": [[4.0]]}  # both gates are half open
    same(gru(given, params, num_output=1).tops[0], [[[0.5 * 4 + 0.5 * tanh(0.5 + 0.5 * (2 * 4 + 3))]]])
    del params["bias_h"]
    same(gru(given, params, num_output=1, reset="before").tops[1], [[0.5 * 4 + 0.5 * tanh(0.5 + 2 * (0.5 * 4))]])


@pytest.mark.parametrize("reset", ["after", "before"])
def test_is_what_the_definition_says(reset: str) -> None:
    made = gru({"x": X, "cont": CONT, "h0": H0}, reset=reset)
    for found, expected in zip(made.tops, by_definition(X, made.params, CONT, H0, reset), strict=True):
        same(found, expected)


def test_without_states_and_cont_it_starts_from_zero_and_goes_on() -> None:
    made = gru({"x": X})
    same(made.tops[0], by_definition(X, made.params, np.ones((N, T)), np.zeros((N, H)), "after")[0])


@pytest.mark.parametrize("reset", ["after", "before"])
def test_a_whole_sequence_is_its_steps_one_by_one(reset: str) -> None:
    """Forward, and backward: the gradient of the state goes from step to step."""
    whole = gru({"x": X, "cont": CONT, "h0": H0}, reset=reset)
    h, steps = H0, []
    for t in range(T):
        steps.append(gru({"x": X[:, t : t + 1], "cont": CONT[:, t : t + 1], "h0": h}, whole.params, reset=reset))
        h = steps[-1].tops[1]
        same(steps[-1].tops[0][:, 0], whole.tops[0][:, t])
    same(h, whole.tops[1])
    dh, grads = whole.dys[1], dict.fromkeys(whole.grads, 0.0)
    for t in reversed(range(T)):
        steps[t].dys = [whole.dys[0][:, t : t + 1], dh]
        steps[t].again(*steps[t].arrays)
        dh = steps[t].dxs["h0"]
        same(steps[t].dxs["x"][:, 0], whole.dxs["x"][:, t])
        grads = {role: grads[role] + grad for role, grad in steps[t].grads.items()}
    same(dh, whole.dxs["h0"])
    for role, grad in grads.items():
        same(grad, whole.grads[role])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_sequences_in_a_row_are_each_on_its_own(bidirectional: bool) -> None:
    cont = np.ones((N, T), int)
    cont[:, 0] = cont[:, 2] = 0
    both = gru({"x": X, "cont": cont}, bidirectional=bidirectional)
    for part in (slice(0, 2), slice(2, T)):
        alone = gru({"x": X[:, part]}, both.params, [both.dys[0][:, part], *map(np.zeros_like, both.dys[1:])],
                     bidirectional=bidirectional)  # fmt: skip
        same(both.tops[0][:, part], alone.tops[0])


def test_the_static_bottom_is_seen_at_every_step() -> None:
    made = gru({"x": X, "x_static": STATIC})
    joined = np.concatenate([X, np.repeat(STATIC[:, None], T, axis=1)], axis=2)
    weights = np.concatenate([made.params["weight_x"], made.params["weight_static"]], axis=1)
    other = gru({"x": joined}, {**{r: made.params[r] for r in ("bias", "weight_h", "bias_h")}, "weight_x": weights}, made.dys)
    same(made.tops[0], other.tops[0])
    same(made.dxs["x_static"], other.dxs["x"][:, :, D:].sum(axis=1))
    same(made.grads["weight_static"], other.grads["weight_x"][:, D:])


# --- padding ---
def test_padding_changes_nothing_but_its_own_place() -> None:
    padded = X + 100 * (1 - MASK)[..., None]
    one, other = (gru({"x": x, "cont": np.ones((N, T), int), "mask": MASK}) for x in (X, padded))
    assert not one.tops[0][MASK == 0].any() and not one.dxs["x"][MASK == 0].any()
    for found, expected in zip([*one.tops, *one.grads.values()], [*other.tops, *other.grads.values()], strict=True):
        if found.shape != one.grads["weight_x"].shape:
            same(found, expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_sequence_is_the_shorter_one(bidirectional: bool) -> None:
    made = gru({"x": X, "mask": MASK}, bidirectional=bidirectional)
    for n in range(N):
        live = MASK[n] == 1
        dys = [made.dys[0][n : n + 1, live], made.dys[1][n : n + 1]]
        short = gru({"x": X[n : n + 1, live]}, made.params, dys, bidirectional=bidirectional)
        same(made.tops[0][n, live], short.tops[0][0])
        same(made.tops[1][n], short.tops[1][0])
        same(made.dxs["x"][n, live], short.dxs["x"][0])


def test_a_sequence_may_start_at_a_padded_step() -> None:
    cont, mask = np.array([[1, 1, 0, 1]]), np.array([[1, 1, 0, 1]])
    made = gru({"x": X[:1, :4], "cont": cont, "h0": H0[:1], "mask": mask})
    same(made.tops[0][0, 3], gru({"x": X[:1, 3:4]}, made.params).tops[0][0, 0])


# --- levels, directions, axes ---
def test_the_way_back_is_the_way_forth_of_the_turned_sequence() -> None:
    both = gru({"x": X}, bidirectional=True)
    forth = {role: value for role, value in both.params.items() if not role.endswith("_reverse")}
    back = {role: both.params[f"{role}_reverse"] for role in forth}
    same(both.tops[0][:, :, :H], gru({"x": X}, forth).tops[0])
    turned = gru({"x": X[:, ::-1]}, back)
    same(both.tops[0][:, ::-1, H:], turned.tops[0])
    same(both.tops[1][:, 1], turned.tops[1])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_levels_are_two_layers(bidirectional: bool) -> None:
    given = {"cont": CONT, "x_static": STATIC, "mask": MASK}
    both = gru({"x": X, **given}, num_layers=2, bidirectional=bidirectional)
    low = {role: value for role, value in both.params.items() if "_l1" not in role}
    high = {role.replace("_l1", ""): value for role, value in both.params.items() if "_l1" in role}
    ends = (slice(0, 2), slice(2, 4)) if bidirectional else (0, 1)
    one = gru({"x": X, **given}, low, bidirectional=bidirectional)
    two = gru({"x": one.tops[0], "cont": CONT, "mask": MASK}, high, [both.dys[0], *(dy[:, ends[1]] for dy in both.dys[1:])],
               bidirectional=bidirectional)  # fmt: skip
    one.dys = [two.dxs["x"], *(dy[:, ends[0]] for dy in both.dys[1:])]
    one.again(*one.arrays)
    same(both.tops[0], two.tops[0])
    same(both.tops[1][:, ends[0]], one.tops[1])
    same(both.tops[1][:, ends[1]], two.tops[1])
    same(both.dxs["x"], one.dxs["x"])
    same(both.dxs["x_static"], one.dxs["x_static"])
    for role, grad in {**one.grads, **{f"{r}_l1".replace("_reverse_l1", "_l1_reverse"): g for r, g in two.grads.items()}}.items():
        same(both.grads[role], grad)


@pytest.mark.parametrize("keys", [{}, {"num_layers": 2, "bidirectional": True}])
def test_time_major_is_the_transpose(keys: Any) -> None:
    one = gru({"x": X, "cont": CONT, "x_static": STATIC, "mask": MASK}, **keys)
    given = {"x": X.swapaxes(0, 1), "cont": CONT.T, "x_static": STATIC, "mask": MASK.T}
    other = gru(given, one.params, [one.dys[0].swapaxes(0, 1), *one.dys[1:]], time_major=True, **keys)
    same(one.tops[0].swapaxes(0, 1), other.tops[0])
    same(one.dxs["x"].swapaxes(0, 1), other.dxs["x"])
    for role, grad in one.grads.items():
        same(grad, other.grads[role])


def test_all_axes_after_time_are_one() -> None:
    flat = gru({"x": X})
    same(gru({"x": X.reshape(N, T, 2, 1, 2)}, flat.params).tops[0], flat.tops[0])
    assert gru({"x": X[:, :, 0]}).params["weight_x"].shape == (3 * H, 1)


# --- states ---
def test_truncated_states_pass_no_gradient_either_way() -> None:
    given = {"x": X, "h0": H0}
    made = gru(given, truncate_state=True)
    assert not made.dxs["h0"].any()
    other = gru(given, made.params, [made.dys[0], np.zeros((N, H))])
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads["weight_h"], other.grads["weight_h"])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_carried_state_makes_one_sequence_of_two_batches(layers: int) -> None:
    whole = gru({"x": X, "cont": CONT}, num_layers=layers)
    made = gru({"x": X[:, :3], "cont": CONT[:, :3]}, whole.params, carry=True, num_layers=layers)
    same(made.tops[0], whole.tops[0][:, :3])
    for found, expected in zip(made.again(X[:, 3:], CONT[:, 3:]), whole.tops, strict=True):
        same(found, expected[:, 3:] if found.ndim == 3 and found.shape[1] == 3 else expected)


def test_the_gradient_of_a_carried_state_ends_at_the_batch() -> None:
    """The second batch sees the state, as one that is given; its weight gradients are those of a given state."""
    made = gru({"x": X[:, :3]}, carry=True)
    h = made.tops[1]
    made.again(X[:, 3:])
    other = gru({"x": X[:, 3:], "h0": h}, made.params, made.dys)
    same(made.tops[0], other.tops[0])
    same(made.dxs["x"], other.dxs["x"])
    same(made.grads["weight_h"], other.grads["weight_h"])


# --- promises ---
@pytest.mark.parametrize(("keys", "given", "expected"), [
    ({}, {}, {"weight_x": (15, 4), "bias": (15,), "weight_h": (15, 5), "bias_h": (5,)}),
    ({"reset": "before"}, {}, {"weight_x": (15, 4), "bias": (15,), "weight_h": (15, 5)}),
    ({"num_layers": 2, "bias_term": False}, {"x_static": STATIC}, {
        "weight_x": (15, 4), "weight_static": (15, 2), "weight_h": (15, 5), "weight_x_l1": (15, 5), "weight_h_l1": (15, 5)}),
])  # fmt: skip
def test_its_parameters_stand_in_order(keys: Any, given: Any, expected: dict[str, Any]) -> None:
    parts = gru({"x": X, **given}, **keys).trial.store.segments.values()
    assert [(part.role, tuple(part.shape)) for part in parts] == list(expected.items())


@pytest.mark.parametrize(("keys", "y", "state"), [
    ({}, (N, T, H), (N, H)), ({"num_layers": 2}, (N, T, H), (N, 2, H)), ({"bidirectional": True}, (N, T, 2 * H), (N, 2, H)),
])  # fmt: skip
def test_the_shapes_of_its_tops(keys: Any, y: Any, state: Any) -> None:
    assert gru({"x": X}, **keys).trial.promised == [y, state]


@pytest.mark.parametrize(("keys", "shapes", "key", "words"), [
    ({}, [(3,)], "bottom", "needs sequences, N x T x ..., not 3"),
    ({}, [Shape((3, 4), "index")], "bottom", "needs real numbers, not the integers of 3 x 4"),
    ({}, [(3, 6, 4), (6, 3)], "bottom", "cont must be 3 x 6, not 6 x 3"),
    ({}, [(3, 6, 4), (3, 6), (2, 4)], "bottom", "x_static must be 3 x 4, not 2 x 4"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (3, 4)], "bottom", "h0 must be 3 x 5, not 3 x 4"),
    ({}, [(3, 6, 4), (3, 6), (3, 4), (3, 5), (3,)], "bottom", "mask must be 3 x 6, not 3"),
    ({"carry": True}, [(3, 6, 4), (3, 6), (3, 4), (3, 5)], "carry",
     "takes the first state from the last batch, not from h0; remove one"),
    ({"carry": True, "bidirectional": True}, [(3, 6, 4)], "carry",
     "does not go with bidirectional: the way back would start in the next batch; remove one"),
])  # fmt: skip
def test_refuses(keys: Any, shapes: Any, key: str, words: str, refuses: Any) -> None:
    refuses(GRU(num_output=5, **keys), shapes, key, words)


def test_the_arithmetic_is_counted() -> None:
    calls = Trial(GRU(num_output=200, bias_term=False), [Shape((20, 30, 100))]).graph.calls
    once = 2 * 20 * 30 * 600 * 300
    assert {call.op.name: call.op.flops(call.args) for call in calls} == {"recurrent": once, "recurrent_grad": 2 * once}


def test_nothing_is_kept_for_the_way_back_where_there_is_none() -> None:
    calls = Trial(GRU(num_output=H), [Shape((N, T, D))], train=False).graph.calls
    assert [call.args["tape"] for call in calls] == [()]


@pytest.mark.parametrize("keys", [{}, {"reset": "before"}, {"num_layers": 3, "bidirectional": True}])
@pytest.mark.parametrize("static", [False, True])
def test_sits_the_exam(static: bool, keys: Any) -> None:
    check_layer(GRU(num_output=3, **keys), (2, 4, 3), Shape((2, 4), "index"), *([(2, 2)] if static else []))
