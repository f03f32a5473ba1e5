"""The contract of losses and metrics: labels, weights and bottoms that go together, and the words for those that do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from dltrain.errors import Refusal
from dltrain.layer import Shape
from dltrain.scored import Scored


def scored(axis: int = 1) -> Scored:
    made = Scored()
    made.axis = axis
    return made


def index(*sizes: int) -> Shape:
    return Shape(sizes, "index")


@pytest.mark.parametrize(("axis", "at", "left"), [(1, 1, (2, 4, 5)), (2, 2, (2, 3, 5)), (-1, 3, (2, 3, 4))])
def test_places_are_x_without_its_classes(axis: int, at: int, left: tuple[int, ...]) -> None:
    made = scored(axis)
    assert made.places(Shape((2, 3, 4, 5))) == left
    assert made.at == at


def test_what_fits_passes() -> None:
    x = Shape((2, 3, 4))
    scored().integers(x, index(2, 4), Shape((2, 4)))
    scored().alike(x, Shape((2, 12)))
    scored().matched(x, index(2, 3, 4), "label")
    for weight in (None, Shape((2,)), Shape((2, 4))):
        scored().weighted(x, weight, Shape((2, 4)))


X, PLACES = Shape((2, 3, 4)), Shape((2, 4))


@pytest.mark.parametrize(("check", "words"), [
    (lambda it: it.places(Shape((2,))), "1 is not an axis of 2 after the sample axis"),
    (lambda it: it.integers(X, index(2, 3), PLACES), "the label must be 2 x 4 integers where x is 2 x 3 x 4, not 2 x 3 of index"),
    (lambda it: it.integers(X, Shape((2, 4)), PLACES), "the label must be 2 x 4 integers where x is 2 x 3 x 4, not 2 x 4 of float"),
    (lambda it: it.integers(X, index(2), PLACES, "one or two"), "the label must be one or two, not 2 of index"),
    (lambda it: it.integers(Shape((2,)), index(), Shape(())), "the label must be one number integers where x is 2, not one number"),
    (lambda it: it.weighted(X, Shape((4,)), PLACES), "the weight must be 2 or 2 x 4, not 4"),
    (lambda it: it.weighted(X, Shape((2, 4))), "the weight must be 2, not 2 x 4"),
    (lambda it: it.alike(X, Shape((3, 8))), "needs as many numbers a sample in both bottoms, not 2 x 3 x 4 and 3 x 8"),
    (lambda it: it.alike(X, Shape((2, 3)), "scores"), "needs as many scores a sample in both bottoms, not 2 x 3 x 4 and 2 x 3"),
    (lambda it: it.matched(X, index(2, 3), "label"), "needs a label for each number of x: 2 x 3 x 4 against 2 x 3"),
    (lambda it: it.matched(X, Shape((2,)), "target", "mean"), "needs a target for each mean: 2 x 3 x 4 against 2"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(check: Callable[[Scored], Any], words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)):
        check(scored())
