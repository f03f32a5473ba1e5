"""Data layers of Caffe's as a data section: what a source, a step and a split are there, and the same batches here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import config as configs
from dltrain.caffe.blobs import write_mean
from tests.fixtures.caffe_import import Brought, written

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "data"
REST = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 7 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""


def both(kind: str, train: str, test: str) -> str:
    """A data layer for each phase."""
    pair = zip(("TRAIN", "TEST"), (train, test))
    return "\n".join(f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" include {{ phase: {phase} }} {said} }}'
                     for phase, said in pair)  # fmt: skip


def data(folder: Path, text: str, **wish: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    made = Brought([written(folder, text + REST)], folder / "out", **wish)
    section: dict[str, Any] = made.config["data"]
    return section | {"notes": made.notes}


def db(source: str, batch: int = 8, said: str = "") -> str:
    return f'data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} {said}'


def test_what_differs_between_the_phases(tmp_path: Path) -> None:
    steps = "transform_param {{ crop_size: 20 mean_value: 5 mirror: {} scale: 2 }}"
    made = data(tmp_path, both("Data", db("a", 8, steps.format("true")), db("b", 4, steps.format("true"))))
    assert made["source"] == {
        "type": "lmdb",
        "train": "a",
        "test": "b",
        "color": "bgr",
        "shapes": {"data": [3, 20, 20], "label": []},
    }
    assert made["transform"] == [{"mean": 5}, {"crop": 20}, "mirror", {"scale": 2}] and made["shuffle"] is False
    assert (made["batch_size"], made["test"]) == (8, {"batch_size": 4})
    assert "'d' (Data): mirror acts in train only here; Caffe mirrors at random in test, too" in made["notes"]
    words = "the data are not here: a, b; put them there, beside this config, or their paths into data.source"
    assert words in made["notes"]


def test_steps_of_test_alone(tmp_path: Path) -> None:
    made = data(tmp_path, both("Data", db("a"), db("b", 8, "transform_param { scale: 2 }")), shapes={"data": (1, 6, 6)})
    assert "transform" not in made and made["test"] == {"transform": [{"scale": 2}]}
    assert made["source"]["shapes"]["data"] == [1, 6, 6]


def test_a_mean_file_beside_the_config(tmp_path: Path) -> None:
    mean = np.arange(3 * 6 * 6, dtype=np.float32).reshape(3, 6, 6)
    write_mean(tmp_path / "m.binaryproto", mean)
    text = both("Data", *[db(name, 8, 'transform_param { mean_file: "x/y/m.binaryproto" crop_size: 4 }') for name in "ab"])
    made = data(tmp_path, text)
    assert made["transform"] == [{"mean_file": "mean.npy"}, {"crop": 4}] and "test" not in made
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "mean.npy"), mean)
    assert made["source"]["shapes"]["data"] == [3, 6, 6]


def test_a_mean_file_that_is_given(tmp_path: Path) -> None:
    write_mean(tmp_path / "other.binaryproto", np.ones((1, 5, 5), np.float32))
    text = both("Data", *[db(name, 8, 'transform_param { mean_file: "gone" }') for name in "ab"])
    made = Brought([written(tmp_path, text + REST), tmp_path / "other.binaryproto"], tmp_path / "out")
    assert made.config["data"]["source"]["shapes"]["data"] == [1, 5, 5]
    with pytest.raises(Exception, match="is a second mean, after"):
        Brought([tmp_path / "net.prototxt", *[tmp_path / "other.binaryproto"] * 2], tmp_path / "out2")


def test_a_mean_file_that_is_gone_is_computed(tmp_path: Path) -> None:
    text = both("Data", *[db(name, 8, 'transform_param { mean_file: "gone" crop_size: 4 }') for name in "ab"])
    made = data(tmp_path, text)
    assert made["transform"] == [{"mean": "image"}, {"crop": 4}]
    assert any(
        "its mean_file gone is not here; the mean of each place is computed over train instead" in note for note in made["notes"]
    )


def test_lists_of_pictures(tmp_path: Path) -> None:
    said = (
        'image_data_param {{ source: "{}.txt" batch_size: 5 new_height: 10 new_width: 12 shuffle: true root_folder: "pics/" {} }}'
    )
    made = data(tmp_path, both("ImageData", said.format("a", ""), said.format("b", "")))
    assert made["source"] == {"type": "image_list", "train": "a.txt", "test": "b.txt", "root": "pics/"} and "shuffle" not in made
    assert made["transform"] == [{"resize": [10, 12]}, {"channels": [2, 1, 0]}]
    (tmp_path / "a.txt").write_text("a.png 0\n")
    (tmp_path / "b.txt").write_text("b.png 0\n")
    assert (
        "the data are not here: a.txt, b.txt; put them there, beside this config, or their paths into data.source"
        in made["notes"]
    )
    grey = data(tmp_path / "grey", both("ImageData", said.format("a", "is_color: false"), said.format("b", "is_color: false")))
    assert grey["transform"] == [{"resize": [10, 12]}] and grey["source"]["color"] == "grey"


def test_a_leveldb_is_not_read(tmp_path: Path) -> None:
    made = data(tmp_path, both("Data", *['data_param { source: "mnist_level" batch_size: 2 }'] * 2))
    assert made["source"]["shapes"]["data"] == [1, 28, 28]
    assert any("mnist_level is a LevelDB, which is not read here; make an LMDB of it" in note for note in made["notes"])
    assert any(note.endswith("or write data.source: mnist (with val: null)") for note in made["notes"])


@pytest.mark.parametrize(("layer", "shapes"), [
    ('type: "MemoryData" top: "data" top: "label" memory_data_param { batch_size: 4 channels: 2 height: 3 width: 5 }', [2, 3, 5]),
    ('type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 4 dim: 9 } shape { dim: 4 } }', [9]),
    ('type: "DummyData" top: "data" top: "label" dummy_data_param { num: 4 channels: 2 height: 3 width: 4 num: 4 channels: 1 height: 1 width: 1 }',
     [2, 3, 4]),
    ('type: "Input" top: "data" top: "label" input_param { shape { dim: 4 dim: 9 } shape { dim: 4 dim: 1 dim: 1 dim: 1 } }', [9]),
    ('type: "WindowData" top: "data" top: "label" transform_param { crop_size: 17 } window_data_param { source: "w" batch_size: 4 }', [3, 17, 17]),
])  # fmt: skip
def test_data_that_come_from_outside(layer: str, shapes: list[int], tmp_path: Path) -> None:
    made = data(tmp_path, f'layer {{ name: "d" {layer} }}')
    assert made["source"] == {"type": "blank", "shapes": {"data": shapes, "label": []}, "classes": {"label": 7}}
    assert made["batch_size"] == 4 and any(
        "put a source that has them in the place of data.source" in note for note in made["notes"]
    )


def test_several_data_layers(tmp_path: Path) -> None:
    text = """layer { name: "a" type: "Data" top: "data" data_param { source: "a" batch_size: 2 backend: LMDB } transform_param { crop_size: 8 } }
        layer { name: "b" type: "Data" top: "label" data_param { source: "b" batch_size: 2 backend: LMDB } transform_param { crop_size: 1 } }"""
    made = data(tmp_path, text)
    assert list(made["source"]["shapes"]) == ["data", "label"]
    assert any(
        "'a' (Data), 'b' (Data): several data layers; put one source that has all of data, label" in note
        for note in made["notes"]
    )


def test_rows_that_are_not_here(tmp_path: Path) -> None:
    text = both("HDF5Data", *[f'hdf5_data_param {{ source: "{name}.txt" batch_size: 3 }}' for name in "ab"])
    made = data(tmp_path, text, shapes={"data": (4,)})
    named = {"type": "hdf5", "train": "a.txt", "test": "b.txt", "tops": ["data", "label"], "classes": {"label": 7}}
    assert made["source"] == {**named, "shapes": {"data": [4], "label": []}}
    blind = data(tmp_path / "blind", text)
    assert blind["source"] == named and "nothing tells the shape of data; --shape data=C,H,W does" in blind["notes"]
    assert any(note.startswith("not built") for note in blind["notes"])


# --- the same batches ---
EXACT = ("data_lmdb_encoded_png", "data_lmdb_gray", "data_lmdb_meanfile", "data_lmdb_meanfile_crop", "data_lmdb_meanvalue_crop",
         "data_lmdb_meanvalues3", "data_lmdb_scale", "hdf5data_two_files", "imagedata_basic")  # fmt: skip


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
@pytest.mark.parametrize("case", EXACT)
def test_the_batches_are_those_of_caffe(case: str, tmp_path: Path) -> None:
    if case.startswith("imagedata") or "png" in case:
        pytest.importorskip("PIL")
    work = tmp_path / "work"
    shutil.copytree(GOLDEN, work, ignore=lambda folder, names: [name for name in names if "features" in name])
    path = written(work, (GOLDEN / f"{case}.prototxt").read_text() + 'layer { name: "p" type: "Power" bottom: "data" top: "p" }')
    made = Brought([path], tmp_path / "out")
    feed = configs.read(made.path, need_solver=False).feed
    batches = list(feed.batches("test" if "test" in feed.splits else "train"))
    with np.load(GOLDEN / f"{case}.npz") as golden:
        for name in set(golden) & set(batches[0]):
            theirs = golden[name].reshape(-1, *golden[name].shape[2:])
            ours = np.concatenate([batch[name] for batch in batches])
            count = min(len(ours), len(theirs))
            np.testing.assert_array_equal(ours[:count].reshape(theirs[:count].shape), theirs[:count])


def test_a_mean_for_a_net_that_is_fed_from_outside(tmp_path: Path) -> None:
    text = """layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "p" type: "ReLU" bottom: "data" top: "p" }"""
    mean = np.stack([np.full((9, 9), value, np.float32) for value in (104, 117, 123)])
    for name, array in {"same": mean[:, :8, :8], "wide": mean}.items():
        (tmp_path / name).mkdir()
        write_mean(tmp_path / name / "m.binaryproto", array)
        made = Brought([written(tmp_path / name, text), tmp_path / name / "m.binaryproto"], tmp_path / name / "out")
        step = {"mean_file": "mean.npy"} if name == "same" else {"mean": [104, 117, 123]}
        assert made.config["data"]["transform"] == [{"resize": 8}, {"channels": [2, 1, 0]}, step] and made.report["built"]
        assert made.config["data"]["source"]["shapes"]["data"] == [3, "any", "any"] and made.report["inputs"] == {
            "data": [3, 8, 8]
        }
    assert made.notes == ["the mean is 3 x 9 x 9 and the net reads 3 x 8 x 8: the mean of each channel is subtracted"]


def test_a_phase_without_data_is_none(tmp_path: Path) -> None:
    text = f'layer {{ name: "d" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }} {db("a")} transform_param {{ crop_size: 4 }} }}'
    judge = 'layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { phase: TEST } }'
    made = Brought([written(tmp_path, text + REST + judge)], tmp_path / "out")
    assert list(made.lines) == ["ip", "loss"] and "test" not in made.config["data"]
    assert made.notes[:2] == [
        "net.prototxt: has no data layer in phase test, which is left out",
        "left out: 'acc' (Accuracy, net.prototxt:3): its rules keep it out of every phase; --stage NAME, or --level N",
    ]


def test_a_database_that_is_there(tmp_path: Path) -> None:
    for name in ("a_lmdb", "b_lmdb"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(b"not yet")
    made = data(tmp_path, both("Data", db("a_lmdb"), db("elsewhere/b_lmdb")))
    assert made["source"] == {"type": "lmdb", "train": str(tmp_path / "a_lmdb"), "test": "elsewhere/b_lmdb", "color": "bgr",
                              "shapes": {"data": [3, 256, 256], "label": []}}  # fmt: skip
    made = data(tmp_path / "deep", both("Data", db("../a_lmdb"), db("../b_lmdb")))
    assert made["source"] == {"type": "lmdb", "train": str(tmp_path / "a_lmdb"), "test": str(tmp_path / "b_lmdb"),
                              "color": "bgr"}  # fmt: skip
    assert any(note.startswith("not built") for note in made["notes"])
