"""The data layers of a net of Caffe's as a data section: source, splits, steps, batch sizes, and the shapes of fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dltrain.caffe.message import Message
from dltrain.translate.caffe_layers import Keys
from dltrain.translate.caffe_pieces import Assembly
from dltrain.translate.caffe_sources import PAIRED, absolute, batch_size, listed, path_of, resized, shuffles, told
from dltrain.translate.caffe_steps import Side, deployed, holds_grey, steps_of
from dltrain.translate.names import readable, unique

KNOWN = {"mnist": "mnist (with val: null)", "cifar10": "cifar10 (with val: null)"}  # sets that have a source of their own
Sizes = tuple[int, ...] | None


@dataclass
class Supply:
    """The data layers of the phases, and what is known of them.

    names    id of a data layer -> what its tops are called here
    shapes   field -> its shape without the sample, None where nobody knows it
    batch    phase -> samples
    """

    assembly: Assembly
    side: Side
    notes: list[str]
    names: dict[int, list[str]] = field(default_factory=dict)
    shapes: dict[str, Sizes] = field(default_factory=dict)
    batch: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, list[int]] = field(default_factory=dict)  # fields that have no sample axis of the batch's size
    trained: bool = True

    def __post_init__(self) -> None:
        for phase, layers in self.assembly.sources.items():
            several = len(layers) > 1
            for layer in layers:
                self.names[id(layer)] = self.named(layer, several, phase)
                self.measure(layer, phase)

    # --- names and shapes ---
    def named(self, layer: Message, several: bool, phase: str) -> list[str]:
        """The fields that the tops of a data layer are."""
        if id(layer) in self.names:
            return self.names[id(layer)]
        tops = [str(top) for top in layer.all("top")]
        if layer["type"] in PAIRED and not several:
            return ["data", "label"][: len(tops)]
        known = list(self.shapes)
        if phase != "train" and len(tops) == 1 and not several and known and readable(tops[0]) not in known:
            return known[:1]
        made: list[str] = []
        others = {name for one in self.assembly.sources[phase] for name in self.names.get(id(one), ())}
        for top in tops:
            made.append(unique(readable(top, "data"), {*others, *made}))
        return made

    def measure(self, layer: Message, phase: str) -> None:
        """The shapes of the fields of a data layer, as far as it tells them."""
        names, found = self.names[id(layer)], told(layer)
        for place, name in enumerate(names):
            whole = found[min(place, len(found) - 1)] if found else None
            if whole:
                self.batch.setdefault(phase, whole[0])
                if whole[0] != self.batch[phase] and layer["type"] in ("Input", "DummyData"):
                    self.fixed[name] = whole
            if self.shapes.get(name) is None:
                self.shapes[name] = tuple(whole[1:]) if whole else () if name == "label" and layer["type"] in PAIRED else None
        size = batch_size(layer)
        if size:
            self.batch[phase] = size
        crop = layer["transform_param"]["crop_size"]
        sides = (crop, crop) if crop else resized(layer)
        if sides and names and self.shapes.get(names[0]) is None:
            self.shapes[names[0]] = (self.channels(layer), *sides)

    def channels(self, layer: Message) -> int:
        """How many channels a picture has, as far as the layer's words tell."""
        said = layer["transform_param"]
        if said["force_gray"] or (layer["type"] == "ImageData" and not layer["image_data_param"]["is_color"]):
            return 1
        values = len(said.all("mean_value"))
        return values if values > 1 else 3

    @property
    def fields(self) -> list[str]:
        """The fields that the source has, the data first."""
        return [name for name in self.shapes if name not in self.fixed]

    def main_path(self) -> str:
        """What the data layer of train reads."""
        layer = self.main("train") or self.main("test")
        return path_of(layer) if layer is not None else ""

    # --- the section ---
    def main(self, phase: str) -> Message | None:
        layers = self.assembly.sources.get(phase, [])
        return layers[0] if layers else None

    def section(self, classes: dict[str, int]) -> Keys:
        """data: source, batch_size, the order, the steps, and what differs in test."""
        train, test = self.main("train"), self.main("test")
        first = train or test or self.main("deploy")
        made: Keys = {"source": self.source(train, test, classes)}
        made["batch_size"] = self.batch.get("train") or self.batch.get("test") or self.batch.get("deploy") or 1
        if first is not None and first["type"] in (*PAIRED, "HDF5Data") and not shuffles(first):
            made["shuffle"] = False
        steps = {phase: steps_of(layer, phase, self.side, self.notes) if layer is not None else []
                 for phase, layer in (("train", train or first), ("test", test))}  # fmt: skip
        if first is not None and first["type"] == "Input":
            shape = self.shapes[self.fields[0]]
            steps["train"] = steps["test"] = deployed(shape, self.side, self.notes)
            if shape is not None and steps["train"]:
                made["source"]["shapes"][self.fields[0]] = [shape[0], "any", "any"]
        made |= {"transform": steps["train"]} if steps["train"] else {}
        if test is not None and (other := self.other(steps, test, train, made)):
            made["test"] = other
        return made

    def other(self, steps: dict[str, Any], test: Message, train: Message | None, made: Keys) -> Keys:
        """What is said of test alone."""
        found: Keys = {}
        size = self.batch.get("test")
        if size and size != made["batch_size"]:
            found["batch_size"] = size
        if test is not train and steps["test"] != [step for step in steps["train"] if step != "mirror"]:
            found["transform"] = steps["test"]
        return found

    def source(self, train: Message | None, test: Message | None, classes: dict[str, int]) -> Keys:
        """The source with its splits; `blank`, which only has shapes, where the files are not here."""
        first, blank = train or test, self.blank(classes)
        if first is None or any(len(layers) > 1 for layers in self.assembly.sources.values()):
            self.several()
            return blank
        made = SOURCES.get(str(first["type"]), nothing)(self, first)
        if made is None or (test is not None and test["type"] != first["type"]):
            if self.trained:
                self.notes.append(f"'{first['name']}' ({first['type']}) feeds {', '.join(self.names[id(first)])}: put a source "
                                  "that has them in the place of data.source")  # fmt: skip
            return blank
        layers = {"train": first, **({"test": test} if test is not None else {})}
        found = {split: files_of(self, layer) for split, layer in layers.items()}
        files = {split: path_of(layer) for split, layer in layers.items()}
        said = {split: path or files[split] for split, path in found.items()}
        true: Keys = {"type": made.pop("type"), **said, **made}
        if not all(files.values()):
            self.notes.append(f"'{first['name']}' ({first['type']}) names no source: write it into data.source")
            return blank
        here = all(found.values()) and not self.is_level(first)
        if true["type"] == "hdf5" and (counted := {name: count for name, count in classes.items()
                                                   if name in self.fields and not (here and name == "label")}):  # fmt: skip
            true["classes"] = counted
        if here:
            return true
        names = ", ".join(dict.fromkeys(name for name in files.values() if name))
        plain = len(self.fields) == 2 and "siamese" not in names
        known = next((f", or write data.source: {ours}" for word, ours in KNOWN.items() if word in names.lower() and plain), "")
        words = "put them there, beside this config, or their paths into data.source"
        self.notes.append(f"the data are not here: {names}; {words}{known}")
        if true["type"] == "image_list":  # whose pictures are of any size
            return true if first["image_data_param"]["new_height"] else blank
        unknown = [name for name in self.fields if self.shapes[name] is None and name not in classes]
        if unknown and true["type"] == "hdf5":
            self.notes.append(f"nothing tells the shape of {', '.join(unknown)}; --shape {unknown[0]}=C,H,W does")
            return true
        return true | {"shapes": blank["shapes"]}

    def is_level(self, layer: Message) -> bool:
        """Whether a data layer reads a LevelDB."""
        found = self.side.places.find(path_of(layer))
        there = found is not None and (found / "data.mdb").exists()
        return layer["type"] == "Data" and layer["data_param"]["backend"] != "LMDB" and not there

    def several(self) -> None:
        """More than one data layer in a phase."""
        layers = max(self.assembly.sources.values(), key=len, default=[])
        if len(layers) > 1 and any(layer["type"] not in ("Input", "DummyData") for layer in layers):
            words = ", ".join(f"'{layer['name']}' ({layer['type']})" for layer in layers)
            self.notes.append(f"{words}: several data layers; put one source that has all of {', '.join(self.fields)} "
                              "in the place of data.source, such as hdf5")  # fmt: skip

    def blank(self, classes: dict[str, int]) -> Keys:
        shapes = {name: list(self.shapes[name] or ()) for name in self.fields}
        counted = {name: count for name, count in classes.items() if name in shapes}
        return {"type": "blank", "shapes": shapes} | ({"classes": counted} if counted else {})


# --- the sources ---
def lmdb(supply: Supply, layer: Message) -> Keys:
    """Pictures as OpenCV decodes them, grey ones too; a LevelDB is not read."""
    said, found = layer["transform_param"], supply.side.places.find(path_of(layer))
    grey = said["force_gray"] or (not said["force_color"] and found is not None and holds_grey(found))
    if supply.is_level(layer) and path_of(layer):
        supply.notes.append(f"'{layer['name']}' (Data): {path_of(layer)} is a LevelDB, which is not read here; make an LMDB "
                            "of it (convert_imageset --backend=lmdb)")  # fmt: skip
    if layer["data_param"]["rand_skip"]:
        supply.notes.append(f"'{layer['name']}' (Data): rand_skip is left out; shuffle begins anywhere")
    return {"type": "lmdb", "color": "grey" if grey else "bgr"}


def image_list(supply: Supply, layer: Message) -> Keys:
    said = layer["image_data_param"]
    made: Keys = {"type": "image_list"} | ({"color": "grey"} if not said["is_color"] else {})
    root = str(said["root_folder"])
    found = supply.side.places.find(path_of(layer))
    if root:
        made["root"] = str(supply.side.places.find(root) or root)
    elif found is not None and found.is_file() and absolute(found):
        made["root"] = "/"
    elif supply.side.places.folders:
        made["root"] = str(supply.side.places.folders[0]) if found is not None else "."
    return made


def hdf5(supply: Supply, layer: Message) -> Keys:
    return {"type": "hdf5", "tops": supply.names[id(layer)]}


def files_of(supply: Supply, layer: Message) -> Any:
    """What a split reads: a file, or (of HDF5 lists whose files lie elsewhere) several; None where it is not here."""
    found = supply.side.places.find(path_of(layer))
    right = found is not None and (found.is_file() or (layer["type"] == "Data" and (found / "data.mdb").is_file()))
    if found is None or not right:
        return None
    return (layer["type"] == "HDF5Data" and found.suffix not in (".h5", ".hdf5") and listed(found, supply.side.places)) or str(
        found
    )


def nothing(supply: Supply, layer: Message) -> None:
    """Fed from outside: there is no source to name."""


SOURCES: dict[str, Any] = {"Data": lmdb, "ImageData": image_list, "HDF5Data": hdf5}
