"""Scalar formulas: a small function of numbers, written once, run on arrays by every back end.

The subset: assignments to names, + - * / ** and unary minus, `a if c else b` with comparisons, and/or/not in c, min, max, exp,
log, tanh, sqrt, abs; one result or several.  Anything else is an error that names the line.  Back ends translate the tree; the
reference walks it with NumPy.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from functools import cache, reduce
from typing import Any, NoReturn

import numpy as np

UNARY = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sqrt": np.sqrt, "abs": np.abs}
FOLDS = {"min": np.minimum, "max": np.maximum}
ARITHMETIC: dict[type, Callable[..., Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide, ast.Pow: np.power,
}  # fmt: skip
COMPARISONS: dict[type, Callable[..., Any]] = {
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip


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
        if not self.body or not isinstance(self.body[-1], ast.Return) or self.body[-1].value is None:
            raise TypeError(f"{self.name}: a formula ends with return")
        value = self.body[-1].value
        self.results = value.elts if isinstance(value, ast.Tuple) else [value]
        self.check()
        self.digest = hashlib.sha256(ast.dump(definition).encode()).hexdigest()[:16]

    def check(self) -> None:
        """A TypeError with file and line for what lies outside the subset."""
        names = set(self.arguments)
        for statement in self.body[:-1]:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.number(value, names)
                    names.add(name)
                case _:
                    self.refuse(statement)
        for result in self.results:
            self.number(result, names)

    def number(self, node: ast.expr, names: set[str]) -> None:
        """Passes an expression that is a number, and refuses anything else."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return
            case ast.Name(id=name) if name in names:
                return
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                parts = [left, right]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                parts = [operand]
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.condition(test, names)
                parts = [body, orelse]
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if len(parts) == 1 and name in UNARY:
                pass
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if len(parts) > 1 and name in FOLDS:
                pass
            case _:
                self.refuse(node)
        for part in parts:
            self.number(part, names)

    def condition(self, node: ast.expr, names: set[str]) -> None:
        """Passes what may stand after `if`: comparisons, and, or, not."""
        match node:
            case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
                for part in (left, *others):
                    self.number(part, names)
            case ast.BoolOp(values=values):
                for value in values:
                    self.condition(value, names)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.condition(operand, names)
            case _:
                self.refuse(node)

    def refuse(self, node: ast.expr | ast.stmt) -> NoReturn:
        line, file = self.line + node.lineno - 1, self.function.__code__.co_filename
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


class Summed(Formula):
    """A formula in the place of one of whose arguments stands a sum of several."""

    def __init__(self, of: Formula, place: int, terms: int) -> None:
        argument = of.arguments[place]
        used = {node.id for line in of.body for node in ast.walk(line) if isinstance(node, ast.Name)} | set(of.arguments)
        free = (f"{argument}{number}" for number in range(len(used) + terms))
        names = [name for name in free if name not in used][:terms]
        total = ast.parse(f"{argument} = {' + '.join(names)}").body[0]
        self.function, self.name, self.line = of.function, f"{of.name} of {terms} {argument}", of.line
        self.arguments = (*of.arguments[:place], *names, *of.arguments[place + 1 :])
        self.body, self.results = [total, *of.body], of.results
        self.digest = hashlib.sha256(f"{of.digest} {place} {terms}".encode()).hexdigest()[:16]


summed = cache(Summed)


def walk(node: ast.expr, names: dict[str, Any]) -> Any:
    """The value of an expression; both branches of a condition are computed, and one is chosen element by element."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name():
            return names[node.id]
        case ast.BinOp():
            return ARITHMETIC[type(node.op)](walk(node.left, names), walk(node.right, names))
        case ast.UnaryOp(op=ast.Not()):
            return np.logical_not(walk(node.operand, names))
        case ast.UnaryOp():
            return -walk(node.operand, names)
        case ast.IfExp():
            return np.where(walk(node.test, names), walk(node.body, names), walk(node.orelse, names))
        case ast.Compare():
            terms = [walk(term, names) for term in (node.left, *node.comparators)]
            return reduce(
                np.logical_and, [COMPARISONS[type(op)](a, b) for op, a, b in zip(node.ops, terms, terms[1:], strict=False)]
            )
        case ast.BoolOp():
            fold = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return reduce(fold, [walk(value, names) for value in node.values])
        case ast.Call(func=ast.Name(id=name)):
            values = [walk(argument, names) for argument in node.args]
            return UNARY[name](*values) if name in UNARY else reduce(FOLDS[name], values)
    raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")
