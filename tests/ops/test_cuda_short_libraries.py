"""NVIDIA's libraries and short numbers: plans, descriptors, and who makes the arrays of a call alike; no device is needed."""

from __future__ import annotations

import ctypes
import shutil
from typing import Any

import numpy as np
import pytest

from dltrain.ops.cuda import Cuda, cublas, cudnn
from dltrain.ops.cuda.array import BF16, FP16, DeviceArray, narrowed, widened
from dltrain.ops.cuda.tuning import Given, there
from dltrain.ops.window import Window
from tests.ops.test_cuda_cudnn import LAYERS, Feigned, graph, h200  # noqa: F401

compiles = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")
has_cublas = pytest.mark.skipif(cublas.library() is None, reason="cuBLAS is not installed")

FLOAT = np.dtype(np.float32)
NUMBERS = {BF16: 14, FP16: 2, FLOAT: 0}  # cudaDataType
TYPE, COMPUTES = 0, 0  # attributes of a layout and of a product
EXACT, FAST = 68, 77  # sums of float32, of TF32
BLANK = "-".join(["0"] * 8 + ["100"])  # an algorithm that nobody runs, with 256 bytes of workspace
PRECISIONS = {BF16: "bf16", FP16: "fp16"}


@pytest.fixture(params=[BF16, FP16])
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    found: np.dtype[Any] = request.param
    return found


@pytest.fixture
def cuda(dtype: np.dtype[Any]) -> Cuda:
    return Cuda(Feigned(), PRECISIONS[dtype])


def rounded(values: Any, dtype: np.dtype[Any]) -> Any:
    return widened(narrowed(values)) if dtype == BF16 else values.astype(dtype).astype(np.float32)


def filled(cuda: Cuda, values: Any, dtype: np.dtype[Any]) -> DeviceArray:
    made = cuda.alloc(values.size, dtype).reshape(values.shape)
    made[...] = values
    return made


# --- plans and descriptors ---
@pytest.mark.parametrize("stored", ["BFLOAT16", "HALF"])
@pytest.mark.parametrize("layer", LAYERS)
def test_cudnn_has_plans_in_short_numbers(h200: dict[str, Any], layer: str, stored: str) -> None:  # noqa: F811
    precision = {"BFLOAT16": "bf16", "HALF": "fp16"}[stored]
    for kind, relu in (("conv", False), ("conv", True), ("conv_dx", False), ("conv_dw", False)):
        made = graph(h200, layer, kind, precision, relu=relu, stored=stored)
        (plan,) = made.plans(most=1)
        number, workspace = made.built(plan)
        assert number >= 0 and 0 <= workspace <= cudnn.MOST_WORKSPACE


def told(thing: Any, kind: str, attribute: int) -> int:
    """What a descriptor says of itself."""
    found, size = ctypes.c_uint32(), ctypes.c_size_t()
    ask = getattr(cublas.library(), f"cublasLt{kind}GetAttribute")
    assert ask(thing, attribute, ctypes.byref(found), ctypes.sizeof(found), ctypes.byref(size)) == 0
    return found.value


@has_cublas
@pytest.mark.parametrize("wide", [False, True])
def test_cublas_is_told_the_types(cuda: Cuda, dtype: np.dtype[Any], wide: bool) -> None:
    """Sums of short numbers are exact ones; those of floats are as the precision says."""
    last = FLOAT if wide else dtype
    a, b, c = (cuda.alloc(16, each).reshape(4, 4) for each in (dtype, dtype, last))
    made = cublas.product(cuda, {"a": a, "b": b, "c": c, "bias": None})
    assert made is not None
    assert [told(each, "MatrixLayout", TYPE) for each in (made.a, made.b, made.c)] == [NUMBERS[dtype]] * 2 + [NUMBERS[last]]
    assert told(made.description, "MatmulDesc", COMPUTES) == EXACT
    floats = {name: cuda.alloc(16, np.float32).reshape(4, 4) for name in "abc"}
    made = cublas.product(cuda, {**floats, "bias": None})
    assert made is not None and told(made.c, "MatrixLayout", TYPE) == 0 and told(made.description, "MatmulDesc", COMPUTES) == FAST
    strict = cublas.product(Cuda(Feigned(), "strict"), {**floats, "bias": None})
    assert strict is not None and told(strict.description, "MatmulDesc", COMPUTES) == EXACT


# --- what is cast ---
@compiles
@pytest.mark.parametrize("short", ["a", "b", "a b", ""])
def test_what_a_product_reads_is_made_alike(cuda: Cuda, dtype: np.dtype[Any], short: str) -> None:
    values = {name: np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32) for name in "ab"}
    bias, c = np.arange(3, dtype=np.float32) / 7, cuda.alloc(9, dtype).reshape(3, 3)
    given: Given = {name: filled(cuda, each, dtype if name in short.split() else FLOAT) for name, each in values.items()}
    given |= {"bias": filled(cuda, bias, FLOAT), "c": c, "totals": None}
    casts, made = cublas.alike(cuda, given)
    for cast in casts:
        cast()
    wanted = dtype if short else FLOAT
    for name, each in values.items():
        array = made[name]
        assert (
            array is not None and array.dtype == wanted and np.array_equal(array.copy(), rounded(each, wanted) if short else each)
        )
        assert (array is given[name]) == (there(given, name).dtype == wanted)
    assert made["c"] is c and made["totals"] is None
    assert made["bias"] is not None and made["bias"].dtype == dtype and np.array_equal(made["bias"].copy(), rounded(bias, dtype))
    assert len(casts) == (1 if short == "a b" or not short else 2)


@compiles
@has_cublas
def test_cublas_gets_what_is_cast(cuda: Cuda, dtype: np.dtype[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng, got = np.random.default_rng(1), list[Any]()
    a, b = (rng.standard_normal(sizes).astype(np.float32) for sizes in ((4, 6), (6, 5)))

    def launch(driver: Any, number: int, made: Any, given: Any, algorithm: Any, scratch: Any, beta: float) -> None:
        got.extend([given["a"].dtype, given["b"].dtype, given["c"].dtype, scratch.nbytes, beta])
        given["c"][...] = np.asarray(given["a"], np.float32) @ np.asarray(given["b"], np.float32)

    monkeypatch.setattr(cublas, "launch", launch)
    given: Given = {
        "a": filled(cuda, a, dtype),
        "b": filled(cuda, b, FLOAT),
        "c": cuda.alloc(20, np.float32).reshape(4, 5),
        "bias": None,
    }
    after = list[str]()
    way = cublas.Library(cuda, given, True, lambda _: [lambda: after.append("after")])
    for each in way.bind(BLANK, given):
        each()
    assert got == [dtype, dtype, FLOAT, 256, 1.0] and after == ["after"]
    assert np.array_equal(there(given, "c").copy(), rounded(a, dtype) @ rounded(b, dtype))


class Planned:
    """A graph of cuDNN's that has one plan."""

    def built(self, plan: str) -> tuple[int, int]:
        return 7, 64


MADE = np.array([1.0, -2.5, 0.5, 4.0], np.float32)  # what a convolution of four numbers gives here
CALLS = {  # kind, the types of its arrays (s: short, f: float), and what its result is
    "all short": ("conv", {"x": "s", "w": "s", "bias": "s", "y": "s"}, MADE),
    "weights in float": ("conv", {"x": "s", "w": "f", "bias": "f", "y": "s"}, MADE),
    "a result in float": ("conv", {"x": "s", "w": "f", "bias": "f", "y": "f"}, MADE),
    "from float": ("conv_dx", {"x": "f", "w": "f", "y": "s"}, MADE),
    "a gradient is added": ("conv_dw", {"x": "s", "w": "f", "y": "s"}, MADE + 1),
    "a gradient from float": ("conv_dw", {"x": "s", "w": "f", "y": "f"}, MADE + 1),
}


@compiles
@pytest.mark.parametrize("case", CALLS)
def test_cudnn_gets_arrays_of_one_type(cuda: Cuda, dtype: np.dtype[Any], case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it makes goes where it belongs, in the type that is there."""
    kind, types, want = CALLS[case]
    seen = dict[int, Any]()
    result = "w" if kind == "conv_dw" else "y"

    def execute(driver: Any, made: Any, number: int, places: dict[int, int], workspace: DeviceArray) -> None:
        assert number == 7 and workspace.nbytes >= 64
        arrays = {uid: DeviceArray(driver, address, (4,), dtype) for uid, address in places.items()}
        seen.update({uid: array.copy() for uid, array in arrays.items()})
        arrays[cudnn.UIDS[result]][...] = MADE

    monkeypatch.setattr(cudnn.Library, "graph", lambda way: Planned())
    monkeypatch.setattr(cudnn, "execute", execute)
    values = {name: np.arange(4, dtype=np.float32) / 7 + number for number, name in enumerate(types)} | {
        result: np.ones(4, np.float32)
    }
    given: Given = {
        name: filled(cuda, values[name].reshape(1, 1, 1, 4), dtype if said == "s" else FLOAT) for name, said in types.items()
    }
    after = list[str]()
    way = cudnn.Library(cuda, kind, Window((1, 1), (1, 1), (0, 0)), given, False, lambda _: [lambda: after.append("after")])
    assert way.stored == dtype
    for each in way.bind("a plan", given):
        each()
    for name in set(types) - {result}:
        short = rounded(values[name], dtype)
        assert np.array_equal(seen[cudnn.UIDS[name]], short), name
        assert np.array_equal(there(given, name).copy().ravel(), short if types[name] == "s" else values[name]), (
            "what is only read stays"
        )
    assert set(seen) == {cudnn.UIDS[name] for name in types} and after == ["after"]
    assert np.array_equal(there(given, result).copy().ravel(), want)
