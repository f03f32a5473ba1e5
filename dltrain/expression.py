"""Expressions of a config, $(n * 4) or "take < 5": a small closed language, read with Python's grammar and worked out by us."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from dltrain.errors import did_you_mean

LONGEST = 400  # characters
LARGEST = 10**18  # of a whole number on the way

ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "round": round}
ALLOWED = "+ - * / // %, comparisons, and, or, not, a if c else b, min, max and round"


class Expression:
    """A text of the language: names, numbers, texts, + - * / // %, comparisons, and/or/not, a if c else b, min, max, round.

    names              the names that it reads
    value(known)       what it is, given those names; ValueError says what is wrong in plain words

    >>> Expression("n * 4 if n > 1 else 0").value({"n": 2})
    8
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parsed(text)
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name | ast.Attribute)]
        inner = {id(node.value) for node in found if isinstance(node, ast.Attribute)}
        self.names = {dotted(node) for node in found if id(node) not in called | inner}

    def value(self, known: Mapping[str, Any]) -> Any:
        try:
            return work_out(self.tree.body, known)
        except ZeroDivisionError:
            raise ValueError(f"'{self.text}' divides by zero") from None
        except TypeError:
            kinds = ", ".join(f"{name} is {known[name]!r}" for name in sorted(self.names) if name in known)
            raise ValueError(f"'{self.text}' mixes numbers and texts{f' ({kinds})' if kinds else ''}") from None


@lru_cache(512)
def parsed(text: str) -> ast.Expression:
    if len(text) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"'{text[:40]}' is no expression; it has {ALLOWED}") from None
    for node in ast.walk(tree):
        if not isinstance(node, KNOWN):
            raise ValueError(f"'{text}' uses what expressions do not have; they have {ALLOWED}")
    return tree


KNOWN = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Name, ast.Attribute, ast.Constant,
    ast.Load, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, *ARITHMETIC, *COMPARISONS,
)  # fmt: skip


def dotted(node: ast.expr) -> str:
    """data.classes, as it is written."""
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "?")


def work_out(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The value of a part of an expression."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.Name() | ast.Attribute():
            name = dotted(node)
            if name not in known:
                raise ValueError(f"there is no '{name}'; {did_you_mean(name, known)}")
            return known[name]
        case ast.BinOp():
            return bounded(ARITHMETIC[type(node.op)], numbers(node.left, known), numbers(node.right, known))
        case ast.UnaryOp(op=ast.Not()):
            return not work_out(node.operand, known)
        case ast.UnaryOp():
            value = numbers(node.operand, known)
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BoolOp():
            wanted = isinstance(node.op, ast.Or)
            return any(work_out(part, known) for part in node.values) if wanted else all(work_out(p, known) for p in node.values)
        case ast.Compare():
            sides = [work_out(side, known) for side in (node.left, *node.comparators)]
            return all(COMPARISONS[type(op)](a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False))
        case ast.IfExp():
            return work_out(node.body if work_out(node.test, known) else node.orelse, known)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            return called(name, [numbers(arg, known) for arg in args])
    raise ValueError(f"an expression has {ALLOWED}, and nothing else")


def numbers(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """A part that must be a number: arithmetic is not done with texts."""
    value = work_out(node, known)
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def called(name: str, values: list[Any]) -> Any:
    if name == "round":
        if len(values) > 2 or (len(values) == 2 and not (isinstance(values[1], int) and abs(values[1]) < 20)):
            raise ValueError("round takes a number, and how many decimals to keep")
        return round(*values)
    return FUNCTIONS[name](values)


def bounded(op: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    value = op(a, b)
    if abs(value) > LARGEST:
        raise ValueError(f"{value:.3g} is too large a number")
    return value
