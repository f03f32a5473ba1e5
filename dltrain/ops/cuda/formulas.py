"""Formulas as CUDA C: the text of a scalar formula, and of the kernels around it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache, reduce

from dltrain.ops.cuda.texts import KERNELS
from dltrain.ops.formula import Formula

LARGEST = 3.4028235e38  # of float32
FOLDS = {"min": "minimum", "max": "maximum"}
FUNCTIONS = {"exp": "expf", "log": "logf", "tanh": "tanhf", "sqrt": "sqrtf", "abs": "fabsf"}
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def typed(node: ast.expr) -> str:
    """An expression as C, all of it float.  The formula's names begin with v_, so that none is a name of the kernel's own."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return f"{float(value)!r}f" if abs(value) < LARGEST else "(1.0f / 0.0f)"
        case ast.Name(id=name):
            return f"v_{name}"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"powf({typed(left)}, {typed(right)})"
        case ast.BinOp():
            return f"({typed(node.left)} {SIGNS[type(node.op)]} {typed(node.right)})"
        case ast.UnaryOp():
            return f"({'!' if isinstance(node.op, ast.Not) else '-'}{typed(node.operand)})"
        case ast.IfExp():
            return f"({typed(node.test)} ? {typed(node.body)} : {typed(node.orelse)})"
        case ast.Compare():
            terms = [typed(term) for term in (node.left, *node.comparators)]
            return "(" + " && ".join(f"{a} {COMPARISONS[type(op)]} {b}" for op, a, b in zip(node.ops, terms, terms[1:])) + ")"
        case ast.BoolOp():
            return "(" + (" && " if isinstance(node.op, ast.And) else " || ").join(typed(value) for value in node.values) + ")"
        case ast.Call(func=ast.Name(id=name)):
            arguments = [typed(argument) for argument in node.args]
            if name in FOLDS:
                return reduce(lambda left, right: f"{FOLDS[name]}({left}, {right})", arguments)
            return f"{FUNCTIONS[name]}({arguments[0]})"
    raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")


@cache
def function(formula: Formula, name: str = "formula") -> str:
    """`static void NAME(float v_x, …, float &r0, …)`: the results of a formula in C."""
    given = [f"float v_{argument}" for argument in formula.arguments]
    made = [f"float &r{number}" for number in range(len(formula.results))]
    lines = [f"INLINE void {name}({', '.join([*given, *made])}) {{"]
    known = set(formula.arguments)
    for line in formula.body[:-1]:
        assert isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)
        target = line.targets[0].id
        lines.append(f"    {'' if target in known else 'float '}v_{target} = {typed(line.value)};")
        known.add(target)
    results = [f"    float n{number} = {typed(result)};" for number, result in enumerate(formula.results)]
    lines += [*results, *(f"    r{number} = n{number};" for number in range(len(formula.results))), "}"]
    return "\n".join(lines) + "\n"


@cache
def prelude() -> str:
    return (KERNELS / "prelude.cuh").read_text() + "\n"


@cache
def elementwise_text(formula: Formula, arrays: int, fours: bool = False) -> str:
    """map(x0, …, y, constants…, count):  y[i] = formula(x0[i], …, constants…)"""
    constants = [f"c{number}" for number in range(len(formula.arguments) - arrays)]
    values = [*(f"x{number}[i]" for number in range(arrays)), *constants]
    body = f"float made; formula({', '.join([*values, 'made'])}); y[i] = made;"
    return f"{prelude()}{function(formula)}{mapping(arrays, body, [f'float {name}' for name in constants], fours)}"


def mapping(arrays: int, body: str, more: Sequence[str], fours: bool) -> str:
    """map(x0, …, y, more…, count) with `body` for each element i; or, for `count` fours of elements, four at a time."""
    names = [f"x{number}" for number in range(arrays)]
    heads = [*(f"const real *{name}" for name in names), "real *y", *more, "int count"]
    text = f"KERNEL map({', '.join(heads)}) {{\n"
    if not fours:
        return f"{text}    EACH(i, count) {{\n        {body}\n    }}\n}}\n"
    text += f"    EACH(q, count) {{\n        float {', '.join(f'{name}_four[4]' for name in [*names, 'y'])};\n"
    text += "".join(f"        take4({name}_four, {name} + (size_t)4 * q);\n" for name in names)
    text += f"        {{\n            float {', '.join(f'*{name} = {name}_four' for name in [*names, 'y'])};\n"
    text += "            #pragma unroll\n            for (int i = 0; i < 4; i++) {\n"
    text += f"                {body}\n            }}\n        }}\n"
    return f"{text}        give4(y + (size_t)4 * q, y_four);\n    }}\n}}\n"
