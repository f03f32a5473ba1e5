"""Arrays in Caffe's files: a BlobProto as an array, the weights of a .caffemodel or .caffemodel.h5, a mean file."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe import hdf5
from dltrain.caffe.message import Message
from dltrain.caffe.wire import read_wire, write_wire
from dltrain.errors import DataError

Weights = list[tuple[str, list[Any]]]  # (layer, its blobs) in the order of the file

LEGACY = ("num", "channels", "height", "width")
MOST_AXES = 32


def array(blob: Message) -> Any:
    """A BlobProto as an array of its own, float32 or (double_data) float64; DataError where its shape and its data disagree.

    The shape is as the file tells it: four axes in files from before BlobShape, whatever the layer.
    """
    shape = shape_of(blob)
    name = "data" if blob.all("data") or not blob.all("double_data") else "double_data"
    dtype = np.float32 if name == "data" else np.float64
    pieces = [np.asarray(value).reshape(-1) for value in blob.all(name)]
    count = sum(map(len, pieces))
    if len(shape) > MOST_AXES or any(size < 0 for size in shape):
        raise DataError(f"a blob has the shape {spoken(shape)}, which Caffe cannot have")
    if count != prod(shape):
        more = "; a fork of Caffe may keep them in a form of its own" if not count and blob.unknown else ""
        raise DataError(f"a blob has the shape {spoken(shape)} and holds {count:,} numbers{more}")
    made, at = np.empty(count, dtype), 0
    with np.errstate(over="ignore"):  # a text may say 1e50; Caffe takes that as inf
        for piece in pieces:
            made[at : at + len(piece)] = piece
            at += len(piece)
    return made.reshape(shape)


def shape_of(blob: Message) -> tuple[int, ...]:
    """The four legacy sizes where one of them is given, as in Caffe; else the BlobShape."""
    if any(name in blob for name in LEGACY):
        return tuple(int(blob[name]) for name in LEGACY)
    return tuple(int(size) for size in blob["shape"].all("dim"))


def spoken(shape: tuple[int, ...]) -> str:
    return "()" if not shape else " x ".join(map(str, shape[:MOST_AXES]))


def blob(values: Any) -> Message:
    """An array as a BlobProto: float64 as double_data, all else as float32."""
    values = np.asarray(values)
    name, dtype = ("double_data", np.float64) if values.dtype == np.float64 else ("data", np.float32)
    shape = Message("BlobShape").add("dim", *map(int, values.shape)) if values.ndim else Message("BlobShape")
    return Message("BlobProto").put("shape", shape).put(name, np.array(values, dtype).reshape(-1))


def read_weights(path: Path) -> Weights:
    """Layers that have weights, in the order of the file: binary or HDF5 as its content says, of any dialect."""
    if hdf5.looks_like(path):
        return hdf5.read_weights(path)
    net = read_wire(path, "NetParameter")
    found = []
    for layer in [*net.all("layer"), *net.all("layers")]:
        name, blobs = layer["name"] or "", layer.all("blobs")
        if "layer" in layer:  # V0 keeps all but the wiring in a message inside
            name, blobs = layer["layer"]["name"] or name, [*blobs, *layer["layer"].all("blobs")]
        if blobs:
            found.append((name, [checked(each, f"{path}: layer '{name}', blob {index}") for index, each in enumerate(blobs)]))
    if not found:
        raise DataError(f"{path}: holds no weights; expected a .caffemodel of a trained net")
    return found


def checked(message: Message, where: str) -> Any:
    try:
        return array(message)
    except DataError as error:
        raise DataError(f"{where}: {error}; get the file again") from None


def read_mean(path: Path) -> Any:
    """The array of a .binaryproto, such as a mean image: C x H x W, or as the file has it where that is not one sample."""
    values = checked(read_wire(path, "BlobProto"), str(path))
    return values[0] if values.ndim == 4 and values.shape[0] == 1 else values


def write_mean(path: Path, values: Any) -> None:
    """A mean image as .binaryproto, in the four sizes that old versions of Caffe read as well."""
    values = np.asarray(values, np.float32)
    message = blob(values)
    del message.fields["shape"]
    for name, size in zip(LEGACY, (1,) * (4 - values.ndim) + values.shape):
        message.put(name, size)
    write_bytes(path, write_wire(message))


def write_weights(path: Path, weights: Sequence[tuple[str, Sequence[Any]]], net: Message | None = None) -> None:
    """Weights as .caffemodel, or (.h5) as .caffemodel.h5; with the layers of `net` where one is given, as Caffe writes it."""
    blobs = {name: list(arrays) for name, arrays in weights}
    layers = net.all("layer") if net is not None else []
    strange = [name for name in blobs if layers and name not in {layer["name"] for layer in layers}]
    if strange:
        raise DataError(f"{path}: the net has no layer '{strange[0]}' to put weights into")
    if path.suffix == ".h5":
        hdf5.write_weights(path, {**{layer["name"]: [] for layer in layers}, **blobs})
        return
    made = Message("NetParameter")
    if net is not None and "name" in net:
        made.put("name", net["name"])
    for layer in layers or [Message("LayerParameter").put("name", name) for name in blobs]:
        filled = Message("LayerParameter", dict(layer.fields))
        filled.fields["blobs"] = [blob(each) for each in blobs.get(layer["name"], [])]
        made.add("layer", filled)
    write_bytes(path, write_wire(made))


def write_bytes(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
