"""transform_param as steps of ours, in Caffe's order: (x - mean) * scale, a piece of it, mirrored."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.blobs import read_mean
from dltrain.caffe.message import Message
from dltrain.errors import DltrainError
from dltrain.tensor import Shape
from dltrain.translate.caffe_files import Places
from dltrain.translate.caffe_sources import path_of

Steps = list[Any]
SMALLEST = 8  # the side of a picture


@dataclass
class Side:
    """Files that are written beside the config: name -> array."""

    places: Places
    mean: Any = None  # of a mean file that the user gave
    trained: bool = False  # whether there are weights to use the net with
    arrays: dict[str, Any] = field(default_factory=dict)


def steps_of(layer: Message, phase: str, side: Side, notes: list[str]) -> Steps:
    """The steps of one data layer in one phase."""
    said, where = layer["transform_param"], f"'{layer['name']}' ({layer['type']})"
    made: Steps = sized(layer, side)
    made += mean_of(said, side, where, notes)
    made += [{"crop": said["crop_size"]}] if said["crop_size"] else []
    if said["mirror"] and phase == "train":
        made.append("mirror")
    elif said["mirror"]:
        notes.append(f"{where}: mirror acts in train only here; Caffe mirrors at random in test, too")
    made += [{"scale": said["scale"]}] if said["scale"] != 1 else []
    return made


def is_picture(shape: tuple[int, ...] | None) -> bool:
    """Whether what a net is fed with may be a picture: grey or in colours, and no map of some few places."""
    return shape is not None and len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= SMALLEST


def deployed(shape: tuple[int, ...] | None, side: Side, notes: list[str]) -> Steps:
    """The steps of a net that is fed from outside: pictures of any size are brought to its own.

    With a mean they are blue, green, red then, less the mean.
    """
    if shape is not None and len(shape) == 3 and max(shape[1:]) == 1 and shape[0] == 3:
        notes.append("its pictures have one place: they were given their size later; --shape NAME=3,H,W says one")
    if shape is None or not is_picture(shape):
        return []
    made: Steps = [{"resize": shape[1] if shape[1] == shape[2] else list(shape[1:])}]
    mean = np.asarray(side.mean, np.float32) if side.mean is not None else None
    mean = mean.reshape(mean.shape[-3:]) if mean is not None and mean.ndim > 3 else mean
    if mean is None or mean.shape[0] != shape[0]:
        if shape[0] == 3 and side.trained:
            notes.append("pictures go in as red, green, blue from 0 to 255; give the mean of its training (mean.binaryproto) to "
                         "the import, and they go in as nets of Caffe want them: blue, green, red, less the mean")  # fmt: skip
        return made
    made += [{"channels": [2, 1, 0]}] if shape[0] == 3 else []
    if mean.shape == shape:
        side.arrays["mean.npy"] = mean
        return [*made, {"mean_file": "mean.npy"}]
    notes.append(f"the mean is {Shape(mean.shape)} and the net reads {Shape(shape)}: the mean of each channel is subtracted")
    return [*made, {"mean": [float(value) for value in mean.reshape(len(mean), -1).mean(axis=1)]}]


def sized(layer: Message, side: Side) -> Steps:
    """The size of ImageData, or that of its first picture, which all have; and OpenCV's order of colours."""
    said = layer["image_data_param"]
    if layer["type"] != "ImageData":
        return []
    height, width = int(said["new_height"]), int(said["new_width"])
    whole = not layer["transform_param"]["crop_size"] or "mean_file" in layer["transform_param"]
    if not (height and width) and whole:
        height, width = first_size(layer, side)
    made: Steps = [{"resize": height if height == width else [height, width]}] if height and width else []
    return made + ([{"channels": [2, 1, 0]}] if said["is_color"] else [])


def first_size(layer: Message, side: Side) -> tuple[int, int]:
    """Height and width of the first picture of a list; 0 where it cannot be had."""
    from dltrain.data.image import read_size

    listed = side.places.find(path_of(layer))
    if listed is None or not listed.is_file():
        return 0, 0
    with open(listed, encoding="utf-8", errors="replace") as file:
        name = file.readline(1 << 16).rstrip().rpartition(" ")[0]
    found = side.places.find(f"{layer['image_data_param']['root_folder']}{name}")
    try:
        return read_size(found) if found is not None and found.is_file() else (0, 0)
    except DltrainError:
        return 0, 0


def holds_grey(database: Path) -> bool:
    """Whether the first picture of a database is encoded and grey: Caffe then takes it as it is."""
    from dltrain.data.datum import parse
    from dltrain.data.image import quiet_pillow
    from dltrain.data.lmdb_pages import Pages

    try:
        datum = parse(Pages(database).value(0))
        if not datum.encoded:
            return False
        with quiet_pillow().open(io.BytesIO(datum.data)) as picture:
            return len(picture.getbands()) == 1 and picture.mode != "P"
    except Exception:  # a foreign file can make its reader raise anything; what is wrong with it is told where it is used
        return False


def mean_of(said: Message, side: Side, where: str, notes: list[str]) -> Steps:
    """The mean, from a file or as numbers."""
    if "mean_file" in said:
        name = str(said["mean_file"])
        array = side.mean
        if array is None and (found := side.places.find(name, by_name=True)) is not None:
            array = read_mean(found)
        if array is None:
            notes.append(f"{where}: its mean_file {name} is not here; the mean of each place is computed over train instead "
                         "(or give the file to the import)")  # fmt: skip
            return [{"mean": "image"}]
        side.arrays["mean.npy"] = np.asarray(array, np.float32).reshape(np.shape(array)[-3:])
        return [{"mean_file": "mean.npy"}]
    values = [float(value) for value in said.all("mean_value")]
    return [{"mean": values[0] if len(values) == 1 else values}] if values and any(values) else []
