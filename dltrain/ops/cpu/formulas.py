"""Formulas as kernels: a scalar formula becomes the text of a Numba module, kept on disk by its digest and imported by name.

Numba caches functions of importable modules only, so the text goes into the cache folder once, where every process finds it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dltrain.ops.cpu import functions
from dltrain.ops.formula import Formula

HEAD = '''"""Made by dltrain from a formula; safe to delete."""
import numpy as np
from numba import njit
from dltrain.ops.cpu.functions import exp, log, sqrt, tanh

F = np.float32


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False, fastmath={"contract", "nsz"})
'''


def folder() -> Path:
    """Where generated kernels lie: $DLTRAIN_CACHE, else the user's cache folder."""
    given = os.environ.get("DLTRAIN_CACHE")
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dltrain"
    return root / "kernels"


def typed(node: ast.expr) -> str:
    """An expression as Numba text; literals get the type of the arrays, or one of them would turn all into float64."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return f"F({float(value)!r})"
        case ast.Name(id=name):
            return name
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
            return f"{name}({', '.join(typed(argument) for argument in node.args)})"
    raise TypeError(f"{ast.unparse(node)!r} is outside a formula's subset")


def body(formula: Formula, indent: str) -> tuple[str, list[str]]:
    """The statements before return, and the results, as text."""
    lines = [
        f"{indent}{ast.unparse(line.targets[0])} = {typed(line.value)}\n"
        for line in formula.body[:-1]
        if isinstance(line, ast.Assign)
    ]
    return "".join(lines), [typed(result) for result in formula.results]


def elementwise_kernel(formula: Formula, arrays: int) -> Callable[..., None]:
    """kernel(arrays…, out, constants…): out[i] = formula(arrays[i]…, constants…)"""
    names, constants = formula.arguments[:arrays], formula.arguments[arrays:]
    lines, (result,) = body(formula, " " * 8)
    text = f"def kernel({', '.join(f'{name}_' for name in names)}, out_{''.join(f', {name}' for name in constants)}):\n"
    text += "    for i_ in range(out_.size):\n"
    text += "".join(f"        {name} = {name}_[i_]\n" for name in names)
    return load(f"{text}{lines}        out_[i_] = {result}\n", formula)


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
    more = [*(f"{name}s_" for name in per_segment(formula)), *hyper]
    text = f"def kernel({', '.join(f'{name}_' for name in names)}, low_, high_, starts_, stops_, lrs_, decays_, l1_, scale_"
    text += "".join(f", {name}" for name in more) + "):\n"
    text += "    for s_ in range(starts_.size):\n"
    text += "        first_, last_ = max(starts_[s_], low_), min(stops_[s_], high_)\n"
    text += "        if first_ >= last_:\n            continue\n"
    text += "".join(f"        {name}__ = {name}_[first_:last_]\n" for name in names)
    text += f"        {lr}, decay_ = lrs_[s_], decays_[s_]\n"
    text += "        decay = decay_\n" if "decay" in rest else ""
    text += "".join(f"        {name} = {name}s_[s_]\n" for name in per_segment(formula))
    text += f"        for i_ in range({w}__.size):\n            {w} = {w}__[i_]\n"
    text += pulled(w, g, rest, stage)
    text += "".join(f"            {name} = {name}__[i_]\n" for name in kept)
    text += lines + "".join(f"            new{i}_ = {result}\n" for i, result in enumerate(results))
    text += "".join(f"            {name}__[i_] = new{i}_\n" for i, name in enumerate([g if stage == "first" else w, *kept]))
    return load(text + (f"            {g}__[i_] = F(0.0)\n" if stage != "first" else ""), formula)


def pulled(w: str, g: str, rest: tuple[str, ...], stage: str) -> str:
    """The lines that make g, and what the decay pulls by, of one element."""
    pull = f"            pull_ = (F(1.0) if {w} > F(0.0) else (F(-1.0) if {w} < F(0.0) else F(0.0))) if l1_ else {w}\n"
    if stage != "second" and not {"pull", "decay"} & set(rest):
        return f"{pull}            {g} = {g}__[i_] * scale_ + decay_ * pull_\n"
    return (f"{pull}            pull = decay_ * pull_\n" if "pull" in rest else "") + f"            {g} = {g}__[i_] * scale_\n"


def load(text: str, formula: Formula) -> Callable[..., None]:
    """The kernel of a generated module, written once under the digest of its text and of the functions it calls."""
    whole = HEAD + text
    digest = hashlib.sha256((whole + Path(functions.__file__).read_text()).encode()).hexdigest()[:20]
    name = f"dltrain_kernel_{digest}"
    if name not in sys.modules:
        path = folder() / f"{name}.py"
        if not path.is_file() or path.read_text() != whole:
            path = write(path, whole)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    kernel: Callable[..., None] = sys.modules[name].kernel
    return kernel


def write(path: Path, text: str) -> Path:
    """Puts the text in place in one step; into a folder of this process alone where the cache cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="dltrain-")) / path.name
        path.write_text(text)
    return path
