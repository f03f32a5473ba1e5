"""LMDB: the pages against the library that wrote them, Datum records against Caffe, and damage that costs a message only."""

from __future__ import annotations

import io
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.checks import check
from dltrain.data import lmdb_pages
from dltrain.data.lmdb_files import LmdbFiles
from dltrain.data.lmdb_pages import Pages
from dltrain.data.manifest import Manifest
from dltrain.data.records import RecordWriter
from dltrain.errors import DataError
from dltrain.marks import Document
from dltrain.source import ANY_SIZE, Shape

lmdb = pytest.importorskip("lmdb")

GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden" / "data"
BIG = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def store(name: str, records: dict[bytes, bytes], **keys: Any) -> str:
    environment = lmdb.open(name, map_size=1 << 26, lock=False, **keys)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    environment.close()
    return name


def datum(shape: tuple[int, int, int], data: bytes, label: int, encoded: bool = False) -> bytes:
    def varint(value: int) -> bytes:
        value &= (1 << 64) - 1
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    sizes = b"".join(bytes([number << 3]) + varint(size) for number, size in zip((1, 2, 3), shape) if size)
    return sizes + b"\x22" + varint(len(data)) + data + b"\x28" + varint(label) + (b"\x38\x01" if encoded else b"")


def png(height: int, width: int, value: int = 0) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(np.stack([np.full((height, width), value + channel, np.uint8) for channel in range(3)], 2)).save(file, "PNG")
    return file.getvalue()


def pictures(name: str = "p.lmdb", count: int = 5) -> str:
    return store(name, {b"%08d_x" % n: datum((3, 2, 2), bytes(range(n, n + 12)), n * 100) for n in range(count)})


def opened(**keys: Any) -> LmdbFiles:
    """The source that the keys make, by way of the checks that a config goes through."""
    document = Document("some.yaml")
    source = check(document, LmdbFiles, keys, (), "data: source (lmdb)")
    document.raise_mistakes()
    source.open()
    assert isinstance(source, LmdbFiles)
    return source


def refuses(words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        opened(**keys)


# --- pages ---
@settings(max_examples=40, deadline=None)
@given(
    some.dictionaries(some.binary(min_size=1, max_size=40), some.integers(0, 9000), max_size=120),
    some.lists(some.binary(min_size=1, max_size=40), max_size=5),
)
def test_the_pages_say_what_the_library_does(sizes: dict[bytes, int], more: list[bytes]) -> None:
    path = Path("any.lmdb")
    if path.exists():
        (path / "data.mdb").unlink()
    records = {key: BIG[:size] for key, size in sizes.items()}
    store("any.lmdb", records)
    store("any.lmdb", dict.fromkeys(more, b"later"))  # a second transaction: the other header is the newer one
    expected = sorted({**records, **dict.fromkeys(more, b"later")}.items())
    pages = Pages(path)
    assert [(pages.key(n), pages.value(n)) for n in range(len(pages))] == expected
    for number, (key, value) in enumerate(expected):
        assert pages.find(key) == number and pages.part(number, 3, 10) == value[3:13]
    assert pages.find(b"\xff" * 50) is None


def test_a_tree_of_many_levels() -> None:
    records = {b"%0200d" % n: b"%d" % n for n in range(20_000)}
    pages = Pages(Path(store("deep.lmdb", records)))
    assert pages.depth >= 4 and len(pages) == 20_000
    assert [pages.value(n) for n in (0, 7, 19_999)] == [b"0", b"7", b"19999"]


def test_a_file_without_a_folder() -> None:
    pictures()
    assert len(opened(file="p.lmdb/data.mdb")) == 5


def damage(at: int, content: bytes) -> None:
    with open("p.lmdb/data.mdb", "r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize(("at", "content", "words"), [
    (16, b"text", "is no LMDB of a 64-bit machine: it begins with 00 00 00 00 00 00 00 00"),
    (4096 + 16, b"text", "p.lmdb: holds no records"),  # this header is torn: the other is older
    (16 + 4, struct.pack("<I", 2), "is an LMDB of format 2, where 1 is known"),
    (16 + 24, struct.pack("<I", 3), "is damaged or cut short: it has 12,288 bytes and pages of 3"),
    (4096 + 16 + 24 + 48 + 40, struct.pack("<Q", 99), "is cut short: it has 12,288 bytes, and a page at 405,504"),
    (4096 + 16 + 24 + 48 + 32, struct.pack("<Q", 6), "is damaged: it has 5 records where its header claims 6"),
    (4096 + 16 + 24 + 48 + 32, struct.pack("<Q", 10**15), "is damaged: its header claims 1,000,000,000,000,000 records"),
    (4096 + 16 + 24 + 48 + 6, struct.pack("<H", 2), "is damaged: page 2 is none of its tree"),
    (4096 + 16 + 24 + 48 + 6, struct.pack("<H", 200), "200 levels deep"),
    (8192, struct.pack("<Q", 7), "is damaged: page 2 is none of its tree"),
    (8192 + 16, struct.pack("<H", 4095), "is damaged: page 2 is none of its tree"),
    (8192 + 12, struct.pack("<H", 60000), "is damaged: page 2 is none of its tree"),
])  # fmt: skip
def test_damaged_headers_and_pages(at: int, content: bytes, words: str) -> None:
    pictures()
    damage(at, content)
    refuses(words, file="p.lmdb")


def test_a_large_value_that_is_not_there() -> None:
    store("p.lmdb", {b"k": datum((3, 50, 50), bytes(7500), 1)})
    with open("p.lmdb/data.mdb", "r+b") as file:
        file.truncate(4096 * 3 + 3000)
    refuses(
        "p.lmdb/data.mdb: is cut short: it has 15,288 bytes, and a record that ends beyond; expected a folder with", file="p.lmdb"
    )


def test_pages_that_lead_in_a_circle() -> None:
    store("p.lmdb", {b"%0300d" % n: b"x" for n in range(100)})
    content = bytearray(Path("p.lmdb/data.mdb").read_bytes())
    root = struct.unpack_from("<Q", content, 4096 + 16 + 24 + 48 + 40)[0]
    page = root * 4096
    first = struct.unpack_from("<H", content, page + 16)[0]
    second = struct.unpack_from("<H", content, page + 18)[0]
    content[page + first : page + first + 6] = content[page + second : page + second + 6]  # the second child twice
    Path("p.lmdb/data.mdb").write_bytes(content)
    refuses("stands twice in its tree", file="p.lmdb")
    content[page + first : page + first + 6] = struct.pack("<IH", root, 0)  # the page itself
    Path("p.lmdb/data.mdb").write_bytes(content)
    refuses("is damaged: page", file="p.lmdb")


@pytest.mark.parametrize(("content", "words"), [
    (b"", "x/data.mdb: is no LMDB: it has 0 bytes; expected a folder with the data.mdb of an LMDB"),
    (b"hello" * 100, "x/data.mdb: is no LMDB of a 64-bit machine: it begins with 68 65 6c 6c 6f 68 65 6c"),
])  # fmt: skip
def test_files_that_are_none(content: bytes, words: str) -> None:
    Path("x").mkdir()
    refuses("x: there is no LMDB; expected a folder with the data.mdb of an LMDB", file="x")
    refuses("y: there is no LMDB", file="y")
    Path("x/data.mdb").write_bytes(content)
    refuses(words, file="x")


def test_databases_of_other_kinds() -> None:
    refuses("e.lmdb: holds no records; expected a sample a record", file=store("e.lmdb", {}))
    environment = lmdb.open("n.lmdb", map_size=1 << 20, max_dbs=2)
    environment.open_db(b"inner")
    environment.close()
    refuses("n.lmdb/data.mdb: holds named databases, or several values a key, as no data set of records does", file="n.lmdb")


def test_more_records_than_the_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_pages, "installed", lambda: 100)
    refuses("has 5 records, more than the memory of this machine can hold the places of", file=pictures())


@settings(max_examples=60, deadline=None)
@given(
    some.sampled_from(["d", "o"]),
    some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 255)), max_size=12),
    some.integers(0, 10**6),
)
def test_a_damaged_file_costs_a_message_and_nothing_else(kind: str, flips: list[tuple[int, int]], end: int) -> None:
    if not Path(f"{kind}.lmdb").exists():
        pictures("d.lmdb", 60) and own("o.lmdb")
    content = bytearray(Path(f"{kind}.lmdb/data.mdb").read_bytes())
    for at, value in flips:
        content[at % len(content)] = value
    Path("f.mdb").write_bytes(content[: end % len(content)] if end % 4 == 0 else content)
    try:
        source = opened(file="f.mdb")
    except DataError as error:
        assert str(error).startswith("f.mdb: ")
        return
    for index in range(len(source)):
        try:
            source.sample(index, ("data", "label")), source.sample(index, ("label",)), source.identify(index)
        except DataError as error:
            assert str(error).startswith("f.mdb: record ")


# --- Datum records ---
def test_records_in_the_order_of_their_keys() -> None:
    source = opened(file=pictures())
    assert source.fields == {"data": (3, 2, 2), "label": ()} and source.fields["label"].dtype == "index"
    assert source.splits["train"].tolist() == [0, 1, 2, 3, 4] and source.identify(3) == "00000003_x"
    sample = source.sample(2, ("data", "label"))
    assert sample["data"].tolist() == np.arange(2, 14).reshape(3, 2, 2).tolist() and sample["label"] == 200
    assert source.sample(4, ("label",)) == {"label": 400} and list(source.sample(1, ("data",))) == ["data"]


def test_a_label_is_read_without_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(file=store("p.lmdb", {b"k": datum((1, 100, 100), bytes(10_000), 7)}))
    read: list[int] = []
    plain = Pages.piece
    monkeypatch.setattr(Pages, "piece", lambda self, at, size: (read.append(size), plain(self, at, size))[1])
    assert source.sample(0, ("label",)) == {"label": 7} and sum(read) < 100


def test_splits() -> None:
    source = opened(train=pictures("a.lmdb", 3), test=pictures("b.lmdb", 2))
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1, 2], "test": [3, 4]}
    assert source.sample(4, ("label",)) == {"label": 100}
    store("c.lmdb", {b"k": datum((1, 2, 2), bytes(4), 0)})
    refuses("c.lmdb: has data float 1 x 2 x 2, label index one number, and a.lmdb data float 3 x 2 x 2, label index one number; "
            "splits must be alike", train="a.lmdb", val="c.lmdb")  # fmt: skip
    for keys in ({}, {"test": "b.lmdb"}, {"file": "a.lmdb", "test": "b.lmdb"}):
        refuses("lmdb: needs file: F.lmdb, or train: F.lmdb with val and test beside it; not both, and one of them", **keys)


def test_sizes_that_differ() -> None:
    records = {b"%d" % n: datum((1, n, 2), bytes(2 * n), n) for n in range(1, 4)}
    source = opened(file=store("p.lmdb", records))
    assert source.fields["data"] == (1, ANY_SIZE, ANY_SIZE)
    assert source.sample(2, ("data",))["data"].shape == (1, 3, 2)
    alike = opened(file="p.lmdb", sizes="alike")
    assert alike.fields["data"] == (1, 1, 2)
    with pytest.raises(
        DataError,
        match=re.escape("p.lmdb: record 1 ('2') has 'data' of 1 x 2 x 2 where others have 1 x 1 x 2; say sizes: differ"),
    ):
        alike.sample(1, ("data",))
    assert opened(file=pictures("q.lmdb"), sizes="differ").fields["data"] == (3, ANY_SIZE, ANY_SIZE)


def test_encoded_pictures() -> None:
    store("p.lmdb", {b"a": datum((0, 0, 0), png(2, 3, 10), 4, True), b"b": datum((0, 0, 0), png(2, 3, 20), 5, True)})
    source = opened(file="p.lmdb")
    assert source.fields["data"] == (3, 2, 3)
    assert source.sample(1, ("data", "label"))["data"][:, 0, 0].tolist() == [20, 21, 22]
    assert opened(file="p.lmdb", color="bgr").sample(1, ("data",))["data"][:, 0, 0].tolist() == [22, 21, 20]
    grey = opened(file="p.lmdb", color="grey").sample(1, ("data",))["data"]
    assert grey.shape == (1, 2, 3) and grey[0, 0, 0] == 21  # 0.299 * 20 + 0.587 * 21 + 0.114 * 22 = 20.8


def test_a_scaled_picture_where_sizes_differ() -> None:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", (800, 400)).save(file, "JPEG")
    store("p.lmdb", {b"a": datum((0, 0, 0), file.getvalue(), 4, True)})
    source = opened(file="p.lmdb", sizes="differ")
    source.least = (90, 90)
    assert source.sample(0, ("data",))["data"].shape == (3, 100, 200)


@pytest.mark.parametrize(("record", "words"), [
    (b"\x08\x03garbage", "is no Datum, or is cut short"),
    (datum((3, 2, 2), b"short", 0), "says 3 x 2 x 2 and holds 5 numbers"),
    (datum((0, 0, 0), b"no picture", 0, True), "holds no picture that can be decoded (cannot identify image file"),
    (datum((0, 0, 0), b"GIF89a" + bytes(20), 0, True), "holds no picture that can be decoded"),
])  # fmt: skip
def test_records_that_are_damaged(record: bytes, words: str) -> None:
    pytest.importorskip("PIL.Image")
    refuses(f"p.lmdb: record 0 ('a') {words}", file=store("p.lmdb", {b"a": record}))
    good = datum((3, 2, 2), bytes(12), 0)
    source = opened(file=store("q.lmdb", {b"a": good, b"b": record, b"c": good}), sizes="alike")
    with pytest.raises(DataError, match=re.escape(f"q.lmdb: record 1 ('b') {words}") + ".*; mend it, or say on_error: skip"):
        source.sample(1, ("data",))


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    store("p.lmdb", {b"a": datum((0, 0, 0), b"x", 4, True)})
    monkeypatch.setitem(sys.modules, "PIL", None)
    refuses("pip install 'dltrain[images]'", file="p.lmdb")


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden, which is not here")
@pytest.mark.parametrize(("golden", "database", "keys", "factor"), [
    ("data_lmdb_encoded_png", "imgset_png_lmdb", {"color": "bgr"}, 1), ("data_lmdb_gray", "imgset_gray_lmdb", {}, 1),
    ("data_lmdb_resized", "imgset_resized_lmdb", {}, 1), ("data_lmdb_scale", "mnist100_lmdb", {}, 0.00390625),
])  # fmt: skip
def test_reads_what_caffe_reads(golden: str, database: str, keys: dict[str, Any], factor: float) -> None:
    source, tops = opened(file=str(GOLDEN / database), **keys), np.load(GOLDEN / f"{golden}.npz")
    expected, labels = tops["data"].reshape(-1, *source.fields["data"]), tops["label"].reshape(-1)
    for number in range(len(expected)):
        sample = source.sample(number % len(source), ("data", "label"))
        assert np.array_equal(sample["data"] * np.float32(factor), expected[number]) and sample["label"] == labels[number]
        assert source.sample(number % len(source), ("label",))["label"] == labels[number]


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden, which is not here")
def test_reads_features_that_caffe_extracted() -> None:
    source, blobs = opened(file=str(GOLDEN / "features_ip2_lmdb")), np.load(GOLDEN / "lenet1000_mnist100_blobs.npz")
    assert source.fields["data"] == (10, 1, 1)
    assert np.array_equal(source.sample(3, ("data",))["data"].reshape(-1), blobs["ip2"][3])


# --- our own records ---
def own(name: str, **changes: Any) -> str:
    fields = {"data": Shape((2,)), "label": Shape((), "index"), "wide": Shape((1, ANY_SIZE))}
    said = {"fields": fields, "count": 3, "splits": {"train": np.array([2, 0]), "test": np.array([1])},
            "classes": {"label": 2}, "names": {"label": ["a", "b"]}, "facts": {"take": [7, 8, 9]}, "ids": ["x", "y", "z"]}  # fmt: skip
    writer = RecordWriter(Path(name))
    wide = [np.arange(n, dtype=np.uint8)[None] for n in range(1, 4)]
    writer.add({"data": np.array([[0, 1], [2, 3.5], [4, 5]], np.float32), "label": np.array([0, 1, 0], np.int32), "wide": wide})
    writer.close(Manifest(**{**said, **changes}))
    return name


def test_our_own_have_everything_with_them() -> None:
    source = opened(file=own("o.lmdb"))
    assert source.fields == {"data": (2,), "label": (), "wide": (1, ANY_SIZE)} and len(source) == 3
    assert source.splits["train"].tolist() == [2, 0] and source.classes == {"label": 2} and source.names == {"label": ["a", "b"]}
    assert source.facts == {"take": [7, 8, 9]} and source.identify(1) == "y"  # type: ignore[attr-defined]
    sample = source.sample(1, ("data", "label", "wide"))
    assert sample["data"].tolist() == [2, 3.5] and sample["label"] == 1 and sample["wide"].tolist() == [[0, 1]]
    assert source.sample(2, ("label",)) == {"label": 0}


def test_our_own_as_splits() -> None:
    source = opened(train=own("o.lmdb"), test=own("p.lmdb", ids=None))
    assert source.splits["train"].tolist() == [0, 1, 2] and source.splits["test"].tolist() == [3, 4, 5]
    assert source.names == {"label": ["a", "b"]} and source.identify(4) == "record 1 of p.lmdb"


def test_our_own_with_a_manifest_that_does_not_fit() -> None:
    refuses("o.lmdb: holds 3 records where its manifest says 4; convert the data once more",
            file=own("o.lmdb", count=4, facts={}, ids=None))  # fmt: skip
    refuses("p.lmdb: its manifest is damaged", file=own("p.lmdb", ids=["x"]))
    source = opened(file=own("q.lmdb", fields={"data": Shape((3,)), "label": Shape((), "index")}))
    with pytest.raises(
        DataError, match=re.escape("q.lmdb: record 0 ('0000000000') has 'data' of 2 where others have 3; mend it")
    ):
        source.sample(0, ("data",))
