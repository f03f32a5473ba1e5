"""Renders a laid-out scene by matplotlib: SVG, PDF or PNG."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from dltrain.errors import ConfigError, DataError
from dltrain.layout import LINES, Direction, Item, Plate, Size, Way, lay_out
from dltrain.scene import COLOURS, STYLES, Box, Group, Scene

FONTS: dict[str, dict[str, Any]] = {  # style of a text -> size in points, weight
    "name": {"size": 8.0, "weight": "bold"},
    "words": {"size": 6.5},
    "shape": {"size": 6.0},
    "group": {"size": 7.0, "weight": "bold"},
    "legend": {"size": 6.5},
}
INK, SOFT, ARROW = "#1d1d1b", "#66665f", "#5c5c58"
DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.6)), "dashdot": (0, (5, 1.5, 1, 1.5))}
WORDS = {"dashed": "in training only", "dotted": "in testing only", "dashdot": "in deploy only"}
MARGIN, ROUND, LEGEND, SWATCH = 10.0, 3.5, 18.0, 9.0
MOST = 30_000  # pixels a side that a PNG may have
DPI = 200


def matplotlib_or_words() -> Any:
    """The library, or one line that says how to get it."""
    try:
        import matplotlib
    except ImportError:
        words = "drawing .svg, .pdf and .png needs matplotlib: pip install 'dltrain[plot]'; .dot needs nothing"
        raise ConfigError(words) from None
    return matplotlib


@cache
def measured(text: str, style: str) -> Size:
    """Width and height of a text in points; the height is the font's, whatever the letters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(**FONTS[style])
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width), 1.25 * FONTS[style]["size"]


class Figure:
    """A page in points; y grows downward."""

    def __init__(self, scene: Scene, direction: Direction) -> None:
        from matplotlib.figure import Figure as Page

        self.direction = direction
        self.plate = lay_out(scene, measured, direction)
        self.key = legend(scene)
        width, height = self.spot(self.plate.before + self.plate.behind, self.plate.length)
        columns, rows = self.legend_size(self.key, width)
        self.legend_at = (width + LEGEND, 0.0) if direction == "down" else (0.0, height + LEGEND)
        width, height = (width + LEGEND + columns, max(height, rows)) if direction == "down" else (
            max(width, columns), height + LEGEND + rows
        )  # fmt: skip
        self.width, self.height = width + 2 * MARGIN, height + 2 * MARGIN
        self.page = Page(figsize=(self.width / 72, self.height / 72))
        self.axes: Any = self.page.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(-MARGIN, self.width - MARGIN), ylim=(self.height - MARGIN, -MARGIN))
        self.axes.axis("off")
        self.draw()

    def spot(self, across: float, along: float) -> tuple[float, float]:
        return (across, along) if self.direction == "down" else (along, across)

    def draw(self) -> None:
        items, ways = self.plate.moved(self.plate.before, 0.0)
        groups = [one for one in items if isinstance(one.thing, Group)]
        for one in sorted(groups, key=lambda one: -one.size[0] * one.size[1]):
            self.group(one)
        for way in ways:
            self.way(way)
        for one in items:
            if isinstance(one.thing, Box):
                self.box(one, one.thing)
            elif isinstance(one.thing, str):
                x, y = self.spot(one.across, one.along)
                self.text(one.thing, "shape", x, y + self.spot(*one.size)[1] / 2, SOFT)
        self.legend()

    # --- things ---
    def frame(self, x: float, y: float, size: Size, inside: str, edge: str, **more: Any) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = f"round,pad=0,rounding_size={more.pop('rounding', ROUND)}"
        self.axes.add_patch(FancyBboxPatch((x, y), *size, boxstyle=style, facecolor=inside, edgecolor=edge, **more))

    def text(self, words: str, style: str, x: float, y: float, colour: str = INK, across: str = "left") -> None:
        """With its middle at the height y: what is measured is a line of the font, not the letters."""
        size = FONTS[style]["size"]
        self.axes.text(x, y + 0.36 * size, words, color=colour, ha=across, va="baseline", parse_math=False, **FONTS[style])

    def box(self, item: Item, box: Box) -> None:
        inside, edge = COLOURS[box.family]
        x, y = self.spot(item.across, item.along)
        width, height = self.spot(*item.size)
        rounding = height / 2 if box.family == "data" else ROUND
        self.frame(x, y, (width, height), inside, edge, rounding=rounding, linewidth=0.9, linestyle=DASHES[box.style])
        name, words = measured(box.title, "name")[1], measured(box.words, "words")[1]
        top = y + (height - name - words - LINES) / 2 if box.words else y + (height - name) / 2
        self.text(box.title, "name", x + width / 2, top + name / 2, across="center")
        if box.words:
            self.text(box.words, "words", x + width / 2, top + name + LINES + words / 2, SOFT, across="center")

    def group(self, item: Item) -> None:
        assert isinstance(item.thing, Group)
        x, y = self.spot(item.across, item.along)
        self.frame(x, y, self.spot(*item.size), "#55555510", "#c4c4be", rounding=6.0, linewidth=0.7)
        self.text(item.thing.title, "group", x + 7, y + 5 + FONTS["group"]["size"] / 2, SOFT)

    def way(self, way: Way) -> None:
        """Straight along, smooth steps aside, and a head where it reaches a box."""
        from matplotlib.patches import FancyArrowPatch, PathPatch
        from matplotlib.path import Path as Curve

        points, codes = [self.spot(*way.points[0])], [Curve.MOVETO]
        for (a, b), (c, d) in zip(way.points, way.points[1:]):
            if abs(a - c) < 0.01:
                points.append(self.spot(c, d))
                codes.append(Curve.LINETO)
            else:
                reach = 0.55 * (d - b)
                points += [self.spot(a, b + reach), self.spot(c, d - reach), self.spot(c, d)]
                codes += [Curve.CURVE4] * 3
        look = {"linewidth": 0.9, "edgecolor": ARROW, "facecolor": "none", "capstyle": "butt"}
        self.axes.add_patch(PathPatch(Curve(points, codes), **look))
        if way.target:
            a, b = way.points[-1]
            head = FancyArrowPatch(self.spot(a, b - 5.0), self.spot(a, b), arrowstyle="-|>,head_length=4.2,head_width=2",
                                   mutation_scale=1, linewidth=0.5, color=ARROW, shrinkA=0, shrinkB=0)  # fmt: skip
            self.axes.add_patch(head)

    # --- the legend ---
    def legend_size(self, key: list[tuple[str, str, str]], width: float) -> Size:
        wide = [SWATCH + 5 + measured(words, "legend")[0] for words, _, _ in key]
        high = 1.6 * FONTS["legend"]["size"]
        if self.direction == "down":
            return max(wide, default=0.0), high * len(key)
        self.legend_columns = max(1, min(len(key), int((max(width, 200.0) + 12) // (max(wide, default=1.0) + 12))))
        return self.legend_columns * (max(wide, default=0.0) + 12), high * -(-len(key) // self.legend_columns)

    def legend(self) -> None:
        wide = max((SWATCH + 5 + measured(words, "legend")[0] for words, _, _ in self.key), default=0.0) + 12
        high = 1.6 * FONTS["legend"]["size"]
        for number, (words, family, style) in enumerate(self.key):
            column, row = (
                (0, number) if self.direction == "down" else (number % self.legend_columns, number // self.legend_columns)
            )
            x, y = self.legend_at[0] + column * wide, self.legend_at[1] + row * high
            inside, edge = COLOURS[family] if family else ("#ffffff", INK)
            self.frame(x, y + 1, (SWATCH, high - 4), inside, edge, rounding=2.0, linewidth=0.8, linestyle=DASHES[style])
            self.text(words, "legend", x + SWATCH + 5, y + high / 2 - 1)


def legend(scene: Scene) -> list[tuple[str, str, str]]:
    """(words, family, style) of what the picture has."""
    boxes = list(scene.root.boxes())
    families = {box.family for box in boxes}
    styles = {box.style for box in boxes}
    found = [(family, family, "solid") for family in COLOURS if family in families]
    return found + [(WORDS[style], "", style) for style in STYLES.values() if style in styles and style in WORDS]


def save(scene: Scene, path: Path, direction: Direction) -> Plate:
    """Writes the picture; the ending of the path says as what."""
    matplotlib = matplotlib_or_words()
    kind = path.suffix[1:]
    about: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[kind]
    with matplotlib.rc_context({"svg.hashsalt": "dltrain", "pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure = Figure(scene, direction)
        dpi = min(DPI, MOST * 72 / max(figure.width, figure.height))
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.{kind}")
        try:
            figure.page.savefig(temporary, format=kind, dpi=dpi, metadata=about, facecolor="white")
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
    return figure.plate
