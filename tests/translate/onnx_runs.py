"""An ONNX file run twice: through ours, after the import, and through onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dltrain import config as configs
from dltrain.console import Console
from dltrain.launch import begin_with, engine_of
from dltrain.translate.onnx_import import imported
from dltrain.translate.write import write

Array = Any


class Silent(Console):
    def result(self, values: dict[str, Any], text: str) -> None:
        pass


def node(op: str, inputs: str, outputs: str, **keys: Any) -> Any:
    """A node; its inputs and outputs with blanks between."""
    return helper.make_node(op, inputs.split(), outputs.split(), **keys)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def model(
    nodes: Sequence[Any], inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str], opset: int = 17, kind: int = TensorProto.FLOAT,
    **weights: Array,
) -> Any:  # fmt: skip
    """A model of nodes; `weights` are its initializers."""
    given = [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "net", given, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="tests")


def saved(made: Any, folder: Path) -> Path:
    path = folder / "net.onnx"
    onnx.save(made, path)
    return path


def theirs(path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds))))


def ours(path: Path, feeds: Mapping[str, Array], device: str = "reference", shapes: Any = None) -> dict[str, Array]:
    """The outputs by the file's names, with the batch where the file has it."""
    with tempfile.TemporaryDirectory() as folder:
        made = imported(path, shapes)
        write(made.draft, Path(folder), True, Silent(), head=made.head)
        config = configs.read(Path(folder) / f"{made.draft.name}.yaml", need_solver=False)
        engine = engine_of(config, device, with_solver=False)
        begin_with(config, engine, ())
        fields = config.net.fields
        batch = {
            field: np.ascontiguousarray(np.moveaxis(feeds[name], axis, 0)).astype(np.float32 if fields[field].dtype == "float" else np.int32)
            for name, (field, axis) in made.inputs.items() if field in fields
        }  # fmt: skip
        blobs = tuple(dict.fromkeys(name for name, _ in made.outputs.values()))
        engine.forward("deploy", batch, upto=blobs)
        found = {name: np.moveaxis(engine.blob(blob), 0, axis) for name, (blob, axis) in made.outputs.items()}
        engine.close()
        return {
            name: Rows(array) if any(f"'{name}' is" in note for note in made.draft.notes) else array
            for name, array in found.items()
        }


class Rows(np.ndarray):
    """An output whose samples share an axis with others in the file, and not here."""

    def __new__(cls, array: Array) -> Array:
        return np.ascontiguousarray(array).view(cls)


def as_in_file(array: Array, shape: tuple[int, ...]) -> Array:
    return array.reshape(shape) if isinstance(array, Rows) else array


def agree(
    made: Any, folder: Path, feeds: Mapping[str, Array] | None = None, device: str = "reference", rtol: float = 1e-5
) -> dict[str, Array]:
    """Holds ours against theirs, and the shapes, too; returns ours."""
    path = saved(made, folder)
    if feeds is None:
        rng = np.random.default_rng(0)
        held = {tensor.name for tensor in made.graph.initializer}
        feeds = {
            value.name: rng.standard_normal([dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]).astype(np.float32)
            for value in made.graph.input if value.name not in held
        }  # fmt: skip
    found, expected = ours(path, feeds, device), theirs(path, feeds)
    found = {name: as_in_file(array, expected[name].shape) for name, array in found.items()}
    for name, array in found.items():
        assert array.shape == expected[name].shape, (name, array.shape, expected[name].shape)
        largest = np.abs(expected[name]).max(initial=0)
        np.testing.assert_allclose(array, expected[name], rtol=rtol, atol=rtol * max(1.0, float(largest)))
    assert found.keys() == expected.keys()
    return found
