"""One call on the GPU's kernels, run on the CPU between guards, and what the reference makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.runner import OnHost
from dltrain.tensor import Tensor
from tests.ops.test_cpu_ops import GUARD, TOLERANCE, Case, Held, call_of, dirt, expected, results


class OnDevice(Held):
    """Every tensor by itself in the memory of the device, between two guards."""

    def hold(self, tensor: Tensor) -> None:
        dtype = self.backend.dtype_of(tensor)
        self.raw[tensor] = self.backend.alloc(tensor.shape.count + 2 * GUARD, dtype)
        self.raw[tensor][...] = np.full(tensor.shape.count + 2 * GUARD, dirt(dtype), dtype)

    def check_guards(self) -> None:
        here = Held(self.backend)
        here.raw = {tensor: raw.copy() for tensor, raw in self.raw.items()}
        here.check_guards()


def emulate(cuda: Cuda, name: str, case: Case, **tags: Any) -> dict[str, Any]:
    """What the kernels make of a call that is bound before the values are known; what is only read stays as it was."""
    call, tensors = call_of(name, case.args)
    call.tags |= tags
    held = OnDevice(cuda)
    for _, tensor, _ in tensors:
        held.hold(tensor)
    for argument, tensor, _ in tensors:
        if argument in ("y", "dx") and call.op.modes[argument] == "out" and case.shared:
            held.raw[tensor] = next(held.raw[given] for shared, given, _ in tensors if shared == case.shared)
    cuda.begin_segment()
    work = cuda.bind(call, held)
    assert not any(isinstance(kernel, OnHost) for kernel in work.kernels), f"no recipe fits {name}"
    for scratch in cuda.scratches:
        scratch[...] = 255
    for _, tensor, value in tensors:
        if value is not None:
            held.logical(tensor)[...] = value
    for kernel in work.kernels:
        kernel()
    held.check_guards()
    written = {id(tensor) for tensor in call.writes()}
    for argument, tensor, value in tensors:
        if id(tensor) not in written and argument != case.shared:
            np.testing.assert_array_equal(held.logical(tensor), value, err_msg=f"{argument} is only read")
    return results(call, tensors, held.logical)


def compare(cuda: Cuda, name: str, case: Case, **tags: Any) -> None:
    """To rounding, NaN and infinities at the same places."""
    found, right = emulate(cuda, name, case, **tags), expected(name, case)
    assert found.keys() == right.keys()
    for what, want in right.items():
        got = found[what]
        if want.dtype.kind == "i":
            np.testing.assert_array_equal(got, want, err_msg=what)
            continue
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=f"NaN in {what}")
        finite = np.isfinite(want)
        np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=what)
        largest = np.abs(want[finite]).max(initial=1.0)
        error = np.abs(got[finite] - want[finite]).max(initial=0)
        assert error <= 2 * TOLERANCE * largest, f"{what} is off by {error} where the largest value is {largest}"
