"""prototxt: every way to write a thing, what is refused and how, and texts that come back as they were."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES, SCALARS
from dltrain.caffe.text import LARGEST, Word, parse_text, read_text, write_text
from dltrain.errors import DataError
from tests.caffe.messages import messages, plain, same

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
KINDS = sorted(kind for kind in MESSAGES if MESSAGES[kind])


def net(text: str) -> Message:
    return parse_text(text, "NetParameter", "net.prototxt")


def layer(text: str) -> Message:
    return parse_text(text, "LayerParameter", "net.prototxt")


def test_a_net_as_people_write_it() -> None:
    made = net(
        """# LeNet, in part
        name: "LeNet"
        layer {
          name: 'conv1'   # single quotes
          type: "Conv" "olution"
          bottom: "data", top: "conv1";
          param: < lr_mult: 1 > param { lr_mult: 2. decay_mult: .5 }
          convolution_param: { num_output: 0x14 kernel_size: [5, 3] pad: 010
            weight_filler { type: "gaussian" std: 1e-2 value: -1 }
            engine: 1
            bias_term: f }
          include { phase: TEST }
        }"""
    )
    found = made["layer"]
    assert (made["name"], found["name"], found["type"]) == ("LeNet", "conv1", "Convolution")
    assert (found.all("bottom"), found.all("top")) == (["data"], ["conv1"])
    assert [(spec["lr_mult"], spec["decay_mult"]) for spec in found.all("param")] == [(1.0, 1.0), (2.0, 0.5)]
    conv = found["convolution_param"]
    assert (conv["num_output"], conv.all("kernel_size"), conv.all("pad")) == (20, [5, 3], [8])
    assert (conv["weight_filler"]["std"], conv["weight_filler"]["value"], conv["engine"], conv["bias_term"]) == (
        0.01,
        -1,
        "CAFFE",
        False,
    )
    assert conv["bias_filler"]["type"] == "constant" and "bias_filler" not in conv  # the schema's default
    assert found["include"]["phase"] == "TEST"
    assert (made.line, found.line, conv.line, found.lines["bottom"], conv.lines["engine"]) == (1, 3, 8, 6, 10)


@pytest.mark.parametrize(("text", "value"), [
    ("1", 1), ("-1", -1), ("- 1", -1), (".5", 0.5), ("5.", 5), ("1e-6", 1e-6), ("1.5E+2", 150), ("5f", 5), ("2.5F", 2.5), ("1e2f", 100),
    ("0x10", 16), ("0", 0), ("00", 0), ("017", 15), ("0.0", 0), ("inf", math.inf), ("-inf", -math.inf), ("Infinity", math.inf),
])  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    assert parse_text(f"base_lr: {text}", "SolverParameter", "s")["base_lr"] == value


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_text("base_lr:nan", "SolverParameter", "s")["base_lr"])


@pytest.mark.parametrize(("text", "value"), [
    ("true", True), ("True", True), ("t", True), ("1", True), ("false", False), ("False", False), ("f", False), ("0", False),
])  # fmt: skip
def test_truths(text: str, value: bool) -> None:
    assert net(f"force_backward: {text}")["force_backward"] is value


@pytest.mark.parametrize(("text", "value"), [
    (r'"a\n\t\"\'\\"', "a\n\t\"'\\"), (r"'\x41\102\303\251'", "ABé"), (r'"\u00e9\U0001F600"', "é😀"), ('"é"', "é"), ('"it\'s"', "it's"),
    ('"a"\n# between\n\'b\'', "ab"), ('""', ""), (r'"\351"', "\ufffd"), (r'"\?\a\b\f\r\v"', "?\a\b\f\r\v"),
])  # fmt: skip
def test_texts(text: str, value: str) -> None:
    assert net(f"name: {text}")["name"] == value


def test_bytes_stay_bytes() -> None:
    datum = parse_text(r'data: "\000\377\x7fA" label: 3', "Datum", "d")
    assert (datum["data"], datum["label"], write_text(datum)) == (b"\0\xff\x7fA", 3, 'data: "\\000\\377\\177A"\nlabel: 3\n')


def test_repeated_fields_may_lie_apart_and_lists_may_be_empty() -> None:
    made = layer('bottom: "a" top: "t" bottom: ["b", "c"] loss_weight: [] param [{ lr_mult: 1 }, <lr_mult: 2>]')
    assert made.all("bottom") == ["a", "b", "c"] and "loss_weight" not in made
    assert [spec["lr_mult"] for spec in made.all("param")] == [1, 2]


def test_what_a_fork_added_is_kept_as_it_stands() -> None:
    made = layer(
        'name: "up" upsample_param { scale: 2 mode: NEAREST ratio: 0.5 big: 18446744073709551615 name: "x" on: true deep < a: [1, -2] > } sigma: 1.0'
    )
    found = made["upsample_param"]
    assert found.kind == "Unknown" and plain(found) == {
        "scale": [2], "mode": ["NEAREST"], "ratio": [0.5], "big": [2**64 - 1], "name": ["x"], "on": [True], "deep": [{"a": [1, -2]}],
    }  # fmt: skip
    assert type(found["mode"]) is Word and type(found["name"]) is str and type(made["sigma"]) is float
    assert "mode: NEAREST" in write_text(made) and plain(layer(write_text(made))) == plain(made)
    with pytest.raises(KeyError):
        found["absent"]
    with pytest.raises(KeyError):
        made["absent"]


def test_a_type_that_no_version_of_caffe_knew_keeps_its_name() -> None:
    assert parse_text("type: CROP", "V1LayerParameter", "n")["type"] == "CROP"
    assert parse_text("type: 4", "V1LayerParameter", "n")["type"] == "CONVOLUTION"
    assert parse_text("type: 99", "V1LayerParameter", "n")["type"] == "99"


@pytest.mark.parametrize(("text", "message"), [
    ("layer {\n  name: 3\n}", "n:2:9: 'name' is a text: put '3' in quotes"),
    ("layer {\n  type: Pooling }", "n:2:9: 'type' is a text: put 'Pooling' in quotes"),
    ("layer {", "n:1:7: this message is never closed; a '}' is missing"),
    ("layer { name: 'a' >", "n:1:19: '>' closes nothing"),
    ("}", "n:1:1: '}' closes nothing; a bracket too many, or one missing above"),
    ("name 'a'", "n:1:6: expected ':' behind 'name', got 'a'"),
    ("lyer 'a'", "n:1:6: expected ':' behind 'lyer', got 'a'; did you mean 'layer'?"),
    ("name:", "n:1:6: 'name' is a text: put the end of the file in quotes"),
    ("layer: 3", "n:1:8: 'layer' is a message: expected '{', got '3'"),
    ("name { }", "n:1:6: 'name' of NetParameter is a text in quotes, not a message in brackets"),
    ("name: 'a", "n:1:7: the text that begins here is not closed on its line"),
    ("name: 'a\nb'", "n:1:7: the text that begins here is not closed on its line"),
    (r"name: '\q'", r"n:1:7: the text of 'name' has a \\ before something that needs none; write \\\\ for one"),
    (r"name: '\ud800'", r"n:1:7: the text of 'name' has a \\ before"),
    ("name: 'a' name: 'b'", "n:1:11: 'name' stands twice in one NetParameter, first in line 1; Caffe takes one"),
    ("name: ['a', 'b']", "n:1:1: 'name' of NetParameter is a text in quotes, not a list"),
    ("input: ['a' 'b' 'c'; 'd']", "n:1:20: expected ',' or '\\]' in the list of 'input', got ';'"),
    ("input_dim: 1.5", "n:1:12: 'input_dim' is a whole number, got '1.5'; write it in digits"),
    ("input_dim: 08", "n:1:12: 'input_dim' is a whole number, got '08'; write it in digits"),
    ("input_dim: 3000000000", "n:1:12: 'input_dim' is a whole number, got '3000000000'; it lies between -2147483648 and 2147483647"),
    ("input_dim: " + "9" * 5000, "n:1:12: 'input_dim' is a whole number, got '9{40}'; write it in digits"),
    ("layer { convolution_param { num_output: -1 } }", "n:1:42: 'num_output' is a whole number, got '-1'; it lies between 0 and 4294967295"),
    ("force_backward: 2", "n:1:17: 'force_backward' is true or false, got '2'; write true or false"),
    ("state { phase: 'TEST' }", "n:1:16: 'phase' is one of TRAIN, TEST, got 'TEST'"),
    ("state { phase: -1 }", "n:1:17: 'phase' is one of TRAIN, TEST, got '-1'"),
    ("layer { loss_weight: much }", "n:1:22: 'loss_weight' is a number, got 'much'"),
    ("layer { loss_weight: 0x }", "n:1:22: '0x' is neither a number nor a name; correct it"),
    ("layer { loss_weight: 1.2.3 }", "n:1:22: '1.2.3' is neither a number nor a name"),
    ("layer { loss_weight: { } }", "n:1:22: 'loss_weight' of LayerParameter is a number, not a message in brackets"),
    ("fork: }", "n:1:7: expected the value of 'fork', got '}'"),
    ("[caffe.extra]: 3", "n:1:1: expected the name of a field, got '\\['"),
    ("name: 'a' $", "n:1:11: the character '\\$' means nothing here; is this a prototxt?"),
    ("a { " * 101 + "} " * 101, "n:1:\\d+: messages lie more than 100 deep in one another"),
    ("a: 1 " * 200_001, "n:1:\\d+: the text holds more than 200,000 messages"),
])  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        parse_text(text, "NetParameter", "n")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    with pytest.raises(DataError, match="net.prototxt: there is no such file; expected a prototxt"):
        read_text(path, "NetParameter")
    path.write_bytes("\ufeff# café\nname: 'é'".encode())
    assert read_text(path, "NetParameter")["name"] == "é"
    path.write_bytes(b"# caf\xe9 in Latin-1\r\nname: 'a'\r\n")
    assert read_text(path, "NetParameter")["name"] == "a"
    path.write_bytes(b"\x0a\x03abc\0")
    with pytest.raises(DataError, match="net.prototxt: is no text but a binary file; expected a prototxt"):
        read_text(path, "NetParameter")
    with open(path, "wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(DataError, match="net.prototxt: is larger than 64 MB"):
        read_text(path, "NetParameter")


def test_an_empty_text_is_an_empty_message() -> None:
    assert net("").fields == {} and net(" # nothing\n").fields == {}


def test_the_style_in_which_it_is_written() -> None:
    text = """name: "a"
layer {
  name: "conv1"
  type: "Convolution"
  param { lr_mult: 1 decay_mult: 1 }
  convolution_param {
    num_output: 20
    weight_filler { type: "gaussian" std: 0.01 }
  }
}
layer {
  name: "p"
  pooling_param {
    pool: AVE
    global_pooling: true
  }
  include { phase: TEST stage: "say \\"hi\\"" }
}
"""
    assert write_text(net(text)) == text


@given(some.sampled_from(KINDS).flatmap(messages))
@settings(deadline=None)
def test_what_is_written_is_read_again(message: Message) -> None:
    found = parse_text(write_text(message), message.kind, "n")
    assert same(plain(found), {name: values for name, values in plain(message).items() if values})


@given(some.text(alphabet="ab_{}<>[]:,;#'\"\\ \n01.-exfname layer", max_size=40) | some.text(max_size=20))
@settings(deadline=None)
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        parse_text(text, "NetParameter", "n")
    except DataError as error:
        assert str(error).startswith("n:")


@given(some.sampled_from(["NetParameter", "SolverParameter"]).flatmap(messages), some.data())
@settings(deadline=None)
def test_a_text_cut_anywhere_is_read_or_refused(message: Message, data: Any) -> None:
    text = write_text(message)
    try:
        parse_text(text[: data.draw(some.integers(0, len(text)))], message.kind, "n")
    except DataError as error:
        assert str(error).startswith("n:")


def test_the_schema_is_whole_and_has_no_circles() -> None:
    def depth(kind: str, above: tuple[str, ...] = ()) -> int:
        assert kind not in above
        return 1 + max((depth(told.type, (*above, kind)) for told in MESSAGES[kind].values() if told.is_message), default=0)

    for kind, fields in MESSAGES.items():
        assert depth(kind) <= 6
        assert len({told.number for told in fields.values()}) == len(fields)
        assert all(told.type in SCALARS or told.is_message or told.is_enum for told in fields.values())


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
def test_all_golden_texts() -> None:
    paths = sorted(GOLDEN.rglob("*.prototxt"))
    assert len(paths) > 200
    for path in paths:
        kind = (
            "SolverParameter" if path.parent.name == "solvers" and path.stem != "net" or "solver" in path.stem else "NetParameter"
        )
        message = read_text(path, kind)
        assert set(message.fields) <= set(MESSAGES[kind]) and message.fields, path
        assert plain(parse_text(write_text(message), kind, "n")) == plain(message), path
