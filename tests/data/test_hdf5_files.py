"""HDF5: which datasets make which fields, rows in any order from any layout, and what is refused by which words."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.checks import adapter, check
from dltrain.data import hdf5_parts
from dltrain.data.hdf5_files import Hdf5Files
from dltrain.errors import DataError
from dltrain.marks import Document

X = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
LABEL = np.array([0, 1, 2, 1, 0])
GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden" / "data"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def h5(name: str, **arrays: Any) -> str:
    with h5py.File(name, "w") as file:
        for key, array in arrays.items():
            file[key] = array
    return name


def opened(**keys: Any) -> Hdf5Files:
    """The source that the keys make, by way of the checks that a config goes through."""
    document = Document("some.yaml")
    source = check(document, Hdf5Files, keys, (), "data: source (hdf5)")
    document.raise_mistakes()
    source.open()
    assert isinstance(source, Hdf5Files)
    return source


def read(source: Hdf5Files, indices: Any, *names: str) -> dict[str, Any]:
    kinds = {"float": np.float32, "index": np.int32}
    out = {
        name: np.full((len(indices), *source.fields[name]), -7, kinds[source.fields[name].dtype])
        for name in names or source.fields
    }
    source.read(np.array(indices), out)
    return out


def fields(source: Hdf5Files) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (tuple(shape), shape.dtype) for name, shape in source.fields.items()}


def refuses(words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        opened(**keys)


# --- fields and splits ---
def test_one_file_is_all_train() -> None:
    source = opened(file=h5("a.h5", label=LABEL, data=X))
    assert fields(source) == {"data": ((2, 3), "float"), "label": ((), "index")} and list(source.fields) == ["data", "label"]
    assert len(source) == 5 and source.splits["train"].tolist() == [0, 1, 2, 3, 4]
    out = read(source, [3, 0, 3])
    assert np.array_equal(out["data"], X[[3, 0, 3]]) and out["label"].tolist() == [1, 0, 1]
    assert source.identify(2) == "row 2 of a.h5"


@pytest.mark.parametrize(("name", "array", "expected"), [
    ("data", X.astype(np.float64), ((2, 3), "float")), ("data", X.astype(np.uint8), ((2, 3), "float")),
    ("data", X.astype(">i4"), ((2, 3), "index")), ("data", X.astype(np.float16), ((2, 3), "float")),
    ("age", LABEL.astype(np.uint8), ((), "index")), ("age", LABEL > 0, ((), "index")), ("age", LABEL + 0.5, ((), "float")),
    ("label", LABEL.astype(np.float32), ((), "index")), ("label", LABEL[:, None] * 1.0, ((), "index")),
    ("label", LABEL + 0.5, ((), "float")), ("label", X.astype(np.uint8), ((2, 3), "index")),
])  # fmt: skip
def test_types(name: str, array: Any, expected: Any) -> None:
    source = opened(file=h5("a.h5", **{name: array}))
    assert fields(source) == {name: expected}
    assert np.array_equal(read(source, [1, 4])[name], array[[1, 4]].reshape(2, *expected[0]))


def test_numbers_beyond_32_bits() -> None:
    refuses("a.h5: 'label' has numbers beyond 32 bits; number the classes from 0", file=h5("a.h5", label=LABEL + 2**31))


def test_several_files_and_splits() -> None:
    h5("a.h5", data=X, label=LABEL), h5("b.h5", data=X + 100, label=LABEL), h5("c.h5", data=X[:2] + 200, label=LABEL[:2])
    source = opened(train=["a.h5", "b.h5"], test="c.h5")
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": list(range(10)), "test": [10, 11]}
    assert read(source, [11, 0, 7, 5, 0])["data"][:, 0, 0].tolist() == [206, 0, 112, 100, 0]
    assert [source.identify(index) for index in (4, 5, 11)] == ["row 4 of a.h5", "row 0 of b.h5", "row 1 of c.h5"]


def test_a_list_of_files_is_seen_from_where_it_is() -> None:
    Path("lists").mkdir()
    h5("lists/a.h5", data=X), h5("b.h5", data=X + 100)
    Path("lists/l.txt").write_text("a.h5\n  ../b.h5\n")
    assert read(opened(file="lists/l.txt"), [5, 4])["data"][:, 0, 0].tolist() == [100, 24]
    Path("empty.txt").write_text("\n")
    refuses("empty.txt: lists no files; write an HDF5 file a line", file="empty.txt")
    Path("bytes.txt").write_bytes(b"\xff\xfe")
    refuses("bytes.txt: cannot be read", file="bytes.txt")
    refuses("no.txt: cannot be read (no text file of a list's size); expected a list of files", file="no.txt")
    Path("lost.txt").write_text("gone.h5")
    refuses("gone.h5: there is no such file; expected an HDF5 file", file="lost.txt")


def test_tops() -> None:
    h5("a.h5", x=X, y=LABEL, odd=X[:2], **{"group/z": X[:, 0]})
    source = opened(file="a.h5", tops={"label": "y", "data": "group/z"})
    assert fields(source) == {"data": ((3,), "float"), "label": ((), "index")}
    assert np.array_equal(read(source, [4])["data"], X[4:, 0])
    assert fields(opened(file="a.h5", tops=["x", "y"])) == {"x": ((2, 3), "float"), "y": ((), "index")}
    assert fields(opened(file="a.h5", tops="x")) == {"x": ((2, 3), "float")}


@pytest.mark.parametrize(("keys", "words"), [
    ({}, "hdf5: needs file: F.h5, or train: F.h5 with val and test beside it; not both, and one of them"),
    ({"file": "a.h5", "test": "a.h5"}, "not both, and one of them"),
    ({"test": "a.h5"}, "not both, and one of them"),
    ({"file": ["a.h5", "b.h5"]}, "b.h5: 'data' is 3 a sample, and 2 x 3 in a.h5; files must be alike"),
    ({"train": "a.h5", "test": "c.h5"}, "c.h5: 'label' is no such dataset a sample, and one number in a.h5; files must be alike"),
    ({"file": "a.h5", "tops": ["dota"]}, "a.h5: has no dataset 'dota'; did you mean 'data'?"),
    ({"file": "a.h5", "tops": ["data/x"]}, "a.h5: has no dataset 'data/x'"),
    ({"file": "g.h5", "tops": ["in"]}, "g.h5: 'in' is a group, no dataset; known: in/x"),
    ({"file": "g.h5"}, "g.h5: has no datasets at its top; name them: tops: {data: in/…}"),
    ({"file": "e.h5"}, "e.h5: has no datasets at its top; expected one a field"),
    ({"file": "u.h5"}, "u.h5: 'label' has 2 samples and 'data' 5; all need as many, or name some: tops: [data]"),
    ({"file": "s.h5"}, "s.h5: 'id' holds elements of type object, not numbers; name others: tops: [data, label]"),
    ({"file": "z.h5"}, "z.h5: 'data' has no samples; axis 0 counts the samples"),
    ({"file": "n.h5"}, "n.h5: 'data' has no axis of samples; axis 0 counts the samples"),
])  # fmt: skip
def test_what_does_not_fit_together(keys: Any, words: str) -> None:
    h5("a.h5", data=X, label=LABEL), h5("b.h5", data=X[:, 0], label=LABEL), h5("c.h5", data=X), h5("g.h5", **{"in/x": X})
    h5("e.h5"), h5("u.h5", data=X, label=LABEL[:2]), h5("s.h5", id=["a", "b"]), h5("z.h5", data=X[:0]), h5("n.h5", data=3.0)
    refuses(words, **keys)


@pytest.mark.parametrize(("keys", "words"), [
    ({"tops": {}}, "'tops' must be a list of datasets, or a mapping {top: dataset}"),
    ({"tops": [1]}, "'tops' must be a list of datasets, or a mapping {top: dataset}"),
    ({"file": []}, "'file' must not be empty"),
    ({"flie": "a.h5"}, "unknown key 'flie'; did you mean 'file'?"),
])  # fmt: skip
def test_keys_of_the_wrong_type(keys: Any, words: str) -> None:
    document = Document("some.yaml")
    assert check(document, Hdf5Files, keys, (), "data: source (hdf5)") is None
    assert [message.split(": ", 3)[-1] for message in document.mistakes.values()] == [words]


# --- hostile files ---
def test_links_are_not_followed() -> None:
    h5("other.h5", data=X)
    with h5py.File("a.h5", "w") as file:
        file["y"] = LABEL
        file["data"] = h5py.ExternalLink("other.h5", "data")
    refuses("a.h5: 'data' is a link into other.h5; name the dataset itself, in its own file", file="a.h5")
    refuses("a.h5: 'data' is a link into other.h5", file="a.h5", tops=["data"])
    assert list(opened(file="a.h5", tops=["y"]).fields) == ["y"]
    with h5py.File("b.h5", "w") as file:
        file["y"] = h5py.SoftLink("/x/z")
        file["dltrain"] = h5py.ExternalLink("other.h5", "/")
    refuses("b.h5: 'dltrain/manifest' is a link into other.h5", file="b.h5")


def test_numbers_in_other_files() -> None:
    Path("raw").write_bytes(X.tobytes())
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", X.shape, "f4", external=[("raw", 0, h5py.h5f.UNLIMITED)])
    refuses("a.h5: 'data' keeps its numbers in other files; make one file of them", file="a.h5")
    h5("b.h5", data=X)
    with h5py.File("c.h5", "w") as file:
        layout = h5py.VirtualLayout(X.shape, "f4")
        layout[:] = h5py.VirtualSource("b.h5", "data", X.shape)
        file.create_virtual_dataset("data", layout)
    refuses("c.h5: 'data' keeps its numbers in other files", file="c.h5")


def test_sizes_that_are_not_there() -> None:
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", (10**9, 100), "f4")  # never written: no bytes at all
    refuses("a.h5: 'data' claims 400,000,000,000 bytes and has 0; make the file once more", file="a.h5")
    with h5py.File("b.h5", "w") as file:
        file.create_dataset("data", (10**15,), "f4", chunks=(1000,))
    refuses("b.h5: 'data' claims 1000000000000000 numbers, more than this machine can take in batches", file="b.h5")
    with h5py.File("c.h5", "w") as file:
        file.create_dataset("data", (1 << 20, 1 << 10), "f8", chunks=(1 << 18, 1 << 10))
    refuses("c.h5: 'data' has chunks of 2.0 GiB; rewrite it with chunks of some samples each", file="c.h5")


@pytest.mark.parametrize(("content", "words"), [
    (b"", "a.h5: is empty; expected an HDF5 file"),
    (b"text" * 99, "a.h5: is no HDF5 file, or is damaged or cut short (Unable to"),
    (None, "a.h5: is no HDF5 file, or is damaged or cut short (Unable to"),
])  # fmt: skip
def test_files_that_are_none(content: bytes | None, words: str) -> None:
    Path(h5("a.h5", data=X, label=LABEL)).write_bytes(Path("a.h5").read_bytes()[:-20] if content is None else content)
    refuses(words, file="a.h5")
    refuses("b.h5: there is no such file; expected an HDF5 file", file="b.h5")


def test_a_damaged_chunk_is_told_when_it_is_read() -> None:
    with h5py.File("a.h5", "w") as file:
        data = file.create_dataset("data", data=np.arange(4000.0), chunks=(1000,), compression="gzip", fletcher32=True)
        at = data.id.get_chunk_info(2).byte_offset
    content = bytearray(Path("a.h5").read_bytes())
    content[at + 50] ^= 255
    Path("a.h5").write_bytes(content)
    source = opened(file="a.h5")
    assert read(source, [7])["data"].tolist() == [7]
    with pytest.raises(
        DataError, match=r"a.h5: 'data' cannot be read from row 2,500 on \(.*\); the file is damaged: make it once more"
    ):
        read(source, [2500])


@settings(max_examples=30, deadline=None)
@given(some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 255)), min_size=1, max_size=20), some.integers(0, 10**6))
def test_a_damaged_file_costs_a_message_and_nothing_else(flips: list[tuple[int, int]], end: int) -> None:
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", data=X, chunks=(2, 2, 3), compression="gzip")
        file["label"] = LABEL
    content = bytearray(Path("a.h5").read_bytes())
    for at, value in flips:
        content[at % len(content)] = value
    Path("d.h5").write_bytes(content[: len(content) - end % len(content) if end % 3 == 0 else None])
    try:
        source = opened(file="d.h5")
        if len(source) < 100 and all(np.prod(shape) < 1000 for shape in source.fields.values()):
            read(source, range(len(source)))
    except DataError as error:
        assert str(error).startswith("d.h5: ")


# --- reading ---
@settings(max_examples=60, deadline=None)
@given(
    some.lists(some.integers(1, 40), min_size=1, max_size=3),
    some.sampled_from([None, 1, 3, 16]),
    some.sampled_from([1, 40, 1 << 16]),
    some.data(),
)
def test_any_rows_in_any_order_from_any_layout(counts: list[int], chunk: int | None, span: int, data: Any) -> None:
    whole = np.arange(sum(counts) * 3, dtype=np.int64).reshape(-1, 3) % 251
    parts = np.split(whole, np.cumsum(counts)[:-1])
    for number, part in enumerate(parts):
        with h5py.File(f"{number}.h5", "w") as file:
            chunks = None if chunk is None else (min(chunk, len(part)), 2)
            file.create_dataset("data", data=part, chunks=chunks, compression=None if chunk is None else "gzip")
    indices = data.draw(some.lists(some.integers(0, len(whole) - 1), min_size=1, max_size=60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5_parts, "SPAN", span)
        source = opened(file=[f"{number}.h5" for number in range(len(parts))])
        assert np.array_equal(read(source, indices)["data"], whole[indices])


def test_neighbours_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", data=np.arange(100.0), chunks=(10,))
    source, reads = opened(file="a.h5"), []
    plain = hdf5_parts.Part.slice

    def slice_(self: Any, name: str, first: int, end: int) -> Any:
        reads.append((first, end))
        return plain(self, name, first, end)

    monkeypatch.setattr(hdf5_parts.Part, "slice", slice_)
    assert read(source, [55, 3, 99, 7, 8, 9, 10, 11, 55])["data"].tolist() == [55, 3, 99, 7, 8, 9, 10, 11, 55]
    assert reads == [(3, 12), (55, 56), (99, 100)]


def test_threads_read_at_once() -> None:
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("data", data=np.arange(3000.0).reshape(1000, 3), chunks=(7, 3), compression="gzip")
    source, wrong = opened(file="a.h5"), []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            rows = rng.integers(0, 1000, 20)
            if not np.array_equal(read(source, rows)["data"][:, 0], rows * 3):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden, which is not here")
def test_reads_what_caffe_reads() -> None:
    source, golden = opened(file=str(GOLDEN / "h5_list.txt")), np.load(GOLDEN / "hdf5data_two_files.npz")
    for name in ("data", "label", "extra", "dbl"):
        got = read(source, np.arange(24) % len(source), name)[name]
        assert np.array_equal(got, golden[name].reshape(got.shape))


def test_an_editor_knows_the_short_forms() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for tops in ("x", ["x", "y"], {"data": "group/x"}):
        jsonschema.validate({"file": ["a.h5", "b.h5"], "test": "c.h5", "tops": tops}, adapter(Hdf5Files).json_schema())
