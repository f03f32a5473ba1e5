"""Layers of Caffe's forks, imported: each computes what its fork does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.caffe.blobs import write_weights
from dltrain.engine import Engine
from dltrain.errors import DataError
from dltrain.ops.backend import Reference
from dltrain.sketch import fields_of
from dltrain.weights import load
from tests.fixtures.caffe_import import Brought, net, written

X = np.random.default_rng(7).standard_normal((2, 6, 4, 4)).astype(np.float32)
SIX = "dim: 2 dim: 6 dim: 4 dim: 4"


def computed(made: Brought, blob: str, phase: str = "test", **fields: Any) -> Any:
    config = configs.read(made.path, promise=fields_of, need_solver=False)
    engine = Engine(config.net, Reference(np.float32))
    engine.initialise(1)
    if config.weights is not None:
        load(engine, config.weights.file)
    engine.forward(phase, fields or {"data": X}, upto=(blob,))
    found = np.array(engine.blob(blob))
    engine.close()
    return found


def test_axpy_scales_channels_and_adds(tmp_path: Path) -> None:
    made = net(tmp_path, """layer { name: "g" type: "Pooling" bottom: "data" top: "g" pooling_param { pool: AVE global_pooling: true } }
        layer { name: "y" type: "Axpy" bottom: "g" bottom: "data" bottom: "data" top: "y" }""", SIX)  # fmt: skip
    np.testing.assert_allclose(computed(made, "y"), X.mean((2, 3), keepdims=True) * X + X, rtol=1e-5)


def test_channels_are_shuffled(tmp_path: Path) -> None:
    made = net(
        tmp_path,
        'layer { name: "y" type: "ShuffleChannel" bottom: "data" top: "y" shuffle_channel_param { group: 2 } }',
        SIX,
    )
    np.testing.assert_array_equal(computed(made, "y"), X[:, [0, 3, 1, 4, 2, 5]])


@pytest.mark.parametrize("shared", [True, False])
def test_the_norm_over_channels_has_a_learnt_scale(shared: bool, tmp_path: Path) -> None:
    text = f"""layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {SIX} }} }} }}
        layer {{ name: "y" type: "Normalize" bottom: "data" top: "y" norm_param {{ across_spatial: false
          channel_shared: {str(shared).lower()} scale_filler {{ type: "constant" value: 20 }} }} }}"""
    scale = np.arange(1, 2 if shared else 7, dtype=np.float32) * 3
    write_weights(tmp_path / "w.caffemodel", [("y", [scale])])
    made = Brought([written(tmp_path, text), tmp_path / "w.caffemodel"], tmp_path / "out")
    wanted = X / np.sqrt((X**2).sum(1, keepdims=True) + 1e-10) * scale.reshape(1, -1, 1, 1)
    np.testing.assert_allclose(computed(made, "y"), wanted, rtol=1e-5)
    assert made.lines["y/unit"]["local_size"] == 11


def test_a_norm_over_places_is_not_known(tmp_path: Path) -> None:
    text = 'layer { name: "y" type: "Normalize" bottom: "data" top: "y" } layer { name: "r" type: "ReLU" bottom: "y" top: "r" }'
    with pytest.raises(DataError, match=r"net.prototxt:2: 'y' \(Normalize\): there is no such layer here, and 'r' needs it"):
        net(tmp_path, text)


BN = """layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {six} }} }} }}
    layer {{ name: "y" type: "BN" bottom: "data" top: "data" param {{ lr_mult: 1 decay_mult: 0 }} bn_param {{
      scale_filler {{ type: "constant" value: 2 }} shift_filler {{ type: "constant" value: 0.5 }} {mode} }} }}"""


@pytest.mark.parametrize("mode", ["", "bn_mode: INFERENCE"])
def test_bn_of_segnet(mode: str, tmp_path: Path) -> None:
    scale, shift = np.arange(1, 7, dtype=np.float32).reshape(1, 6, 1, 1), np.full((1, 6, 1, 1), 0.25, np.float32)
    write_weights(tmp_path / "w.caffemodel", [("y", [scale, shift])])
    text = written(tmp_path, BN.format(six=SIX, mode=mode))
    made = Brought([text, tmp_path / "w.caffemodel"], tmp_path / "out")
    x = X if mode else (X - X.mean((0, 2, 3), keepdims=True)) / X.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(computed(made, "y"), x * scale + shift, rtol=1e-4, atol=1e-4)


def test_other_layers_called_bn_are_not_guessed_at(tmp_path: Path) -> None:
    text = """layer { name: "y" type: "BN" bottom: "data" top: "y" bn_param { frozen: true slope_filler { value: 1 } } }
        layer { name: "r" type: "ReLU" bottom: "y" top: "r" }"""
    with pytest.raises(DataError, match=r"'y' \(BN\): there is no such layer here, and 'r' needs it"):
        net(tmp_path, text, SIX)


def test_values_go_back_to_where_pooling_found_them(tmp_path: Path) -> None:
    made = net(tmp_path, """layer { name: "p" type: "Pooling" bottom: "data" top: "p" top: "m" pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "u" type: "Upsample" bottom: "p" bottom: "m" top: "u" upsample_param { scale: 2 upsample_h: 4 } }""", SIX)  # fmt: skip
    windows = X.reshape(2, 6, 2, 2, 2, 2)
    wanted = np.where(windows == windows.max((3, 5), keepdims=True), windows, 0).reshape(X.shape)
    np.testing.assert_array_equal(computed(made, "u"), wanted)
    assert not made.notes


def test_one_bottom_is_enlarged(tmp_path: Path) -> None:
    made = net(tmp_path, 'layer { name: "u" type: "Upsample" bottom: "data" top: "u" upsample_param { scale: 3 } }', SIX)
    np.testing.assert_array_equal(computed(made, "u"), X.repeat(3, 2).repeat(3, 3))
    text = 'layer { name: "u" type: "Upsample" bottom: "data" bottom: "data" top: "u" } layer { name: "r" type: "ReLU" bottom: "u" top: "r" }'
    with pytest.raises(DataError, match=r"'u' \(Upsample\): there is no such layer here"):
        net(tmp_path, text, SIX)


def test_a_dropout_that_scales_in_test(tmp_path: Path) -> None:
    text = (
        'layer { name: "d" type: "Dropout" bottom: "data" top: "data" dropout_param { dropout_ratio: 0.25 scale_train: false } }'
    )
    made = net(tmp_path, text, SIX)
    np.testing.assert_allclose(computed(made, "d/shrink"), 0.75 * X, rtol=1e-6)
    kept = computed(made, "d/shrink", "train")
    assert set(np.unique(np.isclose(kept, X, rtol=1e-5) | (kept == 0))) == {True} and 0 < (kept == 0).mean() < 0.5


def test_weights_inside_of_a_smooth_loss(tmp_path: Path) -> None:
    text = """layer { name: "data" type: "Python" top: "data" top: "t" top: "w" top: "v" python_param { module: "m" layer: "L" } }
        layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 5 } }
        layer { name: "l" type: "SmoothL1Loss" bottom: "a" bottom: "t" bottom: "w" bottom: "v" top: "l" loss_weight: 2 }"""
    made = Brought([written(tmp_path, text)], tmp_path / "out", shapes={"data": (3,)})
    assert made.config["data"]["source"]["shapes"] == {"data": [3], "t": [5], "w": [5], "v": []}
    assert made.lines["l"]["loss_weight"] == 2
    rng = np.random.default_rng(3)
    data, t, w = (rng.standard_normal((4, n)).astype(np.float32) for n in (3, 5, 5))
    d = np.abs(w * t)  # a begins at 0: Caffe's constant filler
    wanted = np.where(d < 1, d * d / 2, d - 0.5).sum() / 4
    np.testing.assert_allclose(computed(made, "l", data=data, t=t, w=w, v=np.zeros(4, np.float32)), wanted, rtol=1e-5)
    assert "'l' (SmoothL1Loss): its fourth bottom v is left out; the third weighs alone" in made.notes
