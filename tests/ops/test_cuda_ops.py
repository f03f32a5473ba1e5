"""What the CUDA back end is made of: a kernel for every op, arguments that fit, arrays that go there and back, no Numba."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.errors import ConfigError
from dltrain.ops.cuda import Cuda, backend, compiler, device, emulator, recipes  # noqa: F401  recipes fills the table
from dltrain.ops.cuda.array import DeviceArray
from dltrain.ops.cuda.backend import RECIPES
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.steps import Room
from dltrain.ops.cuda.texts import files, kernels_of, kind, text_of
from dltrain.ops.signature import OPS

FUSED_ELSEWHERE = {"conv_grad", "conv_max_pool", "conv_max_pool_grad"}  # the CPU's plans have them
ON_HOST = {"scored"}  # a Python function of sums, emitted only where somebody reads the score as a blob
compiles = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler to emulate with")


def ours() -> set[str]:
    """The ops that come with dltrain."""
    return {name for name, op in OPS.items() if op.function.__module__.startswith("dltrain.ops.")}


def test_every_op_has_a_kernel() -> None:
    assert ours() - set(RECIPES) == FUSED_ELSEWHERE | ON_HOST
    assert set(RECIPES) <= ours()


def test_the_engine_needs_no_numba() -> None:
    code = "import sys; sys.modules['numba'] = None\nimport dltrain.catalogue\nfrom dltrain.ops.cuda import Cuda\n"
    code += (
        "from dltrain.ops.cuda.emulator import Emulator\nCuda(Emulator())\nprint(sorted(m for m in sys.modules if 'cupy' in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_signatures_are_read_from_the_text() -> None:
    (kernel,) = kernels_of("// KERNEL no(int x)\nBLOCK_KERNEL yes(const float *__restrict__ x, View v, u32 n,\n   byte * y) {}")
    assert (kernel.name, kernel.types, kernel.meets) == ("yes", ("float *", "View", "u32", "byte *"), True)
    assert kind("const double *a") == "double *" and kind("int n") == "int"


def test_every_kernel_takes_what_can_be_given() -> None:
    known = {"real *", "float *", "int *", "double *", "byte *", "u64 *", "View", "int", "float", "double", "u32"}
    found = [kernel for file in files() for kernel in kernels_of(text_of(file))]
    assert len(found) > 100 and {word for kernel in found for word in kernel.types} <= known


@compiles
def test_arguments_that_do_not_fit_are_refused() -> None:
    cuda = Cuda(Emulator())
    x, y = cuda.alloc(4, np.float32), cuda.alloc(4, np.int32)
    cuda.each("elementwise", "add_into", 4, x, x)
    with pytest.raises(TypeError, match=r"add_into, argument 1: real \* is given DeviceArray\(\(4,\), int32\)"):
        cuda.each("elementwise", "add_into", 4, x, y)
    with pytest.raises(TypeError, match="add_into takes 3 arguments and is given 2"):
        cuda.each("elementwise", "add_into", 4, x)
    with pytest.raises(TypeError, match="fill, argument 2: int is given 1.5"):
        cuda.launch("elementwise", "fill", 1, x, 2.0, 1.5)


def test_segments_use_the_same_scratch_memory_calls_of_one_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "SCRATCH", 1024)
    cuda, sizes, places = Cuda(Emulator()), (300, 900, 1000, 1, 2000), []
    for _ in range(3):
        cuda.begin_segment()
        places.append([cuda.scratch(size, dtype=np.uint8).address for size in sizes])
        ends = sorted((start, start + size) for start, size in zip(places[-1], sizes))
        assert all(stop <= start for (_, stop), (start, _) in zip(ends, ends[1:]))
    assert places[0] == places[1] == places[2] and sum(piece.size for piece in cuda.scratches) == 4 * 1024 + 2048
    room = Room(cuda)
    cuda.begin_segment()
    with room.again():
        inside = cuda.scratch(3000, dtype=np.uint8)
    assert cuda.scratch(300, dtype=np.uint8).address == places[0][0]
    room.close()
    beyond = cuda.scratch(1, dtype=np.uint8).address
    assert not inside.address <= beyond < inside.address + 3000


# --- arrays ---
@settings(max_examples=50, deadline=None)
@given(some.lists(some.integers(0, 4), min_size=0, max_size=4), some.data())
def test_what_is_written_is_read(sizes: list[int], data: some.DataObject) -> None:
    cuda, count = Cuda(Emulator()), int(np.prod(sizes, dtype=int))
    axes = data.draw(some.permutations(range(len(sizes))))
    memory = cuda.alloc(count, np.float32).reshape(sizes)
    logical = memory.transpose(axes)
    value = np.random.default_rng(count).standard_normal([sizes[axis] for axis in axes]).astype(np.float32)
    logical[...] = value
    assert logical.shape == value.shape and np.array_equal(np.asarray(logical), value)
    assert np.array_equal(memory.copy(), value.transpose(np.argsort(axes)))
    assert logical.strides == tuple(step // 4 for step in np.empty(sizes, np.float32).transpose(axes).strides) or 0 in sizes


def test_stretches_of_a_flat_array_are_views() -> None:
    flat = Cuda(Emulator()).alloc(8, np.float32)
    flat[...] = np.arange(8)
    flat[2:5] = 0
    flat[6:] = np.array([7.5, -0.0])
    assert flat.copy().tolist() == [0, 1, 0, 0, 0, 5, 7.5, 0] and np.signbit(flat[7])
    assert float(flat[1:2].reshape(())) == 1 and flat[1] == 1 and len(flat[2:5]) == 3
    assert flat[0:2].view(np.int32).copy().tolist() == [0, 0x3F800000]
    flat[0:4] = flat[4:8]
    assert flat.copy()[:4].tolist() == [0, 5, 7.5, 0]
    with pytest.raises(TypeError, match="written whole, or a stretch"):
        flat[::2] = 1
    assert "DeviceArray((8,), float32)" in repr(flat)


# --- devices ---
def test_a_device_that_cannot_be_had_says_why() -> None:
    if device.reason() is None:
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="--device cuda: .*; or use --device cpu"):
        device.Device(0)


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.api", None)
    assert str(device.reason()).startswith("CuPy is not installed: pip install 'dltrain[cuda13]'")
    monkeypatch.setattr(compiler, "candidates", lambda: ["/no/such/libnvrtc.so.13"])
    compiler.nvrtc.cache_clear()
    with pytest.raises(ConfigError, match=r"NVRTC is not installed: pip install 'dltrain\[cuda13\]'"):
        compiler.nvrtc()
    assert not compiler.is_there()
    compiler.nvrtc.cache_clear()


def test_without_a_compiler_nothing_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"emulating a GPU needs a C\+\+ compiler: install g\+\+"):
        emulator.library("KERNEL never(int count) {}")


@compiles
def test_a_kernel_that_does_not_compile_is_our_bug() -> None:
    with pytest.raises(RuntimeError, match="a kernel does not compile"):
        emulator.library("KERNEL wrong(int count) { nonsense }")


@compiles
def test_threads_meet_and_their_order_can_be_turned() -> None:
    """Each thread adds what its neighbour has left before the barrier; without the barrier the order would show."""
    text = text_of("elementwise") + "\nBLOCK_KERNEL pass_on(float *x, int count) {\n    __shared__ float held[64];\n"
    text += "    held[threadIdx.x] = x[threadIdx.x];\n    __syncthreads();\n"
    text += (
        "    x[threadIdx.x] += held[(threadIdx.x + 1) % 64];\n    float all = block_sum(1.0f);\n    x[threadIdx.x] += all;\n}\n"
    )
    from dltrain.ops.cuda.launch import launch

    made: list[Any] = []
    for backwards in (False, True):
        cuda = Cuda(Emulator(backwards))
        x = cuda.alloc(64, np.float32)
        x[...] = np.arange(64)
        launch(cuda.driver, text, "pass_on", 1, [x, 64], 64)()
        made.append(x.copy())
    assert np.array_equal(made[0], np.arange(64) + (np.arange(64) + 1) % 64 + 64) and np.array_equal(*made)
    assert isinstance(x, DeviceArray)
