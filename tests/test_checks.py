"""Each key of each section by itself: the right kind of value passes, anything else is one mistake with a way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import config, sections
from dltrain.checks import check, choose, keys_of, show
from dltrain.errors import ConfigError, DltrainError
from dltrain.expand import Placed
from dltrain.lines import read_line
from dltrain.marks import Document, parse
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES, TRANSFORMS, Registry
from dltrain.schema import section

BASE = """\
name: t
data: {source: digits, batch_size: 64}
net:
  - {name: ip1, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip1, label]}
solver: {type: SGD, base_lr: 0.1, max_epochs: 1}
"""


def mistakes(text: str, *settings: str) -> list[str]:
    """The lines of a refusal; none where the text is right."""
    try:
        config.read("net.yaml", settings, document=parse(text, "net.yaml"))
    except ConfigError as error:
        return str(error).splitlines()
    return []


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def test_the_text_that_is_changed_below_is_right() -> None:
    assert mistakes(BASE) == []


# --- all places where keys may stand ---
@dataclass
class Place:
    """A section of a config: what it is called, the dataclasses that share it, and how some keys are read there."""

    what: str
    classes: list[type]
    read: Callable[[dict[str, Any]], Document]
    more: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        return [*dict.fromkeys(key for cls in self.classes for key in keys_of(cls)), *self.more]

    def told(self, keys: dict[str, Any]) -> dict[str, list[str]]:
        """What is said of each of these keys when they stand there together."""
        messages = [message for message in self.read(keys).mistakes.values() if "; add " not in message]  # others are missing
        return {key: [message for message in messages if re.search(rf"'([\w]+\.)?{re.escape(key)}'", message)] for key in keys}


def in_text(path: tuple[Any, ...], keys: dict[str, Any], base: Any = None) -> Document:
    """The text above with some keys laid over those at a path."""
    document = parse(BASE, "net.yaml")
    node = document.value
    for step in path:
        node = node[step] if isinstance(node, list) else node.setdefault(step, {})
    node |= (base or {}) | keys
    try:
        config.read("net.yaml", document=document)
    except ConfigError:
        assert document.mistakes
    return document


def in_line(keys: dict[str, Any], kind: str) -> Document:
    document = Document("net.yaml")
    read_line(document, Placed("", {"name": "it", "type": kind, **keys}, ("net", 0)), {})
    return document


def in_choice(known: Registry, keys: dict[str, Any], name: str) -> Document:
    document = Document("net.yaml")
    choose(document, known, {"type": name, **keys}, ("it",), "it")
    return document


def section_of(cls: type, key: str) -> Any:
    """The dataclass behind a key that is a section itself."""
    return next(part for part in get_args(get_type_hints(cls)[key]) if is_dataclass(part))


def places() -> Iterator[Place]:
    for name, cls in LAYERS.items():
        yield Place(name, [cls, sections.LineKeys], lambda keys, name=name: in_line(keys, name))
    for known in (POLICIES, FILLERS, SOURCES, TRANSFORMS):
        for name, cls in known.items():
            yield Place(f"{known.kind} {name}", [cls], lambda keys, known=known, name=name: in_choice(known, keys, name))
    for name, cls in SOLVERS.items():
        base = {"type": name}
        yield Place(f"solver {name}", [cls, sections.Loop], lambda keys, base=base: in_text(("solver",), keys, base))
    sections_at = [
        (("solver", "display"), sections.Display), (("solver", "test"), sections.Test),
        (("solver", "snapshot"), sections.Snapshots),
        (("solver", "early_stopping"), sections.EarlyStopping), (("engine",), sections.EngineKeys),
        *((("data", split), section_of(sections.DataKeys, split)) for split in ("train", "val", "test")),
        (("net", 0, "param", "weight"), sections.ParamKeys), (("solver", "param", "*.bias"), sections.ParamKeys),
        (("data",), sections.DataKeys), (("weights",), sections.Weights),
    ]  # fmt: skip
    for path, cls in sections_at:
        yield Place(".".join(map(str, path)), [cls], lambda keys, path=path: in_text(path, keys))
    yield Place(
        "top",
        [sections.Top],
        lambda keys: in_text((), keys),
        tuple(key for key in config.TOP if key not in keys_of(sections.Top)),
    )


PLACES = list(places())


# --- names that are one letter off ---
def typos(word: str) -> list[str]:
    """The word with one letter dropped, or two neighbours swapped."""
    dropped = [word[:i] + word[i + 1 :] for i in range(len(word))]
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    return [typo for typo in dict.fromkeys(dropped + swapped) if typo and typo != word]


@pytest.mark.parametrize("place", [pytest.param(place, id=place.what) for place in PLACES])
def test_each_key_that_is_one_letter_off_is_told_once_with_the_right_one(place: Place) -> None:
    """All keys of a section at once, each misspelt in every way that drops a letter or swaps two."""
    wrong = {typo: key for key in place.keys for typo in typos(key) if typo not in place.keys}
    said = [
        re.search(r"unknown (?:key|section) '(\w*)'; (.*)$", message)
        for message in place.read(dict.fromkeys(wrong, 1)).mistakes.values()
    ]
    told = [(found[1], found[2]) for found in said if found is not None and found[1] in wrong]
    assert sorted(typo for typo, _ in told) == sorted(wrong)
    for typo, way_out in told:
        right = [key for key in place.keys if typo in typos(key) or key in typos(typo)]
        assert way_out in [f"did you mean '{key}'?" for key in right], typo


@pytest.mark.parametrize(("known", "name"), [pytest.param(known, name, id=f"{known.kind} {name}") for known in
                                             (LAYERS, SOLVERS, POLICIES, FILLERS, SOURCES,
                                              TRANSFORMS) for name in known])  # fmt: skip
def test_a_name_that_is_one_letter_off_is_told_with_the_right_one(known: Registry, name: str) -> None:
    for typo in typos(name):
        if typo not in known:
            document = in_line({}, typo) if known is LAYERS else in_choice(known, {}, typo)
            told = [message for message in document.mistakes.values() if f"'{typo}'; " in message]
            assert len(told) == 1, told
            right = [other for other in known if typo in typos(other) or other in typos(typo) or typo.lower() == other.lower()]
            assert re.search(rf"unknown {known.kind} '{typo}'; did you mean '({'|'.join(right)})'\?$", told[0])


@pytest.mark.parametrize(("old", "new", "right"), [
    ("num_output", "num_ouput", "num_output"), ("base_lr", "bse_lr", "base_lr"), ("source", "sorce", "source"),
    ("name: ip1", "nme: ip1", "name"),
    ("max_epochs: 1", "early_stopping: {patence: 5 epochs}, max_epochs: 1", "patience"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: inv, gama: 1, power: 1}", "gamma"),
    ("source: digits", "source: digits, transform: [{type: scale, vlue: 2}]", "value"),
])  # fmt: skip
def test_a_required_key_that_is_misspelt_is_one_mistake_and_not_two(old: str, new: str, right: str) -> None:
    told = mistakes(changed(old, new))
    assert len(told) == 1, told
    assert told[0].endswith(f"; did you mean '{right}'?")


@pytest.mark.parametrize(("old", "new", "words"), [
    ("type: InnerProduct, ", "", "net.yaml:4:5: layer 'ip1' (None): needs 'type'; add type: …"),
    ("type: SGD, ", "", "net.yaml:6:9: solver: needs 'type'; add type: SGD"),
    ("base_lr: 0.1, ", "", "net.yaml:6:9: solver (SGD): needs 'base_lr'; add base_lr: …"),
    (", num_output: 10", "", "net.yaml:4:5: layer 'ip1' (InnerProduct): needs 'num_output'; add num_output: …"),
    ("name: ip1, ", "", "net.yaml:4:5: a layer (InnerProduct): needs 'name'; add name: …"),
    ("source: digits, ", "", "net.yaml:2:7: data: needs 'source'; add source: …"),
    ("max_epochs: 1", "max_epochs: 1, early_stopping: {monitor: loss}",
     "net.yaml:6:66: solver: needs 'early_stopping.patience'; add early_stopping.patience: …"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {gamma: 1}",
     "net.yaml:6:46: solver (SGD): lr_policy: needs 'type'; known: " + ", ".join(sorted(POLICIES))),
])  # fmt: skip
def test_what_is_missing_is_said_where_it_belongs(old: str, new: str, words: str) -> None:
    assert mistakes(changed(old, new)) == [words]


@pytest.mark.parametrize("old", ["type: InnerProduct", "type: SGD"])
def test_a_type_that_is_misspelt_is_one_mistake_and_not_two(old: str) -> None:
    told = mistakes(changed(old, old.replace("type", "tpe")))
    assert len(told) == 1, told
    assert "'type'" in told[0]


# --- kinds of values ---
def kind(schema: dict[str, Any]) -> str:
    """What a key takes besides null, lists and $ expressions."""
    if "anyOf" in schema:
        found = {kind(option) for option in schema["anyOf"]} - {"null", "$", "array"}
        return found.pop() if len(found) == 1 else "several"
    if "$ref" in schema:
        return {"$": "$", "number": "number", "share": "number"}.get(schema["$ref"].removeprefix("#/definitions/"), "a choice")
    if "const" in schema or "enum" in schema:
        return "a choice"
    if schema.get("pattern") == r"^\$":
        return "$"
    said = schema.get("type", "several")
    return "several" if isinstance(said, list) else {"integer": "number"}.get(said, said)


def numbers(place: Place) -> list[str]:
    """The keys that want a number: whole, real, or one an axis."""
    properties = {key: schema for cls in place.classes for key, schema in section(cls)["properties"].items()}
    return [key for key in place.keys if key in properties and kind(properties[key]) == "number"]


NUMBERS = [pytest.param(place, id=place.what) for place in PLACES if numbers(place)]


def test_there_are_numbers_in_every_kind_of_section() -> None:
    found = {f"{place.what}-{key}" for place in PLACES for key in numbers(place)}
    assert found >= {
        "Convolution-kernel_size", "Convolution-num_output", "Dropout-dropout_ratio", "SoftmaxWithLoss-loss_weight",
        "solver SGD-momentum", "solver SGD-max_epochs", "lr_policy inv-gamma", "filler gaussian-std",
        "transform step crop-size", "solver.snapshot-keep",
        "solver.early_stopping-min_delta", "data.val-hold_out", "data-batch_size", "top-seed", "net.0.param.weight-lr_mult",
        "solver.param.*.bias-decay_mult", "engine-threads",
    }  # fmt: skip


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("20", "'20'; remove the quotes"),
        ("1e-4", "'1e-4'; remove the quotes"),
        ("twenty", "'twenty'"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_what_is_no_number_is_told_with_the_way_out(place: Place, value: Any, words: str) -> None:
    for key, told in place.told(dict.fromkeys(numbers(place), value)).items():
        assert len(told) == 1, (key, told)
        assert re.search(rf"'([\w]+\.)?{key}' must be a (whole )?number, not {words}$", told[0])


@pytest.mark.parametrize(("old", "new", "words"), [
    ("num_output: 10", "num_output: 0", "4:49: layer 'ip1' (InnerProduct): 'num_output' must be at least 1, not 0"),
    ("num_output: 10", "num_output: 2.5", "4:49: layer 'ip1' (InnerProduct): 'num_output' must be a whole number, not 2.5"),
    ("num_output: 10", "num_output: 10.0", "4:49: layer 'ip1' (InnerProduct): 'num_output' must be a whole number, not 10.0"),
    ("num_output: 10", "num_output: [10]", "4:49: layer 'ip1' (InnerProduct): 'num_output' must be a whole number, not [10]"),
    ("num_output: 10", "num_output: null", "4:49: layer 'ip1' (InnerProduct): 'num_output' must be a whole number, not null"),
    ("num_output: 10", "num_output: 10, bias_term: 1",
     "4:64: layer 'ip1' (InnerProduct): 'bias_term' must be true or false, not 1"),
    ("num_output: 10", "num_output: 10, bias_term: on",
     "4:64: layer 'ip1' (InnerProduct): 'bias_term' must be true or false, not 'on'"),
    ("num_output: 10", "num_output: 10, phase: tset",
     "4:60: layer 'ip1' (InnerProduct): 'phase' cannot be 'tset'; did you mean 'test'?"),
    ("num_output: 10", "num_output: 10, phase: [train, tets]",
     "4:68: layer 'ip1' (InnerProduct): 'phase' cannot be 'tets'; did you mean 'test'?"),
    ("num_output: 10", "num_output: 10, phase: [train, 3]",
     "4:68: layer 'ip1' (InnerProduct): 'phase' cannot be 3; known: deploy, test, train"),
    ("base_lr: 0.1", "base_lr: -0.1", "6:30: solver (SGD): 'base_lr' must be at least 0, not -0.1"),
    ("base_lr: 0.1", "base_lr: .inf", "6:30: solver (SGD): 'base_lr' must be a finite number, not Infinity"),
    ("base_lr: 0.1", "base_lr: .nan", "6:30: solver (SGD): 'base_lr' must be a finite number, not NaN"),
    ("base_lr: 0.1", "base_lr: 0.1, momentum: 1", "6:45: solver (SGD): 'momentum' must be less than 1, not 1"),
    ("base_lr: 0.1", "base_lr: 0.1, clip_gradients: 0", "6:51: solver (SGD): 'clip_gradients' must be greater than 0, not 0"),
    ("label]}", "label], loss_weight: {type: ramp, base: 1, to: 0}}",
     "5:76: layer 'loss' (SoftmaxWithLoss): 'loss_weight' must be a number, not {\"type\": \"ramp\", \"base\": 1, \"to\": 0}; "
     "a policy here is not yet built"),
    ("name: t", "name: a/b", "1:7: config: 'name' is 'a/b': String should match pattern '^[A-Za-z0-9_-]+$'"),
    ("name: t", "version: 2", "1:10: config: 'version' cannot be 2; known: 1"),
])  # fmt: skip
def test_a_wrong_value_is_told_in_plain_words(old: str, new: str, words: str) -> None:
    assert mistakes(changed(old, new)) == [f"net.yaml:{words}"]


AXES = "type: Convolution, num_output: 10, kernel_size"


@pytest.mark.parametrize(("value", "told"), [
    ("0", ["4:65: layer 'ip1' (Convolution): 'kernel_size' must be at least 1, not 0"]),
    ("3.5", ["4:65: layer 'ip1' (Convolution): 'kernel_size' must be a whole number, not 3.5"]),
    ("[3, 0]", ["4:69: layer 'ip1' (Convolution): 'kernel_size' must be at least 1, not 0"]),
    ("[0, 3]", ["4:66: layer 'ip1' (Convolution): 'kernel_size' must be at least 1, not 0"]),
    ("[true, \"3\"]", ["4:66: layer 'ip1' (Convolution): 'kernel_size' must be a whole number, not true",
                       "4:72: layer 'ip1' (Convolution): 'kernel_size' must be a whole number, not '3'; remove the quotes"]),
    ("3, pad: -1", ["4:73: layer 'ip1' (Convolution): 'pad' must be at least 0, not -1"]),
])  # fmt: skip
def test_a_wrong_number_for_an_axis_is_told_once_at_its_place(value: str, told: list[str]) -> None:
    assert mistakes(changed("type: InnerProduct, num_output: 10", f"{AXES}: {value}")) == [f"net.yaml:{words}" for words in told]


def test_an_empty_list_of_axes_is_refused_in_plain_words() -> None:
    told = mistakes(changed("type: InnerProduct, num_output: 10", f"{AXES}: []"))
    assert len(told) == 1 and told[0].startswith("net.yaml:4:65: layer 'ip1' (Convolution): 'kernel_size' ")
    assert "Tuple" not in told[0]


def test_null_is_the_default_of_a_key_that_has_one() -> None:
    text = changed("base_lr: 0.1", "base_lr: 0.1, momentum: null, iter_size: null, lr_policy: null, clip_gradients: null")
    read = config.read(
        "net.yaml",
        document=parse(text.replace("64}", "null, transform: null}").replace("10}", "10, bias_term: null}"), "net.yaml"),
    )
    assert read.solver is not None
    assert (read.solver.momentum, read.solver.iter_size, read.solver.lr_policy, read.solver.clip_gradients) == (
        0.0,
        1,
        None,
        None,
    )
    assert (read.feed.keys.batch_size, read.feed.keys.transform) == (64, [])
    assert read.net.lines[0].layer.bias_term is True


# --- words whose meaning is not built yet ---
@pytest.mark.parametrize("word", sections.NOT_YET["top"])
def test_a_section_that_is_not_yet_built_says_so(word: str) -> None:
    for value in ("{}", "[]", "1"):
        assert mistakes(f"{word}: {value}\n{BASE}") == [f"net.yaml:1:1: config: '{word}' is not yet built; leave it out"]


@pytest.mark.parametrize("word", sections.NOT_YET["line"])
def test_a_key_of_a_line_that_is_not_yet_built_says_so(word: str) -> None:
    told = mistakes(changed("num_output: 10", f"num_output: 10, {word}: x"))
    assert told == [f"net.yaml:4:53: layer 'ip1' (InnerProduct): '{word}' is not yet built; write the lines out"]


# --- anything may stand anywhere ---
FEW: list[Any] = [None, True, "x", [], {"type": []}]
JUNK: list[Any] = [*FEW, -1, float("nan"), "$x", "é" * 300, [[]], {}]
FULL = """\
version: 1
name: t
seed: 1
data:
  source: {type: digits}
  batch_size: 64
  transform: [{resize: 10}, {crop: 8, phase: train}, {crop: 8, phase: test}, {scale: 0.1}, mirror]
  train: {batch_size: 32}
  val: {batch_size: 32}
  test: null
net:
  - {name: c1, type: Convolution, num_output: 4, kernel_size: [3, 3], pad: 1,
     param: {weight: {filler: {type: gaussian, std: 0.1}}}}
  - {name: r1, type: ReLU, bottom: c1, phase: [train, test]}
  - {name: ip1, type: InnerProduct, num_output: 10, bottom: {x: r1}}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip1, label], loss_weight: 0.5}
solver:
  type: SGD
  base_lr: 0.1
  lr_policy: {type: warmup, iterations: 5, then: {type: multistep, gamma: 0.1, stepvalue: [10, 2 epochs]}}
  momentum: {type: warmup, base: 0.9, iterations: 5, start: 0.5, then: {type: step, gamma: 0.5, stepsize: 50}}
  param: {"*.bias": {lr_mult: 2}}
  max_epochs: 1
  display: 100
  test: {interval: 1 epoch}
  snapshot: {best: loss}
  early_stopping: {monitor: loss, patience: 5 epochs}
engine: {device: cpu}
"""


TREE = parse(FULL, "net.yaml")


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*path, key))


def with_junk(path: tuple[Any, ...], junk: Any) -> Document:
    document = Document("net.yaml", deepcopy(TREE.value), dict(TREE.marks), dict(TREE.keys))
    node: Any = document.value
    if not path:
        document.value = junk
    for step in path[:-1]:
        node = node[step]
    if path:
        node[path[-1]] = junk
    return document


def test_the_full_text_is_right() -> None:
    config.read("net.yaml", document=parse(FULL, "net.yaml"))


@pytest.mark.parametrize("path", [pytest.param(path, id=".".join(map(str, path)) or "all") for path in paths(TREE.value)])
def test_whatever_stands_there_is_read_or_refused_in_whole_lines(path: tuple[Any, ...]) -> None:
    """Never a traceback; each mistake one line, with its place."""
    wrong, there = [], TREE.value
    for step in path:
        there = there[step]
    for junk in JUNK if isinstance(there, dict | list) else FEW:
        try:
            config.read("net.yaml", document=with_junk(path, junk))
        except ConfigError as error:
            if not all(re.match(r"net\.yaml(:\d+:\d+)?: \S.*$", message) for message in str(error).split("\n")):
                wrong.append(f"{junk!r}: {error}")
        except DltrainError:
            pass
        except Exception as error:
            wrong.append(f"{junk!r}: {error!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("old", "new"), [  # ^ where the message points
    ("type: SGD", "type: ^[SGD]"), ("source: digits", "source: {type: ^[digits]}"),
    ("max_epochs: 1", "max_epochs: 1, param: ^3"), ("max_epochs: 1", "max_epochs: 1, display: {interval: ^1e-9 epochs}"),
    ("max_epochs: 1", "max_epochs: 1, display: ^20 min"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: step, gamma: 1, stepsize: ^20 min}"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: warmup, iterations: ^1 h}"),
    ("base_lr: 0.1",
     "base_lr: 0.1, lr_policy: {type: warmup, iterations: 5, then: {type: multistep, gamma: 1, stepvalue: [5, ^1 h]}}"),
    ("max_epochs: 1", "max_time: 1 h, lr_policy: ^{type: poly, power: 1}"),
    ("batch_size: 64", "train: {^hold_out: 5}"), ("batch_size: 64", "val: {hold_out: ^2.5}"),
    ("batch_size: 64", "transform: [{scale: 2, ^value: 3}]"), ("num_output: 10", "num_output: 10, phase: ^[]"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_runs(old: str, new: str) -> None:
    before, _, after = changed(old, new).partition("^")
    found = mistakes(before + after)
    assert len(found) == 1, found
    assert found[0].startswith(f"net.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: ")


def test_what_must_be_chosen_cannot_be_null() -> None:
    assert mistakes(changed("source: digits", "source: null")) == ["net.yaml:2:7: data: needs 'source'; add source: …"]


@pytest.mark.parametrize("net", ["5", "true", "x.y", "{}", "null", "[]", "[5]", "[null]", "[[]]"])
def test_a_net_that_is_no_list_of_lines_is_refused(net: str) -> None:
    found = mistakes(f"data: {{source: digits}}\nnet: {net}\nsolver: {{type: SGD, base_lr: 1, max_iter: 1}}")
    assert len(found) == 1, found
    assert re.match(r"net\.yaml:2:[67]: net: .+; .+|net\.yaml:2:[67]: net: (a line )?must be a", found[0])


def test_a_text_with_a_line_break_is_told_in_one_line() -> None:
    assert len(mistakes(changed("name: t", 'name: "a\\nb"'))) == 1
    assert len(mistakes(changed("num_output: 10", 'num_output: 10, "a\\nb": 1'))) == 1
    assert len(mistakes(changed("type: InnerProduct", 'type: "a\\nb"'))) == 1
    assert len(mistakes(changed("[ip1, label]", '["a\\nb", label]'))) == 1


def test_long_values_are_cut() -> None:
    assert show("x" * 100) == "'" + "x" * 56 + "…"
    assert show(list(range(100))).startswith("[0, 1, 2, ") and len(show(list(range(100)))) == 58
    assert show({"a": None, "b": True, "ü": "é"}) == '{"a": null, "b": true, "ü": "é"}'


def test_a_value_that_is_no_mapping_is_refused() -> None:
    document = Document("net.yaml")
    assert check(document, sections.EngineKeys, 5, ("engine",), "engine") is None
    assert list(document.mistakes.values()) == ["net.yaml: engine: must be a mapping {key: value}, not 5"]
