"""What a prototxt does not say, found out: shapes of Python's data, sizes of batches, stages by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltrain.errors import DataError
from tests.fixtures.caffe_import import Brought, net, written

FC = 'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}" inner_product_param {{ num_output: {2} }} }}\n'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }\n'
)


def python(*tops: str) -> str:
    return 'layer { name: "d" type: "Python" ' + " ".join(f'top: "{top}"' for top in tops) + ' python_param { module: "m" } }\n'


def loss(type: str, *bottoms: str) -> str:
    return f'layer {{ name: "l" type: "{type}" {" ".join(f"""bottom: "{name}" """ for name in bottoms)} top: "l" }}\n'


def shapes(folder: Path, text: str, **wish: tuple[int, ...]) -> dict[str, list[int]]:
    folder.mkdir(exist_ok=True)
    made = Brought([written(folder, text)], folder / "out", shapes=wish)
    assert made.report["built"]
    found: dict[str, list[int]] = made.config["data"]["source"]["shapes"]
    return found


def test_targets_are_as_large_as_what_they_are_held_against(tmp_path: Path) -> None:
    text = python("data", "label") + CONV + FC.format("f", "c", 20) + loss("SigmoidCrossEntropyLoss", "f", "label")
    assert shapes(tmp_path, text) == {"data": [3, 256, 256], "label": [20]}
    text = python("data", "edges") + CONV + loss("EuclideanLoss", "edges", "c")
    assert shapes(tmp_path / "two", text, data=(1, 9, 7)) == {"data": [1, 9, 7], "edges": [4, 9, 7]}


def test_regions_and_further_pictures(tmp_path: Path) -> None:
    text = python("data", "rois") + CONV
    text += (
        'layer { name: "r" type: "ROIPooling" bottom: "c" bottom: "rois" top: "r" roi_pooling_param { pooled_w: 2 pooled_h: 2 } }'
    )
    assert shapes(tmp_path, text)["rois"] == [5]
    text = python("data", "other") + CONV.replace('top: "c"', 'top: "c" param { name: "w" } param { name: "b" }')
    text += (
        CONV.replace('"c"', '"e"')
        .replace('"data"', '"other"')
        .replace('top: "e"', 'top: "e" param { name: "w" } param { name: "b" }')
    )
    assert shapes(tmp_path / "two", text + loss("EuclideanLoss", "c", "e")) == {"data": [3, 256, 256], "other": [3, 256, 256]}


def test_a_batch_of_steps_times_streams(tmp_path: Path) -> None:
    text = python("data", "label", "cont") + FC.format("f", "data", 6)
    for name, bottom, sizes in (
        ("x", "f", "dim: 4 dim: 3 dim: 6"),
        ("y", "label", "dim: 4 dim: 3"),
        ("k", "cont", "dim: 4 dim: 3"),
    ):
        text += f'layer {{ name: "{name}" type: "Reshape" bottom: "{bottom}" top: "{name}" reshape_param {{ shape {{ {sizes} }} }} }}\n'
    text += 'layer { name: "h" type: "LSTM" bottom: "x" bottom: "k" top: "h" recurrent_param { num_output: 5 } }\n'
    text += loss("SoftmaxWithLoss", "h", "y").replace('top: "l"', 'top: "l" softmax_param { axis: 2 }')
    made = Brought([written(tmp_path, text)], tmp_path / "out", shapes={"data": (7,)})
    assert made.config["data"]["batch_size"] == 12 and made.lines["y"]["shape"] == [4, 3]


def test_a_batch_that_only_a_reshape_knows_of_is_any(tmp_path: Path) -> None:
    text = python("data") + FC.format("f", "data", 24)
    text += 'layer { name: "x" type: "Reshape" bottom: "f" top: "x" reshape_param { shape { dim: 64 dim: 6 dim: 2 dim: 2 } } }'
    made = Brought([written(tmp_path, text)], tmp_path / "out", shapes={"data": (5,)})
    assert made.lines["x"]["shape"] == [0, 6, 2, 2]


def test_what_nobody_tells_is_asked_for(tmp_path: Path) -> None:
    text = python("data", "cont") + FC.format("f", "data", 6)
    text += 'layer { name: "h" type: "LSTM" bottom: "f" bottom: "cont" top: "h" recurrent_param { num_output: 5 } }'
    with pytest.raises(
        DataError, match=r"layer 'h' \(LSTM\)[^\n]*\nnothing tells the shape of data, cont; --shape data=C,H,W does"
    ):
        Brought([written(tmp_path, text)], tmp_path / "out")


# --- rules ---
STAGES = """layer { name: "a" type: "Data" top: "data" top: "label" data_param { batch_size: 4 } include { stage: "train" } }
    layer { name: "b" type: "Data" top: "data" top: "label" data_param { batch_size: 2 } include { stage: "val" } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
    layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" exclude { stage: "deploy" } }
    layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { stage: "val" } }
    layer { name: "p" type: "Softmax" bottom: "ip" top: "p" include { stage: "deploy" } }
"""


def test_stages_of_these_names_are_phases(tmp_path: Path) -> None:
    made = Brought([written(tmp_path, STAGES)], tmp_path / "out", shapes={"data": (1, 4, 4)})
    assert list(made.lines) == ["ip", "l", "acc"] and made.lines["acc"]["phase"] == "test"
    assert (made.config["data"]["batch_size"], made.config["data"]["test"]) == (4, {"batch_size": 2})
    assert made.config["data"]["source"]["type"] == "blank"
    assert "'a' (Data) names no source: write it into data.source" in made.notes
    fed = 'layer { name: "i" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } include { stage: "deploy" } }\n'
    made = Brought([written(tmp_path, fed + STAGES)], tmp_path / "out2", shapes={"data": (1, 4, 4)})
    assert list(made.lines) == ["ip", "p", "l", "acc"] and made.lines["p"]["phase"] == "deploy"


def test_rules_that_take_the_ground_away_are_named(tmp_path: Path) -> None:
    text = """layer { name: "a" type: "ReLU" bottom: "data" top: "a" include { stage: "one" stage: "two" } }
        layer { name: "b" type: "ReLU" bottom: "a" top: "b" }"""
    words = r"'b' .*reads the blob 'a', which no layer above it makes in phase train: the rules of 'a' \(line 2\) keep it out; "
    with pytest.raises(DataError, match=words + "--stage one --stage two lets it in"):
        net(tmp_path, text)


def test_the_net_that_tests_is_told_by_its_name(tmp_path: Path) -> None:
    data = (
        'layer { name: "d" type: "Input" top: "data" top: "y" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 4 } } }\n'
    )
    text = data + FC.format("f", "data", 4) + loss("EuclideanLoss", "f", "y")
    test = written(tmp_path, text + 'layer { name: "q" type: "ReLU" bottom: "f" top: "q" }', "test.prototxt")
    made = Brought([test, written(tmp_path, text, "trainval.prototxt")], tmp_path / "out")
    assert made.lines["q"]["phase"] == "test"


def test_pictures_of_one_place_are_to_be_given_a_size(tmp_path: Path) -> None:
    text = 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 1 } }'
    made = net(tmp_path, text, "dim: 1 dim: 3 dim: 1 dim: 1")
    assert made.notes == ["its pictures have one place: they were given their size later; --shape NAME=3,H,W says one"]


def test_a_database_is_as_large_as_the_pictures_that_it_is_brought_to(tmp_path: Path) -> None:
    text = """layer { name: "d" type: "AnnotatedData" top: "data" top: "label" data_param { source: "l" batch_size: 8 backend: LMDB }
        transform_param { mean_value: 104 mean_value: 117 mean_value: 123 resize_param { prob: 1 height: 30 width: 40 } } }"""
    assert shapes(tmp_path, text + CONV)["data"] == [3, 30, 40]


DATA = """layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
    data_param { source: "x" batch_size: 8 backend: LMDB } transform_param { crop_size: 6 } }\n"""


def test_numbers_that_a_loss_is_held_against_are_measured(tmp_path: Path) -> None:
    made = Brought([written(tmp_path, DATA + FC.format("f", "data", 1) + loss("EuclideanLoss", "f", "label"))], tmp_path / "out")
    assert made.config["data"]["source"]["measured"] == ["label"] and made.report["built"]


def test_a_phase_that_lacks_the_data_of_the_other_is_none(tmp_path: Path) -> None:
    fed = 'input: "target" input_shape { dim: 8 dim: 4 }\n'
    made = Brought(
        [written(tmp_path, fed + DATA + FC.format("f", "data", 4) + loss("EuclideanLoss", "f", "target"))], tmp_path / "out"
    )
    assert made.notes[0] == "net.prototxt: has no data layer in phase test, which is left out"
    assert made.config["data"]["source"]["shapes"] == {"data": [3, 6, 6], "label": [], "target": [4]}
