"""Tables: which tops columns make, what stands for what is missing, and every wrong cell by its line and column."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.checks import adapter, check
from dltrain.data import columns, delimited, table
from dltrain.data.csv_files import CsvFiles
from dltrain.data.numbers import numbers, smallest
from dltrain.errors import DataError
from dltrain.feed import Feed
from dltrain.marks import Document
from dltrain.sections import DataKeys, Part

PEOPLE = """id,sepal length,city,species,part,age
1,5.1,Rome,setosa,train,31
2,4.9,Paris,setosa,train,
3,7.0,Rome,versicolor,test,44
4,6.5,,virginica,val,5.5
5,?,Oslo,setosa,train,7
"""
MISSING = frozenset(["", "?", "na", "nan"])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wrote(text: str, name: str = "t.csv") -> str:
    Path(name).write_text(text, newline="", encoding="utf-8")
    return name


def checked(**keys: Any) -> Any:
    document = Document("some.yaml")
    source = check(document, CsvFiles, keys, (), "data: source (csv)")
    document.raise_mistakes()
    return source


def opened(**keys: Any) -> CsvFiles:
    """The source that the keys make, by way of the checks that a config goes through."""
    source = checked(**keys)
    source.open()
    assert isinstance(source, CsvFiles)
    return source


def read(source: CsvFiles, *indices: int) -> dict[str, list[Any]]:
    kinds = {"float": np.float32, "index": np.int32}
    out = {name: np.full((len(indices), *shape), -7, kinds[shape.dtype]) for name, shape in source.fields.items()}
    source.read(np.array(indices), out)
    return {name: rows.tolist() for name, rows in out.items()}


def fields(source: CsvFiles) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (tuple(shape), shape.dtype) for name, shape in source.fields.items()}


def refuses(words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        opened(**keys)


# --- tops ---
def test_columns_become_tops() -> None:
    source = opened(file=wrote(PEOPLE), data=["sepal length", "age"], label="species", split="part",
                    tops={"town": "city", "who": {"columns": "id", "type": "index"}})  # fmt: skip
    assert fields(source) == {
        "data": ((2,), "float"), "data.present": ((2,), "float"), "label": ((), "index"), "town": ((), "index"),
        "town.present": ((), "float"), "who": ((), "index"),
    }  # fmt: skip
    assert read(source, 0, 3, 4) == {
        "data": [[np.float32(5.1), 31], [6.5, 5.5], [0, 7]], "data.present": [[1, 1], [1, 1], [0, 1]], "label": [0, 2, 0],
        "town": [2, -1, 0], "town.present": [1, 0, 1], "who": [1, 4, 5],
    }  # fmt: skip
    assert source.names == {"label": ["setosa", "versicolor", "virginica"], "town": ["Oslo", "Paris", "Rome"]}
    assert source.classes == {"label": 3, "town": 3}
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1, 4], "val": [3], "test": [2]}
    assert source.identify(3) == "row 3 of t.csv" and len(source) == 5


def test_without_tops_the_data_are_all_other_columns() -> None:
    source = opened(file=wrote("a,b,y\n1,2,0\n3,4,1\n"), label="y")
    assert list(source.fields) == ["data", "label"]
    assert read(source, 1) == {"data": [[3, 4]], "label": [1]} and source.classes == {}
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1]}


def test_a_star_leaves_out_what_is_used_otherwise() -> None:
    source = opened(file=wrote("a,b,s,y,c\n1,2,train,0,x\n"), data="*", label="y", split="s", tops={"kind": "c"})
    assert read(source, 0) == {"data": [[1, 2]], "label": [0], "kind": [0]}


def test_one_column_is_a_number_and_several_a_vector() -> None:
    source = opened(file=wrote("a,b,y\n1,2,0\n"), tops={"one": "a", "two": ["a", "b"], "alone": ["b"]})
    assert fields(source) == {"one": ((), "float"), "two": ((2,), "float"), "alone": ((), "float")}
    assert fields(opened(file="t.csv", data="a")) == {"data": ((1,), "float")}


@pytest.mark.parametrize(("cells", "kind", "expected", "names"), [
    (["2", "0", "7"], "index", [2, 0, 7], None),  # as they are: a class may be absent from a file
    (["1", "-1", "1"], "index", [1, 0, 1], ["-1", "1"]),
    (["b", "a", "b"], "index", [1, 0, 1], ["a", "b"]),
    (["10", "9", "x"], "index", [0, 1, 2], ["10", "9", "x"]),
    (["1.5", "2", "-3"], "float", [1.5, 2, -3], None),
    (["1.0", "2.0", "0"], "index", [1, 2, 0], None),
])  # fmt: skip
def test_a_label_is_what_its_cells_are(cells: list[str], kind: str, expected: list[float], names: list[str] | None) -> None:
    source = opened(file=wrote("x,y\n" + "".join(f"1,{cell}\n" for cell in cells)), label="y")
    assert source.fields["label"].dtype == kind
    assert read(source, 0, 1, 2)["label"] == expected
    assert source.names.get("label") == names


def test_a_category_keeps_its_words_and_counts_them_over_all_its_columns() -> None:
    source = opened(file=wrote("zip,a,b\n010,x,y\n007,y,\n9,z,x\n"),
                    tops={"zip": {"columns": "zip", "type": "category"}, "both": {"columns": ["a", "b"], "type": "category", "fill": "none"}})  # fmt: skip
    assert source.names == {"zip": ["007", "9", "010"], "both": ["none", "x", "y", "z"]}
    assert read(source, 0, 1, 2) == {
        "zip": [2, 0, 1], "both": [[1, 2], [2, 0], [3, 1]], "both.present": [[1, 1], [1, 0], [1, 1]],
    }  # fmt: skip


# --- missing values ---
def test_what_stands_for_a_missing_value() -> None:
    wrote("a,b,c,y\n1,NA,u,\n,2,?,v\n-999, nan ,u,u\n")
    source = opened(file="t.csv", data=["a", "b"], label="y", fill=-1.5, missing=["", "NA", "?", "nan", -999],
                    tops={"c": {"columns": "c", "fill": "u"}, "b": {"columns": "b", "fill": 9}, "k": {"columns": "b", "type": "index"}})  # fmt: skip
    assert read(source, 0, 1, 2) == {
        "data": [[1, -1.5], [-1.5, 2], [-1.5, -1.5]], "data.present": [[1, 0], [0, 1], [0, 0]],
        "label": [-1, 1, 0], "label.present": [0, 1, 1], "c": [0, 0, 0], "c.present": [1, 0, 1],
        "b": [9, 2, 9], "b.present": [0, 1, 0], "k": [-1, 2, -1], "k.present": [0, 1, 0],
    }  # fmt: skip


def test_where_all_values_are_there_nothing_says_so() -> None:
    assert list(opened(file=wrote("a,y\n1,0\n"), label="y").fields) == ["data", "label"]


def test_a_label_without_any_value() -> None:
    refuses("csv: 'label': column 'y' has no values, only missing ones; choose another",
            file=wrote("a,y\n1,\n2,\n"), tops={"label": {"columns": "y", "type": "category"}})  # fmt: skip


# --- what is known of a row ---
def test_every_column_is_known_by_its_name() -> None:
    facts = opened(file=wrote(PEOPLE), data="sepal length", label="species").facts
    assert {name: list(values) for name, values in facts.items() if name not in ("sepal_length", "age")} == {
        "id": [1, 2, 3, 4, 5], "city": ["Rome", "Paris", "Rome", "", "Oslo"],
        "species": ["setosa", "setosa", "versicolor", "virginica", "setosa"], "part": ["train", "train", "test", "val", "train"],
    }  # fmt: skip
    assert list(facts["sepal_length"])[:4] == [5.1, 4.9, 7.0, 6.5] and np.isnan(facts["sepal_length"][4])
    assert [facts["age"][row] for row in (0, 2, 3, 4)] == [31.0, 44.0, 5.5, 7.0]


def test_where_goes_by_columns() -> None:
    source = checked(file=wrote(PEOPLE), data="id", label="species")
    feed = Feed(DataKeys(source=source, batch_size=1, val=Part(where="city == 'Rome' and sepal_length > 6 or age < 6")), 1)
    feed.open()
    assert {name: rows.tolist() for name, rows in feed.splits.items()} == {"train": [0, 1, 4], "val": [2, 3]}


def test_long_texts_are_no_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "WORDS", 10)
    wrote("a,t\n1,hello world\n2,other\n")
    assert list(opened(file="t.csv", data="a").facts) == ["a"]
    refuses("t.csv: column 't' has too many different words for classes", file="t.csv", data="a", label="t")


def test_a_column_that_turns_into_words_late_keeps_its_first_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CELLS", 4)  # two rows at a time
    source = opened(file=wrote("a,t\n1,007\n2,1.0\n3,x\n"), data="a", label="t")
    assert source.names["label"] == ["007", "1.0", "x"] and read(source, 0, 1, 2)["label"] == [0, 1, 2]
    assert list(source.facts["t"]) == ["007", "1.0", "x"]


# --- splits ---
def test_files_of_their_own() -> None:
    source = opened(train=wrote("a,y\n1,u\n2,v\n"), test=wrote("y,extra,a\nw,5,3\n", "e.csv"), data=["a"], label="y")
    assert {name: rows.tolist() for name, rows in source.splits.items()} == {"train": [0, 1], "test": [2]}
    assert read(source, 2, 0) == {"data": [[3], [1]], "label": [2, 0]} and source.names["label"] == ["u", "v", "w"]
    assert list(source.facts) == ["a", "y"] and source.identify(2) == "row 0 of e.csv"


@pytest.mark.parametrize(("keys", "words"), [
    ({}, "csv: needs file: T.csv, or train: T.csv with val and test beside it; not both, and one of them"),
    ({"file": "t.csv", "test": "t.csv"}, "not both, and one of them"),
    ({"test": "t.csv"}, "not both, and one of them"),
    ({"train": "t.csv", "split": "y"}, "csv: split names a column of file:; beside train: it says nothing"),
    ({"file": "t.csv", "split": "y", "data": "a"}, "t.csv: column 'y' says '0' where a split is expected; write train, val or test"),
    ({"file": "t.csv", "split": "s", "data": "a"}, "t.csv: column 's' says no split in row 1; write train, val or test"),
    ({"file": "t.csv", "split": "z"}, "t.csv: has no column 'z'; known: a, s, y"),
    ({"file": "t.csv", "label": "lable"}, "t.csv: has no column 'lable'"),
    ({"file": "t.csv", "data": ["aa"]}, "t.csv: has no column 'aa'; did you mean 'a'?"),
    ({"train": "t.csv", "test": "u.csv", "data": "a", "label": "y"}, "u.csv: has no column 'y'; known: a"),
    ({"file": "u.csv", "label": "a"}, 'csv: data: "*" leaves no column for the data; name columns: data: [A, B]'),
    ({"file": "t.csv", "data": "a", "tops": {"data": "y"}}, "csv: 'data' is said twice, by itself and in tops; keep one"),
    ({"file": "t.csv", "label": "y", "tops": {"label": "y"}}, "csv: 'label' is said twice, by itself and in tops; keep one"),
    ({"file": "t.csv", "tops": {"a b": "y"}}, "csv: 'a b' cannot be the name of a top; use letters, digits, _ and -"),
    ({"file": "t.csv", "tops": {"y": {"columns": "y", "fill": "x"}, "p": {"columns": "a", "type": "float", "fill": "x"}}},
     "csv: tops: y: fill: 'x' is no number, as the top is of numbers; give one"),
    ({"file": "t.csv", "tops": {"y": {"columns": "s", "type": "index"}}},
     "csv: 'y' is an index, and column 's' says 'train'; say type: category"),
    ({"file": "t.csv", "tops": {"y": {"columns": "a", "type": "index"}}},
     "row 1 of t.csv: column 'a' is 2.5, no whole number of 32 bits; say type: float or category for 'y'"),
])  # fmt: skip
def test_keys_that_do_not_fit_the_table(keys: Any, words: str) -> None:
    wrote("a,s,y\n1,train,0\n2.5,,1\n")
    wrote("a\n1\n", "u.csv")
    refuses(words, **keys)


@pytest.mark.parametrize(("keys", "words"), [
    ({"tops": {"a": {"columns": "a", "typ": "float"}}}, "unknown key 'typ'"),
    ({"tops": {"a": {"columns": "a", "type": "floot"}}}, "did you mean 'float'?"),
    ({"delimiter": ",,"}, "'delimiter' is ',,'"),
    ({"data": []}, "'data' must not be empty"),
    ({"fill": "x"}, "'fill' must be a number, not 'x'"),
])  # fmt: skip
def test_keys_of_the_wrong_type(keys: Any, words: str) -> None:
    document = Document("some.yaml")
    assert check(document, CsvFiles, {"file": "t.csv", **keys}, (), "data: source (csv)") is None
    assert words in next(iter(document.mistakes.values()))


# --- files ---
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_finds_the_delimiter(delimiter: str) -> None:
    source = opened(file=wrote("a,b,y\n1,2,x y\n".replace(",", delimiter)), label="y")
    assert read(source, 0)["data"] == [[1, 2]] and source.names["label"] == ["x y"]


def test_takes_the_delimiter_that_it_is_given() -> None:
    assert read(opened(file=wrote("a;1 b;2\n3 4\n"), delimiter=" "), 0) == {"data": [[3, 4]]}


def test_a_byte_order_mark_windows_lines_empty_lines_and_quotes() -> None:
    source = opened(file=wrote('\ufeffa,"b ""c""",y\r\n\r\n1,"2","two\r\nlines, one cell"\r\n3 , 4,v\r\n'), label="y")
    assert read(source, 0, 1)["data"] == [[1, 2], [3, 4]]
    assert source.names["label"] == ["two\r\nlines, one cell", "v"] and list(source.facts) == ["a", "b__c_", "y"]


def test_gzipped_whatever_its_name() -> None:
    Path("t.csv").write_bytes(gzip.compress(b"a,y\n1,0\n"))
    assert read(opened(file="t.csv", label="y"), 0) == {"data": [[1]], "label": [0]}
    Path("t.csv").write_bytes(gzip.compress(bytes(range(32, 96)) * 50)[:-12])
    refuses("t.csv: is damaged or cut short", file="t.csv")


def test_columns_without_names() -> None:
    wrote("5,1,2\n6,3,4\n")
    refuses("t.csv: line 1 holds numbers, no names of columns; say header: false, and columns are 1, 2, 3 …", file="t.csv")
    assert read(opened(file="t.csv", header=False, label=1), 0, 1) == {"data": [[1, 2], [3, 4]], "label": [5, 6]}
    assert read(opened(file="t.csv", header=True, label=5), 0) == {"data": [[3, 4]], "label": [6]}
    assert list(opened(file=wrote(",a\n1,2\n")).facts) == ["1", "a"]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "t.csv: is empty; expected a table as text (UTF-8), a row a line"),
    (b"\n1,2\n", "t.csv: begins with an empty line"),
    (b"a,b\n", "t.csv: has names of columns and no rows; a row is a sample"),
    (b"a,b\n1,2\n3\n", "t.csv: line 3 has 1 cells where line 1 has 2; mend it, quote cells that contain ',', or say which delimiter: it is"),
    (b"a,b\n1,2\n\n3,4,5\n", "t.csv: line 4 has 3 cells where line 1 has 2"),
    (b"a,b,a\n1,2,3\n", "t.csv: columns 1 and 3 are both called 'a'; rename one"),
    (b"a,b\n1,\xff\n", "t.csv: is no text in UTF-8 (byte 0xff); save it as UTF-8"),
    (b"a,b\n1,2\n\0\0", "t.csv: line 3 is no text: it has a byte 0"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "t.csv: is no text in UTF-8 (byte 0x89)"),
    (b'a,b\n1,2\n3,"4\n5,6\n', "t.csv: line 3 cannot be taken apart (unexpected end of data): is a quote not closed, or not doubled within a cell?"),
    (b'a,b\n1,"2"3\n', "t.csv: line 2 cannot be taken apart"),
    (b"a," + b"b" * 200_000 + b"\n1,2\n", "t.csv: line 1 cannot be taken apart (field larger than field limit"),
])  # fmt: skip
def test_files_that_are_no_tables(content: bytes, words: str) -> None:
    Path("t.csv").write_bytes(content)
    refuses(words, file="t.csv")


def test_missing_files_and_folders() -> None:
    refuses("no.csv: there is no such file", file="no.csv")
    Path("d.csv").mkdir()
    refuses("d.csv: there is no such file", file="d.csv")


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "LONGEST", 100)
    refuses("t.csv: line 2 is longer than 100 characters", file=wrote("a,b\n1," + "2" * 200))


def test_a_huge_file_of_nothing_is_refused_at_once() -> None:
    with open("t.csv", "wb") as file:
        file.truncate(10 << 30)
    refuses("t.csv: line 1 is no text: it has a byte 0", file="t.csv")


def test_a_table_that_the_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "installed", lambda: 1000)
    refuses("t.csv: needs more than the 0.0 GiB of memory that this machine has; name fewer columns, or save arrays with np.save",
            file=wrote("a,b\n" + "1,2\n" * 1000))  # fmt: skip


def test_every_cell_that_is_no_number_is_named() -> None:
    wrote("a,b,y\n1,x,0\n2,1_000,1\n1e999,٣,0\n")
    refuses("t.csv: line 2, column 'b': 'x' is no number; t.csv: line 3, column 'b': '1_000' is no number; "
            "t.csv: line 4, column 'a': '1e999' is no number; t.csv: line 4, column 'b': '٣' is no number; "
            "mend them, add the word to missing:, or make the column a top with type: category", file="t.csv", label="y")  # fmt: skip
    wrote("a,b\n" + "1,x\n" * 9)
    refuses("t.csv: line 6, column 'b': 'x' is no number and 4 more; mend them", file="t.csv")


# --- cells ---
@pytest.mark.parametrize(("cell", "value"), [
    ("1", 1), (" -2.5 ", -2.5), ("+.5", 0.5), ("1e3", 1000), ("1.", 1), ("", None), ("NaN", None), (" ? ", None),
    ("inf", "no"), ("0x10", "no"), ("1_0", "no"), ("1,5", "no"), ("--1", "no"), ("1 2", "no"), ("e5", "no"), (".", "no"),
])  # fmt: skip
def test_cells(cell: str, value: Any) -> None:
    found = numbers(["3", cell], MISSING)
    assert found.wrong == ([1] if value == "no" else [])
    assert (found.absent is not None and bool(found.absent[1])) == (value is None)
    if isinstance(value, int | float):
        assert found.values.tolist() == [3, value]


@pytest.mark.parametrize(("values", "kind"), [([1, -2], np.int32), ([0.5, 1], np.float32), ([1, np.nan], np.float32),
                                              ([0.1, 1], np.float64), ([2.0**40 + 1], np.float64)])  # fmt: skip
def test_the_smallest_type_that_is_exact(values: list[float], kind: Any) -> None:
    made = smallest(np.array(values, np.float64))
    assert made.dtype == kind and np.array_equal(made, values, equal_nan=True)


CELL = some.one_of(some.floats(width=32, allow_nan=False, allow_infinity=False), some.integers(-(10**6), 10**6), some.none())
WORD = some.text(
    some.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cc", "Zs", "Zl", "Zp", "Cs"]),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(
    some.lists(
        some.tuples(CELL, CELL, WORD.filter(lambda word: word.lower() not in ("?", "na", "n/a", "nan", "null"))),
        min_size=1,
        max_size=30,
    ),
    some.sampled_from(",;\t|"),
    some.sampled_from([2, 7, 1000]),
)
def test_any_table_is_read_as_it_was_written(rows: list[Any], delimiter: str, together: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["a", "b", "w"])
    writer.writerows([["" if a is None else a, "NA" if b is None else b, w] for a, b, w in rows])
    wrote(text.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CELLS", together)
        source = opened(file="t.csv", data=["a", "b"], delimiter=delimiter, tops={"w": {"columns": "w", "type": "category"}})
    got = read(source, *range(len(rows)))
    assert got["data"] == np.array([[0 if x is None else x for x in row[:2]] for row in rows], np.float32).tolist()
    if any(x is None for row in rows for x in row[:2]):
        assert got["data.present"] == [[float(x is not None) for x in row[:2]] for row in rows]
    assert [source.names["w"][place] for place in got["w"]] == [word.strip() for _, _, word in rows]


def test_an_editor_knows_the_short_forms() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = adapter(CsvFiles).json_schema()
    for tops in ({"a": "a"}, {"a": ["a", 3]}, {"a": {"columns": "a", "fill": 3}}):
        jsonschema.validate({"tops": tops, "data": "*", "label": 3}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"tops": {"a": {"columns": "a", "typ": "float"}}}, schema)
