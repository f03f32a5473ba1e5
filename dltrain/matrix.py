"""A square matrix from a file: numbers that a key of a layer names and that no training changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain.data.npy import load_npz, map_npy
from dltrain.errors import DataError, Refusal


def read_matrix(path: str, size: int) -> Any:
    """The size x size numbers of an .npy file, or of an .npz file with one array; Refusal of the key `source` else."""
    file = Path(path)
    try:
        arrays = list(load_npz(file).values()) if file.suffix == ".npz" else [map_npy(file)]
    except DataError as error:
        raise Refusal("source", str(error)) from None
    if len(arrays) != 1:
        raise Refusal("source", f"{path}: holds {len(arrays)} arrays; save the matrix alone")
    if arrays[0].size != size * size:
        shape = " x ".join(map(str, arrays[0].shape))
        raise Refusal("source", f"{path}: must hold {size} x {size} numbers, one for each pair of classes, not {shape}")
    return arrays[0].reshape(size, size).astype(float)
