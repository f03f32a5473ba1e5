"""dltrain export caffe: files that Caffe loads, what becomes of phases, sharing and data, and the way there and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from dltrain import config as configs
from dltrain import saving, snapshot
from dltrain.caffe.blobs import read_mean, read_weights, write_weights
from dltrain.caffe.message import Message
from dltrain.caffe.prototxt import write_text
from dltrain.caffe.states import keeps
from dltrain.caffe.text import read_text
from dltrain.cli import cli
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.errors import ConfigError, DataError
from dltrain.ops.backend import Reference
from dltrain.translate.caffe_import import Wish, import_caffe
from dltrain.translate.to_caffe import export, in_order
from dltrain.translate.to_caffe_net import Layers
from dltrain.translate.trained import trained
from tests import zoo
from tests.translate.onnx_pairs import Ready

FIXTURES = Path(__file__).parent.parent / "fixtures" / "caffe"
QUIET = Console(True, True)
DATA = "data: {source: {type: blank, shapes: {data: [2, 6, 6], label: []}, classes: {label: 3}}, batch_size: 4}\n"
SOLVER = "solver: {type: SGD, base_lr: 0.1, max_iter: 10, display: null, test: null, snapshot: null}\n"


def randomised(config: str, file: Path, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """A file of random weights and states for a config; returns them."""
    made, rng = trained(config, None, settings, QUIET, need=False), np.random.default_rng(7)
    try:
        held = {name: rng.uniform(0.1, 1, array.shape).astype(np.float32) for name, array in saving.arrays(made.engine).items()
                if name.startswith(("data/", "states/")) and "@" not in name}  # fmt: skip
    finally:
        made.close()
    snapshot.write(file, snapshot.Snapshot(held))
    return held


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exports a config from its text, with random weights; what --json gives."""
    monkeypatch.chdir(tmp_path)

    def call(text: str, *settings: str, data: str = DATA, solver: str = SOLVER, weights: bool = True, deploy: bool = False,
             force: bool = True) -> Any:  # fmt: skip
        Path("net.yaml").write_text(f"name: net\n{data}net:\n{text}{solver}")
        if weights:
            randomised("net.yaml", Path("w.h5"), settings)
        capsys.readouterr()
        export("net.yaml", "out", "w.h5" if weights else None, settings, deploy, force, QUIET)
        return json.loads(capsys.readouterr().out)

    return call


def net(file: str = "out/net_train_test.prototxt") -> Message:
    return read_text(Path(file), "NetParameter")


def layers(file: str = "out/net_train_test.prototxt", phase: str = "") -> list[Message]:
    return [layer for layer in net(file).all("layer") if not phase or keeps(layer, phase, 0, [])]


def line(layer: Message) -> str:
    """type name: bottoms -> tops"""
    return f"{layer['type']} {layer['name']}: {' '.join(layer.all('bottom'))} -> {' '.join(layer.all('top'))}"


# --- there and back ---
SETS = [("lenet_solver", "lenet_train_test"), ("caffenet_solver", "caffenet_train_val"), ("caffenet_deploy",),
        ("cifar10_quick_solver", "cifar10_quick_train_test"), ("autoencoder_solver", "autoencoder"), ("fcn",), ("resnet",),
        ("siamese_train_test",), ("v0_net",), ("v1_net",), ("lenet_deploy",)]  # fmt: skip


def plain(text: str) -> str:
    """The net, the solver, the engine: without remarks, the data (which are not there), and where weights are."""
    sections = re.split(r"^(?=\w+:)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    return "".join(section for section in sections if not section.startswith(("data:", "weights:")))


def taken_in(files: list[Path], folder: Path) -> Path:
    made: Path = Path(import_caffe(tuple(map(str, files)), folder, Wish(), QUIET)["config"])
    return made


@pytest.mark.parametrize("names", SETS, ids=[names[-1] for names in SETS])
def test_import_export_import_gives_the_same_net_and_the_same_weights(
    names: tuple[str, ...], tmp_path: Path, capsys: Any
) -> None:
    given = []
    for name in names:  # with narrow layers where theirs are wide, for speed
        text = (FIXTURES / f"{name}.prototxt").read_text()
        text = re.sub(r"num_output: (?!784)(\d{3,})", lambda found: f"num_output: {max(8, int(found[1]) // 32)}", text)
        given.append(tmp_path / f"{name}.prototxt")
        given[-1].write_text(text)
    one = taken_in(given, tmp_path / "one")
    held = randomised(str(one), tmp_path / "w.h5")
    export(str(one), str(tmp_path / "caffe"), str(tmp_path / "w.h5"), (), False, False, QUIET)
    written = {path.name: path for path in (tmp_path / "caffe").iterdir()}
    trains = [path for name, path in written.items() if name.endswith("_train_test.prototxt") or name == "solver.prototxt"]
    weights = next(path for name, path in written.items() if name.endswith(".caffemodel"))
    files = [weights, *(path for name, path in written.items() if name.endswith(".h5"))]
    assert len(files) == 2 or any("/" in place.replace("%2F", "/").split("/", 1)[1] for place in held)
    for number, file in enumerate(files):
        two = taken_in([*(trains or [written["deploy.prototxt"]]), file], tmp_path / f"two{number}")
        assert plain(two.read_text()) == plain(one.read_text())
        again = snapshot.read(two.parent / "weights.h5").arrays
        assert again.keys() == held.keys() and all(again[name].tobytes() == held[name].tobytes() for name in held)
    if "solver.prototxt" in written:
        config = configs.read(two, promise=zoo.promise)
        assert config.solver == configs.read(one, promise=zoo.promise).solver
    deploy = taken_in([written["deploy.prototxt"], weights], tmp_path / "deploy")  # what is left has the same weights
    alone = snapshot.read(deploy.parent / "weights.h5").arrays
    assert alone.keys() <= held.keys() and all(alone[name].tobytes() == held[name].tobytes() for name in alone)
    capsys.readouterr()


def test_recurrent_nets_and_hdf5_files(tmp_path: Path, capsys: Any) -> None:
    for name in ("train", "test"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["cont"], file["words"] = np.ones((40, 16), np.int64), np.zeros((40, 16), np.int64)
            file["target"] = np.zeros((40, 16), np.int64)
        (tmp_path / f"{name}.txt").write_text(f"{name}.h5\n")
    (tmp_path / "lstm.prototxt").write_text((FIXTURES / "lstm.prototxt").read_text())
    one = taken_in([tmp_path / "lstm.prototxt"], tmp_path / "one")
    held = randomised(str(one), tmp_path / "w.h5")
    export(str(one), str(tmp_path / "caffe"), str(tmp_path / "w.h5"), (), False, False, QUIET)
    two = taken_in([tmp_path / "caffe" / "words_train_test.prototxt", tmp_path / "caffe" / "words.caffemodel"], tmp_path / "two")
    assert plain(two.read_text()) == plain(one.read_text())
    again = snapshot.read(tmp_path / "two" / "weights.h5").arrays
    assert all(again[name].tobytes() == held[name].tobytes() for name in held if "@" not in name)
    data = layers(str(tmp_path / "caffe" / "words_train_test.prototxt"), "TRAIN")[0]
    assert data["type"] == "HDF5Data" and data["hdf5_data_param"]["source"] == str(tmp_path / "train.txt")
    capsys.readouterr()


@pytest.mark.parametrize("name", ["lenet5", "cifar10_full", "nin", "resnet18", "googlenet", "unet", "autoencoder", "alexnet"])
def test_a_net_of_the_zoo_comes_back_with_the_same_outputs(name: str, tmp_path: Path, capsys: Any) -> None:
    ready, notes = Ready(zoo.small(zoo.read(name), 2)), list[str]()
    config = zoo.read(name)
    config.net = ready.net
    made = Layers(config, ready.engine, notes)
    deploy = made.deploy(2)
    assert not made.wrong
    message = Message("NetParameter").put("name", name).add("layer", *map(in_order, deploy.layers))
    (tmp_path / "deploy.prototxt").write_text(write_text(message))
    write_weights(tmp_path / "w.caffemodel", list(deploy.weights.items()), message)
    back = taken_in([tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"], tmp_path / "back")
    other = trained(str(back), None, (), QUIET)
    batch = zoo.batch(ready.net, 2, seed=3)
    engine = Engine(other.config.net, Reference(np.float32))
    saving.load(back.parent / "weights.h5", snapshot.read(back.parent / "weights.h5"), engine, weights_only=True)
    blobs = ready.ends
    for a, b in zip(ready.ours(batch, blobs), [forward(engine, batch, blob) for blob in blobs], strict=True):
        np.testing.assert_array_equal(a, b)
    other.close()
    capsys.readouterr()


def forward(engine: Any, batch: dict[str, Any], blob: str) -> Any:
    """A blob of the net that came back; a BatchNorm's is its Scale's there."""
    known = engine.net.shapes["deploy"]
    name = f"{blob}_scale" if f"{blob}_scale" in known else blob
    engine.forward("deploy", batch, upto=(name,))
    return engine.blob(name)


# --- the files ---
LINES = """
  - {name: conv, type: Convolution, num_output: 3, kernel_size: 3, pad: [1, 0]}
  - {name: bn, type: BatchNorm, eps: 1e-3}
  - {name: relu, type: ReLU}
  - {name: drop, type: Dropout, phase: train}
  - {name: ip, type: InnerProduct, num_output: 3, param: {weight: {lr_mult: 10, filler: {type: gaussian, std: 0.01}}}}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label], loss_weight: 2}
  - {name: accuracy, type: Accuracy, bottom: [ip, label], phase: test}
"""


def test_a_net_of_each_kind_of_line(said: Any) -> None:
    told = said(LINES)
    assert told["files"] == [
        "solver.prototxt",
        "net_train_test.prototxt",
        "deploy.prototxt",
        "net.caffemodel",
        "net.caffemodel.h5",
    ]
    assert list(map(line, layers(phase="TRAIN"))) == [
        "Input data:  -> data label", "Convolution conv: data -> conv", "BatchNorm bn: conv -> bn", "Scale bn_scale: bn -> bn",
        "ReLU relu: bn -> relu", "Dropout drop: relu -> drop", "InnerProduct ip: drop -> ip", "SoftmaxWithLoss loss: ip label -> loss",
    ]  # fmt: skip
    assert list(map(line, layers(phase="TEST")))[4:6] == ["ReLU relu: bn -> relu", "Split drop_passed: relu -> drop"]
    assert list(map(line, layers("out/deploy.prototxt"))) == [
        "Input data:  -> data", "Convolution conv: data -> conv", "BatchNorm bn: conv -> bn", "Scale bn_scale: bn -> bn",
        "ReLU relu: bn -> relu", "InnerProduct ip: relu -> ip",
    ]  # fmt: skip
    known = {layer["name"]: layer for layer in layers()}
    assert [dict(spec.fields) for spec in known["ip"].all("param")] == [
        {"lr_mult": [10.0]},
        {"lr_mult": [1.0], "decay_mult": [0.0]},
    ]
    assert known["ip"]["inner_product_param"]["weight_filler"].fields == {"type": ["gaussian"], "std": [0.01]}
    assert known["bn_scale"]["scale_param"].fields == {"bias_term": [True]} and known["loss"].all("loss_weight") == [2.0]
    assert known["bn"].all("param") == [] and known["bn"]["batch_norm_param"].fields == {"eps": [1e-3]}
    assert layers("out/deploy.prototxt")[0]["input_param"].all("shape")[0].all("dim") == [1, 2, 6, 6]
    assert all(not layer.all("param") for layer in layers("out/deploy.prototxt"))


def test_weights_stand_in_the_order_of_caffe_s_blobs(said: Any) -> None:
    said(LINES)
    held, stored = snapshot.read(Path("w.h5")).arrays, dict(read_weights(Path("out/net.caffemodel")))
    assert stored.keys() == {"conv", "bn", "bn_scale", "ip"} == dict(read_weights(Path("out/net.caffemodel.h5"))).keys()
    places = {"conv": ["data/conv/0", "data/conv/1"], "bn": [f"states/bn.{role}" for role in ("mean", "variance", "factor")],
              "bn_scale": ["data/bn/0", "data/bn/1"], "ip": ["data/ip/0", "data/ip/1"]}  # fmt: skip
    for name, row in places.items():
        assert [array.tobytes() for array in stored[name]] == [held[place].tobytes() for place in row]
    with h5py.File("out/net.caffemodel.h5") as file:
        assert set(file["data"]) == {"data", "conv", "bn", "bn_scale", "relu", "drop", "drop_passed", "ip", "loss", "accuracy"}


def test_shared_parameters_have_one_name(said: Any) -> None:
    said("""
  - {name: one, type: InnerProduct, num_output: 4, bottom: data}
  - {name: two, share: one, bottom: data}
  - {name: both, type: Concat, bottom: [one, two]}
  - {name: bias, type: Bias, bottom: both}
  - {name: loss, type: EuclideanLoss, bottom: [bias, 0.5]}
""".replace("bottom: [bias, 0.5]", "bottom: [bias, both]"))  # fmt: skip
    known = {layer["name"]: layer for layer in layers()}
    for name in ("one", "two"):
        assert [spec["name"] for spec in known[name].all("param")] == ["one.weight", "one.bias"]
    stored = dict(read_weights(Path("out/net.caffemodel")))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(stored["one"], stored["two"], strict=True))


def test_a_solver_in_epochs_is_one_in_iterations(said: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", data=rng.standard_normal((30, 2, 6, 6)).astype(np.float32), label=rng.integers(0, 3, 30))
    np.savez(tmp_path / "t.npz", data=rng.standard_normal((10, 2, 6, 6)).astype(np.float32), label=rng.integers(0, 3, 10))
    told = said(LINES, data="seed: 5\ndata: {source: {type: arrays, train: d.npz, test: t.npz}, batch_size: 4}\n", solver="""
solver: {type: Adam, base_lr: 0.1, momentum: 0.9, lr_policy: {type: multistep, gamma: 0.5, stepvalue: [2 epochs, 4 epochs]},
         max_epochs: 6, test: {interval: 1 epoch, initial: true}, snapshot: {interval: 2 epochs, best: test.accuracy}, weight_decay: 1e-4}
""")  # fmt: skip
    solver = read_text(Path("out/solver.prototxt"), "SolverParameter")
    assert {key: value[-1] for key, value in solver.fields.items() if key != "stepvalue"} == {
        "net": "net_train_test.prototxt", "type": "Adam", "base_lr": 0.1, "momentum": 0.9, "lr_policy": "multistep", "gamma": 0.5,
        "weight_decay": 1e-4, "max_iter": 45, "display": 100, "test_iter": 3, "test_interval": 8, "snapshot": 15,
        "snapshot_prefix": "net", "random_seed": 5,
    }  # fmt: skip
    assert solver.all("stepvalue") == [15, 30]
    assert "test: 1 epochs are 7.5 iterations; 8 are written" in told["notes"]
    assert "the best weights are not kept apart by Caffe" in told["notes"]
    assert any(note.startswith("data: Caffe reads no arrays: data, label are Input layers; feed them") for note in told["notes"])


def test_a_folder_s_name_in_a_name_leaves_hdf5_out(said: Any) -> None:
    text = "  - {name: half, type: InnerProduct, repeat: 2, num_output: 3}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [half, label]}\n"
    told = said(text)
    assert "net.caffemodel.h5" not in told["files"] and dict(read_weights(Path("out/net.caffemodel"))).keys() == {
        "half/1",
        "half/2",
    }
    assert "there is no net.caffemodel.h5: Caffe finds no layer in HDF5 that has a / in its name" in told["notes"]


def test_without_weights_the_texts_alone(said: Any) -> None:
    told = said(LINES, weights=False)
    assert told["weights"] is None and [name for name in told["files"] if "caffemodel" in name] == []
    assert "no weights: they were neither given nor named; --weights FILE adds them" in told["notes"]


# --- data ---
def test_lists_of_pictures_with_their_steps(said: Any, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("train", "test"):
        Image.new("RGB", (9, 9), (10, 200, 30)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"{name}.png 1\n{name}.png 0\n{name}.png 2\n{name}.png 0\n")
    data = """data:
  source: {type: image_list, train: train.txt, test: test.txt}
  batch_size: 4
  transform: [{resize: [8, 7]}, {channels: [2, 1, 0]}, {mean: channel}, {crop: 6}, mirror, {scale: 0.5}]
"""
    said(LINES, data=data)
    train, test = (next(layer for layer in layers(phase=phase) if layer["type"] == "ImageData") for phase in ("TRAIN", "TEST"))
    assert train["image_data_param"].fields == {"source": [str(tmp_path / "train.txt")], "batch_size": [4], "shuffle": [True],
                                                "new_height": [8], "new_width": [7]}  # fmt: skip
    assert train["transform_param"].fields == {
        "scale": [0.5],
        "mirror": [True],
        "crop_size": [6],
        "mean_value": [30.0, 200.0, 10.0],
    }
    assert "mirror" not in test["transform_param"] and test["transform_param"].all("mean_value") == [30.0, 200.0, 10.0]
    told = said(LINES, data=data.replace("{channels: [2, 1, 0]}, ", ""))
    words = r"data: pictures in red, green, blue \(Caffe's are blue, green, red: add the step \{channels: \[2, 1, 0\]\}\)"
    assert any(re.match(words, note) for note in told["notes"]) and layers()[0]["type"] == "Input"
    said(LINES, data=data.replace("mean: channel", "mean: image"))
    assert read_mean(Path("out/mean.binaryproto")).shape == (3, 8, 7)
    assert next(layer for layer in layers(phase="TRAIN"))["transform_param"]["mean_file"] == "mean.binaryproto"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("{scale: 2}, {mean: 1}", "a mean after a scale"), ("{crop: [6, 5]}", "a crop that is no square from anywhere"),
        ("{crop: 6, at: centre}", "a crop that is no square"), ("{mirror: 0.2}", "a mirror that is not one of left and right"),
        ("{mirror: 0.5, axis: vertical}", "a mirror that is not one"), ("{clip: [0, 1]}", "the step clip"),
        ("{crop: 6}, {mean: image}", "a mean image after a crop"),
    ],
)  # fmt: skip
def test_steps_that_caffe_has_not(said: Any, tmp_path: Path, steps: str, words: str) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9), (10, 200, 30)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 1\na.png 0\na.png 2\na.png 0\n")
    data = f"""data:
  source: {{type: image_list, train: list.txt, test: list.txt}}
  batch_size: 4
  transform: [{{resize: 8}}, {{channels: [2, 1, 0]}}, {steps}]
"""
    told = said(LINES, data=data, weights=False)
    assert any(note.startswith(f"data: {words}") for note in told["notes"]) and layers()[0]["type"] == "Input"


# --- refusals ---
def test_all_that_caffe_cannot_say_is_told_at_once(said: Any) -> None:
    text = """
  - {name: conv, type: Convolution, num_output: 3, kernel_size: 3}
  - {name: up, type: Upsample}
  - {name: gelu, type: GELU}
  - {name: ip, type: InnerProduct, num_output: 3}
  - {name: sum, type: Eltwise, bottom: [ip, 1.5]}
  - {name: loss, type: FocalLoss, bottom: [sum, label]}
"""
    words = (r"net.yaml: Caffe cannot say all of this: layer 'up' \(Upsample\): Caffe 1.0 has no such layer; layer 'gelu' \(GELU\): "
             r"Caffe 1.0 has no such layer; layer 'sum' \(Eltwise\): Caffe reads no number as a bottom; layer 'loss' \(FocalLoss\): "
             r"Caffe 1.0 has no such layer; solver \(AdamW\): Caffe has no solver AdamW; --deploy leaves out what only training needs")  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        said(text, solver=SOLVER.replace("SGD", "AdamW"))
    assert not Path("out").exists()


def test_what_only_training_needs_can_be_left_out(said: Any) -> None:
    text = "  - {name: ip, type: InnerProduct, num_output: 3}\n  - {name: loss, type: FocalLoss, bottom: [ip, label]}\n"
    assert said(text, deploy=True)["files"] == ["deploy.prototxt", "net.caffemodel", "net.caffemodel.h5"]
    assert list(map(line, layers("out/deploy.prototxt"))) == ["Input data:  -> data", "InnerProduct ip: data -> ip"]


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        ("{type: SGD, base_lr: 0.1, max_iter: 9, max_norm: 2}", "Caffe's has no max_norm"),
        ("{type: SGD, base_lr: 0.1, max_iter: 9, momentum: {type: ramp, base: 0.5, to: 0.9, over: 5}}", "Caffe's has no momentum that changes"),
        ("{type: SGD, base_lr: 0.1, max_iter: 9, lr_policy: cosine}", "Caffe has no lr_policy cosine"),
        ("{type: SGD, base_lr: 0.1, max_time: 9 min}", "Caffe needs max_iter or max_epochs"),
        ("{type: SGD, base_lr: 0.1, max_epochs: 9}", "max_epochs: how many iterations 9 epochs are hangs on the data, which are not there"),
        ("{type: SGD, base_lr: 0.1, max_iter: 9, snapshot: 5 min}", "snapshot: Caffe counts no time"),
    ],
)  # fmt: skip
def test_a_solver_that_caffe_has_not(said: Any, solver: str, words: str) -> None:
    if "test" not in solver:
        solver = solver[:-1] + ", test: null" + (", snapshot: null" if "snapshot" not in solver else "") + ", display: null}"
    with pytest.raises(ConfigError, match=rf"Caffe cannot say all of this: solver \(SGD\): {words}"):
        said(LINES, solver=f"solver: {solver}\n")


def test_a_transposed_share_is_refused(said: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"layer 'back' \(InnerProduct\): Caffe shares no matrix transposed, as weight of in.weight"
    ):
        said("""
  - {name: in, type: InnerProduct, num_output: 4}
  - {name: back, type: InnerProduct, num_output: 72, param: {weight: {share: in.weight, transpose: true}}}
  - {name: flat, type: Flatten, bottom: data}
  - {name: loss, type: EuclideanLoss, bottom: [back, flat]}
""")  # fmt: skip


def test_files_that_are_there_stay(said: Any) -> None:
    said(LINES)
    with pytest.raises(
        ConfigError, match="out/solver.prototxt: is there already; choose another folder with -o DIR, or overwrite"
    ):
        said(LINES, force=False)


def test_a_folder_that_cannot_be_made(said: Any) -> None:
    Path("out").write_text("a file")
    with pytest.raises(DataError, match="out: cannot be written"):
        said(LINES)


def test_the_command(said: Any) -> None:
    said(LINES)
    made = CliRunner().invoke(cli, ["export", "caffe", "net.yaml", "-o", "other", "--weights", "w.h5"], catch_exceptions=False)
    assert (
        made.exit_code == 0 and "other: solver.prototxt, net_train_test.prototxt, deploy.prototxt, net.caffemodel" in made.output
    )
    assert "note: data: Caffe reads no blank: data, label are Input layers" in made.output
