"""The CUDA engine as a whole, on a device that the CPU plays: the kernels are those of a GPU, the numbers those of the CPU engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain import late
from dltrain.config import Config
from dltrain.engine import Engine
from dltrain.errors import Diverged, OutOfMemory
from dltrain.hooks import LOOKS
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.runner import OnHost
from dltrain.resident import Resident, draws_nothing, may_reside
from dltrain.tensor import Picked

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")

Make = Callable[..., Engine]


@pytest.fixture
def config(small: Path) -> Config:
    return configs.read(str(small))


@pytest.fixture
def make(config: Config) -> Iterator[Make]:
    made: list[Engine] = []

    def engine(backend: Reference) -> Engine:
        made.append(Engine(config.net, backend, config.solver))
        made[-1].initialise(config.seed)
        return made[-1]

    yield engine
    for one in made:
        one.close()
    config.feed.close()


def train(engine: Engine, config: Config, steps: int, first: int = 0) -> list[float]:
    """The losses of some steps, each looked at only when all are under way."""
    assert config.solver is not None
    losses = [
        engine.step([config.feed.train_batch_now(number)], config.solver.rates(number, config.horizon))
        for number in range(first, first + steps)
    ]
    return [float(each["loss"]) for each in losses]


def arrays(engine: Engine) -> dict[str, Any]:
    return {name: np.array(array) for name, array in engine.state_arrays().items()}


# --- the numbers ---
def test_twenty_losses_are_those_of_the_cpu(make: Make, config: Config) -> None:
    cpu, cuda = make(Cpu(1)), make(Cuda(Emulator()))
    assert np.abs(np.subtract(train(cpu, config, 20), train(cuda, config, 20))).max() < 1e-4
    for name, want in arrays(cpu).items():
        assert np.abs(arrays(cuda)[name] - want).max() <= 1e-3 * np.abs(want).max(), name


def test_a_graph_gives_the_bits_of_single_calls(make: Make, config: Config) -> None:
    driver = Emulator()
    captured, single = make(Cuda(driver)), make(Cuda(Emulator(), graphs=False))
    assert train(captured, config, 5) == train(single, config, 5)
    assert driver.captured == 1
    assert all(one.tobytes() == two.tobytes() for one, two in zip(arrays(captured).values(), arrays(single).values()))


def test_the_test_phase_is_a_graph_too(make: Make, config: Config) -> None:
    driver = Emulator()
    cuda, cpu = make(Cuda(driver)), make(Cpu(1))
    batches = list(config.feed.batches("val"))[:2] * 2
    for batch in batches:
        for engine in (cuda, cpu):
            engine.forward("test", batch, "val")
        for name, sums in cpu.tallies().items():
            assert np.allclose(cuda.tallies()[name], sums, rtol=1e-5), name
    assert driver.captured == len({len(batch["label"]) for batch in batches})


def test_snapshots_go_from_one_device_to_another(make: Make, config: Config) -> None:
    one, other = make(Cuda(Emulator())), make(Cpu(1))
    train(one, config, 3)
    for name, array in other.state_arrays().items():
        array[...] = arrays(one)[name]
    other.step_count = one.step_count
    assert np.abs(np.subtract(train(one, config, 5, 3), train(other, config, 5, 3))).max() < 1e-4


# --- losses that are read late ---
def test_losses_are_read_when_they_are_looked_at(make: Make, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "ROWS", 8)
    engine, rates = make(Cuda(Emulator())), config.solver.rates(30, config.horizon)  # type: ignore[union-attr]
    batch = config.feed.train_batch_now(0)
    losses = [engine.step([batch], rates) for _ in range(60)]  # more than the ring holds
    (ring,) = engine.rings.values()
    assert len(ring.waiting) == 60 - 8 * 7  # the eighth row is the next step's
    other = make(Cuda(Emulator()))
    assert [each["loss"] for each in losses[:20]] == [other.step([batch], rates)["loss"] for _ in range(20)]
    means = [np.mean([each["loss"] for each in losses[at : at + 15]]) for at in range(0, 60, 15)]
    assert means == sorted(means, reverse=True)  # each in its place
    assert set(losses[0]) == {"loss"} and "accuracy" not in losses[0] and len(losses[0]) == 1
    assert losses[59]["loss"] == losses[59]["loss"] and not ring.waiting


def test_a_step_that_fails_is_known_later_and_which_it_was(make: Make, config: Config) -> None:
    engine, rates = make(Cuda(Emulator())), config.solver.rates(0, config.horizon)  # type: ignore[union-attr]
    good = config.feed.train_batch_now(0)
    bad = {**good, "data": np.full_like(good["data"], np.nan)}
    for batch in (good, good, bad, good, good, good):
        before = arrays(engine) if batch is bad else None
        if before is not None:
            kept = before
        engine.step([batch], rates)
    assert engine.has_failed and engine.steps_since_failure == 3
    assert all(array.tobytes() == kept[name].tobytes() for name, array in arrays(engine).items() if name.startswith("data"))
    engine.reset()
    assert not engine.has_failed and engine.steps_since_failure == 0


def test_without_graphs_the_call_that_makes_a_nan_is_named(make: Make, config: Config) -> None:
    engine, rates = make(Cuda(Emulator(), graphs=False)), config.solver.rates(0, config.horizon)  # type: ignore[union-attr]
    batch = config.feed.train_batch_now(0)
    batch["data"][0, 0, 0, 0] = np.nan
    with pytest.raises(Diverged, match=r"layer '\w+' makes a value that is not a number, on its way forward \(\w+\): "):
        engine.step([batch], rates)


# --- what a device keeps ---
def test_training_samples_are_kept_on_the_device(make: Make, config: Config, small: Path) -> None:
    assert not draws_nothing(config.feed)  # random crops
    plain = configs.read(str(small), ("data.transform=[{resize: 10}, {scale: 0.00390625}]",))
    assert draws_nothing(plain.feed) and may_reside(plain.feed, 1 << 30) and not may_reside(plain.feed, 1 << 10)
    batches = Resident(plain.feed)
    for number in (0, 1, 40):
        picked, made = batches.train_batch(number), plain.feed.train_batch_now(number)
        assert picked.keys() == made.keys() and isinstance(picked["data"], Picked)
        assert all(np.array_equal(np.asarray(picked[name]), made[name]) for name in made)
    one, two = make(Cuda(Emulator())), make(Cuda(Emulator()))
    assert plain.solver is not None
    for number in range(4):
        rates = plain.solver.rates(number, plain.horizon)
        assert (
            one.step([batches.train_batch(number)], rates)["loss"]
            == two.step([plain.feed.train_batch_now(number)], rates)["loss"]
        )


def test_what_does_not_fit_is_told_before_it_is_taken(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(config.net, Cuda(Emulator()), config.solver)
    monkeypatch.setattr(engine.backend, "free_bytes", lambda: 120_000)
    with pytest.raises(
        OutOfMemory, match=r"a step on 50 samples needs .* GiB on cuda, .* a batch of about \d+ would fit: set data.batch_size"
    ):
        engine.check_room("train", 50)
    monkeypatch.setattr(engine.backend, "free_bytes", lambda: 10_000)
    with pytest.raises(OutOfMemory, match="not even one sample would fit"):
        engine.check_room("train", 50)
    monkeypatch.setattr(engine.backend, "free_bytes", lambda: 1 << 30)
    engine.check_room("train", 50)


# --- calls that no kernel does ---
def test_an_op_of_the_users_runs_on_the_host_and_no_graph_holds_it(
    make: Make, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dltrain.ops.cuda import backend

    monkeypatch.setitem(backend.RECIPES, "dropout", [])
    driver = Emulator()
    host, whole = make(Cuda(driver)), make(Cuda(Emulator()))
    monkeypatch.undo()
    monkeypatch.setitem(backend.RECIPES, "dropout", [])
    made = train(host, config, 3)
    assert driver.captured == 0
    (program,) = host.programs.values()
    assert any(isinstance(kernel, OnHost) for segment in program.segments for kernel in segment[0])
    monkeypatch.undo()
    assert np.allclose(made, train(whole, config, 3), rtol=1e-5)


# --- the command ---
def test_a_run_on_the_device_and_on_with_it_on_the_cpu(command: Any, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLTRAIN_EMULATE", "1")
    whole = command("train", small, "--device", "cuda", "--set", "solver.max_iter=20", "--quiet", "--json")
    assert whole.returncode == 0, whole.stderr
    first = command("train", small, "--device", "cuda", "--set", "solver.max_iter=10", "--quiet", "--runs", "half")
    assert first.returncode == 0, first.stderr
    again = command("train", "--resume", "half/small", "--set", "solver.max_iter=20", "--device", "cuda", "--quiet", "--json")
    assert again.returncode == 0, again.stderr
    import json

    assert json.loads(again.stdout)["state_hash"] == json.loads(whole.stdout)["state_hash"]
    beyond = command("train", "--resume", "half/small", "--set", "solver.max_iter=25", "--device", "cpu")
    assert beyond.returncode == 0 and "device was cuda, is cpu" in beyond.stderr
    assert command("test", "half/small", "--device", "cuda", "--quiet").returncode == 0


def test_a_run_that_diverges_names_the_iteration_and_the_layer(
    command: Any, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLTRAIN_EMULATE", "1")
    told = [
        command("train", small, "--device", device, "--set", "solver.base_lr=1e6", "--set", f"solver.max_iter={2 * LOOKS}", "--quiet",
                "--set", "solver.display=50", "--set", "solver.test=null", "--set", "solver.snapshot=null",
                "--set", "solver.early_stopping=null")
        for device in ("cuda", "reference")
    ]  # fmt: skip
    assert [done.returncode for done in told] == [3, 3]
    words = [done.stderr.split("; try")[0] for done in told]
    assert words[0] == words[1] and "makes the first value that is not finite" in words[0]
