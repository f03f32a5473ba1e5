"""Kernels with their arguments: checked against the signature that their text declares, then launched as often as wanted."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.cuda.array import BF16, FP16, DeviceArray
from dltrain.ops.cuda.driver import Driver
from dltrain.ops.cuda.texts import Kernel, kernels_of, specialised

POINTERS = {"float *": "float32", "int *": "int32", "double *": "float64", "byte *": "uint8", "u64 *": "uint64"}
REALS = {np.dtype(np.float32): "float", BF16: "bf16", FP16: "fp16"}  # what a `real *` may point to
NUMBERS: dict[str, Any] = {"int": ctypes.c_int, "float": ctypes.c_float, "double": ctypes.c_double, "u32": ctypes.c_uint32}
BLOCK = 256  # threads
RANKS = 8
MOST_BLOCKS = 8  # a multiprocessor, of a kernel that strides over its elements


class View(ctypes.Structure):
    """Sizes and steps of a logical array, as kernels take them."""

    _fields_ = (("rank", ctypes.c_int), ("size", ctypes.c_int * RANKS), ("step", ctypes.c_int * RANKS))


def view(array: DeviceArray, axes: Sequence[int] = ()) -> View:
    """How a logical array lies in memory; with `axes`, as array.transpose(axes)."""
    array = array.transpose(axes) if axes else array
    if array.ndim > RANKS:
        raise NotImplementedError(f"arrays of more than {RANKS} axes")
    rest = RANKS - array.ndim
    whole = ctypes.c_int * RANKS
    return View(array.ndim, whole(*array.shape, *[1] * rest), whole(*array.strides, *[0] * rest))


@dataclass(frozen=True)
class Launch:
    """One kernel on its grid; called, it is launched."""

    driver: Driver
    kernel: Kernel
    function: Any
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    parameters: Any
    kept: tuple[object, ...]  # what the parameters point to

    def __call__(self) -> None:
        self.driver.launch(self.function, self.grid, self.block, self.parameters)


def argument(kind: str, value: Any, where: str) -> Any:
    """A value as the C type that the kernel declares; TypeError where it is none."""
    if kind in POINTERS or kind == "real *":
        if value is None:
            return ctypes.c_void_p(0)
        fits = isinstance(value, DeviceArray) and (value.dtype in REALS if kind == "real *" else value.dtype == POINTERS[kind])
        if not fits:
            raise TypeError(f"{where}: {kind} is given {value!r}")
        return ctypes.c_void_p(value.address)
    if kind == "View" and isinstance(value, View):
        return value
    if kind in NUMBERS and isinstance(value, int | float | np.number | bool):
        if kind in ("int", "u32") and int(value) != value:
            raise TypeError(f"{where}: {kind} is given {value!r}")
        return NUMBERS[kind](int(value) if kind in ("int", "u32") else float(value))
    raise TypeError(f"{where}: {kind} is given {value!r}")


def real(kind: str, value: Any) -> str:
    """What the `real` of a parameter stands for."""
    return REALS[value.dtype] if kind == "real *" and isinstance(value, DeviceArray) and value.dtype in REALS else "float"


def launch(
    driver: Driver, text: str, name: str, grid: int | Sequence[int], args: Sequence[Any], block: int | Sequence[int]
) -> Launch:
    """A kernel of a text, bound to its arguments."""
    kernel = next(found for found in kernels_of(text) if found.name == name)
    if len(kernel.types) != len(args):
        raise TypeError(f"{name} takes {len(kernel.types)} arguments and is given {len(args)}")
    reals = tuple(real(kind, value) for kind, value in zip(kernel.types, args))
    text = specialised(text, name, reals) if set(reals) != {"float"} else text
    values = [argument(kind, value, f"{name}, argument {number}") for number, (kind, value) in enumerate(zip(kernel.types, args))]
    pointers = (ctypes.c_void_p * max(1, len(values)))(*(ctypes.addressof(value) for value in values))
    shape, threads = three(grid), three(block)
    assert prod(threads) <= 1024 and all(size >= 1 for size in shape) and shape[1] < 65536 and shape[2] < 65536, (name, shape)
    return Launch(driver, kernel, driver.function(text, name), shape, threads, pointers, (values, tuple(args)))


def three(sizes: int | Sequence[int]) -> tuple[int, int, int]:
    whole = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return (*whole, *(1,) * (3 - len(whole)))  # type: ignore[return-value]
