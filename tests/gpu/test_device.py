"""On a real CUDA device: every layer against the reference, graphs against single calls, training against the CPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.engine import Engine
from dltrain.layer import Layer
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.cuda import Cuda, device

WHY = device.reason()
if WHY is not None:
    pytest.skip(f"no CUDA device: {WHY}", allow_module_level=True)
pytestmark = pytest.mark.gpu


def exam() -> Any:
    """The same exam on the CPU, for its rows and its chain of calls."""
    spec = spec_from_file_location("the_exam_of_the_cpu_again", Path(__file__).parents[1] / "ops" / "test_cpu_layers.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAM = exam()


@pytest.fixture(scope="module")
def cuda() -> Iterator[Cuda]:
    made = Cuda(device.Device(0), "strict")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def alive(cuda: Cuda) -> Iterator[None]:
    """A kernel that touched what is not its own has ended the device for this process: another one does the tests that are left."""
    yield
    try:
        cuda.wait()
    except RuntimeError as error:
        if "PYTEST_XDIST_WORKER" in os.environ:
            os._exit(1)
        pytest.exit(f"the device is lost: {error}")


# --- arrays and batches ---
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float64, np.uint8])
def test_what_is_written_is_read(cuda: Cuda, dtype: Any) -> None:
    values = np.arange(1, 200_001).astype(dtype)
    whole = cuda.alloc(200_000, dtype)
    assert not whole.copy().any()
    for low, high in ((0, 1), (1, 2), (3, 5), (7, 40_000), (50_001, 200_000)):
        whole[low:high] = values[low:high]
    whole[10:20] = whole[50_010:50_020]
    found = whole.copy()
    assert np.array_equal(found[50_001:], values[50_001:]) and np.array_equal(found[20:40_000], values[20:40_000])
    assert found[2] == 0 and found[0] == values[0] and np.array_equal(found[10:20], values[50_010:50_020])


def test_batches_that_follow_one_another_quickly_are_all_read(cuda: Cuda) -> None:
    """Each is sent while those before it are still worked on; its slots are new, or are used again."""
    rng = np.random.default_rng(0)
    for count in (5, 1000, 400_001):
        to, kept = cuda.alloc(count, np.float32), [cuda.alloc(count, np.float32) for _ in range(8)]
        batches = [rng.standard_normal(count, np.float32) for _ in kept]
        for batch, own in zip(batches, kept):
            cuda.stage(to, batch)
            own[...] = to
        assert all(np.array_equal(own.copy(), batch) for batch, own in zip(batches, kept))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "shapes"), EXAM.ROWS)
def test_every_layer_is_what_the_reference_says(cuda: Cuda, layer: Layer, shapes: Any, train: bool) -> None:
    whole = EXAM.whole(shapes)
    slow, values, params = EXAM.question(layer, whole, train)
    right, found = slow.run(values, params), EXAM.Chain(layer, whole, cuda, train, fast=True).run(values, params)
    for name, want in right.items():
        error = np.abs(np.asarray(found[name], np.float64) - want)
        assert (error <= 1e-4 * np.abs(want).max(initial=0.1)).all(), f"{name} is off by {error.max()}"


def losses(backend: Reference, file: Path, steps: int) -> tuple[list[float], dict[str, Any]]:
    """What some steps of a config lose, and the weights they leave."""
    config = configs.read(str(file))
    engine = Engine(config.net, backend, config.solver)
    engine.initialise(config.seed)
    assert config.solver is not None
    made = [
        engine.step([config.feed.train_batch_now(number)], config.solver.rates(number, config.horizon)) for number in range(steps)
    ]
    told = [float(each["loss"]) for each in made]
    return told, {name: np.array(array) for name, array in engine.state_arrays().items()}


# --- training ---
def test_twenty_losses_are_those_of_the_cpu(cuda: Cuda, small: Path) -> None:
    cpu = Cpu(1)
    assert np.abs(np.subtract(losses(cuda, small, 20)[0], losses(cpu, small, 20)[0])).max() < 1e-3
    cpu.close()


def test_a_graph_gives_the_bits_of_single_calls(cuda: Cuda, small: Path) -> None:
    single = Cuda(cuda.driver, "strict", graphs=False)
    (one, mine), (two, theirs) = losses(cuda, small, 5), losses(single, small, 5)
    assert one == two and all(array.tobytes() == theirs[name].tobytes() for name, array in mine.items())


def test_the_same_run_twice_gives_the_same_bits(cuda: Cuda, small: Path) -> None:
    assert losses(cuda, small, 10)[0] == losses(cuda, small, 10)[0]


def test_the_tensor_cores_come_near(cuda: Cuda, small: Path) -> None:
    near = Cuda(cuda.driver, "tf32")
    assert np.abs(np.subtract(losses(near, small, 5)[0], losses(cuda, small, 5)[0])).max() < 0.02
