"""A Python file of the user's that makes samples: a function sample(seed, index)."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.source import Arrays, Shape

LARGEST = 1 << 28  # numbers of a field
WAY_OUT = "it must give {field: array}, the data first"


class Generator:
    """The file, imported once a process.   sample(seed, index) gives the fields of one sample, all that have been promised."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.module = self.load()
        self.function = getattr(self.module, "sample", None)
        if not callable(self.function):
            raise DataError(f"{path}: has no function sample(seed, index); {WAY_OUT}")
        self.promised: dict[str, Shape] = {}

    def load(self) -> ModuleType:
        name = f"dltrain_user_{hashlib.sha256(os.fsencode(Path(self.path))).hexdigest()[:16]}"
        if name not in sys.modules:
            if not os.path.isfile(self.path):
                raise DataError(f"{self.path}: there is no such file; python names a file with a function sample(seed, index)")
            spec = importlib.util.spec_from_file_location(name, self.path)
            if spec is None or spec.loader is None:
                raise DataError(f"{self.path}: is no Python file; give it a name that ends in .py")
            sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[name])
            except Exception as error:
                del sys.modules[name]
                raise DataError(f"{self.where(error)}: cannot be imported: {told(error)}; mend the file") from error
        return sys.modules[name]

    def where(self, error: BaseException) -> str:
        """file:line of the user's that was running, as far as that is known."""
        if isinstance(error, SyntaxError) and error.filename == self.path:
            return f"{self.path}:{error.lineno}"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
        return f"{self.path}:{lines[-1]}" if lines else self.path

    def sample(self, seed: int, index: int) -> Arrays:
        call = f"sample({seed}, {index})"
        try:
            made = self.function(seed, index)  # type: ignore[misc]
        except Exception as error:
            raise DataError(f"{self.where(error)}: {call} failed: {told(error)}; mend the function") from error
        if not isinstance(made, dict) or not made or not all(isinstance(name, str) for name in made):
            raise DataError(f"{self.path}: {call} gave {type(made).__name__}, not fields by name; {WAY_OUT}")
        arrays = {name: self.array(name, value, call) for name, value in made.items()}
        found = {name: shape_of(array) for name, array in arrays.items()}
        self.promised = self.promised or found
        for name in {**self.promised, **found}:
            ours, theirs = (
                f"{x.dtype} {x}" if x is not None else "no such field" for x in (self.promised.get(name), found.get(name))
            )
            if ours != theirs:
                raise DataError(f"{self.path}: {call} gave '{name}' as {theirs}, sample({seed}, 0) as {ours}; all must be alike")
        return arrays

    def array(self, name: str, value: Any, call: str) -> Any:
        try:
            array = np.asarray(value)
        except ValueError:
            raise DataError(f"{self.path}: {call} gave '{name}' with rows of different lengths; {WAY_OUT}") from None
        if array.dtype.kind not in "biuf" or not 0 < prod(array.shape) <= LARGEST:
            raise DataError(
                f"{self.path}: {call} gave '{name}' as {array.dtype} {Shape(array.shape)}; give numbers, at least one"
            )
        if array.dtype.kind in "iu" and (array.min() < -(2**31) or array.max() >= 2**31):
            raise DataError(f"{self.path}: {call} gave '{name}' with numbers beyond 32 bits; number classes from 0")
        return array


def shape_of(array: Any) -> Shape:
    """Whole numbers are index, but for bytes of several numbers: those are pixels."""
    pixels = array.dtype == np.uint8 and array.ndim > 0
    return Shape(array.shape, "float" if array.dtype.kind == "f" or pixels else "index")


def told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
