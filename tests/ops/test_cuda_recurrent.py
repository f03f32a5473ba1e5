"""Recurrent nets on the GPU's kernels, run on the CPU: all kinds, levels and ways, borders, padding, states, odd layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.backend import Reference
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.cuda.recurrent import recurrent
from dltrain.ops.cuda.runner import OnHost
from dltrain.ops.signature import Call
from dltrain.tensor import Shape
from tests.ops.emulated import OnDevice, compare
from tests.ops.test_cpu_ops import Args, Case, Draw, call_of, real, sequence, sequence_grad
from tests.ops.test_cpu_sequences import trained


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


def odd(draw: Draw, args: Args) -> Args:
    """The same call with integers for marks, pictures for the steps and for what stands beside them, states as Caffe has them."""
    if draw.yes():
        args |= {name: args[name].astype(np.int32) for name in ("cont", "mask") if args[name] is not None}
    if draw.yes():
        steps = args["x"].shape[:-1]
        args |= pictures(draw, args, (*steps, 2, 3) if len(steps) == 2 else (*steps, 2, 1, 3))
    if args["x_static"] is not None and draw.yes():
        sizes = (len(args["x_static"]), 1, 2, 1)
        args |= {"x_static": real(draw.rng, sizes)} | ({} if args.get("dx_static") is None else {"dx_static": Shape(sizes)})
    if args["time"] == 0 and draw.yes():
        args |= {name: caffes(args[name]) for name in ("h0", "c0", "dh0", "dc0") if args.get(name) is not None}
    return args


def pictures(draw: Draw, args: Args, sizes: tuple[int, ...]) -> Args:
    """x of these sizes, 6 numbers a step, and the weights that read it."""

    def widened(names: Any, arrays: Any) -> tuple[Any, ...]:
        lowest = ("weight_x", "weight_x_reverse")
        return tuple(
            real(draw.rng, (len(w), 6)) * np.float32(0.4) if name in lowest else w for name, w in zip(names, arrays, strict=True)
        )

    made = {"x": real(draw.rng, sizes), "weights": widened(args["names"], args["weights"])}
    if "learns" in args:
        made |= {"dweights": widened(args["learns"], args["dweights"]), "dx": None if args["dx"] is None else Shape(sizes)}
    return made


def caffes(state: Any) -> Any:
    """With a 1 in front."""
    return Shape((1, *state)) if isinstance(state, Shape) else state[None]


@settings(max_examples=80, deadline=None)
@given(data=some.data())
def test_forth(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "recurrent", Case(odd(draw, sequence(draw).args)))


@settings(max_examples=80, deadline=None)
@given(data=some.data())
def test_and_back(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    compare(cuda, "recurrent_grad", Case(odd(draw, sequence_grad(draw).args)))


@pytest.mark.parametrize(("kind", "keys"), [
    ("LSTM", {"num_layers": 2}), ("LSTM", {"peepholes": True, "bidirectional": True}), ("GRU", {"num_layers": 2, "carry": True}),
    ("GRU", {"reset": "before"}), ("RNN", {"bidirectional": True, "num_layers": 2}),
])  # fmt: skip
def test_training_makes_the_weights_that_the_reference_makes(kind: str, keys: Any) -> None:
    """By launches at first, then by a graph, in which nothing but the order of a call's launches is kept."""
    driver = Emulator()
    made, right = trained(Cuda(driver), kind, **keys), trained(Reference(np.float64), kind, **keys)
    assert driver.captured == 1
    assert np.abs(made - right).max() <= 2e-5 * np.abs(right).max()


def plain_call(kind: str, n: int, t: int, d: int, h: int, cont: Any = None) -> Args:
    """One level, one way, in phase test."""
    rng, rows = np.random.default_rng(0), {"rnn": 1, "lstm": 4, "gru": 3}[kind.split("_")[0]] * h
    args: Args = {"kind": kind, "names": ("weight_x", "weight_h"), "time": 1, "tape": (), "cont": cont}
    args |= dict.fromkeys(("mask", "x_static", "h0", "c0", "state", "cell", "carried", "carried_cell"))
    weights = real(rng, (rows, d)), real(rng, (rows, h)) * np.float32(0.2)
    return args | {"x": real(rng, (n, t, d)), "y": Shape((n, t, h)), "weights": weights}


def held(cuda: Cuda, args: Args) -> tuple[Call, OnDevice]:
    call, tensors = call_of("recurrent", args)
    made = OnDevice(cuda)
    for _, tensor, value in tensors:
        made.hold(tensor)
        if value is not None:
            made.logical(tensor)[...] = value
    return call, made


def test_calls_of_one_segment_share_no_scratch_memory() -> None:
    """They may run side by side; what a call takes for itself again and again is its own."""
    cuda, args = Cuda(Emulator()), plain_call("gru_before", 3, 7, 9, 40)
    calls = [held(cuda, args) for _ in range(2)]
    for both in zip(*(recurrent(*each, cuda) for each in calls), strict=True):
        for launch in both:
            launch()
    np.testing.assert_array_equal(*(np.asarray(arrays.logical(call.args["y"])) for call, arrays in calls))


class Wide(Emulator):
    """As many multiprocessors as a large GPU has: products are cut along their depth, and need memory for that."""

    processors = 132


def test_a_long_sequence_takes_no_more_scratch_memory_for_its_products() -> None:
    sizes = []
    for steps in (2, 50):
        cuda = Cuda(Wide())
        launches = recurrent(*held(cuda, plain_call("rnn_tanh", 1, steps, 1, 512)), cuda)
        assert len(launches) > 3 * steps  # a product, the joining of its parts, a cell
        sizes.append(cuda.scratch_top - 4 * 512 * steps)  # what is made of x has a place for each step
    assert sizes[0] == sizes[1]


def test_marks_of_other_types_are_left_to_the_reference(cuda: Cuda) -> None:
    call, arrays = held(cuda, plain_call("lstm", 2, 3, 4, 5, np.ones((2, 3), np.uint8)))
    assert isinstance(cuda.bind(call, arrays).kernels[0], OnHost)
