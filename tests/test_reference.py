"""The catalogue as text, and the exam for layers of one's own."""

import json

import pytest

from dltrain import reference
from dltrain.checks import choose
from dltrain.expand import Expansion
from dltrain.lines import read_lines
from dltrain.marks import parse
from dltrain.registry import FILLERS, LAYERS, POLICIES, SOLVERS

GOOD = '''
from dltrain.layer import Layer, layer


@layer("Double")
class Double(Layer):
    """y = 2 x"""

    exam = [({}, (2, 3)), ({}, (4,))]

    def setup(self, x):
        return x

    def forward(self, x, y):
        self.ops.weighted_sum((x.data,), y.data, (2.0,))

    def backward(self, x, y):
        self.ops.weighted_sum((y.grad,), x.grad, (2.0,))
'''


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_the_example_line_of_a_layer_is_right_but_for_what_it_reads(name):
    document = parse("net:\n  " + reference.example(LAYERS, name))
    read_lines(document, Expansion(document, {}, {}).lines, {})
    assert not document.mistakes


@pytest.mark.parametrize(("known", "name"), [(known, name) for known in (SOLVERS, POLICIES, FILLERS) for name in sorted(known)])
def test_the_example_of_a_rule_is_right(known, name):
    document = parse(reference.example(known, name))
    choose(document, known, document.value, (), "it")
    assert not document.mistakes


@pytest.mark.parametrize("known", [LAYERS, SOLVERS, POLICIES])
def test_an_entry_has_formula_keys_and_example(known):
    for name in known:
        text = reference.entry(known, name)
        assert text.startswith(f"{name}\n\n{reference.formula(known[name])}") and "example\n" in text
        assert all(key in text for key, _, _ in reference.keys(known[name]))


def test_defaults_stand_as_in_yaml():
    rows = {key: (about, default) for key, about, default in reference.keys(LAYERS["Pooling"])}
    assert rows["stride"] == ("int >= 1 | list", "1") and rows["pool"][1] == "max"
    assert {key: default for key, _, default in reference.keys(SOLVERS["SGD"])}["clip_gradients"] == "null"


def test_the_commands_print_them_and_refuse_what_is_not_there(command):
    assert "Convolution" in command("layers").stdout and "H' = floor" in command("layers", "Convolution").stdout
    assert "lr_policy" in command("solvers").stdout and "gamma" in command("solvers", "inv").stdout
    done = command("layers", "Poling")
    assert done.returncode == 2 and "did you mean 'Pooling'?" in done.stderr


def test_a_right_layer_of_ones_own_passes_the_exam_and_a_wrong_one_is_exit_7(command, tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    done = command("check-layer", "good.py")
    assert done.returncode == 0 and "Double: passed 2 trials" in done.stdout
    (tmp_path / "bad.py").write_text(GOOD.replace("x.grad, (2.0,)", "x.grad, (2.1,)"))
    done = command("check-layer", "bad.py")
    assert done.returncode == 7 and "the gradient by bottom 0 is" in done.stderr and "where the slope is" in done.stderr
    (tmp_path / "silent.py").write_text(GOOD.replace("exam", "tests"))
    assert "does not say what to try" in command("check-layer", "silent.py").stderr
    (tmp_path / "none.py").write_text("x = 1\n")
    assert command("check-layer", "none.py").returncode == 2


def test_the_schema_is_json(command):
    assert json.loads(command("schema").stdout)["title"] == "dltrain config"
