"""The update: clip, iter_size, decay and rate in Caffe's order, and nothing at all where a number is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.fillers
import dltrain.ops.reference  # noqa: F401  (these two fill the registries)
from dltrain.ops.formula import formula
from dltrain.ops.signature import OPS
from dltrain.store import ParamSpec, Store
from dltrain.tensor import Shape


def plain(w: float, g: float, lr: float) -> float:
    return w - lr * g


def heavy(w: float, g: float, v: float, lr: float, momentum: float) -> tuple[float, float]:
    v = momentum * v + lr * g
    return w - v, v


class Step:
    """Flat arrays of two weights and a third element that belongs to nobody, and one update of them."""

    def __init__(self, w: Any = (10, -20, 5), g: Any = (3, 4, 0), slots: Any = ()) -> None:
        self.w, self.g = np.array(w, float), np.array(g, float)
        self.slots = tuple(np.array(slot, float) for slot in slots)
        self.norm, self.failed = np.zeros(1), np.zeros(1, np.int32)

    def __call__(
        self, rule: Any = plain, lr: float = 1.0, decay: float = 0.0, hyper: Any = (), losses: Any = (),
        segments: Any = ((0, 2, 1.0, 1.0),), l1: bool = False, clip: float | None = None, iter_size: int = 1,
        norms: Any = None, stage: Any = "whole",
    ) -> Step:  # fmt: skip
        OPS["sum_of_squares"].function(self.g, self.norm)
        one = [np.array([number]) for number in (lr, decay, *hyper)]
        OPS["update"].function(
            self.w, self.g, self.slots, tuple(one[:2]), tuple(one[2:]), tuple(np.array([loss]) for loss in losses),
            self.norm, self.failed, formula(rule), segments, l1, clip, iter_size, norms, stage,
        )  # fmt: skip
        return self


@pytest.mark.parametrize(("keys", "w"), [
    ({}, [7, -24]),
    ({"lr": 0.5}, [8.5, -22]),
    ({"iter_size": 2}, [8.5, -22]),
    ({"clip": 1.0}, [9.4, -20.8]),
    ({"clip": 5.0}, [7, -24]),  # as long as allowed
    ({"clip": 7.0}, [7, -24]),  # never lengthened
    ({"clip": 1.0, "iter_size": 2}, [9.7, -20.4]),  # the sum is clipped, then divided: clip after would give 9.4
    ({"decay": 0.1}, [6, -22]),
    ({"decay": 0.1, "iter_size": 2}, [7.5, -20]),  # decay is not divided
    ({"decay": 0.1, "clip": 1.0}, [8.4, -18.8]),  # nor clipped
    ({"decay": 0.1, "clip": 1.0, "iter_size": 2, "lr": 2.0}, [7.4, -16.8]),
    ({"decay": 0.1, "l1": True}, [6.9, -23.9]),
    ({"decay": 0.1, "l1": True, "iter_size": 2, "lr": 0.5}, [9.2, -20.95]),
])  # fmt: skip
def test_the_order_of_a_step(keys: Any, w: list[float]) -> None:
    np.testing.assert_allclose(Step()(**keys).w[:2], w, rtol=1e-14)


def test_l1_leaves_a_weight_of_zero_where_it_is() -> None:
    assert Step(w=(0, -2, 0), g=(0, 0, 0))(decay=0.25, l1=True).w.tolist() == [0, -1.75, 0]


@pytest.mark.parametrize(("lr_mult", "decay_mult", "w"), [(1, 1, 6), (2, 1, 2), (1, 0, 7), (0.5, 2, 7.5), (2, 0, 4)])
def test_each_segment_has_its_own_rate_and_decay(lr_mult: float, decay_mult: float, w: float) -> None:
    step = Step()(decay=0.1, segments=[(0, 1, lr_mult, decay_mult), (1, 2, 1.0, 1.0)])
    np.testing.assert_allclose(step.w, [w, -22, 5], rtol=1e-14)


def test_what_belongs_to_no_segment_does_not_move() -> None:
    step = Step(g=(3, 4, 100))(segments=[(1, 2, 1.0, 1.0)])
    assert step.w.tolist() == [10, -24, 5]


def test_the_gradient_is_cleared_and_the_norm_is_that_of_all() -> None:
    step = Step(g=(3, 4, 12))()
    assert step.norm[0] == 169
    assert step.g.tolist() == [0, 0, 0]
    assert step.failed[0] == 0


def test_slots_are_kept_from_step_to_step() -> None:
    step = Step(w=(1, 0, 0), g=(1, 0, 0), slots=[(0, 0, 0)])
    for w, velocity in ((0.9, 0.1), (0.75, 0.15), (0.575, 0.175)):
        step.g[0] = 1
        step(heavy, lr=0.1, hyper=(0.5,))
        assert (step.w[0], step.slots[0][0]) == pytest.approx((w, velocity))


def test_clip_looks_at_the_whole_gradient_not_at_a_part() -> None:
    step = Step(g=(3, 4, 0))(clip=2.5, segments=[(0, 1, 1.0, 1.0), (1, 2, 1.0, 1.0)])
    np.testing.assert_allclose(step.w[:2], [8.5, -22])


@pytest.mark.parametrize(("g", "losses"), [
    ((np.nan, 4, 0), ()),
    ((3, np.inf, 0), ()),
    ((3, 4, 0), (np.nan,)),
    ((3, 4, 0), (1.0, np.inf)),
    ((3, 4, 0), (-np.inf, 1.0)),
])  # fmt: skip
def test_where_a_number_is_not_finite_nothing_moves(g: Any, losses: Any) -> None:
    step = Step(g=g, slots=[(1, 2, 3)])(heavy, hyper=(0.9,), decay=0.1, losses=losses)
    assert step.failed[0] == 1
    assert step.w.tolist() == [10, -20, 5]
    assert step.slots[0].tolist() == [1, 2, 3]


def test_after_a_failure_later_steps_do_nothing_either() -> None:
    step = Step(g=(np.nan, 0, 0))()
    step.g[:] = 1
    assert step(losses=(0.5,)).w.tolist() == [10, -20, 5]
    assert step.failed[0] == 1


def test_finite_losses_do_not_stop_it() -> None:
    assert Step()(losses=(0.0, 1e30)).w.tolist() == [7, -24, 5]


# --- what a formula may name beside the keys ---
def apart(w: float, g: float, lr: float, pull: float) -> float:
    return w - lr * g - pull


def measured(w: float, g: float, lr: float, w_norm: float, g_norm: float, decay: float, decay_mult: float) -> float:
    return w_norm + 100 * g_norm + 10000 * decay + 100000000 * decay_mult


def towards(w: float, g: float, v: float, lr: float, pull: float) -> tuple[float, float]:
    return g + v + pull, g


@pytest.mark.parametrize(("keys", "w"), [
    ({"decay": 0.1}, [10 - 3 - 1, -20 - 4 + 2]),
    ({"decay": 0.1, "lr": 0.5, "clip": 1.0, "iter_size": 2}, [10 - 0.15 - 1, -20 - 0.2 + 2]),
    ({"decay": 0.1, "l1": True, "lr": 0.5}, [10 - 1.5 - 0.1, -20 - 2 + 0.1]),
    ({"decay": 0.1, "segments": [(0, 1, 1.0, 0.0), (1, 2, 1.0, 2.0)]}, [7, -24 + 4]),
])  # fmt: skip
def test_a_rule_that_names_the_pull_decays_by_itself(keys: Any, w: list[float]) -> None:
    np.testing.assert_allclose(Step()(apart, **keys).w[:2], w, rtol=1e-14)


def test_norms_are_of_whole_segments_and_of_the_gradient_as_the_rule_sees_it() -> None:
    step = Step(w=(3, 4, 12, 0), g=(6, 8, 0, 0))
    norms, segments = np.zeros((2, 2)), [(0, 2, 1.0, 1.0), (2, 3, 1.0, 0.5)]
    OPS["squares"].function(step.w, step.g, norms, segments)
    assert norms.tolist() == [[25, 144], [100, 0]]
    step(measured, segments=segments, clip=5.0, iter_size=5, decay=0.125, norms=norms)
    np.testing.assert_allclose(step.w[:3], [100001355, 100001355, 50000637], rtol=1e-14)


def test_squares_are_in_double_precision_and_in_blocks() -> None:
    w = np.full(200_001, 1 + 2**-12, np.float32)
    norms = np.zeros((2, 1))
    OPS["squares"].function(w, 2 * w, norms, [(1, 200_001, 1.0, 1.0)])
    np.testing.assert_allclose(norms[:, 0], [200_000 * (1 + 2**-12) ** 2, 800_000 * (1 + 2**-12) ** 2], rtol=1e-13)


def test_two_stages_make_the_gradient_a_direction_and_then_a_step() -> None:
    step = Step(slots=[(1, 2, 3)])(towards, decay=0.1, iter_size=2, stage="first")
    assert step.w.tolist() == [10, -20, 5]
    np.testing.assert_allclose(step.g, [1.5 + 1 + 1, 2 + 2 - 2, 0])
    assert step.slots[0].tolist() == [1.5, 2, 3]
    kept, step.slots = step.slots, ()
    step(plain, lr=2.0, decay=0.1, iter_size=2, clip=0.001, stage="second")  # g is taken as it is
    np.testing.assert_allclose(step.w, [10 - 7, -20 - 4, 5])
    assert step.g.tolist() == [0, 0, 0] and kept[0].tolist() == [1.5, 2, 3]


@pytest.mark.parametrize("stage", ["first", "second"])
def test_no_stage_moves_anything_where_a_number_is_not_finite(stage: str) -> None:
    step = Step(g=(np.nan, 4, 0), slots=[(1, 2, 3)] if stage == "first" else ())(
        towards if stage == "first" else plain, stage=stage
    )
    assert step.failed[0] == 1 and step.w.tolist() == [10, -20, 5] and step.g[1] == 4


# --- after the rule ---
def test_clip_weights_bounds_what_learns() -> None:
    w, ok = np.array([3.0, -3, 1, -9]), np.zeros(1, np.int32)
    OPS["clip_weights"].function(w, ok, [(0, 3, 1.0, 1.0)], 2.0)
    assert w.tolist() == [2, -2, 1, -9]
    OPS["clip_weights"].function(w, ok + 1, [(0, 4, 1.0, 1.0)], 0.5)
    assert w.tolist() == [2, -2, 1, -9]


@pytest.mark.parametrize(("rows", "columns"), [(3, 70_000), (70_000, 3), (1, 5), (5, 1)])
def test_max_norm_shortens_long_rows_only(rows: int, columns: int) -> None:
    table = np.random.default_rng(0).standard_normal((rows, columns))
    long = np.linalg.norm(table, axis=1) > (bound := float(np.median(np.linalg.norm(table, axis=1))))
    w = np.concatenate([[7.0], table.reshape(-1), [8.0]])
    OPS["max_norm"].function(w, np.zeros(1, np.int32), [(1, 1 + table.size, rows)], bound)
    found = w[1:-1].reshape(rows, columns)
    np.testing.assert_allclose(np.linalg.norm(found[long], axis=1), bound)
    np.testing.assert_allclose(found[long] / bound, table[long] / np.linalg.norm(table[long], axis=1, keepdims=True))
    assert np.array_equal(found[~long], table[~long]) and (w[0], w[-1]) == (7, 8)


def test_the_average_takes_up_a_share() -> None:
    w, mean = np.arange(100_000.0), np.zeros(100_000)
    OPS["average"].function(w, mean, np.array([0.25]), np.zeros(1, np.int32))
    assert np.array_equal(mean, w / 4)
    OPS["average"].function(w, mean, np.array([0.25]), np.ones(1, np.int32))
    assert np.array_equal(mean, w / 4)


# --- the table ---
def declared() -> Store:
    store = Store()
    for role, count, spec in [
        ("weight", 20, ParamSpec()), ("bias", 3, ParamSpec(lr_mult=2.0)), ("frozen", 5, ParamSpec(freeze=True)),
        ("still", 5, ParamSpec(lr_mult=0.0)), ("scale", 4, ParamSpec(decay_mult=0.5)),
    ]:  # fmt: skip
        store.param("layer", role, Shape((count,)), "constant", spec)
    return store


def test_frozen_parameters_are_not_in_the_table() -> None:
    assert declared().table() == [(0, 20, 1.0, 1.0), (32, 35, 2.0, 0.0), (80, 84, 1.0, 0.5)]


def test_frozen_parameters_have_no_gradient() -> None:
    grads = {role: part.handle.grad is not None for (_, role), part in declared().segments.items()}
    assert grads == {"weight": True, "bias": True, "frozen": False, "still": False, "scale": True}
