"""Batches on their way to the device: copied into pinned memory, sent on a stream of their own, put in order there.

The host may go on as soon as a batch is in its slot.  There are three: one being filled, one on its way, one being read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.launch import Launch, view
from dltrain.tensor import Picked, Raw

if TYPE_CHECKING:
    from dltrain.ops.cuda.backend import Cuda

SLOTS = 3
OPERATIONS = ("subtract", "multiply", "divide")  # as kernels/staging.cu has them
KINDS = {"float32": "arrange_float", "uint8": "arrange_byte", "int32": "arrange_int"}


class Slot:
    """Pinned memory of the host, and raw memory of the device, for one batch of one field."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.host = cuda.driver.pinned(size)
        self.device = cuda.alloc(size, np.uint8)
        self.free = cuda.driver.flag()


class Staging:
    """put(to, values) for arrays that are filled again and again."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.slots: dict[tuple[int, int], list[Slot]] = {}
        self.turns: dict[tuple[int, int], int] = {}
        self.tables: dict[int, tuple[Any, DeviceArray]] = {}
        self.steps: dict[Any, tuple[Any, DeviceArray, DeviceArray]] = {}  # of arithmetic, by what they are

    def put(self, to: DeviceArray, values: Any) -> None:
        """to = values, converted and put in the order of the memory by the device; picked rows are picked there."""
        if isinstance(values, Picked):
            self.pick(to, values)
            return
        if isinstance(values, Raw) and to.dtype != np.int32 and to.size:
            self.work_out(to, values)
            return
        host = np.ascontiguousarray(values)
        if host.dtype.name not in KINDS or (host.dtype == np.int32) != (to.dtype == np.int32):
            host = host.astype(np.int32 if to.dtype == np.int32 else np.float32)
        if host.size:
            raw, slot = self.send(to, host)
            logical = to if host.shape == to.shape else to.reshape(host.shape)
            self.cuda.each("staging", KINDS[host.dtype.name], host.size, raw, logical, view(logical))()
            self.cuda.driver.raise_flag(slot.free)

    def pick(self, to: DeviceArray, values: Picked) -> None:
        """Rows of a table that lies on the device."""
        table = self.table(values.table, to)
        raw, slot = self.send(to, np.ascontiguousarray(values.rows, np.int32))
        self.picking(to if to.shape == values.shape else to.reshape(values.shape), table, raw)()
        self.cuda.driver.raise_flag(slot.free)

    def picking(self, to: DeviceArray, table: DeviceArray, rows: DeviceArray) -> Launch:
        """to = these rows of the table"""
        kernel = "pick_int" if to.dtype == np.int32 else "pick_float"
        return self.cuda.each("staging", kernel, to.size, table, rows, to, view(to), to.size // len(rows))

    def work_out(self, to: DeviceArray, values: Raw) -> None:
        """Bytes, and what is left to do with each, as NumPy would: no product and sum in one."""
        host = np.ascontiguousarray(values.values)
        each = host.size // len(host)
        key = tuple((operation, id(by) if np.ndim(by) else float(by)) for operation, by in values.steps)
        if key not in self.steps:
            self.steps[key] = (values.steps, *self.told(values, each))
        _, table, numbers = self.steps[key]
        raw, slot = self.send(to, host)
        logical = to if host.shape == to.shape else to.reshape(host.shape)
        self.cuda.each("staging", "work_out", host.size, raw, logical, view(logical), numbers, table, len(key), each)()
        self.cuda.driver.raise_flag(slot.free)

    def told(self, values: Raw, each: int) -> tuple[DeviceArray, DeviceArray]:
        """The steps as the kernel takes them, and all their numbers."""
        rows, numbers = [[0, 0, 1, 1]] * (not values.steps), [np.zeros(1, np.float32)]
        for operation, by in values.steps:
            flat = np.asarray(by, np.float32).reshape(-1)
            rows.append([OPERATIONS.index(operation), sum(map(len, numbers)), each // flat.size, flat.size])
            numbers.append(flat)
        return self.cuda.constant(np.array(rows, np.int32).reshape(-1)), self.cuda.constant(np.concatenate(numbers))

    def table(self, values: Any, to: DeviceArray) -> DeviceArray:
        """A table as numbers of the kind that `to` holds, on the device since it was first asked for."""
        if id(values) not in self.tables:
            held = self.cuda.alloc(values.size, to.dtype)
            held[...] = np.asarray(values).reshape(-1)
            self.tables[id(values)] = (values, held)
        return self.tables[id(values)][1]

    def send(self, to: DeviceArray, host: Any) -> tuple[DeviceArray, Slot]:
        """The bytes of an array of the host, on the device when what is launched next looks at them."""
        slot = self.next(to.address, host.nbytes)
        self.cuda.driver.wait_for(slot.free)
        slot.host[: host.nbytes] = host.reshape(-1).view(np.uint8)
        self.cuda.driver.send(slot.device.address, slot.host, host.nbytes)
        return DeviceArray(to.driver, slot.device.address, (host.size,), host.dtype, slot.device), slot

    def next(self, address: int, size: int) -> Slot:
        key = (address, size)
        if key not in self.slots:
            self.slots[key] = [Slot(self.cuda, size) for _ in range(SLOTS)]
        self.turns[key] = (self.turns.get(key, -1) + 1) % SLOTS
        return self.slots[key][self.turns[key]]
