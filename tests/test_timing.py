"""dltrain time: every call of the plan is timed once and counted once, no data are needed, and nothing is learned."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import timing
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.launch import engine_of
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.sketch import sketch

NET = """
data: {source: {type: image_folder, root: nowhere}, batch_size: 4, transform: [{crop: 8}]}
net:
  - {name: conv, type: Convolution, num_output: 4, kernel_size: 3}
  - {name: pool, type: Pooling, kernel_size: 2, stride: 2}
  - {name: drop, type: Dropout}
  - {name: ip, type: InnerProduct, num_output: 3}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip, label]}
"""
SOLVER = "solver: {type: Adam, base_lr: 0.1, weight_decay: 0.01, clip_gradients: 1, max_iter: 10}\n"
HERE = {"device": None, "settings": (), "iterations": 2, "console": Console(quiet=True, as_json=True)}


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PEAK", 0.0)
    monkeypatch.setattr(timing, "COPIED", 1 << 16)
    monkeypatch.setattr(timing, "SIDE", 16)


def written(folder: Path, text: str) -> str:
    (folder / "net.yaml").write_text(text)
    return str(folder / "net.yaml")


def timed(path: str, phase: str = "train", **keys: Any) -> dict[str, Any]:
    return timing.time(path, phase=phase, **{**HERE, **keys})


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("phase", ["train", "test"])
def test_all_calls_of_the_plan_are_there_and_nothing_twice(phase: str, device: str, tmp_path: Path) -> None:
    path = written(tmp_path, NET + SOLVER)
    made = timed(path, phase, device=device)
    config = sketch(path, ())
    engine = engine_of(config, device)
    plan = engine.plan_of(config.net.graph(phase, (4,), phase), update=phase == "train")
    engine.close()
    wanted = Counter((call.layer, call.way, call.op.name) for call in plan.calls)
    assert Counter((row["layer"], row["way"], op) for row in made["layers"] for op in row["ops"]) == wanted
    assert sum(row["flops"] for row in made["layers"]) == plan.flops
    assert made["sum_ms"] == pytest.approx(sum(row["ms"] for row in made["layers"]))
    assert len({(row["layer"], row["way"]) for row in made["layers"]}) == len(made["layers"])
    assert (made["phase"], made["batch_size"], made["iterations"], made["device"]) == (phase, 4, 2, device)


def test_shares_are_of_the_peaks_that_are_told(tmp_path: Path) -> None:
    made = timed(written(tmp_path, NET + SOLVER))
    peak = made["peak"]
    for row in made["layers"]:
        assert row["ms"] > 0
        assert row["gflops_per_s"] == pytest.approx(row["flops"] / row["ms"] / 1e6)
        assert row["gbytes_per_s"] == pytest.approx(row["bytes"] / row["ms"] / 1e6)
        assert row["flops_of_peak"] == pytest.approx(row["gflops_per_s"] / peak["gflops_per_s"])
        assert row["bytes_of_peak"] == pytest.approx(row["gbytes_per_s"] / peak["gbytes_per_s"])


def test_bytes_by_hand(tmp_path: Path) -> None:
    """ip forward reads x (4 x 36), w (3 x 36), b and writes 4 x 3; its gradient adds to dw (twice) and db (twice)."""
    made = {(row["layer"], row["way"]): row for row in timed(written(tmp_path, NET + SOLVER), device="reference")["layers"]}
    ip = made["ip", "forward"]
    assert ip["ops"] == ["inner_product"] and ip["bytes"] == 4 * (4 * 36 + 3 * 36 + 3 + 4 * 3)
    back = made["ip", "backward"]
    assert sorted(back["ops"]) == ["inner_product_dw", "inner_product_dx"]
    assert back["bytes"] == 4 * ((4 * 36 + 4 * 3 + 2 * 3 * 36 + 2 * 3) + (3 * 36 + 4 * 3 + 4 * 36))


def test_without_a_solver_it_is_a_test_pass(tmp_path: Path) -> None:
    made = timed(written(tmp_path, NET))
    assert made["phase"] == "test" and {row["way"] for row in made["layers"]} == {"forward"}


def test_nothing_is_learned_and_nothing_fails_meanwhile(tmp_path: Path) -> None:
    config = sketch(written(tmp_path, NET + SOLVER), ())
    for backend in (Reference(), Cpu(2)):
        engine = Engine(config.net, backend, config.solver)
        engine.initialise(3)
        before = engine.memory.memory(config.net.store.w).copy()
        batch = timing.made_up(config)
        timing.whole(config, engine, batch, "train")()
        timing.each(engine, batch, 3)
        assert not engine.has_failed
        np.testing.assert_array_equal(engine.memory.memory(config.net.store.w), before)
        engine.close()


def test_a_net_with_a_cut_is_timed_on_both_sides_of_it(tmp_path: Path) -> None:
    text = NET.replace("  - {name: ip,", "  - {name: some, type: Filter, bottom: [drop, label, label]}\n  - {name: ip,")
    text = text.replace("[ip, label]", "[ip, some.1]")
    made = timed(written(tmp_path, text + SOLVER))
    ways = {(row["layer"], row["way"]) for row in made["layers"]}
    assert {("conv", "forward"), ("some", "forward"), ("ip", "forward"), ("conv", "backward"), ("solver", "update")} <= ways
    assert len(ways) == len(made["layers"])


def test_the_command_prints_a_row_a_layer_and_way_and_the_totals(small: Path, command: Any) -> None:
    done = command("time", small, "--iterations", "1")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["layer", "way", "ops", "ms", "part", "GFLOP/s", "of", "peak", "GB/s", "of", "peak"]
    assert {("conv1", "forward"), ("conv1", "backward"), ("solver", "update")} <= {tuple(row.split()[:2]) for row in rows}
    assert "matrix product" in rows[-2] and "a step of" in rows[-3] and rows[-1] == timing.NOTE


def test_json_is_one_object(small: Path, command: Any) -> None:
    done = command("time", small, "--iterations", "1", "--phase", "test", "--json")
    made = json.loads(done.stdout)
    assert set(made) == {
        "name", "phase", "batch_size", "iterations", "device", "threads", "step_ms", "sum_ms", "peak", "layers"
    }  # fmt: skip
    assert made["step_ms"] > 0 and set(made["peak"]) == {"gflops_per_s", "gbytes_per_s"}


def test_iterations_are_at_least_one(small: Path, command: Any) -> None:
    done = command("time", small, "--iterations", "0")
    assert done.returncode == 2 and "0 is not in the range x>=1" in done.stderr
