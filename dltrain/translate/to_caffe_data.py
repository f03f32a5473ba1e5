"""The data section as data layers of Caffe: LMDBs, lists of pictures, HDF5; anything else as Input layers, to be fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.caffe.message import Message
from dltrain.chain import Link
from dltrain.joined import Joined
from dltrain.tensor import Shape
from dltrain.translate.to_caffe_layers import Lacking
from dltrain.translate.to_caffe_net import fed
from dltrain.translate.trained import Trained

MEAN = "mean.binaryproto"
PHASES = {"train": "TRAIN", "test": "TEST"}
Sayer = Callable[["Supply", str, Message], None]


@dataclass
class Supply:
    """What is known of the data, and the arrays that are written beside the nets: file -> array."""

    made: Trained
    name: str
    notes: list[str]
    arrays: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Any:
        source = self.made.config.feed.source
        return source.main if isinstance(source, Joined) else source

    @property
    def fields(self) -> list[str]:
        return list(self.made.config.net.fields)

    def batch(self, phase: str) -> int:
        feed = self.made.config.feed
        return feed.batch_size("train" if phase == "train" else self.scored)

    @property
    def scored(self) -> str:
        """The split that Caffe would test on."""
        return "test" if "test" in self.made.config.feed.splits else "val"

    def layers(self) -> list[Message]:
        """A data layer for each phase; Input layers where the source is none of Caffe's."""
        say = SAYERS.get(self.source.type)
        try:
            if say is None:
                raise Lacking(f"Caffe reads no {self.source.type}")
            if isinstance(self.made.config.feed.source, Joined):
                raise Lacking("a split has a source of its own")
            found = [self.layer(say, phase) for phase in PHASES]
        except Lacking as reason:
            self.arrays.pop(MEAN, None)
            self.notes.append(f"data: {reason}: {', '.join(self.fields)} are Input layers; feed them from Python, the steps of "
                              "data.transform done, or put data layers in their place")  # fmt: skip
            return self.fed()
        return found

    def layer(self, say: Sayer, phase: str) -> Message:
        message = Message("LayerParameter").put("name", "data").add("top", *self.fields)
        message.add("include", Message("NetStateRule").put("phase", PHASES[phase]))
        say(self, phase, message)
        return message

    def fed(self) -> list[Message]:
        """Input layers, one where both phases are alike; they tell the steps that Caffe knows, and do not do them."""
        made = []
        for phase in PHASES:
            shapes = [Shape((self.batch(phase), *shape)) for shape in self.made.config.net.fields.values()]
            layer = fed(self.fields, shapes).put("name", "data")
            try:
                transform(self, phase, self.links(phase), layer, idle=True)
            except Lacking:
                layer.fields.pop("transform_param", None)
            made.append(layer)
        if made[0] == made[1]:
            return made[:1]
        for phase, layer in zip(PHASES.values(), made):
            layer.add("include", Message("NetStateRule").put("phase", phase))
        return made

    def files(self, phase: str) -> Any:
        """What a phase reads, of sources with a key for each split."""
        said = getattr(self.source, "train" if phase == "train" else self.scored, None)
        if said is None:
            said = self.source.file if phase == "train" and self.source.file is not None else None
        if said is None:
            raise Lacking(f"there is no file for {PHASES[phase]}")
        return said

    def links(self, phase: str) -> list[Link]:
        """The steps of the first field; a step of any other is no transform_param."""
        feed = self.made.config.feed
        chain = feed.chains["train"] if phase == "train" else feed.chains.get(self.scored, feed.plain_chain)
        first = next(iter(self.source.fields))
        other = next((link for link in chain.links if link.top != first), None)
        if other is not None:
            raise Lacking(f"a step ({other.step.type}) of {other.top}")
        return list(chain.links)


# --- steps ---
class Transform:
    """transform_param from steps: (x - mean) times a scale, a square of it, mirrored.  `idle`: it is told, and not done."""

    def __init__(self, supply: Supply, phase: str, links: list[Link], idle: bool) -> None:
        self.supply, self.phase, self.idle, self.message = supply, phase, idle, Message("TransformationParameter")
        self.scale, self.cropped = 1.0, False
        for link in links:
            step: Any = link.step
            if step.type not in STEPS:
                raise Lacking(f"the step {step.type}")
            STEPS[step.type](self, link, step)
        if self.scale != 1:
            self.message.put("scale", self.scale)

    def mean(self, link: Link, step: Any) -> None:
        if self.scale != 1:
            raise Lacking("a mean after a scale")
        if isinstance(step.value, tuple):
            self.message.add("mean_value", *step.value)
            return
        unknown = str(link.number) in self.supply.made.unknown
        if unknown and not (self.idle and step.value == "image"):
            raise Lacking("the mean, which is computed over data that are not there")
        if unknown:
            self.message.put("mean_file", MEAN)
        elif step.value == "channel":
            self.message.add("mean_value", *(float(str(value)) for value in step.computed.reshape(-1)))
        else:
            self.mean_array(step.computed)

    def mean_file(self, link: Link, step: Any) -> None:
        if self.scale != 1:
            raise Lacking("a mean after a scale")
        self.mean_array(step.used)

    def mean_array(self, array: Any) -> None:
        if self.cropped:
            raise Lacking("a mean image after a crop")
        self.message.put("mean_file", MEAN)
        self.supply.arrays[MEAN] = np.asarray(array, np.float32)

    def crop(self, link: Link, step: Any) -> None:
        h, w = step.window
        if h != w or step.at != "random" or self.cropped:
            raise Lacking("a crop that is no square from anywhere")
        self.message.put("crop_size", h)
        self.cropped = True

    def mirror(self, link: Link, step: Any) -> None:
        if step.axis != "horizontal" or step.probability != 0.5:
            raise Lacking("a mirror that is not one of left and right, half of the time")
        if self.phase == "train":
            self.message.put("mirror", True)

    def times(self, link: Link, step: Any) -> None:
        self.scale *= step.value


STEPS: dict[str, Callable[[Transform, Link, Any], None]] = {
    "mean": Transform.mean, "mean_file": Transform.mean_file, "crop": Transform.crop, "mirror": Transform.mirror,
    "scale": Transform.times,
}  # fmt: skip


def transform(supply: Supply, phase: str, links: list[Link], message: Message, grey: bool = False, idle: bool = False) -> None:
    made = Transform(supply, phase, links, idle).message
    if grey:
        made.put("force_gray", True)
    if made.fields:
        message.put("transform_param", made)


# --- sources ---
def lmdb(supply: Supply, phase: str, message: Message) -> None:
    source = supply.source
    if source.fields[next(iter(source.fields))][0] == 3 and source.color == "rgb":
        raise Lacking("pictures in red, green, blue (Caffe's are blue, green, red: color: bgr)")
    message.put("type", "Data")
    transform(supply, phase, supply.links(phase), message, source.color == "grey")
    said = Message("DataParameter").put("source", supply.files(phase)).put("batch_size", supply.batch(phase))
    message.put("data_param", said.put("backend", "LMDB"))
    if phase == "train" and supply.made.config.feed.keys.shuffle:
        supply.notes.append("Caffe reads an LMDB in its order; nothing shuffles it there")


def image_list(supply: Supply, phase: str, message: Message) -> None:
    """Pictures are BGR there, so the steps must turn them round."""
    source, links = supply.source, supply.links(phase)
    said = Message("ImageDataParameter").put("source", supply.files(phase)).put("batch_size", supply.batch(phase))
    if links and links[0].step.type == "resize":
        step: Any = links.pop(0).step
        if step.side != "both" or step.mode != "bilinear":
            raise Lacking("a resize that is not to both sides, bilinear")
        said.put("new_height", step.target[0]).put("new_width", step.target[1])
        supply.notes += ["OpenCV's resize is not smooth where it shrinks, ours is"] if phase == "train" else []
    turned = bool(links) and links[0].step.type == "channels" and tuple(links[0].step.order) == (2, 1, 0)  # type: ignore[attr-defined]
    if turned:
        links.pop(0)
    if source.color == "rgb" and not turned:
        raise Lacking("pictures in red, green, blue (Caffe's are blue, green, red: add the step {channels: [2, 1, 0]})")
    if phase == "train" and supply.made.config.feed.keys.shuffle:
        said.put("shuffle", True)
    if source.color == "grey":
        said.put("is_color", False)
    if source.root is not None:
        said.put("root_folder", f"{source.root.rstrip('/')}/")
    message.put("type", "ImageData")
    transform(supply, phase, links, message)
    message.put("image_data_param", said)


def hdf5(supply: Supply, phase: str, message: Message) -> None:
    """Caffe takes a text that lists the files, and no steps."""
    if supply.links(phase):
        raise Lacking("HDF5 with steps")
    source = supply.source
    if any(top != name for top, name in (source.tops or {}).items()):
        raise Lacking("a dataset under another name")
    files = supply.files(phase)
    if len(files) == 1 and Path(files[0]).suffix not in (".h5", ".hdf5"):
        listed = files[0]
    else:
        listed = f"{supply.name}_{phase}_files.txt"
        supply.texts[listed] = "".join(f"{file}\n" for file in files)
    said = Message("HDF5DataParameter").put("source", listed).put("batch_size", supply.batch(phase))
    if phase == "train" and supply.made.config.feed.keys.shuffle:
        said.put("shuffle", True)
    message.put("type", "HDF5Data").put("hdf5_data_param", said)


SAYERS: dict[str, Sayer] = {"lmdb": lmdb, "image_list": image_list, "hdf5": hdf5}
