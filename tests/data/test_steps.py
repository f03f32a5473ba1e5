"""What every step of a transform keeps to: shapes, types, the same for a sample whatever batch it is in, labels that move along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.data  # noqa: F401  fills the registry
from dltrain.chain import Chain
from dltrain.registry import TRANSFORMS
from dltrain.source import ANY_SIZE, Draw, Shape, Step

STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "resize down": ("resize", {"size": (9, 7)}),
    "resize up": ("resize", {"size": (40, 31)}),
    "resize across": ("resize", {"size": (40, 7)}),
    "resize bicubic": ("resize", {"size": (9, 31), "mode": "bicubic"}),
    "resize area": ("resize", {"size": (9, 31), "mode": "area"}),
    "resize nearest": ("resize", {"size": (9, 31), "mode": "nearest"}),
    "resize short": ("resize", {"size": (20,), "side": "short"}),
    "crop": ("crop", {"size": (11, 12)}),
    "crop centre": ("crop", {"size": (11, 12), "at": "centre"}),
    "crop there": ("crop", {"size": (11, 12), "at": (2, 1)}),
    "crop_resize": ("crop_resize", {"size": (12,)}),
    "pad": ("pad", {"margin": (3, 2)}),
    "pad size": ("pad", {"size": (33, 40), "mode": "reflect"}),
    "mirror": ("mirror", {}),
    "mirror vertical": ("mirror", {"axis": "vertical"}),
    "rotate": ("rotate", {"degrees": (30.0,)}),
    "affine": ("affine", {"rotate": (9.0,), "shear": (10.0,), "scale": (1.3,), "shift": 0.2, "mode": "edge"}),
    "elastic": ("elastic", {"alpha": 20.0, "sigma": 3.0}),
    "colour": ("colour", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}),
    "grey": ("grey", {}),
    "blur": ("blur", {"sigma": (2.0,)}),
    "sharpen": ("sharpen", {"amount": 2.0}),
    "noise": ("noise", {"amount": 9.0}),
    "noise uniform": ("noise", {"amount": 9.0, "kind": "uniform"}),
    "noise salt": ("noise", {"amount": 0.1, "kind": "salt"}),
    "cut_out": ("cut_out", {"size": (5,), "count": 2}),
    "scale": ("scale", {"value": 0.5}),
    "mean": ("mean", {"value": (1.0, 2.0, 3.0)}),
    "mean channel": ("mean", {"value": "channel"}),
    "std": ("std", {"value": (1.0, 2.0, 3.0)}),
    "std channel": ("std", {"value": "channel"}),
    "lighting": ("lighting", {"amount": 0.5}),
    "normalise": ("normalise", {}),
    "clip": ("clip", {"range": (10.0, 200.0)}),
    "log": ("log", {"offset": 1.0}),
    "permute": ("permute", {"axes": (1, 2, 0)}),
}  # fmt: skip
ONE_SIZE: dict[str, tuple[str, dict[str, Any]]] = {
    "whiten": ("whiten", {"epsilon": 1.0}),
    "whiten pca": ("whiten", {"mode": "pca", "components": 30, "epsilon": 1.0}),
    "mean image": ("mean", {"value": "image"}),
    "std image": ("std", {"value": "image"}),
    "flatten": ("flatten", {}),
}
RANDOM = ("crop_resize", "mirror", "rotate", "affine", "elastic", "colour", "blur", "sharpen", "noise", "cut_out", "lighting")


def pictures(count: int, height: int = 24, width: int = 26) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, 3, height, width)).astype(np.float32)


def draw(indices: Any, seed: int = 1) -> Draw:
    return Draw(seed, "transform 0", np.zeros(len(indices)), np.asarray(indices))


def made(words: tuple[str, dict[str, Any]]) -> Step:
    step = TRANSFORMS[words[0]](**words[1])
    assert isinstance(step, Step)
    return step


def stacked(y: Any) -> Any:
    return np.stack(y) if isinstance(y, list) else y


@pytest.mark.parametrize("words", {**STEPS, **ONE_SIZE}.values(), ids=list({**STEPS, **ONE_SIZE}))
@pytest.mark.parametrize("drawn", [False, True], ids=["test", "train"])
def test_a_sample_is_the_same_in_every_batch(words: tuple[str, dict[str, Any]], drawn: bool) -> None:
    step, x = made(words), pictures(21, *((8, 9) if words[0] == "whiten" else ()))
    before = x.copy()
    promised = step.setup(Shape(x.shape[1:]), lambda: iter([x[:8], x[8:]]))
    whole = stacked(step.apply(x, draw(range(21)) if drawn else None))
    assert whole.shape == (21, *promised) and whole.dtype == np.float32
    assert np.array_equal(x, before)
    for rows in ([3], [20, 0, 5], list(range(20, 3, -1))):
        part = stacked(step.apply(x[rows], draw(rows) if drawn else None))
        assert np.array_equal(part, whole[rows])


@pytest.mark.parametrize("words", STEPS.values(), ids=list(STEPS))
@pytest.mark.parametrize("drawn", [False, True], ids=["test", "train"])
def test_samples_one_by_one_are_those_of_the_batch(words: tuple[str, dict[str, Any]], drawn: bool) -> None:
    """Also from bytes that lie as a decoder leaves them: channels last, read-only."""
    step, x = made(words), pictures(6)
    step.setup(Shape(x.shape[1:]), lambda: iter([x]))
    u = draw(range(6)).uniform(step.numbers) if step.numbers else np.empty((6, 0))
    whole = stacked(step.apply(x, draw(range(6)) if drawn else None))
    assert step.one_by_one
    for n, sample in enumerate(x):
        decoded = np.ascontiguousarray(sample.transpose(1, 2, 0).astype(np.uint8))
        decoded.flags.writeable = False
        for one in (sample, decoded.transpose(2, 0, 1)):
            assert np.array_equal(step.one(one, u[n] if drawn else None), whole[n])


@pytest.mark.parametrize("name", RANDOM)
def test_random_steps_draw_in_train_alone(name: str) -> None:
    step, x = made(STEPS[name]), pictures(8)
    step.setup(Shape(x.shape[1:]), lambda: iter([x]))
    first, again, other = (stacked(step.apply(x, draw(range(8), seed))) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    if name != "crop_resize":
        assert step.apply(x, None) is x


def chain(steps: list[tuple[str, dict[str, Any]]], fields: dict[str, Shape]) -> Chain:
    def nothing(links: Any, top: str) -> Any:
        raise AssertionError("nothing is computed over the training split here")

    return Chain([made(words) for words in steps], "train", fields, {}, nothing)


MOVING = [name for name, (step, _) in STEPS.items() if TRANSFORMS[step].moves]


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("sizes", ["alike", "differing"])
def test_a_label_image_moves_with_its_picture(name: str, sizes: str) -> None:
    """Where the picture is wholly black or white after the step, the class says the same; classes are never mixed."""
    rng = np.random.default_rng(0)
    labels = [np.kron(rng.integers(0, 2, (1, 3, 4)), np.ones((1, 9, 8))).astype(np.int32) * 2 for _ in range(8)]
    height = width = ANY_SIZE
    if sizes == "alike":
        height, width = 27, 32
    else:
        labels = [label[:, : 27 - n, n:] for n, label in enumerate(labels)]
    fields = {"data": Shape((3, height, width)), "label": Shape((1, height, width), "index")}
    made = chain([STEPS[name], *([("pad", {"size": (50,)})] if sizes == "differing" else [])], fields)
    data: Any = [np.repeat(label * 100, 3, axis=0).astype(np.uint8) for label in labels]
    batch = {"data": data, "label": labels}
    if sizes == "alike":
        batch = {"data": np.stack(data).astype(np.float32), "label": np.stack(labels)}
    for epochs in (None, np.zeros(8)):
        out = made.run(dict(batch), 1, np.arange(8), epochs)
        picture, label = out["data"][:, :1], out["label"]
        assert picture.dtype == np.float32 and label.dtype == np.int32 and picture.shape == label.shape
        assert set(np.unique(label)) == {0, 2}
        assert (label[picture < 1] == 0).all() and (label[picture > 199] == 2).all()
        assert ((picture < 1) | (picture > 199)).mean() > 0.5


def test_a_label_of_another_size_stays_where_it_is() -> None:
    fields = {"data": Shape((1, 8, 8)), "label": Shape((), "index"), "small": Shape((1, 2, 2), "index")}
    made = chain([("resize", {"size": (4,)}), ("mirror", {"probability": 1.0})], fields)
    batch = {"data": np.zeros((2, 1, 8, 8), np.float32), "label": np.arange(2), "small": np.arange(8).reshape(2, 1, 2, 2)}
    out = made.run(batch, 1, np.arange(2), np.zeros(2))
    assert out["small"].ravel().tolist() == list(range(8)) and out["data"].shape == (2, 1, 4, 4)


sides = some.integers(1, 12)
SMALL = ("resize down", "resize bicubic", "resize area", "resize short", "pad", "rotate", "affine", "elastic", "blur", "sharpen",
         "colour", "noise salt", "cut_out", "crop_resize", "normalise")  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(name=some.sampled_from(SMALL), height=sides, width=sides, seed=some.integers(0, 99))
def test_any_size_will_do_down_to_one_pixel(name: str, height: int, width: int, seed: int) -> None:
    step, x = made(STEPS[name]), pictures(3, height, width)
    promised = step.setup(Shape(x.shape[1:]), lambda: iter([x]))
    varying = made(STEPS[name])
    varying.setup(Shape((3, ANY_SIZE, ANY_SIZE)), lambda: iter([list(x)]))
    for drawn in (None, draw(range(3), seed)):
        y = stacked(step.apply(x, drawn))
        assert y.shape == (3, *promised) and np.isfinite(y).all()
        assert np.array_equal(stacked(Step.apply(varying, list(x), drawn)), y)
