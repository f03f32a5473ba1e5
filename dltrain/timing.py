"""dltrain time: how long each layer takes, forwards and backwards, and how much of the machine it uses meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from dltrain.config import Config
from dltrain.console import Console
from dltrain.engine import Batch, Engine
from dltrain.graph import Graph
from dltrain.launch import engine_of
from dltrain.memory import Bound
from dltrain.ops.backend import Kernel
from dltrain.ops.signature import Call
from dltrain.plan import Plan
from dltrain.policy import Horizon
from dltrain.sketch import sketch

WARM_UP = 3  # steps before the clock runs: kernels are compiled, memory is touched
PEAK = 0.25  # seconds for each of the two peaks
SIDE, COPIED = 768, 1 << 26  # of the square matrices, and bytes of all copies, by which the peaks are measured
LEFT = 3  # so many columns are words
HEADS = ("layer", "way", "ops", "ms", "part", "GFLOP/s", "of peak", "GB/s", "of peak")
NOTE = "Each call by itself, all workers; GB/s counts each argument once, so that what stays in the cache may exceed the peak."


@dataclass
class Peaks:
    """What the machine can do, as these workers measure it: floating point operations and bytes a second."""

    flops: float
    bytes: float


@dataclass
class Row:
    """A layer on one way: what its calls take together."""

    layer: str
    way: str
    ops: list[str] = field(default_factory=list)
    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0

    def add(self, call: Call, seconds: float, size: int) -> None:
        self.ops.append(call.op.name)
        self.seconds, self.flops, self.bytes = self.seconds + seconds, self.flops + call.op.flops(call.args), self.bytes + size

    def values(self, peaks: Peaks) -> dict[str, Any]:
        """For machines."""
        speed, flow = self.flops / self.seconds, self.bytes / self.seconds
        return {
            "layer": self.layer, "way": self.way, "ops": self.ops, "ms": self.seconds * 1e3, "flops": self.flops,
            "bytes": self.bytes, "gflops_per_s": speed / 1e9, "flops_of_peak": speed / peaks.flops,
            "gbytes_per_s": flow / 1e9, "bytes_of_peak": flow / peaks.bytes,
        }  # fmt: skip

    def cells(self, peaks: Peaks, total: float) -> tuple[str, ...]:
        """For people."""
        made, ops = self.values(peaks), dict.fromkeys(self.ops)
        return (
            self.layer, self.way, " ".join(ops), f"{made['ms']:.3f}", f"{self.seconds / total:.1%}",
            f"{made['gflops_per_s']:.1f}", f"{made['flops_of_peak']:.0%}",
            f"{made['gbytes_per_s']:.1f}", f"{made['bytes_of_peak']:.0%}",
        )  # fmt: skip


Laps = list[tuple[Plan, Call, Callable[[], None]]]


def time(
    path: str, settings: tuple[str, ...], phase: str, iterations: int, device: str | None, console: Console
) -> dict[str, Any]:
    """dltrain time CONFIG|RUN"""
    config = sketch(path, settings)
    phase = phase if config.solver is not None else "test"
    engine = engine_of(config, device)
    try:
        console.note(f"device  {engine.about()}")
        batch = made_up(config)
        step = settled(engine, whole(config, engine, batch, phase))
        seconds = median([lap(step) for _ in range(WARM_UP + iterations)][WARM_UP:])
        rows, peaks = each(engine, batch, iterations), measured(engine)
    finally:
        engine.close()
    size = config.feed.batch_size("train")
    made = {
        "name": config.name, "phase": phase, "batch_size": size, "iterations": iterations, "device": engine.backend.name,
        "threads": engine.backend.workers, "step_ms": seconds * 1e3, "sum_ms": sum(row.seconds for row in rows) * 1e3,
        "peak": {"gflops_per_s": peaks.flops / 1e9, "gbytes_per_s": peaks.bytes / 1e9},
        "layers": [row.values(peaks) for row in rows],
    }  # fmt: skip
    console.result(made, f"{table(rows, peaks)}\n{words(made, rows)}\n{NOTE}")
    return made


def made_up(config: Config) -> Batch:
    """A batch without data: normal numbers; whole ones are 0, which every table and every loss knows.

    Where a layer lets only some samples pass, by whole numbers that are not 0, they are 1: all pass.
    """
    rng, size = np.random.default_rng(config.seed), config.feed.batch_size("train")
    number = int(any(line.layer.cuts for line in config.net.lines))
    return {
        name: np.full((size, *shape), number, np.int32)
        if shape.dtype == "index"
        else rng.standard_normal((size, *shape), np.float32)
        for name, shape in config.net.fields.items()
    }


def whole(config: Config, engine: Engine, batch: Batch, phase: str) -> Callable[[], object]:
    """A step as the loop does it; the rate is 0, so that all steps are alike."""
    if phase == "test" or config.solver is None:
        return lambda: engine.forward("test", batch)
    rates = config.solver.rates(0, Horizon(100_000, Fraction(1000))) | {"lr": 0.0}
    return lambda: engine.step([batch], rates)


def settled(engine: Engine, run: Callable[[], object]) -> Callable[[], None]:
    """The same, and all of it done when it returns."""

    def both() -> None:
        run()
        engine.backend.wait()

    return both


def lap(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


# --- call by call ---
def each(engine: Engine, batch: Batch, iterations: int) -> list[Row]:
    """Whole steps again and again, all workers meeting after each call; of each call the median."""
    graphs: list[tuple[Graph, Plan, Laps]] = []
    for (demand, _, _), program in engine.programs.items():
        memory = engine.memory if demand.phase == "train" else engine.tested
        arrays, calls = Bound(memory, program.plan), [call for segment in program.plan.to_run for call in segment]
        laps = [(program.plan, call, settled(engine, alone(engine, call, arrays))) for call in calls]
        graphs.append((engine.net.graphs[demand], program.plan, laps))
    times: dict[Call, list[float]] = {call: [] for _, _, laps in graphs for _, call, _ in laps}
    for _ in range(1 + iterations):
        for graph, plan, laps in graphs:
            engine.fill(graph, plan, batch)
            for _, call, run in laps:
                times[call].append(lap(run))
    rows: dict[tuple[str, str], Row] = {}
    for plan, call, _ in (one for _, _, laps in graphs for one in laps):
        row = rows.setdefault((call.layer, call.way), Row(call.layer, call.way))
        row.add(call, median(times[call][1:]), traffic(plan, call))
    return list(rows.values())


def alone(engine: Engine, call: Call, arrays: Bound) -> Callable[[], None]:
    """A call bound by itself, for all workers."""
    engine.backend.begin_segment()
    work = engine.backend.bind(call, arrays)
    return together(engine, [work.kernels, work.finish])


def together(engine: Engine, phases: Sequence[Sequence[Kernel]]) -> Callable[[], None]:
    """Kernels, one a worker, in phases with a barrier after each."""
    workers = range(engine.backend.workers)
    segments = [[list(kernels[worker : worker + 1]) for worker in workers] for kernels in phases if kernels]
    if engine.pool is not None:
        return partial(engine.pool.run, segments)

    def run() -> None:
        with np.errstate(all="ignore"):
            for segment in segments:
                for kernel in segment[0]:
                    kernel()

    return run


def traffic(plan: Plan, call: Call) -> int:
    """The bytes of all arguments, twice those that are read and written."""
    times = {"in": 1, "out": 1, "add": 2, "update": 2}
    return sum(times[mode] * plan.nbytes(tensor) for mode in times for _, tensor in call.uses(mode))


# --- the machine ---
def measured(engine: Engine) -> Peaks:
    """The fastest matrix product and the fastest copy of all workers together, each tried for a moment."""
    workers, dtype = engine.backend.workers, np.dtype(np.float32)
    own = engine.backend.tasks(SIDE, COPIED)
    if own is not None:
        product, copy = (settled(engine, task) for task in own)
        return Peaks(2 * SIDE**3 / fastest(product), 2 * COPIED / fastest(copy))
    share = COPIED // dtype.itemsize // workers
    squares = [[np.ones((SIDE, SIDE), dtype) for _ in range(3)] for _ in range(workers)]
    lines = [[np.ones(share, dtype) for _ in range(2)] for _ in range(workers)]
    product = together(engine, [[partial(np.dot, a, b, out=c) for a, b, c in squares]])
    copy = together(engine, [[partial(np.copyto, a, b) for a, b in lines]])
    return Peaks(workers * 2 * SIDE**3 / fastest(product), workers * 2 * share * dtype.itemsize / fastest(copy))


def fastest(run: Callable[[], None]) -> float:
    """The best time within PEAK seconds."""
    best, end = lap(run), perf_counter() + PEAK
    while perf_counter() < end:
        best = min(best, lap(run))
    return best


# --- what is seen ---
def table(rows: list[Row], peaks: Peaks) -> str:
    total = sum(row.seconds for row in rows)
    cells = [HEADS, *(row.cells(peaks, total) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(
            f"{word:<{w}}" if column < LEFT else f"{word:>{w}}" for column, (word, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


def words(made: dict[str, Any], rows: list[Row]) -> str:
    """The totals as sentences."""
    ways = {way: sum(row.seconds for row in rows if row.way == way) * 1e3 for way in dict.fromkeys(row.way for row in rows)}
    parts = ", ".join(f"{way} {ms:.3f}" for way, ms in ways.items())
    peak, flops = made["peak"], sum(row.flops for row in rows)
    return (
        f"a step of {made['batch_size']} samples takes {made['step_ms']:.3f} ms, {flops / made['step_ms'] / 1e6:.1f} GFLOP/s; "
        f"its calls one by one {made['sum_ms']:.3f} ms ({parts})\n"
        f"peaks of {made['threads']} thread{'s' * (made['threads'] > 1)}, measured now: "
        f"matrix product {peak['gflops_per_s']:.0f} GFLOP/s, copy {peak['gbytes_per_s']:.0f} GB/s"
    )
