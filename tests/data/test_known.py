"""Sets that are known by name: where they are looked for, what they come from, and what the data commands say of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain import datasets
from dltrain.console import Console
from dltrain.data import known
from dltrain.data.download import Remote
from dltrain.data.emnist import COUNTS, NAMES, Emnist
from dltrain.data.fashion_mnist import FashionMnist
from dltrain.data.idx_files import IdxFiles
from dltrain.errors import ConfigError, DataError


def idx(array: Any) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data of this machine, no network; the cache's folder."""
    for name in ("DLTRAIN_DATA", "DLTRAIN_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name, each in known.KNOWN.items():
        monkeypatch.setitem(known.KNOWN, name, replace(each, mirrors=()))
    return tmp_path / "cache" / "dltrain"


def pin(monkeypatch: pytest.MonkeyPatch, name: str, **files: bytes) -> None:
    """A set as the table would have it, with other files."""
    remotes = tuple(Remote(file, len(content), hashlib.sha256(content).hexdigest()) for file, content in files.items())
    monkeypatch.setitem(known.KNOWN, name, replace(known.KNOWN[name], files=remotes))


# --- the table ---
@pytest.mark.parametrize("name", known.KNOWN)
def test_the_table_names_sums_sizes_mirrors_and_terms(name: str) -> None:
    for each in (each for each in known.SETS if each.name == name):
        assert each.licence and each.paper and each.samples
        assert bool(each.files) == bool(each.mirrors) and all(mirror.endswith("/") for mirror in each.mirrors)
        for file in each.files:
            assert file.size > 4000 and re.fullmatch("[0-9a-f]{64}", file.sum)


@pytest.mark.parametrize("sum_of", [lambda x: hashlib.sha256(x).hexdigest(), lambda x: "sha256:" + hashlib.sha256(x).hexdigest(),
                                    lambda x: "md5:" + hashlib.md5(x).hexdigest()])  # fmt: skip
def test_a_sum_may_be_sha256_or_md5(sum_of: Any, mirror: Any, tmp_path: Path) -> None:
    from dltrain.data.download import Unreachable, fetch

    mirror.files.update({"a": b"content", "b": b"contend"})
    path = fetch(Remote("a", 7, sum_of(b"content")), [mirror.url], tmp_path)
    assert Remote("a", 7, sum_of(b"content")).fits(path) and not Remote("a", 7, sum_of(b"contend")).fits(path)
    with pytest.raises(Unreachable, match="gave a file with another (MD5|SHA-256)$"):
        fetch(Remote("b", 7, sum_of(b"content")), [mirror.url], tmp_path)


# --- where they are looked for ---
def test_each_set_has_a_folder_of_its_own_on_a_mirror_and_in_the_cache(
    alone: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(monkeypatch, "fashion_mnist", **{"one.gz": b"1" * 9, "two.gz": b"2" * 9})
    mirror.files.update({"one.gz": b"1" * 9, "two.gz": b"2" * 9})
    monkeypatch.setenv("DLTRAIN_MIRROR", mirror.url)
    asked: list[str] = []
    monkeypatch.setattr(known, "fetch", spy(known.fetch, asked))
    found = known.find("fashion_mnist", None, ["one", "two"])
    assert found == {"one": alone / "fashion_mnist" / "one.gz", "two": alone / "fashion_mnist" / "two.gz"}
    assert asked == [f"{mirror.url}fashion_mnist/"] * 2


def spy(fetch: Any, asked: list[str]) -> Any:
    def spied(remote: Remote, mirrors: Any, folder: Path) -> Path:
        asked.extend(mirrors)
        return fetch(remote, mirrors, folder)

    return spied


def test_an_archive_stands_for_what_is_in_it(alone: Path, tmp_path: Path) -> None:
    root = tmp_path / "cifar"
    (root / "cifar-10-batches-bin").mkdir(parents=True)
    with pytest.raises(DataError, match=re.escape(f"cifar10: {root} lacks cifar-10-binary.tar.gz (plain or .gz); add")):
        known.find("cifar10", str(root), ["a.bin"])
    (root / "cifar-10-binary.tar.gz").touch()
    assert known.find("cifar10", str(root), ["a.bin"]) == {"cifar-10-binary.tar.gz": root / "cifar-10-binary.tar.gz"}
    (root / "cifar-10-batches-bin" / "a.bin").touch()
    assert known.find("cifar10", str(root), ["a.bin"]) == {"a.bin": root / "cifar-10-batches-bin" / "a.bin"}


def test_offline_names_the_folder_to_fill(alone: Path) -> None:
    with pytest.raises(DataError) as caught:
        known.find("emnist", None, ["x"])
    assert str(caught.value) == (
        f"emnist: gzip.zip could not be fetched (); put it, or what is in it, into {alone / 'emnist'}, or into DIR/emnist with "
        "DLTRAIN_DATA=DIR, or say --set data.source.root=DIR"
    )


# --- the sources ---
def fill_four(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dltrain.data import mnist

    shapes = {stem: ((6 if "train" in stem else 3), *shape[1:]) for stem, shape in mnist.SHAPES.items()}
    monkeypatch.setattr(mnist, "SHAPES", shapes)
    monkeypatch.setattr(mnist, "HELD", 2)
    folder.mkdir(parents=True)
    for stem, shape in shapes.items():
        (folder / stem).write_bytes(idx(np.arange(np.prod(shape)).reshape(shape) % 10))


def test_fashion_mnist_has_names_and_a_folder_of_its_own(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_four(tmp_path / "data" / "fashion_mnist", monkeypatch)
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "data"))
    source = FashionMnist()
    source.open()
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {
        "train": [0, 1, 2, 3],
        "val": [4, 5],
        "test": [6, 7, 8],
    }
    assert source.names["label"][9] == "ankle boot" and len(source.names["label"]) == source.classes["label"] == 10
    assert source.identify(6) == "test image 0"


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def letters(monkeypatch: pytest.MonkeyPatch, labels: list[int], packed: bool = True) -> bytes:
    monkeypatch.setitem(COUNTS, "letters", (2, 1))
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 3, 20] = [7, 8, 9]  # in row 3 of the file, column 20
    made = {}
    for split, rows in (("train", slice(0, 2)), ("test", slice(2, 3))):
        made[f"gzip/emnist-letters-{split}-images-idx3-ubyte.gz"] = idx(images[rows])
        made[f"gzip/emnist-letters-{split}-labels-idx1-ubyte.gz"] = idx(np.array(labels)[rows])
    return zipped(**{name: gzip.compress(content) if packed else content for name, content in made.items()})


@pytest.mark.parametrize("packed", [True, False])
def test_emnist_is_read_from_its_archive_upright_and_counted_from_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    (tmp_path / "gzip.zip").write_bytes(letters(monkeypatch, [1, 26, 3], packed))
    source = Emnist(set="letters", root=str(tmp_path))
    source.open()
    out = {"data": np.empty((3, 1, 28, 28), np.float32), "label": np.empty(3, np.int32)}
    source.read(np.arange(3), out)
    assert out["data"][:, 0, 20, 3].tolist() == [7, 8, 9] and out["data"].sum() == 24
    assert out["label"].tolist() == [0, 25, 2] and source.names["label"][25] == "z" and source.classes == {"label": 26}
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1], "test": [2]}


def test_emnist_refuses_labels_and_archives_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gzip.zip").write_bytes(letters(monkeypatch, [1, 0, 3]))
    with pytest.raises(DataError, match=r"emnist: the label of training image 1 is 255, expected 0 \.\. 25"):
        Emnist(set="letters", root=str(tmp_path)).open()
    with pytest.raises(
        DataError, match=r"gzip.zip: gzip/emnist-digits-train-images-idx3-ubyte.gz: there is no such file in the archive"
    ):
        Emnist(set="digits", root=str(tmp_path)).open()
    (tmp_path / "gzip.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match=r"gzip.zip: gzip/emnist-.*: is damaged or cut short \(File is not a zip file\)"):
        Emnist(root=str(tmp_path)).open()


def test_the_six_sets_of_emnist_have_as_many_names_as_classes() -> None:
    assert {name: len(words) for name, words in NAMES.items()} == {
        "balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "letters": 26, "mnist": 10
    }  # fmt: skip


def opened(tmp_path: Path, **keys: Any) -> IdxFiles:
    from dltrain.checks import check
    from dltrain.marks import Document

    document = Document("c.yaml")
    source: IdxFiles = check(document, IdxFiles, keys, (), "source (idx)")
    document.raise_mistakes()
    source.open()
    return source


def test_idx_files_of_your_own(tmp_path: Path) -> None:
    for name, array in {
        "a": np.arange(24).reshape(4, 2, 3),
        "al": np.array([0, 2, 1, 0]),
        "b": np.full((1, 2, 3), 9),
        "bl": np.array([4]),
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(idx(array)) if name == "b" else idx(array))
    at = {name: str(tmp_path / name) for name in ("a", "al", "b", "bl")}
    source = opened(tmp_path, images={"train": at["a"], "test": at["b"]}, labels={"train": at["al"], "test": at["bl"]})
    out = {"data": np.empty((2, 1, 2, 3), np.float32), "label": np.empty(2, np.int32)}
    source.read(np.array([4, 1]), out)
    assert out["data"].tolist() == [[[[9] * 3] * 2], [[[6, 7, 8], [9, 10, 11]]]] and out["label"].tolist() == [4, 2]
    assert source.classes == {"label": 5} and source.identify(4) == f"image 0 of {at['b']}" and len(source) == 5
    alone = opened(tmp_path, images=at["a"])
    assert list(alone.fields) == ["data"] and alone.splits["train"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("keys", "words"), [
    ({"images": {"train": "a", "test": "c"}}, "c: its images are 3 x 3, those of .*a 2 x 3; splits must be alike"),
    ({"images": "a", "labels": "b"}, "b: says that it holds 3 bytes; expected an IDX file of 4 bytes"),
    ({"images": {"train": "a", "test": "a"}, "labels": "b"}, "expected an IDX file of 4 bytes"),
    ({"images": {"train": "a", "test": "a"}, "labels": "l"}, r"idx: there are images of test, but no labels; add labels: \{test: FILE\}"),
    ({"images": "b"}, "b: says that it has 1 axes; expected an IDX file of any x any x any bytes"),
    ({"images": {"test": "a"}}, r"must be a FILE, or a mapping \{train: FILE, val: FILE, test: FILE\}"),
    ({"images": "nix"}, "nix: there is no such file"),
])  # fmt: skip
def test_idx_files_that_do_not_fit(tmp_path: Path, keys: Any, words: str) -> None:
    for name, array in {"a": np.zeros((4, 2, 3)), "b": np.zeros(3), "c": np.zeros((1, 3, 3)), "l": np.zeros(4)}.items():
        (tmp_path / name).write_bytes(idx(array))
    full = {key: {split: str(tmp_path / file) for split, file in said.items()} if isinstance(said, dict) else str(tmp_path / said)
            for key, said in keys.items()}  # fmt: skip
    with pytest.raises((DataError, ConfigError), match=words):
        opened(tmp_path, **full)


# --- the commands ---
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_list_says_where_each_set_is(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fill_four(tmp_path / "data" / "mnist", monkeypatch)
    (tmp_path / "data" / "cifar10").mkdir()
    (tmp_path / "data" / "cifar10" / "data_batch_1.bin").touch()
    (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "data"))
    datasets.show(Console(as_json=True))
    rows = {row["name"]: row["where"] for row in told(capsys)["sets"]}
    assert rows == {
        "digits": "comes with dltrain", "mnist": f"{tmp_path / 'data' / 'mnist'} (lacks t10k-labels-idx1-ubyte)",
        "fashion_mnist": None, "emnist": None, "cifar10": str(tmp_path / "data" / "cifar10"), "cifar100": None,
    }  # fmt: skip
    datasets.show(Console())
    text = capsys.readouterr().out
    assert re.search(r"^name +samples +size +licence +where\n", text) and re.search(
        r"fashion_mnist +60,000 \+ 10,000 +30.9 MB +MIT", text
    )


def test_get_fetches_once_then_says_where(alone: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pin(monkeypatch, "emnist", **{"gzip.zip": b"z" * 5000})
    mirror.files["gzip.zip"], mirror.breaks = b"z" * 5000, [1000]
    monkeypatch.setenv("DLTRAIN_MIRROR", mirror.url)
    for _ in range(2):
        datasets.get("emnist", Console())
        read = capsys.readouterr()
        assert read.out == f"{alone / 'emnist'}\n" and read.err.startswith(
            "licence none stated; from NIST Special Database 19\npaper   Cohen"
        )
    assert mirror.asked == [("gzip.zip", 0), ("gzip.zip", 1000)]
    datasets.where("emnist", Console(as_json=True))
    assert told(capsys)["files"] == {"gzip.zip": str(alone / "emnist" / "gzip.zip")}


def test_where_of_a_set_that_is_not_here(alone: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"cifar100: is not here; dltrain data get cifar100 fetches it (168.5 MB), or put "
                                                  f"cifar-100-binary.tar.gz into {alone / 'cifar100'}")):  # fmt: skip
        datasets.where("cifar100", Console())
    with pytest.raises(ConfigError, match="mnits: is no set that is known by name; did you mean 'mnist'?"):
        datasets.where("mnits", Console())


def test_verify_names_each_file(alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pin(monkeypatch, "mnist", **{"a.gz": b"a" * 9, "b.gz": b"b" * 9, "c.gz": b"c" * 9, "d.gz": b"d" * 9})
    (alone / "mnist").mkdir(parents=True)
    for name, content in {"a.gz": b"a" * 9, "b.gz": b"x" * 9, "c": b"c"}.items():
        (alone / "mnist" / name).write_bytes(content)
    with pytest.raises(
        DataError, match=re.escape(f"mnist: {alone / 'mnist' / 'b.gz'}: damaged; remove it, then dltrain data get mnist")
    ):
        datasets.verify("mnist", Console(as_json=True))
    assert {row["file"]: row["state"] for row in told(capsys)["files"]} == {
        "a.gz": "ok", "b.gz": "damaged", "c.gz": "unpacked", "d.gz": "absent"
    }  # fmt: skip
    (alone / "mnist" / "b.gz").write_bytes(b"b" * 9)
    datasets.verify("mnist", Console())
    assert f"b.gz  ok        {alone / 'mnist' / 'b.gz'}\n" in capsys.readouterr().out
    datasets.verify("cifar10", Console(as_json=True))
    assert [row["state"] for row in told(capsys)["files"]] == ["absent"]


def test_verify_of_an_unpacked_archive(alone: Path, capsys: Any) -> None:
    (alone / "cifar10").mkdir(parents=True)
    (alone / "cifar10" / ".lock").touch()
    (alone / "cifar10" / "cifar-10-binary.tar.gz.part").touch()
    datasets.verify("cifar10", Console(as_json=True))
    assert told(capsys)["files"][0]["state"] == "absent"
    (alone / "cifar10" / "test_batch.bin").touch()
    datasets.verify("cifar10", Console(as_json=True))
    assert told(capsys)["files"] == [{"file": "cifar-10-binary.tar.gz", "state": "unpacked", "path": str(alone / "cifar10")}]
