"""An array in the memory of a device: addressed, cut, reshaped, and moved to and from NumPy; nothing is computed with it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dltrain.ops.cuda.driver import Driver

FP16 = np.dtype(np.float16)
BF16 = np.dtype([("bf16", np.uint16)])  # the upper half of a float32; NumPy has no such type


def widened(values: Any) -> Any:
    """BF16 as float32."""
    return (values["bf16"].astype(np.uint32) << 16).view(np.float32)


def narrowed(values: Any) -> Any:
    """float32 as BF16, rounded to the nearest, ties to even."""
    words = np.ascontiguousarray(values, np.float32).view(np.uint32)
    upper = ((words.astype(np.uint64) + 0x7FFF + (words >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FFF), upper).view(BF16)


class DeviceArray:
    """Contiguous memory of `sizes`, seen as the logical array whose axis i is the memory's axis `axes[i]`.

    array[...] = value and array[low:high] = value write; array.copy() and np.asarray(array) read.
    """

    def __init__(self, driver: Driver, address: int, sizes: Sequence[int], dtype: Any, owner: object = None,
                 axes: Sequence[int] = ()) -> None:  # fmt: skip
        self.driver, self.address, self.sizes, self.owner = driver, address, tuple(sizes), owner
        self.dtype = np.dtype(dtype)
        self.axes = tuple(axes) or tuple(range(len(self.sizes)))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[axis] for axis in self.axes)

    @property
    def strides(self) -> tuple[int, ...]:
        """In elements, of the logical axes."""
        steps = [prod(self.sizes[axis + 1 :]) for axis in range(len(self.sizes))]
        return tuple(steps[axis] for axis in self.axes)

    @property
    def size(self) -> int:
        count: int = prod(self.sizes)
        return count

    @property
    def nbytes(self) -> int:
        return int(self.size * self.dtype.itemsize)

    @property
    def ndim(self) -> int:
        return len(self.sizes)

    @property
    def in_fours(self) -> bool:
        """True where all its numbers can be taken four at a time."""
        return self.size % 4 == 0 and self.address % (4 * self.dtype.itemsize) == 0

    @property
    def is_plain(self) -> bool:
        """True where the logical order is the order of the memory."""
        return self.axes == tuple(range(self.ndim))

    def __len__(self) -> int:
        return self.shape[0]

    # --- other views of the same memory ---
    def reshape(self, *sizes: Any) -> DeviceArray:
        assert self.is_plain
        wanted = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        if -1 in wanted:
            known = prod(size for size in wanted if size != -1)
            wanted = tuple(self.size // known if size == -1 else size for size in wanted)
        assert prod(wanted) == self.size
        return DeviceArray(self.driver, self.address, wanted, self.dtype, self.owner)

    def transpose(self, axes: Sequence[int]) -> DeviceArray:
        return DeviceArray(
            self.driver, self.address, self.sizes, self.dtype, self.owner, [self.axes[axis] for axis in axes] or self.axes
        )

    def view(self, dtype: Any) -> DeviceArray:
        assert self.is_plain and self.ndim == 1
        count = self.nbytes // np.dtype(dtype).itemsize
        return DeviceArray(self.driver, self.address, (count,), dtype, self.owner)

    def __getitem__(self, key: Any) -> Any:
        """A stretch of a flat array is a view of it; anything else is read."""
        if key is Ellipsis:
            return self
        if self.ndim == 1 and isinstance(key, slice) and key.step in (None, 1):
            low, high, _ = key.indices(self.size)
            return DeviceArray(
                self.driver, self.address + low * self.dtype.itemsize, (max(high - low, 0),), self.dtype, self.owner
            )
        if self.ndim == 1 and isinstance(key, int):
            return self[key : key + 1 or None].copy()[0]
        return self.copy()[key]

    # --- to and from NumPy ---
    def __setitem__(self, key: Any, value: Any) -> None:
        part = self[key] if key is Ellipsis or isinstance(key, slice) else None
        if not isinstance(part, DeviceArray):
            raise TypeError("an array of a device is written whole, or a stretch of a flat one")
        part.write(value)

    def write(self, value: Any) -> None:
        if not self.size:
            return
        if isinstance(value, DeviceArray) and value.dtype == self.dtype and (value.sizes, value.axes) == (self.sizes, self.axes):
            self.driver.copy(self.address, value.address, self.nbytes)
            return
        host = np.asarray(value)
        if host.ndim == 0 and not host.any() and not np.signbit(host):
            self.driver.clear(self.address, self.nbytes)
            return
        typed = narrowed(host) if self.dtype == BF16 else host.astype(self.dtype, copy=False)
        logical = np.broadcast_to(typed, self.shape)
        self.driver.upload(self.address, np.ascontiguousarray(logical.transpose(np.argsort(self.axes, kind="stable"))))

    def copy(self) -> Any:
        """A NumPy array of the logical shape; BF16 as float32."""
        made = np.empty(self.sizes, self.dtype)
        if made.size:
            self.driver.download(made, self.address)
        made = widened(made) if self.dtype == BF16 else made
        return np.array(made.transpose(self.axes), order="C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        made = self.copy()
        return made if dtype is None else made.astype(dtype, copy=False)

    def __float__(self) -> float:
        return float(self.copy().reshape(()))

    def __repr__(self) -> str:
        return f"DeviceArray({self.shape}, {self.dtype})"
