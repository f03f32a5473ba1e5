"""The files of CIFAR: binary records or pickles, plain, gzipped or in an archive; hostile until checked."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dltrain.data.plain_pickle import read_pickle
from dltrain.errors import DataError

PIXELS = 3 * 32 * 32
MEMBERS = 100  # of an archive; the real ones have ten
SPARE = 100  # bytes a picture that a pickle has beside its pixels: its file's name, its labels
Part = tuple[Any, dict[str, Any]]  # (N, 3, 32, 32) bytes, and an array for each label


@dataclass(frozen=True)
class Kind:
    """A set as its maker gives it away."""

    name: str
    parts: dict[str, int]  # name of a file -> its pictures; those of test are last
    keys: dict[str, str]  # label -> its key in the Python form; in the order of the bytes of a binary record
    words: dict[str, str]  # label -> its classes, in order
    folders: tuple[str, ...]
    archives: tuple[str, ...]

    @property
    def names(self) -> dict[str, list[str]]:
        return {label: words.split() for label, words in self.words.items()}

    @property
    def record(self) -> int:
        return len(self.keys) + PIXELS


def read_parts(kind: Kind, found: dict[str, Path]) -> dict[str, Part]:
    """The parts that the files, or the archive, have."""
    if "" in found:
        return from_archive(kind, found[""])
    parts = {}
    for name, path in found.items():
        with opened(path) as file:
            with damage_told(path, way_out(kind, name)):
                parts[name] = read_part(kind, name, path.name, content(file, bound(kind, name)))
    return parts


@contextmanager
def damage_told(path: Path, way_out: str) -> Iterator[None]:
    """What reading a foreign file raises, as a message."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{path}: {error}; {way_out}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise DataError(f"{path}: is damaged or cut short ({error}); {way_out}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); make the file readable") from None


def way_out(kind: Kind, name: str) -> str:
    return f"expected up to {kind.parts[name]:,} pictures of {kind.name}, binary or as a pickle; get the file again"


def bound(kind: Kind, name: str) -> int:
    """Bytes that a part may have."""
    return kind.parts[name] * (kind.record + SPARE) + (1 << 16)


def opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from None


def content(file: Any, most: int) -> bytes:
    """The bytes of a file, unpacked where it is gzipped; ValueError where there are too many."""
    packed = file.peek(2)[:2] == b"\x1f\x8b"
    with gzip.GzipFile(fileobj=file) if packed else file as stream:
        found: bytes = stream.read(most + 1)
    if len(found) > most:
        raise ValueError(f"has more than {most:,} bytes")
    return found


def read_part(kind: Kind, name: str, file: str, found: bytes) -> Part:
    """The pictures and labels of one file; ValueError says what is wrong with it."""
    made = from_binary(kind, found) if ".bin" in file else from_pickle(kind, found)
    if not 0 < len(made[0]) <= kind.parts[name]:
        raise ValueError(f"has {len(made[0]):,} pictures")
    for label, words in kind.names.items():
        row = int(made[1][label].argmax())
        if made[1][label][row] >= len(words):
            raise ValueError(f"has the {label} {made[1][label][row]} at picture {row}, beyond {len(words) - 1}")
    return made


def from_binary(kind: Kind, found: bytes) -> Part:
    """Records: a byte for each label, then the rows of red, of green, of blue."""
    if len(found) % kind.record:
        raise ValueError(f"ends within a record: {len(found):,} bytes are no multiple of {kind.record:,}")
    records = np.frombuffer(found, np.uint8).reshape(-1, kind.record)
    labels = {label: records[:, place].astype(np.int32) for place, label in enumerate(kind.keys)}
    return records[:, len(kind.keys) :].reshape(-1, 3, 32, 32), labels


def from_pickle(kind: Kind, found: bytes) -> Part:
    """A dictionary: data, N x 3072 bytes, and a list for each label."""
    said = read_pickle(found)
    if not isinstance(said, dict):
        raise ValueError("holds no dictionary")
    said = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in said.items()}
    data = said.get("data")
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == PIXELS):
        raise ValueError(f"has no 'data' of N x {PIXELS} bytes")
    labels = {}
    for label, key in kind.keys.items():
        values = said.get(key)
        if not (isinstance(values, list) and len(values) == len(data) and all(type(v) is int and 0 <= v < 256 for v in values)):
            raise ValueError(f"has no '{key}' of {len(data):,} small whole numbers")
        labels[label] = np.array(values, np.int32)
    return data.reshape(-1, 3, 32, 32), labels


class Bounded:
    """A stream that ends, with ValueError, after so many bytes."""

    def __init__(self, stream: Any, left: int) -> None:
        self.stream, self.left = stream, left

    def read(self, size: int = -1) -> bytes:
        found: bytes = self.stream.read(min(size if size >= 0 else self.left + 1, self.left + 1))
        self.left -= len(found)
        if self.left < 0:
            raise ValueError("unpacks to more than the set has")
        return found


def from_archive(kind: Kind, path: Path) -> dict[str, Part]:
    """The parts in a .tar.gz, read as they pass by: nothing is unpacked to the disk, and what has another name is passed over."""
    parts: dict[str, Part] = {}
    largest = sum(bound(kind, name) for name in kind.parts)
    expected = f"expected the archive of {kind.name}, such as {kind.archives[0]}"
    with opened(path) as file, damage_told(path, expected), gzip.GzipFile(fileobj=file) as unpacked:
        stream: Any = Bounded(unpacked, largest)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for number, member in enumerate(archive):
                name = member.name.rpartition("/")[2].removesuffix(".bin")
                if number >= MEMBERS:
                    raise ValueError(f"has more than {MEMBERS} members")
                if name in kind.parts and member.isreg() and member.size <= bound(kind, name):
                    inner: Any = archive.extractfile(member)
                    parts[name] = read_part(kind, name, member.name, inner.read())
    if not parts:
        raise DataError(f"{path}: has none of {', '.join(kind.parts)}; {expected}")
    return parts


CIFAR10 = Kind(
    "cifar10",
    {**{f"data_batch_{number}": 10_000 for number in range(1, 6)}, "test_batch": 10_000},
    {"label": "labels"},
    {"label": "airplane automobile bird cat deer dog frog horse ship truck"},
    ("cifar-10-batches-bin", "cifar-10-batches-py"),
    ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"),
)
CIFAR100 = Kind(
    "cifar100",
    {"train": 50_000, "test": 10_000},
    {"coarse": "coarse_labels", "label": "fine_labels"},
    {
        "coarse": """
            aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
            insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
            medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2""",
        "label": """
            apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
            caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
            forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
            mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
            possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
            sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
            willow_tree wolf woman worm""",
    },
    ("cifar-100-binary", "cifar-100-python"),
    ("cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"),
)
