"""Formulas: what is accepted of Python means what Python means."""

from __future__ import annotations

from math import exp, log, sqrt, tanh
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cpu.fusion import fuse as on_cpu
from dltrain.ops.cuda.fusion import fuse as on_cuda
from dltrain.ops.formula import Formula, formula, summed
from dltrain.ops.signature import OPS, Call
from dltrain.tensor import Shape, Tensor


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
    return 1.0 if (x > 0 and y > 0) or (not c < 0.5 and x != y) else -1.0


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


ACCEPTED = [arithmetic, whole_numbers, negative_powers, choice, nested_choice, connectives, chained, folds, functions, statements,
            several]  # fmt: skip
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


def test_a_sum_may_stand_in_the_place_of_an_argument() -> None:
    def gap(x: float, x0: float, c: float) -> float:
        x1 = x * 2
        return max(x1 - x0, c)

    of, terms = formula(gap), {"a": np.array([1.0, 2]), "b": np.array([3.0, -4]), "d": np.array([0.5, 0.5])}
    made = summed(of, 0, 3)
    assert made.arguments == ("x2", "x3", "x4", "x0", "c")  # names that are free
    given = dict(zip(made.arguments, [*terms.values(), np.array([1.0, 1]), 0.25]))
    assert made(**given)[0].tolist() == [8.0, 0.25] == of(x=sum(terms.values()), x0=np.array([1.0, 1]), c=0.25)[0].tolist()
    assert made is summed(of, 0, 3) and len({of.digest, made.digest, summed(of, 0, 2).digest, summed(of, 1, 3).digest}) == 4


@pytest.mark.parametrize("fuse", [on_cpu, on_cuda])
def test_a_sum_that_only_a_formula_reads_goes_into_it(fuse: Any) -> None:
    """The gradients of two branches, and the ReLU that they go back through."""

    def back(dy: float, y: float) -> float:
        return dy if y > 0 else 0.0

    a, b, s, y, out = (Tensor(name, Shape((2, 3))) for name in "absyo")
    added = Call(OPS["weighted_sum"], {"xs": (a, b), "y": s, "weights": (1.0, 1.0)}, "it", "backward")
    args = {"xs": (s, y), "y": out, "formula": formula(back), "constants": (), "monotone": False}
    act = Call(OPS["elementwise"], args, "it", "backward")
    (joint,) = fuse([added, act], {out})
    assert joint.args["xs"] == (a, b, y) and joint.args["formula"] is summed(formula(back), 0, 2) and joint.layer == "it"
    assert fuse([added, act], {out, s}) == [added, act]  # somebody looks at the sum
    uneven = Call(added.op, {**added.args, "weights": (1.0, -1.0)})
    assert fuse([uneven, act], {out}) == [uneven, act]
