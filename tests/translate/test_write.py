"""What an importer has understood, in a folder: the net is built, weights are held against it, and the files can be used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dltrain import config as configs
from dltrain import snapshot
from dltrain.console import Console
from dltrain.deployed import Deployed
from dltrain.errors import ConfigError, DataError
from dltrain.launch import begin_with, engine_of
from dltrain.tensor import Shape
from dltrain.translate.draft import Draft, Part
from dltrain.translate.write import put_all, text_of, write

W = np.arange(12, dtype=np.float64).reshape(2, 6)
B = np.array([0.5, -1])


def draft(**changes: object) -> Draft:
    net = [
        Part("conv", "Convolution", {"num_output": 3, "kernel_size": 3, "bias_term": False}, ["data"]),
        Part("norm", "BatchNorm", {}, ["conv"]),
        Part("pool", "Pooling", {"pool": "max", "kernel_size": 2, "stride": 2}, ["norm"]),
        Part("a/ip", "InnerProduct", {"num_output": 2}, ["pool"]),
    ]
    weights = {
        "data/conv/0": np.ones((3, 1, 3, 3)), "data/norm/0": np.full(3, 2.0), "data/norm/1": np.zeros(3),
        "states/norm.mean": np.full(3, 7.0), "states/norm.variance": np.ones(3), "states/norm.factor": np.ones(1),
        "data/a%2Fip/0": np.zeros((2, 12)), "data/a%2Fip/1": B,
    }  # fmt: skip
    made = Draft("net", net, {"source": {"type": "blank", "shapes": {"data": [1, 6, 6]}}}, weights=weights)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_the_files_stand_in_the_folder_and_the_report_tells_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write(draft(notes=["line 3: said otherwise"]), tmp_path / "x" / "y", False, Console())
    folder = tmp_path / "x" / "y"
    assert sorted(file.name for file in folder.iterdir()) == ["net.yaml", "weights.h5"]
    assert made == {
        "config": str(folder / "net.yaml"), "weights": str(folder / "weights.h5"), "layers": 4, "built": True,
        "parameters": 27 + 6 + 26, "inputs": {"data": [1, 6, 6]}, "outputs": {"a/ip": [2]}, "notes": ["line 3: said otherwise"],
    }  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        f"{folder / 'net.yaml'}  4 layers, 59 parameters", str(folder / "weights.h5"), "input  data  1 x 6 x 6", "output  a/ip  2",
        "note: line 3: said otherwise",
    ]  # fmt: skip
    text = (folder / "net.yaml").read_text()
    assert "weights: weights.h5\n" in text and "#   line 3: said otherwise\n" in text


def test_for_machines_the_report_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write(draft(), tmp_path, False, Console(as_json=True))
    assert json.loads(capsys.readouterr().out) == made


def test_the_weights_are_those_of_the_config_and_of_predict(tmp_path: Path) -> None:
    write(draft(), tmp_path, False, Console(quiet=True))
    config = configs.read(tmp_path / "net.yaml", need_solver=False)
    engine = engine_of(config, "reference", with_solver=False)
    report = begin_with(config, engine, ())
    assert report is not None and report.loaded == ["conv", "norm", "a/ip"] and not report.fresh
    arrays = engine.state_arrays()
    np.testing.assert_array_equal(arrays["data/a/ip/bias"], B)
    np.testing.assert_array_equal(arrays["states/norm.mean"], [7, 7, 7])
    engine.close()
    deployed = Deployed(str(tmp_path / "net.yaml"), str(tmp_path / "weights.h5"), (), "reference", None)
    np.save(tmp_path / "x.npy", np.ones((1, 6, 6), np.float32))
    assert deployed.load(tmp_path / "x.npy")["data"].shape == (1, 1, 6, 6)
    deployed.close()


def test_without_weights_there_is_only_a_config(tmp_path: Path) -> None:
    made = write(draft(weights={}), tmp_path, False, Console(quiet=True))
    assert made["weights"] is None and [file.name for file in tmp_path.iterdir()] == ["net.yaml"]
    assert "weights" not in (tmp_path / "net.yaml").read_text()


def test_layers_without_weights_are_learnt_anew_and_weights_without_layers_left_out(tmp_path: Path) -> None:
    given = draft()
    del given.weights["data/conv/0"]
    given.weights["data/old/0"] = np.zeros(3)
    made = write(given, tmp_path, False, Console(quiet=True))
    assert made["notes"] == ["no weights for conv: learnt anew", "weights for old left out: nothing in the net takes them"]
    assert "weights: {file: weights.h5, fresh: [conv]}" in (tmp_path / "net.yaml").read_text()
    assert "data/old/0" not in snapshot.read(tmp_path / "weights.h5").arrays


def test_states_that_nobody_tells_are_at_their_beginning(tmp_path: Path) -> None:
    given = draft()
    for role in ("mean", "variance", "factor"):
        del given.weights[f"states/norm.{role}"]
    write(given, tmp_path, False, Console(quiet=True))
    arrays = snapshot.read(tmp_path / "weights.h5").arrays
    config = configs.read(tmp_path / "net.yaml", need_solver=False)
    assert {name: array.tolist() for name, array in arrays.items() if name.startswith("states/")} == {
        f"states/{name}": np.full(state.handle.shape, state.init).tolist() for name, state in config.net.store.states.items()
    }


def test_weights_in_other_shapes_of_the_same_size_fit_and_others_are_told_together(tmp_path: Path) -> None:
    given = draft()
    given.weights["data/a%2Fip/0"] = np.arange(24.0).reshape(1, 1, 2, 12)
    write(given, tmp_path, False, Console(quiet=True))
    assert snapshot.read(tmp_path / "weights.h5").arrays["data/a%2Fip/0"].shape == (2, 12)
    given.weights |= {"data/a%2Fip/1": np.zeros(3), "data/conv/0": np.zeros((3, 1, 5, 5))}
    words = (
        r"weights: conv \(data/conv/0\) is 3 x 1 x 5 x 5, the net has 3 x 1 x 3 x 3; a/ip \(data/a%2Fip/1\) is 3, the net has 2; "
    )
    with pytest.raises(DataError, match=words):
        write(given, tmp_path, True, Console(quiet=True))


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"weights.h5: is there already; choose another folder with -o DIR, or overwrite it with --f"
    ):
        write(draft(), tmp_path, False, Console(quiet=True))
    assert not (tmp_path / "net.yaml").exists()
    write(draft(), tmp_path, True, Console(quiet=True))
    assert snapshot.read(tmp_path / "weights.h5").arrays


def test_a_net_that_cannot_be_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layer 'pool' .Pooling.: 'kernel_size' "):
        write(
            draft(net=[Part("pool", "Pooling", {"kernel_size": 9, "round": "floor"}, ["data"])]),
            tmp_path,
            False,
            Console(quiet=True),
        )
    assert not list(tmp_path.iterdir())


def test_where_only_absent_data_tell_the_shapes_the_importer_may(tmp_path: Path) -> None:
    given = draft(data={"source": {"type": "lmdb", "file": "not/there"}})
    made = write(
        given, tmp_path / "a", False, Console(quiet=True), fields={"data": Shape((1, 6, 6)), "label": Shape((), "index")}
    )
    assert made["built"] and made["parameters"] == 59
    made = write(draft(data={"source": {"type": "lmdb", "train": "not/there"}}), tmp_path / "b", False, Console(quiet=True))
    assert not made["built"] and "parameters" not in made
    assert made["notes"][0].startswith("not built, and the weights not held against it: the shapes of the net hang on the data")
    assert snapshot.read(tmp_path / "b" / "weights.h5").arrays.keys() == draft().weights.keys()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write(draft(), tmp_path / "file" / "x", False, Console(quiet=True))


def test_what_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fails(path: Path) -> None:
        path.write_text("half")
        raise DataError(f"{path}: cannot be said")

    def stopped(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(DataError, match=rf"^{re.escape(str(tmp_path / 'b'))}: cannot be said$"):
        put_all(tmp_path, {"a": text_of("new"), "b": fails})
    with pytest.raises(KeyboardInterrupt):
        put_all(tmp_path, {"a": text_of("new"), "b": stopped})
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"
    put_all(tmp_path, {"a": text_of("new"), "b": text_of("b")})
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["b", "new"]


def test_names_become_names_of_ours(tmp_path: Path) -> None:
    made = write(draft(name="torch jit/main_graph"), tmp_path, False, Console(quiet=True))
    assert made["config"].endswith("/torch_jit_main_graph.yaml")
