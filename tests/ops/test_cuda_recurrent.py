"""Recurrent nets on the GPU's kernels, run on the CPU: all kinds, levels and ways, borders, padding, states, odd layouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.backend import Reference
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda import recurrent as recipes
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.signature import OPS, Call
from dltrain.tensor import Shape, Tensor
from tests.ops.emulated import compare
from tests.ops.test_cpu_ops import Case, Draw, real, sequence, sequence_grad
from tests.ops.test_cpu_sequences import trained


@pytest.fixture(scope="module")
def cuda() -> Iterator[Cuda]:
    made = Cuda(Emulator())
    yield made
    made.close()


def odd(draw: Draw, case: Case) -> Case:
    """The same call with integers for marks, pictures for steps and for what stands beside them, states as Caffe has them."""
    args = case.args
    if draw.yes():
        args |= {name: args[name].astype(np.int32) for name in ("cont", "mask") if args[name] is not None}
    steps, parts = args["x"].shape[:-1], sum(name.startswith("weight_x") for name in args["names"])
    if draw.yes():
        sizes = (*steps, *((2, 3) if len(steps) == 2 else (2, 1, 3)))
        args |= {"x": real(draw.rng, sizes), "weights": widened(draw, args, 6)}
        args |= {"dx": Shape(sizes)} if args.get("dx") is not None else {}
    if args["x_static"] is not None and draw.yes():
        sizes = (len(args["x_static"]), 1, 2, 1)
        args |= {"x_static": real(draw.rng, sizes)} | ({"dx_static": Shape(sizes)} if args.get("dx_static") is not None else {})
    if args["time"] == 0 and draw.yes():
        args |= {name: caffes(args[name]) for name in ("h0", "c0", "dh0", "dc0") if args.get(name) is not None}
    assert parts
    return case


def widened(draw: Draw, args: dict[str, Any], depth: int) -> tuple[Any, ...]:
    """The weights for an x with `depth` numbers a step."""
    return tuple(
        real(draw.rng, (len(w), depth)) * np.float32(0.4) if name in ("weight_x", "weight_x_reverse") else w
        for name, w in zip(args["names"], args["weights"], strict=True)
    )


def caffes(state: Any) -> Any:
    return Shape((1, *state)) if isinstance(state, Shape) else state[None]


@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_forth(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "recurrent", odd(draw, sequence(draw)))


@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_and_back(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "recurrent_grad", sequence_grad(draw))
