"""What the tests of the solvers share: a solver that moves flat arrays, step by step, on the ops of a back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dltrain.ops.reference
import dltrain.solvers  # noqa: F401  (these two fill the registries)
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.signature import Call, Tracer
from dltrain.policy import Horizon
from dltrain.solver import Solver
from dltrain.tensor import Shape, Tensor

LINE = 16  # elements: each parameter starts on a cache line


class Descent:
    """The weights of one solver, in float64 on the reference ops unless told otherwise.

    `logical` and `memory` are how the ops find their arrays; a worker's kernels run one after another.
    """

    def __init__(
        self, solver: Solver, w: Any, segments: Any = None, run: Horizon | None = None, backend: Reference | None = None,
        rows: Any = (),
    ) -> None:  # fmt: skip
        self.solver, self.run, self.iteration = solver, run or Horizon(100, Fraction(10)), 0
        size, self.backend = len(w), backend or Reference(np.float64)
        table = np.array(segments or [(0, size, 1.0, 1.0)], float)
        self.flat = {name: Tensor(name, Shape((size,))) for name in ("w", "g", *solver.kept)}
        self.flat |= {name: Tensor(name, Shape((1,))) for name in solver.numbers}
        self.flat |= {"norm": Tensor("norm", Shape((1,), "double")), "norms": Tensor("norms", Shape((2, len(table)), "double"))}
        self.flat["failed"] = Tensor("failed", Shape((1,), "index"))
        self.arrays = {tensor: np.zeros(tensor.shape, self.backend.dtype_of(tensor)) for tensor in self.flat.values()}
        for name in ("w", *set(solver.kept) - set(solver.slots)):
            self[name][:] = w
        self.calls: list[Call] = []
        solver.emit(Tracer(self.calls), self.flat, (), table, rows)
        works = [self.backend.bind(call, self) for call in self.calls]
        self.kernels = [kernel for work in works for kernel in (*work.kernels, *work.finish)]

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


@pytest.fixture(scope="session")
def cpu() -> Iterator[Cpu]:
    made = Cpu(2)
    yield made
    made.close()


@pytest.fixture
def alike(cpu: Cpu) -> Callable[..., None]:
    """check(solver): ten steps in two parameters on two workers go the way of the reference in float32."""

    def check(solver: Solver) -> None:
        rng = np.random.default_rng(5)
        used = np.r_[np.arange(37), 3 * LINE + np.arange(21)]
        w = np.zeros(5 * LINE)
        w[used] = rng.standard_normal(len(used))
        segments, rows = [(0, 37, 1.0, 1.0), (3 * LINE, 3 * LINE + 21, 2.0, 0.0)], [(3 * LINE, 3 * LINE + 21, 3)]
        one, other = (Descent(solver, w, segments, None, backend, rows) for backend in (Reference(np.float32), cpu))
        for _ in range(10):
            g = np.zeros_like(w)
            g[used] = rng.standard_normal(len(used))
            one.step(g), other.step(g)
            for name in ("w", *solver.kept):
                np.testing.assert_allclose(other[name], one[name], rtol=2e-5, atol=2e-6, err_msg=name)
        assert not one["failed"][0] and not other["failed"][0] and not other["g"].any()

    return check
