"""Norms on the GPU's kernels, run on the CPU, over odd shapes: channels innermost or not, rows of any axes, neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.formula import formula
from dltrain.tensor import Shape
from tests.ops.emulated import compare
from tests.ops.test_cpu_ops import Case, Draw, leaky, squash

Args = dict[str, Any]
cases = some.data()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


# --- channels ---
def normed(draw: Draw) -> Args:
    """x of any rank, far from 0 or not, with statistics that need not be its own."""
    sizes = draw.choice((), draw.pair(1, 7), (20, 17), (draw.number(1, 40),), (2, 3, 2), (61, 53))
    c = draw.choice(1, 2, 3, 16, 37) if len(sizes) != 2 or sizes[0] < 50 else draw.choice(1, 3)
    x = draw.array(draw.number(1, 5), c, *sizes) + draw.choice(0, 0, np.float32(10))
    statistics = {"mean": draw.array(c), "variance": np.abs(draw.array(c)) + np.float32(0.1)}
    return {"x": x, **statistics, "eps": draw.choice(1e-5, 0.1)}


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_moments_of_channels(cuda: Cuda, data: Any) -> None:
    x = normed(Draw(data))["x"]
    compare(cuda, "channel_moments", Case({"x": x, "mean": Shape(x.shape[1:2]), "variance": Shape(x.shape[1:2])}))


def test_a_first_number_far_from_the_others_costs_no_digits(cuda: Cuda) -> None:
    x = np.random.default_rng(0).standard_normal((4, 2, 16, 16)).astype(np.float32) + np.float32(3)
    x[0, :, 0, 0] = 1000
    compare(cuda, "channel_moments", Case({"x": x, "mean": Shape((2,)), "variance": Shape((2,))}))


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_normalised_channels(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    args = normed(draw)
    affine, x = draw.yes(), args["x"]
    args |= {name: draw.array(x.shape[1]) if affine else None for name in ("scale", "bias")}
    compare(cuda, "channel_norm", Case({**args, "y": Shape(x.shape)}, shared=draw.choice("", "x")))
    act = {"formula": formula(leaky), "constants": (0.25,)} if draw.yes() else {"formula": formula(squash), "constants": ()}
    compare(cuda, "channel_norm_elementwise", Case({**args, "y": Shape(x.shape), "other": draw.maybe(draw.array(*x.shape)), **act}))


@settings(max_examples=30, deadline=None)
@given(data=cases)
def test_gradients_of_normalised_channels(cuda: Cuda, data: Any) -> None:
    draw = Draw(data)
    args = normed(draw)
    x, c, own = args["x"], args["x"].shape[1], draw.yes()
    dy = draw.array(*x.shape)
    grads = {name: draw.maybe(draw.array(c)) for name in ("dscale", "dbias")}
    sums = Shape((c,)) if own else None
    if own or any(grad is not None for grad in grads.values()):
        compare(cuda, "channel_norm_dw", Case({**args, "dy": dy, **grads, "total": sums, "along": sums}))
    made = {name: draw.array(c) if own else None for name in ("total", "along")}
    dx = {"scale": draw.maybe(draw.array(c)), "dy": dy, **made, "dx": Shape(x.shape)}
    compare(cuda, "channel_norm_dx", Case({**args, **dx}, shared=draw.choice("", "dy")))


@pytest.mark.parametrize("count", [1, 6])
def test_what_is_kept_of_batches(cuda: Cuda, count: int) -> None:
    rng = np.random.default_rng(0)
    names = ("mean", "variance", "kept_mean", "kept_variance")
    args: Args = {name: rng.random(5).astype(np.float32) for name in names}
    for factor in (0.0, 2.5):
        kept = {**args, "factor": np.array([factor], np.float32)}
        compare(cuda, "keep_moments", Case({**kept, "fraction": 0.9, "count": count}))
        compare(cuda, "kept_moments", Case({**kept, "mean": Shape((5,)), "variance": Shape((5,))}))
