"""Nobody writes where it has no business: every array of a layer by itself, at an odd place, with guards before and behind it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.layer import Layer
from dltrain.memory import Memory
from dltrain.ops.backend import Reference
from dltrain.ops.cuda import Cuda, recipes  # noqa: F401  recipes fills the table
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import RECIPES
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.formulas import prelude
from dltrain.ops.cuda.launch import launch
from dltrain.plan import Plan
from dltrain.program import Program
from dltrain.tensor import Tensor
from dltrain.testing import samples
from tests.conftest import environment
from tests.ops import test_cpu_ops as cpu
from tests.ops.emulated import compare
from tests.ops.test_cuda_layers import EXAM

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")

GUARD = 61  # elements: what begins behind them lies on no border of 16 bytes
DIRT = 255  # of each byte: no number, and no index


class Guarded(Cuda):
    """Gives every array, scratch memory too, an allocation of its own between two guards."""

    def __init__(self) -> None:
        super().__init__(Emulator())
        self.held: list[DeviceArray] = []

    def alloc(self, size: int, dtype: Any) -> DeviceArray:
        whole = super().alloc(size + 2 * GUARD, dtype)
        whole.reshape(-1).view(np.uint8)[...] = DIRT
        self.held.append(whole)
        made: DeviceArray = whole[GUARD : GUARD + size]
        made[...] = 0
        return made

    def scratch(self, *sizes: int, dtype: Any = np.float32) -> DeviceArray:
        made = self.alloc(prod(sizes), dtype)
        made.view(np.uint8)[...] = DIRT
        return made.reshape(sizes)

    def check(self) -> None:
        for array in self.held:
            raw = array.view(np.uint8).copy()
            wide = GUARD * array.dtype.itemsize
            assert (raw[:wide] == DIRT).all(), f"something lies before an array of {array.size - 2 * GUARD} {array.dtype}"
            assert (raw[-wide:] == DIRT).all(), f"something lies behind an array of {array.size - 2 * GUARD} {array.dtype}"
        self.held = []


class Apart(Memory):
    """No arena: each tensor that owns memory has its own."""

    def raw(self, tensor: Tensor, plan: Plan | None) -> Any:
        if plan is None or plan.extent(tensor) is None:
            return super().raw(tensor, plan)
        owner, start, stop = plan.part(tensor)
        if owner not in self.own:
            self.own[owner] = self.backend.alloc(prod(owner.shape), self.backend.dtype_of(owner))
            self.own[owner].view(np.uint8)[...] = DIRT
        flat = self.own[owner]
        return flat.view(self.backend.dtype_of(tensor))[start:stop]


@pytest.fixture(scope="module")
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def run(chain: Any, memory: Memory, values: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """What a chain of calls leaves behind."""
    program = Program(chain.plan, chain.backend, memory)
    for state in chain.store.states.values():
        memory.logical(state.handle)[...] = state.init
    for part in chain.store.segments.values():
        memory.logical(part.handle.data)[...] = params[part.role]
    for tensor in chain.builder.graph.scalars.values():
        memory.memory(tensor)[...] = 3
    for tensor, value in zip(chain.given, values, strict=True):
        if chain.plan.extent(tensor) is not None:
            memory.logical(tensor, chain.plan)[...] = value
    program.run()
    made = {str(tensor): memory.logical(tensor, chain.plan) for tensor in chain.keep}
    parts = [part for part in chain.store.segments.values() if part.handle.grad]
    return made | {f"{part.role}.grad": memory.logical(part.handle.grad) for part in parts}


@pytest.mark.parametrize(("layer", "shapes"), EXAM.ROWS)
def test_a_layer_keeps_to_its_arrays(guarded: Guarded, layer: Layer, shapes: Any) -> None:
    whole = EXAM.whole(shapes)
    xs, params = samples(layer, whole)
    slow = EXAM.Chain(layer, whole, Reference(np.float64), True, fast=False)
    rng = np.random.default_rng(1)
    values = [*xs, *(rng.standard_normal(tensor.shape) for tensor in slow.given[len(xs) :])]
    right = slow.run(values, params)
    chain = EXAM.Chain(layer, whole, guarded, True, fast=True)
    found = run(chain, Apart(chain.store, guarded), values, params)
    for name, array in found.items():
        error = np.abs(np.asarray(array, np.float64) - right[name])
        assert (error <= 2e-5 * np.abs(right[name]).max(initial=0.1)).all(), f"{name} is off by {error.max()}"
    guarded.check()


# --- calls over generated shapes: one place, one sample, odd channels ---
OPS = sorted({name for name, _ in cpu.ROWS if name in RECIPES} - {"max_pool_dx"})  # which must know its window


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=6, deadline=None)
@given(data=some.data())
def test_a_call_keeps_to_its_arrays(cuda: Cuda, name: str, data: Any) -> None:
    case = next(make for (op, _), make in cpu.ROWS.items() if op == name)
    compare(cuda, name, case(cpu.Draw(data)))


def test_a_guard_that_is_overrun_is_seen(guarded: Guarded) -> None:
    for size, at in ((5, 0), (7, 6)):
        array = guarded.alloc(size, np.float32)
        guarded.each("elementwise", "fill", size, array, 1.0)()
        near = DeviceArray(array.driver, array.address + (-4 if at == 0 else 4), (size,), np.float32, array.owner)
        guarded.each("elementwise", "fill", size, near, 1.0)()
        with pytest.raises(
            AssertionError, match=f"something lies {'before' if at == 0 else 'behind'} an array of {size} float32"
        ):
            guarded.check()
        guarded.held = []


# --- what the emulated device itself looks at ---
MISTAKES = {
    "float4 four = *(float4 *)(x + 1); x[0] = four.x;": "misaligned address",
    "int i = 0x7fffffff; i += count; x[0] = i;": "signed integer overflow",
    "__shared__ float parts[4]; x[0] = parts[4 + count];": "index 5 out of bounds",
    "if (threadIdx.x) __syncthreads();\n else __syncthreads();": "threads of a block are at the barriers of lines",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_kernel_that_a_device_would_not_bear_ends_the_process(mistake: str) -> None:
    code = "from dltrain.ops.cuda import Cuda\nfrom dltrain.ops.cuda.emulator import Emulator\nimport numpy as np\n"
    code += "from dltrain.ops.cuda.formulas import prelude\nfrom dltrain.ops.cuda.launch import launch\n"
    code += f"text = prelude() + {f'BLOCK_KERNEL wrong(float *x, int count) {{ {mistake} }}'!r}\n"
    code += "cuda = Cuda(Emulator())\nlaunch(cuda.driver, text, 'wrong', 1, [cuda.alloc(8, np.float32), 1], 32)()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(DLTRAIN_EMULATE_CHECKED="1")
    )
    assert done.returncode and MISTAKES[mistake] in done.stderr


def test_shared_memory_holds_no_numbers_when_a_block_begins(cuda: Cuda) -> None:
    body = "__shared__ float parts[32]; x[blockIdx.x] = parts[threadIdx.x]; __syncthreads(); parts[threadIdx.x] = 1.0f;"
    x = cuda.alloc(3, np.float32)
    launch(cuda.driver, f"{prelude()}BLOCK_KERNEL wrong(float *x) {{ {body} }}\n", "wrong", 3, [x], 32)()
    assert np.isnan(x.copy()).all()
