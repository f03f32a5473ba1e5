"""What a data layer of Caffe's says of itself: shapes, batch size, file, order."""

from __future__ import annotations

from pathlib import Path

from dltrain.caffe.message import Message
from dltrain.translate.caffe_files import Places
from dltrain.translate.caffe_layers import dims, dummy

PAIRED = ("Data", "ImageData", "WindowData", "AnnotatedData")  # whose tops are data and label


def told(layer: Message) -> list[list[int]]:
    """The shapes of the tops, sample axis included; [] where the layer does not tell."""
    kind = layer["type"]
    if kind == "Input":
        return [dims(shape) for shape in layer["input_param"].all("shape")]
    if kind == "DummyData":
        return list(dummy(layer["dummy_data_param"], layer)["shapes"])
    if kind == "MemoryData":
        said = layer["memory_data_param"]
        sizes = [int(said[name] or 1) for name in ("batch_size", "channels", "height", "width")]
        return [sizes, sizes[:1]]
    if kind == "ImageData":
        said = layer["image_data_param"]
        height, width = int(said["new_height"]), int(said["new_width"])
        if height and width and not layer["transform_param"]["crop_size"]:
            size = int(said["batch_size"])
            return [[size, 3 if said["is_color"] else 1, height, width], [size]]
    return []


def batch_size(layer: Message) -> int:
    for name in ("data_param", "image_data_param", "hdf5_data_param", "window_data_param", "memory_data_param"):
        if name in layer:
            return int(layer[name]["batch_size"] or 0)
    return 0


def resized(layer: Message) -> tuple[int, int] | None:
    """Height and width of SSD's resize_param, which Caffe itself does not know."""
    for said in layer["transform_param"].all("resize_param"):
        if isinstance(said, Message) and {"height", "width"} <= said.fields.keys():
            return int(said.fields["height"][-1]), int(said.fields["width"][-1])
    return None


def shuffles(layer: Message) -> bool:
    return bool(layer["image_data_param"]["shuffle"] or layer["hdf5_data_param"]["shuffle"])


def path_of(layer: Message) -> str:
    """The file or database that a data layer reads."""
    for name in ("data_param", "image_data_param", "hdf5_data_param", "window_data_param"):
        if name in layer:
            return str(layer[name]["source"] or "")
    return ""


def absolute(path: Path) -> bool:
    """Whether the paths of a list begin at the root."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline(4096).startswith("/")


def listed(path: Path, places: Places) -> list[str]:
    """The files of a list of HDF5 files where one of them is not beside the list, each where it is; [] where all are."""
    try:
        names = path.read_text("utf-8", "replace").split() if path.stat().st_size < 1 << 20 else []
    except OSError:
        return []
    found = [places.find(name) for name in names]
    beside = all((path.parent / name).exists() for name in names)
    return [] if beside or None in found else [str(one) for one in found]


def batches(layer: Message) -> set[int]:
    """The batch sizes that a data layer has; that of its first top where it tells shapes, for others may have none."""
    shapes = told(layer)[:1] if layer["type"] == "Input" else told(layer)
    return {size for size in (batch_size(layer), *(shape[0] for shape in shapes if shape)) if size}
