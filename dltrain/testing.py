"""The exam that every layer sits, ours and yours: shapes promised are shapes made, gradients are right, back ends agree.

>>> check_layer(Pooling(kernel_size=(2,)), (2, 3, 6, 5))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltrain.errors import CheckFailed
from dltrain.graph import Builder, Demand
from dltrain.layer import Blob, Layer
from dltrain.memory import Memory
from dltrain.ops.backend import Reference
from dltrain.ops.signature import Tracer
from dltrain.plan import make_plan
from dltrain.plan.hazards import hazards
from dltrain.program import Pool, Program
from dltrain.store import Store
from dltrain.tensor import Shape, Tensor
from dltrain.wiring import Line

Array = Any


class Trial:
    """One layer on one back end, forward and backward, outside any net."""

    def __init__(
        self, layer: Layer, shapes: Sequence[Shape], backend: Reference | None = None, train: bool = True, fast: bool = False
    ) -> None:
        self.backend = backend or Reference(np.float64)
        builder = Builder(
            [Line("it", layer)], [0], {}, Store(), Demand("train" if train else "test", (shapes[0][0] if shapes else 1,)), 1
        )
        builder.tracer = Tracer(builder.graph.calls, "it")
        builder.graph.scalar("step")
        self.layer = builder.place(0)
        self.store, self.graph = builder.store, builder.graph
        made = self.layer.setup(*shapes)
        self.promised = made if isinstance(made, list) else [made]
        self.bottoms = [Blob(Tensor(f"x{i}", shape, "input"), self.grad_of(i, shape)) for i, shape in enumerate(shapes)]
        self.tops = [Blob(Tensor(f"y{i}", shape), Tensor(f"dy{i}", shape, "input")) for i, shape in enumerate(self.promised)]
        self.layer.forward(*self.bottoms, *self.tops)
        if train:
            builder.tracer.way = "backward"
            self.layer.backward(*self.bottoms, *self.tops)
        keep = [blob.data for blob in self.tops] + [blob.grad for blob in self.bottoms if blob.grad is not None]
        self.plan = make_plan(self.graph.calls, self.backend, keep, fast=fast)
        found = hazards(self.plan)
        if found:
            raise CheckFailed(f"{layer}: {found[0]}")
        self.memory = Memory(self.store, self.backend)
        self.memory.reserve(self.plan.arena)
        pool = Pool(self.backend.workers) if self.backend.workers > 1 else None
        self.program = Program(self.plan, self.backend, self.memory, pool)
        for state in self.store.states.values():
            self.memory.logical(state.handle)[...] = state.init

    def grad_of(self, index: int, shape: Shape) -> Tensor | None:
        fixed = Builder.is_fixed(self.layer, index) or shape.dtype != "float"
        return None if fixed or not self.layer.train or self.layer.kind == "metric" else Tensor(f"dx{index}", shape)

    def run(
        self, xs: Sequence[Array], dys: Sequence[Array], params: dict[str, Array], step: int = 0
    ) -> tuple[list[Array], list[Array], dict[str, Array]]:
        """(tops, gradients of the bottoms, gradients of the parameters)"""
        values = [(blob.data, x) for blob, x in zip(self.bottoms, xs, strict=True)]
        values += [(blob.grad, dy) for blob, dy in zip(self.tops, dys, strict=True) if blob.grad is not None]
        for tensor, value in values:
            if self.plan.extent(tensor):
                self.memory.logical(tensor, self.plan)[...] = value
        for part in self.store.segments.values():
            self.memory.logical(part.handle.data)[...] = params[part.role]
            if part.handle.grad is not None:
                self.memory.logical(part.handle.grad)[...] = 0
        for tensor in self.graph.scalars.values():
            self.memory.memory(tensor)[...] = step
        self.program.run()
        out = [self.memory.logical(blob.data, self.plan).copy() for blob in self.tops]
        dxs = [None if b.grad is None else self.memory.logical(b.grad, self.plan).copy() for b in self.bottoms]
        grads = {
            part.role: self.memory.logical(part.handle.grad).copy() for part in self.store.segments.values() if part.handle.grad
        }
        return out, dxs, grads

    def close(self) -> None:
        if self.program.pool:
            self.program.pool.close()


def samples(layer: Layer, shapes: Sequence[Shape], seed: int = 0, classes: int = 2) -> tuple[list[Array], dict[str, Array]]:
    """Random bottoms (all different, so that no maximum ties) and random parameters for a layer."""
    rng = np.random.default_rng(seed)
    trial = Trial(layer, shapes)
    xs: list[Array] = []
    for index, shape in enumerate(shapes):
        places = rng.permutation(shape.count) - shape.count / 2 + (index + 0.25) / len(shapes)
        spaced = places * (2.0 / max(shape.count, 8))
        xs.append(rng.integers(0, classes, shape) if shape.dtype == "index" else spaced.reshape(shape))
    params = {part.role: rng.standard_normal(part.shape) for part in trial.store.segments.values()}
    return xs, params


def check_gradient(
    layer: Layer,
    *shapes: Sequence[int],
    xs: Sequence[Array] | None = None,
    tolerance: float = 1e-6,
    step: float = 1e-6,
    seed: int = 0,
    classes: int = 2,
) -> None:
    """Holds backward against the slope of forward, in float64, along random directions of each bottom and parameter.

    slope = (L(z + h d) - L(z - h d)) / 2h with L = sum of r y for random r; CheckFailed where |slope - d . grad| exceeds
    tolerance max(1, |slope|).
    """
    full = [shape if isinstance(shape, Shape) else Shape(shape) for shape in shapes]
    drawn, params = samples(layer, full, seed, classes)
    values = list(xs if xs is not None else drawn)
    trial, rng = Trial(layer, full), np.random.default_rng(seed + 1)
    dys = [rng.standard_normal(shape) for shape in trial.promised]
    _, dxs, grads = trial.run(values, dys, params)

    def loss(xs: Sequence[Array], params: dict[str, Array]) -> float:
        tops, _, _ = trial.run(xs, dys, params)
        return float(sum((dy * top).sum() for dy, top in zip(dys, tops, strict=True)))

    def hold(name: str, slope: float, promised: float) -> None:
        if not abs(slope - promised) <= tolerance * max(1.0, abs(slope)):
            raise CheckFailed(
                f"{layer}: the gradient by {name} is {promised:.9g} along a direction where the slope is {slope:.9g}"
            )

    for index, dx in enumerate(dxs):
        if dx is not None:
            d = rng.standard_normal(full[index])
            moved = [[*values[:index], values[index] + sign * step * d, *values[index + 1 :]] for sign in (1, -1)]
            hold(f"bottom {index}", (loss(moved[0], params) - loss(moved[1], params)) / (2 * step), float((d * dx).sum()))
    for role, grad in grads.items():
        d = rng.standard_normal(grad.shape)
        both = [{**params, role: params[role] + sign * step * d} for sign in (1, -1)]
        hold(role, (loss(values, both[0]) - loss(values, both[1])) / (2 * step), float((d * grad).sum()))


def check_shapes(layer: Layer, *shapes: Sequence[int], classes: int = 2) -> None:
    """Every element of each top and gradient is written: what was there before does not matter."""
    full = [shape if isinstance(shape, Shape) else Shape(shape) for shape in shapes]
    xs, params = samples(layer, full, classes=classes)
    results = []
    for dirt in (0, 255):
        trial = Trial(layer, full)
        trial.memory.bytes[:] = dirt
        tops, dxs, _ = trial.run(xs, [np.ones(shape) for shape in trial.promised], params)
        results.append([array for array in [*tops, *dxs] if array is not None])
    for clean, dirty in zip(*results, strict=True):
        if not np.array_equal(clean, dirty, equal_nan=True):
            raise CheckFailed(f"{layer}: leaves part of a top or a gradient unwritten")


def check_backend(
    layer: Layer,
    backend: Reference,
    *shapes: Sequence[int],
    tolerance: float = 1e-5,
    fast: bool = True,
    seed: int = 0,
    classes: int = 2,
) -> None:
    """Holds a back end against the reference in float64: max abs error over max abs value of each array."""
    full = [shape if isinstance(shape, Shape) else Shape(shape) for shape in shapes]
    xs, params = samples(layer, full, seed, classes)
    one, other = Trial(layer, full), Trial(layer, full, backend, fast=fast)
    rng = np.random.default_rng(seed)
    dys = [rng.standard_normal(shape) for shape in one.promised]
    expected, found = one.run(xs, dys, params), other.run(xs, dys, params)
    other.close()
    pairs = [(f"top {i}", a, b) for i, (a, b) in enumerate(zip(expected[0], found[0], strict=True))]
    pairs += [(f"gradient by bottom {i}", a, b) for i, (a, b) in enumerate(zip(expected[1], found[1], strict=True))]
    pairs += [(f"gradient by {role}", a, found[2][role]) for role, a in expected[2].items()]
    for name, a, b in pairs:
        if a is not None and not np.abs(a - b).max(initial=0) <= tolerance * max(np.abs(a).max(initial=0), 1e-30):
            error = np.abs(a - b).max() / np.abs(a).max()
            raise CheckFailed(f"{layer}: {backend.name} differs from the reference by {error:.2g} in {name}")


def check_layer(layer: Layer, *shapes: Sequence[int], tolerance: float = 1e-6, classes: int = 2) -> None:
    """The whole exam for one layer and one set of bottoms."""
    check_shapes(layer, *shapes, classes=classes)
    check_gradient(layer, *shapes, tolerance=tolerance, classes=classes)
