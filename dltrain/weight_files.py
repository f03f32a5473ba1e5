"""Files of weights, whoever wrote them, read into one form: arrays by their path in a snapshot of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dltrain import snapshot
from dltrain.errors import DataError, SnapshotError
from dltrain.weight_names import OWN, Arrays, in_order, ours

KINDS = ".h5 (a snapshot, or .caffemodel.h5), .caffemodel, .npz, .safetensors"
FOREIGN = {  # files that are not read, and the way out
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"),
                    "is a pickle, which could run anything; in PyTorch: safetensors.torch.save_file(net.state_dict(), FILE)"),
    ".onnx": "holds a net as well as weights; dltrain import onnx takes both",
    ".npy": "holds one array without a name; np.savez takes arrays by name",
}  # fmt: skip
PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def read(path: Path) -> Arrays:
    """data/LAYER/INDEX and states/LAYER.ROLE -> array, in the order of the file where it keeps one."""
    suffix = path.suffix.lower()
    if suffix in FOREIGN:
        raise DataError(f"{path}: {FOREIGN[suffix]}")
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; give a file of weights: {KINDS}")
        if not path.is_file():
            raise (DataError if suffix in READERS else SnapshotError)(f"{path}: there is no such file of weights")
        path.open("rb").close()
        found = READERS.get(suffix, read_hdf5)(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); make the file readable") from None
    except ValueError as error:  # of `ours`
        raise DataError(f"{path}: {error}; write it with a name for each array") from None
    if not found:
        raise DataError(f"{path}: holds no weights")
    strange = next((name for name in found if not OWN.fullmatch(name)), None)
    if strange is not None:
        raise DataError(f"{path}: '{strange}' is no name of an array: data/LAYER/INDEX or states/LAYER.ROLE")
    return found if keeps_order(path) else in_order(found)


def keeps_order(path: Path) -> bool:
    """Whether the arrays lie in the file as they were given; HDF5 and safetensors sort them."""
    return path.suffix.lower() in (".npz", ".caffemodel")


def read_hdf5(path: Path) -> Arrays:
    """A snapshot of ours, held against its digest; else the groups data (as in .caffemodel.h5) and states."""
    try:
        found = snapshot.read(path).arrays
    except SnapshotError as error:
        if "not a snapshot" not in str(error):
            raise
        found = snapshot.read_arrays(path, "data") | snapshot.read_arrays(path, "states")
    made = {nested(name): array for name, array in found.items() if name.startswith(("data/", "states/"))}
    if not made:
        raise SnapshotError(f"{path}: holds no weights: neither a snapshot nor a .caffemodel.h5")
    return made


def nested(name: str) -> str:
    """Groups within groups are a layer whose name has a slash: data/a/b/0 is data/a%2Fb/0."""
    group, _, rest = name.partition("/")
    layer, slash, part = rest.rpartition("/")
    return f"{group}/{layer.replace('/', '%2F')}{slash}{part}" if group == "data" else f"{group}/{rest.replace('/', '%2F')}"


def read_caffemodel(path: Path) -> Arrays:
    """Caffe's binary file, whatever its age."""
    from dltrain.caffe.blobs import read_weights

    made: Arrays = {}
    for layer, blobs in read_weights(path):
        for index, blob in enumerate(blobs):
            made.setdefault(f"data/{layer.replace('/', '%2F')}/{index}", blob)
    return made


def read_npz(path: Path) -> Arrays:
    """Arrays by name, as np.savez writes them; nothing in the file is run."""
    from dltrain.data.npy import load_npz

    return ours(load_npz(path))


def read_safetensors(path: Path) -> Arrays:
    """Arrays by name; the library checks that they lie within the file and do not overlap."""
    library = safetensors_or_words(path)
    try:
        parts = library.deserialize(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); make the file readable") from None
    except Exception as error:  # the library's own kind, and what else a foreign file may make it raise
        words = re.sub(r"\s+", " ", str(error))[:100]
        raise DataError(f"{path}: is no whole .safetensors file ({words}); get the file again") from None
    return ours({name: unpacked(path, name, said) for name, said in parts})


def safetensors_or_words(path: Path) -> Any:
    """The library, or one line that says how to get it."""
    try:
        import safetensors
    except ImportError:
        raise DataError(f"{path}: needs safetensors, which is not installed: pip install 'dltrain[safetensors]'") from None
    return safetensors


def unpacked(path: Path, name: str, said: dict[str, Any]) -> Any:
    """One array; bfloat16, which NumPy lacks, is the upper half of a float32."""
    if said["dtype"] == "BF16":
        wide = np.frombuffer(said["data"], "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(said["shape"])
    if said["dtype"] not in PLAIN:
        raise DataError(f"{path}: '{name}' is of type {said['dtype']}, which is not read; write it as float32")
    return np.frombuffer(said["data"], PLAIN[said["dtype"]]).reshape(said["shape"])


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".caffemodel": read_caffemodel, ".npz": read_npz, ".safetensors": read_safetensors,
}  # fmt: skip
