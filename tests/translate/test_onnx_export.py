"""dltrain export onnx: the file, what it says of itself, what it is held against, and what is refused."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from dltrain import config as configs
from dltrain import launch, snapshot
from dltrain.cli import cli
from dltrain.console import Console
from dltrain.engine import Engine
from dltrain.errors import CheckFailed, ConfigError, DataError, SnapshotError
from dltrain.run import Run
from dltrain.translate import to_onnx_check
from dltrain.translate.to_onnx import export
from dltrain.translate.to_onnx_check import apart
from tests.translate.onnx_pairs import run

pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

CONFIG = """
name: marks
data:
  source: {type: arrays, train: train.npz, test: test.npz}
  batch_size: 4
  transform: [{mean: channel}, {scale: 0.5}, {crop: 4}, mirror]
net:
  - {name: conv, type: Convolution, num_output: 4, kernel_size: 3}
  - {name: bn, type: BatchNorm}
  - {name: relu, type: ReLU}
  - {name: pool, type: Pooling, pool: mean, kernel_size: 2, stride: 2}
  - {name: ip, type: InnerProduct, num_output: 3}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip, label], phase: test}
solver: {type: SGD, base_lr: 0.1, momentum: 0.9, max_iter: 12, display: null, test: null, snapshot: {interval: 6}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with marks.yaml, its data and a run of it."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    for name in ("train", "test"):
        np.savez(folder / f"{name}.npz", data=rng.uniform(0, 9, (20, 3, 6, 6)).astype(np.float32), label=rng.integers(0, 3, 20))
    (folder / "marks.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "take", lambda self: None)  # this process would hold the lock to its end
        launch.start(str(folder / "marks.yaml"), (), (), "reference", str(folder / "runs"), Console(quiet=True))
    return folder


@pytest.fixture
def at(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path / "here", symlinks=True)
    config = Run.find(tmp_path / "here" / "runs" / "marks").config  # type: ignore[union-attr]
    config.write_text(config.read_text().replace(str(trained), str(tmp_path / "here")))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Exports; what --json gives."""

    def call(path: str = "runs/marks", out: str = "net.onnx", weights: str | None = None, settings: tuple[str, ...] = (),
             opset: int = 17, batch: str | None = None, blobs: tuple[str, ...] = ()) -> Any:  # fmt: skip
        capsys.readouterr()
        export(path, out, weights, settings, opset, batch, blobs, Console(True, True))
        return json.loads(capsys.readouterr().out)

    return call


def facts(file: str = "net.onnx") -> dict[str, Any]:
    texts = {prop.key.removeprefix("dltrain."): prop.value for prop in onnx.load(file).metadata_props}
    return {key: json.loads(value) if value[0] in "{[" else value for key, value in texts.items()}


# --- the file ---
def test_it_gives_what_the_run_gives_on_samples_of_test(at: Path, said: Any) -> None:
    told = said()
    assert told["inputs"] == {"data": ["N", 3, 4, 4]} and told["outputs"] == {"ip": ["N", 3]}
    assert told["opset"] == 17 and told["nodes"] == 6 and told["parameters"] == 3 * 9 * 4 + 4 + 8 + 4 * 3 + 3
    assert told["bytes"] == Path("net.onnx").stat().st_size
    assert told["compared"]["samples"] == "16 samples of test" and told["compared"]["difference"] < 1e-5
    model = onnx.load("net.onnx")
    assert [node.name for node in model.graph.node] == ["conv", "bn", "relu", "pool", "ip/Flatten", "ip"]
    x = np.random.default_rng(1).standard_normal((5, 3, 4, 4))
    assert run(model, {"data": x})[0].shape == (5, 3)


def test_it_tells_in_words(at: Path) -> None:
    made = CliRunner().invoke(cli, ["export", "onnx", "runs/marks", "-o", "net.onnx"], catch_exceptions=False)
    assert made.exit_code == 0 and "net.onnx: 6 nodes, 135 parameters, opset 17, " in made.output
    assert "input   data  N x 3 x 4 x 4\noutput  ip  N x 3\nonnxruntime" in made.output
    assert "on 16 samples of test" in made.output


def test_a_blob_an_opset_and_a_number_of_samples(at: Path, said: Any) -> None:
    told = said(blobs=("pool", "relu"), opset=20, batch="2")
    assert told["outputs"] == {"pool": [2, 4, 1, 1], "relu": [2, 4, 2, 2]} and told["inputs"] == {"data": [2, 3, 4, 4]}
    model = onnx.load("net.onnx")
    assert (
        model.opset_import[0].version == 20 and len(model.graph.node) == 4 and told["compared"]["samples"] == "2 samples of test"
    )
    assert facts()["outputs"] == {"pool": {"is": "scores"}, "relu": {"is": "scores"}}


def test_a_config_with_a_file_of_weights(at: Path, said: Any) -> None:
    one = said()
    best = str(Path(one["weights"]))
    assert said("marks.yaml", weights=best)["compared"]["difference"] < 1e-5
    with pytest.raises(ConfigError, match="marks.yaml: has no weights; give the folder of a run"):
        said("marks.yaml")
    with pytest.raises(SnapshotError, match="belongs to another net: weights: .*ip"):
        said("marks.yaml", weights=best, settings=("net.ip.num_output=5",))


# --- what it says of itself ---
def test_it_says_what_its_inputs_must_be_and_what_its_outputs_mean(at: Path, said: Any) -> None:
    said()
    told, config = facts(), Run.find(Path("runs/marks"))
    assert config is not None
    mean = snapshot.read(config.newest()[0]).arrays["transforms/0/mean"]
    assert told["version"] == "0.1.0" and told["net"] == "marks" and told["weights"].startswith("iter_")
    assert told["fingerprint"] == configs.read(config.config).fingerprint
    read = told["inputs"]["data"]
    assert read["type"] == "float32" and read["shape"] == ["N", 3, 4, 4]
    assert read["source"] == {"type": "arrays", "shape": [3, 6, 6]}
    computed = read["transform"][0]["computed"]["mean"]
    assert computed["shape"] == [3, 1, 1] and np.float32(computed["values"]).tolist() == mean.reshape(-1).tolist()
    assert [next(iter(step)) for step in read["transform"]] == ["mean", "scale", "crop", "mirror"]
    assert read["transform"][1]["scale"] == {"value": 0.5} or read["transform"][1]["scale"]["value"] == 0.5
    assert told["outputs"]["ip"] == {"is": "scores", "probabilities": "softmax", "axis": 1, "classes": ["0", "1", "2"]}


def bare() -> str:
    """A file of the weights alone, without what the steps have computed."""
    run = Run.find(Path("runs/marks"))
    assert run is not None
    with h5py.File("weights.h5", "w") as file:
        for name, array in snapshot.read(run.newest()[0]).arrays.items():
            if name.startswith(("data/", "states/")):
                file[name] = array
    return "weights.h5"


def test_many_numbers_are_base64(at: Path, said: Any) -> None:
    said("marks.yaml", weights=bare(), settings=("data.transform=[{mean: image}, {crop: 4}]",))
    told = facts()["inputs"]["data"]["transform"][0]["computed"]["mean"]
    made = np.frombuffer(base64.b64decode(told["base64"]), "<f4").reshape(told["shape"])
    with np.load("train.npz") as samples:
        np.testing.assert_allclose(made, samples["data"].mean(axis=0), rtol=1e-6)


def test_without_the_data_made_up_samples_are_compared(at: Path, said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("train.npz").unlink()
    told = said()
    assert told["compared"]["samples"] == "4 made-up samples" and told["inputs"] == {"data": ["N", 3, 4, 4]}
    assert "values" in facts()["inputs"]["data"]["transform"][0]["computed"]["mean"]
    said(weights=bare())
    assert facts()["inputs"]["data"]["transform"][0]["computed"] == "over training data that were not there when this was written"
    export("runs/marks", "net.onnx", None, (), 17, None, (), Console())
    assert "without the data, which cannot be had: " in capsys.readouterr().err


def test_a_net_that_hangs_on_its_batch_is_for_one_batch(at: Path, said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(Run.find(Path("runs/marks")).newest()[0])  # type: ignore[union-attr]
    pool = "{name: pool, type: Pooling, pool: mean, kernel_size: 2, stride: 2}"
    fixed = CONFIG.split("  - {name: ip")[0].replace(pool, "{name: pool, type: Reshape, shape: [4, 16]}")
    Path("fixed.yaml").write_text(fixed)
    told = said("fixed.yaml", weights=weights)
    assert told["inputs"] == {"data": [4, 3, 4, 4]} and told["outputs"] == {"pool": [4, 16]}
    with pytest.raises(ConfigError, match=r"--batch any: a layer \(.*\) hangs on the number of samples; give --batch 4"):
        said("fixed.yaml", weights=weights, batch="any")
    with pytest.raises(ConfigError, match="--batch 5: .*; the config's own batch_size is 4"):
        said("fixed.yaml", weights=weights, batch="5")
    export("fixed.yaml", "net.onnx", weights, (), 17, None, (), Console())
    assert "for 4 samples at a time, since a layer (" in capsys.readouterr().err


# --- what is refused ---
def test_a_difference_is_told_and_nothing_is_written(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = Engine.blob
    monkeypatch.setattr(Engine, "blob", lambda self, name: blob(self, name) + np.float32(0.01))
    made = CliRunner().invoke(cli, ["export", "onnx", "runs/marks", "-o", "net.onnx"])
    assert isinstance(made.exception, CheckFailed) and made.exception.exit_code == 7
    assert "and dltrain differ by 0.01 on 16 samples of test, which is more than 0.0001; nothing was written" in str(
        made.exception
    )
    assert not Path("net.onnx").exists()


def test_without_onnxruntime_nothing_is_compared(
    at: Path, said: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert said()["compared"] is None
    export("runs/marks", "net.onnx", None, (), 17, None, (), Console())
    assert "not compared with onnxruntime, which is not there: pip install onnxruntime" in capsys.readouterr().err


def test_a_net_that_gives_nan_is_not_compared(at: Path, said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(bare(), "r+") as file:
        file["data/conv/0"][...] = np.nan
    assert said(weights="weights.h5")["compared"] is None
    export("runs/marks", "net.onnx", "weights.h5", (), 17, None, (), Console())
    assert "not compared with onnxruntime: on 16 samples of test the net gives no finite number" in capsys.readouterr().err


def test_without_onnx_one_line_says_so(at: Path, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"onnx is missing, which writes these files: pip install 'dltrain\[onnx\]'"):
        said()


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"out": "net.pb"}, "-o net.pb: a model of ONNX ends in .onnx"),
        ({"out": "nowhere/net.onnx"}, "-o nowhere/net.onnx: there is no folder nowhere"),
        ({"batch": "some"}, "--batch some: is neither a number of samples nor any"),
        ({"batch": "0"}, "--batch 0: is neither a number of samples nor any"),
        ({"blobs": ("pol",)}, "--blob pol: there is no such blob; did you mean 'pool'?"),
        ({"blobs": ("data",)}, "--blob data: is what the net reads, not what it makes"),
    ],
)
def test_words_that_cannot_be(at: Path, said: Any, wish: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        said(**wish)
    assert not Path("net.onnx").exists()


def test_an_opset_is_one_of_those_we_know(at: Path) -> None:
    made = CliRunner().invoke(cli, ["export", "onnx", "runs/marks", "-o", "net.onnx", "--opset", "16"])
    assert made.exit_code == 2 and "16 is not in the range 17<=x<=21" in made.output


def test_a_file_that_cannot_be_written(at: Path, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"net.onnx: cannot be written \(No space left on device\)"):
        said()


def test_how_far_apart_two_arrays_are() -> None:
    a, nan = np.array([1.0, -200.0]), np.array([np.nan, np.inf])
    assert apart("y", a, a + [0, 1]) == pytest.approx(1 / 200) and apart("y", a / 1000, a / 1000 + 0.25) == pytest.approx(0.25)
    assert apart("y", nan, nan) == 0 and not apart("y", np.ones(2), nan) <= 1 and apart("y", a[:0], a[:0]) == 0
    with pytest.raises(CheckFailed, match=r"y is \(1, 2\) in onnxruntime and \(2,\) in dltrain"):
        apart("y", a, a[None])
    assert to_onnx_check.TOLERANCE == 1e-4
