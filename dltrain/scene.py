"""What a picture of a net consists of: boxes for layers, groups for blocks, arrows; repeats folded where that is wished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dltrain.sketch import Node, View
from dltrain.tensor import Shape
from dltrain.wiring import Line

FAMILIES = {  # family -> the types of layers in it
    "convolution": "Convolution Deconvolution LocallyConnected Im2col",
    "fully connected": "InnerProduct Embed DropConnect Multiplicative MatMul Gram",
    "recurrent": "RNN LSTM GRU RNNCell LSTMCell GRUCell",
    "pooling": "Pooling Unpooling Upsample SPP ROIPooling Reduction",
    "normalisation": "BatchNorm GroupNorm InstanceNorm LayerNorm LRN LocalContrastNorm MVN Scale Bias Dropout Random",
    "activation": "ReLU ReLU6 PReLU ELU GELU Sigmoid TanH Swish HardSwish BNLL AbsVal Clip Exp Log Power SoftShrink Threshold "
    "Maxout Softmax LogSoftmax",
    "join": "Concat Eltwise",
}  # fmt: skip
FAMILY = {kind: family for family, kinds in FAMILIES.items() for kind in kinds.split()}
COLOURS = {  # family -> inside, edge
    "data": ("#f4f4f2", "#8a8a86"), "convolution": ("#dbe7f6", "#3b6ea5"), "fully connected": ("#e4def3", "#6a51a3"),
    "recurrent": ("#d8eeee", "#2f8080"), "pooling": ("#fdebd3", "#c77f2a"), "normalisation": ("#eceff1", "#78858c"),
    "activation": ("#fbf6cf", "#a89324"), "join": ("#e2f0d9", "#5b8f3c"), "other": ("#ffffff", "#777777"),
    "loss": ("#f8d9d6", "#b5382d"), "metric": ("#f7dcec", "#a83279"),
}  # fmt: skip
STYLES = {"": "solid", "train": "dashed", "test": "dotted", "deploy": "dashdot"}  # phase -> line


@dataclass
class Box:
    """A layer, or a field of the source."""

    name: str
    title: str
    words: str
    family: str
    style: str = "solid"
    shape: str = ""  # of what it makes, without the batch axis


@dataclass
class Group:
    """A block, or the repeats of a line."""

    name: str
    title: str
    members: list[Box | Group] = field(default_factory=list)

    def boxes(self) -> Iterator[Box]:
        for member in self.members:
            if isinstance(member, Group):
                yield from member.boxes()
            else:
                yield member

    def groups(self) -> Iterator[Group]:
        for member in self.members:
            if isinstance(member, Group):
                yield member
                yield from member.groups()


@dataclass
class Scene:
    root: Group
    arrows: list[tuple[str, str]]  # from box to box, by name


def scene_of(view: View, collapse: bool = False) -> Scene:
    """The boxes of a view, block by block.  A field beside the first is drawn anew for each of its readers: labels are near."""
    root, groups, arrows = Group("", ""), {"": Group("", "")}, []
    groups[""] = root
    first = next(iter(view.config.net.fields), None)
    if first in view.fields:
        root.members.append(Box(str(first), str(first), "", "data", "solid", spoken(view.fields[str(first)])))
    for name, node in view.nodes.items():
        home = group_of(name.rpartition("/")[0], groups)
        for blob in dict.fromkeys(node.reads):
            source = view.owner(blob)
            if source in view.fields and source != first:
                copy = f"{source} for {name}"
                home.members.append(Box(copy, source, "", "data", style_of(node.line), spoken(view.fields[source])))
                source = copy
            arrows.append((source, name))
        home.members.append(box_of(name, node))
    root.members = [tidied(member) for member in root.members]
    scene = Scene(root, arrows)
    return folded(scene) if collapse else scene


def group_of(name: str, groups: dict[str, Group]) -> Group:
    """The group of a name, made with all around it when first asked for."""
    if name not in groups:
        above, _, title = name.rpartition("/")
        groups[name] = Group(f"{name}/", title)  # a line may have the bare name
        group_of(above, groups).members.append(groups[name])
    return groups[name]


def tidied(member: Box | Group) -> Box | Group:
    """A group that holds nothing but a group is one with it."""
    if isinstance(member, Box):
        return member
    members = [tidied(one) for one in member.members]
    only = members[0]
    if len(members) == 1 and isinstance(only, Group):
        return Group(only.name, f"{member.title}/{only.title}", only.members)
    return Group(member.name, member.title, members)


def box_of(name: str, node: Node) -> Box:
    layer: Any = node.layer
    weight = f" · {node.line.loss_weight:g}" if node.line.loss_weight is not None else ""
    family = {"loss": "loss", "metric": "metric"}.get(layer.kind, FAMILY.get(layer.type, "other"))
    made = "" if layer.kind != "layer" or node.shape is None else spoken(node.shape)
    return Box(name, name.rpartition("/")[2], f"{layer.type}{details(layer)}{weight}", family, style_of(node.line), made)


def style_of(line: Line) -> str:
    phases = [phase for phase in ("train", "test") if phase in line.phases]
    return STYLES["" if len(phases) == 2 else phases[0] if phases else "deploy"]


def details(layer: Any) -> str:
    """5×5, 20, /2: window, outputs, stride, as papers say them."""
    said = []
    window = getattr(layer, "window", None)
    if getattr(layer, "global_pooling", False):
        said.append("global")
    elif window is not None and getattr(layer, "kernel_size", None) is not None:
        said.append("×".join(map(str, window.kernel)))
        said += [f"/{'×'.join(map(str, shortest(window.stride)))}"] if set(window.stride) != {1} else []
        said += [f"dilation {'×'.join(map(str, shortest(window.steps)))}"] if set(window.steps) != {1} else []
    if getattr(layer, "num_output", None) is not None:
        said.append(str(layer.num_output))
    if getattr(layer, "group", 1) != 1:
        said.append(f"{layer.group} groups")
    pool = f" {layer.pool}" if hasattr(layer, "pool") else ""
    ratio = f" {layer.dropout_ratio:g}" if hasattr(layer, "dropout_ratio") else ""
    return pool + ratio + (" " + ", ".join(said) if said else "")


def shortest(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """One number where all are the same."""
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def spoken(shape: Shape) -> str:
    """20×24×24: what one sample has."""
    return "×".join(map(str, shape[1:]))


# --- repeats ---
def folded(scene: Scene) -> Scene:
    """Instances of a repeat that are made alike and follow one another stand as one, "x 3" behind its name."""
    stands: dict[str, str] = {}  # a box that is left out -> the one in its place
    root = fold(scene.root, stands)
    assert isinstance(root, Group)
    arrows, inside = [], {box.name for box in root.boxes()}
    for source, target in scene.arrows:
        if target in inside:
            arrows.append((stands.get(source, source), target))
    return Scene(root, list(dict.fromkeys(arrows)))


def fold(member: Box | Group, stands: dict[str, str]) -> Box | Group:
    if isinstance(member, Box):
        return member
    members = [fold(one, stands) for one in member.members]
    made: list[Box | Group] = []
    counts: list[int] = []
    for one in members:
        if made and one.title.isdigit() and made[-1].title.isdigit() and form(one) == form(made[-1]):
            counts[-1] += 1
            for box, other in zip(all_boxes(one), all_boxes(made[-1]), strict=True):
                for gone in [name for name, place in stands.items() if place == box.name]:
                    stands[gone] = other.name
                stands[box.name] = other.name
        else:
            made.append(one)
            counts.append(1)
    times = [replace(one, title=f"{one.title} × {count}" if count > 1 else one.title) for one, count in zip(made, counts)]
    if len(times) == 1 and counts[0] > 1:
        one = times[0]
        if isinstance(one, Group):
            return Group(one.name, f"{member.title} × {counts[0]}", one.members)
        return replace(one, title=f"{member.title} × {counts[0]}")
    return Group(member.name, member.title, times)


def all_boxes(member: Box | Group) -> list[Box]:
    return [member] if isinstance(member, Box) else list(member.boxes())


def form(member: Box | Group) -> tuple[Any, ...]:
    """What two instances have alike: their layers by name, type and keys; shapes may differ."""
    if isinstance(member, Box):
        return member.words, member.style
    return tuple((one.title, *form(one)) for one in member.members)
