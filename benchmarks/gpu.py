"""python -m benchmarks.gpu --out DIR: all that a machine with a CUDA device must show, in one call of under nine minutes.

1. describes the device (nvidia-smi, versions; cuDNN's own JSON of it where cuDNN is there);
2. runs the tests marked gpu, several at once where pytest-xdist is there; what fails is run again under compute-sanitizer;
3. times training steps of PyTorch in four ways and of ours, each in a process of its own, and writes one Markdown table.

Batches are made up and lie on the device.  What does not fit into the time is left out, and the table says so.  The folder holds
no more than eight small files: table.md, results.json, log.txt (the end of all that went wrong), tests.txt, sanitizer.txt,
device.json, nvidia-smi.txt and tuned.json (which way each product goes).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from benchmarks.gpu_nets import LIMITS, NETS
from dltrain.ops import cache

ROOT = Path(__file__).parent.parent
PRECISIONS = ("tf32", "bf16", "fp32")
WORKERS = 6  # processes that test
SUSPECTS = 3  # tests that failed and are run again under the sanitizer
MOST = {"ours": 150}  # seconds; we try the ways to do each product, the first time
FAILED = re.compile(r"^FAILED (tests/\S+?(?:\[.*?\])?)(?: - .*)?$", re.MULTILINE)


def run(words: list[str], limit: float, out: Path | None = None) -> tuple[int, str]:
    """A command's exit status and output; 124 where it ran out of time, and all that it had started ends with it."""
    try:
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(),
                              start_new_session=True) as process:  # fmt: skip
            try:
                raw, status = process.communicate(timeout=max(1.0, limit))[0], process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raw, status = process.communicate()[0] + f"\nran out of {limit:.0f} s".encode(), 124
        text = raw.decode(errors="replace")
    except OSError as error:
        status, text = 127, str(error)
    if out is not None:
        out.write_text(text)
    return status, text


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def note(folder: Path, what: str, text: str, most: int = 6000) -> None:
    """The end of an output, for whoever looks for the reason."""
    with (folder / "log.txt").open("a") as file:
        file.write(f"=== {what}\n{text[-most:]}\n")


def describe(folder: Path) -> None:
    """What the device and the libraries are, for the record and as a fixture."""
    run(["nvidia-smi", "-q"], 20, folder / "nvidia-smi.txt")
    code = "import json, platform, sys\nmade = {'python': platform.python_version()}\n"
    code += "for name in ('numpy', 'cupy', 'torch', 'cudnn', 'numba', 'pydantic'):\n    try:\n"
    code += "        made[name] = __import__(name).__version__\n"
    code += "    except Exception as error:\n        made[name] = f'{type(error).__name__}: {error}'\n"
    code += "try:\n    import cudnn\n    made['device'] = str(cudnn.create_device_properties(0).serialize())\n"
    code += (
        "except Exception as error:\n    made['device'] = f'{type(error).__name__}: {error}'\nprint(json.dumps(made, indent=1))"
    )
    run([sys.executable, "-c", code], 60, folder / "device.json")
    note(folder, "dltrain devices", run([sys.executable, "-m", "dltrain", "devices"], 30)[1])


# --- tests ---
def tests(*more: str) -> list[str]:
    """The command; warnings of other versions are none of our errors."""
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-rf", "--tb=short", "--no-header", "--durations=10"]
    return [*words, "-W", "default", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", *more]


def examine(folder: Path, limit: float, sanitizer: str) -> None:
    """All tests, and those that fail once more under the sanitizer, which tells what touches what; or all of them under it."""
    side_by_side = ["-n", str(WORKERS)] if find_spec("xdist") else []
    watch = ["compute-sanitizer", "--tool", sanitizer or "memcheck", "--target-processes", "all", "--print-limit", "20"]
    status, text = run([*(watch if sanitizer else []), *tests(*side_by_side, "tests/gpu")], limit, folder / "tests.txt")
    click.echo(f"tests: exit {status}: {(text.strip().splitlines() or [''])[-1]}")
    found = FAILED.findall(text)[:SUSPECTS]
    if found and not sanitizer and shutil.which(watch[0]):
        run([*watch, *tests("-p", "no:xdist", *found)], 60, folder / "sanitizer.txt")


# --- times ---
def step_time(folder: Path, side: str, net: str, precision: str, limit: float) -> dict[str, Any]:
    status, text = run([sys.executable, "-m", "benchmarks.gpu_side", side, net, precision], limit)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if status or not lines:
        note(folder, f"{net} {precision} {side}: exit {status}", text)
        return {"left_out": (text.strip().splitlines() or ["no output"])[-1][:160]}
    made: dict[str, Any] = json.loads(lines[-1])
    return made


def row(name: str, precision: str, made: dict[str, dict[str, Any]]) -> str:
    """One line of the table: ours, each way of PyTorch, and the ratio to the best of them."""
    net, ours = NETS[name], made["ours"].get("ms")
    peers = {side: each["ms"] for side, each in made.items() if side != "ours" and "ms" in each}
    best = min(peers.values(), default=None)
    limit = net.limits.get(precision)
    cells = [net.about, precision, told(ours, made["ours"])]
    cells += [
        told(made.get(side, {}).get("ms"), made.get(side, {})) for side in ("eager", "compile", "reduce-overhead", "captured")
    ]
    cells += [
        f"{best / ours:.2f}" if best and ours else "",
        f"{limit:g}" if limit else "",
        f"{limit / ours:.0%}" if limit and ours else "",
    ]
    return f"| {' | '.join(cells)} |"


def told(ms: float | None, made: dict[str, Any]) -> str:
    return f"{ms:.3f}" if ms is not None else str(made.get("left_out", "")).replace("|", "/")


HEADS = (
    "net",
    "precision",
    "ours, ms",
    "eager",
    "compile",
    "reduce-overhead",
    "captured step",
    "best PyTorch / ours",
    "limit, ms",
    "share",
)


@click.command()
@click.option("--out", default="gpu_results", show_default=True, help="Folder for the table and the logs.")
@click.option("--net", "names", multiple=True, type=click.Choice(list(NETS)), help="Which nets; all where none is given.")
@click.option("--seconds", default=520, show_default=True, help="All must be done by then.")
@click.option("--test-seconds", default=180, show_default=True, help="Of these, for the tests.")
@click.option("--no-tests", is_flag=True, help="Leave the tests out.")
@click.option("--sanitize", default="", help="Only the tests, under this tool of compute-sanitizer, such as memcheck.")
def main(out: str, names: tuple[str, ...], seconds: int, test_seconds: int, no_tests: bool, sanitize: str) -> None:
    """Everything, the most wanted first."""
    end, folder = time.monotonic() + seconds, Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, {})
    describe(folder)
    if sanitize or not no_tests:
        examine(folder, (seconds if sanitize else test_seconds) - 20, sanitize)
    results: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for name, precision, side in [] if sanitize else jobs(names):
        left = end - time.monotonic()
        made = (
            step_time(folder, side, name, precision, min(MOST.get(side, 90), left)) if left > 10 else {"left_out": "no time left"}
        )
        results.setdefault((name, precision), {})[side] = made
        click.echo(f"{name} {precision} {side}: {made.get('ms', made.get('left_out'))}")
        write(folder, results)


def jobs(names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(net, precision, side), in the order in which they are wanted."""
    made = [(name, precision, side) for name in names or NETS for precision in PRECISIONS for side in ("ours", *NETS[name].modes)]
    return sorted(made, key=lambda job: (job[2] in ("compile", "reduce-overhead"), job[1] == "fp32" and job[0] != "lenet"))


def write(folder: Path, results: dict[tuple[str, str], dict[str, dict[str, Any]]]) -> None:
    """The table so far: a run that is stopped has left all it knew."""
    rows = [row(name, precision, made) for (name, precision), made in sorted(results.items()) if "ours" in made]
    lines = [
        f"| {' | '.join(HEADS)} |",
        f"|{'---|' * len(HEADS)}",
        *rows,
        "",
        f"Milliseconds a training step, medians; {LIMITS}.",
    ]
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    plain = {f"{name} {precision}": made for (name, precision), made in results.items()}
    (folder / "results.json").write_text(json.dumps(plain, indent=1) + "\n")
    tuned = [path.read_text() for path in sorted(cache.folder("tuned").glob("*.json"))]
    (folder / "tuned.json").write_text("\n".join(tuned))


if __name__ == "__main__":
    main()
