"""Makes digits.npz from scikit-learn's copy of the data set, byte for byte the same each time: python data/make_digits.py"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = {"test": 360, "val": 180}  # train is the rest: 1,257
SEED = 1


def draw_splits(labels: Any) -> dict[str, Any]:
    """Which samples are train, val and test: of each class its share, drawn by SHA-256, which no library changes."""
    order = sorted(range(len(labels)), key=lambda index: hashlib.sha256(f"digits {SEED} {index}".encode()).digest())
    waiting = {label: [index for index in order if labels[index] == label] for label in range(10)}
    sizes = {label: len(indices) for label, indices in waiting.items()}
    splits = {}
    for name, total in SPLITS.items():
        taken = share(sizes, total)
        splits[name] = sorted(index for label, count in taken.items() for index in waiting[label][:count])
        waiting = {label: indices[taken[label] :] for label, indices in waiting.items()}
    splits["train"] = sorted(index for indices in waiting.values() for index in indices)
    return {name: np.array(splits[name], "<u2") for name in ("train", "val", "test")}


def share(sizes: dict[int, int], total: int) -> dict[int, int]:
    """`total` places over the classes in proportion; those with the largest remainders round up."""
    whole = sum(sizes.values())
    taken = {label: size * total // whole for label, size in sizes.items()}
    largest = sorted(sizes, key=lambda label: -(sizes[label] * total % whole))
    for label in largest[: total - sum(taken.values())]:
        taken[label] += 1
    return taken


def pack(arrays: dict[str, Any]) -> bytes:
    """An .npz archive without what differs from day to day: no dates, and no compression, which differs between zlibs."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        for name, array in arrays.items():
            text = io.BytesIO()
            np.lib.format.write_array(text, array, version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is made
            members.writestr(member, text.getvalue())
    return archive.getvalue()


def make() -> bytes:
    """The bytes of digits.npz."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.uint8)
    images = np.round(digits.images * 255 / 16).astype(np.uint8)  # 0 .. 16 to 0 .. 255
    return pack({"data": images, "label": labels, **draw_splits(labels)})


if __name__ == "__main__":
    (Path(__file__).parent / "digits.npz").write_bytes(make())
