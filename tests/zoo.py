"""The nets of configs/ as the tests look at them: without their data, and small enough for a gradient in float64."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from dltrain import config as configs
from dltrain.config import Config
from dltrain.data.statistics import Whiten
from dltrain.errors import ConfigError
from dltrain.marks import Document
from dltrain.net import Net
from dltrain.source import ANY_SIZE, Shape, Source
from dltrain.wiring import Line

CONFIGS = Path(__file__).parent.parent / "configs"
SIDES = (32, 48, 64, 96, 128, 160, 188, 224)  # of a picture, from small to large
CLASS = Shape((), "index")
PICTURES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "emnist": (1, 28, 28), "cifar10": (3, 32, 32),
            "cifar100": (3, 32, 32), "image_folder": (3, ANY_SIZE, ANY_SIZE)}  # fmt: skip
CLASSES = {"cifar100": 100, "image_folder": 1000}  # 10 elsewhere


def promise(source: Source) -> dict[str, Shape]:
    """The fields of a source whose files need not be here; what is computed is asked."""
    said: Any = source
    if source.promised():
        return source.promised()
    if source.type == "segmentation":
        channels = 1 if said.color == "grey" else 3
        return {"data": Shape((channels, ANY_SIZE, ANY_SIZE)), "label": Shape((ANY_SIZE, ANY_SIZE), "index")}
    if source.type in PICTURES:
        source.classes = {"label": CLASSES.get(source.type, 10)}
        return {"data": Shape(PICTURES[source.type]), "label": CLASS}
    if source.type == "wav_folder":
        source.classes, said.hertz = {"label": 10}, said.rate or 8000
        said.mel = said.mel_of(said.features) if said.features else None
        return {"data": said.shape(), "label": CLASS}
    source.open()
    return source.fields


def read(name: str, *settings: str, document: Document | None = None) -> Config:
    """A config of the zoo; whitening is not computed, which takes half a minute even for one picture."""
    nothing = lambda self, training, size, kept: (np.zeros(size), np.zeros((size, kept)))  # noqa: E731
    with patch.object(Whiten, "compute", nothing):
        return configs.read(CONFIGS / f"{name}.yaml", settings, document=document, promise=promise)


def small(config: Config, batch: int) -> Net:
    """The net with an even part of its widths, on the smallest pictures that it takes; as it is where no part of it fits."""
    for factor in dict.fromkeys((divisor(config.net.lines), 1)):
        for fields in smaller(config.net.fields):
            try:
                made = Net([shrunk(line, factor) for line in config.net.lines], fields, batch, config.seed)
            except ConfigError:
                continue
            made.sequences = config.net.sequences
            return made
    raise AssertionError("not even the net as it is can be built")


def divisor(lines: list[Line]) -> int:
    """The power of two that leaves the widest convolution (else the widest layer) 8 outputs."""
    wide = [line for line in lines if hasattr(line.layer, "num_output")]
    spatial = [line for line in wide if hasattr(line.layer, "kernel_size")]
    most, factor = max((line.layer.num_output for line in spatial or wide), default=0), 1  # type: ignore[attr-defined]
    while most // (2 * factor) >= 8:
        factor *= 2
    return factor


def shrunk(line: Line, factor: int) -> Line:
    """A line with its outputs divided, even numbers staying even; two classes are left where there are few."""
    made = copy(line)
    made.layer = layer = copy(line.layer)
    given: Any = layer
    if factor > 1 and hasattr(given, "num_output"):
        outputs = 2 * max(1, given.num_output // (2 * factor))
        if getattr(given, "group", 1) == given.num_output:
            given.group = outputs
        given.num_output = outputs
    if factor > 1 and layer.type == "Pad" and given.axis == 1:
        given.pad = tuple(pad // factor for pad in given.pad)
    if layer.type == "Accuracy":
        given.top_k = 1
    return made


def smaller(fields: dict[str, Shape]) -> Iterator[dict[str, Shape]]:
    """The fields with smaller pictures; label images shrink by as much."""
    first = next(iter(fields.values()))
    if len(first) == 3 and first[1] == first[2]:
        for side in SIDES:
            less = first[1] - side
            cut = {name: Shape((*x[:-2], x[-2] - less, x[-1] - less), x.dtype) if len(x) > 1 and x[-1] == x[-2] else x
                   for name, x in fields.items()}  # fmt: skip
            if less > 0 and all(min(x, default=1) > 0 for x in cut.values()):
                yield cut
    yield dict(fields)


def batch(net: Net, size: int, seed: int) -> dict[str, Any]:
    """Samples out of nothing: numbers around 0, and the first two classes."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 2, (size, *x)) if x.dtype == "index" else rng.standard_normal((size, *x))
            for name, x in net.fields.items()}  # fmt: skip


def weights(net: Net, seed: int, gain: float = 1.0) -> dict[str, Any]:
    """Values by which nothing fades on its way through a deep net, and nothing is 0; what is frozen is as it begins."""
    rng, made = np.random.default_rng(seed), {}
    for part in net.store.segments.values():
        w = rng.standard_normal(part.shape)
        around = float(part.role.startswith("scale"))
        plain = around or part.role.startswith("bias") or len(part.shape) < 2
        made[part.name] = 0.1 * gain * w + around if plain else gain * w * np.sqrt(2 / (w.size / len(w)))
        if part.frozen:
            made[part.name] = part.fill(seed)
    return made
