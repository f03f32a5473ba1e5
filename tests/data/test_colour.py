"""Colour, lighting, grey, blur and sharpen: pixels worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

import dltrain.data  # noqa: F401  fills the registry
from dltrain.data.colour import GREY, Lighting, faded, turns
from dltrain.errors import Refusal
from dltrain.source import Shape
from tests.fixtures.steps import apply, draw, mistake, no_training, refuses

PIXEL = np.array([200.0, 100.0, 50.0]).reshape(1, 3, 1, 1)
LIGHT = 0.299 * 200 + 0.587 * 100 + 0.114 * 50  # 124.2


def test_brightness_contrast_and_saturation_follow_the_draw() -> None:
    x = np.concatenate([PIXEL, 0 * PIXEL], axis=3)  # mean brightness 62.1
    b, c, s, _ = 0.5 + draw(1).uniform(4)[0]
    assert np.allclose(apply({"colour": 0.5}, x, draw(1)), b * x)
    m = b * LIGHT / 2
    assert np.allclose(apply({"colour": 0.5, "contrast": 0.5}, x, draw(1)), m + c * (b * x - m), rtol=1e-5)
    assert np.allclose(apply({"colour": 0, "saturation": 0.5}, PIXEL, draw(1)), LIGHT + s * (PIXEL - LIGHT), rtol=1e-5)
    one = apply({"colour": 0.5, "contrast": 0.5}, x[:, :1], draw(1))  # a grey picture: its own mean
    assert np.allclose(one, b * 100 + c * (b * x[:, :1] - b * 100), rtol=1e-5)


def test_hue_turns_colours_and_leaves_brightness_and_greys() -> None:
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 4, 4))
    y = apply({"colour": 0, "hue": 0.5}, x, draw(1))
    assert np.allclose(np.tensordot(GREY, y[0], 1), np.tensordot(GREY, x[0], 1), atol=1e-3) and abs(y - x).max() > 10
    assert np.allclose(apply({"colour": 0, "hue": 0.5}, np.full((1, 3, 2, 2), 90.0), draw(1)), 90)
    assert np.allclose(turns(np.array([1.0])), np.eye(3)) and np.allclose(turns(np.array([0.0])), np.eye(3))
    third = turns(np.array([1 / 3]))[0]
    assert np.allclose(third @ third @ third, np.eye(3))
    assert np.allclose(turns(np.array([0.5]))[0] @ PIXEL.ravel(), 2 * LIGHT - PIXEL.ravel())  # the opposite colour
    assert np.allclose(faded(np.array([0.0]))[0] @ PIXEL.ravel(), LIGHT)


def test_lighting_goes_along_the_axes_of_the_colours_in_train() -> None:
    rng = np.random.default_rng(0)
    axes = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])  # rows: directions
    pixels = (rng.standard_normal((4000, 3)) * [9, 3, 1]) @ axes + 100
    x = pixels.reshape(40, 10, 10, 3).transpose(0, 3, 1, 2).astype(np.float32)
    step = Lighting(amount=0.1)
    step.setup(Shape((3, 10, 10)), lambda: iter([x[:30], list(x[30:])]))
    found = step.state()["axes"]
    assert np.allclose(np.abs(axes @ found), np.diag([9, 3, 1])[:, ::-1], atol=0.35)
    again = Lighting(amount=0.1)
    again.restore(step.state())
    again.setup(Shape((3, 10, 10)), no_training)
    many = np.zeros((3000, 3, 1, 1), np.float32)
    y = again.apply(many, draw(3000))[:, :, 0, 0]
    assert np.allclose((y @ axes.T).std(axis=0), [0.9, 0.3, 0.1], rtol=0.1)
    assert np.array_equal(step.apply(many, draw(3000))[:, :, 0, 0], y)
    refused = Lighting()
    refused.restore(step.state())
    with pytest.raises(Refusal, match="lighting: computed for 3 channels, but this field is 1 x 10 x 10"):
        refused.setup(Shape((1, 10, 10)), no_training)


def test_grey() -> None:
    assert np.allclose(apply({"grey": 1}, PIXEL), LIGHT)
    assert np.allclose(apply({"grey": 3}, PIXEL), np.full((1, 3, 1, 1), LIGHT))


def test_blur_by_hand() -> None:
    x = np.zeros((1, 1, 1, 17))
    x[..., 8] = 1
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    y = apply({"blur": [1, 1]}, x, draw(1))[0, 0, 0]
    assert np.allclose(y[5:12], weights / weights.sum()) and y[4] == y[12] == 0
    x = np.zeros((1, 1, 17, 17))
    x[..., 8, 8] = 1
    assert np.allclose(apply({"blur": [1, 1]}, x, draw(1))[0, 0], np.outer(y, y), atol=1e-7)
    assert np.allclose(apply({"blur": 5}, np.full((3, 2, 6, 7), 4.0), draw(3)), 4)  # the border draws nothing in


def test_blur_draws_its_width() -> None:
    x = np.zeros((50, 1, 1, 61))
    x[..., 30] = 1
    y = apply({"blur": 4}, x, draw(50))[:, 0, 0]
    width = np.sqrt((y * (np.arange(61) - 30) ** 2).sum(axis=1))
    wanted = 4 * draw(50).uniform(1)[:, 0]
    assert np.allclose(width[wanted > 0.5], wanted[wanted > 0.5], rtol=0.05)


def test_sharpen_by_hand() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 8, 8))
    smooth, a = apply({"blur": [2, 2]}, x, draw(1)), 3 * draw(1).uniform(1)[0, 0]
    assert np.allclose(apply({"sharpen": 3, "sigma": 2}, x, draw(1)), x + a * (x - smooth), atol=1e-5)


def test_refusals() -> None:
    refuses({"colour": 0.1, "hue": 0.1}, (1, 4, 4), "hue", "colour: needs red, green and blue, not 1 channel")
    refuses({"colour": 0.1, "saturation": 0.1}, (4, 4, 4), "saturation", "colour: needs red, green and blue, not 4 channels")
    refuses("grey", (1, 4, 4), "", "grey: needs red, green and blue, not 1 channel")
    refuses({"blur": -1}, (1, 4, 4), "sigma", "blur: sigma is in pixels, between 0 and 100")
    refuses({"blur": 1}, Shape((1, 4, 4), "index"), "top", "blur: cannot be done with classes")
    refuses({"sharpen": 1}, (4,), "", "sharpen: needs an image (C x H x W), not 4")
    assert mistake({"grey": 2}) == "'channels' cannot be 2; known: 1, 3"
    assert mistake({"colour": 0, "hue": 0.6}) == "'hue' must be at most 0.5, not 0.6"
