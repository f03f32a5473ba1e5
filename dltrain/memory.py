"""All the memory of a run: flat arrays for parameters, gradients and slots, the states of layers, one arena for all graphs."""

from __future__ import annotations

from math import prod
from typing import Any

from dltrain.errors import OutOfMemory
from dltrain.ops.backend import Reference
from dltrain.plan import Plan
from dltrain.store import Store
from dltrain.tensor import Tensor


class Memory:
    """Gives every handle an array.  Layout is the back end's: what a user or a file sees is always the logical array."""

    def __init__(self, store: Store, backend: Reference, slots: tuple[str, ...] = ()) -> None:
        self.store, self.backend = store, backend
        self.handles = {"w": store.w, "g": store.g} | {name: Tensor(name, store.w.shape, "slot") for name in slots}
        self.own: dict[Tensor, Any] = {}  # the flat arrays; states, scalars, tallies: an array each
        self.bytes = backend.alloc(0, "uint8")

    def reserve(self, size: int) -> bool:
        """Makes the arena at least `size` bytes; True if it moved, so that what is bound must be bound again."""
        if size <= len(self.bytes):
            return False
        limit = self.backend.free_bytes()
        if limit and size > limit + len(self.bytes):
            gib = 2.0**30
            raise OutOfMemory(
                f"the plan needs {size / gib:.1f} GiB and {limit / gib:.1f} GiB are free; choose a smaller batch_size"
            )
        larger = self.backend.alloc(size, "uint8")
        larger[: len(self.bytes)] = self.bytes  # a graph before a cut may have left something for the next
        self.bytes = larger
        return True

    def memory(self, tensor: Tensor, plan: Plan | None = None) -> Any:
        """The contiguous array of a tensor, its axes in the order of the memory."""
        order = self.backend.order(tensor.shape)
        return self.raw(tensor, plan).reshape([tensor.shape[axis] for axis in order])

    def logical(self, tensor: Tensor, plan: Plan | None = None) -> Any:
        """The same memory as a (strided) array of the tensor's own shape."""
        order = self.backend.order(tensor.shape)
        return self.memory(tensor, plan).transpose([order.index(axis) for axis in range(len(order))])

    def raw(self, tensor: Tensor, plan: Plan | None) -> Any:
        count, dtype = prod(tensor.shape), self.backend.dtype_of(tensor)
        dtype = self.backend.short_type if plan and plan.is_short(tensor) else dtype
        extent = plan.extent(tensor) if plan else None
        if extent is not None:
            return self.bytes[extent[0] : extent[1]].view(dtype)
        owner, start = (plan.storage(tensor), plan.start(tensor)) if plan else tensor.within or (tensor, 0)
        if owner not in self.own:
            self.own[owner] = self.backend.alloc(prod(owner.shape), dtype)
        return self.own[owner][start : start + count]

    def slot(self, name: str, part: Any) -> Any:
        """One parameter's piece of a flat array, as a logical view."""
        order = self.backend.order(part.shape)
        piece = self.memory(self.handles[name])[part.start : part.start + part.shape.count]
        return piece.reshape([part.shape[axis] for axis in order]).transpose([order.index(axis) for axis in range(len(order))])


class Bound:
    """A memory seen through one plan."""

    def __init__(self, memory: Memory, plan: Plan) -> None:
        self.of, self.plan = memory, plan

    def memory(self, tensor: Tensor) -> Any:
        return self.of.memory(tensor, self.plan)

    def logical(self, tensor: Tensor) -> Any:
        return self.of.logical(tensor, self.plan)
