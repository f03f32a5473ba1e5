"""Sources whose files are not here: what they promise of them, and what holds once the files are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dltrain import catalogue  # noqa: F401
from dltrain import config as configs
from dltrain.config import read
from dltrain.data.hdf5_files import Hdf5Files
from dltrain.data.lmdb_files import LmdbFiles
from dltrain.errors import ConfigError, DataError
from dltrain.marks import parse
from dltrain.sketch import fields_of
from dltrain.source import ANY_SIZE
from tests.data.test_lmdb_files import datum, png, store

NET = "\nnet: [{name: ip, type: InnerProduct, num_output: 2}]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(source: str, promise: Any = fields_of) -> configs.Config:
    return read("net.yaml", need_solver=False, document=parse(f"data: {{source: {source}}}{NET}", "net.yaml"), promise=promise)


@pytest.mark.parametrize("source", [
    "{type: lmdb, train: a, test: b, shapes: {data: [3, 4, 4], label: []}}",
    "{type: hdf5, train: [a.h5, b.h5], tops: [data, label], shapes: {data: [3, 4, 4], label: []}, classes: {label: 7}}",
])  # fmt: skip
def test_a_net_is_built_by_what_is_promised(source: str) -> None:
    made = config(source)
    assert made.net.store.parameters == 2 * 48 + 2
    assert made.feed.fields["label"].dtype == "index"
    with pytest.raises(DataError):
        config(source, promise=None)


def test_without_shapes_the_files_are_needed() -> None:
    with pytest.raises(DataError, match="the shapes of the net hang on the data, which cannot be had: .*there is no LMDB"):
        config("{type: lmdb, train: a}")
    with pytest.raises(ConfigError, match=r"data: source \(lmdb\): .*write sizes from 1 on, such as \[3, 224, 224\]"):
        config("{type: lmdb, train: a, shapes: {data: [0]}}")


def test_once_the_files_are_here_they_tell() -> None:
    with h5py.File("a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((4, 5), np.float32), np.zeros(4, np.int64)
    assert config("{type: hdf5, file: a.h5, shapes: {data: [9]}}").net.store.parameters == 12
    assert Hdf5Files(file=("a.h5",), shapes={"data": (9,)}).promised() == {}
    assert Hdf5Files(train=("a.h5",), test=("gone.h5",), shapes={"data": (9, ANY_SIZE)}).promised() == {"data": (9, ANY_SIZE)}


def test_classes_make_whole_numbers_of_whatever_holds_them() -> None:
    with h5py.File("a.h5", "w") as file:
        file["data"] = np.zeros((4, 5), np.float32)
        file["words"], file["half"] = np.ones((4, 3), np.float32), np.full(4, 0.5)
        file["one"] = np.array([[3.0], [1], [2], [0]])
    source = Hdf5Files(file=("a.h5",), classes={"words": 9, "one": 4})
    source.open()
    assert {name: (tuple(x), x.dtype) for name, x in source.fields.items() if name != "data"} == {
        "words": ((3,), "index"), "one": ((), "index"), "half": ((), "float"),
    }  # fmt: skip
    assert source.classes == {"words": 9, "one": 4}
    out = {"one": np.zeros(2, np.int32)}
    source.read(np.array([0, 2]), out)
    assert out["one"].tolist() == [3, 2]
    with pytest.raises(DataError, match="hdf5: classes: 'half' has numbers that are not whole; leave it out of classes"):
        Hdf5Files(file=("a.h5",), classes={"half": 3}).open()
    with pytest.raises(DataError, match="hdf5: classes: there is no field 'word'; did you mean 'words'"):
        Hdf5Files(file=("a.h5",), classes={"word": 3}).open()


def colours(path: str) -> None:
    """A picture whose red is 10, green 11, blue 12."""
    Path(path).write_bytes(png(2, 2, 10))


@pytest.mark.parametrize(("color", "first"), [("rgb", 10), ("bgr", 12)])
def test_a_picture_of_the_user_is_as_the_database_has_them(color: Any, first: int) -> None:
    colours("p.png")
    source = LmdbFiles(train="gone", color=color, shapes={"data": (3, 2, 2), "label": ()})
    source.fields = source.promised()
    made = source.load(Path("p.png"))["data"]
    assert made.shape == (3, 2, 2) and made[0, 0, 0] == first


def test_a_database_of_one_channel_takes_grey_pictures() -> None:
    colours("p.png")
    store("g.lmdb", {b"0": datum((1, 2, 2), bytes(4), 0)})
    source = LmdbFiles(file="g.lmdb", color="bgr")
    source.open()
    assert source.load(Path("p.png"))["data"].shape == (1, 2, 2)
    with pytest.raises(DataError, match="no.png"):
        source.load(Path("no.png"))


def test_grey_pictures_in_colour_databases_keep_their_three_channels() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(np.full((2, 2), 9, np.uint8)).save(file, "PNG")
    store("e.lmdb", {b"0": datum((1, 2, 2), file.getvalue(), 0, encoded=True)})
    for color, channels in (("bgr", 3), ("grey", 1)):
        source = LmdbFiles(file="e.lmdb", color=color)  # type: ignore[arg-type]
        source.open()
        assert source.fields["data"] == (channels, 2, 2)


def test_labels_may_be_measured() -> None:
    store("m.lmdb", {b"%d" % number: datum((1, 2, 2), bytes(4), number + 3) for number in range(4)})
    with h5py.File("m.h5", "w") as file:
        file["data"], file["label"] = np.zeros((4, 5), np.float32), np.arange(3, 7)
    for source in (LmdbFiles(file="m.lmdb", measured=["label"]), Hdf5Files(file=("m.h5",), measured=["label"])):
        source.open()
        assert source.fields["label"].dtype == "float"
        out = {"label": np.zeros(2, np.float32)}
        source.read(np.array([1, 3]), out)
        assert out["label"].tolist() == [4, 6]
    gone = LmdbFiles(file="gone", measured=["label"], shapes={"data": (1, 2, 2), "label": ()})
    assert gone.promised()["label"].dtype == "float"
    with pytest.raises(DataError, match="lmdb: measured: there is no field 'lable'; did you mean 'label'"):
        LmdbFiles(file="m.lmdb", measured=["lable"]).open()
