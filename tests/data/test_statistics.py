"""Std and whiten: what is computed over the training split, worked by hand and against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.data  # noqa: F401  fills the registry
from dltrain.data.statistics import Mean, Std, Whiten
from dltrain.errors import Refusal
from dltrain.source import ANY_SIZE, Shape
from tests.fixtures.steps import apply, make, no_training, refuses


def test_std_of_numbers_that_are_given() -> None:
    x = np.arange(8).reshape(1, 2, 2, 2)
    assert apply({"std": 2}, x).tolist() == [[[[0, 0.5], [1, 1.5]], [[2, 2.5], [3, 3.5]]]]
    assert apply({"std": [1, 4]}, x).tolist() == [[[[0, 1], [2, 3]], [[1, 1.25], [1.5, 1.75]]]]
    assert make({"std": 2}).state() == {}


@pytest.mark.parametrize(("value", "expected"), [("channel", [[2.0], [1.0]]), ("image", [[1.0, 3.0], [1.0, 1.0]])])
def test_std_over_the_training_split(value: str, expected: Any) -> None:
    """Channel 0: 9, 7, 11, 13 about 10 with places that differ by 2 and 6; channel 1 has no width at all, and counts as 1."""
    step = make({"std": value})
    parts = [np.array([[[9, 13], [5, 5]]], np.float32), np.array([[[11, 7], [5, 5]]], np.float32)]
    step.setup(Shape((2, 2)), lambda: iter(parts))
    wanted = np.array(expected) if value == "image" else np.array([[np.sqrt(5)], [1.0]])
    assert np.allclose(step.state()["std"], wanted)
    assert np.allclose(step.apply(parts[0], None), parts[0] / wanted)
    again = make({"std": value})
    again.restore(step.state())
    again.setup(Shape((2, 2)), no_training)
    assert np.array_equal(again.apply(parts[0], None), step.apply(parts[0], None))


def test_std_far_from_zero_keeps_its_digits() -> None:
    x = np.float32(10000) + np.random.default_rng(0).standard_normal((5000, 1)).astype(np.float32)
    step = Std(value="channel")
    step.setup(Shape((1,)), lambda: iter(np.array_split(x, 7)))
    assert step.state()["std"][0] == pytest.approx(x.std(dtype=np.float64), rel=1e-6)


def test_channels_of_pictures_that_differ_in_size() -> None:
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 256, (3, 5 + n, 9 - n), np.uint8) for n in range(4)]
    pixels = np.concatenate([sample.reshape(3, -1) for sample in x], axis=1)
    for cls, wanted in ((Mean, pixels.mean(axis=1)), (Std, pixels.std(axis=1))):
        step = cls(value="channel")
        step.setup(Shape((3, ANY_SIZE, ANY_SIZE)), lambda: iter([x[:3], x[3:]]))
        assert np.allclose(next(iter(step.state().values())).ravel(), wanted, rtol=1e-6)
        assert step.one(x[0], None).dtype == np.float32
    refuses({"std": "image"}, (3, ANY_SIZE, 4), "value", "std: image needs samples of one size; put resize or crop before it")


def correlated(count: int = 2000) -> Any:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((count, 6)) @ rng.standard_normal((6, 6)) * 9 + 100).astype(np.float32).reshape(count, 1, 2, 3)


@pytest.mark.parametrize("mode", ["zca", "pca"])
def test_whitened_numbers_are_uncorrelated(mode: str) -> None:
    x = correlated()
    y = apply({"whiten": mode, "epsilon": 0}, x, None, lambda: iter(np.array_split(x, 5)))
    flat = y.reshape(len(y), -1).astype(np.float64)
    assert np.allclose(flat.mean(axis=0), 0, atol=1e-3) and np.allclose(flat.T @ flat / len(x), np.eye(6), atol=1e-3)
    if mode == "zca":
        step = Whiten(epsilon=0.0)
        step.setup(Shape((1, 2, 3)), lambda: iter([x]))
        assert np.allclose(step.state()["matrix"], step.state()["matrix"].T, atol=1e-6)  # no turn besides


def test_whitening_of_two_numbers_by_hand() -> None:
    """Of (±3, ±1) the covariance is diagonal, 9 and 1; with epsilon 7: x / 4 and y / sqrt 8.  pca: the wide one first."""
    x = np.array([[1, 3], [1, -3], [-1, 3], [-1, -3]], np.float32) + 10
    training = lambda: iter([x])  # noqa: E731
    assert np.allclose(apply({"whiten": "zca", "epsilon": 7}, x, None, training), (x - 10) / [np.sqrt(8), 4])
    first = apply({"whiten": "pca", "epsilon": 7, "components": 1}, x, None, training)
    assert np.allclose(np.abs(first), 0.75) and first[0, 0] == -first[1, 0]


def test_whitening_is_saved_and_taken_up_again() -> None:
    x, step, again = correlated(50), make({"whiten": "pca", "components": 4}), make({"whiten": "pca", "components": 4})
    assert step.setup(Shape((1, 2, 3)), lambda: iter([x])) == (4,)
    again.restore(step.state())
    assert again.setup(Shape((1, 2, 3)), no_training) == (4,)
    assert np.array_equal(step.apply(x, None), again.apply(x, None))
    assert {name: array.dtype for name, array in step.state().items()} == {"mean": np.float32, "matrix": np.float32}
    other = Whiten(mode="pca", components=3)
    other.restore(step.state())
    with pytest.raises(Refusal, match="whiten: computed for 6 numbers a sample and 4 components, not for 6 and 3"):
        other.setup(Shape((1, 2, 3)), no_training)


def test_a_number_that_never_changes_is_left_out_of_whitening() -> None:
    x = correlated(50)
    x[:, 0, 0, 0] = 7
    y = apply({"whiten": "zca", "epsilon": 0}, x, None, lambda: iter([x]))
    assert np.isfinite(y).all() and abs(y[:, 0, 0, 1]).max() < 10


def test_refusals() -> None:
    words = "whiten: can be done for 4096 numbers a sample, not 12288; make the samples smaller before it"
    refuses("whiten", (3, 64, 64), "", words)
    refuses("whiten", (3, ANY_SIZE, 4), "", "whiten: needs samples of one size; put resize, crop or pad before it")
    refuses(
        {"whiten": "pca", "components": 5},
        (4,),
        "components",
        "whiten: 5 of 4 components; fewer go with mode: pca, more with none",
    )
    refuses({"whiten": "zca", "components": 3}, (4,), "components", "whiten: 3 of 4 components")
    refuses({"std": [1, 2]}, (3, 4, 4), "value", "std: has 2 numbers for 3 channels")
    refuses({"std": 0}, (3, 4, 4), "value", "std: must be above 0")
    refuses("whiten", Shape((), "index"), "top", "whiten: cannot be done with classes")
