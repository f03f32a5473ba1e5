"""Fillers: exact values where there are any, else mean, spread and bounds; and what Caffe's give (../shared/golden)."""

from __future__ import annotations

import json
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.fillers  # noqa: F401  fills the registry
from dltrain.errors import Refusal
from dltrain.fillers import Bilinear, Constant, Gaussian, Identity, Msra, Orthogonal, PositiveUnitball, Uniform, Xavier, symmetric
from dltrain.net import Net
from dltrain.ops import philox
from dltrain.registry import FILLERS, LAYERS
from dltrain.tensor import Shape
from dltrain.wiring import Line

KEY = philox.key(1, "filler conv1.weight")
SHAPE = (200, 50, 5, 4)  # fan_in 1000, fan_out 4000, average 2500
GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "data" / "fillers.json"
ALL = [Constant(value=0.7), Uniform(min=-0.3, max=0.8), Gaussian(mean=0.2, std=1.5), Gaussian(sparse=20), PositiveUnitball(),
       *(kind(variance_norm=norm) for kind in (Xavier, Msra) for norm in ("fan_in", "fan_out", "average")),
       Orthogonal(), Identity()]  # fmt: skip


@pytest.mark.parametrize("filler", ALL, ids=str)
@pytest.mark.parametrize("shape", [SHAPE, (5, 7), (7, 5)])
def test_a_filler_is_a_pure_function_of_shape_and_key(filler: Any, shape: tuple[int, ...]) -> None:
    one = filler.fill(shape, KEY)
    assert one.shape == shape and one.dtype == np.float64 and np.isfinite(one).all()
    assert np.array_equal(one, filler.fill(shape, KEY))
    fixed = isinstance(filler, Constant | Identity)
    assert np.array_equal(one, filler.fill(shape, philox.key(2, "filler conv1.weight"))) == fixed


def test_every_filler_is_here() -> None:
    assert {filler.type for filler in (*ALL, Bilinear())} == set(FILLERS)


# --- what Caffe's are like ---
ROWS = {
    "constant": Constant(value=0.7), "uniform": Uniform(min=-0.3, max=0.8), "gaussian": Gaussian(mean=0.2, std=1.5),
    "gaussian_sparse": Gaussian(sparse=20), "positive_unitball": PositiveUnitball(),
    **{f"{kind.type}_{norm}": kind(variance_norm=norm) for kind in (Xavier, Msra) for norm in ("fan_in", "fan_out", "average")},
}  # fmt: skip


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"the golden values are not at {GOLDEN}")
@pytest.mark.parametrize("name", ROWS)
def test_the_statistics_are_those_of_caffe(name: str) -> None:
    """200,000 numbers: a mean within 5 of its own deviations, a spread within a hundredth."""
    golden, w = json.loads(GOLDEN.read_text())[name], ROWS[name].fill(SHAPE, KEY)
    assert w.mean() == pytest.approx(golden["mean"], rel=1e-6, abs=10 * golden["std"] / sqrt(w.size))
    assert w.std() == pytest.approx(golden["std"], rel=0.01, abs=1e-7)
    assert (w != 0).mean() == pytest.approx(golden["nonzero"], abs=0.005)
    if name.startswith(("uniform", "xavier")):
        assert (w.min(), w.max()) == pytest.approx((golden["min"], golden["max"]), rel=0.01)
    if name == "positive_unitball":
        assert w.sum(axis=(1, 2, 3)) == pytest.approx(np.ones(200), abs=1e-12)
        assert w.min() >= 0


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"the golden values are not at {GOLDEN}")
def test_the_bilinear_kernels_are_those_of_caffe() -> None:
    found = {name: np.array(value) for name, value in json.loads(GOLDEN.read_text()).items() if name.startswith("bilinear")}
    assert found
    for name, kernel in found.items():
        size = int(name.rsplit("_", 1)[1])
        np.testing.assert_allclose(Bilinear().fill((3, 1, size, size), KEY)[2, 0], kernel, rtol=1e-6, err_msg=name)


# --- by hand ---
@pytest.mark.parametrize(("norm", "n"), [("fan_in", 1000), ("fan_out", 4000), ("average", 2500)])
def test_the_spread_follows_the_fan(norm: Any, n: int) -> None:
    assert Xavier(variance_norm=norm).fill(SHAPE, KEY).std() == pytest.approx(sqrt(1 / n), rel=0.01)
    assert Msra(variance_norm=norm).fill(SHAPE, KEY).std() == pytest.approx(sqrt(2 / n), rel=0.01)


def test_a_single_axis_has_its_count_as_fan_out() -> None:
    assert abs(Xavier(variance_norm="fan_out").fill((300,), KEY)).max() <= 0.1
    assert abs(Xavier().fill((300,), KEY)).max() > 1


def test_bilinear_by_hand() -> None:
    line = np.array([0.25, 0.75, 0.75, 0.25])
    made = Bilinear().fill((2, 3, 4, 4), KEY)
    assert np.array_equal(made, np.broadcast_to(np.outer(line, line), (2, 3, 4, 4)))
    np.testing.assert_allclose(Bilinear().fill((1, 1, 3, 3), KEY)[0, 0, 1], [0.5, 1, 0.5])


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5), (4,)])
def test_bilinear_refuses_what_is_no_square_kernel(shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal, match="bilinear is for weights N x C x K x K, not .*; choose another filler"):
        Bilinear().fits(shape)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5), (8, 2, 3, 3), (40, 1, 3, 3), (7,)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    w = Orthogonal(gain=2.0).fill(shape, KEY).reshape(shape[0], -1)
    product = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations() -> None:
    """The sign of the trace is as often plus as minus; without the signs of R it would not be."""
    signs = [np.linalg.det(Orthogonal().fill((3, 3), philox.key(seed, "x"))) > 0 for seed in range(200)]
    assert 70 < sum(signs) < 130
    first = np.mean([Orthogonal().fill((3, 3), philox.key(seed, "x"))[0, 0] for seed in range(400)])
    assert abs(first) < 0.15


def test_identity_passes_its_input_on() -> None:
    assert np.array_equal(Identity(gain=3.0).fill((2, 3), KEY), [[3, 0, 0], [0, 3, 0]])
    w = Identity().fill((2, 2, 3, 3), KEY)
    assert w.sum() == 2 and w[0, 0, 1, 1] == w[1, 1, 1, 1] == 1
    with pytest.raises(Refusal, match="identity is for weights with an output and an input axis, not 4"):
        Identity().fits((4,))


def test_sparse_leaves_whole_values_and_zeros() -> None:
    whole, some = Gaussian(std=2.0).fill((40, 500), KEY), Gaussian(std=2.0, sparse=10).fill((40, 500), KEY)
    kept = some != 0
    assert np.array_equal(some[kept], whole[kept])
    assert kept.sum(axis=0).mean() == pytest.approx(10, abs=0.5)  # outputs that read an input
    assert not Gaussian(sparse=0).fill((4, 5), KEY).any()


# --- symmetry ---
def part(name: str, kind: str, bottom: Any = None, filler: Any = None, **keys: Any) -> Line:
    params = {"weight": {"filler": filler}} if filler is not None else {}
    return Line(name, LAYERS[kind](**keys), bottom, params=params)


def net_of(first: Any, second: Any, *, frozen: bool = False, units: int = 4) -> Net:
    import dltrain.layers
    import dltrain.ops.reference  # noqa: F401

    lines = [part("ip1", "InnerProduct", filler=first, num_output=units), part("tanh", "TanH"),
             part("ip2", "InnerProduct", filler=second, num_output=3), part("out", "Sigmoid"),
             part("loss", "SoftmaxWithLoss", ["out", "label"])]  # fmt: skip
    lines[0].params.setdefault("weight", {})["freeze"] = frozen
    return Net(lines, {"data": Shape((5,)), "label": Shape((), "index")})


@pytest.mark.parametrize(
    "filler", [Constant(), Constant(value=0.5), Uniform(min=1.0, max=1.0), Gaussian(std=0.0), Gaussian(std=0.0, sparse=0)]
)
def test_hidden_weights_that_begin_constant_are_named(filler: Any) -> None:
    assert symmetric(net_of(filler, Constant())) == ["ip1.weight"]


def test_what_cannot_suffer_is_left_out() -> None:
    assert symmetric(net_of(Msra(), Constant())) == []  # the last layer: the labels differ
    assert symmetric(net_of(None, None)) == []
    assert symmetric(net_of(Constant(), None, frozen=True)) == []
    assert symmetric(net_of(Constant(), None, units=1)) == []
    assert symmetric(net_of(Gaussian(mean=1.0, std=0.0, sparse=2), None)) == []


@pytest.mark.parametrize("filler", [*ALL, Bilinear()], ids=str)
def test_only_what_is_constant_says_so(filler: Any) -> None:
    w = filler.fill((6, 6, 4, 4), KEY)
    assert filler.constant == (np.ptp(w) == 0) and w.size == prod(w.shape)
