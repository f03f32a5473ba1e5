"""What the tests of the solvers share: a solver that moves flat arrays, step by step, on the reference ops."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dltrain.ops.reference
import dltrain.solvers  # noqa: F401  (these two fill the registries)
from dltrain.ops.backend import bind_reference
from dltrain.ops.signature import Call, Tracer
from dltrain.solver import Horizon, Solver
from dltrain.tensor import Shape, Tensor


class Descent:
    """The weights of one solver, in float64; `logical` is how the ops find their arrays."""

    def __init__(self, solver: Solver, w: Any, segments: Any = None, run: Horizon | None = None) -> None:
        self.solver, self.run, self.iteration = solver, run or Horizon(100, Fraction(10)), 0
        size = len(w)
        sizes = dict.fromkeys(("w", "g", *solver.slots), size) | dict.fromkeys(("norm", "failed", *solver.rates(0, self.run)), 1)
        self.flat = {name: Tensor(name, Shape((count,))) for name, count in sizes.items()}
        self.arrays = {tensor: np.zeros(tensor.shape) for tensor in self.flat.values()}
        self["w"][:] = w
        calls: list[Call] = []
        solver.emit(Tracer(calls), self.flat, (), segments or [(0, size, 1.0, 1.0)])
        self.kernels = [bind_reference(call, self) for call in calls]

    def logical(self, tensor: Tensor) -> Any:
        return self.arrays[tensor]

    memory = logical

    def __getitem__(self, name: str) -> Any:
        return self.arrays[self.flat[name]]

    def step(self, g: Any) -> Any:
        """One update with the gradient `g`; the weights after it."""
        self["g"][:] = g
        for name, rate in self.solver.rates(self.iteration, self.run).items():
            self[name][:] = rate
        for kernel in self.kernels:
            kernel()
        self.iteration += 1
        return self["w"].copy()


@pytest.fixture
def descend() -> Callable[..., Descent]:
    return Descent
