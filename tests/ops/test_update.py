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
    ) -> Step:  # fmt: skip
        OPS["sum_of_squares"].function(self.g, self.norm)
        one = [np.array([number]) for number in (lr, decay, *hyper)]
        OPS["update"].function(
            self.w, self.g, self.slots, tuple(one[:2]), tuple(one[2:]), tuple(np.array([loss]) for loss in losses),
            self.norm, self.failed, formula(rule), segments, l1, clip, iter_size,
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
