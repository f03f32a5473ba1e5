"""The back end itself: layouts, memory, and recipes that bind a call to launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dltrain.errors import ConfigError
from dltrain.ops.backend import Arrays, Kernel, Reference, Work
from dltrain.ops.cuda import fusion
from dltrain.ops.cuda.array import BF16, FP16, DeviceArray
from dltrain.ops.cuda.driver import Driver
from dltrain.ops.cuda.launch import BLOCK, MOST_BLOCKS, Launch, launch
from dltrain.ops.cuda.runner import Launches, OnHost, Runner
from dltrain.ops.cuda.staging import Staging
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.signature import Call
from dltrain.plan import Plan
from dltrain.plan.segment import Access, of_weights
from dltrain.tensor import Shape, Tensor

CHANNELS_LAST = (0, 2, 3, 1)
SCRATCH = 32 << 20  # bytes that are taken at once, at least
SPARE = 512 << 20  # bytes for scratch memory, libraries and graphs
LITTLE = 64 << 20  # bytes
TICKETS = 1 << 14  # that are taken at once
MOST = 2**31 - 2**24  # elements of an array: kernels count with int, a grid's stride beyond the last

MOVES = ("copy", "reshape", "permute", "concat", "cut", "crop", "tile", "broadcast", "take", "pad")  # they compute nothing
SHORT = {"bf16": BF16, "fp16": FP16}  # precisions in which what flows between layers is stored in two bytes

Bind = Callable[[Call, Arrays, "Cuda"], Sequence[Kernel]]


@dataclass(frozen=True)
class Recipe:
    """How a GPU does an op: `bind` gives the launches, one after another; `fits` tells for which calls.

    `short` names the arguments that may be of short numbers.
    """

    bind: Bind
    fits: Callable[[Call], bool]
    short: frozenset[str] = frozenset()


RECIPES: dict[str, list[Recipe]] = {}


def recipe(*names: str, fits: Callable[[Call], bool] = lambda call: True, short: str = "") -> Callable[[Bind], Bind]:
    """Registers how ops are done here; of several recipes of one op, the first that fits."""

    def register(bind: Bind) -> Bind:
        for name in names:
            RECIPES.setdefault(name, []).append(Recipe(bind, fits, frozenset(short.split())))
        return bind

    return register


class Cuda(Reference):
    """float32; images and weights of rank 4 channels-last in memory.  The workers of a segment are the streams of a graph."""

    name = "cuda"
    kernels = "cuda"
    late = True

    def __init__(self, driver: Driver, precision: str = "fp32", graphs: bool = True) -> None:
        from dltrain.ops.cuda import recipes  # noqa: F401  fills the recipes

        super().__init__(np.float32)
        self.driver, self.precision, self.graphs = driver, precision, graphs
        self.short_type, self.scales = SHORT.get(precision), precision == "fp16"
        self.constants: dict[tuple[str, tuple[int, ...], bytes], DeviceArray] = {}
        self.margin = SPARE if driver.arch else 0
        self.staging = Staging(self)
        self.scratches: list[DeviceArray] = []
        self.scratch_top = 0
        self.unused = DeviceArray(driver, 0, (0,), np.int32)

    def order(self, shape: Shape) -> tuple[int, ...]:
        return CHANNELS_LAST if len(shape) == 4 else super().order(shape)

    def fuse(self, calls: list[Call], keep: set[Tensor]) -> list[Call]:
        return fusion.fuse(calls, keep)

    def schedule(self, calls: list[Call]) -> list[Call]:
        """What weight gradients are made of is kept for them only where it is little: then they run side by side."""
        read = {tensor for call in of_weights(calls) for tensor in call.reads() if tensor.home == "arena"}
        held = sum(tensor.shape.count for tensor in read) * self.float_size
        return super().schedule(calls) if held <= LITTLE else calls

    def access(self, call: Call) -> Access:
        return Access()

    def recipe_of(self, call: Call) -> Recipe | None:
        return next((each for each in RECIPES.get(call.op.name, ()) if each.fits(call)), None)

    def short(self, plan: Plan) -> set[Tensor]:
        """What every call that touches it can take short; what is read after the run stays as it is."""
        if self.short_type is None:
            return set()
        fixed, found = {plan.storage(tensor) for tensor in plan.keep}, set[Tensor]()
        for number, call in enumerate(plan.calls):
            recipe = self.recipe_of(call)
            for name, tensor in call.uses("in", "out", "add", "update"):
                may = recipe is not None and name in recipe.short and number >= plan.pinned
                (found if may else fixed).add(plan.storage(tensor))
        for call in reversed(plan.calls):  # what must be exact, such as places, is so before it is moved
            if call.op.name in MOVES and plan.storage(call.args["y"]) in fixed:
                fixed |= {plan.storage(tensor) for tensor in call.reads()}
        return {tensor for tensor in found - fixed if tensor.home in ("arena", "input") and tensor.dtype == "float"}

    def bind(self, call: Call, arrays: Arrays) -> Work:
        found = self.recipe_of(call)
        if found is None:
            return Work([OnHost(call, arrays)])
        for _, tensor in call.uses("in", "out", "add", "update"):
            if tensor.shape.count > MOST:
                raise ConfigError(f"{call.layer}: {tensor} has more than 2^31 elements; a smaller batch has fewer")
        return Work([Launches(call, arrays, found.bind(call, arrays, self))])

    def stage(self, to: DeviceArray, values: Any) -> None:
        self.staging.put(to, values)

    def replay(self, call: Call, arrays: Arrays) -> None:
        OnHost(call, arrays)()

    def runner(self, segments: list[list[list[Kernel]]]) -> Kernel:
        return Runner(self, [segment[0] for segment in segments])  # type: ignore[misc]

    # --- memory ---
    def alloc(self, size: int, dtype: Any) -> DeviceArray:
        """`size` zeros."""
        address, owner = self.driver.alloc(size * np.dtype(dtype).itemsize)
        return DeviceArray(self.driver, address, (size,), dtype, owner)

    def free_bytes(self) -> int:
        return self.driver.free_bytes()

    def begin_segment(self) -> None:
        """Calls of different segments never run at once, so they may use the same scratch memory."""
        self.scratch_top = 0

    def scratch(self, *sizes: int, dtype: Any = np.float32) -> DeviceArray:
        """Memory for one call of the open segment; what is in it is not known.  `scratch_top` counts through all pieces."""
        count, begin = prod(sizes) * np.dtype(dtype).itemsize, 0
        for piece in self.scratches:
            at = max(self.scratch_top - begin, 0)
            if at + count <= piece.size:
                break
            begin += piece.size
        else:
            piece, at = self.alloc(max(-(-count // 256) * 256, SCRATCH), np.uint8), 0
            self.scratches.append(piece)
        self.scratch_top = begin + at + -(-count // 256) * 256
        flat: DeviceArray = piece[at : at + count]
        return flat.view(dtype).reshape(tuple(sizes))

    def tickets(self, count: int) -> DeviceArray:
        """Zeros that a launch leaves zeros: by them its blocks know which of them is the last."""
        if self.unused.size < count:
            self.unused = self.alloc(max(count, TICKETS), np.int32)
        made: DeviceArray = self.unused[:count]
        self.unused = self.unused[count:]
        return made

    def constant(self, values: Any) -> DeviceArray:
        """A NumPy array that kernels read, on the device once."""
        host = np.ascontiguousarray(values)
        key = (host.dtype.str, host.shape, host.tobytes())
        if key not in self.constants:
            self.constants[key] = self.alloc(host.size, host.dtype).reshape(host.shape)
            self.constants[key][...] = host
        return self.constants[key]

    # --- launches ---
    def launch(self, file: str, name: str, grid: int | Sequence[int], *args: Any, block: int | Sequence[int] = BLOCK) -> Launch:
        """A kernel of kernels/FILE.cu."""
        return launch(self.driver, text_of(file), name, grid, args, block)

    def each(self, file: str, name: str, count: int, *args: Any, text: str | None = None) -> Launch:
        """A kernel that strides over `count` elements, its last argument."""
        blocks = max(1, min(-(-count // BLOCK), MOST_BLOCKS * self.driver.processors))
        return launch(self.driver, text or text_of(file), name, blocks, (*args, count), BLOCK)

    def wait(self) -> None:
        self.driver.synchronize()

    def tasks(self, side: int, size: int) -> tuple[Kernel, Kernel]:
        from dltrain.ops.cuda.dense import gemm

        a, b, c = (self.alloc(side * side, np.float32).reshape(side, side) for _ in range(3))
        one, other = (self.alloc(size, np.uint8) for _ in range(2))
        launches = gemm(self, a, b, c)

        def product() -> None:
            for each in launches:
                each()

        return product, lambda: self.driver.copy(other.address, one.address, size)

    def about(self, blas: str) -> str:
        return f"cuda, {self.driver.name}; {self.precision}, {'one graph a step' if self.graphs else 'call by call'}"

    def close(self) -> None:
        self.driver.close()


def memory(call: Call, arrays: Arrays, *names: str) -> list[Any]:
    """The arrays of some arguments in the order of the memory, None for those that are left out."""
    return [None if call.args[name] is None else arrays.memory(call.args[name]) for name in names]


def logical(call: Call, arrays: Arrays, *names: str) -> list[Any]:
    """The arrays of some arguments in their own shapes, None for those that are left out."""
    return [None if call.args[name] is None else arrays.logical(call.args[name]) for name in names]


def tensors(call: Call, name: str) -> tuple[Tensor, ...]:
    value = call.args[name]
    return value if isinstance(value, tuple) else (value,)
