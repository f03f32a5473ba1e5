"""How products are cut into tiles: which tile, how many parts of the depth, and the text with these numbers in it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.formulas import function, typed
from dltrain.ops.cuda.tuning import Given
from dltrain.ops.formula import Formula

Launches = Callable[["Cut", Given], list[Kernel]]
Finish = tuple[Formula, tuple[float, ...]]  # a formula of one array, and its constants

DEPTH = 16  # of a slice, as tiles.cuh has it
MOST_PARTS = 128
PARTS = (1, 2, 4, 8, 16, 32, 64, MOST_PARTS)
MOST_OFFERS = 6
LANES = 128  # products that a multiprocessor makes in a cycle
LATENCY = 600  # cycles that a slice takes to come, when nothing hides it
JOIN = 4000  # cycles of one more launch
JOINED = 16  # parts that the last block of a tile joins by itself
LAST = 800  # cycles until it knows that it is the last


class Tile(NamedTuple):
    """What a block makes, what each of its threads makes, and how much of the arithmetic's speed that reaches."""

    rows: int
    columns: int
    tall: int
    wide: int
    share: float

    @property
    def threads(self) -> int:
        return self.rows // self.tall * (self.columns // self.wide)


TILES = (
    Tile(128, 128, 8, 8, 0.8),
    Tile(128, 64, 8, 4, 0.65),
    Tile(64, 64, 4, 4, 0.5),
    Tile(128, 32, 8, 4, 0.5),
    Tile(64, 32, 4, 4, 0.45),
    Tile(32, 32, 4, 4, 0.35),
)


class Cut(NamedTuple):
    """A tile, and the depth in `parts` of `span` each."""

    tile: Tile
    parts: int
    span: int

    def __str__(self) -> str:
        return f"{self.tile.rows}x{self.tile.columns}/{self.parts}"


def cut_of(tile: Tile, parts: int, depth: int) -> Cut:
    """The depth in so many parts, or fewer: each is a number of whole slices."""
    span = max(1, -(-depth // (parts * DEPTH))) * DEPTH
    return Cut(tile, -(-depth // span) or 1, span)


def named(variant: str, depth: int) -> Cut:
    """The cut that is written so; RuntimeError where there is none."""
    for tile in TILES:
        for parts in PARTS:
            made = cut_of(tile, parts, depth)
            if str(made) == variant:
                return made
    raise RuntimeError(f"no product is cut as {variant}")


@cache
def cuts(processors: int, rows: int, columns: int, depth: int, count: int = 1, split: bool = True) -> tuple[Cut, ...]:
    """How `count` products (rows x depth x columns) can be cut, what should take the fewest cycles first."""
    cycles: dict[Cut, float] = {}
    for tile in TILES:
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * count
        for parts in PARTS if split else (1,):
            made = cut_of(tile, parts, depth)
            slices = made.span // DEPTH
            if parts > 1 and (slices < 4 or blocks >= 2 * processors):
                break
            waves = -(-blocks * parts // processors)
            arithmetic = waves * slices * DEPTH * tile.rows * tile.columns / (LANES * tile.share)
            joining = count * rows * columns * parts / processors / 2 + (JOIN if parts > JOINED else LAST) if parts > 1 else 0
            cycles[made] = max(arithmetic, -(-waves // 4) * slices * LATENCY) + joining
    return tuple(sorted(cycles, key=cycles.__getitem__))


class ByTiles:
    """A way to do a product: its variants are cuts of (rows, columns, depth, how many)."""

    def __init__(self, cuda: Cuda, sizes: tuple[int, int, int, int], launches: Launches, split: bool = True) -> None:
        self.processors, self.sizes, self.launches, self.split = cuda.driver.processors, sizes, launches, split

    def offers(self) -> Sequence[str]:
        return [str(each) for each in cuts(self.processors, *self.sizes, split=self.split)[:MOST_OFFERS]]

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        return self.launches(named(variant, self.sizes[2]), given)


def joint(cuda: Cuda, way: Cut, tiles: int) -> tuple[DeviceArray | None, DeviceArray | None]:
    """What the blocks of a tile need to join its parts: memory for these, and a ticket a tile.  Nothing where they do not."""
    if not 1 < way.parts <= JOINED:
        return None, None
    return cuda.scratch(tiles, way.parts, way.tile.rows * (way.tile.columns + 1)), cuda.tickets(tiles)


def at_once(array: DeviceArray, *sizes: int) -> int:
    """4 where runs of these sizes, and the array, lie on borders of four numbers, so that four are read at once; else 1."""
    return 4 if array.address % (4 * array.dtype.itemsize) == 0 and all(size % 4 == 0 for size in sizes) else 1


def head(tile: Tile, finish: Finish | None = None, **numbers: Any) -> str:
    """The definitions that a text of tiles begins with; `finish` is what becomes of each result."""
    given = {"ROWS": tile.rows, "COLUMNS": tile.columns, "TALL": tile.tall, "WIDE": tile.wide, **numbers}
    text = "".join(f"#define {name} {str(value).lower()}\n" for name, value in given.items())
    return text + (finishing(*finish) if finish else "")


def told(finish: Finish | None) -> str:
    """What tells one finish from another, from run to run."""
    return "" if finish is None else f"{finish[0].digest} {finish[1]}"


def rectifies(finish: Finish | None) -> bool:
    """True for max(x, 0), by what it makes of numbers of all sizes."""
    if finish is None:
        return False
    formula, constants = finish
    sizes = np.geomspace(1e-30, 1e30, 481)
    x = np.concatenate([-sizes, [0.0], sizes])
    (made,) = formula(**dict(zip(formula.arguments, (x, *constants))))
    return bool(np.array_equal(made, np.maximum(x, 0)))


@cache
def finishing(formula: Formula, constants: tuple[float, ...]) -> str:
    """FINISH(value) as a formula of one array."""
    values = ", ".join(["value", *(typed(ast.Constant(float(constant))) for constant in constants), "made"])
    return (
        f"{function(formula)}INLINE float finish(float value) {{\n    float made;\n    formula({values});\n    return made;\n}}\n"
        "#define FINISH(value) finish(value)\n"
    )
