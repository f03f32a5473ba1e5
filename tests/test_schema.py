"""The JSON Schema that editors use: valid itself, and of one mind with the validator on what is right and what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from dltrain import config
from dltrain.errors import ConfigError
from dltrain.marks import load, parse
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS, SOURCES, TRANSFORMS
from dltrain.schema import schema
from dltrain.sections import NOT_YET

ROOT = Path(__file__).parent.parent
SCHEMA = schema()
EDITOR = Draft7Validator(SCHEMA)
BASE = """\
name: t
data: {source: digits, batch_size: 64}
net:
  - {name: ip1, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip1, label]}
solver: {type: SGD, base_lr: 0.1, max_epochs: 1}
"""
CONV = "type: Convolution, num_output: 10"
BARE_IP = "type: InnerProduct, num_output: 10"


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1, old
    return BASE.replace(old, new)


def underlined(text: str) -> bool:
    return not EDITOR.is_valid(parse(text).value)


def refused(text: str) -> bool:
    try:
        config.read("net.yaml", document=parse(text, "net.yaml"))
    except ConfigError:
        return True
    return False


# --- the schema itself ---
def test_is_valid_draft_07() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_has_no_word_that_draft_07_does_not_know() -> None:
    words = {"$schema", "$ref", "title", "description", "type", "properties", "required", "additionalProperties", "definitions",
             "items", "anyOf",
             "allOf", "oneOf", "not", "if", "then", "else", "enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum",
             "exclusiveMaximum",
             "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "propertyNames", "default",
             "format"}  # fmt: skip

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            assert set(node) <= words, set(node) - words
            for word, value in node.items():
                if word in ("properties", "definitions"):
                    for item in value.values():
                        walk(item)
                elif word not in ("enum", "const", "required", "default"):
                    walk(value)

    walk(SCHEMA)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    assert all(f'"#/definitions/{name}"' in text for name in SCHEMA["definitions"])
    assert text.count('"$ref"') == sum(text.count(f'"#/definitions/{name}"') for name in SCHEMA["definitions"])


def test_no_choice_is_offered_twice() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            assert len(set(map(str, node.get("enum", ())))) == len(node.get("enum", ())), node["enum"]
            walk(list(node.values()))

    walk(SCHEMA)


def test_the_command_prints_it_and_its_text_is_small() -> None:
    done = subprocess.run([sys.executable, "-m", "dltrain", "schema"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == SCHEMA
    assert len(done.stdout) < 400_000
    assert done.stderr == ""


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.name)
def test_accepts_the_configs_that_come_along(file: Path) -> None:
    assert [error.message for error in EDITOR.iter_errors(load(file).value)] == []


def test_knows_every_name_of_the_catalogue() -> None:
    text = json.dumps(SCHEMA)
    for known in (LAYERS, SOLVERS, POLICIES, FILLERS, SOURCES, TRANSFORMS):
        assert [name for name in known if f'"{name}"' not in text] == []


def test_knows_every_section_of_the_language() -> None:
    assert set(SCHEMA["properties"]) == {*config.TOP, "base", *NOT_YET["top"]}


# --- numbers may be expressions ---
@pytest.mark.parametrize(("old", "new"), [
    ("num_output: 10", "num_output: $n"), ("num_output: 10", "num_output: $(n * 4)"),
    ("num_output: 10", "num_output: 10, bias_term: $b"), ("base_lr: 0.1", "base_lr: $lr"),
    ("64", "$batch"), ("max_epochs: 1", "max_epochs: $e"), ("max_epochs: 1", "max_iter: $(2 * n)"), ("name: t", "seed: $s"),
    (BARE_IP, f"{CONV}, kernel_size: $k"), (BARE_IP, f"{CONV}, kernel_size: [$k, 3]"),
    ("[ip1, label]", "[ip1, label], loss_weight: $w"),
    ("num_output: 10", "num_output: 10, param: {weight: {lr_mult: $m, filler: {type: gaussian, std: $s}}}"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: inv, gamma: $g, power: 1}"), ("max_epochs: 1", "max_epochs: 1, test: $n"),
    ("max_epochs: 1", "max_epochs: 1, snapshot: {keep: $k}"), ("batch_size: 64", "transform: [{crop: $c}, {scale: $(1 / 256)}]"),
    ("batch_size: 64", "val: {hold_out: $h}"),
])  # fmt: skip
def test_a_number_may_be_an_expression(old: str, new: str) -> None:
    assert not underlined(changed(old, new))


@pytest.mark.parametrize(("old", "new"), [
    ("num_output: 10", "num_output: n"), ("num_output: 10", "num_output: 10, phase: $p"),
])  # fmt: skip
def test_only_numbers_and_switches_may_be_expressions_and_only_with_a_dollar(old: str, new: str) -> None:
    assert underlined(changed(old, new))


@pytest.mark.parametrize(
    "text", [f"blocks: {{}}\n{BASE}", f"vars: {{n: 3}}\n{BASE}", changed("num_output: 10", "num_output: 10, repeat: 3")]
)
def test_words_that_are_not_yet_built_are_known(text: str) -> None:
    assert not underlined(text)


# --- of one mind with the validator ---
RIGHT = [
    ("source: digits", "source: {type: digits}"), ("batch_size: 64", "batch_size: null"), ("batch_size: 64", "transform: []"),
    ("batch_size: 64", "transform: [mirror]"),
    ("batch_size: 64", "transform: [{mirror: null}, {mirror: true}, {mirror: 0.5, phase: train}]"),
    ("batch_size: 64", "transform: [{crop: 6, phase: train}, {crop: [6, 6], phase: test, top: data}]"),
    ("batch_size: 64", "transform: [{type: crop, size: 6}]"),
    ("batch_size: 64", "transform: [{mean: image}, {mean: 3}, {mean: [0.5]}]"),
    ("batch_size: 64", "transform: null"), ("batch_size: 64", "val: null"),
    ("batch_size: 64", "val: {hold_out: 0.1, batch_size: 7}"),
    ("num_output: 10", "num_output: 10, phase: [train, test]"), ("num_output: 10", "num_output: 10, bottom: data"),
    ("num_output: 10", "num_output: 10, bias_term: null"), ("num_output: 10", "num_output: 10, bias_term: false"),
    ("num_output: 10",
     "num_output: 10, param: {weight: {filler: xavier, lr_mult: 2, decay_mult: 0, freeze: false}, bias: {filler: constant}}"),
    ("num_output: 10", "num_output: 10, param: {weight: {filler: {type: gaussian, std: 0.1}}}"),
    ("num_output: 10", "num_output: 10, param: null"),
    ("[ip1, label]", "{x: ip1, label: label}"), ("[ip1, label]", "[ip1, label], phase: train"),
    ("[ip1, label]", "[ip1, label], loss_weight: -0.5"),
    ("SGD", "Nesterov"), ("base_lr: 0.1", "base_lr: 0"), ("base_lr: 0.1", "base_lr: 0.1, momentum: null"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: fixed"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: fixed}"), ("base_lr: 0.1", "base_lr: 0.1, lr_policy: null"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: warmup, iterations: 2 epochs, then: {type: inv, gamma: 1, power: 1}}"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: multistep, gamma: 0.1, stepvalue: [10, 2 epochs]}"),
    ("base_lr: 0.1", "base_lr: 0.1, clip_gradients: 5, iter_size: 2, weight_decay: 5e-4, regularization_type: L1"),
    ("base_lr: 0.1", "base_lr: 0.1, clip_gradients: null"), ("base_lr: 0.1", 'base_lr: 0.1, param: {"*.bias": {lr_mult: 2}}'),
    ("base_lr: 0.1", "base_lr: 0.1, param: null"), ("max_epochs: 1", "max_iter: 10"), ("max_epochs: 1", "max_iter: 1 epoch"),
    ("max_epochs: 1", "max_time: 20 min"), ("max_epochs: 1", "max_epochs: 0.5"),
    ("max_epochs: 1", "max_epochs: 1, max_iter: null"),
    ("max_epochs: 1", "max_epochs: 1, display: null, test: null, snapshot: null, early_stopping: null"),
    ("max_epochs: 1", "max_epochs: 1, display: 10, test: 1 epoch, snapshot: 5 epochs"),
    ("max_epochs: 1", "max_epochs: 1, display: {interval: null}"),
    ("max_epochs: 1",
     "max_epochs: 1, test: {interval: 1 epoch, initial: true}, snapshot: {interval: 20 min, keep: 3, best: loss}"),
    ("max_epochs: 1", "max_epochs: 1, early_stopping: {monitor: loss, mode: min, patience: 5 epochs, min_delta: 0.1}"),
    ("name: t", "name: null"), ("name: t", "version: 1"), ("name: t", "seed: 3"),
    ("name: t", "engine: {device: cpu, threads: 2, precision: strict}"),
    ("name: t", "engine: {}"), ("name: t", "engine: null"),
]  # fmt: skip
WRONG = [
    # kinds and bounds
    ("64", '"64"'), ("64", "64.5"), ("64", "true"), ("64", "0"), ("64", "[64]"), ("64", "{n: 64}"),
    ("num_output: 10", "num_output: null"),
    ("num_output: 10", "num_output: -3"), ("num_output: 10", "num_output: 10, bias_term: 1"),
    ("num_output: 10", "num_output: 10, bias_term: on"),
    (BARE_IP, f"{CONV}, kernel_size: 0"), (BARE_IP, f"{CONV}, kernel_size: [3, 0]"), (BARE_IP, f"{CONV}, kernel_size: []"),
    (BARE_IP, f'{CONV}, kernel_size: "3"'), (BARE_IP, f"{CONV}, kernel_size: 3, pad: -1"),
    (BARE_IP, "type: Dropout, dropout_ratio: 1"),
    ("base_lr: 0.1", "base_lr: -1"), ("base_lr: 0.1", 'base_lr: "0.1"'), ("base_lr: 0.1", "base_lr: true"),
    ("base_lr: 0.1", "base_lr: null"),
    ("base_lr: 0.1", "base_lr: 0.1, momentum: 1"), ("base_lr: 0.1", "base_lr: 0.1, clip_gradients: 0"),
    ("max_epochs: 1", "max_epochs: 0"),
    ("base_lr: 0.1", "base_lr: 0.1, regularization_type: L3"), ("base_lr: 0.1", "base_lr: 0.1, param: 3"),
    ("name: t", "seed: -1"), ("name: t", "name: a/b"),
    ("name: t", "name: 5"), ("name: t", "version: 2"), ("name: t", "engine: 5"), ("name: t", "engine: {deterministic: false}"),
    ("name: ip1", "name: a b"),
    # units
    ("max_epochs: 1", "max_iter: 10 epchs"), ("max_epochs: 1", "max_iter: -1"), ("max_epochs: 1", "max_iter: 0"),
    ("max_epochs: 1", "max_iter: true"),
    ("max_epochs: 1", "max_epochs: 1, test: 3 weeks"), ("max_epochs: 1", "max_epochs: 1, display: 2.5"),
    ("max_epochs: 1", "max_epochs: 1, snapshot: []"),
    # unknown keys, names and phases
    ("name: t", "nmae: t"), ("batch_size: 64", "bach_size: 64"), ("batch_size: 64", "val: {holdout: 0.1}"),
    ("num_output: 10", "num_output: 10, nm: 1"),
    ("type: InnerProduct", "type: InerProduct"), ("type: SGD", "type: SDG"), ("source: digits", "source: digit"),
    ("source: digits", "source: {type: digit}"),
    ("source: digits", "source: {type: digits, rot: x}"), ("num_output: 10", "num_output: 10, phase: tset"),
    ("num_output: 10", "num_output: 10, phase: [tset]"),
    ("num_output: 10", "num_output: 10, phase: []"), ("num_output: 10", "num_output: 10, param: {weight: {lr_mul: 1}}"),
    ("num_output: 10", "num_output: 10, param: {weight: {filler: xaver}}"),
    ("num_output: 10", "num_output: 10, param: {weight: {filler: {type: gaussian, stdd: 1}}}"),
    ("base_lr: 0.1", "base_lr: 0.1, momentm: 0.9"), ("base_lr: 0.1", "base_lr: 0.1, lr_policy: in"),
    ("max_epochs: 1", "max_epoch: 1"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: inv, gamma: 1, power: 1, gama: 2}"),
    ("base_lr: 0.1", 'base_lr: 0.1, param: {"*.bias": {lr_mlt: 2}}'),
    ("max_epochs: 1", "max_epochs: 1, snapshot: {intervl: 1 epoch}"),
    ("max_epochs: 1", "max_epochs: 1, early_stopping: {patience: 5, mode: mx}"),
    ("name: t", "engine: {devce: cpu}"),
    # what is missing
    ("name: ip1, ", ""), ("type: InnerProduct, ", ""), (", num_output: 10", ""), (BARE_IP, CONV), ("type: SGD, ", ""),
    ("base_lr: 0.1, ", ""),
    ("source: digits, ", ""), ("base_lr: 0.1", "base_lr: 0.1, lr_policy: inv"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {type: inv, gamma: 1}"),
    ("base_lr: 0.1", "base_lr: 0.1, lr_policy: {gamma: 1}"), ("max_epochs: 1", "max_epochs: 1, early_stopping: {monitor: loss}"),
    # transforms
    ("batch_size: 64", "transform: {crop: 6}"), ("batch_size: 64", "transform: mirror"),
    ("batch_size: 64", "transform: [{crp: 6}]"),
    ("batch_size: 64", "transform: [mirrr]"), ("batch_size: 64", "transform: [{crop: 6, phse: train}]"),
    ("batch_size: 64", 'transform: [{crop: "6"}]'),
    ("batch_size: 64", "transform: [crop]"), ("batch_size: 64", "transform: [{crop: null}]"),
    ("batch_size: 64", "transform: [{}]"),
    ("batch_size: 64", "transform: [{type: crp, size: 6}]"), ("batch_size: 64", "transform: [{type: crop}]"),
    ("batch_size: 64", "transform: [{mean: imge}]"),
    ("batch_size: 64", "transform: [{crop: 6, phase: deploy}]"), ("batch_size: 64", "transform: [3]"),
    ("batch_size: 64", "transform: [{mean: 1, scale: 2}]"),
    # the whole
    ("solver: {type: SGD, base_lr: 0.1, max_epochs: 1}", "solver: []"), ("data: {source: digits, batch_size: 64}", "data: []"),
    ("  - {name: ip1, type: InnerProduct, num_output: 10}", "  - 5"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), RIGHT)
def test_what_is_right_is_not_underlined(old: str, new: str) -> None:
    assert not refused(changed(old, new))
    assert not underlined(changed(old, new))


@pytest.mark.parametrize(("old", "new"), WRONG)
def test_what_is_wrong_is_underlined(old: str, new: str) -> None:
    assert refused(changed(old, new))
    assert underlined(changed(old, new))


@pytest.mark.parametrize("section", ["data", "net", "solver"])
def test_a_section_may_be_a_file(section: str) -> None:
    value = parse(BASE).value | {section: "other.yaml"}
    assert EDITOR.is_valid(value)
    assert not EDITOR.is_valid(value | {section: 5})


def test_an_empty_net_is_underlined() -> None:
    text = BASE.split("net:")[0] + "net: []\nsolver: {type: SGD, base_lr: 0.1, max_epochs: 1}\n"
    assert refused(text)
    assert underlined(text)


def test_a_mistake_in_one_layer_is_told_of_that_layer_alone() -> None:
    """No message speaks of the keys of other types."""
    errors = list(EDITOR.iter_errors(parse(changed("num_output: 10", "num_ouput: 10")).value))
    told = [(list(leaf.absolute_path), leaf.message) for error in errors for leaf in leaves(error)]
    assert told
    assert all(path[:2] == ["net", 0] for path, message in told if "is not of type 'string'" not in message)
    assert any("'num_ouput'" in message for _, message in told)


def leaves(error: Any) -> list[Any]:
    return [leaf for inner in error.context for leaf in leaves(inner)] if error.context else [error]
