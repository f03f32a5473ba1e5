"""Elementwise formulas as nodes of ONNX: its own operator where one is the formula, else the formula's tree, node by node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial, reduce
from math import sqrt
from typing import Any

from dltrain.ops.formula import ARITHMETIC, COMPARISONS, FOLDS, UNARY, Formula, walk
from dltrain.registry import LAYERS
from dltrain.tensor import Tensor
from dltrain.translate.to_onnx_sheet import Sheet, says

Number = float | str  # known already, or the name of a value
OPERATORS: dict[type, str] = {
    ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow",
    ast.Lt: "Less", ast.LtE: "LessOrEqual", ast.Gt: "Greater", ast.GtE: "GreaterOrEqual", ast.Eq: "Equal",
}  # fmt: skip
FUNCTIONS = {"exp": "Exp", "log": "Log", "tanh": "Tanh", "sqrt": "Sqrt", "abs": "Abs"}
NOTHING: dict[type, tuple[float | None, float]] = {  # the number that changes nothing, on the left and on the right
    ast.Add: (0.0, 0.0), ast.Sub: (None, 0.0), ast.Mult: (1.0, 1.0), ast.Div: (None, 1.0), ast.Pow: (None, 1.0),
}  # fmt: skip


# --- formulas that ONNX has ---
def relu(s: Sheet, x: Tensor, y: Tensor, negative_slope: float) -> None:
    s.node("LeakyRelu", [x], y, alpha=negative_slope) if negative_slope else s.node("Relu", [x], y)


def plain(kind: str, s: Sheet, x: Tensor, y: Tensor) -> None:
    s.node(kind, [x], y)


def elu(s: Sheet, x: Tensor, y: Tensor, alpha: float) -> None:
    s.node("Elu", [x], y, alpha=alpha)


def clip(s: Sheet, x: Tensor, y: Tensor, low: float, high: float) -> None:
    s.node("Clip", [x, s.number(low), s.number(high)], y)


def shrink(s: Sheet, x: Tensor, y: Tensor, lambda_: float) -> None:
    s.node("Shrink", [x], y, lambd=lambda_, bias=lambda_)


def swish(s: Sheet, x: Tensor, y: Tensor, beta: float) -> None:
    steep: Any = x if beta == 1 else s.node("Mul", [x, s.number(beta)])
    s.node("Mul", [x, s.node("Sigmoid", [steep])], y)


def exact_gelu(s: Sheet, x: Tensor, y: Tensor) -> None:
    if s.opset >= 20:
        s.node("Gelu", [x], y)
    else:
        one = s.node("Add", [s.node("Erf", [s.node("Mul", [x, s.number(sqrt(0.5))])]), s.number(1.0)])
        s.node("Mul", [s.node("Mul", [x, s.number(0.5)]), one], y)


KNOWN: dict[str, Callable[..., None]] = {
    "ReLU": relu, "ELU": elu, "Clip": clip, "SoftShrink": shrink, "Swish": swish,
    "ReLU6": lambda s, x, y: clip(s, x, y, 0.0, 6.0),
    "ExactGELU": exact_gelu,
    **{name: partial(plain, kind) for name, kind in (
        ("Sigmoid", "Sigmoid"), ("TanH", "Tanh"), ("AbsVal", "Abs"), ("BNLL", "Softplus"), ("Erf", "Erf"),
        ("HardSwish", "HardSwish"),
    )},
}  # fmt: skip


@says("elementwise")
def elementwise(
    s: Sheet, xs: tuple[Tensor, ...], y: Tensor, formula: Formula, constants: tuple[float, ...], monotone: bool
) -> None:
    """Known by the function itself, not by its name: a layer of a user's may be called like one of ours."""
    known = next((name for name in KNOWN if formula.function is LAYERS[name].f), None)
    if known is not None:
        KNOWN[known](s, *xs, y, *constants)
    elif formula.function is LAYERS["GELU"].f and s.opset >= 20:
        s.node("Gelu", xs, y, approximate="tanh")
    else:
        values: list[Number] = [*map(s.name, xs), *constants]
        result = Tree(s, dict(zip(formula.arguments, values))).result(formula)
        whole = s.number(result) if isinstance(result, float) else result
        if isinstance(result, float) or whole in values:
            s.node("Expand" if isinstance(result, float) else "Identity", [whole, *spread(s, y, result)], y)
        else:
            s.alias(y, whole)


def spread(s: Sheet, y: Tensor, result: Number) -> list[str]:
    return [s.shape_of(y)] if isinstance(result, float) else []


class Tree:
    """A formula walked with names of values in the place of arrays; what is known beforehand is computed beforehand."""

    def __init__(self, s: Sheet, names: dict[str, Number]) -> None:
        self.s, self.names = s, names
        self.made: dict[tuple[Any, ...], str] = {}

    def result(self, formula: Formula) -> Number:
        for statement in formula.body[:-1]:
            assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            self.names[statement.targets[0].id] = self.walk(statement.value)
        return self.walk(formula.results[0])

    def node(self, kind: str, *parts: Number) -> str:
        """A node, once for the same values."""
        key = (kind, *parts)
        if key not in self.made:
            self.made[key] = self.s.node(kind, [self.s.number(part) if isinstance(part, float) else part for part in parts])
        return self.made[key]

    def walk(self, node: ast.expr) -> Number:
        match node:
            case ast.Constant():
                return float(walk(node, {}))
            case ast.Name():
                value = self.names[node.id]
                return value if isinstance(value, str) else float(value)
            case ast.BinOp():
                return self.pair(type(node.op), self.walk(node.left), self.walk(node.right))
            case ast.UnaryOp():
                part = self.walk(node.operand)
                return -part if isinstance(part, float) else self.node("Neg", part)
            case ast.IfExp():
                test = self.test(node.test)
                if isinstance(test, bool):
                    return self.walk(node.body if test else node.orelse)
                return self.node("Where", test, self.walk(node.body), self.walk(node.orelse))
            case ast.Call(func=ast.Name(id=name)):
                return self.call(name, [self.walk(part) for part in node.args])
        raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")

    def pair(self, kind: type, a: Number, b: Number) -> Number:
        if isinstance(a, float) and isinstance(b, float):
            return float(ARITHMETIC[kind](a, b))
        left, right = NOTHING[kind]
        if a == left:
            return b
        return a if b == right else self.node(OPERATORS[kind], a, b)

    def call(self, name: str, parts: list[Number]) -> Number:
        if name in UNARY:
            return float(UNARY[name](parts[0])) if isinstance(parts[0], float) else self.node(FUNCTIONS[name], parts[0])
        if all(isinstance(part, float) for part in parts):
            return float(reduce(FOLDS[name], parts))
        return self.node(name.capitalize(), *parts)

    def test(self, node: ast.expr) -> bool | str:
        """What stands after `if`."""
        match node:
            case ast.Compare():
                terms = [self.walk(term) for term in (node.left, *node.comparators)]
                return self.joined("And", [self.compare(type(op), a, b) for op, a, b in zip(node.ops, terms, terms[1:])])
            case ast.BoolOp():
                return self.joined("And" if isinstance(node.op, ast.And) else "Or", [self.test(part) for part in node.values])
            case ast.UnaryOp():
                part = self.test(node.operand)
                return not part if isinstance(part, bool) else self.node("Not", part)
        raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")

    def compare(self, kind: type, a: Number, b: Number) -> bool | str:
        if isinstance(a, float) and isinstance(b, float):
            return bool(COMPARISONS[kind](a, b))
        if kind is ast.NotEq:
            return self.node("Not", self.node("Equal", a, b))
        return self.node(OPERATORS[kind], a, b)

    def joined(self, kind: str, parts: list[bool | str]) -> bool | str:
        """And of all, or Or; a part that is known decides, or falls away."""
        decides = kind == "Or"
        if decides in [part for part in parts if isinstance(part, bool)]:
            return decides
        left = [part for part in parts if isinstance(part, str)]
        return reduce(lambda a, b: self.node(kind, a, b), left) if left else not decides
