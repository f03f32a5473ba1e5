"""A layer alone, or a net, as our graph and as a model of ONNX, and what onnxruntime makes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltrain.engine import Engine
from dltrain.judgement import Judgement
from dltrain.layer import Layer, Shape
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.testing import Trial
from dltrain.translate import to_onnx_model as models
from dltrain.translate.to_onnx import open_traces
from tests import zoo

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


class Ready:
    """A net with numbers in it, and the arrays by which it is exported."""

    def __init__(self, net: Net, seed: int = 1) -> None:
        self.net, self.engine = net, Engine(net, Reference(np.float32))
        rng, held = np.random.default_rng(seed), zoo.weights(net, seed)
        for part in net.store.segments.values():
            self.engine.memory.logical(part.handle.data)[...] = held[part.name]
        for name, state in net.store.states.items():
            array = self.engine.memory.logical(state.handle)
            array[...] = 0 if "@" in name else rng.uniform(0.5, 1.5, array.shape)
        self.values = {part.handle.data: self.engine.memory.logical(part.handle.data) for part in net.store.segments.values()}
        inputs = [f"{line.name}.value" for line in net.lines if line.layer.type == "Input"]
        self.values |= {state.handle: self.engine.memory.logical(state.handle)
                        for name, state in net.store.states.items() if "@" not in name and name not in inputs}  # fmt: skip

    @property
    def ends(self) -> tuple[str, ...]:
        return Judgement(self.engine, {}).blobs

    def ours(self, batch: dict[str, Any], blobs: tuple[str, ...]) -> list[Any]:
        self.engine.forward("deploy", batch, upto=blobs)
        return [self.engine.blob(name) for name in blobs]

    def open(self, blobs: tuple[str, ...], size: int = 3) -> tuple[Any, Any]:
        return models.write(*open_traces(self.net, blobs, size), self.values, blobs)


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
