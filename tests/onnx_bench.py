"""What the operators of the ONNX standard are said with: layers made from keys and run on arrays, and the list of operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from dltrain.checks import adapter
from dltrain.layer import Shape
from dltrain.ops.backend import Reference
from dltrain.registry import LAYERS
from dltrain.testing import Trial

Array = Any
NODES: dict[str, Callable[..., Any]] = {}


class Differs(Exception):
    """What dltrain has not, or has otherwise."""


class Bench:
    """Makes layers from keys, as a config does, and runs each on arrays, on one back end."""

    def __init__(self, backend: Reference) -> None:
        self.backend = backend

    def __call__(self, kind: str, *xs: Array, **keys: Any) -> Array:
        return self.tops(kind, *xs, **keys)[0]

    def tops(
        self, kind: str, *xs: Array, params: dict[str, Array] | None = None, states: dict[str, Array] | None = None,
        train: bool = False, kept: int | None = None, **keys: Any,
    ) -> list[Array]:  # fmt: skip
        """All tops.  `states` are the first values, and what they have become."""
        layer = adapter(LAYERS[kind]).validate_json(json.dumps(keys), strict=True)
        layer.kept = kept
        shapes = [Shape(x.shape, "index" if x.dtype.kind == "i" else "float") for x in xs]
        trial = Trial(layer, shapes, self.backend, train, fast=True)
        held = {name.split(".")[-1]: trial.memory.logical(state.handle) for name, state in trial.store.states.items()}
        for role, array in held.items():
            array[...] = (states or {})[role]
        tops, _, _ = trial.run(xs, [np.zeros(shape) for shape in trial.promised], params or {})
        if states is not None:
            states.update({role: array.copy() for role, array in held.items()})
        trial.close()
        return tops


def node(*names: str) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        NODES.update(dict.fromkeys(names, function))
        return function

    return register


def ints(values: Any) -> list[int]:
    return [int(value) for value in np.reshape(values, -1)]


def along(axis: int, x: Array) -> int:
    return axis + x.ndim if axis < 0 else axis


def param(**arrays: Array | None) -> dict[str, Array]:
    return {role: array for role, array in arrays.items() if array is not None}
