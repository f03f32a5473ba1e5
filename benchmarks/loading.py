"""Loading data, measured: our feed against PyTorch's DataLoader, in turns; how long training waits; the first batch.

python -m benchmarks loading [--json FILE] [--rounds N]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loaders import BATCHES, FAR
from benchmarks.race import race, start

HERE = Path(__file__).parent.parent
PICTURES = 600
TURN = 1.0  # seconds of batches in a turn
RUNNER = "benchmarks.loaders"
OURS = {"jpeg": ("full", "scaled")}  # ways of decoding; elsewhere: as it is by itself, and with two threads
PEERS = ("torch0", "torch2")
ITERATIONS = 500
PACKAGES = ("numpy", "numba", "pillow", "torch")


def loading(rounds: int) -> dict[str, Any]:
    """All figures; a set whose files are not there is left out, and said."""
    data = Path(os.environ.get("DLTRAIN_DATA") or HERE.parent / "shared" / "data")
    with tempfile.TemporaryDirectory() as place:
        sets = places(data, Path(place))
        races = [race(f"{name} {folder}", (*OURS.get(name, ("ours", "ours2")), *PEERS), 2, rounds, RUNNER, TURN)
                 for name, folder in sets.items()]  # fmt: skip
        begins = {name: {side: begin(side, f"{name} {folder}") for side in (*OURS.get(name, ("ours",)), "torch2")}
                  for name, folder in sets.items()}  # fmt: skip
    waits = waited(data) if (data / "mnist").is_dir() else None
    return {
        "races": races,
        "begins": begins,
        "waited": waits,
        "versions": versions(),
        "left_out": sorted({"jpeg", "cifar"} - set(sets)),
    }


def places(data: Path, place: Path) -> dict[str, Path]:
    """The sets that can be had, each with the folder that has its files."""
    found = {}
    if originals := sorted((data / "hymenoptera").rglob("*.jpg")):
        found["jpeg"] = folder_of(originals, place / "jpeg")
    if (data / "mnist").is_dir():
        found["mnist"] = data
    else:
        found["digits"] = tiled(place)
    if (data / "cifar10").is_dir():
        found["cifar"] = data
    return found


def folder_of(originals: list[Path], folder: Path) -> Path:
    """So many pictures as files of their own, the originals again and again under other names."""
    for number in range(PICTURES):
        original = originals[number % len(originals)]
        (folder / original.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, folder / original.parent.name / f"{number}.jpg")
    return folder


def tiled(folder: Path) -> Path:
    """The bundled digits, 60,000 times one of them."""
    with np.load(HERE / "data" / "digits.npz") as arrays:
        rows = np.arange(60_000) % len(arrays["label"])
        np.savez(folder / "digits.npz", data=arrays["data"][rows, None], label=arrays["label"][rows].astype(np.int32))
    return folder


def begin(side: str, name: str) -> dict[str, float]:
    """Medians of three fresh processes: see `first` of loaders."""
    runs = []
    for _ in range(3):
        runner = start(side, name, "first", RUNNER)
        runs.append(json.loads(runner.communicate()[0]))
    return {word: statistics.median(run[word] for run in runs) for word in runs[0]}


def waited(data: Path) -> dict[str, float]:
    """What share of its time a training of LeNet on MNIST waits for data: display events have both."""
    with tempfile.TemporaryDirectory() as place:
        env = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")} | {"DLTRAIN_DATA": str(data)}
        shutil.copytree(HERE / "configs", Path(place, "configs"))
        words = [sys.executable, "-m", "dltrain", "train", "configs/lenet_mnist.yaml", "--set", f"solver.max_iter={ITERATIONS}"]
        subprocess.run(words, cwd=place, env=env | {"PYTHONPATH": str(HERE)}, check=True, capture_output=True)
        events = [json.loads(line) for file in Path(place).rglob("events.jsonl") for line in file.read_text().splitlines()]
    shown = [event for event in events if event.get("event") == "display"]
    return {"seconds": sum(event["seconds"] for event in shown), "waited": sum(event["waited"] for event in shown)}


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def text(made: dict[str, Any]) -> str:
    """A row a set and a side; a ratio is the faster peer's time over ours, turn by turn: the median, and the range."""
    lines = [f"{'set':7s} {'side':7s} {'a batch':>9s} {'quartiles':>19s} {'samples/s':>10s}  ratio to the faster peer"]
    for result in made["races"]:
        name = result["net"].split()[0]
        best = min((side for side in result["sides"] if side in PEERS), key=lambda side: result["sides"][side]["median_ms"])
        peer = result["sides"][best]["turns_ms"]
        for side, times in result["sides"].items():
            ratios = sorted(theirs / mine for theirs, mine in zip(peer, times["turns_ms"], strict=True))
            ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})" if side not in PEERS else ""
            low, high = times["quartiles_ms"]
            lines.append(f"{name:7s} {side:7s} {times['median_ms']:6.3f} ms {low:7.3f} - {high:6.3f} ms "
                         f"{BATCHES[name] / times['median_ms'] * 1e3:10.0f}  {ratio}")  # fmt: skip
    for name, sides in made["begins"].items():
        for side, times in sides.items():
            words = [f"batch {number:,} of a fresh feed {times[str(number)] * 1e3:.2f} ms" for number in (0, FAR) if "0" in times]
            said = ", ".join([f"first batch after {times['first']:.2f} s of a fresh process", *words])
            lines.append(f"{name:7s} {side:7s} {said}")
    if made["waited"]:
        seconds, share = made["waited"]["seconds"], made["waited"]["waited"]
        words = f"waited {share:.3f} of {seconds:.2f} s for data, {share / seconds:.1%}"
        lines.append(f"configs/lenet_mnist.yaml, {ITERATIONS} iterations: {words}")
    lines += [f"left out, for want of files: {', '.join(made['left_out'])}"] if made["left_out"] else []
    first = made["races"][0]
    return "\n".join([*lines, f"{first['machine']}; {first['date']}; {made['versions']}"])
