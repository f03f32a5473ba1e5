"""Formulas: the subset of Python that is accepted means what Python means; everything else is refused at its line."""

from __future__ import annotations

import re
from math import exp, log, sqrt, tanh
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.formula import Formula, formula

OUTSIDE = 2.0


# --- accepted: each of x, y, c ---
def arithmetic(x: float, y: float, c: float) -> float:
    return -x + y * c - (x - y) / 4 + (x + 0.5) ** 2


def whole_numbers(x: float, y: float, c: float) -> float:
    return x * (1 / 3) + y * 2**3 + c * (7 - 2) / 2


def negative_powers(x: float, y: float, c: float) -> float:
    return x * 2**-1 + (abs(y) + 1) ** -2


def choice(x: float, y: float, c: float) -> float:
    return x if x > 0 else c * x


def nested_choice(x: float, y: float, c: float) -> float:
    return x if x > 1 else y if y <= c else c if x != y else 3


def connectives(x: float, y: float, c: float) -> float:
    return 1.0 if (x > 0 and y > 0) or not c < 0.5 and x != y else -1.0


def chained(x: float, y: float, c: float) -> float:
    return x if -1 <= x < y <= 3 else c


def folds(x: float, y: float, c: float) -> float:
    return min(x, y, c) * 10 + max(x, c) - min(3, abs(y))


def functions(x: float, y: float, c: float) -> float:
    return exp(-abs(x)) + log(1 + y * y) + tanh(x - c) + sqrt(abs(x * y))


def statements(x: float, y: float, c: float) -> float:
    """The docstring is no statement."""
    a = x * y
    b = a + c
    a = b * a
    return a - b


def several(x: float, y: float, c: float) -> tuple[float, float, float]:
    v = c * x + y
    return x - v, v, min(v, 0.0)


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


ACCEPTED = [arithmetic, whole_numbers, negative_powers, choice, nested_choice, connectives, chained, folds, functions, statements,
            several, mask, sign, count, minus_a_comparison, first_that_is_not_zero]  # fmt: skip
numbers = some.one_of(some.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), some.floats(-5, 5))


@pytest.mark.parametrize("function", ACCEPTED)
@settings(max_examples=50, deadline=None)
@given(rows=some.lists(some.tuples(numbers, numbers), min_size=1, max_size=6), c=numbers)
def test_on_arrays_it_is_what_python_makes_of_each_element(function: Any, rows: Any, c: float) -> None:
    x, y = np.array(rows).T
    made = formula(function)(x=x, y=y, c=c)
    each = [function(float(a), float(b), c) for a, b in rows]
    expected = np.array([one if isinstance(one, tuple) else (one,) for one in each], float).T
    assert len(made) == len(expected)
    for found, right in zip(made, expected, strict=True):
        np.testing.assert_allclose(np.broadcast_to(found, x.shape), right, rtol=1e-13, atol=1e-13)


def test_it_knows_its_arguments_its_results_and_its_name() -> None:
    made = formula(several)
    assert made.arguments == ("x", "y", "c")
    assert len(made.results) == 3
    assert repr(made) == "several"


def test_the_same_function_is_read_once() -> None:
    assert formula(choice) is formula(choice)


def test_the_digest_is_that_of_the_text() -> None:
    assert len({Formula(function).digest for function in ACCEPTED}) == len(ACCEPTED)
    assert Formula(choice).digest == Formula(choice).digest


def test_numbers_that_are_out_of_range_make_no_noise() -> None:
    def poles(x: float) -> float:
        return log(x) + 1 / x + exp(1000 * x) + sqrt(x - 1)

    assert not np.isfinite(formula(poles)(x=np.array([0.0, -1.0, 1e9]))[0]).any()


# --- refused: the offending line is the first of the body, or `return` ---
def loop(x: float) -> float:
    for _ in range(3): x = x * x  # noqa: E701
    return x


def condition(x: float) -> float:
    if x > 0: x = 0  # noqa: E701
    return x


def module(x: float) -> float:
    return np.exp(x)  # type: ignore[no-any-return]


def other_function(x: float) -> float:
    return round(x)


def keyword(x: float) -> float:
    return max(x, key=abs)  # type: ignore[call-overload, no-any-return]


def remainder(x: float) -> float:
    return x % 2


def floor(x: float) -> float:
    return x // 2


def bits(x: Any) -> float:
    return x & 1  # type: ignore[no-any-return]


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
    return x[0]  # type: ignore[no-any-return]


def a_list(x: float) -> list[float]:
    return [x]


def starred(x: Any) -> float:
    return max(*x)  # type: ignore[no-any-return]


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
    return y + z  # type: ignore[no-any-return]


def walrus(x: float) -> float:
    return (y := x) + y


def inner(x: float) -> float:
    def y(z: float) -> float: return z  # noqa: E704
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
    y = z * x  # type: ignore[has-type]  # noqa: F821
    z = y
    return z  # type: ignore[no-any-return]


def two_arguments(x: float, y: float) -> float:
    return exp(x, y)  # type: ignore[call-arg]


def no_arguments(x: float) -> float:
    return max()  # type: ignore[call-overload, no-any-return]


def name_of_a_function(x: float) -> Any:
    return exp


def pair_in_the_middle(x: float) -> Any:
    y = (x, x)
    return y


def nested_tuple(x: float) -> Any:
    return x, (x, x)


REFUSED = [loop, condition, module, other_function, keyword, remainder, floor, bits, membership, identity, plus, text, imaginary,
           index, a_list, starred, augmented, annotated, two_targets, unpacked, walrus, inner, an_assertion, bare_expression, format_text,
           free_name, not_yet_assigned, two_arguments, no_arguments, name_of_a_function, pair_in_the_middle, nested_tuple]  # fmt: skip


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
    with pytest.raises(TypeError, match=rf"test_formula.py:{line}: .*later: 'y % 2' is outside a formula's subset"):
        Formula(later)


def second_return(x: float) -> float:
    return x
    return -x


def test_nothing_comes_after_return() -> None:
    with pytest.raises(TypeError, match=r"test_formula.py:\d+: second_return: "):
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
