"""CIFAR-10 and CIFAR-100: both forms, plain, gzipped and in an archive, and each way in which files can be wrong."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.data import cifar
from dltrain.data.cifar import Cifar10, Cifar100
from dltrain.data.cifar_files import CIFAR10, CIFAR100
from dltrain.errors import DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
SMALL10 = replace(CIFAR10, parts={**{f"data_batch_{n}": 6 for n in range(1, 6)}, "test_batch": 4})
SMALL100 = replace(CIFAR100, parts={"train": 30, "test": 4})


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A world where both sets have 30 + 4 pictures, no mirror answers, and the cache is empty."""
    monkeypatch.setattr(Cifar10, "kind", SMALL10)
    monkeypatch.setattr(Cifar100, "kind", SMALL100)
    monkeypatch.delenv("DLTRAIN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pixels(part: int, row: int) -> bytes:
    return bytes((part * 40 + row + i) % 256 for i in range(3072))


def binary(part: int, count: int, labels: int = 1) -> bytes:
    return b"".join(bytes([row % 10] * labels) + pixels(part, row) for row in range(count))


def pickled(part: int, count: int, keys: tuple[str, ...] = ("labels",)) -> bytes:
    data = np.stack([np.frombuffer(pixels(part, row), np.uint8) for row in range(count)])
    said = {key.encode(): [row % 10 for row in range(count)] for key in keys}
    return pickle.dumps({b"data": data, b"batch_label": b"x", **said, b"filenames": [b"a.png"] * count}, 2)


def files(make: Callable[..., bytes] = binary, end: str = ".bin") -> dict[str, bytes]:
    return {name + end: make(part, count) for part, (name, count) in enumerate(SMALL10.parts.items())}


def fill(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in content.items():
        (folder / name).write_bytes(each)
    return folder


def archive(content: dict[str, bytes], prefix: str = "cifar-10-batches-bin/") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, each in content.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(each)
            tar.addfile(member, io.BytesIO(each))
    return made.getvalue()


def opened(root: Path | None = None, kind: Any = Cifar10, **keys: Any) -> Any:
    source = kind(root=str(root) if root else None, **keys)
    source.open()
    return source


def refuses(words: str, *arguments: Any, **keys: Any) -> None:
    with pytest.raises(DataError, match="^" + re.escape(words)):
        opened(*arguments, **keys)


def holds_all(source: Any) -> None:
    assert {name: (len(rows), rows[0]) for name, rows in source.splits.items()} == {
        "train": (27, 0),
        "val": (3, 27),
        "test": (4, 30),
    }
    out = {"data": np.empty((3, 3, 32, 32), np.float32), "label": np.empty(3, np.int32)}
    source.read(np.array([0, 7, 33]), out)
    wanted = [np.frombuffer(pixels(part, row), np.uint8).reshape(3, 32, 32) for part, row in ((0, 0), (1, 1), (5, 3))]
    assert np.array_equal(out["data"], wanted) and out["label"].tolist() == [0, 1, 3]
    assert [source.identify(index) for index in (29, 30)] == ["training image 29", "test image 0"]


# --- what is read ---
@pytest.mark.parametrize(("make", "end"), [(binary, ".bin"), (pickled, "")])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin", "cifar-10-batches-py"])
def test_both_forms_plain_and_gzipped(tmp_path: Path, make: Any, end: str, packed: bool, inside: str) -> None:
    content = files(make, end)
    content = {f"{name}.gz": gzip.compress(each) for name, each in content.items()} if packed else content
    fill(tmp_path / "root" / inside, content)
    holds_all(opened(tmp_path / "root"))


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"])
def test_an_archive(tmp_path: Path, name: str) -> None:
    content = files() if "binary" in name else files(pickled, "")
    whole = archive({"batches.meta": b"words", "../../data_batch_9.bin": b"far", **dict(reversed(content.items()))})
    holds_all(opened(fill(tmp_path / "root", {name: whole})))
    holds_all(opened(fill(tmp_path / "root", {"mine.tgz": whole}) / "mine.tgz"))
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [name, "mine.tgz"]  # nothing was unpacked


def test_two_labels(tmp_path: Path) -> None:
    source = opened(fill(tmp_path, {"train.bin": binary(0, 30, 2), "test.bin": binary(1, 4, 2)}), Cifar100)
    assert list(source.fields) == ["data", "coarse", "label"] and source.classes == {"coarse": 20, "label": 100}
    assert source.sample(3, ["coarse", "label"]) == {"coarse": 3, "label": 3}
    fill(tmp_path / "py", {name: pickled(n, count, ("fine_labels", "coarse_labels"))
                           for n, (name, count) in enumerate(SMALL100.parts.items())})  # fmt: skip
    assert np.array_equal(opened(tmp_path / "py", Cifar100).arrays["data"], source.arrays["data"])


def test_the_classes_have_names() -> None:
    assert [CIFAR10.names["label"][n] for n in (0, 9)] == ["airplane", "truck"]
    assert [len(set(CIFAR100.names[label])) for label in ("coarse", "label")] == [20, 100]
    assert all(words == sorted(words) for words in CIFAR100.names.values())


# --- where, and how much of it ---
def test_data_folder_then_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fill(tmp_path / "cache" / "dltrain" / "cifar10", files())
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "data"))
    assert set(cifar.find(SMALL10, None).values()) == {cache / name for name in files()}
    shared = fill(tmp_path / "data" / "cifar10", files())
    assert set(cifar.find(SMALL10, None).values()) == {shared / name for name in files()}


def test_part_of_a_set(tmp_path: Path) -> None:
    fill(tmp_path, {"data_batch_2.bin": binary(1, 6), "data_batch_1.bin": binary(0, 4)})
    refuses("cifar10: data_batch_1 has 4 of its 6 pictures; get the whole set, or say partial: true", tmp_path)
    source = opened(tmp_path, partial=True)
    assert {name: len(rows) for name, rows in source.splits.items()} == {"train": 9, "val": 1}
    fill(tmp_path, {"data_batch_1.bin": binary(0, 6)})
    refuses("cifar10: data_batch_3 is not there; get the whole set, or say partial: true", tmp_path)
    fill(tmp_path / "test", {"test_batch.bin": binary(5, 4)})
    refuses("cifar10: has no batch for train; add data_batch_1", tmp_path / "test", partial=True)


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(f"cifar10: {tmp_path} has neither data_batch_1.bin, plain or .gz, nor an archive such as cifar-10-binary.tar.gz; name the "
            "folder that has them: --set data.source.root=DIR", tmp_path)  # fmt: skip
    asked = []

    def find(*arguments: Any) -> None:
        asked.append(arguments)
        fill(tmp_path / "cache" / "dltrain" / "cifar10", {"cifar-10-binary.tar.gz": archive(files())})

    monkeypatch.setattr(cifar.known, "find", find)
    holds_all(opened())
    assert asked == [("cifar10", None, [f"{name}.bin" for name in SMALL10.parts])]


# --- files that are wrong ---
BATCH = binary(0, 6)


@pytest.mark.parametrize(("name", "content", "words"), [
    ("data_batch_1.bin", b"", "has 0 pictures; expected up to 6 pictures of cifar10, binary or as a pickle; get the file again"),
    ("data_batch_1.bin", BATCH[:-1], "ends within a record: 18,437 bytes are no multiple of 3,073; expected"),
    ("data_batch_1.bin", binary(0, 7), "has 7 pictures; expected up to 6"),
    ("data_batch_1.bin", b"\x0a" + BATCH[1:], "has the label 10 at picture 0, beyond 9; expected"),
    ("data_batch_1.bin", bytes(10**6), "has more than 84,574 bytes; expected"),
    ("data_batch_1.bin.gz", gzip.compress(bytes(10**8)), "has more than 84,574 bytes; expected"),
    ("data_batch_1.bin.gz", gzip.compress(BATCH)[:-20], "is damaged or cut short (Compressed file ended"),
    ("data_batch_1.bin.gz", b"\x1f\x8b" + bytes(20), "is damaged or cut short ("),
    ("data_batch_1", b"cos\nsystem\n(U\x02lstR.", "wants to call os.system; that is refused; expected"),
    ("data_batch_1", pickle.dumps([1], 2), "holds no dictionary; expected"),
    ("data_batch_1", pickle.dumps({"labels": [1]}, 2), "has no 'data' of N x 3072 bytes; expected"),
    ("data_batch_1", pickle.dumps({"data": np.zeros((2, 3072), np.int16)}, 2), "has no 'data' of N x 3072 bytes; expected"),
    ("data_batch_1", pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, 2), "has no 'labels' of 2 small whole"),
    ("data_batch_1", pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}, 2), "has no 'labels' of 1 small whole"),
])  # fmt: skip
def test_wrong_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    fill(tmp_path / "root", {name: content})
    tracemalloc.start()
    refuses(f"{tmp_path}/root/{name}: {words}", tmp_path / "root", partial=True)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(("content", "words"), [
    (b"hello", "is damaged or cut short (Not a gzipped file (b'he')); expected the archive of cifar10, such as cifar-10-binary.tar.gz"),
    (gzip.compress(b"hello" * 200), "is damaged or cut short (invalid header)"),
    (archive(files())[:-3000], "is damaged or cut short ("),
    (archive({"a": b""}), "has none of data_batch_1, data_batch_2, data_batch_3, data_batch_4, data_batch_5, test_batch; expected"),
    (archive({f"{n}": b"" for n in range(101)}), "has more than 100 members; expected"),
    (archive({"data_batch_1.bin": bytes(10**7)}), "unpacks to more than the set has; expected"),
    (archive({"data_batch_1.bin": BATCH[:-1]}), "ends within a record: 18,437 bytes are no multiple of 3,073; expected"),
], ids=["text", "gzip", "cut", "empty", "many", "large", "odd"])  # fmt: skip
def test_wrong_archives(tmp_path: Path, content: bytes, words: str) -> None:
    path = fill(tmp_path / "root", {"cifar-10-binary.tar.gz": content}) / "cifar-10-binary.tar.gz"
    tracemalloc.start()
    refuses(f"{path}: {words}", tmp_path / "root", partial=True)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_an_archive_has_files_not_links(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        member = tarfile.TarInfo("data_batch_1.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    refuses(f"{tmp_path}/a.tar.gz: has none of data_batch_1", fill(tmp_path, {"a.tar.gz": made.getvalue()}) / "a.tar.gz")


# --- the real files ---
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/cifar10, which is not here")
def test_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cifar10, "kind", CIFAR10)
    source = opened(REAL, partial=True)
    assert {name: len(rows) for name, rows in source.splits.items()} == {"train": 3600, "val": 400, "test": 2000}
    label = source.arrays["label"]
    assert np.bincount(label[:4000]).tolist() == [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    assert source.arrays["data"][0, :, 0, :3].tolist() == [[59, 43, 50], [62, 46, 48], [63, 45, 43]]
    assert source.names["label"] == (REAL / "batches.meta.txt").read_text().split()
    refuses("cifar10: data_batch_1 has 4,000 of its 10,000 pictures; get the whole set, or say partial: true", REAL)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/cifar10, which is not here")
def test_trains_on_part_of_it(tmp_path: Path, result: Any) -> None:
    (tmp_path / "a.yaml").write_text(f"""
data:
  source: {{type: cifar10, root: {REAL}, partial: true}}
  batch_size: 100
  transform: [{{mean: 120}}, {{scale: 0.01}}]
net:
  - {{name: conv1, type: Convolution, num_output: 8, kernel_size: 5, stride: 2}}
  - {{name: relu1, type: ReLU}}
  - {{name: ip, type: InnerProduct, num_output: 10}}
  - {{name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}}
  - {{name: accuracy, type: Accuracy, bottom: [ip, label], phase: test}}
solver: {{type: SGD, base_lr: 0.01, momentum: 0.9, max_iter: 60}}
""")
    assert result("train", "a.yaml")["scores"]["val.accuracy"] > 0.2
