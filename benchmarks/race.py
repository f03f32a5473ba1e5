"""Runs the sides in turns, each a process of its own, and compares medians.

A side that waits is silent: idle threads of PyTorch spin for a moment after a step, so a pause stands before each turn.
OPENBLAS_* is cleared for all (some machines force slow kernels with it), and the kernels that ran are printed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PAUSE = 0.3  # seconds before a turn
TURN = 0.5  # seconds of steps in a turn


def race(
    name: str, sides: tuple[str, ...], threads: int, rounds: int, module: str = "benchmarks.runner", turn: float = TURN
) -> dict[str, Any]:
    """Medians and quartiles of each side, in milliseconds a step.  `module` runs a side; `turn` is in seconds."""
    threads = threads or len(os.sched_getaffinity(0))
    runners = {side: start(side, name, threads, module) for side in sides}
    about = {side: json.loads(answer(runner))["about"] for side, runner in runners.items()}
    steps = {side: max(1, round(turn / statistics.median(ask(runner, 5)))) for side, runner in runners.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    turns: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, runner in runners.items():
            time.sleep(PAUSE)
            made = ask(runner, steps[side])
            times[side] += made
            turns[side].append(statistics.median(made) * 1e3)
    for runner in runners.values():
        runner.stdin.close()  # type: ignore[union-attr]
        runner.wait()
    return {"net": name, "threads": threads, "machine": machine(), "date": time.strftime("%Y-%m-%d"),
            "sides": {side: summary(times[side], turns[side]) | {"about": about[side]} for side in sides}}  # fmt: skip


def start(side: str, name: str, threads: int | str, module: str) -> subprocess.Popen[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    words = [sys.executable, "-m", module, side, name, str(threads)]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=Path(__file__).parent.parent
    )


def answer(runner: subprocess.Popen[str]) -> str:
    line = runner.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise SystemExit(f"{' '.join(map(str, runner.args))} ended before it answered")  # type: ignore[arg-type]
    return line


def ask(runner: subprocess.Popen[str], steps: int) -> list[float]:
    runner.stdin.write(f"{steps}\n")  # type: ignore[union-attr]
    runner.stdin.flush()  # type: ignore[union-attr]
    times: list[float] = json.loads(answer(runner))
    return times


def summary(times: list[float], turns: list[float]) -> dict[str, Any]:
    low, middle, high = (value * 1e3 for value in statistics.quantiles(times, n=4))
    return {"median_ms": middle, "quartiles_ms": [low, high], "turns_ms": turns, "steps": len(times)}


def machine() -> str:
    """The processor's name, and how many cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def table(results: list[dict[str, Any]]) -> str:
    """A row a net and a side; the ratio is the peer's median over ours, with the range over the turns."""
    lines = [f"{'net':8s} {'side':8s} {'median':>9s} {'quartiles':>17s}  {'ratio to ours':>22s}"]
    for result in results:
        ours = result["sides"]["ours"]
        for side, made in result["sides"].items():
            low, high = made["quartiles_ms"]
            ratios = sorted(theirs / mine for theirs, mine in zip(made["turns_ms"], ours["turns_ms"], strict=True))
            ratio = "" if side == "ours" else f"{made['median_ms'] / ours['median_ms']:.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
            lines.append(f"{result['net']:8s} {side:8s} {made['median_ms']:6.2f} ms {low:7.2f} - {high:5.2f} ms  {ratio:>22s}")
    first = results[0]
    lines += [f"{first['machine']}; {first['threads']} threads; {first['date']}"]
    lines += [f"{side}: {made['about']}" for side, made in first["sides"].items()]
    return "\n".join(lines)
