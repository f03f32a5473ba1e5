"""Typos: each kind by hand, how often they come, and what they leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data.typos import Typos, dropped, swapped
from dltrain.errors import Refusal
from dltrain.source import Draw, Shape

X = np.array([[1, 2, 3, 4, 0, 0], [5, 6, 7, 8, 9, 5]], np.int32)
YES, NO = True, False


def none() -> Any:
    raise AssertionError("nothing is computed over the training split here")


def draw(count: int, epoch: int = 0) -> Draw:
    return Draw(1, "t", np.full(count, epoch), np.arange(count))


def apply(x: Any, drawn: Draw | None, **keys: Any) -> Any:
    step, before = Typos(**keys), x.copy()
    assert step.setup(Shape(x.shape[1:], "index"), none) == x.shape[1:]
    y = step.apply(x, drawn)
    assert y.shape == x.shape and y.dtype == x.dtype and np.array_equal(x, before)
    return y


def test_places_exchanged_by_hand() -> None:
    wanted = np.array([[YES, YES, NO, YES, NO, NO], [NO, YES, YES, YES, NO, NO]])
    assert swapped(X, wanted).tolist() == [[2, 1, 3, 0, 4, 0], [5, 7, 6, 9, 8, 5]]  # one that has moved stays


def test_places_dropped_by_hand() -> None:
    unwanted = np.array([[YES, NO, YES, NO, NO, NO], [NO] * 6])
    assert dropped(X, unwanted, 9).tolist() == [[2, 4, 0, 0, 9, 9], [5, 6, 7, 8, 9, 5]]


def test_nothing_outside_training_nor_without_probability() -> None:
    assert apply(X, None, probability=1.0) is X
    assert np.array_equal(apply(X, draw(2), probability=0.0), X)


def test_padding_stays_where_it_is() -> None:
    x = np.tile(X[:1], (500, 1))
    for kind in ("replace", "swap"):
        y = apply(x, draw(500), probability=1.0, kinds=(kind,))
        assert not y[:, 4:].any() and set(y[:, :4].ravel()) == {1, 2, 3, 4}
    assert not apply(x, draw(500), probability=1.0, kinds=("drop",)).any()
    assert np.all(apply(x, draw(500), probability=1.0, kinds=("drop",), pad=7)[:, -1] == 7)


@pytest.mark.parametrize(("kind", "share"), [("replace", 0.2 * 19 / 20), ("swap", None), ("drop", None)])
def test_how_often_they_come(kind: Any, share: float | None) -> None:
    x = np.tile(np.arange(1, 21, dtype=np.int32), (2000, 1))
    y = apply(x, draw(2000), probability=0.2, kinds=(kind,))
    if kind == "drop":
        assert (y == 0).mean() == pytest.approx(0.2, abs=0.01)
    elif kind == "swap":  # a swap needs a free place: of the 0.2, those after a swap do not count
        assert np.array_equal(np.sort(y, axis=1), x) and (y != x).mean() == pytest.approx(2 * 0.2 / 1.2 * 0.95, abs=0.02)
    else:
        assert (y != x).mean() == pytest.approx(share, abs=0.01)


def test_another_epoch_has_others_and_a_sample_its_own() -> None:
    x = np.tile(np.arange(1, 41, dtype=np.int32), (3, 1))
    first = apply(x, draw(3), probability=0.3)
    assert np.array_equal(apply(x[2:], Draw(1, "t", np.zeros(1), np.array([2])), probability=0.3)[0], first[2])
    assert not np.array_equal(apply(x, draw(3, epoch=1), probability=0.3), first) and not np.array_equal(first[0], first[1])


@given(
    x=some.lists(some.lists(some.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6), probability=some.floats(0, 1)
)
def test_no_symbol_comes_from_elsewhere(x: list[list[int]], probability: float) -> None:
    rows = np.array(x, np.int32)
    for before, after in zip(rows, apply(rows, draw(len(rows)), probability=probability), strict=True):
        assert set(after) <= set(before) | {0}


def test_what_is_no_text() -> None:
    for shape in (Shape((5,)), Shape((), "index"), Shape((2, 5), "index")):
        with pytest.raises(Refusal, match="typos: needs a text .a row of numbers of symbols., not"):
            Typos().setup(shape, none)
