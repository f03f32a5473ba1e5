"""LeNet on MNIST from the command to its end, measured: `dltrain train` and the same loop in PyTorch, in turns.

Counted is everything: the start of Python, imports, reading the set, kernels from their cache, tests, snapshots.  Memory is
the most that the process has taken.  Kernels are compiled before the first turn, as they are on any machine but the first time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.race import environment, machine

HERE = Path(__file__).parent.parent
CONFIG = HERE / "configs" / "lenet_mnist.yaml"


def whole(iterations: int, rounds: int, threads: int) -> dict[str, Any]:
    """Both sides, turn by turn: seconds, seconds of all processors, MiB, and the accuracy that was reached."""
    threads = threads or len(os.sched_getaffinity(0))
    data = Path(os.environ.get("DLTRAIN_DATA") or HERE.parent / "shared" / "data")
    if not (data / "mnist").is_dir():
        raise SystemExit(f"{data / 'mnist'}: there is no such folder; set DLTRAIN_DATA to the one that has MNIST in it")
    with tempfile.TemporaryDirectory() as runs:
        ours(data, 1, threads, runs)
        sides: dict[str, list[dict[str, float]]] = {"ours": [], "torch": []}
        for number in range(rounds):
            sides["ours"].append(ours(data, iterations, threads, runs))
            sides["torch"].append(process(data, "benchmarks.plain", str(data / "mnist"), str(iterations), str(threads)))
            print(f"turn {number + 1}: " + ", ".join(f"{side} {made[-1]['seconds']:.1f} s" for side, made in sides.items()))
        starts = {"ours": ours(data, 1, threads, runs)["seconds"]}
        starts["torch"] = process(data, "benchmarks.plain", str(data / "mnist"), "1", str(threads))["seconds"]
    return {"iterations": iterations, "threads": threads, "machine": machine(), "date": time.strftime("%Y-%m-%d"),
            "sides": sides, "starts": starts}  # fmt: skip


def ours(data: Path, iterations: int, threads: int, runs: str) -> dict[str, float]:
    sets = (f"solver.max_iter={iterations}", f"engine.threads={threads}")
    words = [word for setting in sets for word in ("--set", setting)]
    return process(data, "dltrain", "train", str(CONFIG), "--runs", runs, "--quiet", "--json", *words)


def process(data: Path, module: str, *words: str) -> dict[str, float]:
    """What one run of a module takes, and the accuracy that it prints: a number, or JSON with the scores of test."""
    env = environment() | {"DLTRAIN_DATA": str(data)}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", module, *words], env=env, stdout=said, stderr=wrong, cwd=HERE)
        _, status, used = os.wait4(child.pid, 0)
        seconds, child.returncode = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
        said.seek(0)
        wrong.seek(0)
        if child.returncode:
            raise SystemExit(wrong.read())
        made = json.load(said)
    reached = made if isinstance(made, float) else made["scores"]["test.accuracy"]
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024, "accuracy": reached}


def text(made: dict[str, Any]) -> str:
    """A row a side: medians over the turns, and the ratio with its range."""
    lines = [f"{'side':6s} {'whole':>8s} {'least':>8s} {'processors':>11s} {'start':>7s} {'memory':>9s} {'accuracy':>9s}"]
    for side, turns in made["sides"].items():
        middle = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        least = min(turn["seconds"] for turn in turns)
        lines.append(f"{side:6s} {middle['seconds']:6.1f} s {least:6.1f} s {middle['cpu']:9.1f} s {made['starts'][side]:5.1f} s "
                     f"{middle['mib']:5.0f} MiB {middle['accuracy']:9.2%}")  # fmt: skip
    pairs = zip(made["sides"]["torch"], made["sides"]["ours"], strict=True)
    ratios = sorted(theirs["seconds"] / mine["seconds"] for theirs, mine in pairs)
    lines.append(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f}); start: one iteration and a test; "
                 f"{made['iterations']:,} iterations; {made['machine']}; {made['threads']} threads; {made['date']}")  # fmt: skip
    return "\n".join(lines)
