"""Formulas as kernels: a scalar formula becomes the text of a Numba module, kept on disk by its digest and imported by name.

Numba caches functions of importable modules only, so the text goes into the cache folder once, where every process finds it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path

from dltrain.ops.cache import folder, write, write_apart
from dltrain.ops.cpu import functions
from dltrain.ops.formula import Formula

HEAD = '''"""Made by dltrain from a formula; safe to delete."""
import numpy as np
from numba import njit
from dltrain.ops.cpu.functions import exp, log, maximum, minimum, sqrt, tanh

F = np.float32


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False, fastmath={"contract", "nsz"})
'''


LARGEST = 3.4028235e38  # of float32
FOLDS = {"min": "minimum", "max": "maximum"}


def typed(node: ast.expr) -> str:
    """An expression as Numba text; literals get the type of the arrays, or one of them would turn all into float64.

    The formula's names begin with v_, so that none is a name of the kernel's own.
    """
    match node:
        case ast.Constant(value=int() | float() as value):
            return f"F({float(value)!r})" if abs(value) < LARGEST else "F(np.inf)"
        case ast.Name(id=name):
            return f"v_{name}"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"F({typed(left)} ** {typed(right)})"
        case ast.BinOp():
            sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(node.op)]
            return f"({typed(node.left)} {sign} {typed(node.right)})"
        case ast.UnaryOp():
            return f"({'not ' if isinstance(node.op, ast.Not) else '-'}{typed(node.operand)})"
        case ast.IfExp():
            return f"({typed(node.body)} if {typed(node.test)} else {typed(node.orelse)})"
        case ast.Compare():
            signs = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
            pairs = zip(node.ops, node.comparators, strict=True)
            return f"({typed(node.left)}{''.join(f' {signs[type(op)]} {typed(right)}' for op, right in pairs)})"
        case ast.BoolOp():
            return "(" + (" and " if isinstance(node.op, ast.And) else " or ").join(typed(value) for value in node.values) + ")"
        case ast.Call(func=ast.Name(id=name)):
            arguments = [typed(argument) for argument in node.args]
            if name in FOLDS:
                return reduce(lambda left, right: f"{FOLDS[name]}({left}, {right})", arguments)
            return f"{name}({arguments[0]})"
    raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")


def body(formula: Formula, indent: str) -> tuple[str, list[str]]:
    """The statements before return, and the results, as text."""
    lines = [
        f"{indent}{typed(line.targets[0])} = {typed(line.value)}\n" for line in formula.body[:-1] if isinstance(line, ast.Assign)
    ]
    return "".join(lines), [typed(result) for result in formula.results]


def given(names: Iterable[str], indent: int, index: str = "") -> str:
    """What comes in, under the names of the formula, which may change them: for this element only."""
    return "".join(f"{' ' * indent}v_{name} = in_{name}{index}\n" for name in names)


def elementwise_kernel(formula: Formula, arrays: int) -> Callable[..., None]:
    """kernel(arrays…, out, constants…): out[i] = formula(arrays[i]…, constants…)"""
    names, constants = formula.arguments[:arrays], formula.arguments[arrays:]
    lines, (result,) = body(formula, " " * 8)
    text = f"def kernel({', '.join([*(f'in_{name}' for name in names), 'out', *(f'in_{name}' for name in constants)])}):\n"
    text += f"    for i in range(out.size):\n{given(names, 8, '[i]')}{given(constants, 8)}"
    return load(f"{text}{lines}        out[i] = {result}\n", formula)


def norm_kernel(formula: Formula, shortcut: bool) -> Callable[..., None]:
    """kernel(x, mean, rate, bias, other, out, constants…): out = formula((x - mean) rate + bias (+ other), constants…), all flat

    mean, rate and bias are rows of channels, written out often enough for a long loop; see channels.py.
    """
    name, *constants = formula.arguments
    lines, (result,) = body(formula, " " * 12)
    text = f"def kernel(x, mean, rate, bias, other, out, {', '.join(f'in_{constant}' for constant in constants)}):\n"
    text += "    made = np.empty(mean.size, np.float32)\n    for start in range(0, out.size, mean.size):\n"
    text += "        last = min(start + mean.size, out.size)\n"
    text += "        p, q, r = x[start:last], other[start:last], out[start:last]\n        for i in range(p.size):\n"
    text += f"            v_{name} = (p[i] - mean[i]) * rate[i] + bias[i]{' + q[i]' * shortcut}\n"
    text += f"{given(constants, 12)}{lines}            made[i] = {result}\n"
    return load(f"{text}        for i in range(p.size):\n            r[i] = made[i]\n", formula)


def per_segment(formula: Formula) -> list[str]:
    """What a formula names of a whole segment: arrays of its kernel, one number a segment."""
    return [name for name in ("decay_mult", "w_norm", "g_norm") if name in formula.arguments]


def update_kernel(formula: Formula, slots: int, stage: str = "whole") -> Callable[..., None]:
    """One pass of ops.update over low .. high, as

    kernel(w, g, slots…, low, high, starts, stops, lrs, decays, l1, scale, per_segment…, hyper…)
    """
    names, lr, rest = formula.arguments[: 2 + slots], formula.arguments[2 + slots], formula.arguments[3 + slots :]
    hyper = [name for name in rest if name not in ("pull", "decay", *per_segment(formula))]
    lines, results = body(formula, " " * 12)
    w, g, *kept = names
    head = [*(f"in_{name}" for name in names), "low, high, starts, stops, lrs, decays, l1, scale"]
    head += [f"in_{name}" for name in (*per_segment(formula), *hyper)]
    text = f"def kernel({', '.join(head)}):\n    for s in range(starts.size):\n"
    text += "        first, last = max(starts[s], low), min(stops[s], high)\n"
    text += "        if first >= last:\n            continue\n"
    text += "".join(f"        at_{name} = in_{name}[first:last]\n" for name in names)
    text += "        lr, decay = lrs[s], decays[s]\n"
    text += "".join(f"        here_{name} = in_{name}[s]\n" for name in per_segment(formula))
    text += f"        for i in range(at_{w}.size):\n            v_{lr} = lr\n"
    text += "".join(f"            v_{name} = at_{name}[i]\n" for name in (w, *kept))
    text += "".join(f"            v_{name} = here_{name}\n" for name in per_segment(formula)) + given(hyper, 12)
    text += pulled(w, g, rest, stage) + lines + "".join(f"            new{i} = {result}\n" for i, result in enumerate(results))
    made = [g if stage == "first" else w, *kept]
    text += "".join(f"            at_{name}[i] = new{i}\n" for i, name in enumerate(made))
    return load(text + (f"            at_{g}[i] = F(0.0)\n" if stage != "first" else ""), formula)


def pulled(w: str, g: str, rest: tuple[str, ...], stage: str) -> str:
    """The lines that make g, and what the decay pulls by, of one element."""
    text = f"            pull = (F(1.0) if v_{w} > F(0.0) else (F(-1.0) if v_{w} < F(0.0) else F(0.0))) if l1 else v_{w}\n"
    if stage != "second" and not {"pull", "decay"} & set(rest):
        return f"{text}            v_{g} = at_{g}[i] * scale + decay * pull\n"
    text = f"{text}            v_pull = decay * pull\n" if "pull" in rest else ""
    return text + ("            v_decay = decay\n" if "decay" in rest else "") + f"            v_{g} = at_{g}[i] * scale\n"


def load(text: str, formula: Formula) -> Callable[..., None]:
    """The kernel of a generated module, written once under the digest of its text and of the functions it calls."""
    whole = HEAD + text
    digest = hashlib.sha256((whole + Path(functions.__file__).read_text()).encode()).hexdigest()[:20]
    name = f"dltrain_kernel_{digest}"
    if name not in sys.modules:
        path = folder() / f"{name}.py"
        if not path.is_file() or path.read_text() != whole:
            path = write(path, whole.encode())
        try:
            execute(name, path)
        except RuntimeError:  # Numba finds no place for its own cache there
            execute(name, write_apart(path.name, whole.encode()))
    kernel: Callable[..., None] = sys.modules[name].kernel
    return kernel


def execute(name: str, path: Path) -> None:
    """Imports a file under a name, or leaves nothing behind."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
