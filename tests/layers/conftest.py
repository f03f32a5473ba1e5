"""What the tests of the layers share: one layer, run by itself on the reference back end."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import dltrain.fillers
import dltrain.layers
import dltrain.ops.reference  # noqa: F401  (these three fill the registries)
from dltrain.errors import Refusal
from dltrain.layer import Layer, Shape, Tensor
from dltrain.ops.backend import Reference
from dltrain.testing import Trial


@dataclass
class Result:
    """The tops and gradients of one pass, and what the layer holds in its handles."""

    trial: Trial
    tops: list[Any]
    dxs: list[Any]
    grads: dict[str, Any]

    @property
    def y(self) -> Any:
        return self.tops[0]

    @property
    def dx(self) -> Any:
        return self.dxs[0]

    def held(self, handle: Tensor) -> Any:
        return self.trial.memory.logical(handle, self.trial.plan)

    @property
    def sums(self) -> list[float]:
        return [float(number) for number in self.held(self.trial.layer.sums)]


def run_layer(
    layer: Layer, *xs: Any, dy: Any = None, params: dict[str, Any] | None = None,
    train: bool = True, step: int = 0, dtype: Any = np.float64,
) -> Result:  # fmt: skip
    """Arrays of integers are indices; the gradient by a top is 1 everywhere unless `dy` says otherwise."""
    arrays = [np.asarray(x) for x in xs]
    shapes = [Shape(x.shape, "index" if x.dtype.kind in "iu" else "float") for x in arrays]
    trial = Trial(layer, shapes, Reference(dtype), train=train)
    dys = [np.ones(shape) for shape in trial.promised] if dy is None else [np.asarray(dy)]
    return Result(trial, *trial.run(arrays, dys, params or {}, step))


def hold_refusal(layer: Layer, shapes: list[Any], key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        Trial(layer, [shape if isinstance(shape, Shape) else Shape(shape) for shape in shapes])
    assert caught.value.key == key


@pytest.fixture
def run() -> Callable[..., Result]:
    return run_layer


@pytest.fixture
def refuses() -> Callable[..., None]:
    return hold_refusal
