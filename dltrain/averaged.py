"""The average of the weights in the place of the weights: what is tested where the solver has `weight_ema`."""

from __future__ import annotations

from typing import Any

from dltrain.memory import Memory
from dltrain.plan import Plan
from dltrain.solver import AVERAGE
from dltrain.tensor import Tensor


class Averaged(Memory):
    """A memory in which the averaged weights stand in for those that training moves."""

    def __init__(self, of: Memory) -> None:
        self.of, self.backend = of, of.backend

    def raw(self, tensor: Tensor, plan: Plan | None) -> Any:
        if plan is None or plan.storage(tensor) is not self.of.store.w:
            return self.of.raw(tensor, plan)
        start = plan.start(tensor)
        return self.of.memory(self.of.handles[AVERAGE])[start : start + tensor.shape.count]
