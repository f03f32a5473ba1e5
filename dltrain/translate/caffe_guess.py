"""What a prototxt does not say: the shapes of data that are not here, by what is there."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any

from dltrain.errors import DataError
from dltrain.tensor import Shape
from dltrain.translate.caffe_data import Supply
from dltrain.translate.caffe_shapes import classes_of, fit_labels, places_of, side_of_pictures, sketched
from dltrain.translate.draft import Draft, Part

GUESSES = {"mnist": (1, 28, 28), "lenet": (1, 28, 28), "cifar": (3, 32, 32)}  # by the name of the data, or of the net
USUAL = 256  # the side that pictures had in Caffe's examples


def settle(draft: Draft, supply: Supply, told: Collection[str], deploy: bool, notes: list[str]) -> None:
    """The data section; sizes of pictures that are not here; labels that fit.  Shapes that the user has `told` stay."""
    classes = classes_of(draft, supply.fields)
    guess(draft, supply, classes, notes)
    for _ in range(2):  # once more with the shapes of labels that the first time has told
        blank = draft.data["source"]
        shapes = {name: Shape((2, *sizes)) for name, sizes in blank.get("shapes", {}).items()}
        net = sketched(draft)
        for phase in ("deploy", "test", "train"):
            shapes |= net.shapes.get(phase, {}) if net is not None else {}
        for name in classes if "shapes" in blank else ():
            known = supply.shapes.get(name)
            wanted = places_of(draft, name, shapes)
            if wanted is not None and name not in told and (not known or prod(known) == prod(wanted)):
                blank["shapes"][name] = list(wanted)
    fit_labels(draft, shapes, deploy)


def guess(draft: Draft, supply: Supply, classes: dict[str, int], notes: list[str]) -> None:
    """The data section, with a size for pictures that are not here and of which nobody tells."""
    first = next(iter(supply.fields), None)
    if first is None:
        raise DataError("the net reads no data: it has neither a data layer nor an input")
    by_weights(draft, supply, classes)
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
    if "shapes" in draft.data["source"] and mean is not None:
        draft.data["source"]["shapes"][first] = list(mean.shape)
    elif "shapes" in draft.data["source"] and not known:
        draft.data["source"]["shapes"][first] = sized(draft, first, usual, notes)


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
