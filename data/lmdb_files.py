"""LMDB: databases of Caffe's Datum records, and our own."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dltrain.data import manifest, records
from dltrain.data.datum import Datum, data_ends, parse
from dltrain.data.lmdb_pages import Pages
from dltrain.data.manifest import Manifest
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, source

FIRST = 64  # bytes of a record in which all that stands before its picture lies
LOOKED_AT = 64  # records, evenly over the database, that tell whether pictures are of one size
PIXELS = 1 << 28  # at most, in an encoded picture
MODES = {"rgb": "RGB", "bgr": "RGB", "gray": "L"}


@dataclass
class Store:
    """One database: its records, and the manifest of one that dltrain wrote."""

    path: str
    pages: Pages
    about: Manifest | None
    count: int


@source("lmdb")
class LmdbFiles(Source):
    """Databases of Datum records (Caffe's), or of what dltrain data convert writes; samples in the order of their keys.

    file: F.lmdb             everything is train; one of our own has its fields, splits and names with it
    train, val, test: F      own splits, alike in their fields

    data    C x H x W: bytes 0 .. 255, or the numbers of float_data; an encoded picture is decoded, to `color`, and a raw one
            stays as it is stored (Caffe's convert_imageset stores BGR)
    label   the Datum's whole number

    `sizes` says whether pictures are alike or differ in size; unsaid, 64 records evenly over the database tell.
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "train", "val", "test")

    file: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    sizes: Literal["alike", "differ"] | None = None

    def open(self) -> None:
        said = {split: path for split in ("train", "val", "test") if (path := getattr(self, split)) is not None}
        if (self.file is None) == ("train" not in said) or (self.file is not None and said):
            raise DataError("lmdb: needs file: F.lmdb, or train: F.lmdb with val and test beside it; not both, and one of them")
        self.stores = [opened(path) for path in ([self.file] if self.file is not None else said.values())]
        self.starts = np.cumsum([0, *(store.count for store in self.stores)])
        self.classes, self.names = {}, {}
        found = [self.shapes(store) for store in self.stores]
        for store, fields in zip(self.stores, found):
            if (ours := written(fields)) != (first := written(found[0])):
                raise DataError(f"{store.path}: has {ours}, and {self.stores[0].path} {first}; splits must be alike")
        self.fields = found[0]
        self.splits = {split: np.arange(*self.starts[at : at + 2]) for at, split in enumerate(said or ("train",))}
        for store in self.stores[::-1]:
            if store.about is not None:
                self.classes, self.names = store.about.classes, store.about.names
        if self.file is not None and (about := self.stores[0].about) is not None:
            about.hand_to(self)

    def shapes(self, store: Store) -> dict[str, Shape]:
        """The fields of a database: as its manifest says, or as some of its records are."""
        if store.about is not None:
            return store.about.fields
        some = np.unique(np.linspace(0, store.count - 1, LOOKED_AT if self.sizes is None else 1).astype(int))
        found = {self.picture(store, int(index)).shape for index in some}
        first = self.picture(store, 0).shape
        if self.sizes == "differ" or (self.sizes is None and len(found) > 1):
            first = (first[0], ANY_SIZE, ANY_SIZE)
        return {"data": Shape(first), "label": Shape((), "index")}

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
            if store.about is not None:
                return self.record(store, number, wanted)
            if "data" not in wanted:
                return {"label": np.int32(labelled(store, number).label)}
            made = {"data": self.picture(store, number), "label": np.int32(0)}
            if "label" in wanted:
                made["label"] = np.int32(labelled(store, number).label)
            return {name: made[name] for name in wanted}
        except (ValueError, OSError) as error:
            words = getattr(error, "strerror", None) or error
            raise damaged(store, number, words) from None

    # --- our own records ---
    def record(self, store: Store, number: int, wanted: Collection[str]) -> Arrays:
        """The wanted fields of a record; those of small size without reading the rest."""
        if len(wanted) == len(self.fields):
            made = records.decode(store.pages.value(number), wanted)
        else:
            made = self.some(store.pages, number, wanted)
        for name, array in made.items():
            self.fit(store, number, name, array.shape)
        return made

    def some(self, pages: Pages, number: int, wanted: Collection[str]) -> Arrays:
        head = pages.part(number, 0, records.HEAD)
        try:
            places = records.layout(head, int(pages.size[number]))
            picked = {name: places[name] for name in wanted}
        except (IndexError, KeyError):  # a head of many fields, or a damaged one
            return records.decode(pages.value(number), wanted)
        return {name: place.array(pages.part(number, place.start, place.size), place.start) for name, place in picked.items()}

    # --- Datum records ---
    def picture(self, store: Store, number: int) -> Any:
        """The data of a Datum, decoded where it is encoded."""
        try:
            datum = parse(store.pages.value(number))
            array = decoded(bytes(datum.data), self.color) if datum.encoded else datum.array()
        except (ValueError, OSError) as error:
            raise damaged(store, number, getattr(error, "strerror", None) or error) from None
        if hasattr(self, "fields"):
            self.fit(store, number, "data", array.shape)
        return array

    def fit(self, store: Store, number: int, name: str, shape: tuple[int, ...]) -> None:
        """DataError where a sample has another shape than the field."""
        field = self.fields[name]
        if len(shape) != len(field) or any(size not in (own, ANY_SIZE) for own, size in zip(shape, field)):
            way_out = "say sizes: differ, and resize in data.transform" if len(shape) == 3 else "mend it"
            raise damaged(store, number, f"has '{name}' of {Shape(shape)}, where others have {field}", way_out)


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
        raise DataError(f"{path}: {error}; copy it from where it came from once more") from None
    if about.count != place or place != len(pages) - 1:
        raise DataError(f"{path}: holds {len(pages) - 1:,} records where its manifest says {about.count:,}; convert the data once more")
    return Store(path, pages, about, about.count)


def written(fields: dict[str, Shape]) -> str:
    return ", ".join(f"{name} {shape.dtype} {shape}" for name, shape in fields.items())


def labelled(store: Store, number: int) -> Datum:
    """A Datum without its picture: what stands before and behind that is read alone."""
    pages = store.pages
    head = pages.part(number, 0, FIRST)
    ends = data_ends(head)
    if ends is None or ends[1] > int(pages.size[number]):
        return parse(pages.value(number))
    start, end = ends
    return parse(pages.part(number, end, int(pages.size[number]) - end), parse(head[:start]))


def damaged(store: Store, number: int, words: object, way_out: str = "mend it, or say on_error: skip") -> DataError:
    name = store.pages.key(number).decode("utf-8", "backslashreplace")
    return DataError(f"{store.path}: record {number} ('{name[:100]}') {words}; {way_out}")


def decoded(blob: bytes, color: str) -> Any:
    """C x H x W bytes from a JPEG or PNG file; ValueError where it is none."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("lmdb: encoded pictures need Pillow, which is not installed; pip install 'dltrain[images]'") from None
    try:
        with Image.open(io.BytesIO(blob), formats=("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"holds a picture of {image.width:,} x {image.height:,}")
            array = np.asarray(image.convert(MODES[color]))
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"holds no picture that can be decoded ({error})") from None
    if array.ndim == 2:
        return array[None]
    return array.transpose(2, 0, 1)[:: -1 if color == "bgr" else 1]
