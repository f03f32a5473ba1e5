"""One side of a race of loaders, a process of its own: reads a number of batches from stdin, answers with seconds a batch.

python -m benchmarks.loaders ours|ours2|full|scaled|torch0|torch2 "SET FOLDER" 0
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 0.5  # seconds
DRAIN = 8  # batches before each turn that do not count: some of them were made while the others ran
SHORT, SIDE = 256, 224
FAR = 100_000

SOURCES = {
    "jpeg": "{type: image_folder, root: ROOT, decode: full}",
    "mnist": "{type: mnist, root: ROOT/mnist}",
    "digits": "{type: arrays, file: ROOT/digits.npz}",
    "cifar": "{type: cifar10, root: ROOT/cifar10, partial: true}",
}
TRANSFORMS = {
    "jpeg": f"[{{resize: {SHORT}, side: short}}, {{crop: {SIDE}}}, {{mirror: 0.5}}]",
    "cifar": "[{pad: 4}, {crop: 32}, {mirror: 0.5}]",
}
BATCHES = {"jpeg": 32, "mnist": 64, "digits": 64, "cifar": 100}
WORKERS = {"jpeg": "workers: 2"}  # elsewhere what dltrain takes by itself


def feed(side: str, name: str, folder: str, workers: str | None = None) -> Any:
    """Our feed of one set, opened."""
    import dltrain.catalogue  # noqa: F401
    from dltrain.marks import parse
    from dltrain.supply import read_feed

    source = SOURCES[name].replace("ROOT", folder).replace("full", side)
    document = parse(f"data:\n  source: {source}\n  batch_size: {BATCHES[name]}\n  transform: {TRANSFORMS.get(name, '[]')}\n"
                     f"  {WORKERS.get(name, '') if workers is None else workers}\n")  # fmt: skip
    made, error = read_feed(document, document.value["data"], 1, None)
    document.raise_mistakes()
    if error is not None:
        raise error
    return made


def ours(side: str, name: str, folder: str) -> tuple[Callable[[], Any], str]:
    numbers, made = iter(range(10**9)), feed(side, name, folder, "workers: 2" if side == "ours2" else None)
    return lambda: made.train_batch(next(numbers)), f"dltrain, {made.threads} threads, numpy {np.__version__}"


class Pictures:
    """A folder of pictures as a data set of PyTorch, read with Pillow."""

    def __init__(self, folder: str) -> None:
        self.files = sorted(Path(folder).rglob("*.jpg"))
        names = sorted({file.parent.name for file in self.files})
        self.labels = [names.index(file.parent.name) for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch
        from PIL import Image

        with Image.open(self.files[index]) as file:
            image = file.convert("RGB")
        short = min(image.size)
        width, height = (max(SHORT, round(side * SHORT / short)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        a, b = random.randint(0, height - SIDE), random.randint(0, width - SIDE)
        x = np.asarray(image.crop((b, a, b + SIDE, a + SIDE)))
        if random.random() < 0.5:
            x = x[:, ::-1]
        return torch.from_numpy(x.transpose(2, 0, 1).astype(np.float32, order="C")), self.labels[index]


class Small:
    """Pictures in memory, already padded: a crop, perhaps mirrored, as floats."""

    def __init__(self, x: Any, labels: Any, pad: int) -> None:
        self.x, self.labels, self.room = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))), labels, 2 * pad
        self.size = x.shape[2]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch

        a, b = random.randint(0, self.room), random.randint(0, self.room)
        x = self.x[index, :, a : a + self.size, b : b + self.size]
        if random.random() < 0.5:
            x = x[:, :, ::-1]
        return torch.from_numpy(x.astype(np.float32, order="C")), int(self.labels[index])


def data_set(name: str, folder: str) -> Any:
    """What PyTorch's loader reads; arrays in memory come from our source, so that both have the same samples."""
    import torch

    if name == "jpeg":
        return Pictures(folder)
    source = feed("", name, folder).source
    x, labels = (source.arrays[field] for field in ("data", "label")) if hasattr(source, "arrays") else digits(folder)
    rows = source.splits["train"]
    if name == "cifar":
        return Small(x[rows], labels[rows], 4)
    return torch.utils.data.TensorDataset(
        torch.from_numpy(x[rows].astype(np.float32)), torch.from_numpy(labels[rows].astype(np.int64))
    )


def digits(folder: str) -> Any:
    with np.load(f"{folder}/digits.npz") as arrays:
        return arrays["data"], arrays["label"]


def torch_side(workers: int, name: str, folder: str) -> tuple[Callable[[], Any], str]:
    """PyTorch's loader over an endless shuffled order, so that no epoch ends."""
    import torch
    from torch.utils.data import DataLoader, RandomSampler

    data = data_set(name, folder)
    sampler = RandomSampler(data, num_samples=10**8)
    batches = iter(DataLoader(data, BATCHES[name], sampler=sampler, num_workers=workers))
    return lambda: next(batches), f"torch {torch.__version__} DataLoader, {workers} processes"


def side_of(side: str, name: str, folder: str) -> tuple[Callable[[], Any], str]:
    return torch_side(int(side[5:]), name, folder) if side.startswith("torch") else ours(side, name, folder)


def mean(step: Callable[[], Any], count: int) -> float:
    """Seconds a batch.  Single batches come in bunches, as workers have them ready, so only the mean tells something."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def main(side: str, name: str, folder: str) -> None:
    step, about = side_of(side, name, folder)
    mean(step, 1)
    mean(step, max(1, int(WARM_UP / mean(step, 4))))
    print(json.dumps({"about": about}), flush=True)
    for line in sys.stdin:
        mean(step, DRAIN)
        print(json.dumps([mean(step, int(line))]), flush=True)


def first(side: str, name: str, folder: str) -> Iterator[tuple[str, float]]:
    """Seconds to the first batch of a fresh process, and (ours) to batch 0 and to one far on, each of a fresh feed."""
    start = time.perf_counter()
    step, _ = side_of(side, name, folder)
    opened = time.perf_counter()
    step()
    yield "first", time.perf_counter() - start
    yield "batch", time.perf_counter() - opened
    for number in () if side.startswith("torch") else (0, FAR):
        fresh = feed(side, name, folder, "workers: 0")
        start = time.perf_counter()
        fresh.train_batch(number)
        yield str(number), time.perf_counter() - start


if __name__ == "__main__":
    said = sys.argv[1], *sys.argv[2].split(" ", 1)
    if sys.argv[3] == "first":
        print(json.dumps(dict(first(*said))))  # type: ignore[arg-type]
    else:
        main(*said)  # type: ignore[arg-type]
