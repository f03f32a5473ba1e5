"""BatchNorm: batch statistics, the states as Caffe keeps them, what each phase uses, and what freezing keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.batch_norm import BatchNorm
from dltrain.ops.backend import Reference
from dltrain.store import ParamSpec
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer
from dltrain.wiring import Line

X = np.array([[1.0, 10], [3, 10], [5, 40], [7, 40]])  # means 4, 25; variances 5, 225
ONES = {"scale": [1, 1], "bias": [0, 0]}


def states(trial: Trial) -> list[Any]:
    return [trial.memory.logical(state.handle) for state in trial.store.states.values()]


def trial(layer: BatchNorm, shape: Any = (4, 2), train: bool = True, kept: Any = None) -> Trial:
    made = Trial(layer, [Shape(shape)], Reference(np.float64), train=train)
    for state, value in zip(states(made), kept or (), strict=kept is not None):
        state[...] = value
    return made


def test_a_batch_gets_mean_0_and_variance_1(run: Any) -> None:
    made = run(BatchNorm(eps=4.0), X, params={"scale": [3, 2], "bias": [0, 100]})
    np.testing.assert_allclose(made.y[:, 0], [-3, -1, 1, 3])
    np.testing.assert_allclose(made.y[:, 1], 100 + 2 * np.array([-15, -15, 15, 15]) / np.sqrt(229))


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (3, 3, 4, 2)])
def test_over_samples_and_places(shape: tuple[int, ...], run: Any) -> None:
    y = run(BatchNorm(affine=False, eps=1e-12), np.random.default_rng(0).standard_normal(shape) * 7 + 3).y
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-9)


def test_the_gradient_by_hand(run: Any) -> None:
    made = run(BatchNorm(eps=4.0), X, params={"scale": [3, 1], "bias": [0, 0]}, dy=[[1, 0], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(made.dx[:, 0], np.array([1, 0, 0, 0]) - 0.25 + np.array([-1, -1 / 3, 1 / 3, 1]) / 4)
    np.testing.assert_allclose(made.grads["scale"], [-1, 0])
    np.testing.assert_allclose(made.grads["bias"], [1, 0])


def test_the_states_are_sums_and_their_weight() -> None:
    made = trial(BatchNorm(moving_average_fraction=0.5))
    made.run([X], [X], ONES)
    mean, variance, factor = states(made)
    np.testing.assert_allclose((*mean, *variance, *factor), (4, 25, 20 / 3, 300, 1))
    made.run([X + 2], [X], ONES)
    np.testing.assert_allclose((*mean, *variance, *factor), (8, 39.5, 10, 450, 1.5))


def test_one_value_a_channel_has_no_unbiased_variance() -> None:
    made = trial(BatchNorm(), (1, 2))
    tops, _, _ = made.run([X[:1]], [X[:1]], ONES)
    np.testing.assert_array_equal(tops[0], 0)
    np.testing.assert_array_equal(np.concatenate(states(made)), [1, 10, 0, 0, 1])


KEPT = ([8.0, 40], [2.0, 450], [2.0])  # mean 4, 20; variance 1, 225
SHOULD = (X - [4, 20]) / np.sqrt([1 + 3.0, 225 + 3])


@pytest.mark.parametrize(("keys", "train", "frozen"), [
    ({}, False, False), ({"use_global_stats": True}, False, False), ({"use_global_stats": True}, True, False),
    ({}, True, True), ({"use_global_stats": False}, True, True), ({"use_global_stats": False}, False, True),
])  # fmt: skip
def test_the_statistics_kept_are_used_and_not_changed(keys: Any, train: bool, frozen: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(Line, "spec", lambda line, role: ParamSpec(freeze=frozen))
    made = trial(BatchNorm(eps=3.0, **keys), train=train, kept=KEPT)
    (y,), (dx,), grads = made.run([X], [X], ONES)
    assert not (frozen and grads)
    np.testing.assert_allclose(y, SHOULD)
    np.testing.assert_array_equal(np.concatenate(states(made)), np.concatenate(KEPT))
    if train:
        np.testing.assert_allclose(dx, X / np.sqrt([4, 228]))


def test_the_batch_is_used_in_test_where_asked_and_nothing_is_kept() -> None:
    made = trial(BatchNorm(use_global_stats=False, eps=4.0), train=False, kept=KEPT)
    (y,), _, _ = made.run([X], [X], ONES)
    np.testing.assert_allclose(y[:, 0], [-1, -1 / 3, 1 / 3, 1])
    np.testing.assert_array_equal(np.concatenate(states(made)), np.concatenate(KEPT))


def test_where_nothing_has_been_kept_mean_and_variance_are_0() -> None:
    made = trial(BatchNorm(eps=4.0), train=False)
    np.testing.assert_allclose(made.run([X], [X], ONES)[0][0], X / 2)


def test_train_and_test_agree_on_what_is_kept_after_many_equal_batches() -> None:
    made = trial(BatchNorm(moving_average_fraction=0.9))
    for _ in range(3):
        made.run([X], [X], ONES)
    after = trial(BatchNorm(), train=False, kept=states(made))
    np.testing.assert_allclose(after.run([X], [X], ONES)[0][0], (X - [4, 25]) / np.sqrt([20 / 3 + 1e-5, 300 + 1e-5]))


@pytest.mark.parametrize(("keys", "expected"), [({}, {"scale": (3,), "bias": (3,)}), ({"affine": False}, {})])
def test_its_parameters_and_states(keys: Any, expected: dict[str, Any]) -> None:
    store = trial(BatchNorm(**keys), (2, 3, 4)).store
    assert {part.role: part.shape for part in store.segments.values()} == expected
    assert {name: state.handle.shape for name, state in store.states.items()} == {
        "it.mean": (3,), "it.variance": (3,), "it.factor": (1,),
    }  # fmt: skip


@pytest.mark.parametrize("keys", [{}, {"affine": False}, {"use_global_stats": True}, {"eps": 0.5}])
@pytest.mark.parametrize("shape", [(6, 3), (1, 3, 4), (3, 2, 4), (2, 3, 4, 2), (2, 1, 2, 2, 2)])
def test_sits_the_exam(shape: tuple[int, ...], keys: Any) -> None:
    check_layer(BatchNorm(**keys), shape)


def test_refuses_a_bottom_without_channels(refuses: Any) -> None:
    refuses(BatchNorm(), [(5,)], "", "needs a bottom with channels (N x C), not 5")


def test_it_starts_with_factors_of_1() -> None:
    parts = Trial(BatchNorm(), [Shape((4, 3))]).store.segments.values()
    assert {part.role: set(part.fill(1).flat) for part in parts} == {"scale": {1.0}, "bias": {0.0}}
