"""Matrix products by cuBLASLt, NVIDIA's library, through ctypes: where it is installed it offers its kernels beside our own."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import BF16, FP16, DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.elementwise import of_type
from dltrain.ops.cuda.tuning import Given, Way, there

NAMES = ("libcublasLt.so.13", "libcublasLt.so.12")
TYPES = {np.dtype(np.float32): 0, BF16: 14, FP16: 2}  # CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F
FLOAT = 0
FAST, EXACT = 77, 68  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F
TURN_A, TURN_B, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8  # attributes of a product
BIAS = 4  # an epilogue
BATCH_COUNT, BATCH_STEP = 5, 6  # attributes of a layout
WORKSPACE, BORDERS = 1, (5, 6, 7, 8)  # attributes of a search
MOST_WORKSPACE = 32 << 20  # bytes
OFFERS = 8


class Algorithm(ctypes.Structure):
    """What a search answers."""

    _fields_ = (("words", ctypes.c_uint64 * 8), ("workspace", ctypes.c_size_t), ("state", ctypes.c_int),
                ("waves", ctypes.c_float), ("reserved", ctypes.c_int * 4))  # fmt: skip


@cache
def library() -> ctypes.CDLL | None:
    """Of a wheel (nvidia-cublas), else of the system; None where there is none."""
    spec = importlib.util.find_spec("nvidia")
    places = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    wheels = [str(path) for name in NAMES for place in places for path in place.glob(f"*/lib/{name}")]
    for found in (*wheels, *NAMES):
        try:
            made = ctypes.CDLL(found)
        except OSError:
            continue
        made.cublasLtGetVersion.restype = ctypes.c_size_t
        return made
    return None


def version() -> str:
    found = library()
    return "no cuBLAS" if found is None else f"cuBLAS {found.cublasLtGetVersion()}"


def checked(status: int, what: str) -> None:
    if status:
        raise RuntimeError(f"cuBLAS cannot {what} (status {status})")


@cache
def handle(device: int) -> ctypes.c_void_p:
    """Of the device that is in use."""
    made, found = ctypes.c_void_p(), library()
    assert found is not None
    checked(found.cublasLtCreate(ctypes.byref(made)), f"work on device {device}")
    return made


class Matrix(NamedTuple):
    """An array as columns of memory: rows and columns as they lie, what is between columns, whether it is turned, its batch."""

    rows: int
    columns: int
    step: int
    turned: bool
    batch: int
    apart: int


def matrix(array: DeviceArray, count: int) -> Matrix | None:
    """What is one row of an array is a column to cuBLAS; None where neither lies in one run."""
    (*front, tall, wide), (*steps, down, aside) = array.shape, array.strides
    if any(step != size * inner for step, size, inner in zip(steps, front[1:], steps[1:])):
        return None  # the batch does not lie evenly
    apart = steps[-1] if steps else 0
    if aside == 1:
        return Matrix(wide, tall, max(down, wide), False, count, apart)
    return Matrix(tall, wide, max(aside, tall), True, count, apart) if down == 1 else None


class Product:
    """c = a b (+ bias), or c += a b, as cuBLAS sees it: c' = b' a', columns for rows.  Descriptors need no device.

    a and b are of one type, c and the bias of one; what is computed is float32, of float32 as `precision` says.
    """

    def __init__(
        self, a: Matrix, b: Matrix, c: Matrix, bias: DeviceArray | None, precision: str, types: tuple[int, int] = (FLOAT, FLOAT)
    ) -> None:
        self.lt = library()
        self.made: list[tuple[str, ctypes.c_void_p]] = []
        fast = types[0] == FLOAT and precision not in ("fp32", "strict")
        self.description = self.create("MatmulDesc", FAST if fast else EXACT, FLOAT)
        self.tell("MatmulDesc", self.description, TURN_A, ctypes.c_int(b.turned))
        self.tell("MatmulDesc", self.description, TURN_B, ctypes.c_int(a.turned))
        if bias is not None:
            self.tell("MatmulDesc", self.description, EPILOGUE, ctypes.c_int(BIAS))
            self.tell("MatmulDesc", self.description, BIAS_POINTER, ctypes.c_void_p(bias.address))
        self.a, self.b = (self.layout(each, types[0]) for each in (a, b))
        self.c = self.layout(c, types[1])

    def create(self, kind: str, *args: Any) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        checked(getattr(self.lt, f"cublasLt{kind}Create")(ctypes.byref(made), *args), f"make a {kind}")
        self.made.append((kind, made))
        return made

    def tell(self, kind: str, thing: ctypes.c_void_p, attribute: int, value: Any) -> None:
        status = getattr(self.lt, f"cublasLt{kind}SetAttribute")(thing, attribute, ctypes.byref(value), ctypes.sizeof(value))
        checked(status, f"set attribute {attribute} of a {kind}")

    def layout(self, each: Matrix, kind: int) -> ctypes.c_void_p:
        sizes = ctypes.c_uint64(each.rows), ctypes.c_uint64(each.columns), ctypes.c_int64(each.step)
        made = self.create("MatrixLayout", kind, *sizes)
        if each.batch > 1:
            self.tell("MatrixLayout", made, BATCH_COUNT, ctypes.c_int32(each.batch))
            self.tell("MatrixLayout", made, BATCH_STEP, ctypes.c_int64(each.apart))
        return made

    def search(self, device: int, borders: Sequence[int]) -> list[Algorithm]:
        """The most promising algorithms for arrays on these borders, in bytes."""
        wish = self.create("MatmulPreference")
        self.tell("MatmulPreference", wish, WORKSPACE, ctypes.c_uint64(MOST_WORKSPACE))
        for attribute, border in zip(BORDERS, borders):
            self.tell("MatmulPreference", wish, attribute, ctypes.c_uint32(border))
        found, count = (Algorithm * OFFERS)(), ctypes.c_int()
        assert self.lt is not None
        checked(self.lt.cublasLtMatmulAlgoGetHeuristic(
            handle(device), self.description, self.b, self.a, self.c, self.c, wish, OFFERS, found, ctypes.byref(count)
        ), "do this product")  # fmt: skip
        return [each for each in found[: count.value] if each.state == 0]

    def __del__(self) -> None:
        for kind, made in self.made:
            getattr(self.lt, f"cublasLt{kind}Destroy")(made)


def product(cuda: Cuda, given: Given) -> Product | None:
    """The product of the arrays a, b, c and bias; None where cuBLAS cannot do it as they lie."""
    a, b, c = given["a"], given["b"], given["c"]
    assert a is not None and b is not None and c is not None
    count = c.size // (c.shape[-2] * c.shape[-1])
    left, right, result = (matrix(each, count) for each in (a, b, c))
    if left is None or right is None or result is None or result.turned:
        return None
    return Product(left, right, result, given["bias"], cuda.precision, (TYPES[a.dtype], TYPES[c.dtype]))


def alike(cuda: Cuda, given: Given) -> tuple[list[Kernel], Given]:
    """The arrays with a and b of one type, short where one of them is, and the bias of the type of c; and what makes them so."""
    a, b, c, bias = given["a"], given["b"], given["c"], given["bias"]
    assert a is not None and b is not None and c is not None
    short = next((each.dtype for each in (a, b) if each.dtype != np.float32), a.dtype)
    made = {"a": of_type(cuda, a, short), "b": of_type(cuda, b, short)}
    made |= {} if bias is None else {"bias": of_type(cuda, bias, c.dtype)}
    return [each for launches, _ in made.values() for each in launches], given | {name: one for name, (_, one) in made.items()}


class Library:
    """A way to do products: its variants are algorithms, as eight words and the bytes of workspace."""

    def __init__(self, cuda: Cuda, given: Given, add: bool, after: Callable[[Given], list[Kernel]]) -> None:
        self.cuda, self.given, self.add, self.after = cuda, given, add, after
        driver: Any = cuda.driver
        self.number = int(driver.number)

    def offers(self) -> Sequence[str]:
        _, given = alike(self.cuda, self.given)
        made = product(self.cuda, given)
        if made is None:
            return []
        found = made.search(self.number, [border_of(there(given, name)) for name in "bacc"])
        return ["-".join(f"{word:x}" for word in (*each.words, each.workspace)) for each in found]

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        casts, arrays = alike(self.cuda, given)
        made, (*words, workspace) = product(self.cuda, arrays), (int(word, 16) for word in variant.split("-"))
        if made is None or len(words) != 8 or workspace > MOST_WORKSPACE:
            raise RuntimeError("cuBLAS cannot do this product")
        scratch = self.cuda.scratch(workspace, dtype="uint8") if workspace else None
        algorithm = (ctypes.c_uint64 * 8)(*words)
        run = partial(launch, self.cuda.driver, self.number, made, arrays, algorithm, scratch, float(self.add))
        return [*casts, run, *self.after(given)]


def ways(cuda: Cuda, given: Given, add: bool, after: Callable[[Given], list[Kernel]]) -> dict[str, Way]:
    """The library's, where there are a device and a library."""
    return {"cublas": Library(cuda, given, add, after)} if cuda.driver.arch and library() is not None else {}


def launch(
    driver: Any, number: int, made: Product, given: Given, algorithm: Any, scratch: DeviceArray | None, beta: float
) -> None:
    a, b, c = (ctypes.c_void_p(there(given, name).address) for name in "abc")
    factors = ctypes.c_float(1), ctypes.c_float(beta)
    address, size = (0, 0) if scratch is None else (scratch.address, scratch.nbytes)
    assert made.lt is not None
    checked(made.lt.cublasLtMatmul(
        handle(number), made.description, ctypes.byref(factors[0]), b, made.b, a, made.a, ctypes.byref(factors[1]),
        c, made.c, c, made.c, ctypes.byref(algorithm), ctypes.c_void_p(address), ctypes.c_size_t(size),
        ctypes.c_void_p(driver.current),
    ), "do a product")  # fmt: skip


def border_of(array: DeviceArray) -> int:
    """The largest border, in bytes, on which an array begins."""
    return next(size for size in (256, 128, 64, 32, 16, 8, 4, 2) if array.address % size == 0)
