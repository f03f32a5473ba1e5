"""python -m benchmarks.gpu --out DIR: all that a machine with a CUDA device must show, in one call of under nine minutes.

1. describes the device (nvidia-smi, versions; cuDNN's own JSON of it where cuDNN is there);
2. runs the tests marked gpu;
3. times training steps of PyTorch in four ways and of ours, each in a process of its own, and writes one Markdown table.

Batches are made up and lie on the device.  What does not fit into the time is left out, and the table says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.gpu_nets import LIMITS, NETS

ROOT = Path(__file__).parent.parent
PRECISIONS = ("tf32", "fp32")


def run(words: list[str], limit: float, out: Path | None = None) -> tuple[int, str]:
    """A command's exit status and output; 124 where it ran out of time."""
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, limit), env=environment())
        status, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        status, text = 124, f"{(error.stdout or b'').decode(errors='replace')}\nran out of {limit:.0f} s"
    except FileNotFoundError:
        status, text = 127, f"{words[0]} is not there"
    if out is not None:
        out.write_text(text)
    return status, text


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "CUDA_MODULE_LOADING": "EAGER",
    }


def describe(out: Path) -> None:
    """What the device and the libraries are, for the record and as a fixture."""
    run(["nvidia-smi", "-q"], 20, out / "nvidia-smi.txt")
    code = "import json, platform, sys\nmade = {'python': platform.python_version()}\n"
    code += "for name in ('numpy', 'cupy', 'torch', 'cudnn'):\n    try:\n        made[name] = __import__(name).__version__\n"
    code += "    except Exception as error:\n        made[name] = f'{type(error).__name__}: {error}'\n"
    code += "try:\n    import cudnn\n    made['device'] = str(cudnn.create_device_properties(0).serialize())\n"
    code += (
        "except Exception as error:\n    made['device'] = f'{type(error).__name__}: {error}'\nprint(json.dumps(made, indent=1))"
    )
    run([sys.executable, "-c", code], 60, out / "device.json")
    run([sys.executable, "-m", "dltrain", "devices"], 30, out / "devices.txt")


def step_time(side: str, net: str, precision: str, limit: float) -> dict[str, Any]:
    status, text = run([sys.executable, "-m", "benchmarks.gpu_side", side, net, precision], limit)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if status or not lines:
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
    return f"{ms:.3f}" if ms is not None else made.get("left_out", "")


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
@click.option("--no-tests", is_flag=True, help="Leave the tests out.")
def main(out: str, names: tuple[str, ...], seconds: int, no_tests: bool) -> None:
    """Everything, the most wanted first."""
    end, folder = time.monotonic() + seconds, Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    describe(folder)
    if not no_tests:
        words = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-x", "--no-header", "-p", "no:cacheprovider", "tests/gpu"]
        status, text = run(words, min(150, end - time.monotonic()), folder / "tests.txt")
        click.echo(f"tests: exit {status}: {(text.strip().splitlines() or [''])[-1]}")
    jobs = [(name, precision, side) for name in names or NETS for precision in PRECISIONS for side in ("ours", *NETS[name].modes)]
    jobs.sort(key=lambda job: (job[2] in ("compile", "reduce-overhead"), job[1] == "fp32" and job[0] != "lenet"))
    results: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for name, precision, side in jobs:
        left = end - time.monotonic()
        made = step_time(side, name, precision, min(90, left)) if left > 10 else {"left_out": "no time left"}
        results.setdefault((name, precision), {})[side] = made
        click.echo(f"{name} {precision} {side}: {made.get('ms', made.get('left_out'))}")
        write(folder, results)


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


if __name__ == "__main__":
    main()
