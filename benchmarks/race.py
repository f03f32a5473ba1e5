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
    name: str,
    sides: tuple[str, ...],
    threads: int,
    rounds: int,
    module: str = "benchmarks.runner",
    turn: float = TURN,
    phase: str = "",
    launches: int = 1,
) -> dict[str, Any]:
    """Medians and quartiles of each side, in milliseconds a step.  `module` runs a side; `turn` is in seconds.

    A process may be a third slower than another of the same side, all its life, by where its memory happens to lie: all are
    launched anew several times, and the median is that of their medians.
    A side that cannot run here says why, and is left out.  With a phase (train, test) each also tells its memory at the end.
    """
    threads = threads or len(os.sched_getaffinity(0))
    heats = [heat(name, sides, threads, rounds, module, turn, phase) for _ in range(launches)]
    left_out = {side: why for each in heats for side, why in each.pop("left_out").items()}
    made = {side: joined([each[side] for each in heats]) for side in sides if side not in left_out}
    return {"net": name, "phase": phase, "threads": threads, "machine": machine(), "date": time.strftime("%Y-%m-%d"),
            "launches": launches, "sides": made, "left_out": left_out}  # fmt: skip


def joined(heats: list[dict[str, Any]]) -> dict[str, Any]:
    """One side in all its launches; its memory without that of compiling, which is in the first at most."""
    medians = [each["median_ms"] for each in heats]
    memory = {key: min(each[key] for each in heats) for key in ("memory_mib", "process_mib") if heats[0].get(key) is not None}
    low, high = ([each["quartiles_ms"][end] for each in heats] for end in (0, 1))
    return {
        **heats[0], **memory, "median_ms": statistics.median(medians), "launches_ms": medians,
        "quartiles_ms": [statistics.median(low), statistics.median(high)], "least_ms": min(each["least_ms"] for each in heats),
        "turns_ms": [turn for each in heats for turn in each["turns_ms"]], "steps": sum(each["steps"] for each in heats),
    }  # fmt: skip


def heat(name: str, sides: tuple[str, ...], threads: int, rounds: int, module: str, turn: float, phase: str) -> dict[str, Any]:
    """Each side launched once: what it has made, by side, and why some are left out."""
    runners = {side: start(side, name, threads, module, phase) for side in sides}
    heads = {side: json.loads(answer(runner)) for side, runner in runners.items()}
    left_out = {side: head["left_out"] for side, head in heads.items() if "left_out" in head}
    runners = {side: runner for side, runner in runners.items() if side not in left_out}
    steps = {side: max(1, round(turn / statistics.median(ask(runner, 5)))) for side, runner in runners.items()}
    times: dict[str, list[float]] = {side: [] for side in sides}
    turns: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, runner in runners.items():
            time.sleep(PAUSE)
            made = ask(runner, steps[side])
            times[side] += made
            turns[side].append(statistics.median(made) * 1e3)
    made = {side: summary(times[side], turns[side]) | heads[side] | ending(runner, phase) for side, runner in runners.items()}
    return {**made, "left_out": left_out}


def ending(runner: subprocess.Popen[str], phase: str) -> dict[str, Any]:
    """What a side tells last: the memory that its steps took."""
    told: dict[str, Any] = {}
    if phase:
        runner.stdin.write("memory\n")  # type: ignore[union-attr]
        runner.stdin.flush()  # type: ignore[union-attr]
        told = json.loads(answer(runner))
    runner.stdin.close()  # type: ignore[union-attr]
    runner.wait()
    return told


def start(side: str, name: str, threads: int | str, module: str, phase: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", module, side, name, str(threads), *([phase] if phase else [])]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=Path(__file__).parent.parent
    )


def environment() -> dict[str, str]:
    """Without what forces slow kernels."""
    return {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}


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
    low, middle, high = (value * 1e3 for value in statistics.quantiles(times if len(times) > 1 else times * 2, n=4))
    return {
        "median_ms": middle, "quartiles_ms": [low, high], "least_ms": min(times) * 1e3, "turns_ms": turns, "steps": len(times)
    }  # fmt: skip


def machine() -> str:
    """The processor's name, and how many cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def table(results: list[dict[str, Any]]) -> str:
    """A row a net and a side; the ratio is the median over the launches of the peer's to ours, with the range over the turns."""
    heads = f"{'net':14s} {'side':8s} {'median':>10s} {'quartiles':>18s} {'least':>9s} {'ratio to ours':>22s} {'memory':>14s}"
    lines = [heads.rstrip()]
    for result in results:
        ours = result["sides"]["ours"]
        for side, made in result["sides"].items():
            low, high = made["quartiles_ms"]
            ratios = sorted(theirs / mine for theirs, mine in zip(made["turns_ms"], ours["turns_ms"], strict=True))
            ratio = "" if side == "ours" else f"{ratio_of(made, ours):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
            known = made.get("memory_mib") is not None
            memory = f"{made['memory_mib']:.0f}, {made['process_mib']:.0f} MiB" if known else ""
            times = f"{made['median_ms']:7.2f} ms {low:7.2f} - {high:5.2f} ms {made['least_ms']:6.2f} ms"
            lines.append(f"{result['net']:14s} {side:8s} {times} {ratio:>22s} {memory:>14s}".rstrip())
        lines += [f"{result['net']:14s} {side:8s} left out: {why}" for side, why in result["left_out"].items()]
    first = results[0]
    lines += [
        f"{first['machine']}; {first['threads']} threads; {first['date']}{'; phase ' * bool(first['phase'])}{first['phase']}"
    ]
    lines += means(results)
    lines += [f"{side}: {made['about']}" for side, made in first["sides"].items()]
    if first["phase"]:
        lines += ["memory: the most beyond what the process had with its libraries, and the most in all", *limits(results)]
    return "\n".join(lines)


def ratio_of(made: dict[str, Any], ours: dict[str, Any]) -> float:
    return statistics.median(theirs / mine for theirs, mine in zip(made["launches_ms"], ours["launches_ms"], strict=True))


def means(results: list[dict[str, Any]]) -> list[str]:
    """Of each peer the geometric mean of its ratios to ours, and the least."""
    ratios: dict[str, list[float]] = {}
    for result in results:
        ours = result["sides"]["ours"]
        for side, made in result["sides"].items():
            ratios.setdefault(side, []).append(ratio_of(made, ours))
    found = {side: values for side, values in ratios.items() if side != "ours" and len(values) > 1}
    return [f"{side} to ours, {len(values)} nets: geometric mean {statistics.geometric_mean(values):.2f}, least {min(values):.2f}"
            for side, values in found.items()]  # fmt: skip


def limits(results: list[dict[str, Any]]) -> list[str]:
    """How near ours comes to what the machine can do: the time that its arithmetic takes at the peak, as a part of the step.

    Bytes are those of the arguments of all calls; what stays in the cache goes faster than a copy does.
    """
    heads = f"{'net':14s} {'GFLOP':>7s} {'at the peak':>12s} {'of a step':>10s}"
    lines = [f"{heads} {'MB moved':>9s} {'as a copy':>10s} {'of a step':>10s}"]
    made = {result["net"]: result["sides"]["ours"] for result in results}
    product, copy = (max(ours[name] for ours in made.values()) for name in ("peak_flops", "peak_bytes"))
    for net, ours in made.items():
        ms, sums, moves = ours["median_ms"], ours["flops"] / product * 1e3, ours["bytes"] / copy * 1e3
        lines.append(f"{net:14s} {ours['flops'] / 1e9:7.2f} {sums:9.2f} ms {sums / ms:10.0%} {ours['bytes'] / 1e6:9.1f} "
                     f"{moves:7.2f} ms {moves / ms:10.0%}")  # fmt: skip
    peaks = f"peaks, the best of those measured beside each net: product {product / 1e9:.0f} GFLOP/s, copy {copy / 1e9:.1f} GB/s"
    return [*lines, peaks]
