"""Which of several ways to do a call is the fastest: tried once on the device, held against the first way, remembered on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dltrain.errors import OutOfMemory
from dltrain.ops.backend import Kernel
from dltrain.ops.cache import folder, write
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.launch import BLOCK
from dltrain.ops.cuda.texts import files, text_of

FOLDER = "tuned"
BLOCKS = 128  # that compare two results, at most
CLOSE = {"tf32": 2e-2, "bf16": 2e-2, "fp16": 2e-2}  # how far, in shares of the largest number, from the first way's result
FEW = 1e-4  # the same in the other precisions
STRAYS = 1 / 32  # of all results may be no number for that one of x: some ways, Winograd's, see more of x than they should
ENOUGH = 2e-3  # seconds that one measurement lasts, at least
HOPELESS = 2.0  # times as slow as the best so far: not measured any further

Given = dict[str, DeviceArray | None]


def there(given: Given, name: str) -> DeviceArray:
    """The array of this name, which nobody leaves out."""
    found = given[name]
    assert found is not None, name
    return found


class Way(Protocol):
    """How a call can be done: in several variants, each with a name that stays the same from run to run."""

    def offers(self) -> Sequence[str]:
        """The names, the most promising first."""
        ...

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        """The launches; RuntimeError where the variant cannot do it."""
        ...


class Ledger:
    """What has been measured on one device with one set of kernels and libraries."""

    def __init__(self, facts: str) -> None:
        self.path: Path = folder(FOLDER) / f"{hashlib.sha256(facts.encode()).hexdigest()[:20]}.json"
        self.known = self.read()

    def read(self) -> dict[str, str]:
        """What the file says; nothing where it is damaged."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

    def note(self, key: str, name: str) -> None:
        self.known = {**self.read(), **self.known, key: name}
        write(self.path, json.dumps(self.known, indent=0, sort_keys=True).encode())


LEDGERS: dict[str, Ledger] = {}


def ledger(cuda: Cuda, versions: str) -> Ledger:
    """By device, kernels and libraries: another one of these, and all is measured anew."""
    facts = f"{cuda.driver.name} {cuda.driver.arch} {kernels()} {versions}"
    if facts not in LEDGERS:
        LEDGERS[facts] = Ledger(facts)
    return LEDGERS[facts]


@cache
def kernels() -> str:
    """A digest of all our own."""
    return hashlib.sha256("".join(text_of(file) for file in files()).encode()).hexdigest()


def chosen(cuda: Cuda, what: str, given: Given, outs: Sequence[str], ways: dict[str, Way], versions: str = "") -> list[Kernel]:
    """The launches of the fastest way for arrays of these shapes; without a device, those of the first."""
    name, first = next(iter(ways.items()))
    if not cuda.driver.arch:
        return first.bind(first.offers()[0], given)
    book, key = ledger(cuda, versions), f"{what} {cuda.precision} {'; '.join(map(described, given.items()))}"
    name, _, variant = book.known.get(key, "").partition(":")
    if name in ways:
        try:
            return ways[name].bind(variant, given)
        except RuntimeError:  # what was noted is to be had no more
            pass
    book.note(key, Trial(cuda, given, outs).fastest(ways))
    name, _, variant = book.known[key].partition(":")
    return ways[name].bind(variant, given)


def described(item: tuple[str, DeviceArray | None]) -> str:
    name, array = item
    if array is None:
        return f"no {name}"
    border = next(size for size in (256, 16, 4, 2) if array.address % size == 0)
    kind = "" if array.dtype == np.float32 else f" {array.dtype.itemsize} bytes"
    return f"{name} {array.sizes} {array.axes} @{border}{kind}"


class Trial:
    """Arrays like the given ones, of noise, and what the first way makes of them."""

    def __init__(self, cuda: Cuda, given: Given, outs: Sequence[str]) -> None:
        self.cuda, self.given, self.outs = cuda, given, outs

    def fastest(self, ways: dict[str, Way]) -> str:
        """way:variant; the first way's first where there is no memory for trials.  Their scratch memory goes with them."""
        kept = self.cuda.scratches, self.cuda.scratch_top
        name, first = next(iter(ways.items()))
        best, least = f"{name}:{first.offers()[0]}", float("inf")
        try:
            self.prepare(first)
            for name, way in ways.items():
                for variant in self.offers(way):
                    taken = self.attempt(way, variant, least)
                    if taken < least:
                        best, least = f"{name}:{variant}", taken
        except OutOfMemory:
            pass
        finally:
            self.cuda.driver.synchronize()
            self.cuda.scratches, self.cuda.scratch_top = kept
        return best

    def prepare(self, first: Way) -> None:
        """One x is not a number: a way that makes a number of it, as some do of ReLU, is none."""
        self.arrays: Given = {
            name: None if array is None else self.twin(array, number) for number, (name, array) in enumerate(self.given.items())
        }
        self.before = {name: self.twin(array, 77) for name in self.outs if (array := self.arrays[name]) is not None}
        self.right = {name: self.twin(array, 0) for name, array in self.before.items()}
        x = self.arrays.get("x")
        if x is not None:
            DeviceArray(x.driver, x.address + x.nbytes - x.dtype.itemsize, (1,), x.dtype)[...] = np.full(1, np.nan)
        self.attempted(first.bind(first.offers()[0], self.arrays))
        for name, array in self.right.items():
            self.copy(array, self.arrays[name])

    def twin(self, array: DeviceArray, seed: int) -> DeviceArray:
        """The same sizes, as far from a border of 256 bytes, other numbers."""
        address, owner = self.cuda.driver.alloc(array.nbytes + 256)
        made = DeviceArray(array.driver, address + array.address % 256, array.sizes, array.dtype, owner, array.axes)
        self.cuda.each("tuning", "noise", made.size, made, seed)()
        return made

    def copy(self, to: DeviceArray, source: Any) -> None:
        self.cuda.driver.copy(to.address, source.address, to.nbytes)

    def attempted(self, launches: list[Kernel]) -> None:
        """Once, on outputs that hold what they held before."""
        for name, array in self.before.items():
            to = self.arrays[name]
            assert to is not None
            self.copy(to, array)
        for each in launches:
            each()

    def attempt(self, way: Way, variant: str, least: float) -> float:
        """Seconds of a way that makes what the first way makes; infinity for one that does not, or cannot."""
        self.cuda.scratches, self.cuda.scratch_top = [], 0
        try:
            launches = way.bind(variant, self.arrays)
            self.attempted(launches)
            if not all(self.agrees(name) for name in self.right):
                return float("inf")
            return self.seconds(launches, least)
        except OutOfMemory:
            raise
        except Exception as error:  # whatever a library has against it: it is not chosen
            self.survives(f"{type(way).__module__}: {variant}: {error}")
            return float("inf")

    def offers(self, way: Way) -> Sequence[str]:
        """Nothing, where a library cannot do a call at all."""
        try:
            return way.offers()
        except Exception as error:  # it has several kinds
            self.survives(f"{type(way).__module__}: {error}")
            return ()

    def survives(self, what: str) -> None:
        """What has touched memory of others ends the device for this process: then it is told."""
        try:
            self.cuda.driver.synchronize()
        except Exception as error:
            raise RuntimeError(f"the device is lost: {what}") from error

    def agrees(self, name: str) -> bool:
        array, right = self.arrays[name], self.right[name]
        blocks = min(BLOCKS, -(-right.size // BLOCK))
        apart = self.cuda.alloc(3 * blocks, np.float32)
        self.cuda.launch("tuning", "differ", blocks, array, right, apart, right.size)()
        error, largest, strays = apart.copy().reshape(3, blocks)
        close = error.max() <= CLOSE.get(self.cuda.precision, FEW) * largest.max()
        return bool(close and strays.sum() <= STRAYS * right.size)

    def seconds(self, launches: list[Kernel], least: float) -> float:
        def run() -> None:
            for each in launches:
                each()

        driver: Any = self.cuda.driver
        once = float(driver.seconds(run, 1))
        times = int(min(max(ENOUGH / max(once, 1e-7), 1), 100))
        return once if once > HOPELESS * least or times == 1 else float(driver.seconds(run, times))
