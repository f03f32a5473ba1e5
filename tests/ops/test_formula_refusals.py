"""Formulas: what lies outside the subset of Python is refused, and the message names its line."""

from __future__ import annotations

import re
from math import exp
from typing import Any

import numpy as np
import pytest

from dltrain.ops.formula import Formula

OUTSIDE = 2.0


# the strange part of each is in its first line
def loop(x: float) -> float:
    for _ in range(3):
        x = x * x
    return x


def condition(x: float) -> float:
    if x > 0:
        x = -x
    return x


def module(x: float) -> float:
    return np.exp(x)


def other_function(x: float) -> float:
    return round(x)


def keyword(x: float) -> float:
    return max(x, key=abs)


def remainder(x: float) -> float:
    return x % 2


def floor(x: float) -> float:
    return x // 2


def bits(x: Any) -> float:
    return x & 1


def membership(x: float) -> bool:
    return x in (1, 2)


def identity(x: float) -> bool:
    return x is None


def plus(x: float) -> float:
    return +x


def text(x: float) -> str:
    return "x"


def imaginary(x: float) -> complex:
    return x * 1j


def index(x: Any) -> float:
    return x[0]


def a_list(x: float) -> list[float]:
    return [x]


def starred(x: Any) -> float:
    return max(*x)


def augmented(x: float) -> float:
    x += 1
    return x


def annotated(x: float) -> float:
    y: float = x
    return y


def two_targets(x: float) -> float:
    y = z = x
    return y + z


def unpacked(x: Any) -> float:
    y, z = x
    return y + z


def walrus(x: float) -> float:
    return (y := x) + y


def inner(x: float) -> float:
    def y(z: float) -> float:
        return z

    return y(x)


def an_assertion(x: float) -> float:
    assert x > 0
    return x


def bare_expression(x: float) -> float:
    x + 1
    return x


def format_text(x: float) -> str:
    return f"{x}"


def free_name(x: float) -> float:
    return x * OUTSIDE


def not_yet_assigned(x: float) -> float:
    y = z * x  # noqa: F821
    z = y * 2
    return z + y


def two_arguments(x: float, y: float) -> float:
    return exp(x, y)


def no_arguments(x: float) -> float:
    return max()


def name_of_a_function(x: float) -> Any:
    return exp


def pair_in_the_middle(x: float) -> Any:
    y = (x, x)
    return y if x > 0 else x


def nested_tuple(x: float) -> Any:
    return x, (x, x)


REFUSED = [
    loop, condition, module, other_function, keyword, remainder, floor, bits, membership, identity, plus, text, imaginary,
    index, a_list, starred, augmented, annotated, two_targets, unpacked, walrus, inner, an_assertion, bare_expression,
    format_text, free_name, not_yet_assigned, two_arguments, no_arguments, name_of_a_function, pair_in_the_middle, nested_tuple,
]  # fmt: skip


@pytest.mark.parametrize("function", REFUSED)
def test_what_is_outside_the_subset_is_refused_at_its_line(function: Any) -> None:
    place = f"{__file__}:{function.__code__.co_firstlineno + 1}: {function.__name__}: "
    with pytest.raises(TypeError, match=re.escape(place) + ".* is outside a formula's subset"):
        Formula(function)


def test_the_line_is_that_of_the_strange_part() -> None:
    def later(x: float) -> float:
        y = x * x

        return y % 2

    line = later.__code__.co_firstlineno + 3
    with pytest.raises(TypeError, match=rf"test_formula_refusals.py:{line}: .*later: 'y % 2' is outside a formula's subset"):
        Formula(later)


def second_return(x: float) -> float:
    return x
    return -x


def test_nothing_comes_after_return() -> None:
    with pytest.raises(TypeError, match=r"test_formula_refusals.py:\d+: second_return: "):
        Formula(second_return)


def no_return(x: float) -> None:
    y = x  # noqa: F841


def empty_return(x: float) -> None:
    return


@pytest.mark.parametrize("function", [no_return, empty_return])
def test_a_formula_ends_with_return(function: Any) -> None:
    with pytest.raises(TypeError, match=f"{function.__name__}: a formula ends with return"):
        Formula(function)


def test_a_formula_is_a_def() -> None:
    short = lambda x: x  # noqa: E731
    with pytest.raises(TypeError, match="a formula is a def"):
        Formula(short)


# --- a comparison is a condition, not a number ---
def mask(x: float, y: float, c: float) -> float:
    return y * (x > 0) + c * (x <= 0)


def sign(x: float, y: float, c: float) -> float:
    return (x > 0) - (x < 0)


def count(x: float, y: float, c: float) -> float:
    return (x > 0) + (y > 0) + (c > 0)


def minus_a_comparison(x: float, y: float, c: float) -> float:
    return -(x > y)


def first_that_is_not_zero(x: float, y: float, c: float) -> float:
    return (x or y) + (y and c)


@pytest.mark.parametrize("function", [mask, sign, count, minus_a_comparison, first_that_is_not_zero])
def test_a_comparison_is_no_number(function: Any) -> None:
    with pytest.raises(TypeError, match="is outside a formula's subset"):
        Formula(function)
