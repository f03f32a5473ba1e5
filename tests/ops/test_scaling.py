"""The factor of the loss in fp16, by hand: what it multiplies, what a step that was too large leaves, and when it grows."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from dltrain.ops.backend import Reference
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.reference.scaling import LARGEST, OVERFLOWN
from dltrain.ops.signature import OPS, Call
from dltrain.tensor import Shape, Tensor
from tests.ops.test_cpu_ops import Held

compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")


@pytest.fixture(params=["reference", pytest.param("cuda", marks=compiler)])
def backend(request: pytest.FixtureRequest) -> Reference:
    return Reference() if request.param == "reference" else Cuda(Emulator(), "fp16")


def run(backend: Reference, name: str, every: int | None = None, **given: Any) -> dict[str, Any]:
    """An op on arrays of its own; what they hold afterwards."""
    held, tensors = Held(backend), {}
    for key, value in given.items():
        array = np.asarray(value, np.int32 if key == "failed" else np.float32)
        tensors[key] = Tensor(key, Shape(array.shape, "index" if key == "failed" else "float"), "scalar")
        held.raw[tensors[key]] = backend.alloc(array.size, array.dtype)
        held.raw[tensors[key]][...] = array
    call = Call(OPS[name], {**tensors, **({} if every is None else {"every": every})})
    for kernel in backend.bind(call, Plain(held)).kernels:
        kernel()
    return {key: np.asarray(held.raw[tensor]) for key, tensor in tensors.items()}


class Plain:
    """Flat arrays, as they are."""

    def __init__(self, held: Held) -> None:
        self.held = held

    def memory(self, tensor: Tensor) -> Any:
        return self.held.raw[tensor]

    logical = memory


def test_what_the_objective_asks_is_multiplied(backend: Reference) -> None:
    assert run(backend, "magnified", x=[0.5, -3], factor=[8], y=[0, 0])["y"].tolist() == [4, -24]


def test_gradients_are_divided_again(backend: Reference) -> None:
    made = run(backend, "reduced", g=[8, -2, 0], factor=[4], failed=[0])
    assert made["g"].tolist() == [2, -0.5, 0] and made["failed"] == 0


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_step_that_was_too_large_leaves_nothing(backend: Reference, bad: float) -> None:
    made = run(backend, "reduced", g=[8, bad, 1], factor=[4], failed=[0])
    assert made["g"].tolist() == [0, 0, 0] and made["failed"] == OVERFLOWN


def test_where_no_smaller_factor_can_help_the_run_has_failed(backend: Reference) -> None:
    made = run(backend, "reduced", g=[8, np.inf], factor=[1], failed=[0])
    assert made["failed"] == 1 and made["g"].tolist() == [8, np.inf]
    assert run(backend, "reduced", g=[np.nan], factor=[4], failed=[1])["failed"] == 1  # and stays so


def test_the_factor_is_halved_after_such_a_step_and_doubled_after_many_others(backend: Reference) -> None:
    def follow(factor: float, taken: float, failed: int) -> tuple[float, float, int]:
        made = run(backend, "follow", every=3, factor=[factor], taken=[taken], failed=[failed])
        return float(made["factor"][0]), float(made["taken"][0]), int(made["failed"][0])

    assert follow(8, 2, OVERFLOWN) == (4, 0, 0)
    assert follow(1, 2, OVERFLOWN) == (1, 0, 0)
    assert follow(8, 0, 0) == (8, 1, 0)
    assert follow(8, 2, 0) == (16, 0, 0)
    assert follow(LARGEST, 2, 0) == (LARGEST, 0, 0)
    assert follow(8, 2, 1) == (8, 2, 1)
