"""Arrays of your own: which fields they make, how splits are told, and what is refused by which words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.checks import adapter, check
from dltrain.data.arrays import ArrayFiles
from dltrain.errors import DataError
from dltrain.marks import Document

X = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
LABEL = np.array([0, 1, 2, 1, 0])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def savez(name: str, **arrays: Any) -> str:
    np.savez(name, **arrays)
    return name


def save(name: str, array: Any) -> str:
    np.save(name, array)
    return name


def opened(**keys: Any) -> ArrayFiles:
    """The source that the keys make, by way of the checks that a config goes through."""
    document = Document("some.yaml")
    source = check(document, ArrayFiles, keys, (), "data: source (arrays)")
    document.raise_mistakes()
    source.open()
    assert isinstance(source, ArrayFiles)
    return source


def read(source: ArrayFiles, *indices: int) -> dict[str, Any]:
    kinds = {"float": np.float32, "index": np.int32}
    out = {name: np.full((len(indices), *shape), -7, kinds[shape.dtype]) for name, shape in source.fields.items()}
    source.read(np.array(indices), out)
    return out


def fields(source: ArrayFiles) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (tuple(shape), shape.dtype) for name, shape in source.fields.items()}


def refuses(words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        opened(**keys)


# --- one file ---
def test_one_file_is_all_train() -> None:
    source = opened(file=savez("all.npz", label=LABEL, data=X))
    assert fields(source) == {"data": ((2, 3), "float"), "label": ((), "index")}
    assert list(source.fields) == ["data", "label"]
    assert len(source) == 5 and source.classes == {}
    assert {name: indices.tolist() for name, indices in source.splits.items()} == {"train": [0, 1, 2, 3, 4]}
    out = read(source, 3, 0, 3)
    assert np.array_equal(out["data"], X[[3, 0, 3]]) and out["label"].tolist() == [1, 0, 1]


def test_without_data_the_first_is_the_data() -> None:
    source = opened(file=savez("all.npz", price=X, rooms=X, label=LABEL))
    assert list(source.fields) == ["price", "rooms", "label"]


def test_one_array_a_field_stays_on_the_disk() -> None:
    source = opened(files={"label": save("y.npy", LABEL), "data": save("x.npy", X), "more": save("z.npy", X[:, 0])})
    assert list(source.fields) == ["data", "label", "more"]
    assert isinstance(source.parts["train"]["data"].base, np.memmap)
    assert np.array_equal(read(source, 4)["data"], X[4:])
    assert source.identify(2) == "row 2 of x.npy"


def test_reads_only_the_fields_it_is_given() -> None:
    source = opened(file=savez("all.npz", data=X, label=LABEL))
    out = {"label": np.empty(2, np.int32)}
    source.read(np.array([2, 3]), out)
    assert out["label"].tolist() == [2, 1]


# --- which type a field has ---
@pytest.mark.parametrize(("name", "array", "expected"), [
    ("data", X.astype(np.float16), ((2, 3), "float")),
    ("data", X.astype(np.float64), ((2, 3), "float")),
    ("data", X.astype(np.uint8), ((2, 3), "float")),
    ("data", X.astype(np.int16), ((2, 3), "float")),
    ("data", X.astype(">i4"), ((2, 3), "index")),  # tokens
    ("data", X.astype(np.int64), ((2, 3), "index")),
    ("age", LABEL.astype(np.uint8), ((), "index")),
    ("age", LABEL > 0, ((), "index")),
    ("age", LABEL.astype(np.float32), ((), "float")),
    ("label", LABEL.astype(np.float32), ((), "index")),
    ("label", LABEL + 0.5, ((), "float")),
    ("label", LABEL[:, None], ((), "index")),
    ("label", X.astype(np.uint8), ((2, 3), "index")),  # a label image
    ("label", X, ((2, 3), "float")),
])  # fmt: skip
def test_types(name: str, array: Any, expected: Any) -> None:
    source = opened(file=savez("a.npz", **{name: array}))
    assert fields(source) == {name: expected}
    assert np.array_equal(read(source, 1, 4)[name], array[[1, 4]].reshape(2, *expected[0]))


def test_numbers_beyond_32_bits() -> None:
    savez("a.npz", data=X, label=LABEL + 2**31)
    refuses("a.npz: 'label' has numbers beyond 32 bits; number the classes from 0", file="a.npz")
    savez("b.npz", label=np.array([0.0, np.inf]))
    refuses("b.npz: 'label' has numbers beyond 32 bits", file="b.npz")


# --- splits ---
def test_own_splits() -> None:
    val = {"label": save("y.npy", LABEL[:2]), "data": save("x.npy", X[:2] + 100)}
    source = opened(train=savez("a.npz", data=X, label=LABEL), val=val, test=savez("c.npz", data=X[:1] + 200, label=LABEL[:1]))
    assert {name: indices.tolist() for name, indices in source.splits.items()} == {
        "train": [0, 1, 2, 3, 4],
        "val": [5, 6],
        "test": [7],
    }
    assert len(source) == 8
    out = read(source, 7, 0, 6, 5, 4)
    assert out["data"][:, 0, 0].tolist() == [200, 0, 106, 100, 24]
    assert out["label"].tolist() == [0, 0, 1, 0, 0]
    assert [source.identify(index) for index in (0, 4, 5, 7)] == [
        "row 0 of a.npz",
        "row 4 of a.npz",
        "row 0 of x.npy",
        "row 0 of c.npz",
    ]


def test_train_and_test_without_val() -> None:
    source = opened(train=savez("a.npz", data=X), test=savez("b.npz", data=X[:2]))
    assert list(source.splits) == ["train", "test"]


@pytest.mark.parametrize(("other", "words"), [
    ({"data": X}, "'label' is index one number in train and no such field in test"),
    ({"data": X, "label": LABEL, "more": X}, "'more' is no such field in train and float 2 x 3 in test"),
    ({"data": X[:, :1], "label": LABEL}, "'data' is float 2 x 3 in train and float 1 x 3 in test"),
    ({"data": X, "label": LABEL + 0.5}, "'label' is index one number in train and float one number in test"),
])  # fmt: skip
def test_splits_must_be_alike(other: dict[str, Any], words: str) -> None:
    refuses(
        f"arrays: {words}; splits must have the same fields",
        train=savez("a.npz", data=X, label=LABEL),
        test=savez("b.npz", **other),
    )


@pytest.mark.parametrize(("keys", "words"), [
    ({}, "arrays: needs exactly one of file: A.npz, files: {data: X.npy, …} and train: …, not none; val and test go with train"),
    ({"file": "a.npz", "train": "a.npz"}, "not file and train; val"),
    ({"file": "a.npz", "files": {"data": "x.npy"}}, "not file and files; val"),
    ({"test": "a.npz"}, "not none; val and test go with train"),
    ({"file": "a.npz", "test": "b.npz"}, "arrays: 'file' is all there is; beside test write train: instead"),
])  # fmt: skip
def test_keys_that_do_not_go_together(keys: Any, words: str) -> None:
    refuses(words, **keys)


# --- classes ---
def test_classes() -> None:
    assert opened(file=savez("a.npz", data=X, label=LABEL), classes={"label": 3}).classes == {"label": 3}


def test_classes_leave_what_is_ignored() -> None:
    opened(file=savez("a.npz", data=X, label=np.array([0, -1, 255, 2, 1])), classes={"label": 3})


def test_labels_beyond_the_classes() -> None:
    savez("a.npz", data=X, label=LABEL)
    savez("b.npz", data=X, label=np.array([0, 1, 1, 9, 7]))
    refuses("b.npz: row 3 has the label 9 where classes says 2 (0 .. 1); set classes: {label: 10}, or mend the file",
            file="b.npz", classes={"label": 2})  # fmt: skip
    refuses("b.npz: row 3 has the label 9", train="a.npz", test="b.npz", classes={"label": 3})
    refuses("arrays: classes: 'lable' is no field of whole numbers; did you mean 'label'?", file="a.npz", classes={"lable": 3})
    refuses("arrays: classes: 'data' is no field of whole numbers", file="a.npz", classes={"data": 3})


# --- arrays that are no samples ---
@pytest.mark.parametrize(("arrays", "words"), [
    ({"data": X, "label": LABEL[:3]}, "a.npz: 'label' has 3 samples and 'data' 5; all need as many"),
    ({"data": X, "scale": np.float32(3)}, "a.npz: 'scale' has no axis of samples; axis 0 counts the samples"),
    ({"data": X[:0]}, "a.npz: 'data' has no samples"),
    ({"my data": X}, "a.npz: 'my data' cannot be the name of a field; use letters, digits, _ and -"),
    ({}, "a.npz: holds no arrays; expected one a field"),
    ({"data": np.array(["a", "b"])}, "a.npz: its member 'data.npy' holds elements of type <U1, not numbers"),
])  # fmt: skip
def test_arrays_that_make_no_samples(arrays: dict[str, Any], words: str) -> None:
    refuses(words, file=savez("a.npz", **arrays))


def test_an_array_alone_needs_the_name_of_its_field() -> None:
    refuses("x.npy: expected a FILE.npz; an array alone is named with its field: {data: x.npy}", file=save("x.npy", X))


def test_missing_files() -> None:
    refuses("no.npz: there is no such file", file="no.npz")
    refuses("no.npy: there is no such file", files={"data": "no.npy"})


# --- keys ---
@pytest.mark.parametrize(("keys", "words"), [
    ({"train": 3}, "'train' must be a FILE.npz, or a mapping {field: FILE.npy}"),
    ({"train": {}}, "'train' must be a FILE.npz, or a mapping {field: FILE.npy}"),
    ({"train": {"data": 3}}, "'train.data' must be a text, not 3"),
    ({"file": 3}, "'file' must be a text, not 3"),
    ({"classes": {"label": 0}}, "'classes.label' must be at least 1, not 0"),
    ({"fiel": "a.npz"}, "unknown key 'fiel'; did you mean 'file'?"),
])  # fmt: skip
def test_keys_of_the_wrong_type(keys: Any, words: str) -> None:
    document = Document("some.yaml")
    assert check(document, ArrayFiles, keys, (), "data: source (arrays)") is None
    assert [message.split(": ", 3)[-1] for message in document.mistakes.values()] == [words]


def test_its_keys_have_a_schema() -> None:
    assert "anyOf" in json.dumps(adapter(ArrayFiles).json_schema()["properties"]["train"])
