"""What a prototxt does not say: the shapes of data that are not here, by what is there."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any

from dltrain.errors import DataError
from dltrain.tensor import Shape
from dltrain.translate.caffe_data import Supply
from dltrain.translate.caffe_forks import MOST
from dltrain.translate.caffe_net import Lines
from dltrain.translate.caffe_shapes import classes_of, fit_labels, measured_of, places_of, read_as, side_of_pictures, sketched
from dltrain.translate.draft import Draft, Part

GUESSES = {"mnist": (1, 28, 28), "lenet": (1, 28, 28), "cifar": (3, 32, 32)}  # by the name of the data, or of the net
USUAL = 256  # the side that pictures had in Caffe's examples


def settle(draft: Draft, supply: Supply, told: Collection[str], lines: Lines, notes: list[str]) -> None:
    """The data section; sizes of pictures that are not here; labels that fit.  Shapes that the user has `told` stay."""
    classes = classes_of(draft, supply.fields)
    lines.untold = [name for name in supply.fields if supply.shapes[name] is None and name not in classes]
    guess(draft, supply, classes, notes)
    source = draft.data["source"]
    if source["type"] in ("hdf5", "image_list", "lmdb") and (names := measured_of(draft, supply.fields[1:], classes)):
        source["measured"] = names
    for _ in range(3):  # what is found tells more the next time
        said: dict[str, Any] = {name: supply.shapes[name] if "any" in sizes else sizes
                                for name, sizes in source.get("shapes", {}).items()}  # fmt: skip
        shapes = {name: Shape((2, *sizes)) for name, sizes in said.items()}
        net = sketched(draft)
        for phase in ("deploy", "test", "train"):
            shapes |= net.shapes.get(phase, {}) if net is not None else {}
        for name in supply.fields if "shapes" in source else ():
            known = supply.shapes.get(name)
            wanted = places_of(draft, name, shapes) if name in classes else None if known else read_as(draft, name, shapes)
            if wanted is not None and name not in told and (not known or prod(known) == prod(wanted)):
                source["shapes"][name] = list(wanted)
        fit_batches(draft, shapes)
        span_channels(draft, shapes)
    if source["type"] == "lmdb" and next(iter(source.get("shapes", {}).values()), ())[:1] == [1]:
        source["color"] = "grey"
    fit_labels(draft, shapes, lines.deploy)


def guess(draft: Draft, supply: Supply, classes: dict[str, int], notes: list[str]) -> None:
    """The data section, with a size for pictures that are not here and of which nobody tells."""
    first = next(iter(supply.fields), None)
    if first is None:
        raise DataError("the net reads no data: it has neither a data layer nor an input")
    by_weights(draft, supply, classes)
    supply.batch |= {"train": size} if not supply.batch and (size := batch_of(draft, supply)) else {}
    main = supply.main("train") or supply.main("test") or supply.main("deploy")
    known = supply.shapes[first] is not None or main is None or main["type"] == "HDF5Data"
    words = f"{supply.main_path()} {draft.name}".lower()
    usual = next(
        (shape for word, shape in GUESSES.items() if word in words),
        (supply.channels(main) if main is not None else 3, USUAL, USUAL),
    )
    supply.shapes[first] = supply.shapes[first] if known else usual
    draft.data = supply.section(classes)
    mean = supply.side.arrays.get("mean.npy")
    if "shapes" in draft.data["source"] and mean is not None and draft.data["source"]["shapes"][first][-1] != "any":
        draft.data["source"]["shapes"][first] = list(mean.shape)
    elif "shapes" in draft.data["source"] and not known:
        draft.data["source"]["shapes"][first] = sized(draft, first, usual, notes)


def batch_of(draft: Draft, supply: Supply) -> int | None:
    """How many samples a batch has, by a Reshape that says how labels lie in it (steps x streams)."""
    for part in draft.net:
        if part.type == "Reshape" and part.bottoms[0] in supply.fields[1:] and part.keys["axis"] == 0:
            sizes: list[int] = part.keys["shape"]
            if sizes and min(sizes) > 0 and not supply.shapes[part.bottoms[0]]:
                return prod(sizes)
    return None


def fit_batches(draft: Draft, shapes: dict[str, Shape]) -> None:
    """A Reshape to a size of batch that nobody has said otherwise: the batch as it comes."""
    for part in draft.net:
        x, sizes = shapes.get(part.bottoms[0]) if part.bottoms else None, part.keys.get("shape")
        if part.type == "Reshape" and x is not None and sizes and part.keys["axis"] == 0 and min(sizes) > 0:
            sizes[0] = 0 if sizes[0] != x[0] and prod(sizes[1:]) == x.count // x[0] else sizes[0]


def span_channels(draft: Draft, shapes: dict[str, Shape]) -> None:
    """The LRN that stands for the norm over all channels, now that their number is known."""
    for part in draft.net:
        x = shapes.get(part.bottoms[0]) if part.bottoms else None
        if part.type == "LRN" and part.keys["local_size"] == MOST and x is not None:
            part.keys |= {"local_size": 2 * x[1] - 1, "alpha": float(2 * x[1] - 1)}


def sized(draft: Draft, field: str, usual: tuple[int, ...], notes: list[str]) -> list[int]:
    """The shape of pictures by the weights, else the usual one."""
    channels = channels_of(draft, field) or sliced(draft, field) or usual[0]
    side = side_of_pictures(draft, field, channels, draft.weights) if draft.weights else None
    shape = [channels, side, side] if side else [channels, *usual[1:]]
    words = "the weights fit it" if side else "nothing tells; --shape NAME=C,H,W does"
    notes.append(f"{field} is taken to be {' x '.join(map(str, shape))} ({words})")
    return shape


def by_weights(draft: Draft, supply: Supply, classes: dict[str, int]) -> None:
    """The shapes of rows that are not here, by the weights of what reads them; a class is one number."""
    for part in draft.net:
        weight = first_weight(draft, part)
        if part.type != "InnerProduct" or weight is None:
            continue
        for field in part.bottoms:
            if field in supply.shapes and supply.shapes[field] is None:
                supply.shapes[field] = (weight.size // int(part.keys["num_output"]),)
    known = all(supply.shapes[name] is not None for name in supply.fields if name not in classes)
    supply.shapes |= {name: () for name in classes if known and supply.shapes.get(name) is None}


def sliced(draft: Draft, field: str) -> int | None:
    """The channels of pictures that are cut apart, as in siamese nets."""
    for part in draft.net:
        points = part.keys.get("slice_point")
        if part.type == "Slice" and part.bottoms == [field] and points and part.keys["axis"] == 1:
            even = all(point == points[0] * (number + 1) for number, point in enumerate(points))
            return int(points[0] * (len(points) + 1) if even else points[-1] + 1)
    return None


def channels_of(draft: Draft, field: str) -> int | None:
    """How many channels the first convolution reads, by its weights."""
    for part in draft.net:
        weight = first_weight(draft, part)
        if part.type == "Convolution" and part.bottoms[:1] == [field] and weight is not None:
            return int(weight.shape[1]) * int(part.keys.get("group", 1))
    return None


def first_weight(draft: Draft, part: Part) -> Any:
    """The weight of a line, where there are weights."""
    return draft.weights.get(f"data/{part.name.replace('/', '%2F')}/0")
