"""dltrain data preview: the first training batch as the net will see it, drawn into one picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.console import Console
from dltrain.data.image import quiet_pillow
from dltrain.data_section import data_of, document_of, seed_of
from dltrain.drawing import Cell, draw
from dltrain.errors import ConfigError, DataError
from dltrain.feed import Feed
from dltrain.source import Arrays
from dltrain.supply import read_feed

MOST = 64  # samples that are drawn
EPOCHS = 15  # that one sample is followed through
WIDE = 3  # fields that are drawn of one sample


def preview(what: str, out: str, augment: int | None, settings: tuple[str, ...], console: Console) -> None:
    """dltrain data preview CONFIG"""
    path = Path(out)
    if path.suffix != ".png":
        raise ConfigError(f"--out {out}: a preview is a picture; give it a name that ends in .png")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {path.parent}")
    quiet_pillow()
    document = document_of(what, settings)
    feed, trouble = read_feed(document, data_of(document), seed_of(document), None)
    document.raise_mistakes()
    if trouble is not None or feed is None:
        raise trouble or ConfigError(f"{document.file}: has no data section")
    try:
        batch, titles = first_batch(feed) if augment is None else one_sample(feed, augment)
    finally:
        feed.close()
    seen = [name for name in batch if batch[name][0].ndim and drawable(batch[name])][:WIDE]
    if not seen:
        shapes = ", ".join(f"{name} {' x '.join(map(str, rows.shape))}" for name, rows in batch.items())
        raise DataError(f"data preview: there is nothing to see in {shapes}; dltrain data stats {what} describes it")
    cells = [overlaid([cell(feed, batch, name, row) for name in seen]) for row in range(len(titles))]
    picture = draw(cells, titles, f"{feed.source.type}: {', '.join(f'{name} {shape(batch[name])}' for name in seen)}")
    save(picture, path)
    made = {"out": out, "samples": len(titles), "fields": seen}
    console.result(made, f"{out}: {len(titles)} samples, {picture.width} x {picture.height} pixels")


def shape(rows: Any) -> str:
    return " x ".join(map(str, rows.shape[1:]))


def drawable(rows: Any) -> bool:
    """Pictures (C x H x W, or H x W of classes), and rows of numbers that are no words."""
    x = rows[0]
    if x.dtype == np.int32:
        return bool(x.ndim >= 2 and min(x.shape[-2:]) > 1)
    return bool(x.ndim <= 3 and x.size > 1)


def first_batch(feed: Feed) -> tuple[Arrays, list[str]]:
    """The first batch of training, and what stands under each sample."""
    batch = feed.train_batch_now(0)
    count = min(MOST, len(next(iter(batch.values()))))
    batch = {name: rows[:count] for name, rows in batch.items()}
    return batch, [title(feed, batch, row) for row in range(count)]


def one_sample(feed: Feed, place: int) -> tuple[Arrays, list[str]]:
    """One training sample in its plain form, then as each of the first epochs would have it."""
    train = feed.splits["train"]
    if place >= len(train):
        raise ConfigError(f"--augment {place}: train has {len(train):,} samples, from 0")
    row = np.asarray(train[place : place + 1])
    plain = feed.chains["train"].fields
    made = [feed.make(row, np.array([epoch])) for epoch in range(EPOCHS)]
    first = feed.make(row)
    if all(first[name].shape == made[0][name].shape for name in plain):
        made, titles = [first, *made], ["plain", *(f"epoch {epoch}" for epoch in range(EPOCHS))]
    else:
        titles = [f"epoch {epoch}" for epoch in range(EPOCHS)]
    return {name: np.concatenate([each[name] for each in made]) for name in made[0]}, titles


def title(feed: Feed, batch: Arrays, row: int) -> str:
    """The labels of one number, by their names where they have some."""
    words = []
    for name, rows in batch.items():
        if rows.ndim == 1:
            known = getattr(feed.source, "names", {}).get(name, [])
            value = rows[row]
            named = rows.dtype == np.int32 and 0 <= value < len(known)
            words.append(str(known[value]) if named else f"{value:.4g}" if rows.dtype != np.int32 else str(value))
    return ", ".join(words)


# --- from numbers to what can be seen ---
def cell(feed: Feed, batch: Arrays, name: str, row: int) -> Cell:
    """One field of one sample: a picture of bytes, a map of classes, or lines."""
    x = batch[name][row]
    if x.dtype == np.int32:
        return Cell("classes", x.reshape(x.shape[-2:]))
    if x.ndim == 3 and x.shape[0] in (1, 3):
        return Cell("picture", undone(feed, name, batch[name])[row].transpose(1, 2, 0))
    if x.ndim >= 2 and min(x.shape[-2:]) > 1:
        return Cell("picture", stretched(x.reshape(-1, x.shape[-1]))[:, :, None])
    return Cell("line", x.reshape(-1))


def overlaid(cells: list[Cell]) -> list[Cell]:
    """Maps of classes lie over the first picture where they are of its size."""
    first = cells[0]
    for cell in cells[1:]:
        if cell.kind == "classes" and first.kind == "picture" and cell.values.shape == first.values.shape[:2]:
            cell.under = first.values
    return cells


def undone(feed: Feed, name: str, rows: Any) -> Any:
    """Bytes: mean, scale and std undone where that gives 0 .. 255; else stretched from the least to the most of the batch."""
    x = rows.astype(np.float64)
    for link in reversed([link for link in feed.chains["train"].links if link.top == name]):
        step: Any = link.step
        if step.type == "scale" and step.value:
            x = x / step.value
        elif step.type in ("mean", "std"):
            by = np.asarray(step.used)
            if by.ndim < x.ndim and all(a in (1, b) for a, b in zip(by.shape[::-1], x.shape[::-1])):
                x = x + by if step.type == "mean" else x * by
    low, high = x.min(), x.max()
    return np.clip(x, 0, 255).astype(np.uint8) if low >= -1 and 16 <= high <= 256 else stretched(rows)


def stretched(x: Any) -> Any:
    """From the least to the most, 0 to 255."""
    low, high = float(x.min()), float(x.max())
    return ((x - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)


def save(picture: Any, path: Path) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.png")
    try:
        picture.save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
