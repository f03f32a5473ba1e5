"""Each layer type of Caffe's as a line: the keys, Caffe's defaults where ours differ, parameters and their fillers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dltrain.translate.caffe_layers import KINDS, SOURCES
from tests.fixtures.caffe_import import net

CLASSES = 'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }\n'
LINES: list[tuple[str, str, dict[str, Any]]] = [  # type, the rest of the layer, what the line says besides name and type
    ("AbsVal", "", {}),
    ("ArgMax", "argmax_param { top_k: 2 axis: 1 }", {"top_k": 2, "axis": 1}),
    ("BatchNorm", "", {"affine": False}),
    ("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.1 }", {"use_global_stats": True, "eps": 0.1, "affine": False}),
    ("Bias", "bias_param { axis: 1 num_axes: 2 }", {"num_axes": 2}),
    ("BNLL", "", {}),
    ("Clip", "clip_param { min: -1 max: 2 }", {"min": -1, "max": 2}),
    ("Concat", "concat_param { concat_dim: 2 }", {"axis": 2}),
    ("Convolution", "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 pad_h: 1 stride: 2 group: 3 bias_term: false dilation: 1 }",
     {"num_output": 6, "kernel_size": [3, 2], "stride": 2, "pad": [1, 0], "group": 3, "bias_term": False}),
    ("ConvolutionDepthwise", "convolution_param { num_output: 3 kernel_size: 3 group: 3 }", {"num_output": 3, "kernel_size": 3, "group": 3}),
    ("Deconvolution", "convolution_param { num_output: 2 kernel_size: 4 stride: 2 dilation: 2 }",
     {"num_output": 2, "kernel_size": 4, "stride": 2, "dilation": 2}),
    ("Dropout", "dropout_param { dropout_ratio: 0.3 }", {"dropout_ratio": 0.3}),
    ("ELU", "elu_param { alpha: 0.5 }", {"alpha": 0.5}),
    ("Exp", "exp_param { base: 2 scale: 3 shift: 1 }", {"base": 2, "scale": 3, "shift": 1}),
    ("Flatten", "flatten_param { axis: 2 end_axis: 3 }", {"axis": 2, "end_axis": 3}),
    ("Im2col", "convolution_param { kernel_size: 3 pad: 1 }", {"kernel_size": 3, "pad": 1}),
    ("InnerProduct", "inner_product_param { num_output: 4 axis: 2 transpose: true }", {"num_output": 4, "axis": 2, "transpose": True}),
    ("Log", "log_param { shift: 300 }", {"shift": 300}),
    ("LRN", "lrn_param { local_size: 3 alpha: 2 k: 3 norm_region: WITHIN_CHANNEL }",
     {"local_size": 3, "alpha": 2, "k": 3, "norm_region": "within_channel"}),
    ("MVN", "mvn_param { across_channels: true normalize_variance: false }", {"normalize_variance": False, "across_channels": True}),
    ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", {"order": [0, 2, 3, 1]}),
    ("Pooling", "pooling_param { kernel_size: 3 stride_h: 2 stride_w: 1 pad: 1 }",
     {"pool": "max", "kernel_size": 3, "stride": [2, 1], "pad": 1}),
    ("Pooling", "pooling_param { pool: AVE global_pooling: true }", {"pool": "mean", "global_pooling": True}),
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 round_mode: FLOOR }",
     {"pool": "stochastic", "kernel_size": 2, "round": "floor"}),
    ("Pooling", "pooling_param { kernel_size: 2 ceil_mode: false }", {"pool": "max", "kernel_size": 2, "round": "floor"}),
    ("Power", "power_param { power: 2 scale: 0.5 shift: 1 }", {"power": 2, "scale": 0.5, "shift": 1}),
    ("PReLU", "prelu_param { channel_shared: true }", {"channel_shared": True}),
    ("Reduction", "reduction_param { operation: ASUM axis: 1 coeff: 2 }", {"operation": "asum", "axis": 1, "coeff": 2}),
    ("ReLU", "relu_param { negative_slope: 0.1 engine: CUDNN }", {"negative_slope": 0.1}),
    ("Reshape", "reshape_param { shape { dim: 2 dim: -1 dim: 4 } }", {"shape": [0, -1, 4]}),
    ("Reshape", "reshape_param { shape { dim: 3 dim: 64 } axis: 1 num_axes: 3 }", {"shape": [3, 64], "axis": 1, "num_axes": 3}),
    ("Scale", "scale_param { axis: 1 num_axes: 3 bias_term: true }", {"num_axes": 3, "bias_term": True}),
    ("Sigmoid", "", {}),
    ("Softmax", "softmax_param { axis: 2 }", {"axis": 2}),
    ("SPP", "spp_param { pyramid_height: 2 pool: AVE }", {"pyramid_height": 2, "pool": "mean"}),
    ("Swish", "swish_param { beta: 2 }", {"beta": 2}),
    ("TanH", "", {}),
    ("Threshold", "threshold_param { threshold: 3 }", {"threshold": 3}),
    ("Tile", "tile_param { tiles: 2 axis: 2 }", {"axis": 2, "tiles": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "keys"), LINES, ids=[f"{kind}-{number}" for number, (kind, _, _) in enumerate(LINES)])
def test_a_layer_as_a_line(kind: str, words: str, keys: dict[str, Any], tmp_path: Path) -> None:
    shape = "dim: 2 dim: 3 dim: 8 dim: 8"
    made = net(tmp_path, f'layer {{ name: "l" type: "{kind}" bottom: "data" top: "l" {words} }}', shape)
    ours = "Convolution" if kind == "ConvolutionDepthwise" else kind
    assert made.lines["l"] == {"name": "l", "type": ours, **keys}
    assert made.report["built"]


JUDGED = [
    ("SoftmaxWithLoss", "", {}),
    ("SoftmaxWithLoss", "loss_param { normalize: false ignore_label: 9 }", {"normalization": "batch_size", "ignore_label": 9}),
    ("SoftmaxWithLoss", "loss_param { normalization: FULL normalize: false }", {"normalization": "full"}),
    ("SoftmaxWithLoss", "loss_weight: 0.5", {"loss_weight": 0.5}),
    ("HingeLoss", "hinge_loss_param { norm: L2 }", {"norm": "L2"}),
    ("MultinomialLogisticLoss", "", {}),
    ("Accuracy", "accuracy_param { top_k: 2 ignore_label: 1 }", {"top_k": 2, "ignore_label": 1}),
]


@pytest.mark.parametrize(("kind", "words", "keys"), JUDGED)
def test_losses_and_metrics(kind: str, words: str, keys: dict[str, Any], tmp_path: Path) -> None:
    made = net(
        tmp_path, f'{CLASSES}layer {{ name: "l" type: "{kind}" bottom: "data" bottom: "y" top: "l" {words} }}', "dim: 2 dim: 5"
    )
    assert made.lines["l"] == {"name": "l", "type": kind, "bottom": ["data", "y"], **keys}
    assert made.config["data"]["source"]["classes"] == {"y": 1000}


PAIRED = [
    ("EuclideanLoss", "loss_weight: 2", {"loss_weight": 2}),
    ("SigmoidCrossEntropyLoss", "", {}),
    ("SigmoidCrossEntropyLoss", "loss_param { normalize: true }", {"normalization": "valid"}),
    ("SmoothL1Loss", "smooth_l1_loss_param { sigma: 3 }", {"sigma": 3}),
    ("Eltwise", "eltwise_param { operation: PROD }", {"operation": "prod"}),
    ("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", {"operation": "sum", "coeff": [1, -1]}),
    ("Crop", "crop_param { axis: 1 offset: 0 }", {"axis": 1}),
    ("Scale", "scale_param { axis: 0 }", {"axis": 0}),
    ("Filter", "", {}),
]


@pytest.mark.parametrize(("kind", "words", "keys"), PAIRED)
def test_layers_of_two_bottoms(kind: str, words: str, keys: dict[str, Any], tmp_path: Path) -> None:
    second = 'layer {{ name: "z" type: "Input" top: "z" input_param {{ shape {{ {} }} }} }}\n'
    shape = second.format("dim: 2" if kind == "Filter" else "dim: 2 dim: 5")
    made = net(
        tmp_path, f'{shape}layer {{ name: "l" type: "{kind}" bottom: "data" bottom: "z" top: "l" {words} }}', "dim: 2 dim: 5"
    )
    assert made.lines["l"] == {"name": "l", "type": kind, "bottom": ["data", "z"], **keys}


def test_every_type_is_tried() -> None:
    tried = {kind for table in (LINES, JUDGED, PAIRED) for kind, _, _ in table}
    elsewhere = {"BatchReindex", "ContrastiveLoss", "DummyData", "Embed", "InfogainLoss", "LSTM", "NearestUpsample", "Parameter", "RNN", "ReLU6",
                 "ROIPooling", "Silence", "Slice", "MaxUnpooling"}  # fmt: skip
    assert set(KINDS) - tried == elsewhere
    assert set(SOURCES) == {"Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "Input", "WindowData", "AnnotatedData"}


def test_further_tops_have_roles(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" slice_param { axis: 1 } }
        layer { name: "pool" type: "Pooling" bottom: "c" top: "p" top: "where" pooling_param { kernel_size: 2 } }
        layer { name: "both" type: "Split" bottom: "b" top: "b1" top: "b2" }
        layer { name: "sum" type: "Eltwise" bottom: "b1" bottom: "b2" top: "sum" }
        layer { name: "hush" type: "Silence" bottom: "where" bottom: "data" }
        layer { name: "x" type: "Power" bottom: "a" top: "x" }""")  # fmt: skip
    assert made.lines["cut"]["tops"] == 3 and made.lines["pool"]["bottom"] == "cut.2"
    assert made.lines["sum"]["bottom"] == ["cut.1", "cut.1"] and made.lines["hush"]["bottom"] == "pool.mask"
    assert made.lines["x"]["bottom"] == "cut" and "both" not in made.lines


def test_one_layer_over_two_bottoms_is_two_lines(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "r" type: "ReLU" bottom: "data" top: "r" }
        layer { name: "c" type: "Convolution" bottom: "data" bottom: "r" top: "c1" top: "c2" convolution_param { num_output: 2 kernel_size: 1 } }
        layer { name: "s" type: "Eltwise" bottom: "c1" bottom: "c2" top: "s" }""")  # fmt: skip
    assert made.lines["c_2"] == {"name": "c_2", "type": "Convolution", "bottom": "r", "share": "c"}
    assert made.lines["s"]["bottom"] == ["c", "c_2"] and made.report["parameters"] == 8


def test_states_that_are_seen_from_outside(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 5 dim: 3 } } }
        layer { name: "h" type: "Input" top: "h" input_param { shape { dim: 1 dim: 3 dim: 6 } } }
        layer { name: "l" type: "LSTM" bottom: "data" bottom: "cont" bottom: "h" bottom: "h" top: "y" top: "hT" top: "cT"
                recurrent_param { num_output: 6 expose_hidden: true } }
        layer { name: "s" type: "Eltwise" bottom: "hT" bottom: "cT" top: "s" }""", "dim: 5 dim: 3 dim: 4")  # fmt: skip
    assert made.lines["l"]["bottom"] == {"x": "data", "cont": "cont", "h0": "h", "c0": "h"}
    assert made.lines["h"] == {"name": "h", "type": "Input", "shape": [1, 3, 6]} and "carry" not in made.lines["l"]
    assert made.lines["s"]["bottom"] == ["l.state", "l.cell"]


FILLERS = [
    ("", "constant"),
    ('type: "constant" value: 0.5', {"type": "constant", "value": 0.5}),
    ('type: "uniform" min: -1', {"type": "uniform", "min": -1}),
    ('type: "gaussian" std: 0.01 sparse: 7', {"type": "gaussian", "std": 0.01, "sparse": 7}),
    ('type: "xavier"', "xavier"),
    ('type: "msra" variance_norm: FAN_OUT', {"type": "msra", "variance_norm": "fan_out"}),
    ('type: "positive_unitball"', "positive_unitball"),
]
LOSS = '{}layer {{ name: "l" type: "{}" bottom: "data" top: "l" {} }} layer {{ name: "loss" type: "EuclideanLoss" bottom: "l" bottom: "l" top: "loss" }}'


@pytest.mark.parametrize(("words", "filler"), FILLERS)
def test_fillers_of_a_net_that_learns(words: str, filler: Any, tmp_path: Path) -> None:
    said = f"inner_product_param {{ num_output: 3 bias_term: false {f'weight_filler {{ {words} }}' if words else ''} }}"
    made = net(tmp_path, LOSS.format("", "InnerProduct", said))
    assert made.lines["l"]["param"] == {"weight": {"filler": filler}}


def test_rates_and_decay(tmp_path: Path) -> None:
    said = "param { lr_mult: 0 } param { lr_mult: 20 decay_mult: 0 } inner_product_param { num_output: 3 }"
    made = net(tmp_path, LOSS.format("", "InnerProduct", said))
    assert made.lines["l"]["param"] == {"weight": {"lr_mult": 0, "filler": "constant"}, "bias": {"lr_mult": 20}}


def test_a_filler_that_nobody_knows(tmp_path: Path) -> None:
    said = 'inner_product_param { num_output: 3 weight_filler { type: "diagonal" } }'
    made = net(tmp_path, LOSS.format("", "InnerProduct", said))
    assert made.lines["l"]["param"]["weight"] == {"filler": "xavier"}
    assert made.notes[:1] == [
        "'l' (InnerProduct, net.prototxt:2): weight: the filler 'diagonal' is not known; xavier stands in its place"
    ]


def test_a_net_without_a_loss_says_nothing_of_learning(tmp_path: Path) -> None:
    made = net(
        tmp_path,
        'layer { name: "l" type: "InnerProduct" bottom: "data" top: "l" param { lr_mult: 3 } inner_product_param { num_output: 3 } }',
    )
    assert made.lines["l"] == {"name": "l", "type": "InnerProduct", "num_output": 3}


def test_fields_of_forks_are_told(tmp_path: Path) -> None:
    made = net(tmp_path, 'layer { name: "c" type: "ReLU" bottom: "data" top: "c" relu_param { slope: 3 } odd: 1 }')
    assert made.notes == [
        f"'c' (ReLU, net.prototxt:2): {name} is no field of Caffe's, and is left out" for name in ("odd", "relu_param.slope")
    ]


def test_a_dropout_of_nothing_is_no_line(tmp_path: Path) -> None:
    made = net(
        tmp_path,
        """layer { name: "d" type: "Dropout" bottom: "data" top: "d" dropout_param { dropout_ratio: 0 } }
        layer { name: "r" type: "ReLU" bottom: "d" top: "r" }""",
    )
    assert made.lines == {"r": {"name": "r", "type": "ReLU"}}


def test_made_up_data_beside_others(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "m" type: "DummyData" top: "a" top: "b"
                dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 1 } data_filler { type: "gaussian" } data_filler { value: 3 } } }
        layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "a" top: "sum" }
        layer { name: "times" type: "Scale" bottom: "sum" bottom: "b" top: "times" scale_param { axis: 0 } }""")  # fmt: skip
    assert made.lines["m"] == {"name": "m", "type": "DummyData", "shape": [3, 8, 8], "data_filler": "gaussian", "bottom": "data"}
    assert made.lines["m_2"] == {
        "name": "m_2",
        "type": "DummyData",
        "shape": [1],
        "data_filler": {"type": "constant", "value": 3},
    }
    assert made.lines["times"]["bottom"] == ["sum", "m_2"]
