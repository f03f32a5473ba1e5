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
from dltrain.ops.cuda.steps import FEW
from dltrain.ops.signature import Call
from dltrain.tensor import Shape
from tests.ops.emulated import OnDevice, compare
from tests.ops.test_cpu_ops import NOTES, Args, Case, Draw, call_of, compute, real, sequence, sequence_grad
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
        launches = recurrent(*held(cuda, plain_call("rnn_tanh", 1, steps, 1, FEW + 1)), cuda)
        assert len(launches) > 2 * steps  # a product, a cell
        sizes.append(cuda.scratch_top - spread(4 * (FEW + 1) * steps))  # what is made of x
    assert sizes[0] == sizes[1]


def spread(size: int) -> int:
    """Bytes as they are handed out."""
    return -(-size // 256) * 256


def back_of(args: Args, made: dict[str, Any]) -> Args:
    """The way back from what the way forth has noted, with all that can be wanted."""
    rng = np.random.default_rng(1)
    given = {name: args[name] for name in ("x", "weights", "names", "kind", "time", "cont", "mask", "x_static")}
    given |= {"tape": tuple(value.astype(np.float32) for name, value in made.items() if name.startswith("tape"))}
    given |= {"dy": real(rng, args["y"]), "learns": args["names"], "dweights": tuple(np.zeros_like(w) for w in args["weights"])}
    state = Shape((args["y"][0], args["y"][2]))
    given |= {"dstate": real(rng, state), "dh0": state, "dx": Shape(args["x"].shape), "dx_static": None}
    two = args["kind"] == "lstm"
    return given | {"dcell": real(rng, state) if two else None, "dc0": state if two else None}


@pytest.mark.parametrize(("n", "t", "h"), [(1, 3, 4), (33, 2, 68), (40, 2, 132), (3, 2, 192)])
@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "lstm", "gru_after"])
def test_a_step_in_one_launch(kind: str, n: int, t: int, h: int) -> None:
    """Over slices of the depth that are whole or not, and blocks of samples and units that are full or not."""
    cuda, args = Cuda(Wide()), plain_call(kind, n, t, 3, h, (np.arange(n * t).reshape(n, t) % 5 > 0).astype(np.float32))
    args["tape"] = tuple(Shape((t + more, n, wide * h)) for more, wide in NOTES[kind.split("_")[0]])
    names = [launch.kernel.name for launch in recurrent(*held(cuda, args), cuda)]
    assert sum(name.endswith("_step") for name in names) == t
    compare(cuda, "recurrent", Case(args))
    back = back_of(args, compute("recurrent", Case(args), Reference(np.float64)))
    compare(cuda, "recurrent_grad", Case(back))


def test_a_step_of_many_units_or_samples_is_a_product_and_a_cell() -> None:
    for n, h in ((1, FEW + 4), (3, 10), (32 * 300, 8)):
        launches = recurrent(*held(cuda := Cuda(Wide()), plain_call("lstm", n, 1, 1, h)), cuda)
        assert "lstm" in [launch.kernel.name for launch in launches]


def test_marks_of_other_types_are_left_to_the_reference(cuda: Cuda) -> None:
    call, arrays = held(cuda, plain_call("lstm", 2, 3, 4, 5, np.ones((2, 3), np.uint8)))
    assert isinstance(cuda.bind(call, arrays).kernels[0], OnHost)
