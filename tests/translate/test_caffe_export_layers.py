"""Every layer as one of Caffe's: read back it has the same keys, or it is refused by its name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

import dltrain.catalogue  # noqa: F401  fills the registry
from dltrain.caffe.message import Message
from dltrain.caffe.prototxt import write_text
from dltrain.caffe.text import parse_text
from dltrain.caffe.upgrade import upgrade_net
from dltrain.checks import adapter
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.translate.caffe_layers import KINDS, kind_of
from dltrain.translate.caffe_layers import keys_of as imported
from dltrain.translate.to_caffe_layers import FORKS, NAMED, Lacking, said
from tests.test_catalogue import BOTTOMS

ELSEWHERE = ("DummyData", "Input", "Split", *NAMED)  # that come back as something else: tests of their own below
CAFFES = [name for name in sorted(LAYERS) if name in KINDS and name not in (*FORKS, *ELSEWHERE)]
OURS = [name for name in sorted(LAYERS) if name not in CAFFES and name not in ELSEWHERE]


def shaped(shapes: Any) -> list[Shape]:
    return [Shape(shape, getattr(shape, "dtype", "float")) for shape in shapes]


def read_back(message: Message, tops: int = 1) -> Message:
    """The message as text and back."""
    message.put("name", "it")
    message.fields["top"] = [f"y{number}" for number in range(tops)]
    net = parse_text(write_text(Message("NetParameter").add("layer", message)), "NetParameter", "net.prototxt")
    made: Message = upgrade_net(net).all("layer")[0]
    return made


def again(layer: Any, shapes: list[Shape], tops: int = 1) -> Any:
    """The layer that import makes of what export has written."""
    message = read_back(said(layer, shapes), tops)
    kind = kind_of(message)
    assert kind is not None
    keys = {key: value for key, value in imported(message).items() if value is not None}
    return adapter(LAYERS[kind.type]).validate_json(json.dumps(keys), strict=True)


ROWS: list[tuple[str, dict[str, Any], Any]] = [
    ("Accuracy", {"top_k": 5, "ignore_label": 255}, [(6, 9), (6,)]), ("ArgMax", {"axis": 1, "top_k": 3}, [(2, 5)]),
    ("BatchNorm", {"affine": False, "eps": 1e-3, "moving_average_fraction": 0.9, "use_global_stats": False}, [(2, 3, 4)]),
    ("Concat", {"axis": 0}, [(2, 3)] * 2), ("ContrastiveLoss", {"margin": 2.0}, [(4, 3), (4, 3), (4,)]),
    ("Convolution", {"num_output": 4, "kernel_size": (3, 5), "stride": (2,), "pad": (1, 0), "dilation": (1, 2), "group": 2,
                     "bias_term": False}, [(2, 4, 9, 9)]),
    ("Deconvolution", {"num_output": 4, "kernel_size": (4,), "stride": (2,), "pad": (1,)}, [(2, 4, 9, 9)]),
    ("Crop", {"axis": 1, "offset": (1, 2, 3)}, [(2, 3, 5, 5)] * 2), ("Eltwise", {"coeff": (1.0, -2.5)}, [(2, 3)] * 2),
    ("Eltwise", {"operation": "max"}, [(2, 3)] * 2), ("ELU", {"alpha": 0.1}, [(2, 3)]),
    ("EuclideanLoss", {}, [(2, 3)] * 2), ("Exp", {"base": 2.0, "scale": 0.3, "shift": -1.0}, [(2,)]),
    ("Flatten", {"axis": 2, "end_axis": 3}, [(2, 3, 4, 5)]), ("HingeLoss", {"norm": "L2"}, [(4, 3), (4,)]),
    ("InfogainLoss", {"axis": 2, "ignore_label": 0, "normalization": "full"}, [(2, 4, 3), (2, 4), (3, 3)]),
    ("InnerProduct", {"num_output": 3, "axis": 2, "transpose": True, "bias_term": False}, [(2, 3, 4)]),
    ("Log", {"base": 10.0}, [(2,)]), ("LRN", {"local_size": 3, "alpha": 1e-4, "k": 2.0}, [(2, 3)]),
    ("LRN", {"norm_region": "within_channel"}, [(2, 3, 4, 4)]), ("MVN", {"across_channels": True, "eps": 1e-4}, [(2, 3)]),
    ("Parameter", {"shape": (2, 3)}, []), ("Pooling", {"kernel_size": (3,), "stride": (2,), "pad": (1,), "round": "floor"}, [(2, 3, 9, 9)]),
    ("Pooling", {"pool": "mean", "kernel_size": (3, 2), "stride": (1, 2), "pad": (0, 1)}, [(2, 3, 9, 9)]),
    ("Pooling", {"pool": "stochastic", "kernel_size": (2,)}, [(2, 3, 9, 9)]),
    ("Pooling", {"pool": "mean", "global_pooling": True}, [(2, 3, 9, 9)]), ("PReLU", {"channel_shared": True}, [(2, 3)]),
    ("Reduction", {"operation": "sumsq", "axis": 1, "coeff": 0.5}, [(2, 3)]), ("ReLU", {"negative_slope": 0.1}, [(2,)]),
    ("Reshape", {"shape": (0, -1, 5), "axis": 1, "num_axes": 2}, [(2, 3, 5, 5)]), ("Reshape", {"shape": ()}, [(1,)]),
    ("Scale", {"axis": 0, "bias_term": True}, [(2, 3), (2,)]), ("Scale", {"num_axes": -1}, [(2, 3, 4)]),
    ("SigmoidCrossEntropyLoss", {"ignore_label": -1, "normalization": "valid"}, [(2, 3)] * 2),
    ("Slice", {"slice_point": (1, 3), "axis": 2}, [(2, 3, 4)]), ("Softmax", {"axis": 2}, [(2, 3, 4)]),
    ("SoftmaxWithLoss", {"axis": 2, "ignore_label": 255, "normalization": "none"}, [(2, 3, 4), Shape((2, 3), "index")]),
    ("SPP", {"pyramid_height": 3, "pool": "mean"}, [(2, 3, 9, 9)]), ("Threshold", {"threshold": 0.5}, [(2,)]),
    ("Tile", {"tiles": 3, "axis": 2}, [(2, 3, 4)]), ("Swish", {"beta": 1.5}, [(2,)]), ("Clip", {"min": -1.0, "max": 6.0}, [(2,)]),
    ("Embed", {"num_output": 3, "input_dim": 9, "bias_term": False}, [Shape((2, 3), "index")]), ("Dropout", {"dropout_ratio": 0.3}, [(2,)]),
    ("LSTM", {"num_output": 3, "time_major": True, "carry": True, "truncate_state": True}, [(3, 2, 4), (3, 2)]),
    ("LSTM", {"num_output": 3, "time_major": True, "truncate_state": True}, [(3, 2, 4), (3, 2), (1, 2, 3), (1, 2, 3)]),
    ("RNN", {"num_output": 3, "time_major": True, "carry": True, "truncate_state": True}, [(3, 2, 4), (3, 2), (2, 5)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "shapes"), ROWS)
def test_its_keys_come_back(name: str, keys: dict[str, Any], shapes: Any) -> None:
    layer = LAYERS[name](**keys)
    made = again(layer, shaped(shapes), 3 if name == "Slice" else 1)
    assert type(made) is type(layer) and asdict(made) == asdict(layer)


@pytest.mark.parametrize("name", CAFFES)
def test_a_layer_of_the_catalogue_s_exam_comes_back_or_is_refused(name: str) -> None:
    """Whatever keys it has there: nothing is lost on the way without a word."""
    for keys, shapes in BOTTOMS[name]:
        layer = LAYERS[name](**keys)
        try:
            made = again(layer, shaped(shapes), getattr(layer, "tops", None) or 2)
        except Lacking:
            continue
        kept = {key: value for key, value in asdict(layer).items() if key != "tops"}
        wanted = {key: value for key, value in asdict(made).items() if key != "tops"}
        if name == "Pooling":  # of no use where it is no such pool
            kept |= {"p": 2.0, "beta": 1.0}
        if name == "BatchNorm":
            kept["affine"] = False  # a Scale of its own
        if name == "Eltwise" and kept["operation"] == "sub":
            kept |= {"operation": "sum", "coeff": (1.0, *[-1.0] * (len(shapes) - 1))}
        assert wanted == kept


@pytest.mark.parametrize("name", OURS)
def test_a_layer_that_caffe_has_not_is_refused(name: str) -> None:
    for keys, shapes in BOTTOMS[name]:
        with pytest.raises(
            Lacking, match="Caffe 1.0 has no such layer" + (", though forks of it have" if name in FORKS else "$")
        ):
            said(LAYERS[name](**keys), shaped(shapes))


@pytest.mark.parametrize(
    ("name", "keys", "shapes", "words"),
    [
        ("Pooling", {"pool": "lp", "kernel_size": (2,)}, [(2, 3, 4, 4)], "Caffe has no pool: lp"),
        ("Pooling", {"kernel_size": (2,)}, [(2, 3, 4)], "Caffe pools over two spatial axes, not 1"),
        ("Eltwise", {"operation": "div"}, [(2, 3)] * 2, "Caffe has no operation: div"),
        ("Eltwise", {}, [(2, 3), (1, 3)], "Caffe repeats nothing: 2 x 3 and 1 x 3"),
        ("SoftmaxWithLoss", {"label_smoothing": 0.1}, [(4, 3), Shape((4,), "index")], r"Caffe's has no 'label_smoothing' \(0.1\)"),
        ("SoftmaxWithLoss", {}, [(4, 3), (4, 3)], "Caffe's takes classes, not probabilities"),
        ("EuclideanLoss", {}, [(4, 3), (4, 3), (4,)], "Caffe's takes 2 bottoms: weights of samples are not known there"),
        ("Parameter", {"shape": (2,)}, [(4, 3)], "Caffe's has no bottom"),
        ("LSTM", {"num_output": 3}, [(3, 2, 4)], "Caffe's has time_major: true and truncate_state: true"),
        ("LSTM", {"num_output": 3, "time_major": True, "truncate_state": True}, [(3, 2, 4)], "Caffe's needs cont"),
        ("LSTM", {"num_output": 3, "time_major": True, "truncate_state": True}, [(3, 2, 4), (3, 2)],
         r"Caffe's carries its states on \(carry: true\), or reads the first ones"),
        ("LSTM", {"num_output": 3, "time_major": True, "truncate_state": True, "carry": True, "num_layers": 2}, [(3, 2, 4), (3, 2)],
         r"Caffe's has no 'num_layers' \(2\)"),
        ("MultinomialLogisticLoss", {"log_probabilities": True}, [(4, 3), (4,)], "Caffe's has no 'log_probabilities'"),
        ("HingeLoss", {"ignore_label": 1}, [(4, 3), (4,)], r"Caffe's has no 'ignore_label' \(1\)"),
    ],
)  # fmt: skip
def test_a_key_that_caffe_has_not_is_refused_by_name(name: str, keys: dict[str, Any], shapes: Any, words: str) -> None:
    with pytest.raises(Lacking, match=words):
        said(LAYERS[name](**keys), shaped(shapes))


def settings(layer: Any, shapes: Any) -> str:
    return " ".join(write_text(said(layer, shaped(shapes))).split())


def test_what_caffe_says_by_another_layer() -> None:
    assert settings(LAYERS["ReLU6"](), [(2, 3)]) == 'type: "Clip" clip_param { min: 0 max: 6 }'
    assert settings(LAYERS["Constant"](value=0.5, shape=(2, 3)), []) == (
        'type: "DummyData" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 0.5 } }'
    )
    assert settings(LAYERS["DummyData"](shape=(4,)), []) == 'type: "DummyData" dummy_data_param { shape { dim: 4 } }'
    assert settings(LAYERS["Input"](shape=(4,)), []) == 'type: "Input" input_param { shape { dim: 4 } }'
    assert settings(LAYERS["Input"](shape=(4,)), [(2, 4)]) == 'type: "Split"' == settings(LAYERS["Split"](tops=3), [(2, 4)])
    assert (
        settings(LAYERS["Eltwise"](operation="sub"), [(2, 3)] * 3)
        == 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -1 coeff: -1 }'
    )
    with pytest.raises(Lacking, match="Caffe's has no bottom"):
        said(LAYERS["Constant"](value=0.5), shaped([(2, 3)]))


def test_every_type_of_the_catalogue_has_been_looked_at() -> None:
    assert {*CAFFES, *OURS, *ELSEWHERE} == set(LAYERS) and {name for name, _, _ in ROWS} <= set(CAFFES)
    plain = {
        "AbsVal",
        "BNLL",
        "BatchReindex",
        "Bias",
        "Filter",
        "Im2col",
        "MultinomialLogisticLoss",
        "Power",
        "Sigmoid",
        "Silence",
        "TanH",
    }
    assert set(CAFFES) - {name for name, _, _ in ROWS} == plain
