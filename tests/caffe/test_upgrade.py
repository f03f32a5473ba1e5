"""Old nets and solvers in today's words: text to text, and what the original Caffe makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dltrain.caffe.message import Message
from dltrain.caffe.schema import ENUMS, MESSAGES
from dltrain.caffe.text import parse_text, read_text, write_text
from dltrain.caffe.upgrade import PER_BLOB, V1_TYPES, upgrade_net, upgrade_solver
from dltrain.caffe.wire import read_wire, write_wire
from dltrain.errors import DataError
from tests.caffe.messages import plain

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "data"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")


def net(text: str) -> Message:
    return parse_text(text, "NetParameter", "net.prototxt")


def upgraded(text: str) -> Any:
    return plain(upgrade_net(net(text)))


V0 = """
name: "CaffeNet"
layers { layer { name: "data" type: "data" source: "/db" meanfile: "/mean" batchsize: 256 cropsize: 227 mirror: true scale: 0.5 rand_skip: 3 }
         top: "data" top: "label" }
layers { layer { name: "pad2" type: "padding" pad: 2 } bottom: "data" top: "pad2" }
layers { layer { name: "conv2" type: "conv" num_output: 256 group: 2 kernelsize: 5 stride: 1 biasterm: false
                 weight_filler { type: "gaussian" std: 0.01 } bias_filler { value: 1. } blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. }
         bottom: "pad2" top: "conv2" }
layers { layer { name: "pool2" type: "pool" kernelsize: 3 stride: 2 pool: AVE } bottom: "conv2" top: "pool2" }
layers { layer { name: "norm2" type: "lrn" local_size: 5 alpha: 0.0001 beta: 0.75 k: 2 } bottom: "pool2" top: "norm2" }
layers { layer { name: "fc8" type: "innerproduct" num_output: 1000 } bottom: "norm2" top: "fc8" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.2 } bottom: "fc8" top: "fc8" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "fc8" bottom: "label" }
"""
V2 = """
name: "CaffeNet"
layer { name: "data" type: "Data" top: "data" top: "label"
        data_param { source: "/db" batch_size: 256 rand_skip: 3 }
        transform_param { mean_file: "/mean" crop_size: 227 mirror: true scale: 0.5 } }
layer { name: "conv2" type: "Convolution" bottom: "data" top: "conv2"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 256 group: 2 kernel_size: 5 stride: 1 bias_term: false pad: 2
                            weight_filler { type: "gaussian" std: 0.01 } bias_filler { value: 1 } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 pool: AVE } }
layer { name: "norm2" type: "LRN" bottom: "pool2" top: "norm2" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 k: 2 } }
layer { name: "fc8" type: "InnerProduct" bottom: "norm2" top: "fc8" inner_product_param { num_output: 1000 } }
layer { name: "drop" type: "Dropout" bottom: "fc8" top: "fc8" dropout_param { dropout_ratio: 0.2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" }
"""


def test_v0() -> None:
    assert upgraded(V0) == plain(net(V2))


def test_a_net_of_today_stays_as_it_is_and_so_does_the_message_given() -> None:
    assert upgraded(V2) == plain(net(V2))
    given = net(V0)
    upgrade_net(given)
    assert plain(given) == plain(net(V0))


@pytest.mark.parametrize(("old", "new"), [
    ('type: "images" source: "l" batchsize: 5 shuffle_images: true new_height: 7 new_width: 8 rand_skip: 2',
     'type: "ImageData" image_data_param { source: "l" batch_size: 5 shuffle: true new_height: 7 new_width: 8 rand_skip: 2 }'),
    ('type: "window_data" source: "w" det_fg_threshold: .6 det_bg_threshold: .4 det_fg_fraction: .3 det_context_pad: 16 det_crop_mode: "square"',
     'type: "WindowData" window_data_param { source: "w" fg_threshold: .6 bg_threshold: .4 fg_fraction: .3 context_pad: 16 crop_mode: "square" }'),
    ('type: "hdf5_data" source: "h" batchsize: 5', 'type: "HDF5Data" hdf5_data_param { source: "h" batch_size: 5 }'),
    ('type: "hdf5_output" hdf5_output_param { file_name: "o" }', 'type: "HDF5Output" hdf5_output_param { file_name: "o" }'),
    ('type: "infogain_loss" source: "m"', 'type: "InfogainLoss" infogain_loss_param { source: "m" }'),
    ('type: "concat" concat_dim: 0', 'type: "Concat" concat_param { concat_dim: 0 }'),
    ('type: "pool" pad: 1', 'type: "Pooling" pooling_param { pad: 1 }'),
    ('type: "im2col"', 'type: "Im2col"'),
    ('type: "relu" pad: 1', 'type: "ReLU" pad: 1'),  # a setting that it never had: under its own name, to be told
    ('type: "mine" new_num: 2', 'type: "mine" new_num: 2'),
])  # fmt: skip
def test_settings_of_v0(old: str, new: str) -> None:
    assert upgraded(f'layers {{ layer {{ name: "a" {old} }} bottom: "x" }}') == plain(
        net(f'layer {{ name: "a" {new} bottom: "x" }}')
    )


@pytest.mark.parametrize(("layers", "message"), [
    ('layers { layer { name: "r" type: "relu" } bottom: "p" }',
     "layer 'r' .line 2.: comes behind a padding layer, which Caffe allows before conv and pool alone"),
    ('layers { layer { name: "r" type: "conv" } bottom: "p" bottom: "x" }', "layer 'r' .line 2.: it and the padding layer before it must have one"),
])  # fmt: skip
def test_padding_in_the_wrong_place(layers: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        upgraded(f'layers {{ layer {{ type: "padding" pad: 1 }} bottom: "x" top: "p" }}\n{layers}')


def test_v1() -> None:
    old = """layers { name: "i" type: INNER_PRODUCT bottom: "x" top: "i" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 param: "w" param: ""
                      blob_share_mode: PERMISSIVE inner_product_param { num_output: 5 } include { phase: TRAIN } loss_weight: 2 fork: 3 }"""
    new = """layer { name: "i" type: "InnerProduct" bottom: "x" top: "i"
                     param { lr_mult: 1 decay_mult: 1 name: "w" share_mode: PERMISSIVE } param { lr_mult: 2 name: "" }
                     inner_product_param { num_output: 5 } include { phase: TRAIN } loss_weight: 2 fork: 3 }"""
    assert upgraded(old) == plain(net(new))
    made = upgrade_net(net(f"\n\n{old}"))["layer"]
    assert (made.line, made.lines["fork"]) == (3, 4)


@pytest.mark.parametrize(
    ("type", "param"), [("DATA", "data_param"), ("IMAGE_DATA", "image_data_param"), ("WINDOW_DATA", "window_data_param")]
)
def test_mean_and_scale_of_data_move(type: str, param: str) -> None:
    old = f'layers {{ type: {type} {param} {{ source: "s" scale: 2 mean_file: "m" crop_size: 3 mirror: true }} transform_param {{ force_gray: true }} }}'
    new = (
        f'layer {{ type: "{V1_TYPES[type]}" {param} {{ source: "s" }}'
        ' transform_param { force_gray: true scale: 2 mirror: true crop_size: 3 mean_file: "m" } }'
    )
    assert upgraded(old) == plain(net(new))


def test_they_do_not_move_in_a_net_of_today_where_caffe_reads_past_them() -> None:
    text = 'layer { type: "Data" data_param { source: "s" scale: 2 } }'
    assert upgraded(text) == plain(net(text))


def test_every_type_of_v1_has_a_name_today() -> None:
    assert set(V1_TYPES) == set(ENUMS["V1LayerParameter.LayerType"]) and len(set(V1_TYPES.values())) == 40
    for old, new in V1_TYPES.items():
        assert upgraded(f"layers {{ type: {old} }}") == plain(net(f'layer {{ type: "{new}" }}'))
    assert upgraded("layers { type: CROP }")["layer"][0]["type"] == ["CROP"]  # a fork's


def test_every_field_of_v1_has_its_like_today() -> None:
    known = MESSAGES["LayerParameter"]
    for name, told in MESSAGES["V1LayerParameter"].items():
        if name not in (*PER_BLOB, "type", "layer"):
            assert (known[name].type, known[name].repeated) == (told.type, told.repeated), name


@pytest.mark.parametrize(("old", "new"), [
    ('input: "x" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5', 'top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } }'),
    ('input: "x" input_shape { dim: 1 dim: 7 }', 'top: "x" input_param { shape { dim: 1 dim: 7 } }'),
    ('input: "x" input_dim: [1, 2, 3, 4] input: "y" input_dim: [5, 6, 7, 8]',
     'top: "x" top: "y" input_param { shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } }'),
    ('input: "x" input: "y" input_shape { dim: 1 } input_shape { dim: 2 dim: 3 }',
     'top: "x" top: "y" input_param { shape { dim: 1 } shape { dim: 2 dim: 3 } }'),
    ('input: "x"', 'top: "x"'),
])  # fmt: skip
def test_inputs_of_the_net_become_a_layer_in_front(old: str, new: str) -> None:
    rest = 'layer { name: "r" type: "ReLU" bottom: "x" }'
    assert upgraded(f'name: "n" {rest} {old}') == plain(net(f'name: "n" layer {{ name: "input" type: "Input" {new} }} {rest}'))


@pytest.mark.parametrize(("text", "message"), [
    ('input: "x" input_dim: 1 input_dim: 2', "the net has 1 input and 2 input_dim; each input needs four of them"),
    ('input: "x" input_shape { } input_shape { }', "the net has 1 input and 2 input_shape; each input needs one"),
    ("layer { }\nlayers { }", r"the net has both 'layer' \(line 1, Caffe 1.0\) and 'layers' \(line 2, older\), which Caffe refuses"),
])  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        upgraded(text)


def test_batch_norm_with_three_params_is_out_of_the_solvers_reach() -> None:
    three = 'layer { type: "BatchNorm" param { lr_mult: 1 name: "m" } param { } param { decay_mult: 3 } }'
    none = 'layer { type: "BatchNorm" param { lr_mult: 0 decay_mult: 0 name: "m" } param { lr_mult: 0 decay_mult: 0 } param { decay_mult: 0 lr_mult: 0 } }'
    assert upgraded(three) == plain(net(none))
    two = 'layer { type: "BatchNorm" param { lr_mult: 1 } param { } }'
    assert upgraded(two) == plain(net(two))


@pytest.mark.parametrize(("old", "new"), [
    ("SGD", "SGD"), ("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"), ("RMSPROP", "RMSProp"), ("ADADELTA", "AdaDelta"), ("ADAM", "Adam"), ("3", "RMSProp"),
])  # fmt: skip
def test_solvers(old: str, new: str) -> None:
    solver = parse_text(f"base_lr: 1 solver_type: {old} net_param {{ layers {{ type: RELU }} }}", "SolverParameter", "s")
    made = upgrade_solver(solver)
    assert plain(made) == {"base_lr": [1.0], "type": [new], "net_param": [{"layer": [{"type": ["ReLU"]}]}]}


def test_a_solver_of_two_types_is_refused() -> None:
    with pytest.raises(
        DataError, match="the solver has both type and the older solver_type, which Caffe refuses; leave solver_type out"
    ):
        upgrade_solver(parse_text("type: 'SGD' solver_type: SGD", "SolverParameter", "s"))


@golden
@pytest.mark.parametrize("name", ["v0_net", "v1_net", "v1_data_net"])
def test_nets_as_caffe_upgrades_them(name: str) -> None:
    made = upgrade_net(read_text(GOLDEN / f"{name}.prototxt", "NetParameter"))
    assert plain(made) == plain(read_text(GOLDEN / f"{name}.upgraded.prototxt", "NetParameter"))
    assert plain(parse_text(write_text(made), "NetParameter", "n")) == plain(made)


@golden
def test_a_solver_and_weights_as_caffe_upgrades_them() -> None:
    made = upgrade_solver(read_text(GOLDEN / "old_solver.prototxt", "SolverParameter"))
    assert plain(made) == plain(read_text(GOLDEN / "old_solver.upgraded.prototxt", "SolverParameter"))
    weights = upgrade_net(read_wire(GOLDEN / "v1_weights.caffemodel", "NetParameter"))
    assert write_wire(weights) == (GOLDEN / "v1_weights.upgraded.caffemodel").read_bytes()
