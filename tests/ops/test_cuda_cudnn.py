"""NVIDIA's libraries and the choice between them and our own kernels: plans and descriptors need no device, trials a feigned one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dltrain.errors import OutOfMemory
from dltrain.ops.backend import Kernel
from dltrain.ops.cuda import Cuda, cublas, cudnn, direct, tiles, tuning
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.cudnn import Graph
from dltrain.ops.cuda.device import Device
from dltrain.ops.cuda.elementwise import over
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.tiles import rectifies
from dltrain.ops.cuda.tuning import Given, Trial, chosen, there
from dltrain.ops.formula import formula
from dltrain.ops.window import Window
from dltrain.tensor import Shape
from tests.ops.emulated import compare
from tests.ops.test_cpu_ops import Case, leaky, real, squash

H200 = {
    "deviceName": "NVIDIA H200", "cudaDeviceId": 0, "pciDeviceId": 0, "deviceVer": 900, "driverVer": 13000,
    "multiProcessorCount": 132, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "l2CacheSize": 62914560,
    "totalGlobalMem": 150110011392, "warpSize": 32, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
    "maxGridSize": [2**31 - 1, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "maxThreadsPerBlock": 1024,
    "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
    "reservedSharedMemoryPerBlock": 1024, "isTccDriver": 0, "supportCoopLaunch": 1,
}  # fmt: skip

# samples, channels, height, outputs, kernel, stride, pad, group
LAYERS = {
    "LeNet 1": (64, 1, 28, 20, 5, 1, 0, 1), "LeNet 2": (64, 20, 12, 50, 5, 1, 0, 1),
    "CIFAR-10 quick 1": (100, 3, 32, 32, 5, 1, 2, 1), "CIFAR-10 quick 2": (100, 32, 16, 32, 5, 1, 2, 1),
    "CIFAR-10 quick 3": (100, 32, 8, 64, 5, 1, 2, 1),
    "AlexNet 1": (128, 3, 227, 96, 11, 4, 0, 1), "AlexNet 2": (128, 96, 27, 256, 5, 1, 2, 2),
    "AlexNet 4": (128, 384, 13, 384, 3, 1, 1, 2), "VGG 1": (32, 3, 224, 64, 3, 1, 1, 1), "VGG 5": (32, 256, 56, 256, 3, 1, 1, 1),
    "ResNet 1": (64, 3, 224, 64, 7, 2, 3, 1), "ResNet 3": (64, 128, 56, 128, 3, 2, 1, 1), "ResNet down": (64, 256, 56, 512, 1, 2, 0, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def h200() -> dict[str, Any]:
    """What tells cuDNN of a device that is not there."""
    found = cudnn.front_end()
    if found is None:
        pytest.skip("cuDNN or its front end is not installed")
    return {"device_property": found.create_device_properties(json.dumps(H200)), "sm_version": 900}


def graph(
    h200: dict[str, Any],
    layer: str,
    kind: str,
    precision: str = "fp32",
    bias: bool = True,
    relu: bool = False,
    stored: str = "FLOAT",
) -> Graph:
    n, c, size, o, k, s, p, group = LAYERS[layer]
    window = Window((k, k), (s, s), (p, p), (), group)
    y = (n, *window.convolved((size, size)), o)
    sizes: dict[str, Sequence[int]] = {"x": (n, size, size, c), "w": (o, k, k, c // group), "y": y}
    if kind == "conv_dx":
        sizes |= {"x": y, "y": sizes["x"]}
    elif kind == "conv" and bias:
        sizes["bias"] = (1, 1, 1, o)
    return Graph(kind, sizes, window, precision, relu, stored, **h200)


@pytest.mark.parametrize("layer", LAYERS)
def test_cudnn_has_plans_for_the_layers_of_well_known_nets(h200: dict[str, Any], layer: str) -> None:
    for kind in ("conv", "conv_dx", "conv_dw"):
        made = graph(h200, layer, kind)
        (plan,) = made.plans(most=1)
        number, workspace = made.built(plan)
        assert number >= 0 and 0 <= workspace <= cudnn.MOST_WORKSPACE


def test_a_plan_is_found_again_by_its_name(h200: dict[str, Any]) -> None:
    first = graph(h200, "CIFAR-10 quick 2", "conv", relu=True).plans(most=3)
    assert len(set(first)) == 3
    assert graph(h200, "CIFAR-10 quick 2", "conv", relu=True).plans(most=3) == first
    with pytest.raises(RuntimeError, match="cuDNN has no plan eng0_of_another_version"):
        graph(h200, "CIFAR-10 quick 2", "conv").built("eng0_of_another_version")


def test_fewer_plans_are_exact_than_are_not(h200: dict[str, Any]) -> None:
    counts = [len(graph(h200, "VGG 5", "conv", precision).plans(most=1000)) for precision in ("tf32", "fp32", "strict")]
    assert counts[0] > counts[1] >= counts[2] > 0


# --- cuBLAS ---
def array(sizes: Sequence[int], axes: Sequence[int] = (), address: int = 4096) -> DeviceArray:
    return DeviceArray(Emulator(), address, sizes, np.float32, None, axes)


def test_how_cublas_sees_matrices() -> None:
    """Its columns are our rows: rows, columns, from one to the next, turned, how many, how far apart."""
    assert cublas.matrix(array((3, 5)), 1) == (5, 3, 5, False, 1, 0)
    assert cublas.matrix(array((3, 5), (1, 0)), 1) == (5, 3, 5, True, 1, 0)
    assert cublas.matrix(array((4, 2, 3, 5)), 8) == (5, 3, 5, False, 8, 15)
    assert cublas.matrix(array((4, 3, 2, 5), (0, 2, 1, 3)), 8) is None  # between the 4 and the 2: other matrices
    assert cublas.matrix(array((4, 3, 5, 2), (0, 3, 1, 2)), 8) is None  # no two neighbours in it
    assert cublas.border_of(array((3,), address=4096 + 48)) == 16


def test_a_product_is_described_without_a_device() -> None:
    if cublas.library() is None:
        pytest.skip("cuBLAS is not installed")
    a, b, c = (cublas.matrix(array(sizes, axes), 1) for sizes, axes in (((64, 800), ()), ((500, 800), (1, 0)), ((64, 500), ())))
    assert a is not None and b is not None and c is not None
    made = cublas.Product(a, b, c, array((500,)), "tf32")
    assert [kind for kind, _ in made.made] == ["MatmulDesc", "MatrixLayout", "MatrixLayout", "MatrixLayout"]
    assert cublas.version().startswith("cuBLAS ")
    wrong = SimpleNamespace(cublasLtMatmulDescSetAttribute=lambda *_: 7)
    made.lt = wrong  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"cuBLAS cannot set attribute 3 of a MatmulDesc \(status 7\)"):
        made.tell("MatmulDesc", made.description, cublas.TURN_A, cublas.ctypes.c_int(1))
    made.lt = cublas.library()


# --- the choice ---
class Feigned(Emulator):
    """A device that is none, too, but says that it is one: what `takes` says is how long the next trials take."""

    name, arch, number = "feigned", "sm_00", 0

    def __init__(self) -> None:
        super().__init__()
        self.trials = 0

    def seconds(self, run: Kernel, times: int) -> float:
        run()
        self.trials += 1
        return 1.0 if TAKEN is None else TAKEN


TAKEN: float | None = None


class Times:
    """y = expression of x; so many seconds."""

    def __init__(self, cuda: Cuda, expression: str, seconds: float) -> None:
        self.cuda, self.expression, self.taken = cuda, expression, seconds

    def offers(self) -> Sequence[str]:
        return [self.expression]

    def bind(self, variant: str, given: Given) -> list[Kernel]:
        global TAKEN
        TAKEN = self.taken
        if variant == "refuses":
            raise RuntimeError("not this one")
        if variant == "needs":
            raise OutOfMemory("more memory than there is")
        y = there(given, "y")
        return [self.cuda.each("", "map", y.size, there(given, "x"), y, text=over(1, f"y[i] = {variant};"))]


@pytest.fixture
def feigned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """Nothing measured yet, no libraries."""
    monkeypatch.setattr(tuning, "folder", lambda kind: tmp_path / kind)
    monkeypatch.setattr(tuning, "LEDGERS", {})
    monkeypatch.setattr(cublas, "library", lambda: None)
    monkeypatch.setattr(cudnn, "front_end", lambda: None)
    return Cuda(Feigned())


WAYS = {
    "slow": ("2.0f * x0[i]", 5.0), "wrong": ("2.1f * x0[i]", 1.0), "swallows": ("x0[i] == x0[i] ? 2.0f * x0[i] : 0.0f", 1.0),
    "refuses": ("refuses", 1.0), "right": ("x0[i] + x0[i]", 3.0),
}  # fmt: skip


def choose(cuda: Cuda, ways: dict[str, tuple[str, float]], width: int = 100, what: str = "twice") -> Any:
    """The numbers that the chosen way makes of 0, 1, 2, …, which trials do not touch."""
    x, y = (cuda.alloc(width, np.float32) for _ in range(2))
    x[...] = np.arange(width)
    made = chosen(cuda, what, {"x": x, "y": y}, ["y"], {name: Times(cuda, *facts) for name, facts in ways.items()})
    np.testing.assert_array_equal(y.copy(), np.zeros(width))
    for each in made:
        each()
    np.testing.assert_array_equal(x.copy(), np.arange(width))
    return y.copy()


def book(cuda: Cuda) -> dict[str, str]:
    return tuning.ledger(cuda, "").read()


def test_the_fastest_way_that_is_right_is_chosen_and_remembered(feigned: Cuda) -> None:
    np.testing.assert_array_equal(choose(feigned, WAYS), 2 * np.arange(100))
    assert list(book(feigned).values()) == ["right:x0[i] + x0[i]"]
    trials = feigned.driver.trials  # type: ignore[attr-defined]
    choose(feigned, WAYS)
    tuning.LEDGERS.clear()  # another process reads what this one wrote
    choose(feigned, WAYS)
    assert feigned.driver.trials == trials  # type: ignore[attr-defined]
    choose(feigned, WAYS, width=50)
    assert feigned.driver.trials > trials and len(book(feigned)) == 2  # type: ignore[attr-defined]


def test_a_way_that_cannot_even_offer_is_none(feigned: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN refuses whole graphs with an error of its own."""

    def refused(way: Times) -> Sequence[str]:
        if way.expression == "refuses":
            raise ValueError("no engine does this")
        return [way.expression]

    monkeypatch.setattr(Times, "offers", refused)
    np.testing.assert_array_equal(
        choose(feigned, {name: WAYS[name] for name in ("slow", "refuses", "right")}), 2 * np.arange(100)
    )


def test_a_way_that_ends_the_device_is_named(feigned: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise ValueError("illegal address")

    monkeypatch.setattr(feigned.driver, "synchronize", lost)
    with pytest.raises(ValueError, match="illegal address") as told:
        choose(feigned, WAYS)
    assert "the device is lost: tests.ops.test_cuda_cudnn: refuses: not this one" in str(told.value.__context__)


def test_what_is_remembered_of_a_way_that_is_gone_is_measured_anew(feigned: Cuda) -> None:
    choose(feigned, WAYS)
    choose(feigned, {name: WAYS[name] for name in ("slow", "wrong")})
    assert list(book(feigned).values()) == ["slow:2.0f * x0[i]"]


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", '{"a": 3}', "\udcff"])
def test_a_damaged_note_is_no_note(feigned: Cuda, damage: str) -> None:
    path = tuning.ledger(feigned, "").path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage.encode(errors="surrogateescape"))
    tuning.LEDGERS.clear()
    assert tuning.ledger(feigned, "").known == {}
    np.testing.assert_array_equal(choose(feigned, WAYS), 2 * np.arange(100))


def test_where_there_is_no_memory_for_trials_the_first_way_is_taken(feigned: Cuda) -> None:
    np.testing.assert_array_equal(choose(feigned, {"slow": WAYS["slow"], "large": ("needs", 1.0)}), 2 * np.arange(100))
    assert list(book(feigned).values()) == ["slow:2.0f * x0[i]"]


def test_trials_leave_no_scratch_memory_behind(feigned: Cuda) -> None:
    feigned.scratch(100)
    before = feigned.scratches, feigned.scratch_top
    choose(feigned, WAYS)
    assert (feigned.scratches, feigned.scratch_top) == before


def test_twins_lie_as_the_arrays_they_stand_for(feigned: Cuda) -> None:
    whole = feigned.alloc(40, np.float32)
    trial = Trial(feigned, {"x": whole[3:23]}, [])
    made = trial.twin(whole[3:23], 5)
    assert (made.address - whole.address) % 256 == 12 and made.shape == (20,)
    assert len(set(made.copy().tolist())) == 20 and np.abs(made.copy()).max() <= 0.5


def test_convolutions_and_products_are_measured_over_their_tiles(feigned: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    global TAKEN
    TAKEN = None
    monkeypatch.setattr(tiles, "MOST_OFFERS", 2)
    monkeypatch.setattr(direct, "MOST_OFFERS", 1)
    rng = np.random.default_rng(0)
    x, w, dy = real(rng, (2, 3, 6, 6)), real(rng, (5, 3, 3, 3)), real(rng, (2, 5, 4, 4))
    window = Window((3, 3), (1, 1), (0, 0))
    compare(feigned, "conv", Case({"x": x, "w": w, "b": None, "y": Shape(dy.shape), "window": window}))
    compare(feigned, "conv_dw", Case({"x": x, "dy": dy, "dw": w, "db": real(rng, (5,)), "window": window}))
    compare(feigned, "inner_product", Case({"x": x[:, 0, 0], "w": w[:, 0].reshape(5, 9)[:, :6], "b": None, "y": Shape((2, 5))}))
    noted = {**tuning.ledger(feigned, "no cuDNN").read(), **tuning.ledger(feigned, "no cuBLAS").read()}
    assert sorted(key.split()[0] for key in noted) == ["conv", "conv_dw", "gemm"]
    assert {name.split(":")[0] for name in noted.values()} == {"tiles"}
    assert feigned.driver.trials == 7  # type: ignore[attr-defined]  # two cuts of each, and one convolution directly


def test_which_activation_is_relu() -> None:
    assert rectifies((formula(leaky), (0.0,)))
    assert not rectifies((formula(leaky), (0.01,)))
    assert not rectifies((formula(squash), ()))
    assert not rectifies(None)


# --- the clock ---
class Runtime:
    """Counts graphs; each takes 6 ms, the first of all 60."""

    streamCaptureModeRelaxed = 2

    def __init__(self) -> None:
        self.graphs, self.launched, self.alive = 0, 0, 0

    def eventElapsedTime(self, *events: int) -> float:
        return 60.0 if self.launched == 1 else 6.0

    def graphInstantiate(self, graph: int) -> int:
        self.alive += 1
        return 9

    def graphLaunch(self, graph: int, stream: int) -> None:
        self.launched += 1

    def graphExecDestroy(self, graph: int) -> None:
        self.alive -= 1

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 1


def test_a_run_is_timed_in_a_graph_the_first_of_which_does_not_count() -> None:
    device, runs = object.__new__(Device), []
    device.runtime, device.stream = Runtime(), 0
    assert device.seconds(lambda: runs.append(1), 3) == pytest.approx(0.002)
    assert len(runs) == 4 and (device.runtime.launched, device.runtime.alive) == (4, 0)
