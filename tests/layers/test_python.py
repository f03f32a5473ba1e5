"""Python: a layer from a user's file, its keys checked, its arithmetic run, its mistakes told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.errors import Refusal
from dltrain.layers.python import Python
from dltrain.ops.cpu import Cpu
from dltrain.tensor import Shape
from dltrain.testing import Trial, check_backend, check_layer

USERS = str(Path(__file__).parents[1] / "fixtures" / "user_layers.py")
X = np.array([[0.5, -1.0, 2.0]])


def sine(**keys: Any) -> Python:
    return Python(module=USERS, layer="Sine", keys=keys)


def test_it_runs_arithmetic_of_its_own(run: Any) -> None:
    made = run(sine(rate=2.0), X, dy=[[1, 10, 100]])
    np.testing.assert_allclose(made.y, np.sin(2 * X), rtol=1e-15)
    np.testing.assert_allclose(made.dx, 2 * np.cos(2 * X) * [[1, 10, 100]], rtol=1e-15)


def test_keys_have_defaults(run: Any) -> None:
    np.testing.assert_allclose(run(sine(), X).y, np.sin(X), rtol=1e-15)


def test_parameters_several_tops_and_fixed_bottoms() -> None:
    layer = Python(module=USERS, layer="Both", tops=2)
    assert layer.top_roles(2) == ("1",)
    trial = Trial(layer, [Shape((1, 3)), Shape((2,))])
    tops, dxs, grads = trial.run([X, np.ones(2)], [np.ones((1, 3)), 10 * np.ones((1, 3))], {"weight": np.array([1.0, 2, 3])})
    np.testing.assert_array_equal(tops[0], X * [1, 2, 3])
    np.testing.assert_array_equal(tops[1], -X)
    np.testing.assert_array_equal(dxs[0], [[-9, -8, -7]])
    np.testing.assert_array_equal(dxs[1], [0, 0])
    np.testing.assert_array_equal(grads["weight"], X[0])


def test_sits_the_exam() -> None:
    check_layer(sine(rate=0.5), (2, 3))
    check_layer(Python(module=USERS, layer="Both", tops=2), (2, 3), (4,))
    check_backend(sine(rate=0.5), Cpu(2), (2, 3))


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"module": "no/such.py"}, "module", "no/such.py; give a path relative to the working directory"),
    ({"module": "nothing"}, "module", "'nothing' is neither a .py file nor installed"),
    ({"layer": "Sin"}, "layer", "'Sin' is no Layer of"),
    ({"layer": "Function"}, "layer", "'Function' is no Layer of"),
    ({"keys": {"rat": 1.0}}, "keys", "of Sine: rat: Unexpected keyword argument"),
    ({"keys": {"rate": "1"}}, "keys", "of Sine: rate: Input should be a valid number"),
    ({"tops": 2}, "tops", "is 2, but Sine makes 1; set tops: 1"),
])  # fmt: skip
def test_refuses(keys: Any, key: str, words: str, refuses: Any) -> None:
    refuses(Python(**{"module": USERS, "layer": "Sine"} | keys), [(2, 3)], key, words)


def test_refuses_too_many_bottoms(refuses: Any) -> None:
    refuses(sine(), [(2, 3), (2, 3)], "bottom", "there are 2")


def test_a_file_with_a_mistake_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import no_such_module_here\n")
    with pytest.raises(Refusal, match=r"broken.py cannot be imported: ModuleNotFoundError: .*'no_such_module_here'"):
        Trial(Python(module=str(file), layer="X"), [Shape((2, 3))])
    file.write_text("from dltrain.layer import Layer\nclass X(Layer):\n    def setup(self, x): return []\n"
                    "    def forward(self, x): ...\n    def backward(self, x): ...\n")  # fmt: skip
    with pytest.raises(Refusal, match="is 1, but X makes 0"):
        Trial(Python(module=str(file), layer="X"), [Shape((2, 3))])
