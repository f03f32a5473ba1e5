"""Formulas as CPU kernels: the same numbers as the formula itself, in float32 all the way, compiled once on a machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from math import exp, log, sqrt, tanh
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numba import njit

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.ops.cpu import formulas, functions
from dltrain.ops.cpu.formulas import elementwise_kernel, per_segment, update_kernel
from dltrain.ops.formula import formula
from dltrain.registry import SOLVERS

ROOT = Path(__file__).parents[2]


# --- formulas of arrays x and y and a constant c: every word of the subset ---
def arithmetic(x: float, y: float, c: float) -> float:
    return -x + y * c - (x - y) / 4 + (x + 0.5) ** 2


def powers(x: float, y: float, c: float) -> float:
    return x * 2**-1 + (abs(y) + 1) ** -2 + (abs(x) + 0.5) ** c


def whole_numbers(x: float, y: float, c: float) -> float:
    return x * (1 / 3) + y * 2**3 + c * (7 - 2) / 2


def choice(x: float, y: float, c: float) -> float:
    return x if x > 0 else c * x


def nested_choice(x: float, y: float, c: float) -> float:
    return x if x > 1 else y if y <= c else c if x != y else 3


def connectives(x: float, y: float, c: float) -> float:
    return 1 if (x > 0 and y > 0) or not c < 0.5 and x != y else -1


def chained(x: float, y: float, c: float) -> float:
    return x if -1 <= x < y <= 3 else y if x == y else c


def folds(x: float, y: float, c: float) -> float:
    return min(x, y, c) * 10 + max(x, c) - min(3, abs(y))


def known_functions(x: float, y: float, c: float) -> float:
    return exp(-abs(x)) + log(1 + y * y) + tanh(x - c) + sqrt(abs(x * y))


def statements(x: float, y: float, c: float) -> float:
    """The docstring is no statement."""
    a = x * y
    b = a + c
    a = b * a
    return a - b


def constants_that_change(x: float, y: float, c: float) -> float:
    c = c * 0.5
    y = y + c
    return x * c + y


def constant(x: float, y: float, c: float) -> float:
    return 2


def borrowed_names(x: float, y: float, c: float) -> float:
    F = x + 1
    np = y * F
    i_ = np + c
    out_ = i_ * 2
    x_ = out_ - F
    kernel = x_ + 1
    return kernel * F


FORMULAS = [arithmetic, powers, whole_numbers, choice, nested_choice, connectives, chained, folds, known_functions, statements,
            constants_that_change, constant, borrowed_names]  # fmt: skip
eighths = some.integers(-40, 40).map(lambda number: number / 8)  # sums and products of which are exact


def close(found: Any, right: Any) -> None:
    """To the rounding of float32; the same where there is no number, or no finite one."""
    found, right = np.asarray(found, np.float64), np.broadcast_to(np.asarray(right, np.float64), np.shape(found))
    np.testing.assert_allclose(found, right, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("function", FORMULAS)
@settings(max_examples=60, deadline=None)
@given(rows=some.lists(some.tuples(eighths, eighths), min_size=1, max_size=40), c=eighths)
def test_a_kernel_makes_what_the_formula_makes(function: Callable[..., Any], rows: Any, c: float) -> None:
    x, y = np.array(rows, np.float32).T.copy()
    out = np.full_like(x, np.nan)
    elementwise_kernel(formula(function), 2)(x, y, out, np.float32(c))
    close(out, formula(function)(x=x.astype(float), y=y.astype(float), c=c)[0])


@pytest.mark.parametrize("function", FORMULAS)
def test_a_kernel_may_overwrite_what_it_reads(function: Callable[..., Any]) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    kernel, apart = elementwise_kernel(formula(function), 2), np.empty_like(x)
    kernel(x, y, apart, np.float32(0.5))
    kernel(x, y, y, np.float32(0.5))
    np.testing.assert_array_equal(y, apart)


@pytest.mark.parametrize("function", [folds, choice, arithmetic, known_functions, chained])
def test_nan_and_infinity_go_the_same_way(function: Callable[..., Any]) -> None:
    strange = np.array([np.nan, np.inf, -np.inf, 0.0, 1.5], np.float32)
    x, y = (part.reshape(-1).copy() for part in np.meshgrid(strange, strange))
    for c in strange:
        out = np.empty_like(x)
        elementwise_kernel(formula(function), 2)(x, y, out, c)
        close(out, formula(function)(x=x, y=y, c=c)[0])


def test_a_kernel_of_nothing_does_nothing() -> None:
    nothing = np.empty(0, np.float32)
    elementwise_kernel(formula(choice), 2)(nothing, nothing, nothing, np.float32(1))


def test_a_constant_may_be_too_large_for_float32() -> None:
    def huge(x: float) -> float:
        return x if x < 1e39 else 1e999

    x = np.array([1, np.inf], np.float32)
    elementwise_kernel(formula(huge), 1)(x, x)
    assert x.tolist() == [1, np.inf]


# --- float32 all the way ---
def ir(kernel: Any, *signature: Any) -> str:
    """What LLVM compiles for a kernel and these arguments."""
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False, "fastmath": {"contract", "nsz"}}
    fresh = njit(**options)(kernel.py_func)
    fresh.compile(signature)
    return str(fresh.inspect_llvm(fresh.signatures[0]))


def doubles(text: str) -> list[str]:
    """What is reckoned in double precision, but for what hands over the arguments from Python."""
    parts = [
        part for part in text.split("\ndefine ") if "cpython" not in part.split("(")[0] and "cfunc" not in part.split("(")[0]
    ]
    return [line.strip() for part in parts[1:] for line in part.splitlines() if re.search(r" = .*\bdouble\b", line)]


@pytest.mark.parametrize("function", FORMULAS)
def test_no_literal_makes_a_formula_reckon_in_double_precision(function: Callable[..., Any]) -> None:
    from numba import float32

    array = float32[::1]
    assert doubles(ir(elementwise_kernel(formula(function), 2), array, array, array, float32)) == []


def pulled(w: float, g: float, v: float, lr: float, pull: float, decay_mult: float, delta: float) -> tuple[float, float]:
    v = max(v * 0.5, 1 - g)
    return w - lr * (v + pull) * 2 / (decay_mult + delta), v


@pytest.mark.parametrize("rule", [pulled, *(SOLVERS[name].rule for name in sorted(SOLVERS))])
def test_no_rule_reckons_in_double_precision(rule: Callable[..., Any]) -> None:
    from numba import boolean, float32, int64

    made, array = formula(rule), float32[::1]
    slots, whole = made.arguments.index("lr") - 2, per_segment(made)
    hyper = [name for name in made.arguments[3 + slots :] if name not in ("pull", "decay", *whole)]
    kinds = [*[array] * (2 + slots), int64, int64, int64[::1], int64[::1], array, array, boolean, float32]
    text = ir(update_kernel(made, slots), *kinds, *[array] * len(whole), *[float32] * len(hyper))
    assert doubles(text) == []


def test_what_does_reckon_in_double_precision_is_seen() -> None:
    from numba import float32

    def kernel(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = x[i] * 0.1

    made = njit(kernel)
    assert doubles(ir(made, float32[::1], float32[::1]))


# --- exp, tanh, log, sqrt ---
@njit
def exp_of(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = functions.exp(x[i])


@njit
def tanh_of(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = functions.tanh(x[i])


@njit
def log_of(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = functions.log(x[i])


@njit
def sqrt_of(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = functions.sqrt(x[i])


KERNELS = {"exp": exp_of, "tanh": tanh_of, "log": log_of, "sqrt": sqrt_of}
INF, NAN, TINY = np.inf, np.nan, float(np.finfo(np.float32).tiny)


def apply(name: str, x: Any) -> Any:
    given = np.asarray(x, np.float32)
    out = np.empty_like(given)
    KERNELS[name](given, out)
    return out


@pytest.mark.parametrize(("name", "units"), [("exp", 2), ("tanh", 6), ("log", 2), ("sqrt", 1)])
def test_functions_are_right_to_a_few_units_of_the_last_place(name: str, units: float) -> None:
    """One in 3001 of all float32 numbers, both signs, denormal ones and all."""
    x = np.arange(0, 2**32, 3001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        right = getattr(np, name)(x.astype(np.float64))
    keep = np.abs(right) <= float(np.finfo(np.float32).max)
    if name == "exp":  # 0 where the result would be denormal
        keep &= right >= TINY
    x, right = x[keep], right[keep]
    error = np.abs(apply(name, x) - right) / np.spacing(np.abs(right).astype(np.float32)).astype(np.float64)
    worst = int(error.argmax())
    assert len(x) > 400_000
    assert error[worst] <= units, f"{name}({x[worst]}) is {apply(name, x[worst : worst + 1])[0]} and should be {right[worst]}"


@pytest.mark.parametrize(("name", "x", "y"), [
    ("exp", 0.0, 1), ("exp", -0.0, 1), ("exp", 1e-45, 1), ("exp", -1e-45, 1), ("exp", -INF, 0), ("exp", -104, 0), ("exp", -88, 0),
    ("exp", -3e38, 0), ("exp", INF, INF), ("exp", 88.73, INF), ("exp", 3e38, INF), ("exp", NAN, NAN),
    ("tanh", 0.0, 0.0), ("tanh", -0.0, -0.0), ("tanh", 1e-45, 1e-45), ("tanh", -1e-40, -1e-40), ("tanh", 1.5e-38, 1.5e-38),
    ("tanh", INF, 1), ("tanh", -INF, -1), ("tanh", 9.5, 1), ("tanh", -3e38, -1), ("tanh", NAN, NAN),
    ("log", 0.0, -INF), ("log", -0.0, -INF), ("log", 1.0, 0), ("log", INF, INF), ("log", -1.0, NAN), ("log", NAN, NAN),
    ("sqrt", 0.0, 0), ("sqrt", -0.0, -0.0), ("sqrt", 4.0, 2), ("sqrt", INF, INF), ("sqrt", -1.0, NAN), ("sqrt", NAN, NAN),
])  # fmt: skip
def test_functions_at_the_ends_of_their_range(name: str, x: float, y: float) -> None:
    found = apply(name, [x] * 20)  # whole vectors and what is left over
    np.testing.assert_array_equal(found, np.full(20, y, np.float32))
    assert np.signbit(found).all() == np.signbit(np.float32(y)) or np.isnan(y)


def test_exp_is_finite_up_to_the_largest_number() -> None:
    x = np.linspace(88, 88.7228, 1000, dtype=np.float32)
    np.testing.assert_allclose(apply("exp", x), np.exp(x.astype(np.float64)), rtol=3e-7)


def test_exp_does_not_fall_and_tanh_stays_within_one() -> None:
    x = np.linspace(-12, 12, 200_001, dtype=np.float32)
    assert np.abs(apply("tanh", x)).max() == 1
    rough = np.linspace(-90, 90, 20_001, dtype=np.float32)  # steps larger than the error
    assert (np.diff(apply("exp", rough)[:-200]) >= 0).all()


# --- the cache ---
CHILD = """
import json, sys
import numpy as np
from dltrain.ops.cpu.formulas import elementwise_kernel
from dltrain.ops.formula import formula
sys.path.insert(0, {folder!r})
from written import halved
kernel = elementwise_kernel(formula(halved), 1)
x = np.ones(3, np.float32)
kernel(x, x)
stats = kernel.stats
print(json.dumps([x.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), kernel.__module__]))
"""


def in_a_process(tmp_path: Path, cache: str, **environment: str) -> tuple[list[float], int, int, str]:
    """(what the kernel made, hits of the cache, misses, the kernel's module) from a new process."""
    (tmp_path / "written.py").write_text("def halved(x):\n    return x * 0.5\n")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    given = {**os.environ, "PYTHONPATH": path, "DLTRAIN_CACHE": cache, "NUMBA_CACHE_DIR": str(tmp_path / "numba"), **environment}
    child = CHILD.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-W", "error", "-c", child], env=given, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    made, hits, misses, module = json.loads(done.stdout)
    return made, hits, misses, module


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    first, second = (in_a_process(tmp_path, str(tmp_path / "cache")) for _ in range(2))
    assert first[:3] == ([0.5, 0.5, 0.5], 0, 1)
    assert second[:3] == ([0.5, 0.5, 0.5], 1, 0)
    assert [path.name for path in (tmp_path / "cache" / "kernels").glob("*.py")] == [f"{second[3]}.py"]


def test_a_cache_that_was_tampered_with_is_written_anew(tmp_path: Path) -> None:
    module = in_a_process(tmp_path, str(tmp_path / "cache"))[3]
    file = tmp_path / "cache" / "kernels" / f"{module}.py"
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    assert in_a_process(tmp_path, str(tmp_path / "cache"))[0] == [0.5, 0.5, 0.5]
    assert file.read_text() == text


def test_where_the_cache_cannot_be_written_the_kernel_is_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = in_a_process(tmp_path, str(tmp_path / "file"), TMPDIR=str(scratch))
    assert made[0] == [0.5, 0.5, 0.5]
    assert (tmp_path / "file").read_text() == "no folder"


def test_where_numba_finds_no_place_for_its_own_cache_the_kernel_is_made_all_the_same(tmp_path: Path) -> None:
    """As with a folder that another user has filled, and no home to go to."""
    kernels = tmp_path / "cache" / "kernels"
    kernels.mkdir(parents=True)
    (kernels / "__pycache__").write_text("no folder")
    nowhere = str(tmp_path / "written.py" / "home")
    made = in_a_process(tmp_path, str(tmp_path / "cache"), NUMBA_CACHE_DIR="", HOME=nowhere, XDG_CACHE_HOME=nowhere)
    assert made[0] == [0.5, 0.5, 0.5]


def test_a_kernel_is_loaded_once_and_named_by_what_it_does() -> None:
    def one(x: float) -> float:
        return x + 1

    def same(x: float) -> float:
        return x + 1

    def other(x: float) -> float:
        return x + 2

    kernels = [elementwise_kernel(formula(function), 1) for function in (one, same, other)]
    assert kernels[0] is kernels[1]
    assert kernels[0] is not kernels[2]


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DLTRAIN_CACHE", str(tmp_path))
    assert formulas.folder() == tmp_path / "kernels"
    monkeypatch.delenv("DLTRAIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert formulas.folder() == tmp_path / "xdg" / "dltrain" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert formulas.folder() == tmp_path / "home" / ".cache" / "dltrain" / "kernels"
