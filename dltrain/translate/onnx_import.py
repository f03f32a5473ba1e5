"""dltrain import onnx: a net that another program has written, node by node, with its weights."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import catalogue  # noqa: F401  fills the registries
from dltrain.console import Console
from dltrain.errors import DataError
from dltrain.tensor import Shape
from dltrain.translate import onnx_einsum, onnx_masks, onnx_moves, onnx_recurrent, onnx_sums, onnx_windows  # noqa: F401  fill NODES
from dltrain.translate.draft import Draft
from dltrain.translate.names import readable
from dltrain.translate.onnx_draft import drafted
from dltrain.translate.onnx_draft import spoken as spoken_blob
from dltrain.translate.onnx_file import Tensors, attributes, load, opset
from dltrain.translate.onnx_fold import FOLDS, At, first_line, folded
from dltrain.translate.onnx_formulas import NODES
from dltrain.translate.onnx_graph import BATCH, Blob, Differs, Graph
from dltrain.translate.onnx_inputs import RECURRENT, fields_of
from dltrain.translate.onnx_kinds import KINDS, TRUTH, kind_known, kind_made, refuse
from dltrain.translate.onnx_patterns import recognise
from dltrain.translate.onnx_rows import over_rows
from dltrain.translate.onnx_tidy import tidy
from dltrain.translate.write import some, write

BROKEN = object()  # the output of a node that could not be said
LOST = object()  # and of one that could not be worked out
UNMADE = object()  # an output that ours does not make
HALF = 10  # TensorProto.DataType of float16


@dataclass
class Imported:
    """A draft, the words for the top of its config, and of the file's inputs and outputs our name and the axis of the batch."""

    draft: Draft
    head: str
    inputs: dict[str, tuple[str, int]]
    outputs: dict[str, tuple[str, int]]


def import_onnx(file: str, out: Path, shapes: Mapping[str, Sequence[int]], force: bool, console: Console) -> dict[str, Any]:
    """dltrain import onnx FILE -o DIR"""
    made = imported(Path(file), shapes)
    return write(made.draft, out, force, console, head=made.head)


def imported(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Imported:
    """The net of a file.  DataError names every operator that has no layer."""
    model = load(path)
    reading = read(path, model, shapes or {})
    outputs = reading.outputs()
    recognise(reading.net)
    tidy(reading.net, outputs)
    draft = drafted(reading.net, reading.fields, outputs)
    draft.name = readable(path.stem, "net")
    draft.notes = [f"{note} ({count} times)" if count > 1 else note for note, count in Counter(reading.net.notes).items()]
    if any(int(tensor.data_type) == HALF for tensor in model.graph.initializer):
        draft.notes.append("weights of 16 bits became float32")
    made = Imported(
        draft, "", {name: (blob.name, blob.batch) for name, blob in reading.fields.items()},
        {name: (str(spoken_blob(blob)), blob.batch) for name, blob in outputs.items()},
    )  # fmt: skip
    producer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    made.head = f"{draft.name}, from {path.name} (ONNX, opset {reading.opset}{', by ' + producer if producer else ''})."
    for what, blobs in (("input", made.inputs), ("output", made.outputs)):
        made.head += "".join(f"\nThe {what} {name} is {said[0]}." for name, said in blobs.items() if name != said[0])
    return made


def read(path: Path, model: Any, shapes: Mapping[str, Sequence[int]]) -> Reading:
    """All nodes.  Where they do not go together the batch may be a number that the file repeats, or stand on the second axis."""
    recurrent = any(one.op_type in RECURRENT for one in model.graph.node)
    first = Reading(path, model).all(shapes)
    sequences = recurrent or any(blob.ndim == 3 and not blob.batch for blob in first.fields.values())
    ways = [(0, True)] * bool(first.net.fixed) + [(1, False), (1, True)] * sequences
    for otherwise, literal in ways if first.troubles else ():
        try:
            other = Reading(path, model, otherwise, literal).all(shapes)
        except DataError:  # the sizes of a sample are not known that way
            continue
        if not other.troubles:
            if otherwise and not recurrent:
                other.net.notes.append(
                    "nothing says where the batch is: on the first axis the net cannot be said, so it is the second"
                )
            return other
    first.raise_troubles()
    return first


class Reading:
    """A file on its way into a graph of ours: what each name stands for, and what went wrong."""

    def __init__(self, path: Path, model: Any, otherwise: int = 0, literal: bool = False) -> None:
        """`otherwise` is the axis of the batch where nothing tells; where `literal`, Shape says the number that the file has."""
        self.path, self.graph, self.otherwise, self.literal = path, model.graph, otherwise, literal
        self.opset = opset(model, path)
        self.tensors = Tensors(path, self.graph.initializer)
        self.net = Graph()
        self.values: dict[str, Any] = {}
        self.fields: dict[str, Blob] = {}
        self.kinds = {value.name: KINDS.get(int(value.type.tensor_type.elem_type)) for value in self.graph.input}
        self.troubles: dict[tuple[str, str], list[str]] = {}  # (operator, why) -> nodes
        self.needed = self.above([output.name for output in self.graph.output])
        if self.graph.sparse_initializer:
            raise DataError(f"{path}: has sparse weights, which are not read; export it with full ones")

    def above(self, names: list[str]) -> list[Any]:
        """The nodes that the outputs need, in the order of the file."""
        makers: dict[str, int] = {}
        for number, one in enumerate(self.graph.node):
            for name in filter(None, one.output):
                if name in makers or name in self.tensors:
                    raise DataError(f"{self.path}: '{name}' is made twice; the file is damaged")
                makers[name] = number
        found: set[int] = set()
        while names:
            number = makers.get(names.pop(), -1)
            if number >= 0 and number not in found:
                found.add(number)
                names += read_by(self.graph.node[number])
        return [self.graph.node[number] for number in sorted(found)]

    def all(self, shapes: Mapping[str, Sequence[int]]) -> Reading:
        self.begin(shapes)
        for one in self.needed:
            self.take(one)
        return self

    def begin(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """What the net is given."""
        read = {name for one in self.needed for name in read_by(one)} | {output.name for output in self.graph.output}
        given = [value for value in self.graph.input if value.name in read and value.name not in self.tensors]
        self.fields, self.net.fixed = fields_of(self.path, given, self.needed, shapes, self.otherwise)
        self.values |= self.fields
        for name, blob in self.fields.items():
            if self.kinds.get(name) == TRUTH:
                self.net.notes.append(f"the input '{blob.name}' is true or false in the file: give it 1 or 0")
        rows = {tensor.name: int(tensor.dims[0]) for tensor in self.graph.initializer if tensor.dims}
        for one in self.needed:  # what is compared may be looked up later
            if one.op_type == "Gather" and one.input[1:2] and one.input[0] in rows and one.input[1] in self.fields:
                self.net.classes[self.fields[one.input[1]].name] = rows[one.input[0]]
        if not self.fields:
            raise DataError(f"{self.path}: its net reads nothing: what it gives is constant")

    def value(self, name: str) -> Any:
        if not name:
            return None
        if name not in self.values and name in self.tensors:
            return self.tensors[name]
        if name not in self.values:
            raise DataError(f"{self.path}: node '{spoken(self.net.node)}' reads '{name}', which nothing before it makes")
        return self.values[name]

    # --- one node ---
    def take(self, one: Any) -> None:
        """What a node makes: constants are worked out, blobs become layers."""
        self.net.node = one
        inputs = [self.value(name) for name in one.input]
        at = attributes(one, self.tensors.array) | {"op": one.op_type, "outputs": len(one.output), "opset": self.opset}
        at["kinds"] = [kind_known(value, name, self.kinds) for value, name in zip(inputs, one.input)]
        at["makes"] = kind_made(one.op_type, at.get("to"), at["kinds"])
        self.kinds |= dict.fromkeys(one.output, at["makes"])
        try:
            made = self.made(one, at, inputs)
        except Differs as why:
            self.troubles.setdefault((one.op_type, str(why)), []).append(spoken(one))
            made = [self.missing(one, inputs)] * len(one.output)
        made = [*made, *[UNMADE] * (len(one.output) - len(made))]
        self.values |= {name: UNMADE if value is None else value for name, value in zip(one.output, made) if name}

    @staticmethod
    def missing(one: Any, inputs: list[Any]) -> Any:
        """What stands for the outputs of a node that cannot be said: a blob of the net, or a constant."""
        blobs = any(isinstance(x, Blob) or x is BROKEN for x in inputs)
        return BROKEN if blobs and one.op_type not in ("Shape", "Size") else LOST

    def choose(self, one: Any, condition: Any) -> list[Any]:
        """An If whose condition is known: the nodes of one branch, as if they stood here."""
        if not isinstance(condition, np.ndarray):
            raise Differs("chooses by what the net computes")
        wanted = "then_branch" if condition.all() else "else_branch"
        branch = next((given.g for given in one.attribute if given.name == wanted), None)
        if branch is None or len(branch.output) != len(one.output):
            raise Differs(f"has no {wanted} for its outputs")
        self.values |= {tensor.name: self.tensors.array(tensor) for tensor in branch.initializer}
        for inner in branch.node:
            self.take(inner)
        return [self.value(output.name) for output in branch.output]

    def made(self, one: Any, at: At, inputs: list[Any]) -> list[Any]:
        op, blobs = one.op_type, [x for x in inputs if isinstance(x, Blob)]
        if op == "If" and inputs and inputs[0] is not LOST:
            return self.choose(one, inputs[0])
        known = one.domain in ("", "ai.onnx") or (one.domain == "ai.onnx.ml" and op == "Binarizer")
        if not known or (op not in NODES and op not in FOLDS and op != "If"):
            raise Differs(f"of the domain {one.domain}, which is not read" if not known else "there is no such layer")
        if any(x is BROKEN or x is LOST for x in inputs):
            missing = self.missing(one, inputs)
            if missing is BROKEN and op not in NODES:
                raise Differs("there is no such layer")
            return [missing] * len(one.output)
        if any(x is UNMADE for x in inputs):
            raise Differs("reads an output that is not made here, such as the mask of a Dropout")
        if blobs and op in ("Shape", "Size"):
            each = self.net.fixed if self.literal and self.net.fixed else BATCH
            sizes = [size // BATCH * each if size % BATCH == 0 else size for size in blobs[0].sizes]
            part = sizes[slice(at.get("start", 0), at.get("end"))]
            return [np.array(part if op == "Shape" else prod(sizes), np.int64)]
        if not blobs:
            if op not in FOLDS:
                raise Differs("of constants alone, and not worked out")
            bound(FOLDS[op], at, inputs)
            return folded(at, inputs)
        if op not in NODES:
            raise Differs("there is no such layer")
        bound(NODES[op], self.net, [at, *inputs])
        refuse(op, at, at["kinds"])
        shares = any(any(x.beside) for x in blobs)
        try:
            made = over_rows(self.net, at, NODES[op], inputs) if shares else NODES[op](self.net, at, *inputs)
        except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError, OverflowError) as error:
            raise Differs(f"its attributes and inputs do not go together ({first_line(error)})") from None
        return list(made) if isinstance(made, list) else [made]

    # --- the end ---
    def raise_troubles(self) -> None:
        """All that cannot be said, operator by operator, in one message."""
        if not self.troubles:
            return
        rows = []
        for (op, why), nodes in self.troubles.items():
            often = "once" if len(nodes) == 1 else f"{len(nodes)} times"
            rows.append(f"  {op}, {often} ({some(nodes)}): {why}")
        raise DataError(f"{self.path}: not all of the net can be said in layers; nothing was written:\n" + "\n".join(rows))

    def outputs(self) -> dict[str, Blob]:
        """What the net gives, by the file's names; one that others read, or that is a further top, is copied out."""
        made: dict[str, Blob] = {}
        for output in self.graph.output:
            self.net.node = None
            value = self.value(output.name)
            if not isinstance(value, Blob):
                what = "constant" if isinstance(value, np.ndarray) else "not made here"
                self.net.notes.append(f"the output '{output.name}' is {what}: left out")
            else:
                made[output.name] = value
                if any(value.beside):
                    words = f"{Shape(value.shape[1:])} a sample here; in the file its samples share an axis with others"
                    self.net.notes.append(f"the output '{output.name}' is {words}")
        if not made:
            raise DataError(f"{self.path}: none of its outputs depends on what it reads")
        return made


def bound(function: Any, first: Any, rest: list[Any]) -> None:
    """Refuses a node with too few or too many inputs."""
    try:
        inspect.signature(function).bind(first, *rest)
    except TypeError as error:
        raise Differs(f"its inputs are too few or too many ({error})") from None


def read_by(one: Any) -> list[str]:
    """The names that a node reads, those within its branches included."""
    inner = [name for given in one.attribute if given.type == 5 for node in given.g.node for name in read_by(node)]
    return [*filter(None, one.input), *inner]


def spoken(one: Any) -> str:
    """What a person calls a node."""
    return str(one.name or next(filter(None, one.output), one.op_type)) if one is not None else "the outputs"
