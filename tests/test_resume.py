"""Stop and resume equals never stopped: the same weights, scores and metrics to the last bit, whatever stopped the run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def begin(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "dltrain", "train", *map(str, arguments), "--json", "--quiet"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def wait_for_snapshot(run: Path, after: int, process: "subprocess.Popen[str]") -> None:
    """Blocks until the run has a snapshot past an iteration, or the process has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        done = [int(path.stem.split("_")[1]) for path in run.glob("snapshots/iter_*.h5")]
        if done and max(done) > after:
            return
        time.sleep(0.005)


def same(straight: dict, resumed: dict, folder: Path) -> None:
    assert resumed["state_hash"] == straight["state_hash"]
    one, other = (folder / made["run"] / "metrics.csv" for made in (straight, resumed))
    assert one.read_text() == other.read_text()
    assert resumed["best"] == straight["best"] and resumed["scores"] == straight["scores"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(small, result, tmp_path):
    one, other = result("train", small, "--runs", "a"), result("train", small, "--runs", "b")
    same(one, other, tmp_path)
    assert result("train", small, "--set", "seed=4")["state_hash"] != one["state_hash"]


def test_a_run_killed_with_kill_9_at_random_places_resumes_bit_for_bit(small, result, tmp_path):
    straight = result("train", small, "--set", "solver.max_iter=600", "--runs", "straight")
    process = begin(tmp_path, small, "--set", "solver.max_iter=600", "--runs", "killed")
    killed, chance = 0, random.Random(7)
    run = tmp_path / "killed" / "small" / "latest"
    for last in (0, 130, 310):
        wait_for_snapshot(run, last, process)
        time.sleep(chance.uniform(0, 0.1))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        process = begin(tmp_path, "--resume", run)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert killed >= 2  # a fast machine may be through before the last one
    same(straight, json.loads(out), tmp_path)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_and_exits_75_and_the_run_can_be_resumed(name, small, result, command, tmp_path):
    straight = result("train", small, "--set", "solver.max_iter=2000", "--runs", "straight")
    process = begin(tmp_path, small, "--set", "solver.max_iter=2000", "--runs", "stopped")
    run = tmp_path / "stopped" / "small"
    wait_for_snapshot(run / "latest", 0, process)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert f"stopped by {name} after iteration" in err and "dltrain train --resume" in err
    same(straight, result("train", "--resume", run), tmp_path)


def test_a_finished_run_goes_on_with_a_larger_max_iter_as_if_it_had_been_so_from_the_start(small, result, tmp_path):
    straight = result("train", small, "--set", "solver.max_iter=150", "--runs", "straight")
    short = result("train", small, "--runs", "short")
    assert short["iterations"] == 120 and short["reason"] == "max_iter"
    longer = result("train", "--resume", short["run"], "--set", "solver.max_iter=150")
    assert longer["iterations"] == 150
    assert longer["state_hash"] == straight["state_hash"]


def test_keys_that_change_the_mathematics_are_refused_by_name(small, result, command):
    run = result("train", small, "--set", "solver.max_iter=12")["run"]
    words = ["--set", "solver.base_lr=1", "--set", "net.ip1.num_output=3", "--set", "solver.max_iter=20"]
    done = command("train", "--resume", run, *words)
    assert done.returncode == 2
    assert "cannot change net.ip1.num_output, solver.base_lr" in done.stderr and "max_iter" not in done.stderr


def test_other_threads_continue_and_say_not_bit_for_bit(small, result, command):
    run = result("train", small, "--set", "solver.max_iter=12", "--set", "engine.threads=2")["run"]
    done = command("train", "--resume", run, "--set", "solver.max_iter=14", "--set", "engine.threads=1")
    assert done.returncode == 0
    assert "continues, not bit for bit: threads was 2, is 1" in done.stderr


def test_a_second_process_in_the_same_folder_is_refused(small, command, tmp_path):
    process = begin(tmp_path, small, "--set", "solver.max_iter=100000")
    run = tmp_path / "runs" / "small"
    wait_for_snapshot(run / "latest", 0, process)
    done = command("train", "--resume", run)
    process.kill()
    process.communicate()
    assert done.returncode == 6 and "another process trains in this folder" in done.stderr


def test_early_stopping_ends_a_run_and_its_state_survives_a_resume(small, result, tmp_path):
    words = ["--set", "solver.early_stopping={monitor: loss, patience: 2 epochs, min_delta: 0.5}", "--set", "solver.max_iter=900"]
    straight = result("train", small, *words, "--runs", "straight")
    assert straight["reason"] == "early_stopping" and straight["iterations"] < 900
    process = begin(tmp_path, small, *words, "--runs", "killed")
    run = tmp_path / "killed" / "small"
    wait_for_snapshot(run / "latest", 20, process)
    process.kill()
    process.communicate()
    resumed = result("train", "--resume", run)
    assert resumed["reason"] == "early_stopping"
    same(straight, resumed, tmp_path)
