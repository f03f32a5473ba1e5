"""What an ONNX net is given, as fields of ours: which axis is the batch, and what the sizes of the others are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from dltrain.errors import ConfigError, DataError, did_you_mean
from dltrain.tensor import Shape
from dltrain.translate.names import readable, unique
from dltrain.translate.onnx_graph import BATCH, LARGEST, Blob

REAL = (1, 10, 11, 16)  # TensorProto.DataType: float, float16, double, bfloat16
WHOLE = (2, 3, 4, 5, 6, 7, 12, 13)
TRUTH = 9  # a mask, of ones and zeros here
PLACES = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "OneHot": 0}  # operators, and their input that says places in a table
MOVES = (
    "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Expand", "Slice", "Split", "Concat", "Tile", "Cast",
)  # fmt: skip
RECURRENT = ("RNN", "GRU", "LSTM")
BATCHES = ("batch", "batch_size", "batchsize", "bs", "n", "n_batch", "nbatch", "batch_dim")


def fields_of(
    path: Path, given: Sequence[Any], nodes: Sequence[Any], shapes: Mapping[str, Sequence[int]], otherwise: int = 0
) -> tuple[dict[str, Blob], int | None]:
    """The inputs by their names, and the batch that the file was written for; `otherwise` is its axis where nothing tells."""
    names = {value.name: readable(value.name, "data") for value in given}
    for name in shapes:
        if name not in names and name not in names.values():
            raise ConfigError(f"--shape {name}: there is no such input; {did_you_mean(name, names)}")
    made: dict[str, Blob] = {}
    batches: set[int | None] = set()
    wrong: list[str] = []
    for value in given:
        kind = value.type.tensor_type
        dims = list(kind.shape.dim)
        name = unique(names[value.name], [blob.name for blob in made.values()])
        said = shapes.get(value.name, shapes.get(names[value.name]))
        if int(kind.elem_type) not in (*REAL, *WHOLE, TRUTH) or (not dims and said is None):
            raise DataError(f"{path}: the input '{value.name}' is {'no array of numbers' if dims else 'one number, no batch'}")
        batch = batch_axis(value.name, dims, nodes, otherwise) if dims else 0
        sizes = [int(dim.dim_value) or None for dim in dims]
        rest = list(said) if said is not None else [size for axis, size in enumerate(sizes) if axis != batch]
        whole = [size for size in rest if size is not None and size > 0]
        if len(whole) < len(rest) or (said is not None and dims and len(said) != len(dims) - 1):
            wrong.append(f"'{value.name}' is {shown(dims, batch)}; say --shape {names[value.name]}={example(dims, batch)}")
            continue
        if prod(whole) > LARGEST:
            raise DataError(f"{path}: the input '{value.name}' claims {prod(whole):,} numbers a sample")
        real = int(kind.elem_type) in (*REAL, TRUTH) or becomes_real(value.name, nodes)
        made[value.name] = Blob(Shape((BATCH, *whole), "float" if real else "index"), batch, name=name)
        batches.add(sizes[batch] if dims else None)
    if wrong:
        raise DataError(f"{path}: the sizes of a sample must be known: the input {'; the input '.join(wrong)}")
    return made, batches.pop() if len(batches) == 1 else None


def batch_axis(name: str, dims: Sequence[Any], nodes: Sequence[Any], otherwise: int) -> int:
    """The axis that the file calls batch; the second of what a recurrent node reads time first."""
    called = [axis for axis, dim in enumerate(dims) if dim.dim_param.lower() in BATCHES]
    if called:
        return called[0]
    for node in nodes:
        time_major = not any(given.name == "layout" and given.i for given in node.attribute)
        if node.op_type in RECURRENT and time_major and len(dims) == 3 and name in (*node.input[:1], *node.input[5:7]):
            return 1
    return min(otherwise, len(dims) - 1)


def becomes_real(name: str, nodes: Sequence[Any]) -> bool:
    """Whole numbers, such as pixels or a mask, that count: everything but places in a table, however they are moved about."""
    waiting, seen = [name], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in (node for node in nodes if name in node.input):
            where = PLACES.get(node.op_type, len(node.input))
            if where < len(node.input) and node.input[where] == name:
                return False
            if node.op_type in MOVES:
                waiting += [output for output in node.output if output not in seen]
    return len(seen) > 1 or any(name in node.input for node in nodes)


def shown(dims: Sequence[Any], batch: int) -> str:
    return " x ".join("N" if axis == batch else str(dim.dim_value or dim.dim_param or "?") for axis, dim in enumerate(dims))


def example(dims: Sequence[Any], batch: int) -> str:
    rest = [str(dim.dim_value or "?") for axis, dim in enumerate(dims) if axis != batch]
    return ",".join(rest) or "?"
