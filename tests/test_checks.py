"""Each key of each section by itself: the right kind of value passes, anything else is one mistake with a way out."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import config
from dltrain.checks import check, choose, keys_of, show
from dltrain.errors import ConfigError, DltrainError
from dltrain.lines import read_line, read_param
from dltrain.marks import Document, parse
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES, TRANSFORMS, Registry
from dltrain.schema import section
from dltrain.sections import NOT_YET, DataKeys, Display, EarlyStopping, EngineKeys, HoldOut, LineKeys, Loop, ParamKeys, Snapshots, Test, Top

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


# --- names that are one letter off ---
def typos(word: str) -> list[str]:
    """The word with one letter dropped, or two neighbours swapped."""
    dropped = [word[:i] + word[i + 1 :] for i in range(len(word))]
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    return [typo for typo in dict.fromkeys(dropped + swapped) if typo and typo != word]


def line(keys: dict[str, Any], name: str) -> Document:
    document = Document("net.yaml")
    read_line(document, {"name": "it", "type": name, **keys}, ("net", 0), {})
    return document


def chosen(known: Registry, keys: dict[str, Any], name: str) -> Document:
    document = Document("net.yaml")
    choose(document, known, {"type": name, **keys}, ("it",), "it")
    return document


def inside(cls: type, keys: dict[str, Any], outer: type | None = None, under: str = "") -> Document:
    document = Document("net.yaml")
    check(document, outer or cls, {under: keys} if outer else keys, ("it",), "it")
    return document


def whole(text: str, keys: dict[str, Any]) -> Document:
    """A misspelt key among others of the text, at the `…`."""
    document = parse(text.replace("…", "".join(f"{key}: {value}" for key, value in keys.items())), "net.yaml")
    with pytest.raises(ConfigError):
        config.read("net.yaml", document=document)
    return document


def places() -> Iterator[tuple[str, Any, list[str]]]:
    """(what is called, a reader of some keys, the keys that may stand there) for all that a config may say."""
    for name, cls in LAYERS.items():
        yield name, lambda keys, name=name: line(keys, name), [*keys_of(cls), *keys_of(LineKeys)]
    for known in (POLICIES, FILLERS, SOURCES, TRANSFORMS):
        for name, cls in known.items():
            yield f"{known.kind} {name}", lambda keys, known=known, name=name: chosen(known, keys, name), keys_of(cls)
    for name, cls in SOLVERS.items():
        text = changed("type: SGD, ", f"type: {name}, …, ")
        yield f"solver {name}", lambda keys, text=text: whole(text, keys), [*keys_of(cls), *keys_of(Loop)]
    for name, cls, outer in [("display", Display, Loop), ("test", Test, Loop), ("snapshot", Snapshots, Loop),
                             ("early_stopping", EarlyStopping, Loop), ("train", HoldOut, DataKeys), ("val", HoldOut, DataKeys)]:  # fmt: skip
        yield name, lambda keys, cls=cls, outer=outer, name=name: inside(cls, keys, outer, name), keys_of(cls)
    yield "engine", lambda keys: inside(EngineKeys, keys), keys_of(EngineKeys)
    yield "param of a layer", lambda keys: line({"param": {"weight": keys}}, "InnerProduct"), keys_of(ParamKeys)
    yield "param of the solver", lambda keys: whole(changed("max_epochs", "param: {'*.bias': {…}}, max_epochs"), keys), keys_of(ParamKeys)
    yield "data", lambda keys: whole(changed("{source", "{…, source"), keys), keys_of(DataKeys)
    yield "the top", lambda keys: whole("…\n" + BASE, keys), [*keys_of(Top), "data", "net", "solver", "engine"]


KEYS = [pytest.param(read, key, known, id=f"{what}-{key}") for what, read, known in places() for key in known]


@pytest.mark.parametrize(("read", "key", "known"), KEYS)
def test_a_key_that_is_one_letter_off_is_told_once_with_the_right_one(read: Any, key: str, known: list[str]) -> None:
    for typo in typos(key):
        if typo in known:
            continue
        told = [message for message in read({typo: 1}).mistakes.values() if f"'{typo}'" in message]
        assert len(told) == 1, told
        assert re.search(rf"unknown (key|section) '{typo}'; did you mean '{key}'\?$", told[0])


CHOICES = [pytest.param(known, name, id=f"{known.kind} {name}")
           for known in (LAYERS, SOLVERS, POLICIES, FILLERS, SOURCES, TRANSFORMS) for name in known]  # fmt: skip


@pytest.mark.parametrize(("known", "name"), CHOICES)
def test_a_name_that_is_one_letter_off_is_told_with_the_right_one(known: Registry, name: str) -> None:
    for typo in typos(name):
        if typo in known:
            continue
        document = line({}, typo) if known is LAYERS else chosen(known, {}, typo)
        told = [message for message in document.mistakes.values() if f"'{typo}'; " in message]
        assert len(told) == 1, told
        assert told[0].endswith(f"unknown {known.kind} '{typo}'; did you mean '{name}'?")


@pytest.mark.parametrize(("old", "typo", "right"), [
    ("num_output", "num_ouput", "num_output"), ("base_lr", "bse_lr", "base_lr"), ("source", "sorce", "source"), ("name: ip1", "nme: ip1", "name"),
    ("max_epochs: 1", "early_stopping: {patence: 5 epochs}, max_epochs: 1", "patience"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: inv, gama: 1, power: 1}", "gamma"),
    ("source: digits", "source: digits, transform: [{type: scale, vlue: 2}]", "value"),
])  # fmt: skip
def test_a_required_key_that_is_misspelt_is_one_mistake_and_not_two(old: str, typo: str, right: str) -> None:
    told = mistakes(changed(old, typo))
    assert len(told) == 1, told
    assert told[0].endswith(f"; did you mean '{right}'?")


@pytest.mark.parametrize(("old", "new", "words"), [
    ("type: InnerProduct", "tpe: InnerProduct", "net.yaml:4:5: layer 'ip1' (None): needs 'type'; add type: …"),
    ("type: SGD", "tpe: SGD", "net.yaml:6:9: solver: needs 'type'; add type: SGD"),
    ("type: SGD, ", "", "net.yaml:6:9: solver: needs 'type'; add type: SGD"),
    ("base_lr: 0.1, ", "", "net.yaml:6:9: solver (SGD): needs 'base_lr'; add base_lr: …"),
    (", num_output: 10", "", "net.yaml:4:5: layer 'ip1' (InnerProduct): needs 'num_output'; add num_output: …"),
    ("name: ip1, ", "", "net.yaml:4:5: a layer (InnerProduct): needs 'name'; add name: …"),
    ("source: digits, ", "", "net.yaml:2:7: data: needs 'source'; add source: …"),
    ("max_epochs: 1", "max_epochs: 1, early_stopping: {monitor: loss}",
     "net.yaml:6:66: solver: needs 'early_stopping.patience'; add early_stopping.patience: …"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {gamma: 1}",
     "net.yaml:6:46: solver (SGD): lr_policy: needs 'type'; known: exp, fixed, inv, multistep, poly, sigmoid, step, warmup"),
])  # fmt: skip
def test_what_is_missing_is_said_where_it_belongs(old: str, new: str, words: str) -> None:
    assert mistakes(changed(old, new)) == [words]


# --- kinds of values ---
def numbers(cls: type) -> list[str]:
    """The keys of a dataclass that want a number: whole, real, or one an axis."""
    kinds = {key: kind(schema) for key, schema in section(cls)["properties"].items()}
    return [key for key in keys_of(cls) if kinds.get(key) == "number"]


def kind(schema: dict[str, Any]) -> str:
    """What a schema takes besides null, lists and $ expressions."""
    if "anyOf" in schema:
        found = {kind(option) for option in schema["anyOf"]} - {"null", "$", "array"}
        return found.pop() if len(found) == 1 else "several"
    if "pattern" in schema and schema["pattern"] == r"^\$":
        return "$"
    return {"integer": "number"}.get(schema.get("type", "several"), schema.get("type", "several"))


def number_places() -> Iterator[Any]:
    for what, read, known in places():
        cls = next((registry[what.split()[-1]] for registry in (LAYERS, POLICIES, FILLERS, SOURCES, TRANSFORMS, SOLVERS)
                    if what.split()[-1] in registry and (" " in what) == (registry is not LAYERS)), None)  # fmt: skip
        cls = cls or {"display": Display, "test": Test, "snapshot": Snapshots, "early_stopping": EarlyStopping, "val": HoldOut,
                      "engine": EngineKeys, "param of a layer": ParamKeys, "data": DataKeys, "the top": Top}.get(what)  # fmt: skip
        for key in numbers(cls) if cls else ():
            if key in known:
                yield pytest.param(what, key, id=f"{what}-{key}")


READ = {what: read for what, read, _ in places()}
NUMBERS = list(number_places())


def test_there_are_numbers_in_every_kind_of_section() -> None:
    found = {tuple(row.values) for row in NUMBERS}
    for pair in [("Convolution", "kernel_size"), ("Convolution", "num_output"), ("Dropout", "dropout_ratio"), ("solver SGD", "momentum"),
                 ("lr_policy inv", "gamma"), ("filler gaussian", "std"), ("transform step crop", "size"), ("snapshot", "keep"),
                 ("val", "hold_out"), ("data", "batch_size"), ("the top", "seed"), ("param of a layer", "lr_mult"),
                 ("engine", "threads")]:  # fmt: skip
        assert pair in found


@pytest.mark.parametrize(("what", "key"), NUMBERS)
@pytest.mark.parametrize(("value", "way_out"), [("20", "; remove the quotes"), ("0.5", "; remove the quotes"), ("twenty", "")])
def test_a_text_is_no_number(what: str, key: str, value: str, way_out: str) -> None:
    """At the keys that want a number: one mistake, and "remove the quotes" where that helps."""
    told = about(what, key, f'"{value}"' if what in ("data", "the top") or what.startswith("solver") else value)
    assert len(told) == 1, told
    assert re.search(rf"'{key}(\.\w+)?' must be a (whole )?number, not '{value}'{way_out}$", told[0])


@pytest.mark.parametrize(("what", "key"), NUMBERS)
@pytest.mark.parametrize("value", [True, False])
def test_a_truth_is_no_number(what: str, key: str, value: bool) -> None:
    told = about(what, key, str(value).lower() if what in ("data", "the top") or what.startswith("solver") else value)
    assert len(told) == 1, told
    assert re.search(rf"'{key}' must be a (whole )?number, not {str(value).lower()}$", told[0])


def about(what: str, key: str, value: Any) -> list[str]:
    """The mistakes that speak of a key (others: what else is missing, keys given twice)."""
    found = READ[what]({key: value})
    return [message for message in found.mistakes.values() if re.search(rf"'([\w]+\.)?{key}'", message) and "stands twice" not in message
            and "add " not in message]  # fmt: skip
