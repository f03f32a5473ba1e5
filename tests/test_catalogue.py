"""The common exam: what is asked of every layer in the catalogue, and proof that the exam catches a wrong one."""

from __future__ import annotations

import ast
import re
import types
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import dltrain.fillers
import dltrain.layers
import dltrain.ops.reference
from dltrain.elementwise import Elementwise
from dltrain.errors import CheckFailed
from dltrain.layer import Layer, Shape
from dltrain.ops.backend import Reference
from dltrain.ops.signature import Call
from dltrain.registry import FILLERS, LAYERS
from dltrain.testing import Trial, check_backend, check_gradient, check_layer, check_shapes, samples

ROOT = Path(__file__).parent.parent
USERS = str(ROOT / "tests" / "fixtures" / "user_layers.py")


def index(*sizes: int) -> Shape:
    return Shape(sizes, "index")


# type -> some keys, and the shapes of the bottoms: a row for each type, else the exam fails
BOTTOMS: dict[str, list[tuple[dict[str, Any], list[Any]]]] = {
    "Accuracy": [({}, [(6, 4), index(6)]), ({"top_k": 2, "axis": 2, "ignore_label": 1}, [(2, 3, 4), index(2, 3), (2,)])],
    "AUC": [({}, [(6,), index(6)]), ({"scores": "probability", "bins": 10}, [(6, 2), index(6), (6,)])],
    "ConfusionMatrix": [({}, [(6, 3), index(6)]), ({"axis": 2, "ignore_label": 0}, [(2, 3, 4), index(2, 3), (2,)])],
    "ContrastiveLoss": [({"margin": 0.05}, [(4, 3), (4, 3), index(4)]),
                        ({"margin": 2.0, "legacy_version": True}, [(5, 2, 2), (5, 4), index(5), (5,)])],
    "DiceLoss": [({}, [(2, 3, 4), index(2, 4)]), ({"smooth": 0.5, "ignore_label": 0}, [(2, 1, 3, 4), index(2, 3, 4), (2,)])],
    "FocalLoss": [({}, [(4, 3), index(4)]), ({"gamma": 0.5, "class_weight": (0.25, 0.75)}, [(4, 3), index(4, 3), (4,)]),
                  ({"class_weight": (1.0, 2.0, 0.5), "ignore_label": 0, "axis": 2}, [(2, 4, 3), index(2, 4)])],
    "GaussianNLLLoss": [({}, [(3, 4)] * 3), ({}, [(3, 2, 2), (3, 4), (3, 4), (3,)])],
    "HierarchicalSoftmaxLoss": [({"num_output": 5, "group_size": 2}, [(4, 3), index(4)]),
                                ({"num_output": 4, "ignore_label": 0, "bias_term": False}, [(2, 3, 4), index(2, 3), (2,)])],
    "HingeLoss": [({}, [(4, 3), index(4)]), ({"norm": "L2", "axis": 2, "ignore_label": 1}, [(2, 4, 3), index(2, 4), (2,)])],
    "InfogainLoss": [({}, [(4, 3), index(4), (3, 3)]), ({"ignore_label": 1}, [(2, 3, 4), index(2, 4), (1, 1, 3, 3), (2,)])],
    "KLDivergenceLoss": [({"log_probabilities": True}, [(3, 4)] * 2)],
    "L1Loss": [({}, [(3, 4)] * 2), ({}, [(3, 2, 2), (3, 4), (3, 4)])],
    "LogisticLoss": [({}, [(5, 1), index(5)]), ({}, [(3, 4), (3, 4), (3,)])],
    "MarginRankingLoss": [({}, [(4,), (4,), index(4)]), ({"margin": 0.3}, [(4, 3), (4, 3), (1,), (4,)])],
    "MeanIoU": [({}, [(6, 3), index(6)]), ({"ignore_label": 0}, [(2, 3, 4), index(2, 4), (2,)])],
    "MultinomialLogisticLoss": [({"log_probabilities": True}, [(4, 3), index(4)]), ({}, [(5, 5), index(5)])],
    "Perplexity": [({}, [(6, 3), index(6)]), ({"ignore_label": 0}, [(2, 3, 4), index(2, 4), (2,)])],
    "PrecisionRecall": [({}, [(6, 3), index(6)]), ({"average": "micro"}, [(6, 3), index(6, 3), (6,)]),
                        ({"positive": 1, "ignore_label": 0}, [(2, 3, 4), index(2, 4)])],
    "SampledSoftmaxLoss": [({"num_output": 6, "num_sampled": 4}, [(4, 3), index(4)]),
                           ({"num_output": 9, "num_sampled": 5, "sampling": "log_uniform", "bias_term": False, "ignore_label": 0},
                            [(2, 3, 4), index(2, 3), (2,)])],
    "SigmoidCrossEntropyLoss": [({}, [(3, 4)] * 2), ({"ignore_label": 1, "normalization": "valid"}, [(4, 1), index(4), (4,)])],
    "SmoothL1Loss": [({}, [(3, 4)] * 2), ({"sigma": 2.0}, [(3, 2, 2), (3, 4), (3,)])],
    "TripletLoss": [({}, [(4, 3)] * 3), ({"distance": "euclidean", "margin": 0.2}, [(5, 2, 2)] * 3 + [(5,)])],
    "Concat": [({}, [(2, 3, 4), (2, 1, 4)]), ({"axis": 0}, [(2, 3), (1, 3), (4, 3)])],
    "Convolution": [({"num_output": 4, "kernel_size": (3,)}, [(2, 3, 6, 5)]),
                    ({"num_output": 4, "kernel_size": (2, 3), "stride": (2, 1), "pad": (1,), "group": 2}, [(2, 2, 5, 4)])],
    "Dropout": [({}, [(3, 4, 5)]), ({"dropout_ratio": 0.2}, [(7,)])],
    "Where": [({}, [(2, 3, 4)] * 3), ({}, [(2, 3), (1,), (2, 3)])],
    "Eltwise": [({}, [(2, 3)] * 2), ({"operation": "prod"}, [(2, 3, 2)] * 3), ({"operation": "max"}, [(4, 5)] * 3),
                ({"operation": "div"}, [(2, 3), (1, 3)]), ({"operation": "sub"}, [(2, 3, 1), (2, 1, 4), (1,)])],
    "EuclideanLoss": [({}, [(3, 4)] * 2), ({}, [(4, 2, 3), (4, 2, 3), (4,)])],
    "Flatten": [({}, [(2, 3, 4)]), ({"axis": 2}, [(2, 3, 2, 2)])],
    "InnerProduct": [({"num_output": 4}, [(3, 5)]), ({"num_output": 2, "bias_term": False}, [(3, 2, 2)]),
                     ({"num_output": 4, "axis": 2, "transpose": True}, [(2, 3, 5)])],
    "Pooling": [({"kernel_size": (2,), "stride": (2,)}, [(2, 3, 5, 4)]),
                ({"pool": "mean", "kernel_size": (3, 2), "pad": (1, 0)}, [(2, 2, 4, 5)]),
                *[({"pool": pool, "kernel_size": (3,), "stride": (2,)}, [(2, 3, 6, 4)]) for pool in ("sum", "stochastic", "lp")],
                ({"pool": "lse", "global_pooling": True, "beta": 3.0}, [(2, 3, 4)])],
    "ReLU": [({}, [(2, 3, 4)]), ({"negative_slope": 0.1}, [(5,)])],
    "Sigmoid": [({}, [(2, 3, 4)])],
    "Softmax": [({}, [(3, 5)]), ({"axis": -1}, [(2, 3, 4)])],
    "SoftmaxWithLoss": [({}, [(4, 3), index(4)]), ({}, [(4, 3), (4, 3)]),
                        ({"ignore_label": 1}, [(2, 3, 2, 2), index(2, 2, 2), (2,)]),
                        ({"class_weight": (1.0, 0.5, 2.0), "label_smoothing": 0.1}, [(4, 3), index(4)]),
                        ({"axis": 2, "label_smoothing": 0.2}, [(2, 4, 3)] * 2 + [(2, 4)])],
    "TanH": [({}, [(2, 3, 4)])],
    "Crop": [({"offset": (1,)}, [(2, 3, 5, 4), (1, 1, 3, 2)]), ({"axis": 1, "offset": (1, 0, 2)}, [(2, 3, 5, 4), (2, 2, 3, 2)])],
    "Deconvolution": [({"num_output": 4, "kernel_size": (3,), "stride": (2,)}, [(2, 3, 4, 3)]),
                      ({"num_output": 4, "kernel_size": (2, 3), "pad": (1,), "group": 2, "bias_term": False}, [(2, 2, 5, 4)])],
    "Im2col": [({"kernel_size": (3,), "stride": (2,), "pad": (1,)}, [(2, 3, 6, 5)]), ({"kernel_size": (2,)}, [(2, 3, 5)])],
    "LocallyConnected": [({"num_output": 4, "kernel_size": (3,), "pad": (1,)}, [(2, 3, 4, 5)]),
                         ({"num_output": 2, "kernel_size": (2,), "stride": (2,), "bias_term": False}, [(2, 3, 6)])],
    "Pad": [({"pad": (1, 2), "pad_after": (0,)}, [(2, 3, 4, 5)]), ({"pad": (2,), "mode": "reflect"}, [(2, 3, 4, 5)]),
            ({"pad": (3,), "mode": "edge", "axis": 1}, [(2, 3, 4)])],
    "ROIPooling": [({"pooled_h": 2, "pooled_w": 3, "spatial_scale": 4.0}, [(2, 3, 5, 4), (6, 5)])],
    "SPP": [({"pyramid_height": 2}, [(2, 3, 5, 4)]), ({"pyramid_height": 1, "pool": "mean"}, [(2, 3, 5, 4)])],
    "Unpooling": [({"kernel_size": (2,), "stride": (2,)}, [(2, 3, 2, 2)] * 2), ({}, [(2, 3, 2), (2, 3, 2), (2, 1, 5)])],
    "Upsample": [({}, [(2, 3, 3, 4)]), ({"scale": (3, 2), "mode": "bilinear"}, [(2, 3, 3, 4)])],
    "AbsVal": [({}, [(2, 3, 4)])],
    "BNLL": [({}, [(2, 3, 4)])],
    "BatchNorm": [({}, [(3, 2, 4, 3)]), ({}, [(6, 4)]), ({"affine": False, "use_global_stats": True}, [(2, 3, 4)])],
    "Bias": [({}, [(2, 3, 4)]), ({"axis": 0}, [(2, 3, 4), (2, 3)])],
    "Clip": [({"min": -0.5, "max": 0.7}, [(2, 3, 4)])],
    "ELU": [({}, [(2, 3, 4)]), ({"alpha": 0.3}, [(5,)])],
    "Erf": [({}, [(2, 3, 4)])],
    "ExactGELU": [({}, [(2, 3, 4)])],
    "Exp": [({}, [(2, 3, 4)]), ({"base": 2.0, "scale": 3.0, "shift": 1.0}, [(5,)])],
    "GELU": [({}, [(2, 3, 4)])],
    "GroupNorm": [({"groups": 2}, [(2, 4, 3, 2)]), ({"groups": 1, "affine": False}, [(3, 5)])],
    "HardSwish": [({}, [(2, 3, 4)])],
    "InstanceNorm": [({}, [(2, 3, 4, 2)]), ({"affine": False}, [(2, 3, 5)])],
    "LRN": [({}, [(2, 6, 3, 2)]), ({"norm_region": "within_channel", "local_size": 3}, [(2, 2, 5, 4)])],
    "LayerNorm": [({}, [(3, 5)]), ({"axis": 1, "affine": False}, [(2, 3, 4)])],
    "LocalContrastNorm": [({"kernel_size": 3}, [(2, 3, 5, 4)]), ({"operation": "subtractive"}, [(1, 2, 6, 5)]),
                          ({"operation": "divisive", "kernel_size": 5}, [(2, 2, 7)])],
    "Log": [({"shift": 4.0}, [(2, 3, 4)]), ({"base": 2.0, "scale": -0.5, "shift": 3.0}, [(5,)])],
    "LogSoftmax": [({}, [(3, 5)]), ({"axis": -1}, [(2, 3, 4)])],
    "MVN": [({}, [(2, 3, 4, 2)]), ({"across_channels": True}, [(3, 5)]), ({"normalize_variance": False}, [(2, 3, 4)])],
    "Maxout": [({}, [(2, 4, 3)]), ({"pieces": 3}, [(2, 6)])],
    "PReLU": [({}, [(2, 3, 4)]), ({"channel_shared": True}, [(4, 3)])],
    "Power": [({"power": 3.0}, [(2, 3, 4)]), ({"power": 2.0, "scale": 2.0, "shift": 1.0}, [(5,)]), ({"power": 0.0}, [(5,)])],
    "ReLU6": [({}, [(2, 3, 4)])],
    "Scale": [({"bias_term": True}, [(2, 3, 4)]), ({"axis": 0}, [(2, 3, 4), (2, 3)])],
    "SoftShrink": [({}, [(2, 3, 4)])],
    "Swish": [({}, [(2, 3, 4)]), ({"beta": 2.0}, [(5,)])],
    "Threshold": [({}, [(2, 3, 4)])],
    "ArgMax": [({}, [(3, 4)]), ({"top_k": 2, "axis": 1, "out_max_val": True}, [(2, 3, 4)])],
    "BatchReindex": [({}, [(2, 3), index(4)]), ({}, [(2, 2, 3), index(3)])],
    "Constant": [({"value": 0.5}, [(3, 2)]), ({"value": -1.0, "shape": (2, 3)}, [(4,)])],
    "DropConnect": [({"num_output": 4}, [(3, 5)]), ({"num_output": 2, "bias_term": False}, [(3, 2, 2)])],
    "DummyData": [({"shape": (2, 3)}, [(4,)]), ({"shape": (3,), "data_filler": FILLERS["gaussian"]()}, [(4, 2)])],
    "Filter": [({}, [(4, 3), index(4)]), ({}, [(4, 3), (4, 2, 2), index(4), (4,)])],
    "Gram": [({}, [(2, 3, 4)]), ({"normalize": False}, [(2, 3, 2, 2)])],
    "Input": [({"shape": (3, 4)}, [(2, 3, 4)])],
    "MatMul": [({}, [(2, 3, 4), (2, 4, 5)]), ({"transpose_a": True, "transpose_b": True}, [(2, 4, 3), (5, 4)])],
    "Multiplicative": [({"num_output": 3}, [(2, 4), (2, 5)]), ({"num_output": 2, "bias_term": False}, [(2, 2, 2), (2, 3)])],
    "Parameter": [({"shape": (2, 3)}, [(4, 5)]), ({"shape": (1,)}, [(3,)])],
    "Permute": [({"order": (0, 2, 1)}, [(2, 3, 4)]), ({"order": (1, 3, 0, 2)}, [(2, 3, 4, 5)])],
    "Python": [({"module": USERS, "layer": "Sine", "keys": {"rate": 2.0}}, [(3, 4)]),
               ({"module": USERS, "layer": "Both", "tops": 2}, [(3, 4), (3,)])],
    "Random": [({}, [(3, 4)]), ({"shape": (5,), "noise": FILLERS["uniform"]()}, [(3, 4)])],
    "Reduction": [({}, [(3, 4)]), ({"operation": "sumsq", "axis": 1, "coeff": 0.5}, [(2, 3, 4)])],
    "Reshape": [({"shape": (0, -1)}, [(2, 3, 4)]), ({"shape": (4, 3), "axis": 1, "num_axes": 2}, [(2, 3, 4, 2)])],
    "Silence": [({}, [(2, 3), (4,)])],
    "Slice": [({}, [(2, 4)]), ({"slice_point": (1, 3), "axis": 2}, [(2, 3, 4, 2)])],
    "Split": [({}, [(2, 3)]), ({"tops": 3}, [(4,)])],
    "Tile": [({"tiles": 3}, [(2, 3, 4)]), ({"tiles": 2, "axis": -1}, [(2, 3)])],
    "Embed": [({"num_output": 3, "input_dim": 4}, [index(2, 3)]), ({"num_output": 2, "input_dim": 2}, [index(5)])],
    "GRU": [({"num_output": 3}, [(2, 4, 3)]),
            ({"num_output": 2, "reset": "before"}, [(2, 3, 2), index(2, 3), (2, 4), (2, 2), index(2, 3)]),
            ({"num_output": 2, "num_layers": 2, "bidirectional": True}, [(2, 3, 2), index(2, 3), (2, 4), (2, 4, 2), index(2, 3)])],
    "GRUCell": [({"num_output": 3}, [(2, 4), (2, 3)]), ({"num_output": 3, "reset": "before"}, [(2, 2, 2), (2, 3)])],
    "LSTM": [({"num_output": 3}, [(2, 4, 3)]),
             ({"num_output": 2, "peepholes": True, "time_major": True}, [(3, 2, 2), index(3, 2)]),
             ({"num_output": 2, "num_layers": 2, "bidirectional": True},
              [(2, 3, 2), index(2, 3), (2, 4), (2, 4, 2), (2, 4, 2), index(2, 3)])],
    "LSTMCell": [({"num_output": 3}, [(2, 4), (2, 3), (2, 3)]), ({"num_output": 3, "peepholes": True}, [(2, 2, 2), *[(2, 3)] * 2])],
    "RNN": [({"num_output": 3}, [(2, 4, 3)]),
            ({"num_output": 2, "output_term": False}, [(2, 3, 2), index(2, 3), (2, 4), (2, 2), index(2, 3)]),
            ({"num_output": 2, "num_layers": 2, "bidirectional": True}, [(2, 3, 2), index(2, 3), (2, 4), (2, 4, 2), index(2, 3)])],
    "RNNCell": [({"num_output": 3}, [(2, 4), (2, 3)]), ({"num_output": 3, "activation": "relu"}, [(2, 2, 2), (2, 3)])],
}  # fmt: skip
ROWS = [pytest.param(LAYERS[name](**keys), shapes, id=f"{name}-{number}")
        for name in sorted(LAYERS) for number, (keys, shapes) in enumerate(BOTTOMS.get(name, ()))]  # fmt: skip


# --- every type ---
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_has_a_row_in_the_table_of_bottoms(name: str) -> None:
    assert BOTTOMS.get(name), f"add a row for '{name}' to BOTTOMS"


def test_the_table_names_no_layer_that_is_gone() -> None:
    assert set(BOTTOMS) <= set(LAYERS)


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_is_documented_with_its_formula_and_its_shapes(name: str) -> None:
    words = LAYERS[name].__doc__
    assert re.search(r"\by.* = ", words), "the docstring opens with the formula"
    for role in ("bottom", "top"):
        assert re.search(rf"^ *{role}s? ", words, re.MULTILINE), f"the docstring has a line for the {role}"


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_has_a_file_of_its_own_of_at_most_120_lines(name: str) -> None:
    file = ROOT / "layers" / f"{module(name)}.py"
    assert len(file.read_text().splitlines()) <= 120
    assert (ROOT / "tests" / "layers" / f"test_{module(name)}.py").is_file()
    assert module(name) in dltrain.layers.__all__


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_its_keys_explain_themselves(name: str) -> None:
    hints = get_type_hints(LAYERS[name])
    for field in fields(LAYERS[name]):
        told = is_plain(hints[field.name]) or re.search(rf"\b{field.name}", LAYERS[name].__doc__)
        assert told, f"the docstring does not say what {field.name} is"


def module(name: str) -> str:
    return str(LAYERS[name].__module__).rsplit(".", 1)[-1]


def is_plain(hint: Any) -> bool:
    """One word or number, or nothing."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return all(is_plain(part) for part in get_args(hint))
    return hint in (int, float, bool, str, type(None)) or get_origin(hint) is Literal


# --- every row ---
@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_writes_all_that_it_promises(layer: Layer, shapes: Any) -> None:
    check_shapes(layer, *shapes)


@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_its_gradient_is_the_slope(layer: Layer, shapes: Any) -> None:
    check_gradient(layer, *shapes)


@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_its_float32_agrees_with_its_float64(layer: Layer, shapes: Any) -> None:
    check_backend(layer, Reference(np.float32), *shapes)


@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_runs_in_the_test_phase(layer: Layer, shapes: Any) -> None:
    full = [Shape(shape, getattr(shape, "dtype", "float")) for shape in shapes]
    xs, params = samples(layer, full)
    trial = Trial(layer, full, train=False)
    tops, _, _ = trial.run(xs, [np.ones(shape) for shape in trial.promised], params)
    assert all(np.isfinite(top).all() for top in tops)
    assert {call.way for call in trial.graph.calls} <= {"forward"}


@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_adds_to_the_gradients_of_its_parameters(layer: Layer, shapes: Any) -> None:
    full = [Shape(shape, getattr(shape, "dtype", "float")) for shape in shapes]
    xs, params = samples(layer, full)
    trial = Trial(layer, full)
    _, _, once = trial.run(xs, [np.ones(shape) for shape in trial.promised], params)
    trial.program.run()
    for part in trial.store.segments.values():
        assert part.handle.grad is not None
        np.testing.assert_allclose(trial.memory.logical(part.handle.grad), 2 * once[part.role], rtol=1e-12, atol=1e-12)


class Single(np.ndarray[Any, Any]):
    """An array that takes no array of another float type."""

    def __setitem__(self, at: Any, value: Any) -> None:
        self.compare([value])
        super().__setitem__(at, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """In-place arithmetic (y += …) is held to the same."""
        for target in keywords.get("out", ()):
            Single.compare(target, inputs)
        keywords = {name: tuple(map(bare, value)) if name == "out" else value for name, value in keywords.items()}
        made = getattr(ufunc, method)(*map(bare, inputs), **keywords)
        return made.view(Single) if isinstance(made, np.ndarray) else made

    def compare(self, values: Any) -> None:
        for value in values:
            other = isinstance(value, np.ndarray) and value.ndim and value.dtype.kind == "f" and value.dtype != self.dtype
            assert not (other and self.dtype == np.float32), f"{value.dtype} is written to float32"


def bare(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Single) else value


class Strict(Reference):
    """The reference on arrays that notice a change of type."""

    def bind(self, call: Call, arrays: Any) -> Any:
        return super().bind(call, types.SimpleNamespace(logical=lambda tensor: arrays.logical(tensor).view(Single)))


@pytest.mark.parametrize(("layer", "shapes"), ROWS)
def test_float32_stays_float32_all_the_way(layer: Layer, shapes: Any) -> None:
    check_backend(layer, Strict(np.float32), *shapes)


# --- the house ---
@pytest.mark.parametrize("file", [pytest.param(file, id=f"{file.parent.name}/{file.name}") for folder in ("layers", "solvers")
                                  for file in sorted((ROOT / folder).glob("*.py"))])  # fmt: skip
def test_names_no_device_and_no_array_library(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {"numpy", "cupy", "numba", "torch", "scipy", "ctypes"}
    assert not re.search(r"\b(cupy|numba|numpy)\b", file.read_text())


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers_do_not_know_one_another(name: str) -> None:
    text = (ROOT / "layers" / f"{module(name)}.py").read_text()
    assert not re.search(r"dltrain\.(layers|solvers|data|net|graph|plan)\b", text)


# --- the exam catches what is wrong ---
@dataclass(kw_only=True)
class Twice(Elementwise):
    """y = 2 x, with a gradient that is a factor too large."""

    factor: float = 1.0

    @staticmethod
    def f(x: float) -> float:
        return 2 * x

    @staticmethod
    def df(dy: float, factor: float) -> float:
        return factor * 2 * dy


class Half(Layer):
    """Promises twice as many channels as it writes; `back` says whether its gradient is whole."""

    def __init__(self, forward_part: bool, backward_part: bool) -> None:
        self.forward_part, self.backward_part = forward_part, backward_part

    def setup(self, x: Shape) -> Shape:
        return Shape((x[0], 2 * x[1])) if self.forward_part else x

    def forward(self, x: Any, y: Any) -> None:
        self.ops.concat((x.data,), y.data, 1)

    def backward(self, x: Any, y: Any) -> None:
        if self.backward_part:
            part = self.buffer("part", (x.shape[0], 1))
            self.ops.cut(y.grad, part, 1, 0)
            self.ops.concat((part,), x.grad, 1)
        else:
            self.ops.cut(y.grad, x.grad, 1, 0)


class Lazy(LAYERS["InnerProduct"]):
    """Forgets the gradient of its parameters."""

    def backward(self, x: Any, y: Any) -> None:
        self.ops.inner_product_dx(self.weight.data, y.grad, x.grad)


class Silent(LAYERS["TanH"]):
    """Forgets the gradient of its bottom."""

    def backward(self, x: Any, y: Any) -> None: ...


def test_the_exam_lets_a_right_layer_pass() -> None:
    check_layer(Twice(), (3, 4))


@pytest.mark.parametrize("factor", [0.5, 1.001, -1.0, 0.0, float("nan")])
def test_the_exam_catches_a_gradient_that_is_off_by_a_factor(factor: float) -> None:
    with pytest.raises(CheckFailed, match=r"the gradient by bottom 0 is .* along a direction where the slope is"):
        check_layer(Twice(factor=factor), (3, 4))


@pytest.mark.parametrize("parts", [(True, False), (False, True)])
def test_the_exam_catches_what_is_left_unwritten(parts: tuple[bool, bool]) -> None:
    check_shapes(Half(False, False), (2, 3))
    with pytest.raises(CheckFailed, match="leaves part of a top or a gradient unwritten"):
        check_shapes(Half(*parts), (2, 3))


def test_the_exam_catches_a_forgotten_parameter() -> None:
    with pytest.raises(CheckFailed, match="the gradient by weight is 0 along a direction"):
        check_layer(Lazy(num_output=2), (3, 4))


def test_the_exam_catches_a_forgotten_bottom() -> None:
    with pytest.raises(CheckFailed, match=r"dx0.* before it is written"):
        check_layer(Silent(), (3, 4))


def test_the_exam_catches_a_back_end_that_differs() -> None:
    with pytest.raises(CheckFailed, match=r"reference differs from the reference by .* in top 0"):
        check_backend(LAYERS["TanH"](), Reference(np.float16), (3, 4))


def test_the_exam_catches_a_change_of_type() -> None:
    single, double = np.zeros(2, np.float32).view(Single), np.zeros(2)
    single[...] = single * 2 + np.float32(1)
    for write in (lambda: single.__iadd__(double), lambda: single.__setitem__(..., double * single)):
        with pytest.raises(AssertionError, match="float64 is written to float32"):
            write()


def test_the_samples_of_the_exam_never_tie() -> None:
    xs, _ = samples(LAYERS["Eltwise"](), [Shape((5, 7)), Shape((5, 7)), Shape((5, 7))])
    assert len(np.unique(np.stack(xs))) == 3 * 35


def test_the_wrong_layers_of_this_file_are_in_no_registry() -> None:
    assert all(cls.__module__.startswith("dltrain.layers.") for cls in LAYERS.values())
