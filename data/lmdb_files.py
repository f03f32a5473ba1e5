"""LMDB: databases of Caffe's Datum records, and our own."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dltrain.data import manifest, records
from dltrain.data.absent import Absent
from dltrain.data.datum import Datum, data_ends, parse
from dltrain.data.lmdb_pages import Pages
from dltrain.data.manifest import Manifest
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Arrays, Shape, source, varies

FIRST = 64  # bytes of a record in which all that stands before its picture lies
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # of encoded pictures
LOOKED_AT = 64  # records, evenly over the database, that tell whether pictures are of one size


@dataclass
class Store:
    """One database: its records, and the manifest of one that dltrain wrote."""

    path: str
    pages: Pages
    about: Manifest | None
    count: int


@source("lmdb")
class LmdbFiles(Absent):
    """Databases of Datum records (Caffe's), or of what dltrain data convert writes; samples in the order of their keys.

    file: F.lmdb             everything is train; one of our own has its fields, splits and names with it
    train, val, test: F      own splits, alike in their fields

    data    C x H x W: bytes 0 .. 255, or the numbers of float_data; an encoded picture is decoded, to `color`, and a raw one
            stays as it is stored (Caffe's convert_imageset stores BGR)
    label   the Datum's whole number

    `sizes` says whether pictures are alike or differ in size; unsaid, 64 records evenly over the database tell.  `shapes`,
    {data: [3, 256, 256], label: []}, counts only while a database is missing: the net can then be built all the same.
    measured: [label] makes the label a number for a regression.
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "train", "val", "test")

    file: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    color: Literal["rgb", "bgr", "grey"] = "rgb"
    sizes: Literal["alike", "differ"] | None = None

    def said(self) -> dict[str, str]:
        """The database of each split."""
        said = {split: path for split in ("train", "val", "test") if (path := getattr(self, split)) is not None}
        if (self.file is None) == ("train" not in said) or (self.file is not None and said):
            raise DataError("lmdb: needs file: F.lmdb, or train: F.lmdb with val and test beside it; not both, and one of them")
        return said if self.file is None else {"train": self.file}

    def promised(self) -> dict[str, Shape]:
        return self.promise(self.said().values(), ("label",))

    def open(self) -> None:
        said = self.said()
        self.stores = [opened(path) for path in said.values()]
        self.starts = np.cumsum([0, *(store.count for store in self.stores)])
        self.classes, self.names = {}, {}
        found = [self.found(store) for store in self.stores]
        for store, fields in zip(self.stores, found):
            if (ours := written(fields)) != (first := written(found[0])):
                raise DataError(f"{store.path}: has {ours}, and {self.stores[0].path} {first}; splits must be alike")
        self.fields = found[0]
        self.check_measured()
        self.splits = {split: np.arange(*self.starts[at : at + 2]) for at, split in enumerate(said)}
        for store in self.stores[::-1]:
            if store.about is not None:
                self.classes, self.names = store.about.classes, store.about.names
        if self.file is not None and (about := self.stores[0].about) is not None:
            about.hand_to(self)

    def found(self, store: Store) -> dict[str, Shape]:
        """The fields of a database: as its manifest says, or as some of its records are."""
        if store.about is not None:
            return store.about.fields
        some = np.unique(np.linspace(0, store.count - 1, LOOKED_AT if self.sizes is None else 1).astype(int))
        found = [self.looked_at(store, int(index)) for index in some]
        first = found[0]
        if self.sizes == "differ" or (self.sizes is None and len(set(found)) > 1):
            first = (first[0], ANY_SIZE, ANY_SIZE)
        return {"data": Shape(first), "label": Shape((), "float" if "label" in self.measured else "index")}

    def looked_at(self, store: Store, number: int) -> tuple[int, ...]:
        """The shape of a picture."""
        try:
            shape: tuple[int, ...] = self.picture(parse(store.pages.value(number)), None).shape
        except (ValueError, OSError) as error:
            raise damaged(store, number, error) from None
        return shape

    def __len__(self) -> int:
        return int(self.starts[-1])

    def at(self, index: int) -> tuple[Store, int]:
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.stores[number], index - int(self.starts[number])

    def identify(self, index: int) -> str:
        store, number = self.at(index)
        if store.about is not None:
            return store.about.identify(number, f"record {number} of {store.path}")
        return store.pages.key(number).decode("utf-8", "backslashreplace")

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        store, number = self.at(index)
        try:
            made = self.datum(store, number, wanted) if store.about is None else self.record(store, number, wanted)
        except (ValueError, OSError) as error:
            raise damaged(store, number, error) from None
        for name, array in made.items():
            self.fit(store, number, name, array.shape)
        return made

    def load(self, path: Path) -> Arrays:
        """A picture as Caffe's databases hold theirs: grey where they have one channel, blue first where `color` is bgr."""
        from dltrain.data.image import read_image

        first = next(iter(self.fields))
        grey = self.color == "grey" or self.fields[first][:1] == (1,)
        x = read_image(path, "grey" if grey else "rgb")
        ours = any(store.about is not None for store in getattr(self, "stores", ()))
        return {first: x[::-1] if self.color == "bgr" and not grey and not ours else x}

    def datum(self, store: Store, number: int, wanted: Collection[str]) -> Arrays:
        """The wanted fields of Caffe's message; the label without reading the picture."""
        if "data" not in wanted:
            return {"label": np.int32(labelled(store.pages, number).label)}
        datum = parse(store.pages.value(number))
        least = self.least if varies(self.fields["data"]) else None
        made = {"data": self.picture(datum, least), "label": np.int32(datum.label)}
        return {name: made[name] for name in wanted}

    def picture(self, datum: Datum, least: tuple[int, int] | None) -> Any:
        return decoded(datum, self.color, least) if datum.encoded else datum.array()

    def record(self, store: Store, number: int, wanted: Collection[str]) -> Arrays:
        """The wanted fields of a record of ours; those of small size without reading the rest."""
        if len(wanted) == len(self.fields):
            return records.decode(store.pages.value(number), wanted)
        head = store.pages.part(number, 0, records.HEAD)
        try:
            places = records.layout(head, int(store.pages.size[number]))
            picked = {name: places[name] for name in wanted}
        except (IndexError, KeyError):  # a head of many fields, or a damaged one
            return records.decode(store.pages.value(number), wanted)
        return {
            name: place.array(store.pages.part(number, place.start, place.size), place.start) for name, place in picked.items()
        }

    def fit(self, store: Store, number: int, name: str, shape: tuple[int, ...]) -> None:
        """DataError where a sample has another shape than the field."""
        field = self.fields[name]
        if len(shape) != len(field) or any(own not in (size, ANY_SIZE) for own, size in zip(field, shape)):
            way_out = "say sizes: differ, and resize in data.transform" if len(shape) == 3 else "mend it"
            raise damaged(store, number, f"has '{name}' of {Shape(shape)} where others have {field}", way_out)


def opened(path: str) -> Store:
    """A database, checked, with its manifest where it has one."""
    pages = Pages(Path(path))
    if len(pages) == 0:
        raise DataError(f"{path}: holds no records; expected a sample a record")
    try:
        place = pages.find(manifest.NAME.encode())
        if place is None:
            return Store(path, pages, None, len(pages))
        if int(pages.size[place]) > manifest.LARGEST:
            raise ValueError("has a manifest larger than any")
        about = manifest.read(pages.value(place), path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: {error}; copy it here once more") from None
    if about.count != place or place != len(pages) - 1:
        held = f"holds {len(pages) - 1:,} records where its manifest says {about.count:,}"
        raise DataError(f"{path}: {held}; convert the data once more")
    return Store(path, pages, about, about.count)


def written(fields: dict[str, Shape]) -> str:
    return ", ".join(f"{name} {shape.dtype} {shape}" for name, shape in fields.items())


def labelled(pages: Pages, number: int) -> Datum:
    """A Datum without its picture: what stands before and behind that is read alone."""
    head, size = pages.part(number, 0, FIRST), int(pages.size[number])
    ends = data_ends(head)
    if ends is None or ends[1] > size:
        return parse(pages.value(number))
    start, end = ends
    return parse(pages.part(number, end, size - end), parse(head[:start]))


def damaged(store: Store, number: int, error: object, way_out: str = "mend it, or say on_error: skip") -> DataError:
    name = store.pages.key(number).decode("utf-8", "backslashreplace")
    words = getattr(error, "strerror", None) or error
    return DataError(f"{store.path}: record {number} ('{name[:100]}') {words}; {way_out}")


def decoded(datum: Datum, color: str, least: tuple[int, int] | None) -> Any:
    """C x H x W bytes of an encoded picture; ValueError where it is none."""
    from dltrain.data import image

    pillow = image.quiet_pillow()
    try:
        with pillow.open(io.BytesIO(datum.data), formats=FORMATS) as picture:
            if picture.width * picture.height > image.MOST:
                raise ValueError(f"says that it has more than {image.MOST:,} pixels")
            x = image.pixels(picture, "grey" if color == "grey" else "rgb", least)
    except Exception as error:  # a foreign file can make its reader raise anything
        words = str(error).partition("\n")[0][:100] or type(error).__name__
        raise ValueError(f"holds no picture that can be decoded ({words})") from None
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)[:: -1 if color == "bgr" else 1]
