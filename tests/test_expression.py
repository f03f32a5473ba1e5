"""Expressions: what they are worth, and everything that they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain.expression import LARGEST, Expression


@pytest.mark.parametrize(
    ("text", "known", "value"),
    [
        ("n * 4", {"n": 3}, 12),
        ("n // 2 + n % 2", {"n": 7}, 4),
        ("n / 2", {"n": 7}, 3.5),
        ("-n + +2", {"n": 7}, -5),
        ("1 < n <= 7", {"n": 7}, True),
        ("1 < n < 7", {"n": 7}, False),
        ("take < 5 and speaker != 'theo'", {"take": 4, "speaker": "george"}, True),
        ("a or b", {"a": 0, "b": 0}, False),
        ("not a", {"a": 0}, True),
        ("64 if stage == 1 else 128", {"stage": 2}, 128),
        ("min(3, n) + max(n, 9)", {"n": 7}, 12),
        ("round(n * 0.3)", {"n": 7}, 2),
        ("round(2.345, 1)", {}, 2.3),
        ("data.classes + 1", {"data.classes": 10}, 11),
        ("True", {}, True),
    ],
)
def test_values(text: str, known: dict[str, Any], value: Any) -> None:
    made = Expression(text).value(known)
    assert made == value
    assert type(made) is type(value)


def test_names_are_those_that_it_reads() -> None:
    assert Expression("min(n, data.classes) if take < 5 else i").names == {"n", "data.classes", "take", "i"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os')", "and nothing else"),
        ("a.b.c()", "and nothing else"),
        ("(lambda: 1)()", "uses what expressions do not have"),
        ("2 ** 9", "uses what expressions do not have"),
        ("[1]", "uses what expressions do not have"),
        ("x[0]", "uses what expressions do not have"),
        ("f'{x}'", "uses what expressions do not have"),
        ("a := 1", "is no expression"),
        ("1 +", "is no expression"),
        ("(" * 300, "is no expression"),
        ("1" * 401, "at most 400 characters"),
        ("'a' * 3", "'a' is no number"),
        ("1 // 0", "divides by zero"),
        ("1 < 'a'", "mixes numbers and texts"),
        ("round(1.5, 'a')", "is no number"),
        ("round(1.5, 99)", "how many decimals"),
        ("min()", "and nothing else"),
        ("min(1, key=2)", "uses what expressions do not have|and nothing else"),
        ("9999999999 * 9999999999", "too large a number"),
        ("None", "and nothing else"),
        ("1j", "and nothing else"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Expression(text).value({"x": 1, "a.b.c": 1})


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"there is no 'tkae'; did you mean 'take'\?"):
        Expression("tkae < 5").value({"take": 1})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abn1290.+-*/%()<>=! 'ifelsandotr,", max_size=60))
def test_any_text_gives_a_value_or_a_plain_refusal(text: str) -> None:
    try:
        made = Expression(text).value({"a": 1, "b": 2.5, "n": 3})
    except ValueError:
        return
    assert isinstance(made, bool | int | float | str)
    assert not isinstance(made, int) or abs(made) <= max(LARGEST, 10 ** len(text))
