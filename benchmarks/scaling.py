"""How cost grows, measured: a step with its batch, depth and width; planning with the number of layers; memory with the steps."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from math import log
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import sizes
from benchmarks.race import environment, machine, race

HERE = Path(__file__).parent.parent
DEEP = HERE / "configs" / "resnet152.yaml"
TRIES = 7
LONG, FIRST = 10_000, 1_000


def scaling(rounds: int, threads: int) -> dict[str, Any]:
    """Every size of every net: {"curves": {"convnet batch": {"sizes": […], "ms": […], "gflop": […]}}, "planning": …}"""
    curves = {}
    for net in sizes.BASES:
        for grown in ("batch", "depth", "width"):
            these = sizes.sizes(net, grown)
            made = race(f"{net} {grown}", tuple(map(str, these)), threads, rounds, "benchmarks.sizes", phase="train")["sides"]
            sides = [made[str(size)] for size in these]
            curves[f"{net} {grown}"] = {"sizes": these, "ms": [side["median_ms"] for side in sides],
                                        "gflop": [side["flops"] / 1e9 for side in sides]}  # fmt: skip
            print(line(f"{net} {grown}", curves[f"{net} {grown}"]), flush=True)
    return {"curves": curves, "planning": planning(), "machine": machine(), "date": time.strftime("%Y-%m-%d")}


def exponent(xs: list[float], ys: list[float]) -> float:
    """b of y = a x^b, by least squares of the logarithms."""
    x, y = [log(value) for value in xs], [log(value) for value in ys]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle_x) ** 2 for a in x)


def line(name: str, curve: dict[str, Any]) -> str:
    times = ", ".join(f"{size}: {ms:.2f} ms" for size, ms in zip(curve["sizes"], curve["ms"], strict=True))
    grows, sums = exponent(curve["sizes"], curve["ms"]), exponent(curve["sizes"], curve["gflop"])
    return f"{name:14s} {times:42s} grows with the power {grows:.2f}; its arithmetic {sums:.2f}"


def plot(curves: dict[str, Any], path: Path) -> None:
    """Time against size on logarithmic axes; dashed: the arithmetic, from the first size on."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    page = Figure((9, 3.4), layout="constrained")
    for at, grown in enumerate(("batch", "depth", "width")):
        axes = page.add_subplot(1, 3, at + 1)
        for net, colour in zip(sizes.BASES, ("#1f6f8b", "#c8553d"), strict=True):
            curve = curves[f"{net} {grown}"]
            grows = [size / curve["sizes"][0] for size in curve["sizes"]]
            sums = [curve["ms"][0] * gflop / curve["gflop"][0] for gflop in curve["gflop"]]
            axes.loglog(grows, curve["ms"], "o-", color=colour, label=f"{net}: {', '.join(map(str, curve['sizes']))}")
            axes.loglog(grows, sums, "--", color=colour, linewidth=1)
        axes.set_xlabel(f"{grown}, times the smallest")
        axes.set_ylabel("ms a step" if not at else "")
        axes.set_xticks(grows, [f"{grow:g}" for grow in grows], minor=False)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=8)
    page.savefig(path)


def planning(path: str = str(DEEP)) -> dict[str, float]:
    """Seconds, the median of several, that a very deep net takes from its text to its plan; every time from nothing."""
    import dltrain.catalogue  # noqa: F401
    from dltrain.engine import Engine
    from dltrain.ops.cpu import Cpu
    from dltrain.sketch import sketch

    cpu, steps = Cpu(1), {"read and checked": [], "traced": [], "planned": []}
    for _ in range(TRIES):
        gc.collect()
        marks = [time.perf_counter()]
        config = sketch(path, ())
        marks.append(time.perf_counter())
        graph = config.net.graph("train", (config.feed.batch_size("train"),))
        marks.append(time.perf_counter())
        plan = Engine(config.net, cpu, config.solver).plan_of(graph, update=True)
        marks.append(time.perf_counter())
        for name, start, end in zip(steps, marks, marks[1:], strict=False):
            steps[name].append(end - start)
    return {name: median(made) for name, made in steps.items()} | {"lines": len(config.net.lines), "calls": len(plan.calls)}


def planned(made: dict[str, float]) -> str:
    parts = ", ".join(f"{name} in {seconds:.2f} s" for name, seconds in made.items() if name not in ("lines", "calls"))
    total = sum(seconds for name, seconds in made.items() if name not in ("lines", "calls"))
    return f"{DEEP.stem}, {made['lines']} lines: {parts}: {total:.2f} s in all, {made['calls']:,} calls"


def memory(threads: int) -> dict[str, float]:
    """MiB that a process has after so many steps of a small net."""
    words = [sys.executable, "-m", "benchmarks.lasting", str(FIRST), str(LONG), str(threads)]
    done = subprocess.run(words, cwd=HERE, env=environment(), capture_output=True, text=True, check=True)
    first, last = map(float, done.stdout.split())
    return {str(FIRST): first, str(LONG): last}


def lasted(made: dict[str, float]) -> str:
    first, last = made.values()
    return f"LeNet, batch 8: {first:.2f} MiB after {FIRST:,} steps, {last:.2f} MiB after {LONG:,}; {last - first:+.2f} MiB"
