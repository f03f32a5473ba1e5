"""The GPU benchmark where there is no GPU: whatever goes wrong, a table is left, and the reason."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_side
from benchmarks.gpu_nets import NETS
from tests.conftest import ROOT


def test_a_command_ends_in_time_with_all_that_it_has_started() -> None:
    code = "import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    began = time.monotonic()
    assert gpu.run([sys.executable, "-c", code], 1.5) == (124, "begun\n\nran out of 2 s")
    assert time.monotonic() - began < 30
    assert gpu.run(["there_is_no_such_command"], 5)[0] == 127


def test_the_tests_that_failed_are_found_by_name() -> None:
    text = (
        "FAILED tests/gpu/test_device.py::test_it[LSTM-1-True] - assert [1] == [2]\nFAILED tests/gpu/test_device.py::test_one\n"
    )
    assert gpu.FAILED.findall(text) == ["tests/gpu/test_device.py::test_it[LSTM-1-True]", "tests/gpu/test_device.py::test_one"]


def test_the_tests_are_collected_with_the_command(tmp_path: Path) -> None:
    """Without what pyproject.toml adds, and without xdist."""
    done = subprocess.run(gpu.tests("-p", "no:xdist", "--collect-only", "tests/gpu"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 5) and "error" not in done.stderr.lower(), done.stdout + done.stderr


def test_what_is_wanted_most_comes_first() -> None:
    jobs = gpu.jobs(())
    assert jobs[0] == ("lenet", "tf32", "ours") and len(jobs) == len(set(jobs))
    assert {(name, "bf16", "ours") for name in NETS} <= set(jobs)
    late = [precision == "fp32" and name != "lenet" for name, precision, side in jobs if side in ("ours", "eager", "captured")]
    assert late == sorted(late) and any(late)
    compiled = [side in ("compile", "reduce-overhead") for _, _, side in jobs]
    assert compiled == sorted(compiled)
    assert {side for _, _, side in gpu.jobs(("alexnet",))} == {"ours", "eager", "captured", "compile"}


def test_the_table_tells_ratios_and_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLTRAIN_CACHE", str(tmp_path))
    gpu.write(tmp_path, {})
    assert (tmp_path / "table.md").read_text().startswith("| net | precision | ours, ms |")
    made = {"ours": {"ms": 0.056}, "eager": {"ms": 0.35}, "captured": {"ms": 0.084}, "compile": {"left_out": "a | b"}}
    gpu.write(tmp_path, {("lenet", "tf32"): made, ("vgg16", "fp32"): {"ours": {"left_out": "no time left"}}})
    lenet, vgg = (tmp_path / "table.md").read_text().splitlines()[2:4]
    assert lenet == "| LeNet, batch 64 | tf32 | 0.056 | 0.350 | a / b |  | 0.084 | 1.50 | 0.028 | 50% |"
    assert vgg == "| VGG-16, batch 64 | fp32 | no time left |  |  |  |  |  | 112 |  |"
    assert json.loads((tmp_path / "results.json").read_text())["lenet tf32"] == made
    gpu.write(tmp_path, {("vgg16", "bf16"): {"ours": {"ms": 18.8}, "eager": {"ms": 14.1}}})
    assert (tmp_path / "table.md").read_text().splitlines()[2].endswith("| bf16 | 18.800 | 14.100 |  |  |  | 0.75 | 9.4 | 50% |")


@pytest.mark.parametrize("many", [1, 16])
def test_the_time_of_a_call_is_shared_by_its_steps(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """A clock that each call moves by two milliseconds, and each wait by none."""
    clock, calls, waits = [0.0], [0], [0]

    def step() -> None:
        clock[0] += 0.002
        calls[0] += 1

    def wait() -> None:
        waits[0] += 1

    monkeypatch.setattr(gpu_side.time, "perf_counter", lambda: clock[0])
    made = gpu_side.measure(step, wait, many)
    turns = int(gpu_side.TURN / 0.002)
    assert made["ms"] == pytest.approx(2 / many) and made["least_ms"] <= made["ms"] <= made["most_ms"]
    assert calls[0] in (15 + gpu_side.TURNS * turns, 15 + gpu_side.TURNS * (turns - 1))
    assert made["steps"] == (calls[0] - 15) * many and waits[0] == 2 + gpu_side.TURNS
