"""How a GPU convolves small images, or images of few channels: a band of one image and a strip of the weights a block."""

from __future__ import annotations

from collections.abc import Sequence

from dltrain.ops.backend import Kernel
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import Cuda
from dltrain.ops.cuda.launch import launch
from dltrain.ops.cuda.texts import text_of
from dltrain.ops.cuda.tiles import Finish, finishing
from dltrain.ops.cuda.tuning import Given, Way, there
from dltrain.ops.window import Window

SHARED = 48 << 10  # bytes that a block may keep
THREADS = 128
STRIPS = (8, 16, 32, 64)
MOST_OFFERS = 4
LANES = 64  # products a multiprocessor makes in a cycle, from shared memory
BEGIN = 2000  # cycles until a block has what it needs


class Direct:
    """A way to convolve, or turned, to send the gradient back: its variants are rows of a band x channels of a strip."""

    def __init__(self, cuda: Cuda, window: Window, given: Given, turned: bool, finish: Finish | None) -> None:
        self.cuda, self.turned, self.finish = cuda, turned, finish
        self.x, self.y = there(given, "x").sizes, there(given, "y").sizes
        high, wide = window.extent[0] - 1 - window.pad[0], window.extent[1] - 1 - window.pad[1]
        self.window = Window(window.kernel, (1, 1), (high, wide), window.steps) if turned else window

    def offers(self) -> Sequence[str]:
        cycles = {}
        for outs in STRIPS:
            for bands in range(1, self.y[1] + 1):
                band = -(-self.y[1] // bands)
                if outs - 8 < self.y[3] and self.keeps(band, outs) <= SHARED:
                    cycles[f"{band}x{outs}"] = self.cycles(band, outs)
        return sorted(cycles, key=cycles.__getitem__)[:MOST_OFFERS]

    def keeps(self, band: int, outs: int) -> int:
        """Bytes."""
        rows, columns = self.seen(band)
        return 4 * self.x[3] * (self.window.area * outs + rows * columns)

    def seen(self, band: int) -> tuple[int, int]:
        """Of the image."""
        (down, aside), (high, wide) = self.window.stride, self.window.extent
        return (band - 1) * down + high, (self.y[2] - 1) * aside + wide

    def cycles(self, band: int, outs: int) -> float:
        """About how long all blocks take; as many are at work at once as there is memory for."""
        blocks = self.x[0] * -(-self.y[1] // band) * -(-self.y[3] // outs)
        turns = -(-band * self.y[2] // (4 * (THREADS // (outs // 4))))
        made = turns * 16 * THREADS * self.window.area * self.x[3] / LANES
        at_once = min(8, SHARED * 4 // self.keeps(band, outs))
        return -(-blocks // self.cuda.driver.processors) * made + -(-blocks // (self.cuda.driver.processors * at_once)) * BEGIN

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        band, outs = (int(size) for size in variant.split("x"))
        if not 0 < band <= self.y[1] or outs not in STRIPS or self.keeps(band, outs) > SHARED:
            raise RuntimeError(f"{variant} is too much for a block")
        grid = (self.x[0], -(-self.y[1] // band), -(-self.y[3] // outs))
        arrays: list[DeviceArray | None] = [there(given, "x"), there(given, "w"), given["bias"], there(given, "y")]
        return [launch(self.cuda.driver, self.text(band, outs), "direct", grid, arrays, THREADS)]

    def text(self, band: int, outs: int) -> str:
        window = self.window
        names = {
            "BAND": (band,), "OUTS": (outs,), "HEIGHT WIDTH CHANNELS": self.x[1:], "Y_HEIGHT Y_WIDTH Y_CHANNELS": self.y[1:],
            "HIGH LONG": window.kernel, "STEP_HIGH STEP_WIDE": window.stride, "PAD_HIGH PAD_WIDE": window.pad,
            "APART_HIGH APART_WIDE": window.steps, "TURNED": (str(self.turned).lower(),),
        }  # fmt: skip
        lines = [f"#define {name} {value}\n" for row, values in names.items() for name, value in zip(row.split(), values)]
        return text_of("direct", "".join(lines) + (finishing(*self.finish) if self.finish else ""))


def ways(cuda: Cuda, window: Window, given: Given, turned: bool, finish: Finish | None) -> dict[str, Way]:
    """For one group, and turned for stride 1, where a block can keep anything at all."""
    if window.group > 1 or (turned and window.stride != (1, 1)):
        return {}
    made = Direct(cuda, window, given, turned, finish)
    return {"direct": made} if made.keeps(1, STRIPS[0]) <= SHARED else {}
