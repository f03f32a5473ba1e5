"""The CUDA engine as a whole, on a device that the CPU plays: the kernels are those of a GPU, the numbers those of the CPU engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain import late
from dltrain.bursts import at_once, steps
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
from dltrain.tensor import Picked, Raw

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


# --- short numbers ---
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_in_short_numbers_learns_as_one_in_float32(make: Make, config: Config, precision: str) -> None:
    cpu, cuda = make(Cpu(1)), make(Cuda(Emulator(), precision))
    one, two = train(cpu, config, 40), train(cuda, config, 40)
    assert np.abs(np.subtract(one, two)).max() < 0.01 * max(one)
    plain, short = (
        max(program.plan.arena for program in engine.programs.values()) for engine in (make_one_step(make, config), cuda)
    )
    assert short < 0.7 * plain
    batch = next(config.feed.batches("val"))
    for engine in (cpu, cuda):
        engine.forward("test", batch, "val")
    assert abs(float(cpu.tallies()["loss"][0]) - float(cuda.tallies()["loss"][0])) < 0.05 * float(cpu.tallies()["loss"][0])


def make_one_step(make: Make, config: Config) -> Engine:
    engine = make(Cuda(Emulator()))
    train(engine, config, 1)
    return engine


def test_in_fp16_a_step_that_was_too_large_is_left_out(make: Make, config: Config) -> None:
    engine = make(Cuda(Emulator(), "fp16"))
    assert engine.scaling is not None
    factor = engine.memory.memory(engine.scaling.factor)
    assert float(factor) == 2.0**16
    factor[...] = 2.0**24
    before = arrays(engine)
    losses = train(engine, config, 1)
    after = arrays(engine)
    assert np.isfinite(losses).all() and not engine.has_failed
    assert all(array.tobytes() == after[name].tobytes() for name, array in before.items() if name.startswith(("data/", "slots/")))
    assert float(factor) == 2.0**23 and after["scaling/loss_scale"].tolist() == [2.0**23]
    train(engine, config, 30, 1)  # until it is small enough
    assert 1 < float(factor) <= 2.0**23 and not engine.has_failed
    assert any(array.tobytes() != arrays(engine)[name].tobytes() for name, array in before.items() if name.startswith("data/"))


def test_a_run_in_fp16_goes_on_as_if_it_had_never_stopped(command: Any, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLTRAIN_EMULATE", "1")
    words = ("--device", "cuda", "--set", "engine.precision=fp16", "--quiet", "--json")
    whole = command("train", small, *words, "--set", "solver.max_iter=20")
    half = command("train", small, *words, "--set", "solver.max_iter=10", "--runs", "half")
    assert whole.returncode == half.returncode == 0, whole.stderr + half.stderr
    again = command("train", "--resume", "half/small", "--set", "solver.max_iter=20", *words[:2], *words[-2:])
    assert json.loads(again.stdout)["state_hash"] == json.loads(whole.stdout)["state_hash"]
    beyond = command(
        "train", "--resume", "half/small", "--set", "solver.max_iter=25", "--set", "engine.precision=fp32", "--device", "cpu"
    )
    assert beyond.returncode == 0, beyond.stderr
    back = command("train", "--resume", "half/small", "--set", "solver.max_iter=27", *words)
    assert back.returncode == 0, back.stderr
    refused = command("train", small, "--set", "engine.precision=fp16", "--device", "cpu")
    assert refused.returncode == 2 and "engine.precision fp16 is one of GPUs; --device cpu has fp32 and strict" in refused.stderr


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
        (picked,), made = batches.train_batches(number, 1), plain.feed.train_batch_now(number)
        assert picked.keys() == made.keys() and isinstance(picked["data"], Picked)
        assert all(np.array_equal(np.asarray(picked[name]), made[name]) for name in made)
    one, two = make(Cuda(Emulator())), make(Cuda(Emulator()))
    assert plain.solver is not None
    for number in range(4):
        rates = plain.solver.rates(number, plain.horizon)
        assert (
            one.step(batches.train_batches(number, 1), rates)["loss"]
            == two.step([plain.feed.train_batch_now(number)], rates)["loss"]
        )


def test_steps_in_one_go_give_the_bits_of_single_steps(make: Make, small: Path) -> None:
    plain = configs.read(str(small), ("data.transform=[{resize: 10}, {scale: 0.00390625}]",))
    assert plain.solver is not None
    batches, driver = Resident(plain.feed).train_batches(0, 40), Emulator()
    rates = [plain.solver.rates(number, plain.horizon) for number in range(40)]
    assert len({each["lr"] for each in rates}) > 1  # the rate moves
    single, many = make(Cuda(Emulator())), make(Cuda(driver))
    one = [single.step([batch], each)["loss"] for batch, each in zip(batches, rates)]
    assert at_once(many) == 1
    two = [many.step([batch], each) for batch, each in zip(batches[:2], rates)]
    assert at_once(many) == 16
    for first, last in ((2, 18), (18, 21), (21, 37), (37, 40)):
        two += steps(many, batches[first:last], rates[first:last])
    assert [losses["loss"] for losses in two] == one
    assert driver.captured == 3 and many.step_count == 40  # a step, sixteen, three
    assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays(single).values(), arrays(many).values(), strict=True))
    many.step([batches[0]], rates[0])
    assert all(np.array_equal(many.memory.memory(many.rates[name]), [np.float32(rates[0][name])]) for name in many.rates)


def test_steps_go_one_by_one_where_nothing_lies_on_the_device(make: Make, config: Config) -> None:
    assert config.solver is not None
    engine, other = make(Cuda(Emulator())), make(Cuda(Emulator()))
    batches = [config.feed.train_batch_now(number) for number in range(6)]
    rates = [config.solver.rates(number, config.horizon) for number in range(6)]
    made = [losses["loss"] for losses in (*steps(engine, batches[:3], rates[:3]), *steps(engine, batches[3:], rates[3:]))]
    assert made == train(other, config, 6)
    assert at_once(make(Cuda(Emulator(), graphs=False))) == at_once(make(Cpu(1))) == 1


def test_a_run_that_goes_in_bursts_is_the_run_that_does_not(
    command: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLTRAIN_EMULATE", "1")
    sets = ("data.transform=[{resize: 10}, {scale: 0.00390625}]", "solver.max_iter=70", "solver.display=25", "solver.test=30")
    words = [word for each in sets for word in ("--set", each)]
    ran = [command("train", small, "--device", "cuda", *more, *words, "--json", "--quiet") for more in ((), ("--no-graph",))]
    assert all(done.returncode == 0 for done in ran), ran[0].stderr + ran[1].stderr
    one, two = (json.loads(done.stdout) for done in ran)
    assert one["state_hash"] == two["state_hash"]
    assert len({(tmp_path / each["run"] / "metrics.csv").read_text() for each in (one, two)}) == 1


STEPS = ("{crop: 7}, {mirror: true}, {mean: channel}, {scale: 0.0039}, {std: [0.3]}", "{crop: 7}, {mean: image}", "{crop: 8}")


@pytest.fixture
def coloured(small: Path, tmp_path: Path) -> Callable[[str], Config]:
    """The small net on pictures, after some steps."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(120):
        (tmp_path / "pictures" / f"{number % 10}").mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        picture.save(tmp_path / "pictures" / f"{number % 10}" / f"{number}.png")
    source = f"data.source={{type: image_folder, root: {tmp_path / 'pictures'}}}"
    return lambda steps: configs.read(str(small), (source, "data.val={hold_out: 0.2}", f"data.transform=[{steps}]"))


@pytest.mark.parametrize("steps", STEPS)
def test_bytes_go_to_the_device_as_bytes(coloured: Callable[[str], Config], steps: str) -> None:
    made = coloured(steps)
    plain = [made.feed.train_batch_now(number) for number in range(3)]
    made.feed.leave_raw()
    raw = [made.feed.train_batch_now(number) for number in range(3)]
    assert all(isinstance(batch["data"], Raw) and batch["data"].values.dtype == np.uint8 for batch in raw)
    one, two = (Engine(made.net, Cuda(Emulator()), made.solver) for _ in range(2))
    assert made.solver is not None
    for engine in (one, two):
        engine.initialise(1)
    for number, (a, b) in enumerate(zip(plain, raw, strict=True)):
        assert np.asarray(b["data"]).tobytes() == a["data"].tobytes() and np.array_equal(a["label"], b["label"])
        rates = made.solver.rates(number, made.horizon)
        assert one.step([a], rates)["loss"] == two.step([b], rates)["loss"]
    staged = two.backend.staging  # type: ignore[attr-defined]
    assert len(staged.steps) == 1 and min(size for _, size in staged.slots) == 4 * 50  # labels; pictures take a byte a number
    assert max(size for _, size in staged.slots) == raw[0]["data"].values.size
    made.feed.close()


def test_what_is_no_arithmetic_is_done_before(coloured: Callable[[str], Config]) -> None:
    made = coloured("{crop: 7}, {scale: 0.0039}, {clip: [0, 1]}")
    made.feed.leave_raw()
    assert isinstance(made.feed.train_batch_now(0)["data"], np.ndarray)
    made.feed.close()


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
