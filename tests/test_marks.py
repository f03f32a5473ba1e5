"""YAML 1.2 as dltrain reads it: plain values, the place of each, and a clear refusal of what is no config."""

from __future__ import annotations

import re
import subprocess
import sys
from math import inf, isnan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain import marks
from dltrain.errors import ConfigError
from dltrain.marks import Document, Mark, load, parse

NUMBERS = {
    "0": 0, "12": 12, "-3": -3, "+7": 7, "017": 17, "-017": -17, "007": 7, "0o17": 15, "0o0": 0, "0x1f": 31, "0xFF": 255,
    "1e-4": 1e-4, "1E4": 1e4, "5e-4": 5e-4, "1.5": 1.5, "-.5": -0.5, ".5": 0.5, "5.": 5.0, "1.e3": 1000.0, "+1.5E+2": 150.0,
    "1e3": 1000.0,
    "0.0": 0.0, ".inf": inf, "+.inf": inf, "-.inf": -inf, ".Inf": inf, "-.INF": -inf,
}  # fmt: skip
TEXTS = [
    "on", "off", "yes", "no", "On", "OFF", "Yes", "NO", "y", "n", "Y", "N", "1:30", "12:30:45", "-1:30", "190:20:30.15",
    "2020-01-01", "2001-12-14t21:59:43.10-05:00", "1_000", "0x_1", "0b101", "0o8", "0xG", "-0x1f", "+0o7", "nUll", "tRUE",
    "fAlse",
    "1e", "e5", "1e5x", ".", "..", "+", "1.2.3", "inf", "nan", ".iNF", ".nAN", "-.nan", "0x", "0o", "=", "<<", "1 2", "5 epochs",
    "20 min",
]  # fmt: skip


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "net.yaml").raise_mistakes()
    return str(caught.value)


# --- plain values: the core schema of YAML 1.2 ---
@pytest.mark.parametrize("text", NUMBERS)
def test_is_a_number(text: str) -> None:
    for found in (parse(f"a: {text}").value["a"], parse(f"- {text}").value[0], parse(f"{{a: {text}}}").value["a"]):
        assert found == NUMBERS[text]
        assert type(found) is type(NUMBERS[text])


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_is_not_a_number(text: str) -> None:
    assert isnan(parse(f"a: {text}").value["a"])


@pytest.mark.parametrize("text", TEXTS)
def test_is_a_text(text: str) -> None:
    assert parse(f"a: {text}").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None), ("true", True), ("True", True), ("TRUE", True),
     ("false", False), ("False", False), ("FALSE", False)],
)  # fmt: skip
def test_is_null_or_a_truth(text: str, value: Any) -> None:
    assert parse(f"a: {text}").value["a"] is value


@pytest.mark.parametrize("text", ['"20"', "'20'", '"true"', "'null'", '"1e-4"', '""', "'~'"])
def test_quotes_make_a_text(text: str) -> None:
    assert parse(f"a: {text}").value == {"a": text[1:-1]}


@pytest.mark.parametrize(("style", "text"), [("|", "20\n"), (">-", "20")])
def test_a_block_scalar_is_a_text(style: str, text: str) -> None:
    assert parse(f"a: {style}\n  20\n").value == {"a": text}


@pytest.mark.parametrize(("text", "plain"), [("!!str 12", "12"), ("!!str 017", "017"), ("!!str true", "true")])
def test_a_tag_that_says_text_never_gives_a_number(text: str, plain: str) -> None:
    """Either it is the text that it says it is, or tags are refused."""
    document = parse(f"a: {text}")
    assert document.value == {"a": plain} or any("tag" in message for message in document.mistakes.values())


def test_a_huge_number_is_read_without_a_crash() -> None:
    assert parse(f"a: {'9' * 300}").value == {"a": int("9" * 300)}
    assert parse(f"a: {'9' * 5000}").value == {"a": "9" * 5000}
    assert parse("a: 1e999999").value == {"a": inf}


def test_keys_are_texts_as_written() -> None:
    assert parse("1: a\non: b\n1e-4: c\nnull: d\n'*.bias': e").value == {
        "1": "a",
        "on": "b",
        "1e-4": "c",
        "null": "d",
        "*.bias": "e",
    }


def test_an_alias_is_its_anchor() -> None:
    assert parse("a: &x {n: [1, 2]}\nb: *x").value == {"a": {"n": [1, 2]}, "b": {"n": [1, 2]}}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "~", "---\n"])
def test_an_empty_text_is_null(text: str) -> None:
    assert parse(text).value is None


# --- keys given twice ---
@pytest.mark.parametrize(
    ("text", "places"),
    [("a: 1\nb: 2\na: 3", ["net.yaml:3:1: 'a' stands twice (first in line 1)"]),
     ("a: 1\n\"a\": 2", ["net.yaml:2:1: 'a' stands twice (first in line 1)"]),
     ("1: x\n'1': y", ["net.yaml:2:1: '1' stands twice (first in line 1)"]),
     ("{a: 1, b: 2, a: 3}", ["net.yaml:1:14: 'a' stands twice (first in line 1)"]),
     ("net:\n  - {name: x}\n  - name: y\n    type: T\n    name: z", ["net.yaml:5:5: 'name' stands twice (first in line 3)"]),
     ("a: 1\na: 2\na: 3",
      ["net.yaml:2:1: 'a' stands twice (first in line 1)", "net.yaml:3:1: 'a' stands twice (first in line 1)"]),
     ("a: {n: 1, n: 2}\nb:\n  m: 1\n  m: 2",
      ["net.yaml:1:11: 'n' stands twice (first in line 1)", "net.yaml:4:3: 'm' stands twice (first in line 3)"])],
)  # fmt: skip
def test_a_key_given_twice_is_told_with_both_lines(text: str, places: list[str]) -> None:
    assert refusal(text).splitlines() == [f"{place}; keep one" for place in places]


def test_the_same_key_in_two_mappings_is_no_mistake() -> None:
    parse("- {a: 1}\n- {a: 2}\n- a: {a: {a: 3}}").raise_mistakes()


# --- what is not YAML ---
@pytest.mark.parametrize(
    ("text", "place", "words"),
    [("a:\n\tb: 1", "2:1", "a tab stands where YAML wants spaces; indent with spaces"),
     ("a:\n  b: 1\n\tc: 2", "3:1", "a tab stands where YAML wants spaces; indent with spaces"),
     ("*.bias: {lr_mult: 2}", "1:2", 'quote a name that starts with * ("*.bias")'),
     ("solver:\n  param:\n    *.bias: {lr_mult: 2}", "3:6", 'quote a name that starts with * ("*.bias")'),
     ("solver: {param: {*.bias: {lr_mult: 2}}}", "1:19", 'quote a name that starts with * ("*.bias")'),
     ("solver: {param: {*bias: {lr_mult: 2}}}", "1:18", 'quote a name that starts with * ("*.bias")'),
     ("a: b: c", "1:5", "a second ':' stands in this line; quote the value, or check the indentation"),
     ("a: [1, 2\nb: 3", "2:2", "check brackets, quotes and indentation"),
     ("a: {b: 1", "1:9", "check brackets, quotes and indentation"),
     ("a: 'x\n", "2:1", "check brackets, quotes and indentation"),
     ('a: "\\q"', "1:6", "check brackets, quotes and indentation"),
     ("a: @x", "1:4", "check brackets, quotes and indentation"),
     ("a: 1\n---\nb: 2", "2:1", "check brackets, quotes and indentation"),
     ("a: 1\n b: 2", "2:3", "a second ':' stands in this line; quote the value, or check the indentation")],
)  # fmt: skip
def test_what_is_not_yaml_says_where_and_the_way_out(text: str, place: str, words: str) -> None:
    said = refusal(text)
    assert said.startswith(f"net.yaml:{place}: this is not YAML: ")
    assert said.endswith(words)
    assert len(said.splitlines()) == 1


def test_a_character_that_no_text_has_is_refused_with_its_place_and_a_way_out() -> None:
    assert re.fullmatch(r"net\.yaml:2:5: this is not YAML: .+; .+", refusal("a: 1\nb: x\x00y"))


def test_a_list_as_a_key_is_refused() -> None:
    assert refusal("a: 1\n? [1, 2]\n: 3") == "net.yaml:2:3: a list or mapping stands as a key; a key is one word"
    assert refusal("{[1]: 2}") == "net.yaml:1:2: a list or mapping stands as a key; a key is one word"


# --- what would never end ---
LAUGHS = {
    "lists": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)),
    "mappings": "a0: &a0 {p: x, q: x}\n" + "".join(f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}}}\n" for i in range(1, 50)),
    "itself in a list": "a: &a [*a, *a]",
    "itself in a mapping": "a: &a {b: 1, c: *a}",
}


@pytest.mark.parametrize("name", LAUGHS)
def test_aliases_that_grow_without_end_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MAX_VALUES", 5000)
    assert re.fullmatch(r"net\.yaml:\d+:\d+: the text grows without end here .+; write it out", refusal(LAUGHS[name]))


def test_a_billion_laughs_are_refused_in_seconds_and_within_a_gibibyte(tmp_path: Path) -> None:
    file = tmp_path / "laughs.yaml"
    file.write_text(LAUGHS["mappings"])  # the deepest
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)), resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "from dltrain import marks\n"
        "from dltrain.errors import ConfigError\n"
        "try: marks.load(sys.argv[1])\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the text grows without end here" in done.stdout


@pytest.mark.parametrize(
    "text", ["[" * 70 + "]" * 70, "[" * 5000 + "]" * 5000, "{a: " * 5000 + "1" + "}" * 5000, "- " * 5000 + "x", "[" * 5000],
    ids=["70 lists", "5000 lists", "5000 mappings", "5000 in block style", "5000 left open"],
)  # fmt: skip
def test_deep_nesting_is_refused_in_one_line_with_a_way_out(text: str) -> None:
    assert re.fullmatch(r"net\.yaml(:\d+:\d+)?: .+; .+", refusal(text))


def test_fifty_levels_are_read() -> None:
    assert str(parse("[" * 50 + "]" * 50).value) == "[" * 50 + "]" * 50


# --- files ---
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_change_nothing(newline: str, bom: str, tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_bytes((bom + "a: 1\nb:\n  - c: é\n  - {d: on}\n").replace("\n", newline).encode())
    document = load(file)
    assert document.value == {"a": 1, "b": [{"c": "é"}, {"d": "on"}]}
    places = {path: (mark.line, mark.column) for path, mark in document.marks.items()}
    assert places == {(): (1, 1), ("a",): (1, 4), ("b",): (3, 3), ("b", 0): (3, 5), ("b", 0, "c"): (3, 8),
                      ("b", 1): (4, 5), ("b", 1, "d"): (4, 9)}  # fmt: skip
    assert document.mark(("a",), key=True) == Mark(str(file), 1, 1)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: there is no such file; give the path of a config or of a run"):
        load(tmp_path / "no.yaml")


@pytest.mark.parametrize("content", [b"a: \xff", b"\x80", "a: 1".encode("utf-16")])
def test_a_file_that_is_no_text_says_so(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"net\.yaml: cannot be read as text .+; a config is a UTF-8 text file"):
        load(file)


def test_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as text .+; a config is a UTF-8 text file"):
        load(tmp_path)


# --- marks ---
NESTED = """\
name: lenet            # a comment
data: {source: digits, batch_size: 64}
net:
  - {name: conv1, kernel_size: [3, 5]}
  - name:   "ip1"
    param:
      weight: {filler: {type: gaussian,
                        std: 0.1}}
"Größe": {日本: [1,  2]}
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [(("name",), (1, 7), (1, 1)), (("data",), (2, 7), (2, 1)), (("data", "source"), (2, 16), (2, 8)),
     (("data", "batch_size"), (2, 36), (2, 24)), (("net",), (4, 3), (3, 1)), (("net", 0), (4, 5), None),
     (("net", 0, "kernel_size"), (4, 32), (4, 19)), (("net", 0, "kernel_size", 1), (4, 36), None), (("net", 1), (5, 5), None),
     (("net", 1, "name"), (5, 13), (5, 5)), (("net", 1, "param", "weight", "filler", "std"), (8, 30), (8, 25)),
     (("Größe",), (9, 10), (9, 1)), (("Größe", "日本"), (9, 15), (9, 11)), (("Größe", "日本", 1), (9, 20), None)],
)  # fmt: skip
def test_each_value_and_each_key_has_its_place(path: Any, value: tuple[int, int], key: tuple[int, int] | None) -> None:
    document = parse(NESTED, "net.yaml")
    assert document.mark(path) == Mark("net.yaml", *value)
    if key is not None:
        assert document.mark(path, key=True) == Mark("net.yaml", *key)


@pytest.mark.parametrize(
    ("path", "place"),
    [(("net", 0, "kernel_size", 7), (4, 32)), (("net", 0, "stride"), (4, 5)), (("net", 9, "x", "y"), (4, 3)),
     (("solver", "type"), (1, 1))],
)  # fmt: skip
def test_what_is_not_there_has_the_place_of_what_is_around_it(path: Any, place: tuple[int, int]) -> None:
    assert parse(NESTED, "net.yaml").mark(path) == Mark("net.yaml", *place)
    assert parse(NESTED, "net.yaml").mark(path, key=True) == Mark("net.yaml", *place)


def test_an_empty_text_has_only_its_file() -> None:
    assert str(parse("", "net.yaml").mark(("a",))) == "net.yaml"


TREES = st.recursive(
    st.integers(-99, 99) | st.sampled_from(["x", "on", "conv1", "5 epochs"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcde"), inner, max_size=4),
    max_leaves=12,
)


class Scribe:
    """Writes a tree in flow style with gaps of its own choice, and notes where each value begins."""

    def __init__(self, gaps: list[str]) -> None:
        self.gaps, self.text, self.places = gaps, "", {}

    def gap(self) -> None:
        self.text += self.gaps[len(self.places) % len(self.gaps)]

    def write(self, value: Any, path: tuple[Any, ...] = ()) -> None:
        self.gap()
        self.places[path] = (self.text.count("\n") + 1, len(self.text) - self.text.rfind("\n"))
        if not isinstance(value, dict | list):
            self.text += str(value)
            return
        self.text += "{" if isinstance(value, dict) else "["
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            self.gap()
            self.text += f"{key}: " if isinstance(value, dict) else ""
            self.write(item, (*path, key))
            self.gap()
            self.text += ","
        self.text += "}" if isinstance(value, dict) else "]"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TREES, st.lists(st.sampled_from(["", " ", "   ", "\n ", "\n\n   ", " # note\n  "]), min_size=1, max_size=5))
def test_any_tree_comes_back_with_its_places(tree: Any, gaps: list[str]) -> None:
    scribe = Scribe(gaps)
    scribe.write([tree])
    document = parse(scribe.text)
    assert document.value == [tree]
    assert {path: (mark.line, mark.column) for path, mark in document.marks.items()} == scribe.places


# --- mistakes ---
def test_mistakes_come_in_the_order_of_the_text_and_once_each() -> None:
    document = parse(NESTED, "net.yaml")
    for path, words in [(("net", 1), "third"), (("name",), "first"), (("data", "source"), "second"), (("name",), "first")]:
        document.wrong(path, words)
    with pytest.raises(ConfigError) as caught:
        document.raise_mistakes()
    assert str(caught.value).splitlines() == ["net.yaml:1:7: first", "net.yaml:2:16: second", "net.yaml:5:5: third"]
    assert caught.value.exit_code == 2


def test_a_text_without_mistakes_raises_nothing() -> None:
    Document("net.yaml").raise_mistakes()
