"""Whole nets of Caffe's as configs: layers, parameters, phases, names, what cannot be said, and the command itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dltrain import config as configs
from dltrain.caffe.blobs import read_weights, write_weights
from dltrain.errors import ConfigError, DataError
from dltrain.import_commands import import_
from dltrain.sketch import fields_of
from tests.fixtures.caffe_import import CAFFE, Brought, fixture, net, written

NETS = {  # files -> (lines, parameters)
    ("lenet_solver",): (9, 431_080),
    ("lenet_solver", "lenet_deploy"): (10, 431_080),
    ("lenet_deploy",): (8, 431_080),
    ("cifar10_quick_solver",): (13, 145_578),
    ("caffenet_train_val",): (24, 60_965_224),
    ("caffenet_deploy",): (23, 60_965_224),
    ("autoencoder_solver",): (18, 2_837_314),
    ("siamese_train_test",): (18, 431_102),
    ("v1_net",): (8, 2_618),
    ("v0_net",): (5, 3_173),
    ("fcn",): (7, 749),
    ("resnet",): (14, 914),
}


@pytest.mark.parametrize("files", NETS, ids="+".join)
def test_layers_and_parameters(files: tuple[str, ...], tmp_path: Path) -> None:
    made = Brought(fixture(*files), tmp_path)
    assert (made.report["layers"], made.report["parameters"]) == NETS[files]
    config = configs.read(made.path, promise=fields_of, need_solver=False)
    assert len(config.net.lines) == NETS[files][0]


def test_lenet_reads_as_a_person_would_write_it(tmp_path: Path) -> None:
    made = Brought(fixture("lenet_solver"), tmp_path)
    assert (
        [line for line in made.text.splitlines() if not line.startswith("#")]
        == """\
name: LeNet
data:
  source: {type: lmdb, train: digits/train_lmdb, test: digits/test_lmdb, color: grey, shapes: {data: [1, 28, 28], label: []}}
  batch_size: 64
  shuffle: false
  transform: [{scale: 0.00390625}]
  test: {batch_size: 100}
net:
  - {name: conv1, type: Convolution,  num_output: 20, kernel_size: 5}
  - {name: pool1, type: Pooling,      pool: max, kernel_size: 2, stride: 2}
  - {name: conv2, type: Convolution,  num_output: 50, kernel_size: 5}
  - {name: pool2, type: Pooling,      pool: max, kernel_size: 2, stride: 2}
  - {name: ip1,   type: InnerProduct, num_output: 500}
  - {name: relu1, type: ReLU}
  - {name: ip2,   type: InnerProduct, num_output: 10}
  - {name: accuracy, type: Accuracy,        bottom: [ip2, label], phase: test}
  - {name: loss,     type: SoftmaxWithLoss, bottom: [ip2, label]}
solver:
  type: SGD
  base_lr: 0.01
  momentum: 0.9
  lr_policy: {type: inv, gamma: 1e-4, power: 0.75}
  weight_decay: 5e-4
  max_iter: 10000
  display: 100
  test: {interval: 500, initial: true}
  snapshot: 5000
  param: {"*.weight": {filler: xavier}, "*.bias": {lr_mult: 2, decay_mult: 1}}""".splitlines()
    )


def test_a_deploy_net_adds_what_only_it_has(tmp_path: Path) -> None:
    for number, files in enumerate((("lenet_deploy", "lenet_solver"), ("lenet_train_test", "lenet_deploy"))):
        made = Brought(fixture(*files), tmp_path / str(number))
        assert made.lines["prob"] == {"name": "prob", "type": "Softmax", "phase": "deploy"}
        assert {name for name, line in made.lines.items() if "phase" in line} == {"prob", "accuracy"}
        assert made.report["outputs"] == {"prob": [10]} and made.report["inputs"] == {"data": [1, 28, 28]}
        assert made.config["data"]["source"]["shapes"]["data"] == [1, 28, 28]


def test_weights_are_shared_by_lines(tmp_path: Path) -> None:
    made = Brought(fixture("siamese_train_test"), tmp_path)
    assert made.lines["conv1_p"] == {"name": "conv1_p", "type": "Convolution", "bottom": "slice_pair.1", "share": "conv1"}
    assert made.lines["loss"]["bottom"] == ["feat", "feat_p", "label"]
    assert made.config["data"]["source"]["shapes"] == {"data": [2, 28, 28], "label": []}


def test_single_parameters_are_shared(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" } param { lr_mult: 2 } inner_product_param { num_output: 3 } }
        layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" lr_mult: 5 } inner_product_param { num_output: 3 } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "loss" }""")  # fmt: skip
    assert made.lines["b"]["param"] == {"weight": {"share": "a.weight"}, "bias": {"decay_mult": 1}}
    assert made.lines["a"]["param"]["weight"] == {"lr_mult": 5, "filler": "constant"}


def test_two_test_stages_and_two_losses(tmp_path: Path) -> None:
    made = Brought(fixture("autoencoder_solver"), tmp_path)
    assert made.lines["loss"]["type"] == "SigmoidCrossEntropyLoss" and made.lines["loss_2"]["loss_weight"] == 0
    assert "'loss' (EuclideanLoss, autoencoder.prototxt:58): is called loss_2 here" in made.notes
    assert "the output 'l2_error' (train) is the blob loss_2 here" in made.notes
    assert "autoencoder_solver.prototxt: 2 test nets; the first is translated" in made.notes
    assert made.config["solver"]["param"] == {"*.weight": {"filler": {"type": "gaussian", "sparse": 15}}}


def test_batch_norm_of_two_phases_is_one_line(tmp_path: Path) -> None:
    made = Brought(fixture("resnet"), tmp_path)
    assert made.lines["bn1"] == {"name": "bn1", "type": "BatchNorm", "affine": False}
    assert made.lines["bn2/a"] == {
        "name": "bn2/a",
        "type": "BatchNorm",
        "moving_average_fraction": 0.9,
        "eps": 1e-4,
        "affine": False,
    }
    assert made.lines["res2"]["bottom"] == ["relu1", "scale2/a"]
    assert made.lines["scale1"]["param"] == {"scale": {"decay_mult": 1}, "bias": {"decay_mult": 1}}
    assert made.lines["score_flat"]["type"] == "Flatten" and made.lines["loss"]["bottom"] == ["score_flat", "label"]


def test_sequences_are_time_major(tmp_path: Path) -> None:
    shapes = dict.fromkeys(("cont", "words", "target"), (16,))
    made = Brought(fixture("lstm"), tmp_path, shapes=shapes)
    line = made.lines["lstm1"]
    assert line["time_major"] and line["carry"] and line["truncate_state"] and line["bottom"] == ["embedding", "cont"]
    assert made.lines["cross_entropy_loss"] | {"name": ""} == {
        "name": "", "type": "SoftmaxWithLoss", "bottom": ["predict", "target"], "axis": 2, "ignore_label": -1, "loss_weight": 20,
    }  # fmt: skip
    assert made.config["data"]["source"]["classes"] == {"words": 50, "target": 50}
    assert made.report["parameters"] == 50 * 12 + 60 * 12 + 60 + 60 * 15 + 50 * 15 + 50


def test_label_images_are_as_large_as_the_scores(tmp_path: Path) -> None:
    made = Brought(fixture("fcn"), tmp_path, shapes={"data": (3, 60, 50)})
    assert made.config["data"]["source"] == {
        "type": "blank", "shapes": {"data": [3, 60, 50], "label": [60, 50]}, "classes": {"label": 21},
    }  # fmt: skip
    assert made.lines["upscore"]["param"] == {"weight": {"lr_mult": 0, "filler": "bilinear"}}
    assert made.lines["loss"]["normalization"] == "batch_size"


# --- names, phases ---
def test_names_are_made_fit_and_weights_still_find_them(tmp_path: Path) -> None:
    conv = 'layer {{ name: "conv 1/a.b" type: "Convolution" bottom: "{}" top: "{}" convolution_param {{ num_output: 3 kernel_size: 1 }} }}'
    text = conv.format("data", "x") + conv.format("x", "y") + 'layer { name: "data" type: "ReLU" bottom: "y" top: "y" }'
    head = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'
    import numpy as np

    blobs = [[np.full((3, 3, 1, 1), value), np.full(3, value)] for value in (1.0, 2.0)]
    write_weights_twice(tmp_path / "w.caffemodel", "conv 1/a.b", blobs)
    made = Brought([written(tmp_path, head + text), tmp_path / "w.caffemodel"], tmp_path / "out")
    assert list(made.lines) == ["conv_1/a_b", "conv_1/a_b_2", "data_2"]
    assert "'conv 1/a.b' (Convolution, net.prototxt:2): is called conv_1/a_b here" in made.notes
    assert "the output 'y' (train) is the blob data_2 here" in made.notes
    from dltrain import snapshot

    arrays = snapshot.read(made.folder / "weights.h5").arrays
    assert [float(arrays[f"data/conv_1%2Fa_b{end}/0"].max()) for end in ("", "_2")] == [1.0, 2.0]


def write_weights_twice(path: Path, name: str, blobs: list[list[Any]]) -> None:
    """A .caffemodel with two layers of one name."""
    from dltrain.caffe.blobs import blob
    from dltrain.caffe.message import Message
    from dltrain.caffe.wire import write_wire

    layers = [Message("LayerParameter").put("name", name).add("blobs", *map(blob, each)) for each in blobs]
    path.write_bytes(write_wire(Message("NetParameter").add("layer", *layers)))


def test_a_line_of_one_phase_is_passed_through_in_the_other(tmp_path: Path) -> None:
    made = net(tmp_path, """
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "x" inner_product_param { num_output: 3 } }
        layer { name: "drop" type: "Dropout" bottom: "x" top: "x" include { phase: TRAIN } }
        layer { name: "max" type: "ReLU" bottom: "x" top: "y" include { phase: TRAIN } }
        layer { name: "soft" type: "Sigmoid" bottom: "x" top: "y" exclude { phase: TRAIN } }
        layer { name: "out" type: "Power" bottom: "y" top: "z" }""")  # fmt: skip
    assert made.lines["drop"]["phase"] == "train" and made.lines["soft"]["phase"] == "test"
    read = configs.read(made.path, promise=fields_of, need_solver=False).net
    for phase, ring in {"train": ["ip", "drop", "max", "out"], "test": ["ip", "soft", "out"]}.items():
        assert list(read.graph(phase, (2,), phase, ("out",)).layers) == ring


def test_levels_and_stages_choose_layers(tmp_path: Path) -> None:
    text = """
        layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
        layer { name: "b" type: "ReLU" bottom: "data" top: "b" include { stage: "extra" } }
        layer { name: "c" type: "ReLU" bottom: "data" top: "c" include { min_level: 2 } }"""
    for number, (wish, names) in enumerate([({}, ["a"]), ({"stages": ("extra",)}, ["a", "b"]), ({"level": 2}, ["a", "c"])]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert list(net(folder, text, **wish).lines) == names


# --- what cannot be said ---
def test_layers_that_are_needed_and_not_known_are_told_all_at_once(tmp_path: Path) -> None:
    text = """layer { name: "n" type: "Normalize" bottom: "data" top: "n" }
        layer { name: "p" type: "Python" bottom: "n" top: "p" python_param { module: "m" layer: "L" } }
        layer { name: "c" type: "ReLU" bottom: "p" top: "c" }"""
    words = (r"not translated; take these layers out .*\n.*net.prototxt:2: 'n' \(Normalize\): there is no such layer here, and 'p' needs "
             r"it\n.*net.prototxt:3: 'p' \(Python\): a layer in Python code is not run, and 'c' needs it")  # fmt: skip
    with pytest.raises(DataError, match=words):
        net(tmp_path, text)


def test_what_nobody_needs_is_left_out(tmp_path: Path) -> None:
    made = net(tmp_path, """layer { name: "c" type: "ReLU" bottom: "data" top: "c" }
        layer { name: "h" type: "HDF5Output" bottom: "c" bottom: "data" hdf5_output_param { file_name: "x" } }
        layer { name: "p" type: "Python" bottom: "c" top: "p" python_param { module: "m" layer: "L" } }
        layer { name: "q" type: "Power" bottom: "p" top: "q" }
        layer { name: "d" type: "DetectionOutput" bottom: "q" top: "d" }""")  # fmt: skip
    assert list(made.lines) == ["c"]
    assert made.notes == [
        "left out: 'h' (HDF5Output, net.prototxt:3): dltrain extract-features writes blobs of a whole split",
        "left out: 'd' (DetectionOutput, net.prototxt:6): there is no such layer here",
        "left out: 'q' (Power, net.prototxt:5): it reads what was left out",
        "left out: 'p' (Python, net.prototxt:4): a layer in Python code is not run",
    ]


def test_what_cannot_be_built_is_told_with_its_line_and_nothing_is_written(tmp_path: Path) -> None:
    text = '\nlayer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 30 } }'
    with pytest.raises(
        DataError, match=r"not to be built:\n.*net.prototxt:3: layer 'c' \(Convolution\): 'kernel_size' is larger"
    ):
        net(tmp_path, text)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(("text", "words"), [
    ('layer { name: "c" type: "ReLU" bottom: "x" top: "c" }', "'c' .ReLU, net.prototxt:2. reads the blob 'x', which no layer above it makes"),
    ('layer { name: "c" type: "Pooling" bottom: "data" top: "c" pooling_param { pool: MEDIAN } }',
     "net.prototxt:2: layer 'c' .Pooling.: 'MEDIAN' is not a choice of Caffe's"),
    ("", "has no layers besides those that bring in data"),
])  # fmt: skip
def test_mistakes_are_told(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        net(tmp_path, text)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    import numpy as np

    text = (
        'layer { name: "c" type: "InnerProduct" bottom: "data" top: "c" inner_product_param { num_output: 2 bias_term: false } }'
    )
    head = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }\n'
    path = written(tmp_path, head + text)
    write_weights(tmp_path / "two.caffemodel", [("c", [np.ones((2, 3)), np.ones(2)])])
    with pytest.raises(DataError, match=r"layer 'c' has 2 blobs, and 'c' \(InnerProduct, net.prototxt:2\) takes 1"):
        Brought([path, tmp_path / "two.caffemodel"], tmp_path / "out")
    write_weights(tmp_path / "other.caffemodel", [("c", [np.ones((1, 1, 2, 3))]), ("d", [np.ones(1)])])
    made = Brought([path, tmp_path / "other.caffemodel"], tmp_path / "out")
    assert made.notes[0].endswith("weights of d are not used: there is no such layer with parameters")
    assert [name for name, _ in read_weights(tmp_path / "other.caffemodel")] == ["c", "d"]


def test_files_are_told_apart(tmp_path: Path) -> None:
    lenet = CAFFE / "lenet_solver.prototxt"
    with pytest.raises(ConfigError, match="nowhere.prototxt: there is no such file"):
        Brought([lenet, "nowhere.prototxt"], tmp_path)
    with pytest.raises(ConfigError, match="is a second solver, after .*lenet_solver.prototxt; give one"):
        Brought([lenet, lenet], tmp_path)
    with pytest.raises(DataError, match="is neither a net .* nor a solver"):
        Brought([written(tmp_path, "x: 1")], tmp_path)
    with pytest.raises(ConfigError, match="its net gone.prototxt is not beside it; give its prototxt to the import, too"):
        Brought([written(tmp_path, 'net: "gone.prototxt" base_lr: 1')], tmp_path)
    with pytest.raises(ConfigError, match="names no net"):
        Brought([written(tmp_path, "base_lr: 1")], tmp_path)
    (tmp_path / "odd.bin").write_bytes(b"\0\1")
    with pytest.raises(DataError, match="is neither a prototxt nor a file of Caffe by its ending"):
        Brought([tmp_path / "odd.bin"], tmp_path)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    Brought(fixture("lenet_solver"), tmp_path)
    with pytest.raises(
        ConfigError, match="LeNet.yaml: is there already; choose another folder with -o DIR, or overwrite it with"
    ):
        Brought(fixture("lenet_solver"), tmp_path)
    assert Brought(fixture("lenet_solver"), tmp_path, force=True).report["built"]


def test_the_command(command: Callable[..., Any], result: Callable[..., dict[str, Any]]) -> None:
    made = result("import", "caffe", CAFFE / "lenet_solver.prototxt", "-o", "lenet", "--shape", "data=1x28x28")
    assert made["parameters"] == 431_080 and made["built"]
    shown = command("show", "lenet/LeNet.yaml")
    assert shown.returncode == 0 and "431,080 parameters" in shown.stdout


def test_a_shape_that_is_none() -> None:
    made = CliRunner().invoke(import_, ["caffe", "x.prototxt", "-o", "x", "--shape", "data=1,a"])
    assert made.exit_code == 2 and "'data=1,a' is no shape; write --shape data=3,224,224" in made.output
