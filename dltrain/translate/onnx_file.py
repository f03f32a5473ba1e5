"""An ONNX file read with care: what it claims is held against what it holds before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.errors import DataError

MOST = 1 << 26  # numbers that anything may have which the file itself does not hold
NEWEST = 30  # opset: meanings of operators that we know of do not change further

# TensorProto.DataType: its NumPy type, and the field that holds numbers which are not raw
TYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"), 2: ("u1", "int32_data"), 3: ("i1", "int32_data"), 4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"), 6: ("<i4", "int32_data"), 7: ("<i8", "int64_data"), 9: ("?", "int32_data"),
    10: ("<f2", "int32_data"), 11: ("<f8", "double_data"), 12: ("<u4", "uint64_data"), 13: ("<u8", "uint64_data"),
    16: ("<u2", "int32_data"),
}  # fmt: skip
HALF, BRAIN = 10, 16  # types whose numbers, where not raw, are their bits
EXTERNAL = 1
NODES = 200_000  # that functions may lay out to


def load(path: Path) -> Any:
    """The model of a file; DataError where it is none, or is damaged."""
    try:
        import onnx
    except ImportError:
        raise DataError("import onnx: onnx is missing, which reads these files: pip install 'dltrain[onnx]'") from None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own classes differ from version to version
        words = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise DataError(f"{path}: is damaged, cut short or no ONNX file ({words})") from None
    if not model.graph.node:
        raise DataError(f"{path}: holds no net: is it an ONNX file, and whole?")
    if model.functions:
        hold_functions(model, path)
        model = inlined(model, path)
    return model


def hold_functions(model: Any, path: Path) -> None:
    """Refuses functions that would grow without end when they are laid out: each may call others many times."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Any, depth: int) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in bodies and key not in sizes:
                if depth > len(bodies):
                    raise DataError(f"{path}: its function {node.op_type} calls itself; the file is damaged")
                sizes[key] = size(bodies[key], depth + 1)
            total += sizes.get(key, 1)
            if total > NODES:
                raise DataError(f"{path}: its functions lay out to more than {NODES:,} nodes; export it without functions")
        return total

    size(model.graph.node, 0)


def inlined(model: Any, path: Path) -> Any:
    """The model with its own functions laid out, as newer exporters write them."""
    try:
        from onnx.inliner import inline_local_functions

        return inline_local_functions(model)
    except Exception as error:
        words = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise DataError(f"{path}: its functions cannot be laid out ({words}); export it without functions") from None


def opset(model: Any, path: Path) -> int:
    """The version of the standard operators."""
    found = max((int(said.version) for said in model.opset_import if said.domain in ("", "ai.onnx")), default=1)
    if not 1 <= found <= NEWEST:
        raise DataError(f"{path}: is written in opset {found}, and 1 to {NEWEST} are read; export it with an older one")
    return found


class Tensors:
    """The arrays of a file by name, each read when it is asked for and never larger than what the file holds."""

    def __init__(self, path: Path, initializers: Iterable[Any]) -> None:
        self.path, self.folder = path, path.parent.resolve()
        self.held: dict[str, Any] = {}
        self.claimed: dict[Path, int] = {}  # bytes of each further file that tensors have claimed
        self.mapped: dict[tuple[Path, int, int], Any] = {}
        for tensor in initializers:
            if tensor.name in self.held:
                raise self.wrong(tensor.name, "stands twice")
            self.held[tensor.name] = tensor
        self.made: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.held

    def __getitem__(self, name: str) -> Any:
        if name not in self.made:
            self.made[name] = self.array(self.held[name])
        return self.made[name]

    def wrong(self, name: str, words: str) -> DataError:
        return DataError(f"{self.path}: the tensor '{name}' {words}; the file is damaged, or not whole")

    def array(self, tensor: Any) -> Any:
        """Of NumPy's type for its own; numbers that float32 does not have (bfloat16) as float32."""
        shape, kind = tuple(int(size) for size in tensor.dims), int(tensor.data_type)
        if any(size < 0 for size in shape):
            raise self.wrong(tensor.name, f"claims the shape {list(shape)}")
        if kind not in TYPES:
            raise self.wrong(tensor.name, f"is of a type (number {kind}) that a net of ours has not")
        name, field = TYPES[kind]
        dtype = np.dtype(name)
        if tensor.data_location == EXTERNAL:
            flat = self.external(tensor, dtype, prod(shape))
        elif tensor.raw_data:
            self.hold(tensor.name, shape, len(tensor.raw_data), dtype.itemsize)
            flat = np.frombuffer(tensor.raw_data, dtype)
        else:
            given = getattr(tensor, field)
            self.hold(tensor.name, shape, len(given), 1)
            flat = np.array(given, np.uint16).view(dtype) if kind in (HALF, BRAIN) else np.array(given).astype(dtype)
        if kind == BRAIN:
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(shape)

    def hold(self, name: str, shape: tuple[int, ...], have: int, each: int) -> None:
        """What a tensor claims, against what there is of it."""
        if prod(shape) * each != have:
            what = "numbers" if each == 1 else "bytes"
            raise self.wrong(name, f"claims {prod(shape) * each:,} {what} by its shape {list(shape)} and holds {have:,}")

    def external(self, tensor: Any, dtype: Any, count: int) -> Any:
        """Numbers in a file beside this one, which is left on the disk."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        file = self.beside(tensor.name, said.get("location", ""))
        try:
            offset, size = int(said.get("offset", 0)), file.stat().st_size
            length = int(said.get("length", count * dtype.itemsize))
        except (ValueError, OSError) as error:
            raise self.wrong(tensor.name, f"lies in {file}, which cannot be read ({error})") from None
        if length != count * dtype.itemsize or offset < 0 or offset + length > size:
            words = f"claims {count * dtype.itemsize:,} bytes at {offset:,} of {file}, which has {size:,}"
            raise self.wrong(tensor.name, words)
        place = (file, offset, length)
        if place not in self.mapped:
            self.claimed[file] = self.claimed.get(file, 0) + length
            if self.claimed[file] > size:
                raise self.wrong(tensor.name, f"overlaps with others: together they claim more than {file} has")
            self.mapped[place] = np.memmap(file, dtype, "r", offset, (count,)) if count else np.empty(0, dtype)
        return self.mapped[place].view(dtype)

    def beside(self, name: str, location: str) -> Path:
        """A file in the folder of this one, or below it."""
        if not location or "\0" in location or Path(location).is_absolute():
            raise self.wrong(name, f"lies in '{location}', and a file must say one in its own folder")
        file = (self.folder / location).resolve()
        if not file.is_relative_to(self.folder):
            raise self.wrong(name, f"lies in '{location}', outside the folder of the file, and is not read")
        if not file.is_file():
            raise DataError(f"{self.path}: needs {file}, which is not there; put it beside the file, under this name")
        return file


def attributes(node: Any, array: Callable[[Any], Any]) -> dict[str, Any]:
    """The attributes of a node as plain values; tensors as arrays; graphs are left out."""
    made: dict[str, Any] = {}
    for given in node.attribute:
        kind = int(given.type)
        if kind in (1, 2, 3):
            value: Any = {1: given.f, 2: given.i, 3: given.s}[kind]
        elif kind in (6, 7, 8):
            value = list({6: given.floats, 7: given.ints, 8: given.strings}[kind])
        elif kind == 4:
            value = array(given.t)
        else:
            continue
        made[given.name] = text(value)
    return made


def text(value: Any) -> Any:
    """Bytes as text."""
    if isinstance(value, list):
        return [text(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
