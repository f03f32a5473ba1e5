"""Scalar formulas: a small function of numbers, written once, run on arrays by every back end.

The subset: assignments to names, + - * / ** and unary minus, comparisons, and/or/not, `a if c else b`, min, max, exp, log,
tanh, sqrt, abs; one result or several.  Anything else is an error that names the line.  Back ends translate the tree; the
reference walks it with NumPy.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

UNARY = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sqrt": np.sqrt, "abs": np.abs}
FOLDS = {"min": np.minimum, "max": np.maximum}
BINARY: dict[type, Callable[..., Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide, ast.Pow: np.power,
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip
NODES = (ast.Name, ast.Load, ast.Store, ast.Constant, ast.BinOp, ast.UnaryOp, ast.USub, ast.Not, ast.Compare, ast.BoolOp,
         ast.And, ast.Or, ast.IfExp, ast.Call, ast.Tuple, ast.Assign, ast.Return, *BINARY)  # fmt: skip


class Formula:
    """A checked scalar function: its argument names, its statements, and a digest of its text."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        source = textwrap.dedent(inspect.getsource(function))
        definition = ast.parse(source).body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise TypeError(f"{function.__qualname__}: a formula is a def")
        self.name = function.__qualname__
        self.line = function.__code__.co_firstlineno
        self.arguments = tuple(argument.arg for argument in definition.args.args)
        self.body = [
            line for line in definition.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        ]
        for statement in self.body:
            self.refuse_strangers(statement)
        if not self.body or not isinstance(self.body[-1], ast.Return) or self.body[-1].value is None:
            raise TypeError(f"{self.name}: a formula ends with return")
        value = self.body[-1].value
        self.results = value.elts if isinstance(value, ast.Tuple) else [value]
        self.digest = hashlib.sha256(ast.dump(definition).encode()).hexdigest()[:16]

    def refuse_strangers(self, statement: ast.stmt) -> None:
        """A TypeError with file and line for what lies outside the subset."""
        for node in ast.walk(statement):
            strange = not isinstance(node, NODES)
            if isinstance(node, ast.Call):
                strange = not (isinstance(node.func, ast.Name) and node.func.id in {*UNARY, *FOLDS} and not node.keywords)
            if isinstance(node, ast.Constant):
                strange = not isinstance(node.value, int | float)
            if isinstance(node, ast.Assign):
                strange = len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name)
            if strange:
                line = self.line + getattr(node, "lineno", 1) - 1
                file = self.function.__code__.co_filename
                raise TypeError(f"{file}:{line}: {self.name}: {ast.unparse(node)!r} is outside a formula's subset")

    def __call__(self, **values: Any) -> tuple[Any, ...]:
        """The results for NumPy arrays (or numbers) by argument name."""
        names = {name: values[name] for name in self.arguments}
        with np.errstate(all="ignore"):
            for statement in self.body[:-1]:
                assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
                names[statement.targets[0].id] = walk(statement.value, names)
            return tuple(walk(result, names) for result in self.results)

    def __repr__(self) -> str:
        return self.name


@cache
def formula(function: Callable[..., Any]) -> Formula:
    return Formula(function)


def walk(node: ast.expr, names: dict[str, Any]) -> Any:
    """The value of an expression; both branches of a condition are computed, and one is chosen element by element."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return names[node.id]
        case ast.BinOp():
            return BINARY[type(node.op)](walk(node.left, names), walk(node.right, names))
        case ast.UnaryOp():
            value = walk(node.operand, names)
            return np.logical_not(value) if isinstance(node.op, ast.Not) else -value
        case ast.IfExp():
            return np.where(walk(node.test, names), walk(node.body, names), walk(node.orelse, names))
        case ast.Compare():
            terms = [node.left, *node.comparators]
            pairs = zip(node.ops, terms, terms[1:], strict=False)
            return np.logical_and.reduce([BINARY[type(op)](walk(a, names), walk(b, names)) for op, a, b in pairs])
        case ast.BoolOp():
            fold = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return fold.reduce([walk(value, names) for value in node.values])
        case ast.Call(func=ast.Name(id=name)):
            values = [walk(argument, names) for argument in node.args]
            return UNARY[name](*values) if name in UNARY else fold_all(FOLDS[name], values)
    raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")


def fold_all(fold: Callable[..., Any], values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = fold(result, value)
    return result
