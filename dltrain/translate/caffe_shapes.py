"""What only shapes tell: whether labels fit what judges them, and how large pictures are that are not here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from dltrain import catalogue  # noqa: F401  fills the registries
from dltrain import config as configs
from dltrain.errors import DltrainError
from dltrain.marks import parse
from dltrain.net import Net
from dltrain.registry import LAYERS
from dltrain.sketch import fields_of
from dltrain.supply import read_feed
from dltrain.tensor import Shape
from dltrain.translate.draft import Draft, Part
from dltrain.translate.names import unique
from dltrain.translate.yaml_text import yaml_text
from dltrain.vars import named

LABEL_AT = {"SoftmaxWithLoss": 1, "Accuracy": 1, "HingeLoss": 1, "InfogainLoss": 1, "MultinomialLogisticLoss": 1, "Embed": 0,
            "BatchReindex": 1}  # fmt: skip
PAIRED = ("Eltwise", "EuclideanLoss", "L1Loss", "SigmoidCrossEntropyLoss", "SmoothL1Loss")  # whose bottoms are alike
KEEPS_WHOLE = ("Slice", "Reshape", "Flatten", "Crop", "Tile", "Permute", "Filter", "Split", "BatchReindex")
LIKELY = (28, 32, 224, 227, 256, 64, 96, 112, 128, 160, 192, 231, 299, 300, 321, 384, 500, 512)  # sides of pictures


def sketched(draft: Draft, judged: bool = False) -> Net | None:
    """The net as far as it can be set up, its losses and metrics left out; None where nothing can be known."""
    kept = [part for part in draft.net if judged or LAYERS[part.type].kind == "layer"]
    if not kept:
        return None
    text = yaml_text(replace(draft, net=kept, solver={}, notes=[], rest={}))
    try:
        document = parse(text, "draft")
        names = configs.prepare(document, ())
        feed, _ = read_feed(document, document.value.get("data"), 1, None, fields_of)
        if feed is None:
            return None
        return configs.read_net(document, feed, names | named(feed), {}, 1)[0]
    except DltrainError:
        return None


def classes_of(draft: Draft, fields: list[str]) -> dict[str, int]:
    """The fields that are read as classes, and how many classes there are."""
    parts = {part.name: part for part in draft.net}
    found: dict[str, int] = {}
    for part in draft.net:
        at = LABEL_AT.get(part.type)
        if at is None or at >= len(part.bottoms):
            continue
        origin = part.bottoms[at]
        while (above := parts.get(origin.split(".")[0])) is not None and above.type in KEEPS_WHOLE:
            origin = above.bottoms[0]
        if origin in fields:
            found[origin] = max(found.get(origin, 1), count(part, parts))
    return found


def measured_of(draft: Draft, fields: Collection[str], classes: Collection[str]) -> list[str]:
    """The fields that a loss holds its numbers against, and that are no classes."""
    parts = {part.name: part for part in draft.net}
    found: dict[str, None] = {}
    for part in draft.net:
        for origin in part.bottoms[:2] if part.type in PAIRED else ():
            while (above := parts.get(origin.split(".")[0])) is not None and above.type in KEEPS_WHOLE:
                origin = above.bottoms[0]
            found |= {origin: None} if origin in fields and origin not in classes else {}
    return list(found)


def count(part: Part, parts: dict[str, Part]) -> int:
    """How many classes a judge tells apart: the outputs of the layer that makes its scores."""
    if part.type == "Embed":
        return int(part.keys["input_dim"])
    name, seen = part.bottoms[0], set()
    while (above := parts.get(name.split(".")[0])) is not None and name not in seen and part.type != "BatchReindex":
        seen.add(name)
        if "num_output" in above.keys or not above.bottoms:
            return int(above.keys.get("num_output", 1000))
        name = above.bottoms[0]
    return 1000


# --- labels that fit ---
def fit_labels(draft: Draft, shapes: dict[str, Shape], deploy: bool) -> None:
    """Puts a line between where scores have idle axes, or labels have axes that Caffe does not mind."""
    for part in list(draft.net):
        at = LABEL_AT.get(part.type)
        if at != 1 or part.type == "BatchReindex" or len(part.bottoms) < 2:
            continue
        x, label = (shapes.get(name) for name in part.bottoms[:2])
        if x is None or label is None:
            continue
        axis = int(part.keys.get("axis", 1))
        axis = axis + len(x) if axis < 0 else axis
        places = Shape((*x[:axis], *x[axis + 1 :]))
        if tuple(label) == tuple(places) or label.count != places.count:
            continue
        if axis == 1 and places.count == x[0] and len(label) == 1:
            insert(draft, part, 0, "flat", Part("", "Flatten", {}), deploy)
        else:
            insert(draft, part, 1, "places", Part("", "Reshape", {"shape": [0, *places[1:]]}), False)


def insert(draft: Draft, reader: Part, place: int, word: str, made: Part, deploy: bool) -> None:
    """A line in front of one that reads it; one for all that read the same."""
    bottom = reader.bottoms[place]
    name = f"{bottom.replace('.', '_')}_{word}"
    if not any(
        (part.name, part.bottoms, part.keys.get("shape")) == (name, [bottom], made.keys.get("shape")) for part in draft.net
    ):
        made.name = unique(name, {part.name for part in draft.net})
        made.bottoms = [bottom]
        made.keys |= {"phase": ["train", "test"]} if deploy else {}
        draft.net.insert(draft.net.index(reader), made)
        name = made.name
    reader.bottoms[place] = name


def places_of(draft: Draft, field: str, shapes: dict[str, Shape]) -> tuple[int, ...] | None:
    """The shape of a label that a judge reads as it is: that of its scores without the classes."""
    for part in draft.net:
        if LABEL_AT.get(part.type) == 1 and part.type != "BatchReindex" and part.bottoms[1:2] == [field]:
            x = shapes.get(part.bottoms[0])
            axis = int(part.keys.get("axis", 1))
            if x is not None and -len(x) < axis < len(x):
                axis = axis % len(x)
                rest = (*x[1:axis], *x[axis + 1 :])
                return tuple(rest) if any(size > 1 for size in rest) else ()
    return None


def read_as(draft: Draft, field: str, shapes: dict[str, Shape]) -> tuple[int, ...] | None:
    """The shape of a field that nobody tells, by its first reader; None where that does not tell either."""
    first = next(iter(draft.data["source"]["shapes"]))
    for part in (part for part in draft.net if field in part.bottoms):
        place = part.bottoms.index(field)
        other = shapes.get(part.bottoms[1 - place]) if part.type in PAIRED and place < 2 and len(part.bottoms) > 1 else None
        if other is not None:
            return tuple(other[1:])
        if part.type == "ROIPooling" and place == 1:
            return (5,)
        if field != first and (part.type == "Convolution" or "share" in part.keys):
            return tuple(shapes[first][1:])
    return None


# --- pictures that are not here ---
def side_of_pictures(draft: Draft, field: str, channels: int, weights: dict[str, Any]) -> int | None:
    """The side of square pictures for which the weights fit the net, if there is one among the likely."""
    for side in LIKELY:
        draft.data["source"]["shapes"][field] = [channels, side, side]
        net = sketched(draft)
        if net is not None and fits(net, weights):
            return side
    return None


def fits(net: Net, weights: dict[str, Any]) -> bool:
    """Whether every weight has as many numbers as its parameter."""
    from dltrain import snapshot

    places = snapshot.paths(net.store)
    parts = {f"data/{places[f'{part.layer}/{part.role}']}": part.shape.count for part in net.store.segments.values()}
    both = parts.keys() & weights.keys()
    return bool(both) and all(parts[name] == weights[name].size for name in both)
