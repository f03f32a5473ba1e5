"""Random: noise on a blob in training, and noise as a blob in every phase."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.layers.random import Random
from dltrain.registry import FILLERS
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_layer

X = np.random.default_rng(0).standard_normal((200, 100))


def test_it_adds_what_it_draws(run: Any) -> None:
    made = run(Random(noise=FILLERS["gaussian"](mean=1.0, std=0.1)), X, dy=X)
    noise = made.y - X
    assert abs(noise.mean() - 1) < 0.003 and abs(noise.std() - 0.1) < 0.003
    assert abs(np.corrcoef(noise.reshape(-1), X.reshape(-1))[0, 1]) < 0.03
    np.testing.assert_array_equal(made.dx, X)


def test_in_the_test_phase_it_adds_nothing(run: Any) -> None:
    np.testing.assert_array_equal(run(Random(), X, train=False).y, X)


def test_unless_said_otherwise_it_is_the_standard_normal(run: Any) -> None:
    y = run(Random(shape=(100,)), X).y
    assert abs(y.mean()) < 0.03 and abs(y.std() - 1) < 0.03


def test_as_a_blob_it_has_the_samples_of_its_bottom_in_every_phase(run: Any) -> None:
    layer = Random(shape=(2, 3), noise=FILLERS["uniform"](min=-2.0, max=-1.0))
    for train in (True, False):
        y = run(layer, X, train=train).y
        assert y.shape == (200, 2, 3) and -2 <= y.min() < y.max() < -1
    np.testing.assert_array_equal(run(layer, X).dx, np.zeros_like(X))


def test_each_pass_draws_anew_and_the_same_pass_the_same(run: Any) -> None:
    one, again, other = (run(Random(), X, step=step).y for step in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.99


def test_integers_only_give_their_number(run: Any, refuses: Any) -> None:
    assert Trial(Random(shape=(3,)), [Shape((5, 2), "index")]).promised == [(5, 3)]
    refuses(Random(), [Shape((5, 2), "index")], "bottom", "needs real numbers")


def test_sits_the_exam() -> None:
    check_layer(Random(), (3, 4))
    check_layer(Random(shape=(2, 2)), (3, 4))
