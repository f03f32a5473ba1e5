"""Draws samples side by side: pictures, maps of classes and lines, each with words under it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Literal

import numpy as np

SIDE = 96  # pixels that a sample has at least, if it can be enlarged evenly
LARGEST = 320  # and at most
GAP, HEAD, LINE = 8, 22, 14  # around samples; of the heading; of the words
WIDTH = 1600  # of the whole, about
PAPER, INK, FRAME = (250, 250, 248), (40, 40, 40), (210, 210, 205)


@dataclass
class Cell:
    """What is seen of one field of a sample: (H, W, C) bytes, (H, W) classes over a picture, or numbers one after another."""

    kind: Literal["picture", "classes", "line"]
    values: Any
    under: Any = None  # (H, W, C) bytes


def colours(classes: Any) -> Any:
    """(H, W, 3) of classes: well apart from one another (steps of the golden ratio around the circle of hues); below 0 white."""
    hue = (np.maximum(classes, 0) * 0.618034) % 1.0
    wave = np.abs((hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    made = 55 + 180 * np.clip(wave, 0, 1)
    made[classes == 0] = 30
    made[(classes < 0) | (classes == 255)] = 255
    return made.astype(np.uint8)


def image(cell: Cell, size: tuple[int, int]) -> Any:
    """A cell as a picture of that (width, height)."""
    from PIL import Image, ImageDraw

    if cell.kind == "line":
        made = Image.new("RGB", size, "white")
        points, pen = curve(cell.values, size), ImageDraw.Draw(made)
        pen.line(points, fill=(30, 90, 160), width=1)
        return made
    pixels = colours(cell.values) if cell.kind == "classes" else cell.values
    if cell.under is not None:
        pixels = (0.5 * pixels + 0.5 * cell.under).astype(np.uint8)
    made = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)).convert("RGB")
    whole = size[0] >= made.width
    return made.resize(size, Image.Resampling.NEAREST if whole or cell.kind == "classes" else Image.Resampling.BILINEAR)


def curve(values: Any, size: tuple[int, int]) -> list[tuple[float, float]]:
    """The points of a line through numbers; of very many, as many as are seen."""
    some = values[:: max(1, len(values) // (4 * size[0]))].astype(np.float64)
    some = np.where(np.isfinite(some), some, 0.0)
    low, high = some.min(), some.max()
    up = (some - low) / (high - low) if high > low else np.full(len(some), 0.5)
    across = np.linspace(2, size[0] - 3, len(some))
    return list(zip(across.tolist(), (size[1] - 4 - up * (size[1] - 8)).tolist(), strict=True))


def sized(cell: Cell) -> tuple[int, int]:
    """(width, height) on the paper: small pictures enlarged by a whole number, large ones made smaller."""
    if cell.kind == "line":
        return 2 * SIDE, SIDE
    height, width = cell.values.shape[:2]
    if max(height, width) > LARGEST:
        part = LARGEST / max(height, width)
        return max(1, round(width * part)), max(1, round(height * part))
    times = max(1, min(ceil(SIDE / min(height, width)), LARGEST // max(height, width)))
    return width * times, height * times


def draw(cells: list[list[Cell]], titles: list[str], heading: str) -> Any:
    """The samples in rows; the fields of each stand side by side, its words under them."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    sizes = [sized(cell) for cell in cells[0]]
    width, height = sum(w for w, _ in sizes) + 2 * (len(sizes) - 1), max(h for _, h in sizes)
    fit = max(1, WIDTH // (width + GAP))
    columns = min(len(cells), fit, max(1, ceil(sqrt(len(cells) * height / width))))
    rows = ceil(len(cells) / columns)
    paper = Image.new("RGB", (max(columns * (width + GAP) + GAP, 240), HEAD + rows * (height + LINE + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((GAP, 5), heading, fill=INK, font=font)
    for number, (sample, words) in enumerate(zip(cells, titles, strict=True)):
        left, top = GAP + number % columns * (width + GAP), HEAD + number // columns * (height + LINE + GAP)
        at = left
        for cell, size in zip(sample, sizes, strict=True):
            paper.paste(image(cell, size), (at, top))
            pen.rectangle((at - 1, top - 1, at + size[0], top + size[1]), outline=FRAME)
            at += size[0] + 2
        while words and pen.textlength(words, font=font) > width:
            words = words[:-2].rstrip("…") + "…" if len(words) > 2 else ""
        pen.text((left, top + height + 1), words, fill=INK, font=font)
    return paper
