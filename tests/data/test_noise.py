"""Noise, cut_out and mix_up: distributions measured, holes worked by hand, and the numbers they are made of."""

from __future__ import annotations

import numpy as np
import pytest

import dltrain.data  # noqa: F401  fills the registry
from dltrain.chain import Chain
from dltrain.data.chance import scattered
from dltrain.data.noise import beta
from dltrain.source import Draw, Shape
from tests.fixtures.steps import apply, draw, make, mistake, no_training, refuses


# --- as many numbers as a picture needs ---
def test_numbers_are_those_of_philox() -> None:
    from dltrain.ops import philox

    u = draw(3).uniform(2)
    words = (u * 2.0**32).astype(np.uint64)
    y = scattered(u, (2, 5))
    for n in range(3):
        made = philox.block((words[n, 0], words[n, 1], np.arange(3, dtype=np.uint64), np.uint64(0)), (0, 0))
        wanted = (np.stack(made, axis=1).reshape(-1)[:10] >> np.uint64(8)) / 2.0**24
        assert np.array_equal(y[n].ravel(), wanted.astype(np.float32))


def test_numbers_are_even_or_normal() -> None:
    u = draw(200).uniform(2)
    even, normal = scattered(u, (501,)), scattered(u, (501,), normal=True)
    assert even.min() >= 0 and even.max() < 1 and even.mean() == pytest.approx(0.5, abs=0.01)
    assert np.histogram(even, 10, (0, 1))[0].min() > 0.95 * even.size / 10
    assert normal.mean() == pytest.approx(0, abs=0.01) and normal.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(normal) < 1).mean() == pytest.approx(0.6827, abs=0.01) and np.isfinite(normal).all()
    assert abs(np.corrcoef(normal[:, 0::2][:, :250].ravel(), normal[:, 1::2].ravel())[0, 1]) < 0.01
    assert len(np.unique(even[:, 0])) == 200


# --- noise ---
def test_noise_is_as_wide_as_it_says() -> None:
    x = np.full((20, 3, 30, 30), 50.0)
    e = apply({"noise": 8}, x, draw(20)) - 50
    assert e.mean() == pytest.approx(0, abs=0.1) and e.std() == pytest.approx(8, rel=0.02)
    e = apply({"noise": 8, "kind": "uniform"}, x, draw(20)) - 50
    assert -8 <= e.min() < -7.99 and 7.99 < e.max() <= 8 and e.std() == pytest.approx(8 / np.sqrt(3), rel=0.02)
    y = apply({"noise": 0.2, "kind": "salt", "low": -1, "high": 9}, x, draw(20))
    assert set(np.unique(y)) == {-1, 50, 9} and (y[:, :1] == y).all()
    assert (y == -1).mean() == pytest.approx(0.1, abs=0.01) and (y == 9).mean() == pytest.approx(0.1, abs=0.01)
    assert apply({"noise": 0.5, "kind": "salt"}, np.ones((9, 4)), draw(9)).max() == 255


# --- cut_out ---
def test_cut_out_makes_holes_of_its_size() -> None:
    y = apply({"cut_out": [3, 4], "value": -2}, np.ones((300, 2, 9, 10)), draw(300))
    assert set(np.unique(y)) == {-2, 1} and (y[:, :1] == y).all()
    hit = (y[:, 0] == -2).mean(axis=0)
    assert hit.min() > 0 and (y[:, 0] == -2).sum(axis=(1, 2)).max() == 12
    for picture in y[:, 0] == -2:
        rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
        assert picture.sum() == len(rows) * len(columns) and len(rows) <= 3 and len(columns) <= 4
        assert len(rows) == 3 or rows[0] == 0 or rows[-1] == 8  # cut off by the border alone
    assert (apply({"cut_out": 1, "count": 3}, np.ones((50, 1, 9, 9)), draw(50)) == 0).sum(axis=(1, 2, 3)).max() == 3
    assert (apply({"cut_out": 99}, np.ones((5, 1, 9, 9)), draw(5)) == 0).all()


# --- mix_up ---
@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 3.0, 1000.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    u = np.random.default_rng(0).random((200_000, 2))
    share = beta(alpha, 1 - u[:, 0], u[:, 1])
    assert share.min() >= 0 and share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.005)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.02)  # of Beta(alpha, alpha)
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))  # its fourth moment about 1/2
    assert ((share - 0.5) ** 4).mean() == pytest.approx(fourth, rel=0.04)
    assert beta(alpha, np.array([1.0]), np.array([0.3])) == 0.5


def test_mix_up_mixes_pictures_and_classes_alike_with_the_next() -> None:
    fields = {"data": Shape((2,)), "label": Shape((), "index")}
    steps = [make({"one_hot": 4, "top": "label"}), make({"mix_up": 1})]
    chain = Chain(steps, "train", fields, {}, lambda links, top: no_training())
    data = np.arange(8, dtype=np.float32).reshape(4, 2)
    out = chain.run({"data": data, "label": np.arange(4)}, 1, np.arange(4), np.zeros(4))
    u = Draw(1, "transform 1 mix_up", np.zeros(4), np.arange(4)).uniform(2)
    share = beta(1.0, 1 - u[:, 0], u[:, 1])[:, None]
    follow = np.array([1, 2, 3, 0])
    assert np.allclose(out["data"], share * data + (1 - share) * data[follow])
    assert np.allclose(out["label"], share * np.eye(4) + (1 - share) * np.eye(4)[follow])
    plain = chain.run({"data": data, "label": np.arange(4)}, 1, np.arange(4))
    assert np.array_equal(plain["data"], data) and np.array_equal(plain["label"], np.eye(4))


def test_refusals() -> None:
    words = "mix_up: cannot mix classes; put {one_hot: CLASSES, top: label} before it"
    refuses("mix_up", Shape((), "index"), "", words)
    refuses({"noise": 1.5, "kind": "salt"}, (1, 4, 4), "amount", "noise: of salt, amount is a probability, at most 1")
    refuses({"noise": 1}, Shape((), "index"), "top", "noise: cannot be done with classes")
    refuses({"cut_out": 3}, (4,), "", "cut_out: needs an image (C x H x W), not 4")
    assert mistake({"mix_up": 0}) == "'alpha' must be at least 0.001, not 0"
    assert mistake({"noise": 1, "kind": "pepper"}) == "'kind' cannot be 'pepper'; known: gaussian, salt, uniform"
