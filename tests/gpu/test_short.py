"""On a real CUDA device in bf16 and fp16: layers, training, several steps in one graph, and what NVIDIA's libraries make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.bursts import at_once, steps
from dltrain.engine import Engine
from dltrain.layer import Layer
from dltrain.ops.cuda import Cuda, cublas, cudnn, device, tuning
from dltrain.registry import LAYERS
from dltrain.resident import Resident
from dltrain.tensor import Shape
from tests.ops.test_cuda_short import CLOSE, rounded

WHY = device.reason()
if WHY is not None:
    pytest.skip(f"no CUDA device: {WHY}", allow_module_level=True)
from tests.gpu.test_device import EXAM, alive, cuda, losses  # noqa: E402, F401

pytestmark = pytest.mark.gpu

NEAR = 0.01  # losses, as a share of the largest


@pytest.fixture(scope="module", params=["bf16", "fp16"])
def short(request: pytest.FixtureRequest, cuda: Cuda) -> Cuda:  # noqa: F811
    return Cuda(cuda.driver, request.param)


def apart(found: dict[str, Any], right: dict[str, Any]) -> dict[str, float]:
    """How far each array is from what is right, as a share of all that it holds."""
    return {
        name: float(np.linalg.norm(np.asarray(found[name], np.float64) - want) / max(float(np.linalg.norm(want)), 0.1))
        for name, want in right.items()
    }


def given(layer: Layer, shapes: list[Shape], short: Cuda, train: bool) -> tuple[Any, list[Any], Any]:
    """The reference's chain of calls, values as the device holds them, and parameters."""
    slow, values, params = EXAM.question(layer, shapes, train)
    return slow, [rounded(value, short) for value in values], params


# --- layers ---
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "shapes"), EXAM.ROWS)
def test_every_layer_is_near_what_the_reference_says(short: Cuda, layer: Layer, shapes: Any, train: bool) -> None:
    whole = EXAM.whole(shapes)
    slow, values, params = given(layer, whole, short, train)
    found = EXAM.Chain(layer, whole, short, train, fast=True).run(values, params)
    off = {name: error for name, error in apart(found, slow.run(values, params)).items() if not error <= CLOSE[short.precision]}
    assert not off


# --- training ---
@pytest.mark.parametrize("graphs", [True, False])
def test_a_run_loses_as_one_in_float32(cuda: Cuda, short: Cuda, small: Path, graphs: bool) -> None:  # noqa: F811
    one, two = losses(cuda, small, 40)[0], losses(Cuda(cuda.driver, short.precision, graphs), small, 40)[0]
    assert np.abs(np.subtract(one, two)).max() < NEAR * max(one) and two[-1] < 0.95 * two[0]


def test_the_same_run_twice_gives_the_same_bits(short: Cuda, small: Path) -> None:
    (one, mine), (two, theirs) = losses(short, small, 10), losses(short, small, 10)
    assert one == two and all(array.tobytes() == theirs[name].tobytes() for name, array in mine.items())


@pytest.mark.parametrize("precision", ["strict", "bf16", "fp16"])
def test_steps_in_one_go_give_the_bits_of_single_steps(cuda: Cuda, small: Path, precision: str) -> None:  # noqa: F811
    plain = configs.read(str(small), ("data.transform=[{resize: 10}, {scale: 0.00390625}]",))
    assert plain.solver is not None
    batches = Resident(plain.feed).train_batches(0, 40)
    rates = [plain.solver.rates(number, plain.horizon) for number in range(40)]
    single, many = (Engine(plain.net, Cuda(cuda.driver, precision), plain.solver) for _ in range(2))
    for engine in (single, many):
        engine.initialise(plain.seed)
    one = [single.step([batch], each)["loss"] for batch, each in zip(batches, rates)]
    two = [many.step([batch], each) for batch, each in zip(batches[:2], rates)]
    assert at_once(many) == 16
    for first, last in ((2, 18), (18, 21), (21, 37), (37, 40)):
        two += steps(many, batches[first:last], rates[first:last])
    assert [each["loss"] for each in two] == one
    mine, theirs = ({name: np.array(array) for name, array in engine.state_arrays().items()} for engine in (single, many))
    assert all(array.tobytes() == theirs[name].tobytes() for name, array in mine.items())


def test_in_fp16_a_step_that_was_too_large_is_left_out(cuda: Cuda, small: Path) -> None:  # noqa: F811
    config = configs.read(str(small))
    engine = Engine(config.net, Cuda(cuda.driver, "fp16"), config.solver)
    engine.initialise(config.seed)
    assert config.solver is not None and engine.scaling is not None
    factor = engine.memory.memory(engine.scaling.factor)
    factor[...] = 2.0**24
    before = {name: np.array(array) for name, array in engine.state_arrays().items() if name.startswith(("data/", "slots/"))}

    def train(number: int) -> float:
        loss = engine.step([config.feed.train_batch_now(number)], config.solver.rates(number, config.horizon))["loss"]  # type: ignore[union-attr]
        return float(loss)

    assert np.isfinite(train(0)) and not engine.has_failed and float(factor) == 2.0**23
    assert all(np.array(engine.state_arrays()[name]).tobytes() == array.tobytes() for name, array in before.items())
    told = [train(number) for number in range(1, 30)]  # until it is small enough, and on
    assert np.isfinite(told).all() and 1 < float(factor) < 2.0**23 and not engine.has_failed
    assert any(np.array(engine.state_arrays()[name]).tobytes() != array.tobytes() for name, array in before.items())


# --- NVIDIA's libraries ---
PRODUCTS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], str]] = {  # a layer, its bottom, and what a library does of it
    "product and bias": ("InnerProduct", {"num_output": 64}, (64, 128), "cublas"),
    "product": ("InnerProduct", {"num_output": 40, "bias_term": False}, (48, 72), "cublas"),
    "convolution": ("Convolution", {"num_output": 32, "kernel_size": (3,), "pad": (1,)}, (8, 16, 12, 12), "cudnn"),
    "no bias": ("Convolution", {"num_output": 64, "kernel_size": (3,), "stride": (2,), "bias_term": False}, (4, 32, 17, 17), "cudnn"),
    "groups": ("Convolution", {"num_output": 32, "kernel_size": (5,), "pad": (2,), "group": 2}, (4, 32, 9, 9), "cudnn"),
}  # fmt: skip
THERE = {"cublas": cublas.library, "cudnn": cudnn.front_end}
WAYS = {"": {"tiles"}, "cublas": {"cublas"}, "cudnn": {"cudnn conv", "cudnn conv_dx", "cudnn conv_dw"}}


def only(library: str, noted: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on each call goes the first variant of this library's way; of our own where it is ''."""

    def way(trial: Any, ways: dict[str, Any]) -> str:
        names = [name for name in ways if name.startswith(library)] if library else list(ways)
        name = names[0] if names else next(iter(ways))
        noted.append(name)
        return f"{name}:{ways[name].offers()[0]}"

    monkeypatch.setattr(tuning, "LEDGERS", {})
    monkeypatch.setattr(tuning, "folder", lambda kind: folder / (library or "ours"))
    monkeypatch.setattr(tuning.Trial, "fastest", way)


@pytest.mark.parametrize("case", PRODUCTS)
def test_a_library_comes_near_our_own_kernels(short: Cuda, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, keys, sizes, library = PRODUCTS[case]
    if THERE[library]() is None:
        pytest.skip(f"{library} is not installed")
    layer, shapes = LAYERS[name](**keys), [Shape(sizes)]
    slow, values, params = given(layer, shapes, short, True)
    right, made = slow.run(values, params), dict[str, dict[str, Any]]()
    for which in ("", library):
        noted: list[str] = []
        only(which, noted, monkeypatch, tmp_path)
        found = EXAM.Chain(layer, shapes, short, True, fast=True).run(values, params)
        made[which] = {each: np.asarray(array) for each, array in found.items()}
        assert set(noted) == WAYS[which] and len(noted) == 3  # forward, and two gradients
        assert max(apart(made[which], right).values()) <= CLOSE[short.precision]
    assert max(apart(made[library], made[""]).values()) <= CLOSE[short.precision]
