"""An ONNX graph in the making: names, constants and nodes, written call by call from a graph of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from dltrain.errors import DataError
from dltrain.graph import Graph
from dltrain.layer import Layer
from dltrain.ops.signature import Call
from dltrain.tensor import Tensor

Value = Tensor | str
Writer = Callable[..., None]
WRITERS: dict[str, Writer] = {}  # op -> what writes its calls, given the sheet and the op's own arguments


class Unsayable(Exception):
    """ONNX has nothing for what a call does: why."""


class Fixed(Exception):
    """Something hangs on the number of samples, so that this cannot be left open: what."""


def says(*ops: str) -> Callable[[Writer], Writer]:
    """Registers what writes the calls of these ops."""

    def register(function: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(ops, function))
        return function

    return register


def need_onnx() -> Any:
    """The library, or the one line that says what is missing."""
    try:
        import onnx
    except ImportError:
        raise DataError("export onnx: onnx is missing, which writes these files: pip install 'dltrain[onnx]'") from None
    return onnx


class Sheet:
    """Of two traces of one graph, whose samples differ in number, the sizes that differ are the free ones.

    `arrays` are the values of parameters, states and numbers.  What hangs on nothing else is computed here, and becomes a
    constant.  A value is called as the blob, parameter or buffer of ours that it is; a node as the blob it makes.
    """

    def __init__(self, graph: Graph, other: Graph, arrays: dict[Tensor, Any], opset: int) -> None:
        self.onnx = need_onnx()
        self.graph, self.opset, self.arrays = graph, opset, dict(arrays)
        self.free = dict(freedom(graph, other))
        self.readers: dict[Tensor, list[Call]] = {}
        self.makers: dict[Tensor, Call] = {}
        for call in graph.calls:
            for tensor in call.reads():
                self.readers.setdefault(tensor, []).append(call)
            self.makers |= dict.fromkeys(call.writes(), call)
        self.names: dict[Tensor, str] = {}
        self.taken = {*graph.blobs, *graph.inputs}
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: dict[str, tuple[Any, list[Any]]] = {}  # name -> type and shape
        self.outputs: dict[str, tuple[Any, list[Any]]] = {}
        self.carried: dict[str, str] = {}  # input -> the output that goes on in it in the next run
        self.done: set[Call] = set()
        for name, tensor in graph.inputs.items():
            self.names[tensor] = name
            self.inputs[name] = self.typed(tensor)

    # --- calls ---
    def write(self) -> dict[str, str]:
        """All calls; returns layer -> why it cannot be said."""
        wrong: dict[str, str] = {}
        for call in self.graph.calls:
            if call in self.done or self.fold(call):
                continue
            self.call = call
            try:
                if call.op.name not in WRITERS:
                    raise Unsayable(f"nothing in ONNX does what {call.op.name} does")
                WRITERS[call.op.name](self, **call.args)
            except Unsayable as reason:
                wrong.setdefault(call.layer, str(reason))
                self.names |= {tensor: tensor.name for tensor in call.writes()}  # so that what reads it is looked at, too
        return wrong

    @property
    def layer(self) -> Layer:
        """Whose call is being written."""
        return self.graph.layers[self.call.layer]

    def fold(self, call: Call) -> bool:
        """Computes what hangs on constants only, by the op's own definition."""
        outs = [tensor for _, tensor in call.uses("out")]
        if any(call.uses("update", "add")) or any(any(self.free.get(tensor, ())) for tensor in outs):
            return False
        if not all(tensor in self.arrays for tensor in call.reads()) or call.op.name not in WRITERS:
            return False
        for tensor in outs:
            self.arrays[tensor] = np.empty(tensor.shape, np.float32 if tensor.dtype == "float" else np.int64)

        def of(value: Any) -> Any:
            if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
                return tuple(map(of, value))
            return self.arrays[value] if isinstance(value, Tensor) else value

        call.op.function(**{name: of(value) for name, value in call.args.items()})
        return True

    def is_read(self, tensor: Tensor | None) -> bool:
        return tensor is not None and tensor in self.readers

    # --- names ---
    def fresh(self, name: str) -> str:
        """The name, with a number where it is taken."""
        number, made = 1, name
        while made in self.taken:
            number += 1
            made = f"{name}/{number}"
        self.taken.add(made)
        return made

    def is_blob(self, tensor: Tensor) -> bool:
        blob = self.graph.blobs.get(tensor.name)
        return blob is not None and blob.data is tensor

    def named(self, tensor: Tensor) -> str:
        """What a tensor that is about to be made is called."""
        self.names[tensor] = tensor.name if self.is_blob(tensor) else self.fresh(tensor.name)
        return self.names[tensor]

    def name(self, value: Value) -> str:
        """What a value that exists is called."""
        if isinstance(value, str):
            return value
        if value not in self.names:
            self.names[value] = self.constant(tensor_name(value), self.arrays[value])
        return self.names[value]

    # --- constants ---
    def array(self, tensor: Tensor) -> Any:
        """The value of a parameter; refused where it hangs on what the net reads."""
        if tensor not in self.arrays:
            raise Unsayable(f"its {tensor.name.rpartition('.')[2]} is not constant")
        return self.arrays[tensor]

    def constant(self, name: str, array: Any) -> str:
        """A constant, once: one of another shape or value gets a number behind its name."""
        array = np.asarray(array, np.float32 if np.asarray(array).dtype.kind == "f" else np.int64, order="C")
        made, number = name, 1
        while made in self.constants and not same(self.constants[made], array):
            number += 1
            made = f"{name}/{number}"
        if made not in self.constants:
            made = self.fresh(made)
            self.constants[made] = array
        return made

    def number(self, value: float) -> str:
        return self.constant(f"number {value!r}", np.float32(value))

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(f"sizes {' '.join(map(str, values))}", np.array(values, np.int64))

    # --- nodes ---
    def node(self, kind: str, inputs: Sequence[Value | None], out: Value | list[Any] | None = None, **keys: Any) -> str:
        """Adds a node; returns the name of its first output.  `out` is what it makes, or several; None for a step between."""
        outs: list[Any] = out if isinstance(out, list) else [out]
        label = f"{self.call.layer}/{kind}"
        made: list[str] = [self.named(o) if isinstance(o, Tensor) else self.fresh(label) if o is None else o for o in outs]
        blob = isinstance(outs[0], Tensor) and self.is_blob(outs[0])
        names = ["" if value is None else self.name(value) for value in inputs]
        while names and not names[-1]:
            names.pop()
        name = made[0] if blob or made[0].startswith(label) else self.fresh(label)
        self.nodes.append(self.onnx.helper.make_node(kind, names, made, name=name, **keys))
        return made[0]

    def alias(self, tensor: Tensor, value: Value) -> None:
        """A tensor that is another under a second name; what the last node has made only for it takes its name."""
        last = self.nodes[-1] if self.nodes else None
        if not self.is_blob(tensor):
            self.names[tensor] = self.name(value)
        elif last is not None and last.output[0] == value and isinstance(value, str):
            last.name = last.output[0] = self.named(tensor)
        else:
            self.node("Identity", [value], tensor)

    def reduce(self, kind: str, x: Value, axes: Sequence[int], keep: bool = True, out: Tensor | None = None) -> str:
        """ReduceMean and kin, whose axes became an input in opset 18 (of ReduceSum in 13)."""
        if self.opset >= 18 or kind == "ReduceSum":
            return self.node(kind, [x, self.ints(axes)], out, keepdims=int(keep))
        return self.node(kind, [x], out, axes=list(axes), keepdims=int(keep))

    def shaped(self, x: Value, shape: Sequence[int], out: Tensor | None = None) -> str:
        """Reshape, 0 and -1 as ONNX has them."""
        return self.node("Reshape", [x, self.ints(shape)], out)

    def turned(self, x: Value, order: Sequence[int], out: Tensor | None = None) -> str:
        if list(order) == sorted(order) and out is None:
            return self.name(x)
        return self.node("Transpose", [x], out, perm=list(order))

    def sliced(self, x: Value, axis: int, start: int, stop: int, out: Tensor | None = None, step: int = 1) -> str:
        steps = [] if step == 1 else [self.ints([step])]
        return self.node("Slice", [x, self.ints([start]), self.ints([stop]), self.ints([axis]), *steps], out)

    @contextmanager
    def body(self) -> Iterator[list[Any]]:
        """Nodes that are written in between go into a graph of their own."""
        outer, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = outer

    # --- sizes ---
    def is_free(self, tensor: Tensor) -> tuple[bool, ...]:
        return self.free.get(tensor, (False,) * len(tensor.shape))

    def sizes(self, tensor: Tensor) -> list[Any]:
        """The shape for a reader: N for a free number of samples, K for a number that only the run knows."""
        batch = self.graph.demand.sizes[0]
        return ["N" if free and n == batch else "K" if free else n for n, free in zip(tensor.shape, self.is_free(tensor))]

    def typed(self, tensor: Tensor) -> tuple[Any, list[Any]]:
        kind = self.onnx.TensorProto
        return kind.FLOAT if tensor.dtype == "float" else kind.INT64, self.sizes(tensor)

    def shape_of(self, tensor: Tensor) -> str:
        """The shape as a value; of what has the batch's free number of samples, that of an input."""
        free = self.is_free(tensor)
        if not any(free):
            return self.ints(tensor.shape)
        source = next((name for name, (_, sizes) in self.inputs.items() if sizes[:1] == ["N"]), None)
        if any(free[1:]) or source is None or self.sizes(tensor)[0] != "N":
            raise Fixed(f"the size of {tensor.name}")
        batch = self.node("Shape", [source], start=0, end=1)
        return self.node("Concat", [batch, self.ints(tensor.shape[1:])], axis=0) if len(tensor.shape) > 1 else batch


def same(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and a.dtype == b.dtype and (a is b or np.array_equal(a, b, equal_nan=a.dtype.kind == "f")))


def tensor_name(tensor: Tensor) -> str:
    """Statistics that are ready for use are called as the states they come from."""
    layer, dot, role = tensor.name.rpartition(".")
    return f"{layer}{dot}{role.removeprefix('batch_')}"


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for one in value if isinstance(one, Tensor)] if isinstance(value, tuple) else []


def freedom(graph: Graph, other: Graph) -> Iterator[tuple[Tensor, tuple[bool, ...]]]:
    """Each tensor with what of its shape is another in the other trace."""
    if [call.op.name for call in graph.calls] != [call.op.name for call in other.calls]:
        raise Fixed("the calls of the net")
    pairs = list(zip(graph.inputs.values(), other.inputs.values(), strict=True))
    for call, twin in zip(graph.calls, other.calls):
        for name, value in call.args.items():
            ours, theirs = tensors(value), tensors(twin.args[name])
            pairs += zip(ours, theirs, strict=True)
            if not ours and value != twin.args[name]:
                raise Fixed(f"{name} of {call.layer}")
    for a, b in pairs:
        if len(a.shape) != len(b.shape):
            raise Fixed(f"the shape of {a.name}")
        yield a, tuple(m != n for m, n in zip(a.shape, b.shape))
