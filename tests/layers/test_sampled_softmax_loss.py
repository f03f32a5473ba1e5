"""SampledSoftmaxLoss: the full softmax in test, a part that stands for all in training, drawn anew each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltrain.layers.sampled_softmax_loss import SampledSoftmaxLoss
from dltrain.tensor import Shape
from dltrain.testing import check_layer

RNG = np.random.default_rng(0)
X, LABEL = RNG.standard_normal((5, 3)), np.array([0, 4, 4, 2, 6])
PARAMS = {"weight": RNG.standard_normal((7, 3)), "bias": RNG.standard_normal(7)}
SCORES = X @ PARAMS["weight"].T + PARAMS["bias"]
LOGS = SCORES - np.log(np.exp(SCORES).sum(axis=1, keepdims=True))


def test_in_test_it_is_the_full_softmax(run: Any) -> None:
    made = run(SampledSoftmaxLoss(num_output=7), X, LABEL, params=PARAMS, train=False)
    assert made.y[0] == pytest.approx(-LOGS[np.arange(5), LABEL].mean())
    weighted = run(SampledSoftmaxLoss(num_output=7, ignore_label=4), X, LABEL, np.arange(5.0), params=PARAMS, train=False)
    assert weighted.sums == pytest.approx([-(3 * LOGS[3, 2] + 4 * LOGS[4, 6]), 7])


def plain(drawn: Any, chances: Any) -> tuple[float, Any]:
    """The loss and the gradient by x from its definition, sample by sample."""
    total, dx = 0.0, np.zeros_like(X)
    for n, label in enumerate(LABEL):
        classes = [label, *(c for c in drawn if c != label)]
        s = np.array([SCORES[n, label], *(SCORES[n, c] - np.log(len(drawn) * chances[c]) for c in classes[1:])])
        p = np.exp(s) / np.exp(s).sum()
        total -= np.log(p[0]) / 5
        dx[n] = (p[:, None] * PARAMS["weight"][classes]).sum(axis=0) / 5 - PARAMS["weight"][label] / 5
    return total, dx


@pytest.mark.parametrize("sampling", ["uniform", "log_uniform"])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_in_training_it_is_the_softmax_over_the_label_and_the_drawn(sampling: Any, step: int, run: Any) -> None:
    layer = SampledSoftmaxLoss(num_output=7, num_sampled=4, sampling=sampling)
    made = run(layer, X, LABEL, params=PARAMS, step=step)
    drawn = made.held(made.trial.layer.drawn)
    c = np.arange(7)
    chances = np.full(7, 1 / 7) if sampling == "uniform" else np.log((c + 2) / (c + 1)) / np.log(8)
    assert chances.sum() == pytest.approx(1)
    loss, dx = plain(drawn, chances)
    assert made.y[0] == pytest.approx(loss)
    np.testing.assert_allclose(made.dx, dx, atol=1e-14)


def test_each_step_draws_anew_and_always_the_same(run: Any) -> None:
    layer = SampledSoftmaxLoss(num_output=1000, num_sampled=8)
    params = {"weight": RNG.standard_normal((1000, 3)), "bias": np.zeros(1000)}
    made = [run(layer, X, LABEL, params=params, step=step) for step in (0, 1, 1)]
    drawn = [list(one.held(one.trial.layer.drawn)) for one in made]
    assert drawn[0] != drawn[1] == drawn[2]
    assert made[1].y[0] == made[2].y[0] != made[0].y[0]


@pytest.mark.parametrize("sampling", ["uniform", "log_uniform"])
def test_classes_are_drawn_as_often_as_they_should_be(sampling: Any, run: Any) -> None:
    layer = SampledSoftmaxLoss(num_output=7, num_sampled=40000, sampling=sampling)
    made = run(layer, X[:1], LABEL[:1], params=PARAMS)
    shares = np.bincount(made.held(made.trial.layer.drawn), minlength=7) / 40000
    c = np.arange(7)
    np.testing.assert_allclose(shares, 1 / 7 if sampling == "uniform" else np.log((c + 2) / (c + 1)) / np.log(8), atol=0.01)


def test_with_many_draws_it_comes_close_to_the_full_softmax(run: Any) -> None:
    for sampling in ("uniform", "log_uniform"):
        made = run(SampledSoftmaxLoss(num_output=7, num_sampled=20000, sampling=sampling), X, LABEL, params=PARAMS)  # type: ignore[arg-type]
        assert made.y[0] == pytest.approx(-LOGS[np.arange(5), LABEL].mean(), rel=0.01)


def test_an_ignored_place_gets_no_gradient(run: Any) -> None:
    made = run(SampledSoftmaxLoss(num_output=7, ignore_label=-1), X, np.array([-1, 4, 4, 2, 6]), params=PARAMS)
    assert made.sums[1] == 4 and not made.dx[0].any()


@pytest.mark.parametrize(("shape", "weight"), [((4, 3), ()), ((2, 3, 4), ((2,),)), ((2, 3, 4), ((2, 3),))])
@pytest.mark.parametrize("keys", [{}, {"sampling": "log_uniform", "bias_term": False, "ignore_label": 1}])
def test_sits_the_exam(shape: Any, weight: Any, keys: Any) -> None:
    check_layer(SampledSoftmaxLoss(num_output=9, num_sampled=5, **keys), shape, Shape(shape[:-1], "index"), *weight, classes=9)


@pytest.mark.parametrize(("shapes", "words"), [
    ([(4,), Shape((4,), "index")], "the label must be one number integers where x is 4, not 4 of index"),
    ([(4, 3), Shape((5,), "index")], "the label must be 4 integers where x is 4 x 3, not 5 of index"),
    ([(4, 3), (4,)], "the label must be 4 integers where x is 4 x 3, not 4 of float"),
    ([(4, 2, 3), Shape((4, 2), "index"), (2,)], "the weight must be 4 or 4 x 2, not 2"),
])  # fmt: skip
def test_refuses(shapes: Any, words: str, refuses: Any) -> None:
    refuses(SampledSoftmaxLoss(num_output=5), shapes, "bottom", words)
