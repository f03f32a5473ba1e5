"""Convolution by the kernels of tiles, with and without Winograd's transforms, against the reference over generated shapes."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.ops.cpu import convolution, fewer, ways
from dltrain.ops.cpu.convolution import Geometry, Pool, by_winners
from dltrain.ops.cpu.fewer import size_of_tiles
from dltrain.ops.cpu.tiled import suits
from dltrain.ops.cpu.tiles import LANES
from dltrain.ops.reference import convolution as plain
from dltrain.ops.window import Window

BOUND = {0: 1e-5, 2: 1e-5, 4: 1e-4}  # of the largest value


def forced(m: int, little: bool = False) -> Any:
    """All convolutions by tiles, with F(m x m, 3 x 3) where the channels are whole vectors; `little` memory, if need be."""

    def choose(geometry: Geometry, x_shape: Any, w_shape: Any, way: str) -> int:
        whole = w_shape[3] % LANES == 0 and w_shape[0] // geometry.group % LANES == 0
        fits = w_shape[1:3] == (3, 3) and geometry.stride == (1, 1) and geometry.dilation == (1, 1) and max(geometry.pad) <= 2
        return m if whole and fits else 0

    ways.ways_of.cache_clear()
    few = patch.multiple(fewer, HELD=0 if little else fewer.HELD)
    never = patch.multiple(convolution, suits=lambda *shapes: True, SPARSITY=1 << 30)  # by winners
    return patch.multiple(ways, size_of_tiles=choose), never, few


def scratch_for(x: Any, w: Any, geometry: Geometry, pool: Pool | None, wanted: tuple[str, ...]) -> Any:
    """As much as is asked for, and nothing in it that could be read by mistake."""
    return np.full(convolution.scratch_size(x.shape, w.shape, geometry, pool, wanted), np.nan, np.float32)


def logical(a: Any) -> Any:
    return np.moveaxis(a, -1, 1).astype(np.float64)


def check(name: str, got: Any, want: Any, bound: float) -> None:
    error, largest = np.abs(got - want).max(initial=0), np.abs(want).max(initial=1.0)
    assert error <= bound * largest, f"{name} is off by {error} where the largest value is {largest}"


@pytest.mark.parametrize("m", [0, 2, 4])
@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_tiles_do_what_the_reference_does(m: int, data: Any) -> None:
    group = data.draw(some.sampled_from([1, 1, 2]))
    if data.draw(some.booleans()):
        c, o = (16 * data.draw(some.integers(1, 3)) for _ in range(2))
        kernel, stride = (3, 3), (1, 1)
    else:
        c, o = (data.draw(some.sampled_from([1, 3, 8, 17, 33])) for _ in range(2))
        kernel, stride = (tuple(data.draw(some.integers(1, 4)) for _ in range(2)) for _ in range(2))
    pad = tuple(data.draw(some.integers(0, 2)) for _ in range(2))
    size = tuple(max(1, k - 2 * p) + data.draw(some.integers(0, 9)) for k, p in zip(kernel, pad))
    rng = np.random.default_rng(data.draw(some.integers(0, 2**32 - 1)))
    geometry = Geometry(kernel, stride, pad, (1, 1), group)
    samples = data.draw(some.integers(1, 5))
    x = rng.standard_normal((samples, *size, c * group), np.float32)
    w = rng.standard_normal((o * group, *kernel, c), np.float32)
    b = rng.standard_normal(o * group).astype(np.float32)
    dy = rng.standard_normal((samples, *geometry.plane(*size), o * group), np.float32)
    chosen, always, few = forced(m, data.draw(some.booleans()))
    with chosen, always, few:
        y, dx, dw, db = (np.full_like(a, np.nan) for a in (dy, x, w, b))
        convolution.conv_forward(x, w, b, y, geometry, None, scratch_for(x, w, geometry, None, ways.FORWARD))
        convolution.conv_backward(x, dy, w, dx, dw, db, geometry, scratch_for(x, w, geometry, None, ways.BOTH))
    window = Window(kernel, stride, pad, (1, 1), group)
    want = [np.zeros_like(logical(a)) for a in (dy, x, w)]
    plain.conv.function(logical(x), logical(w), b, want[0], window)
    plain.conv_dx.function(logical(w), logical(dy), want[1], window)
    plain.conv_dw.function(logical(x), logical(dy), want[2], np.zeros(len(b)), window)
    for name, got, right in zip(("y", "dx", "dw"), (y, dx, dw), want, strict=True):
        check(name, logical(got), right, BOUND[m])
    check("db", db, dy.astype(np.float64).sum(axis=(0, 1, 2)), 1e-5)


@pytest.mark.parametrize("little", [False, True])
@pytest.mark.parametrize("m", [0, 2, 4])
def test_a_sample_is_what_it_is_whoever_its_neighbours_are(m: int, little: bool) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((70, 6, 5, 16), np.float32), rng.standard_normal((48, 3, 3, 16), np.float32)
    geometry = Geometry((3, 3), (1, 1), (1, 1))
    made = []
    chosen, always, few = forced(m, little)
    with chosen, always, few:
        for part in (x, x[3:], x[:5]):
            y = np.empty((len(part), 6, 5, 48), np.float32)
            convolution.conv_forward(part, w, None, y, geometry, None, scratch_for(part, w, geometry, None, ways.FORWARD))
            made.append(y)
    np.testing.assert_array_equal(made[0][3:], made[1])
    np.testing.assert_array_equal(made[0][:5], made[2])


@pytest.mark.parametrize("little", [False, True])
@pytest.mark.parametrize("m", [0, 2, 4])
def test_a_pooled_convolution_and_its_gradient_by_tiles(m: int, little: bool) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((9, 10, 7, 16), np.float32), rng.standard_normal((16, 3, 3, 16), np.float32)
    geometry, pool = Geometry((3, 3), (1, 1), (1, 1)), Pool((2, 2), (2, 2))
    y, winner = np.empty((9, 5, 4, 16), np.float32), np.empty((9, 5, 4, 16), np.int32)
    b, dy = rng.standard_normal(16).astype(np.float32), rng.standard_normal((9, 5, 4, 16), np.float32)
    chosen, always, few = forced(m, little)
    with chosen, always, few:
        convolution.conv_pool_forward(x, w, b, y, winner, geometry, pool, scratch_for(x, w, geometry, pool, ways.FORWARD))
        dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
        scratch = scratch_for(x, w, geometry, pool, ways.BOTH)
        convolution.conv_pool_backward(x, dy, winner, w, dx, dw, db, geometry, pool, scratch)
    window = Window((3, 3), (1, 1), (1, 1))
    full = np.zeros((9, 16, 10, 7))
    plain.conv.function(logical(x), logical(w), b, full, window)
    padded = np.pad(full, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=-np.inf).reshape(9, 16, 5, 2, 4, 2)
    check("y", logical(y), padded.max(axis=(3, 5)), 1e-4)
    spread = np.zeros((9, 16, 70))
    np.put_along_axis(spread, logical(winner).astype(int).reshape(9, 16, -1), logical(dy).reshape(9, 16, -1), 2)
    want = np.zeros(logical(x).shape), np.zeros(logical(w).shape)
    plain.conv_dx.function(logical(w), spread.reshape(9, 16, 10, 7), want[0], window)
    plain.conv_dw.function(logical(x), spread.reshape(9, 16, 10, 7), want[1], np.zeros(16), window)
    check("dx", logical(dx), want[0], 1e-4)
    check("dw", logical(dw), want[1], 1e-4)


def test_which_layers_are_done_by_tiles_and_by_transforms() -> None:
    plain_way, strict = Geometry((3, 3), (1, 1), (1, 1)), Geometry((3, 3), (1, 1), (1, 1), strict=True)
    big = (64, 16, 16, 64), (128, 3, 3, 64)
    assert size_of_tiles(plain_way, *big, "forward") == 4
    assert size_of_tiles(strict, *big, "forward") == 0
    assert size_of_tiles(Geometry((3, 3), (2, 2), (1, 1)), *big, "forward") == 0
    assert size_of_tiles(plain_way, (64, 16, 16, 60), (128, 3, 3, 60), "forward") == 0
    assert size_of_tiles(plain_way, (64, 2, 2, 512), (512, 3, 3, 512), "gradient") == 2
    assert size_of_tiles(plain_way, (64, 4, 4, 512), (512, 3, 3, 512), "forward") == 4
    assert size_of_tiles(plain_way, (64, 4, 4, 512), (512, 3, 3, 512), "gradient") == 2  # 36 MiB for 4
    assert size_of_tiles(plain_way, (64, 1, 1, 512), (512, 3, 3, 512), "forward") == 0
    assert suits(plain_way, *big)
    assert not suits(Geometry((3, 3), group=64), (8, 16, 16, 64), (64, 3, 3, 1))  # a vector would be empty
    assert not suits(plain_way, (64, 4, 4, 3), (8, 3, 3, 3))  # little to do


def test_which_gradients_go_by_the_winners_of_pooling() -> None:
    second, quarter = ((64, 12, 12, 20), (50, 5, 5, 20)), Pool((2, 2), (2, 2))  # LeNet's
    assert by_winners(*second, Geometry((5, 5)), quarter, "backward") and by_winners(
        *second, Geometry((5, 5)), quarter, "gradient"
    )
    assert not by_winners(*second, Geometry((5, 5)), quarter, "forward")
    assert not by_winners(*second, Geometry((5, 5)), Pool((2, 2), (1, 1)), "gradient")  # nearly as many windows as places
    assert not by_winners(*second, Geometry((5, 5), dilation=(1, 2)), quarter, "gradient")  # patches are no runs
    big = (64, 16, 16, 64), (128, 3, 3, 64)
    assert not by_winners(*big, Geometry((3, 3), (1, 1), (1, 1)), quarter, "backward")  # a transform saves as much
