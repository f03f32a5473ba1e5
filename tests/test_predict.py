"""dltrain predict: the same numbers as the training's own test, for files and sources, with the training's data gone."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from dltrain import launch
from dltrain.console import Console
from dltrain.errors import ConfigError, DataError, SnapshotError
from dltrain.judgement import Output
from dltrain.predict import Wish, predict
from dltrain.recall import recall
from dltrain.run import Run

CONFIG = """
name: pets
data:
  source: {type: image_folder, root: pets}
  batch_size: 4
  val: {hold_out: 4}
  transform: [{resize: [6, 6]}, {crop: 4}, mirror, {mean: channel}, {scale: 0.01}]
net:
  - {name: ip1, type: InnerProduct, num_output: 5}
  - {name: relu1, type: ReLU}
  - {name: ip2, type: InnerProduct, num_output: 2}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip2, label], phase: test}
solver: {type: SGD, base_lr: 0.1, momentum: 0.9, max_iter: 40, display: 10, param: {"ip1.bias": {lr_mult: 2}}}
"""


def pictures(root: Path) -> None:
    """Red cats and blue dogs of several sizes."""
    for number in range(24):
        kind, value = ("cat", (200 - number, 20, 30)) if number % 2 else ("dog", (10, 20 + number, 190))
        path = root / ("test" if number < 4 else "train") / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (7 + number, 9), value).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pets/, pets.yaml and a run of it."""
    folder = tmp_path_factory.mktemp("trained")
    pictures(folder / "pets")
    (folder / "pets.yaml").write_text(CONFIG)
    train(folder / "pets.yaml", folder / "runs")
    return folder


def train(config: Path, runs: Path) -> None:
    """dltrain train in this process, which would else hold the run's lock to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "take", lambda self: None)
        launch.start(str(config), (), (), "reference", str(runs), Console(quiet=True))


@pytest.fixture
def at(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run in a folder where its data are not, and which is the working folder."""
    shutil.copytree(trained / "runs", tmp_path / "runs", symlinks=True)
    config = Run.find(tmp_path / "runs" / "pets").config  # type: ignore[union-attr]
    config.write_text(config.read_text().replace(str(trained), str(tmp_path / "gone")))
    shutil.copytree(trained / "pets" / "test", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """What --json gives."""

    def run(path: Any, *what: Any, split: str | None = None, settings: tuple[str, ...] = (), **wish: Any) -> Any:
        capsys.readouterr()
        predict(str(path), tuple(map(str, what)), split, None, settings, "reference", Wish(**wish), Console(True, True))
        return json.loads(capsys.readouterr().out)

    return run


def rows(made: Any) -> dict[str, tuple[str, float]]:
    """Sample -> (likeliest class, its probability)."""
    return {Path(each["id"]).stem: (each["ip2"][0]["name"], each["ip2"][0]["probability"]) for each in made["predictions"]}


# --- the same numbers ---
def test_files_are_judged_as_the_split_was_though_the_data_are_gone(trained: Path, at: Path, said: Any) -> None:
    with pytest.raises(DataError, match="gone/pets: there is no such folder"):
        said("runs/pets", split="test")
    own = rows(said(trained / "runs" / "pets", split="test"))
    files = rows(said("runs/pets", "mine"))
    assert files.keys() == own.keys() == {"0", "1", "2", "3"}
    assert {name: word for name, (word, _) in files.items()} == {"0": "dog", "1": "cat", "2": "dog", "3": "cat"}
    assert [p for _, p in files.values()] == pytest.approx([own[name][1] for name in files], abs=1e-6)
    source = rows(said("runs/pets", "{type: image_folder, root: mine}"))  # cat and dog as folders
    assert source == {name: (word, pytest.approx(p, abs=1e-6)) for name, (word, p) in files.items()}


def test_probabilities_sum_to_1_and_are_the_softmax_of_the_scores(at: Path, said: Any) -> None:
    made = said("runs/pets", "mine/cat/1.png")["predictions"][0]["ip2"]
    scores = np.array(said("runs/pets", "mine/cat/1.png", blobs=("ip2", "ip1"))["predictions"][0]["ip2"])
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert [each["class"] for each in made] == [0, 1] and [each["name"] for each in made] == ["cat", "dog"]
    assert [each["probability"] for each in made] == pytest.approx(expected, rel=1e-5)
    assert len(said("runs/pets", "mine/cat/1.png", top=1)["predictions"][0]["ip2"]) == 1


def test_an_array_of_the_source_s_form_is_a_file_too(at: Path, said: Any) -> None:
    with Image.open("mine/cat/1.png") as image:
        np.save("one.npy", np.asarray(image).transpose(2, 0, 1))
    assert rows(said("runs/pets", "one.npy"))["one"] == rows(said("runs/pets", "mine/cat/1.png"))["1"]


def test_a_source_without_labels_or_train_and_with_a_split(at: Path, said: Any) -> None:
    from dltrain.data.image import read_image

    pixels = np.stack([read_image(f"mine/{name}.png")[:, :, :7] for name in ("cat/1", "dog/0")])
    np.savez("only.npz", data=pixels.astype(np.float32))
    made = said("runs/pets", "{type: arrays, train: only.npz, test: only.npz}", split="test")
    assert [each["ip2"][0]["name"] for each in made["predictions"]] == ["cat", "dog"]
    assert made["predictions"][0]["id"].startswith("row 0 of ")
    np.savez("other.npz", pixels=pixels)
    with pytest.raises(DataError, match="arrays: has no field 'data', which the net was trained on; it has pixels"):
        said("runs/pets", "{type: arrays, file: other.npz}")
    with pytest.raises(ConfigError, match="--split tset: arrays has no such split; did you mean 'test'?"):
        said("runs/pets", "{type: arrays, train: only.npz, test: only.npz}", split="tset")


def test_what_cannot_be_read_is_named_and_the_others_go_on(at: Path, capsys: Any) -> None:
    Path("mine/bad.png").write_bytes(b"nonsense")
    np.save("flat.npy", np.zeros((3, 4), np.float32))
    words = ("mine", "flat.npy", "absent.png")
    with pytest.raises(
        DataError, match=r"^3 of 7 could not be read: mine/bad.png, flat.npy, absent.png; the first: mine/bad.png: is no pic"
    ):
        predict("runs/pets", words, None, None, (), "reference", Wish(top=1), Console())
    read = capsys.readouterr()
    assert [line.split()[1] for line in read.out.splitlines()] == ["cat", "cat", "dog", "dog"]
    assert read.out.splitlines()[0].startswith("mine/cat/1.png  cat ") and read.out.splitlines()[0].endswith(" %")
    assert "left out: flat.npy: is 3 x 4, but the net was trained on samples of 3 x any x any; bring it to that size" in read.err
    assert "left out: absent.png: there is no such file" in read.err


def test_a_picture_in_a_source_that_cannot_be_read(at: Path, said: Any, capsys: Any) -> None:
    Path("mine/cat/bad.png").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="1 of 5 could not be read: cat/bad.png"):
        said("runs/pets", "{type: image_folder, root: mine}")
    made = json.loads(capsys.readouterr().out)
    assert list(made["failed"]) == ["cat/bad.png"] and len(made["predictions"]) == 4


# --- files of results ---
@pytest.mark.parametrize("ending", ["csv", "h5", "npz", "json"])
def test_results_in_files(at: Path, said: Any, capsys: Any, ending: str) -> None:
    made = said("runs/pets", "mine", out=f"p.{ending}")
    likely = {each["id"]: each["ip2"][0] for each in made["predictions"]}
    if ending == "json":
        assert json.loads(Path("p.json").read_text()) == made
        return
    if ending == "csv":
        found = {row["id"]: (row["ip2.name"], int(row["ip2.class"]), max(float(row["ip2.0"]), float(row["ip2.1"])))
                 for row in csv.DictReader(Path("p.csv").read_text().splitlines())}  # fmt: skip
        assert found == {name: (best["name"], best["class"], pytest.approx(best["probability"])) for name, best in likely.items()}
        return
    with h5py.File("p.h5") if ending == "h5" else np.load("p.npz") as file:
        ids = file["id"].asstr()[()] if ending == "h5" else file["id"]
        assert list(ids) == list(likely) and np.asarray(file["ip2"]).shape == (4, 2)
        assert np.asarray(file["ip2.class"]).tolist() == [best["class"] for best in likely.values()]


def test_text_is_a_line_a_sample(at: Path, capsys: Any) -> None:
    predict("runs/pets", ("mine/dog/0.png",), None, None, (), "reference", Wish(blobs=("data", "ip1")), Console(quiet=True))
    line = capsys.readouterr().out
    assert line.startswith("mine/dog/0.png  data: ") and " … (3 x 4 x 4)  ip1: " in line and line.count("\n") == 1
    predict("runs/pets", ("mine",), None, None, (), "reference", Wish(out="p.csv"), Console(quiet=True))
    assert capsys.readouterr().out == "p.csv: ip2 4 x 2\n"


@pytest.mark.parametrize(("what", "split", "wish", "words"), [
    ((), None, {}, "give files, a SOURCE"),
    (("mine",), "test", {}, "files have no splits"),
    (("digist",), None, {}, "digist: is neither a file nor a source; did you mean 'digits'?"),
    (("mine",), None, {"blobs": ("ip3",)}, "--blob ip3: there is no such blob; did you mean 'ip"),
    (("mine",), None, {"out": "p.txt"}, "ends in .h5, .npz, .csv, .json"),
    (("mine",), None, {"out": "no/p.csv"}, "there is no folder no"),
])  # fmt: skip
def test_what_cannot_be_asked(at: Path, said: Any, what: Any, split: Any, wish: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        said("runs/pets", *what, split=split, **wish)
    assert words in str(caught.value)


def test_steps_may_be_set_anew_but_must_fit_the_net(at: Path, said: Any) -> None:
    said("runs/pets", "mine", settings=("data.transform.0.resize=8",))
    with pytest.raises((ConfigError, SnapshotError), match="ip1"):
        said("runs/pets", "mine", settings=("data.transform.1.crop=5",))
    with pytest.raises(ConfigError, match="there is no such file|has no weights"):
        said("absent", "mine")


# --- what a run remembers ---
def test_a_run_remembers_fields_classes_and_names(trained: Path) -> None:
    run = Run.find(trained / "runs" / "pets")
    assert run is not None
    memory = recall(run.folder)
    assert memory is not None and memory.names == {"label": ["cat", "dog"]} and memory.classes == {"label": 2}
    assert [(name, tuple(x), x.dtype) for name, x in memory.fields.items()] == [
        ("data", (3, -1, -1), "float"),
        ("label", (), "index"),
    ]
    assert json.loads((run.folder / "data.json").read_text())["samples"] == {"train": 16, "test": 4, "val": 4}


def test_a_damaged_memory_is_told_and_without_one_the_data_are_opened(trained: Path, at: Path, said: Any) -> None:
    folder = Run.find(at / "runs" / "pets").folder  # type: ignore[union-attr]
    for content in ["{", "[]", '{"fields": {"data": 3}}', '{"fields": {}, "names": {}}']:
        (folder / "data.json").write_text(content)
        with pytest.raises(SnapshotError, match=r"data.json: is damaged \(.*; remove it, and the data will be opened instead"):
            said("runs/pets", "mine")
    (folder / "data.json").unlink()
    with pytest.raises(DataError, match="gone/pets: there is no such folder"):
        said("runs/pets", "mine")
    shutil.copytree(trained / "pets", at / "gone" / "pets")
    assert rows(said("runs/pets", "mine/cat/1.png"))["1"][0] == "cat"


def test_a_step_that_the_training_has_not_computed_is_refused(at: Path, said: Any) -> None:
    with pytest.raises(
        SnapshotError, match=r"does not hold what data.transform.5 computes over the training samples; leave that step"
    ):
        said(
            "runs/pets",
            "mine",
            settings=("data.transform=[{resize: [6, 6]}, {crop: 4}, mirror, {mean: channel}, {scale: 0.01}, {std: channel}]",),
        )


def test_a_source_that_needs_its_data_to_read_a_file_opens_them(tmp_path: Path, monkeypatch: Any, said: Any) -> None:
    (tmp_path / "t.txt").write_text("abcab" * 40)
    (tmp_path / "mine.txt").write_text("abcabcab")
    (tmp_path / "t.yaml").write_text(
        "name: t\ndata: {source: {type: text, file: t.txt, unit: characters, length: 4}, batch_size: 5}\n"
        "net:\n  - {name: e, type: Embed, input_dim: 5, num_output: 3}\n  - {name: ip, type: InnerProduct, num_output: 5, axis: 2}\n"
        "  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label], axis: 2}\nsolver: {type: SGD, base_lr: 0.1, max_iter: 2}\n"
    )
    monkeypatch.chdir(tmp_path)
    train(Path("t.yaml"), Path("runs"))
    made = np.array(said("runs/t", "mine.txt")["predictions"][0]["ip"])
    assert made.shape == (4, 5) and made.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


# --- how outputs are read ---
def end(tmp_path: Path, monkeypatch: Any, said: Any, lines: str, label: Any) -> Any:
    """What is said of a row of zeros by a net whose weights are 0 and whose biases are 1."""
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", data=np.ones((4, 2), np.float32), label=np.asarray(label))
    (tmp_path / "e.yaml").write_text(
        "name: e\ndata: {source: {type: arrays, file: a.npz}, batch_size: 2}\n"
        "net:\n  - {name: ip, type: InnerProduct, num_output: 2, "
        f"param: {{weight: {{filler: {{type: constant, value: 0}}}}, bias: {{filler: {{type: constant, value: 1}}}}}}}}\n{lines}"
        "solver: {type: SGD, base_lr: 1e-30, max_iter: 1}\n"
    )
    train(Path("e.yaml"), Path("runs"))
    np.save("x.npy", np.zeros(2, np.float32))
    made = said("runs/e", "x.npy")["predictions"][0]
    return {name: value for name, value in made.items() if name != "id"}


SCORES = [0, 1, 0, 1]
BOTH = np.array([[0, 1]] * 4, np.float32)


@pytest.mark.parametrize(("lines", "label", "name", "expected"), [
    ("  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n", SCORES, "ip", ("probability", 0.5)),
    ("  - {name: p, type: Softmax}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n", SCORES, "p", ("probability", 0.5)),
    ("  - {name: p, type: LogSoftmax}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n", SCORES, "p", ("probability", 0.5)),
    ("  - {name: p, type: Softmax}\n  - {name: loss, type: MultinomialLogisticLoss, bottom: [p, label]}\n", SCORES, "p", ("probability", 0.5)),
    ("  - {name: loss, type: HingeLoss, bottom: [ip, label]}\n", SCORES, "ip", ("score", 1.0)),
    ("  - {name: loss, type: FocalLoss, bottom: [ip, label]}\n", SCORES, "ip", ("probability", 0.5)),
    ("  - {name: loss, type: SigmoidCrossEntropyLoss, bottom: [ip, label]}\n", BOTH.astype(np.int32), "ip", ("probability", 0.7310586)),
    ("  - {name: loss, type: EuclideanLoss, bottom: [ip, label]}\n", BOTH, "ip", None),
])  # fmt: skip
def test_outputs_are_read_as_their_loss_reads_them(
    tmp_path: Path, monkeypatch: Any, said: Any, lines: str, label: Any, name: str, expected: Any
) -> None:
    made = end(tmp_path, monkeypatch, said, lines, label)
    assert list(made) == [name]
    if expected is None:
        assert made[name] == pytest.approx([1, 1])
        return
    measure, value = expected
    assert [(each["class"], each["name"]) for each in made[name]] == [(0, "0"), (1, "1")]
    assert [each[measure] for each in made[name]] == pytest.approx([value] * 2, rel=1e-6)


def test_softmax_and_sigmoid_do_not_overflow() -> None:
    soft, each = Output("x", "softmax"), Output("x", "sigmoid")
    assert soft.made(np.array([[1000.0, 0.0]])).tolist() == [[1, 0]]
    np.testing.assert_allclose(each.made(np.array([[-1000.0, 0.0, 1000.0]])), [[0, 0.5, 1]], atol=1e-12)


def test_the_first_of_equals_comes_first() -> None:
    assert [best["class"] for best in Output("x", "softmax", 1, list("abc")).top(np.array([0.2, 0.4, 0.4]), 2)] == [1, 2]
