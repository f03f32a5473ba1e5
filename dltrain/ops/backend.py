"""What a back end is, and the plainest one: the reference ops, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from dltrain.errors import OutOfMemory
from dltrain.ops.signature import Call
from dltrain.plan.segment import Access, schedule
from dltrain.tensor import DType, Shape, Tensor

if TYPE_CHECKING:
    from dltrain.plan import Plan

Kernel = Callable[[], None]
DTYPES: dict[DType, type] = {"index": np.int32, "double": np.float64, "byte": np.uint8}


class Arrays(Protocol):
    """How a back end gets at memory: `memory` in the order of the memory, contiguous; `logical` a view of the logical shape."""

    def memory(self, tensor: Tensor) -> Any: ...
    def logical(self, tensor: Tensor) -> Any: ...


class Work(NamedTuple):
    """What each worker does in a segment, and, after a barrier, at its end (joining what the workers made apart)."""

    kernels: Sequence[Kernel]
    finish: Sequence[Kernel] = ()


class Reference:
    """Plain NumPy, one worker, any float type; what the other back ends are held against."""

    name = "reference"
    workers = 1
    late = False  # whether a step is under way still when it has been asked for: its losses are then read later
    scales = False  # whether gradients are kept from vanishing by a factor
    margin = 0  # bytes that a step takes beside what its plan says, about
    kernels = "numpy"  # whose arithmetic it is, for those who compare last bits

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self.float_size = self.dtype.itemsize

    def order(self, shape: Shape) -> tuple[int, ...]:
        """The logical axes from the outermost in memory to the innermost."""
        return tuple(range(len(shape)))

    def fuse(self, calls: list[Call], keep: set[Tensor]) -> list[Call]:
        return calls

    def schedule(self, calls: list[Call]) -> list[Call]:
        """The calls in the order in which they are to run."""
        return schedule(calls)

    def access(self, call: Call) -> Access:
        return Access()

    short_type: Any = None  # of two bytes, where this back end has such numbers

    def short(self, plan: Plan) -> set[Tensor]:
        """Of the tensors that own memory, those that are stored as `short_type`."""
        return set()

    def begin_segment(self) -> None:
        """Called before the calls of a segment are bound."""

    def bind(self, call: Call, arrays: Arrays) -> Work:
        """The call with its arrays, one kernel a worker."""
        return Work([bind_reference(call, arrays)])

    def stage(self, to: Any, values: Any) -> None:
        """A batch into its place; the caller may use `values` again."""
        to[...] = values

    def replay(self, call: Call, arrays: Arrays) -> None:
        """A call as the reference does it, on the memory of this back end."""
        bind_reference(call, arrays)()

    def runner(self, segments: list[list[list[Kernel]]]) -> Kernel | None:
        """What runs all segments once, where that is more than calling their kernels one after another."""
        return None

    def free_bytes(self) -> int:
        """Bytes that can still be had; 0 where that is not known."""
        return available()

    def alloc(self, size: int, dtype: Any) -> Any:
        """`size` zeros, aligned to a cache line."""
        try:
            raw = np.zeros(size * np.dtype(dtype).itemsize + 64, np.uint8)
        except MemoryError:
            raise OutOfMemory(
                f"{size * np.dtype(dtype).itemsize / 2**30:.1f} GiB cannot be had; a smaller batch needs less"
            ) from None
        start = -raw.ctypes.data % 64
        return raw[start : start + size * np.dtype(dtype).itemsize].view(dtype)

    def dtype_of(self, tensor: Tensor) -> Any:
        return DTYPES.get(tensor.dtype, self.dtype)

    def wait(self) -> None:
        """Until all that was asked for is done."""

    def tasks(self, side: int, size: int) -> tuple[Kernel, Kernel] | None:
        """A product of two square matrices, and a copy of `size` bytes, where only this back end can time them."""
        return None

    def about(self, blas: str) -> str:
        """What the work is done on, in words."""
        return f"{self.name}, {self.workers} thread{'s' if self.workers > 1 else ''}, {blas}"

    def close(self) -> None:
        """Nothing to give back."""


def available() -> int:
    """Bytes that can be had without swapping (Linux); 0 where that is not known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0


def bind_reference(call: Call, arrays: Arrays) -> Kernel:
    """The reference function on logical views."""

    def bound(value: Any) -> Any:
        if isinstance(value, Tensor):
            return arrays.logical(value)
        if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
            return tuple(arrays.logical(item) for item in value)
        return value

    args = {name: bound(value) for name, value in call.args.items()}
    function = call.op.function
    return lambda: function(**args)
