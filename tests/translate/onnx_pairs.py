"""A layer alone as our graph and as a model of ONNX, and what onnxruntime makes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltrain.layer import Layer, Shape
from dltrain.ops.backend import Reference
from dltrain.testing import Trial
from dltrain.translate import to_onnx_model as models

Array = Any


class Alone(Trial):
    """A layer in phase test, in float32, whose states are numbers that a training might have left."""

    def __init__(self, layer: Layer, shapes: Sequence[Shape]) -> None:
        super().__init__(layer, shapes, Reference(np.float32), train=False)
        for blob in self.bottoms:
            self.graph.inputs[blob.data.name] = blob.data
        self.graph.blobs |= {blob.data.name: blob for blob in (*self.bottoms, *self.tops)}
        self.graph.layers["it"] = self.layer
        rng = np.random.default_rng(3)
        for state in self.store.states.values():
            held = self.memory.logical(state.handle)
            held[...] = rng.uniform(0.5, 2, held.shape)

    def values(self, params: dict[str, Array]) -> dict[Any, Array]:
        found = {part.handle.data: np.asarray(params[part.role], np.float32) for part in self.store.segments.values()}
        found |= {state.handle: self.memory.logical(state.handle).copy() for state in self.store.states.values()}
        return found | {scalar: np.zeros(1) for scalar in self.graph.scalars.values()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(blob.data.name for blob in self.tops)

    def model(self, other: Alone, params: dict[str, Array], opset: int = 17) -> Any:
        made, _ = models.write(self.graph, other.graph, self.values(params), self.names, opset)
        models.check(made)
        return made


def run(model: Any, feeds: dict[str, Array]) -> list[Array]:
    """The outputs of onnxruntime, for inputs of ours."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}
    cast = {name: x.astype(np.int64 if x.dtype.kind in "iu" else np.float32) for name, x in feeds.items() if name in wanted}
    return list(session.run(None, cast))


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]
