"""The tasks: each formula by hand, over what was drawn, and what cannot be."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data.tasks import TASKS
from dltrain.errors import Refusal
from dltrain.source import Draw

LANGUAGES = {
    "an_bn": r"(a+)(b+)", "an_bn_cn": r"(a+)(b+)(c+)", "an_bn_cn_dn": r"(a+)(b+)(c+)(d+)", "an_b2n": r"(a+)(b+)",
    "an_bm_cnm": r"(a+)(b+)(c+)",
}  # fmt: skip


def make(task: str, count: int = 50, **keys: Any) -> dict[str, Any]:
    return TASKS[task].make(Draw(1, "t", np.zeros(count), np.arange(count)), **keys)


def text(row: Any) -> str:
    return "".join("-abcd"[n] for n in row)


@given(task=some.sampled_from(sorted(LANGUAGES)), length=some.integers(4, 30))
def test_texts_are_of_their_language(task: str, length: int) -> None:
    made = make(task, length=length)
    for data, label, weight in zip(made["data"], made["label"], made["weight"], strict=True):
        whole = text([*data, label[-1]])
        assert text(label) == whole[1:] and data.shape == (length,)
        said = whole.rstrip("-")
        parts = [len(part) for part in re.fullmatch(LANGUAGES[task], said).groups()]  # type: ignore[union-attr]
        n, m = parts[0], parts[1]
        assert parts == {"an_bn": [n, n], "an_bn_cn": [n] * 3, "an_bn_cn_dn": [n] * 4, "an_b2n": [n, 2 * n]}.get(
            task, [n, m, n + m]
        )
        free = n + m if task == "an_bm_cnm" else n
        assert np.flatnonzero(weight).tolist() == list(range(free, len(said)))  # from the first letter that tells on


def test_a_text_by_hand() -> None:
    made = make("an_bn", n=(2, 2), length=6)
    assert text(made["data"][0]) == "aabb--" and text(made["label"][0]) == "abb---"
    assert made["weight"][0].tolist() == [0, 0, 1, 1, 0, 0]
    assert {text(row).count("a") for row in make("an_bn", 500, n=(2, 4), length=9)["data"]} == {2, 3, 4}
    assert TASKS["an_bn"].names() == {"data": ["end", "a", "b"], "label": ["end", "a", "b"]}


def test_adding() -> None:
    made = make("adding", 500, length=7)
    x, marks = made["data"][:, :, 0], made["data"][:, :, 1]
    assert marks[:, :3].sum(axis=1).tolist() == marks[:, 3:].sum(axis=1).tolist() == [1] * 500
    assert set(np.argwhere(marks)[:, 1]) == set(range(7)) and np.allclose(made["label"], (x * marks).sum(axis=1))
    assert x.min() >= 0 and x.max() < 1 and x.mean() == pytest.approx(0.5, abs=0.02)


def test_copy_by_hand() -> None:
    made = make("copy", 200, length=2, gap=3, symbols=4)
    said = made["data"][:, :2]
    assert set(said.ravel()) == {1, 2, 3, 4}
    assert made["data"][0].tolist() == [*said[0], 0, 0, 5, 0, 0] and made["label"][0].tolist() == [0] * 5 + said[0].tolist()
    assert TASKS["copy"].names(length=2, gap=3, symbols=2) == {"data": ["blank", "1", "2", "say"], "label": ["blank", "1", "2"]}


def test_parity() -> None:
    made = make("parity", 300, length=5)
    assert set(made["data"].ravel()) == {0, 1} and made["data"].dtype == np.float32
    assert made["label"].tolist() == [int(row.sum()) % 2 for row in made["data"]] and 100 < made["label"].sum() < 200


def test_two_moons_without_noise() -> None:
    made = make("two_moons", noise=0.0)
    for (x, y), label in zip(made["data"], made["label"], strict=True):
        centre, side = ((0, 0), 1) if label == 0 else ((1, 0.5), -1)
        assert np.hypot(x - centre[0], y - centre[1]) == pytest.approx(1) and side * (y - centre[1]) >= -1e-12
    assert made["label"].tolist() == [0, 1] * 25


def test_spirals_without_noise() -> None:
    made = make("spirals", noise=0.0, turns=1.5)
    r, angle = np.hypot(*made["data"].T), np.arctan2(made["data"][:, 1], made["data"][:, 0])
    off = (angle - 2 * np.pi * 1.5 * r - np.pi * made["label"]) / (2 * np.pi)
    assert np.allclose(off, np.round(off), atol=1e-9) and r.max() < 1


@pytest.mark.parametrize("task", ["two_moons", "spirals"])
def test_noise_is_normal(task: str) -> None:
    off = (make(task, 4000, noise=0.5)["data"] - make(task, 4000, noise=0.0)["data"]) / 0.5
    assert np.allclose(off.mean(axis=0), 0, atol=0.06) and np.allclose(np.cov(off.T), np.eye(2), atol=0.08)


@pytest.mark.parametrize(("task", "keys", "key", "words"), [
    ("an_bn_cn", {"length": 2}, "length", "length 2 is too short: a text has 3 symbols at least"),
    ("an_bn", {"n": (3, 2)}, "n", "n is [3, 2]; write [least, most]"),
    ("an_bn", {"n": (3, 9), "length": 17}, "n", "n up to 9 takes 18 symbols; make n smaller, or length larger"),
    ("adding", {"length": 1}, "length", "length is 1; two numbers are added"),
])  # fmt: skip
def test_what_cannot_be(task: str, keys: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(Refusal, match="^" + re.escape(words)) as caught:
        make(task, **keys)
    assert caught.value.key == key
