"""One HDF5 file, opened with suspicion: which datasets make samples, and rows of them read with as few reads as there can be."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.data import manifest
from dltrain.data.manifest import Manifest
from dltrain.data.npy import installed
from dltrain.errors import DataError, did_you_mean
from dltrain.source import ANY_SIZE, Shape

Tops = dict[str, str]  # top -> dataset

CACHE = 256 << 20  # bytes of decoded chunks that are kept, shared by the files
SLOTS = 10_007  # places in that cache; a prime
CHUNK = 1 << 30  # bytes of a chunk, at most: it is decoded as a whole
SPAN = 1 << 16  # bytes within which rows are read together, gaps and all, where a dataset has no chunks
LONGEST = 1 << 24  # bytes of a list of files
BROKEN = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
)  # what a foreign file makes h5py raise
SHAPES = "dltrain/shapes"  # group of the shapes of samples that differ in size


@dataclass
class Part:
    """A file: its datasets by top, the shapes of a sample, and the manifest of one that dltrain wrote."""

    path: str
    datasets: dict[str, Any]
    count: int
    fields: dict[str, Shape]
    about: Manifest | None = None
    shapes: dict[str, Any] = field(default_factory=dict)  # top -> (count, axes) sizes of samples that differ
    starts: dict[str, Any] = field(default_factory=dict)  # top -> where each of them begins

    def kind(self, name: str) -> Any:
        """The type of a field in memory: bytes stay bytes."""
        found = self.datasets[name].dtype
        return np.int32 if self.fields[name].dtype == "index" else found if found == np.uint8 else np.float32

    def read(self, name: str, positions: Any, out: Any, rows: Any) -> None:
        """Puts the samples at `positions` (rising) into the rows of `out`; neighbours are read together."""
        dataset = self.datasets[name]
        chunk = dataset.chunks[0] if dataset.chunks else max(1, SPAN // max(1, dataset.dtype.itemsize * prod(dataset.shape[1:])))
        steps = np.diff(positions)
        apart = (steps > 1) & (np.diff(positions // chunk) > 0)
        for run in np.split(np.arange(len(positions)), np.flatnonzero(apart) + 1):
            first, last = int(positions[run[0]]), int(positions[run[-1]])
            got = self.slice(name, first, last + 1).reshape(last + 1 - first, *out.shape[1:])
            out[rows[run]] = got[positions[run] - first]

    def one(self, name: str, row: int) -> Any:
        """A sample of a field whose samples differ in size."""
        start, shape = int(self.starts[name][row]), tuple(int(size) for size in self.shapes[name][row])
        return self.slice(name, start, start + prod(shape)).reshape(shape)

    def slice(self, name: str, first: int, end: int) -> Any:
        try:
            return self.datasets[name][first:end]
        except BROKEN as error:
            raise broken(self.path, f"'{name}' cannot be read from row {first:,} on", error) from None


def broken(path: str, what: str, error: Exception) -> DataError:
    words = str(error).partition("\n")[0][:160] or type(error).__name__
    return DataError(f"{path}: {what} ({words}); the file is damaged: make it once more")


def listed_files(files: tuple[str, ...]) -> list[str]:
    """The files that a key names; a .txt names them, a word each, seen from where it is."""
    found: list[str] = []
    for name in files:
        if not name.endswith(".txt"):
            found.append(name)
            continue
        try:
            if not os.path.isfile(name) or os.path.getsize(name) > LONGEST:
                raise OSError(0, "no text file of a list's size")
            words = Path(name).read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{name}: cannot be read ({getattr(error, 'strerror', None) or error}); expected a list of files"
            ) from None
        if not words:
            raise DataError(f"{name}: lists no files; write an HDF5 file a line")
        found += [os.path.join(os.path.dirname(name), word) for word in words]
    return found


def opened(path: str, tops: Tops | None, files: int = 1) -> Part:
    """A file, one of so many, and those of its datasets that make samples, checked."""
    import h5py

    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file; expected an HDF5 file")
    if not os.path.getsize(path):
        raise DataError(f"{path}: is empty; expected an HDF5 file")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE // files, rdcc_nslots=SLOTS, locking=False)
    except BROKEN as error:
        words = str(error).partition("\n")[0][:160]
        raise DataError(f"{path}: is no HDF5 file, or is damaged or cut short ({words}); make it once more") from None
    try:
        about = manifest_of(file, path)
        wanted = tops or ({name: name for name in about.fields} if about is not None else tops_of(file, path))
        datasets = {top: dataset(file, path, name) for top, name in wanted.items()}
        made = assembled(path, datasets, about)
    except BROKEN as error:
        file.close()
        raise broken(path, "its datasets cannot be looked at", error) from None
    except DataError:
        file.close()
        raise
    weakref.finalize(made, file.close)
    return made


def assembled(path: str, datasets: dict[str, Any], about: Manifest | None) -> Part:
    """The datasets as fields of samples, all of one length."""
    part = Part(path, datasets, 0, {}, about)
    for top, each in datasets.items():
        shape = about.fields.get(top) if about is not None else None
        if shape is not None and ANY_SIZE in shape:
            count = differing(part, top, shape, next(iter(datasets.values())).file)
        else:
            count = len(each)
            part.fields[top] = Shape(each.shape[1:]) if shape is None else shape
            if tuple(part.fields[top]) != each.shape[1:]:
                other = f"'{top}' is {Shape(each.shape[1:])} where its manifest says {shape}"
                raise DataError(f"{path}: {other}; convert the data once more")
        part.count = part.count or count
        if count != part.count:
            first = next(iter(datasets))
            unlike = f"'{top}' has {count:,} samples and '{first}' {part.count:,}"
            raise DataError(f"{path}: {unlike}; all need as many, or name some: tops: [{first}]")
    if about is not None and about.count != part.count:
        raise DataError(f"{path}: has {part.count:,} samples where its manifest says {about.count:,}; convert the data once more")
    return part


def differing(part: Part, top: str, shape: Shape, file: Any) -> int:
    """Sets where each sample of a field lies whose samples differ in size; how many there are."""
    sizes = dataset(file, part.path, f"{SHAPES}/{top}")
    if sizes.ndim != 2 or sizes.shape[1] != len(shape) or sizes.dtype != np.int64:
        raise DataError(f"{part.path}: the sizes of '{top}' are damaged; convert the data once more")
    found = sizes[:]
    volumes = found.prod(axis=1, dtype=np.float64)
    fixed = [axis for axis, size in enumerate(shape) if size != ANY_SIZE]
    wrong = (found < 0).any() or volumes.sum() > 2.0**53 or (found[:, fixed] != np.array(shape)[fixed]).any()
    starts = np.concatenate([[0], np.cumsum(found.prod(axis=1))])
    if wrong or starts[-1] != part.datasets[top].shape[0] or part.datasets[top].ndim != 1:
        raise DataError(f"{part.path}: the sizes of '{top}' are damaged; convert the data once more")
    part.shapes[top], part.starts[top], part.fields[top] = found, starts[:-1], shape
    return len(found)


def manifest_of(file: Any, path: str) -> Manifest | None:
    """What dltrain wrote of the source; None in a file of somebody else's."""
    if not file.id.links.exists(manifest.NAME.partition("/")[0].encode()):
        return None
    found = dataset(file, path, manifest.NAME)
    if found.ndim != 1 or found.dtype != np.uint8 or found.nbytes > manifest.LARGEST:
        raise DataError(f"{path}: its manifest is damaged; convert the data once more")
    return manifest.read(found[:].tobytes(), path)


def tops_of(file: Any, path: str) -> Tops:
    """The datasets at the top of a file."""
    import h5py

    hard = {name: isinstance(file.get(name, getlink=True), h5py.HardLink) for name in file}
    names = [name for name, own in hard.items() if not own or file.get(name, getclass=True) is h5py.Dataset]
    if not names:
        inner = next((name for name in file), None)
        hint = f"; name them: tops: {{data: {inner}/…}}" if inner is not None else ""
        raise DataError(f"{path}: has no datasets at its top{hint or '; expected one a field'}")
    return {name: name for name in names}


def dataset(file: Any, path: str, name: str) -> Any:
    """A dataset of numbers that lies in the file itself, and is as large as it says."""
    import h5py

    node = file
    for word in [word for word in name.split("/") if word]:
        if not isinstance(node, h5py.Group) or not node.id.links.exists(word.encode()):  # `in` would follow links
            known = list(node) if isinstance(node, h5py.Group) else []
            raise DataError(f"{path}: has no dataset '{name}'; {did_you_mean(word, known)}")
        link = node.get(word, getlink=True)
        if not isinstance(link, h5py.HardLink):
            kind = f"into {link.filename}" if isinstance(link, h5py.ExternalLink) else f"to {link.path}"
            raise DataError(f"{path}: '{name}' is a link {kind}; name the dataset itself, in its own file")
        node = node[word]
    if not isinstance(node, h5py.Dataset):
        raise DataError(f"{path}: '{name}' is a group, no dataset; {did_you_mean('', [f'{name}/{each}' for each in node])}")
    if node.external or node.is_virtual:
        raise DataError(f"{path}: '{name}' keeps its numbers in other files; make one file of them")
    check(node, path, name)
    return node


def check(node: Any, path: str, name: str) -> None:
    """DataError where a dataset holds no numbers, no samples, or more than can be."""
    if node.dtype.kind not in "biuf":
        raise DataError(f"{path}: '{name}' holds elements of type {node.dtype}, not numbers; name others: tops: [data, label]")
    if node.shape is None or node.ndim == 0 or node.size == 0:
        lack = "no samples" if node.shape else "no axis of samples"
        raise DataError(f"{path}: '{name}' has {lack}; axis 0 counts the samples")
    held, chunk, memory = node.id.get_storage_size(), prod(node.chunks or ()) * node.dtype.itemsize, installed()
    if node.chunks is None and held < node.nbytes:
        raise DataError(f"{path}: '{name}' claims {node.nbytes:,} bytes and has {held:,}; make the file once more")
    if chunk > CHUNK:
        raise DataError(f"{path}: '{name}' has chunks of {chunk / 2**30:.1f} GiB; rewrite it with chunks of some samples each")
    if len(node) * 16 > memory or prod(node.shape[1:]) * node.dtype.itemsize > memory // 4:
        raise DataError(f"{path}: '{name}' claims {Shape(node.shape)} numbers, more than this machine can take in batches")
