"""Every field of a solver of Caffe's, and runs of Caffe's that go on here as they would have gone on there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import launch, snapshot
from dltrain.caffe.solverstate import State, write_state
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError
from tests.fixtures.caffe_import import CAFFE, Brought, written

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "solvers"
NET = CAFFE / "lenet_train_test.prototxt"
BASE = 'base_lr: 0.1 max_iter: 100 lr_policy: "fixed" '
PLAIN = {"type": "SGD", "base_lr": 0.1, "max_iter": 100, "display": None, "test": None, "snapshot": None}


def brought(folder: Path, text: str) -> Brought:
    return Brought([NET, written(folder, text, "solver.prototxt")], folder / "out")


FIELDS: list[tuple[str, dict[str, Any]]] = [
    (BASE, {}),
    (BASE + 'type: "AdaGrad" delta: 1e-4', {"type": "AdaGrad", "delta": 1e-4}),
    (BASE + "solver_type: RMSPROP rms_decay: 0.98", {"type": "RMSProp", "rms_decay": 0.98}),
    (BASE + 'type: "Adam" momentum: 0.9 momentum2: 0.99', {"type": "Adam", "momentum": 0.9, "momentum2": 0.99}),
    (BASE + 'type: "adadelta" momentum: 0.95', {"type": "AdaDelta", "momentum": 0.95}),
    (BASE + 'type: "Nesterov" momentum: 0.9', {"type": "Nesterov", "momentum": 0.9}),
    (BASE + 'weight_decay: 0.01 regularization_type: "L1"', {"weight_decay": 0.01, "regularization_type": "L1"}),
    (BASE + "clip_gradients: 35 iter_size: 4", {"clip_gradients": 35, "iter_size": 4}),
    (BASE + "display: 20 snapshot: 50", {"display": 20, "snapshot": 50}),
    (BASE + "snapshot: 10", {"snapshot": {"interval": 10, "keep": 10}}),
    (BASE + "test_iter: 5 test_interval: 25", {"test": {"interval": 25, "initial": True}}),
    (BASE + "test_iter: 5 test_interval: 25 test_initialization: false", {"test": 25}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "step" gamma: 0.5 stepsize: 30', {"lr_policy": {"type": "step", "gamma": 0.5, "stepsize": 30}}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "exp" gamma: 0.99', {"lr_policy": {"type": "exp", "gamma": 0.99}}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "inv" gamma: 0.5 power: 2', {"lr_policy": {"type": "inv", "gamma": 0.5, "power": 2}}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "multistep" gamma: 0.1 stepvalue: 10 stepvalue: 20',
     {"lr_policy": {"type": "multistep", "gamma": 0.1, "stepvalue": [10, 20]}}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "poly" power: 0.5', {"lr_policy": {"type": "poly", "power": 0.5}}),
    ('base_lr: 0.1 max_iter: 100 lr_policy: "sigmoid" gamma: 0.1 stepsize: 50',
     {"lr_policy": {"type": "sigmoid", "gamma": 0.1, "stepsize": 50}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), FIELDS)
def test_a_solver_as_a_section(text: str, said: dict[str, Any], tmp_path: Path) -> None:
    made = brought(tmp_path, text)
    assert {key: value for key, value in made.config["solver"].items() if key != "param"} == PLAIN | said


def test_words_of_the_top_level(tmp_path: Path) -> None:
    made = brought(tmp_path, BASE + "random_seed: 1701 solver_mode: CPU")
    assert made.config["seed"] == 1701 and made.config["engine"] == {"device": "cpu"}


REMARKS = [
    ("average_loss: 10", "solver.prototxt: average_loss 10: display shows the mean loss since the last display"),
    ("snapshot_diff: true", "solver.prototxt: snapshot_diff is left out: gradients are 0 after an update"),
    ("snapshot_after_train: false", "solver.prototxt: snapshot_after_train: the last state is always saved here"),
    ("debug_info: true", "solver.prototxt: debug_info is left out: a run that is not finite names the first bad layer by itself"),
    ("device_id: 2", "solver.prototxt: device_id 2 is left out; engine.device, or --device, chooses"),
    ("test_iter: 3 test_iter: 4 test_interval: 1", "solver.prototxt: 2 test nets; the first is translated"),
    ("test_iter: 3 test_interval: 1", "Caffe tests on test_iter x batch_size = 300 samples; here all of test is scored"),
    ("", "solver.prototxt: has no test_interval: nothing is scored while training"),
    ('weights: "gone.caffemodel"', "solver.prototxt: its weights gone.caffemodel are not here"),
]


@pytest.mark.parametrize(("text", "note"), REMARKS)
def test_what_means_something_else_here_is_told(text: str, note: str, tmp_path: Path) -> None:
    assert note in brought(tmp_path, BASE + text).notes


WRONG = [
    ('base_lr: 1 max_iter: 1 lr_policy: "cosine"', "solver.prototxt:1: there is no lr_policy 'cosine' in Caffe"),
    ("base_lr: 1 max_iter: 1", 'has no lr_policy; add lr_policy: "fixed"'),
    ('base_lr: 1 max_iter: 1 lr_policy: "step" gamma: 0.1', "lr_policy step needs a stepsize above 0"),
    (BASE + 'type: "AdamW"', "there is no solver 'AdamW' in Caffe; did you mean 'Adam'"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_mistakes_are_told(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        brought(tmp_path, text)


def test_the_net_inside_a_solver(tmp_path: Path) -> None:
    inside = NET.read_text()
    made = Brought([written(tmp_path, f"{BASE} net_param {{ {inside} }}", "solver.prototxt")], tmp_path / "out")
    assert made.report["parameters"] == 431_080


def test_a_net_for_training_and_one_for_testing(tmp_path: Path) -> None:
    data = 'layer { name: "d" type: "Input" top: "data" top: "label" input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }'
    ip = 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }'
    ends = {"loss": "SoftmaxWithLoss", "accuracy": "Accuracy"}
    for name, end in ends.items():
        written(
            tmp_path,
            f'{data}{ip}layer {{ name: "{name}" type: "{end}" bottom: "ip" bottom: "label" top: "{name}" }}',
            f"{name}.prototxt",
        )
    solver = written(
        tmp_path,
        BASE + 'train_net: "a/loss.prototxt" test_net: "a/accuracy.prototxt" test_iter: 1 test_interval: 5',
        "s.prototxt",
    )
    made = Brought([solver], tmp_path / "out")
    assert (
        made.lines["loss"]["phase"] == "train" and made.lines["accuracy"]["phase"] == "test" and "phase" not in made.lines["ip"]
    )
    assert made.config["solver"]["test"] == {"interval": 5, "initial": True}


# --- going on ---
RULES = ("sgd_fixed", "nesterov_fixed", "adagrad_fixed", "rmsprop_fixed", "adadelta_fixed", "adam_fixed")


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
@pytest.mark.parametrize("ending", ["", ".h5"], ids=["binary", "hdf5"])
@pytest.mark.parametrize("rule", RULES)
def test_a_run_of_caffe_goes_on_exactly(rule: str, ending: str, tmp_path: Path) -> None:
    files: list[Path | str] = [GOLDEN / f"{rule}.prototxt", GOLDEN / f"{rule}_iter_4.caffemodel{ending}"]
    made = Brought([*files, GOLDEN / f"{rule}_iter_4.solverstate{ending}"], tmp_path)
    assert made.report["run"] == str(tmp_path / "run")
    launch.resume(made.report["run"], (), "reference", Console(quiet=True))
    arrays = snapshot.read(tmp_path / "run" / "snapshots" / "iter_00000010.h5").arrays
    golden = np.load(GOLDEN / f"{rule}.npz")
    for found, wanted in ((arrays["data/ip/0"], golden["W"][10]), (arrays["data/ip/1"], golden["b"][10])):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
def test_the_weights_of_a_state_are_looked_for_beside_it(tmp_path: Path) -> None:
    made = Brought([GOLDEN / "sgd_fixed.prototxt", GOLDEN / "sgd_fixed_iter_4.solverstate"], tmp_path)
    assert (tmp_path / "run" / "snapshots" / "iter_00000004.h5").is_file() and made.report["weights"]


def test_a_state_needs_the_rest(tmp_path: Path) -> None:
    write_state(tmp_path / "a.solverstate", State(3, "gone.caffemodel", 0, []))
    with pytest.raises(ConfigError, match="a.solverstate: needs the solver's prototxt as well; give it to the import"):
        Brought([NET, tmp_path / "a.solverstate"], tmp_path / "out")
    with pytest.raises(ConfigError, match="needs its weights gone.caffemodel as well"):
        Brought([CAFFE / "lenet_solver.prototxt", tmp_path / "a.solverstate"], tmp_path / "out")


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
def test_a_state_of_another_solver_is_refused(tmp_path: Path) -> None:
    files: list[Path | str] = [GOLDEN / "adam_fixed.prototxt", GOLDEN / "sgd_fixed_iter_4.caffemodel"]
    with pytest.raises(DataError, match="remembers 2 blobs, and the training net with this solver 4: it is of another net"):
        Brought([*files, GOLDEN / "sgd_fixed_iter_4.solverstate"], tmp_path)
