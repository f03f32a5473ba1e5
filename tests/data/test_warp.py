"""Rotate, affine and elastic: quarter turns and shifts worked by hand, and what lies beyond the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dltrain.data  # noqa: F401  fills the registry
from dltrain.data.warp import Affine, linear
from dltrain.source import Shape
from tests.fixtures.steps import apply, draw, make, mistake, no_training, refuses

X = [[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]


@pytest.mark.parametrize(("degrees", "expected"), [
    (90, [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),  # counter-clockwise: what was right is above
    (180, [[9, 8, 7], [6, 5, 4], [3, 2, 1]]),
    (-90, [[7, 4, 1], [8, 5, 2], [9, 6, 3]]),
    (0, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
])  # fmt: skip
def test_quarter_turns(degrees: int, expected: Any) -> None:
    for mode in ("reflect", "edge"):
        assert np.allclose(apply({"rotate": [degrees, degrees], "mode": mode}, X, draw(1)), [[expected]], atol=1e-5)
    step = make({"rotate": [degrees, degrees]})
    step.setup(Shape((1, 3, 3), "index"), no_training)
    y = step.apply(np.array(X, np.int32), draw(1))
    assert y.dtype == np.int32 and y.tolist() == [[expected]]


def test_angles_are_even_from_minus_to_plus() -> None:
    x = np.zeros((400, 1, 101, 101), np.float32)
    x[:, :, 50, 90:] = 1  # a hand that points to the right
    y = apply({"rotate": 60}, x, draw(400))
    rows, columns = np.meshgrid(np.arange(101) - 50, np.arange(101) - 50, indexing="ij")
    angles = np.degrees(np.arctan2(-(y[:, 0] * rows).sum((1, 2)), (y[:, 0] * columns).sum((1, 2))))
    assert np.allclose(angles, 120 * draw(400).uniform(1)[:, 0] - 60, atol=0.5)
    assert abs(angles.mean()) < 5 and angles.min() < -55 and angles.max() > 55


def moved(x: Any, **keys: Any) -> Any:
    """A warp by a given map."""
    from dltrain.data.warp import NO_FIELD

    class Given(Affine):
        def places(self, height: int, width: int, u: Any) -> Any:
            angle, lean, factor, shift = (np.asarray(keys.get(name, [plain])) for name, plain in
                                          (("angle", 0.0), ("lean", 0.0), ("factor", 1.0), ("shift", (0.0, 0.0))))  # fmt: skip
            return linear(np.radians(angle), np.radians(lean), factor, shift, height, width), NO_FIELD

    step = Given(mode=keys.get("mode", "constant"), value=keys.get("value", 0.0))
    step.setup(Shape(np.shape(x)[1:]), no_training)
    return step.apply(np.asarray(x, np.float32), draw(1))


def test_shift_scale_and_shear_by_hand() -> None:
    assert moved(X, shift=[(1.0, 0.0)]).tolist() == [[[[0, 0, 0], [1, 2, 3], [4, 5, 6]]]]
    assert moved(X, shift=[(0.0, -1.0)], value=5.0).tolist() == [[[[2, 3, 5], [5, 6, 5], [8, 9, 5]]]]
    assert moved(X, shift=[(0.0, 0.5)]).tolist() == [[[[0.5, 1.5, 2.5], [2, 4.5, 5.5], [3.5, 7.5, 8.5]]]]
    assert moved(X, shift=[(0.0, 2.0)], mode="reflect").tolist() == [[[[3, 2, 1], [6, 5, 4], [9, 8, 7]]]]
    assert moved(X, shift=[(0.0, 5.0)], mode="edge").tolist() == [[[[1, 1, 1], [4, 4, 4], [7, 7, 7]]]]
    assert moved([[[[0, 0, 0, 4, 0, 0, 0]]]], factor=[2.0]).tolist() == [[[[0, 0, 2, 4, 2, 0, 0]]]]
    assert np.allclose(moved(X, lean=[45.0]), [[[[0, 1, 2], [4, 5, 6], [8, 9, 0]]]])  # above to the right, below to the left
    turned = moved(X, angle=[90.0], lean=[45.0], mode="edge")  # leaned first, then turned
    assert np.allclose(turned, np.rot90(moved(X, lean=[45.0], mode="edge"), axes=(2, 3)), atol=1e-5)


def test_affine_draws_each_amount_from_its_own_number() -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 9, 9)).astype(np.float32)
    text = {"affine": [10, 20], "shear": [-5, 5], "scale": 2, "shift": 0.25}
    u = draw(1).uniform(5)[0]
    keys = {
        "angle": [10 + 10 * u[0]],
        "lean": [10 * u[1] - 5],
        "factor": [2 ** (2 * u[2] - 1)],
        "shift": [9 * (u[3:5] - 0.5) / 2],
    }
    assert np.allclose(apply(text, x, draw(1)), moved(x, mode="reflect", **keys), atol=1e-5)
    assert np.array_equal(apply("affine", x, draw(1)), x)


def test_elastic_moves_by_alpha_and_is_smooth() -> None:
    """Of a picture that says where its pixels are, the displacements can be read off."""
    height, width = 40, 50
    x = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))[None].repeat(30, axis=0).astype(np.float32)
    fields = {alpha: apply({"elastic": alpha, "sigma": 3}, x, draw(30)) - x for alpha in (1, 2)}
    inner = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert np.allclose(2 * fields[1][inner], fields[2][inner], atol=1e-4)
    spread = fields[1][inner].std()  # of numbers even in [-1, 1), under a Gaussian: sqrt(1/3) / (2 sqrt(pi) sigma)
    assert spread == pytest.approx(np.sqrt(1 / 3) / (2 * np.sqrt(np.pi) * 3), rel=0.1)
    assert abs(np.diff(fields[1][inner], axis=3)).max() < 0.1
    assert np.array_equal(apply({"elastic": 0, "sigma": 3}, x, draw(30)), x)


def test_refusals() -> None:
    refuses({"rotate": [3, 1]}, (1, 4, 4), "degrees", "rotate: degrees needs one number, or [low, high]")
    refuses({"rotate": 3}, (4,), "", "rotate: needs an image (C x H x W), not 4")
    refuses({"affine": 3, "scale": 0}, (1, 4, 4), "scale", "affine: scale must be above 0")
    refuses({"affine": 3, "shear": 90}, (1, 4, 4), "shear", "affine: shear must be between -90 and 90 degrees")
    refuses({"elastic": 3, "sigma": 101}, (1, 4, 4), "sigma", "elastic: sigma is in pixels, at most 100")
    assert mistake({"elastic": -1}) == "'alpha' must be at least 0, not -1"
    assert mistake({"rotate": 9, "mode": "mirror"}).startswith("'mode' cannot be 'mirror'; known: constant, edge, reflect")
