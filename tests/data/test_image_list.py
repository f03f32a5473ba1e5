"""Lists of pictures: texts and tables, what their columns become, and every bad line with its number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from dltrain.data.image_list import ImageList
from dltrain.errors import DataError

NAMES = ("a.png", "b b.png", "deep/c.png")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2), (number, number, number)).save(tmp_path / name)
    return tmp_path


def opened(folder: Path, text: str = "", name: str = "list.txt", **keys: Any) -> ImageList:
    if text:
        (folder / name).write_text(text)
        keys.setdefault("file", str(folder / name))
    source = ImageList(**keys)
    source.open()
    return source


def labels(source: ImageList) -> dict[str, list[Any]]:
    return {field: [source.sample(index, [field])[field].item() for index in range(len(source))]
            for field in source.fields if field != "data"}  # fmt: skip


def refuses(words: str, *arguments: Any, **keys: Any) -> None:
    with pytest.raises(DataError, match="^" + re.escape(words) + "$"):
        opened(*arguments, **keys)


# --- what is read ---
def test_a_text_as_caffe_has_it(here: Path) -> None:
    source = opened(here, "a.png 2\nb b.png\t0\r\n\n  deep/c.png   1  \n")
    assert [source.identify(index) for index in range(3)] == list(NAMES)
    assert labels(source) == {"label": [2, 0, 1]} and source.classes == {"label": 3} and source.names == {}
    assert source.fields["label"].dtype == "index" and source.splits["train"].tolist() == [0, 1, 2]
    assert [int(source.sample(index, ["data"])["data"].max()) for index in range(3)] == [0, 1, 2]
    assert source.load(here / "deep" / "c.png")["data"].shape == (3, 2, 3)


def test_several_labels(here: Path) -> None:
    source = opened(here, "a.png 2 0.5\nb b.png 0 1\n", labels=["kind", "weight"])
    assert labels(source) == {"kind": [2, 0], "weight": [0.5, 1.0]}
    assert [source.fields[name].dtype for name in ("kind", "weight")] == ["index", "float"]
    assert list(opened(here, "a.png\nb b.png\n", labels=[]).fields) == ["data"]


def test_a_table_with_a_header(here: Path) -> None:
    source = opened(here, '\ufefffile,label,age\r\na.png,cat,3\r\n"b b.png",ant,4.5\r\n\r\ndeep/c.png,cat,-1e2\r\n', "list.csv")
    assert labels(source) == {"label": [1, 0, 1], "age": [3.0, 4.5, -100.0]}
    assert source.names == {"label": ["ant", "cat"]} and source.classes == {"label": 2}
    assert source.facts == {"label": ["cat", "ant", "cat"]}
    assert labels(opened(here, "file\tx\na.png\t7\n", "list.tsv")) == {"x": [7]}


def test_a_table_without_a_header(here: Path) -> None:
    assert labels(opened(here, "a.png,3\nb b.png,4\n", "list.csv", labels=["label"])) == {"label": [3, 4]}


def test_whole_numbers_that_are_measured(here: Path) -> None:
    source = opened(here, "file,age\na.png,3\nb b.png,40\n", "list.csv", measured=["age"])
    assert source.fields["age"].dtype == "float" and source.classes == {}


def test_classes(here: Path) -> None:
    text = "a.png 1\nb b.png -1\ndeep/c.png 255\n"
    assert opened(here, text, classes={"label": 10}).classes == {"label": 10}
    assert labels(opened(here, text, classes={"label": 2})) == {"label": [1, -1, 255]}  # for ignore_label
    refuses(f"{here}/list.txt:1: label is 1 where classes says 1 (0 .. 0)", here, text, classes={"label": 1})


def test_splits(here: Path) -> None:
    (here / "lists").mkdir()
    for name, text in {"train": "../a.png dog\n../b b.png cat\n", "test": f"{here}/deep/c.png dog\n"}.items():
        (here / "lists" / f"{name}.txt").write_text(text)
    source = opened(here, train=str(here / "lists/train.txt"), test=str(here / "lists/test.txt"))
    assert {split: rows.tolist() for split, rows in source.splits.items()} == {"train": [0, 1], "test": [2]}
    assert labels(source) == {"label": [1, 0, 1]}
    assert int(source.sample(2, ["data"])["data"].max()) == 2


def test_a_root(here: Path) -> None:
    (here / "far").mkdir()
    assert labels(opened(here / "far", "deep/c.png 1\n", root=str(here))) == {"label": [1]}


@given(rows=some.lists(some.tuples(some.sampled_from(NAMES), some.integers(-(2**31), 2**31 - 1), some.floats(-1e9, 1e9)),
                       min_size=1, max_size=5), table=some.booleans())  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, float]], table: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "deep").mkdir(exist_ok=True)
    for name in NAMES:
        (folder / name).touch()
    text = "".join((f"{name},{k},{x!r}\n" if table else f"{name} {k} {x!r}\n") for name, k, x in rows)
    source = opened(folder, text, "any.csv" if table else "any.txt", labels=["k", "x"])
    assert [source.identify(index) for index in range(len(source))] == [name for name, _, _ in rows]
    assert labels(source)["k"] == [k for _, k, _ in rows]
    assert np.array_equal(labels(source)["x"], np.array([x for _, _, x in rows], np.float32))


# --- what is refused ---
def test_bad_lines_have_their_numbers(here: Path) -> None:
    at = f"{here}/list.txt"
    refuses(
        f"{at}:3: has no label behind the path; write: path label\n"
        f"{at}:2: there is no file 'none.png' in {here}\n"
        f"{at}:5: label is 'x', not a number; mend the line",
        here, "a.png 2\nnone.png 0\na.png\n\na.png x\n",
    )  # fmt: skip
    refuses(
        "\n".join(f"{at}:{n}: there is no file 'x' in {here}" for n in range(1, 6)) + "\nand 1,195 more bad lines",
        here,
        "x 0\n" * 1200,
    )


@pytest.mark.parametrize(("text", "words"), [
    ("file,label\na.png,1,2\n", ":2: has 3 cells, or no path; expected path, label"),
    ("file,label\n,1\na.png,0\n", ":2: has 2 cells, or no path; expected path, label"),
    ("file,age\na.png,\na.png,3\n", ":2: age is empty; mend the line"),
    ("file,age\na.png,nan\na.png,3\n", ":2: age is 'nan', not a number; mend the line"),
    ("file,age\na.png,1_0\na.png,3\n", ":2: age is '1_0', not a number; mend the line"),
    ("file,age\na.png,3000000000\na.png,3\n", ":2: age is 3000000000, beyond 32 bits; number the classes from 0, or say measured"),
    ("a.png,3\nb b.png,4\n", ":1: '3' cannot name a column; begin the file with a header such as file,label, or name what follows "
     "the path: labels: [label]"),
    ("file,data\na.png,3\n", ":1: the name 'data' is taken; give the column another"),
    ("file,x,x\na.png,3,4\n", ":1: the name 'x' is taken; give the column another"),
    ("file,label\n", ": lists no pictures; write a line for each: path label"),
    ('file,label\n"a.png,3\n', ": is no table (unexpected end of data); expected a list of files, one a line: path label"),
    ("file,label\n" + "a" * 200_000 + ",3\n", ": is no table (field larger than field limit (131072)); expected a list of files, one "
     "a line: path label"),
    ("file,label\na\0.png,3\n", ":2: the path has a zero byte; mend the line"),
])  # fmt: skip
def test_bad_tables(here: Path, text: str, words: str) -> None:
    refuses(f"{here}/list.csv{words}", here, text, "list.csv")


def test_bad_keys(here: Path) -> None:
    refuses("image_list: needs file: LIST, or train: LIST with val and test beside it; say one of them", here)
    refuses("image_list: classes: there is no column 'lable'; did you mean 'label'?", here, "a.png 1\n", classes={"lable": 3})
    refuses("image_list: measured: there is no column 'age'; known: label", here, "a.png 1\n", measured=["age"])
    refuses("image_list: 'label' is both measured and in classes; say one of them", here, "a.png 1\n", measured=["label"],
            classes={"label": 3})  # fmt: skip
    refuses("image_list: classes: 'label' has numbers that are not whole; leave it out of classes", here, "a.png 1.5\n",
            classes={"label": 3})  # fmt: skip
    refuses(
        "image_list: 'label' has 2 words, but classes says 1; mend one of them", here, "a.png x\na.png y\n", classes={"label": 1}
    )
    refuses("image_list: labels: the name 'x' is taken; give the column another", here, "a.png 1 2\n", labels=["x", "x"])


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "deep/../../secret.png", "deep/.."])
def test_no_path_leaves_a_root(here: Path, name: str) -> None:
    refuses(f"{here}/list.txt:1: '{name}' leads out of root; leave root out, or write a path below it", here, f"{name} 1\n",
            root=str(here))  # fmt: skip


def test_splits_must_be_alike(here: Path) -> None:
    for name, text in {"a.csv": "file,x\na.png,dog\n", "b.csv": "file,y\na.png,dog\n", "c.csv": "file,x\na.png,dgo\n"}.items():
        (here / name).write_text(text)
    refuses(f"{here}/b.csv: has the columns y where {here}/a.csv has x; lists of one source must be alike", here,
            train=str(here / "a.csv"), val=str(here / "b.csv"))  # fmt: skip
    refuses(f"{here}/c.csv:2: x is 'dgo', which train does not have; did you mean 'dog'?", here, train=str(here / "a.csv"),
            test=str(here / "c.csv"))  # fmt: skip


def test_what_is_no_list(here: Path) -> None:
    way_out = "expected a list of files, one a line: path label"
    refuses(f"{here}/none.txt: there is no such file; {way_out}", here, file=str(here / "none.txt"))
    refuses(f"{here}/a.png: is no text in UTF-8; {way_out}", here, file=str(here / "a.png"))
    with open(here / "large.txt", "wb") as file:
        file.truncate(10 << 30)
    refuses(
        f"{here}/large.txt: has 10,737,418,240 bytes, more than a list may have; {way_out}", here, file=str(here / "large.txt")
    )


def test_a_damaged_picture_is_told_when_it_is_read(here: Path) -> None:
    (here / "a.png").write_bytes(b"")
    source = opened(here, "a.png 1\n")
    with pytest.raises(DataError, match=re.escape(f"{here}/a.png: is empty; mend the file")):
        source.sample(0, ["data"])


def test_trains_with_several_labels(here: Path, result: Any) -> None:
    (here / "list.csv").write_text("file,label,age\n" + "a.png,x,0.5\nb b.png,y,1.5\n" * 6)
    (here / "a.yaml").write_text("""
data: {source: {type: image_list, file: list.csv}, batch_size: 4, val: {hold_out: 4}, transform: [{resize: 4}]}
net:
  - {name: ip, type: InnerProduct, num_output: 2}
  - {name: years, type: InnerProduct, bottom: data, num_output: 1}
  - {name: kind, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: far, type: EuclideanLoss, bottom: [years, age]}
solver: {type: SGD, base_lr: 0.01, max_iter: 3}
""")
    assert set(result("train", "a.yaml")["scores"]) >= {"val.loss"}
