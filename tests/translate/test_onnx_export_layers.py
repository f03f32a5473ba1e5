"""Every layer as nodes of ONNX: onnxruntime gives the numbers that we give, or the layer is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain.errors import ConfigError, Refusal
from dltrain.layer import Layer, Shape
from dltrain.registry import LAYERS
from dltrain.testing import samples
from dltrain.translate.to_onnx_sheet import Fixed
from tests.test_catalogue import BOTTOMS
from tests.translate.onnx_pairs import Alone, kinds, run

pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

TOLERANCE = 1e-5
SAYABLE = [name for name in sorted(LAYERS) if LAYERS[name].kind == "layer" and not LAYERS[name].topless]
ELSEWHERE = ("Filter", "ROIPooling")  # tests of their own below: samples by chance, regions out of nothing
OWN_OPS = [("Python", 0)]  # its arithmetic is in the user's file
DRAWN = [("DummyData", 1), ("Random", 1)]  # for one batch size only
ROWS = [pytest.param(name, row, id=f"{name}-{row}") for name in SAYABLE if name not in ELSEWHERE for row in range(len(BOTTOMS[name]))
        if (name, row) not in OWN_OPS]  # fmt: skip


def given_of(name: str, row: int) -> tuple[Layer, list[Shape]]:
    keys, shapes = BOTTOMS[name][row]
    return LAYERS[name](**keys), [Shape(shape, getattr(shape, "dtype", "float")) for shape in shapes]


def differs(
    layer: Layer, shapes: list[Shape], xs: Any, params: Any, other: list[Shape] | None = None, opset: int = 17
) -> list[str]:
    """Holds the tops against onnxruntime's; returns the kinds of nodes."""
    alone = Alone(layer, shapes)
    model = alone.model(alone if other is None else Alone(layer, other), params, opset)
    ours, _, _ = alone.run(xs, [np.zeros(shape) for shape in alone.promised], params)
    theirs = run(model, {f"x{number}": x for number, x in enumerate(xs)})
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
    return kinds(model)


# --- every row of the catalogue's exam ---
@pytest.mark.parametrize(("name", "row"), ROWS)
def test_onnxruntime_gives_the_same_numbers(name: str, row: int) -> None:
    layer, shapes = given_of(name, row)
    differs(layer, shapes, *samples(layer, shapes))


@pytest.mark.parametrize(("name", "row"), [row for row in ROWS if tuple(row.values) not in DRAWN])
def test_the_number_of_samples_is_free(name: str, row: int) -> None:
    """The model is made from graphs of N and N + 1 samples, and run with N + 2."""
    layer, shapes = given_of(name, row)
    axis = int(getattr(layer, "time_major", False))
    if len({shape[axis] for shape in shapes}) > 1:
        pytest.skip("its bottoms need not have as many samples")
    sizes = [[Shape([n + more if at == axis else n for at, n in enumerate(shape)], shape.dtype) for shape in shapes]
             for more in range(3)]  # fmt: skip
    try:
        one, two = Alone(layer, sizes[0]), Alone(layer, sizes[1])
    except Refusal:
        pytest.skip("its keys set the number of samples")
    xs, params = samples(layer, sizes[2])
    model = one.model(two, params)
    three = Alone(layer, sizes[2])
    ours, _, _ = three.run(xs, [np.zeros(shape) for shape in three.promised], params)
    theirs = run(model, {f"x{number}": x for number, x in enumerate(xs)})
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("opset", [18, 20, 21])
@pytest.mark.parametrize(
    "name",
    ["BatchNorm", "ExactGELU", "GELU", "GroupNorm", "LRN", "LayerNorm", "MVN", "Maxout", "Pooling", "Reduction", "SPP", "Slice"],
)
def test_later_operators_say_the_same(name: str, opset: int) -> None:
    for row in range(len(BOTTOMS[name])):
        layer, shapes = given_of(name, row)
        used = differs(layer, shapes, *samples(layer, shapes), opset=opset)
        assert ("Gelu" in used) == ("GELU" in name and opset >= 20)


@pytest.mark.parametrize(("name", "row"), DRAWN)
def test_what_is_drawn_cannot_be_drawn_for_any_number_of_samples(name: str, row: int) -> None:
    layer, shapes = given_of(name, row)
    more = [Shape((shape[0] + 1, *shape[1:])) for shape in shapes]
    with pytest.raises(Fixed, match="what y0 draws"):
        Alone(layer, shapes).model(Alone(layer, more), {})


def test_a_layer_with_arithmetic_of_its_own_is_refused_by_name() -> None:
    layer, shapes = given_of(*OWN_OPS[0])
    alone = Alone(layer, shapes)
    with pytest.raises(
        ConfigError, match=r"layer 'it' \(Python\): nothing in ONNX does what users_sine does; export what is before"
    ):
        alone.model(alone, {})


# --- the edges of windows ---
WINDOWS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(1, 9)).filter(
    lambda w: w[2] < w[0] and w[0] <= w[3] + 2 * w[2]
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["max", "mean", "sum", "lp", "stochastic"]), st.sampled_from(["ceil", "floor"]), WINDOWS, WINDOWS)
def test_pooling_hangs_over_as_in_caffe(pool: str, rounding: str, rows: Any, columns: Any) -> None:
    kernel, stride, pad, size = zip(rows, columns)
    layer = LAYERS["Pooling"](pool=pool, kernel_size=kernel, stride=stride, pad=pad, round=rounding)
    shapes = [Shape((2, 2, *size))]
    try:
        used = differs(layer, shapes, *samples(layer, shapes))
    except ConfigError as refusal:
        assert "a window beside the image has no winner" in str(refusal)
        return
    assert {"Loop", "If"}.isdisjoint(used)


def pooled(x: Any, used: list[str], **keys: Any) -> Any:
    layer = LAYERS["Pooling"](**keys)
    alone = Alone(layer, [Shape(x.shape)])
    model = alone.model(alone, {})
    assert kinds(model) == used
    return run(model, {"x0": x})[0]


def test_the_mean_divides_by_what_caffe_divides_by() -> None:
    """Of 3 x 3 twos, padded by 1: 4 of 9, 6 of 9, all 9; an overhang does not count, nor does a window beside the image."""
    twos = np.full((1, 1, 3, 3), 2.0)
    padded = pooled(twos, ["AveragePool"], pool="mean", kernel_size=(3,), pad=(1,))
    np.testing.assert_allclose(padded[0, 0], [[8 / 9, 4 / 3, 8 / 9], [4 / 3, 2, 4 / 3], [8 / 9, 4 / 3, 8 / 9]], rtol=1e-6)
    line = np.array([[[1.0, 2, 3, 4, 5, 6]]])
    assert pooled(line, ["AveragePool"], pool="mean", kernel_size=(3,), stride=(2,)).tolist() == [[[2, 4, 5.5]]]
    hanging = pooled(line, ["Pad", "AveragePool"], pool="mean", kernel_size=(4,), stride=(3,), pad=(1,))
    np.testing.assert_allclose(hanging, [[[6 / 4, 18 / 4, 6 / 2]]], rtol=1e-6)
    assert pooled(line, ["AveragePool", "Pad"], pool="mean", kernel_size=(1,), stride=(3,), round="ceil").tolist() == [
        [[1, 4, 0]]
    ]


def test_a_maximum_beside_the_image_is_the_lowest_number() -> None:
    low = float(np.finfo(np.float32).min)
    layer = LAYERS["Pooling"](kernel_size=(1,), stride=(3,))
    alone = Alone(layer, [Shape((1, 1, 6))])
    calls = alone.graph.calls
    del calls[1], alone.tops[1], alone.graph.blobs["y1"]  # nobody asks for the mask
    made = alone.model(alone, {})
    assert run(made, {"x0": np.arange(6.0).reshape(1, 1, 6)})[0].tolist() == [[[0, 3, low]]]


# --- words that have a test of their own ---
def test_regions_are_pooled_as_ours() -> None:
    rng = np.random.default_rng(0)
    layer, shapes = LAYERS["ROIPooling"](pooled_h=3, pooled_w=2, spatial_scale=0.25), [Shape((2, 3, 9, 11)), Shape((30, 5))]
    corners = rng.integers(0, 40, (30, 2))
    rois = np.concatenate([rng.integers(0, 2, (30, 1)), corners, corners + rng.integers(0, 20, (30, 2))], axis=1).astype(float)
    assert differs(layer, shapes, [rng.standard_normal(shapes[0]), rois], {}) == ["MaxRoiPool"]


def test_a_bottom_of_integers_is_int64_and_a_place_too() -> None:
    layer, shapes = given_of("Embed", 0)
    _, params = samples(layer, shapes)
    alone = Alone(layer, shapes)
    model = alone.model(alone, params)
    assert model.graph.input[0].type.tensor_type.elem_type == 7 and model.graph.output[0].type.tensor_type.elem_type == 1
    layer, shapes = given_of("ArgMax", 0)
    alone = Alone(layer, shapes)
    assert alone.model(alone, {}).graph.output[0].type.tensor_type.elem_type == 7


@pytest.mark.parametrize("keys", [{}, {"top_k": 3}, {"axis": 1}, {"axis": 1, "top_k": 2}, {"axis": -1, "top_k": 3, "out_max_val": True},
                                  {"out_max_val": True, "top_k": 2}])  # fmt: skip
def test_among_equals_the_larger_place_comes_first(keys: dict[str, Any]) -> None:
    x = np.random.default_rng(1).integers(0, 3, (4, 3, 5)).astype(float)
    differs(LAYERS["ArgMax"](**keys), [Shape(x.shape)], [x], {})


def test_places_that_several_windows_won_add_up_and_wrong_ones_give_nothing() -> None:
    x, mask = np.array([[[1.0, 2, 4, 8]]]), np.array([[[2.0, 2, -1, 9]]])
    layer = LAYERS["Unpooling"](kernel_size=(2,))
    assert "ScatterElements" in differs(layer, [Shape(x.shape), Shape(x.shape)], [x, mask], {})


def test_a_deconvolution_has_its_bias_inside_and_a_transposed_product_too() -> None:
    layer, shapes = given_of("Deconvolution", 0)
    assert differs(layer, shapes, *samples(layer, shapes)) == ["ConvTranspose"]
    layer, shapes = LAYERS["InnerProduct"](num_output=3, transpose=True), [Shape((2, 4))]
    assert differs(layer, shapes, *samples(layer, shapes)) == ["Gemm"]


def test_statistics_over_the_batch_are_computed_in_the_run() -> None:
    layer, shapes = LAYERS["BatchNorm"](use_global_stats=False), [Shape((3, 2, 4, 3))]
    used = differs(layer, shapes, *samples(layer, shapes))
    assert used.count("ReduceMean") == 2 and used[-1] == "BatchNormalization"


FORMULAS = [("ReLU", {}, "Relu"), ("ReLU", {"negative_slope": 0.1}, "LeakyRelu"), ("ELU", {"alpha": 0.5}, "Elu"), ("Sigmoid", {}, "Sigmoid"),
            ("TanH", {}, "Tanh"), ("AbsVal", {}, "Abs"), ("BNLL", {}, "Softplus"), ("HardSwish", {}, "HardSwish"), ("SoftShrink", {}, "Shrink"),
            ("ReLU6", {}, "Clip"), ("Clip", {"min": -1.0, "max": 0.5}, "Clip"), ("Exp", {}, "Exp"), ("Log", {"shift": 20.0}, "Add Log"),
            ("Swish", {}, "Sigmoid Mul"), ("Power", {}, "Identity"), ("Power", {"power": 0.5, "shift": 20.0}, "Add Pow"),
            ("Threshold", {}, "Greater Where"), ("GELU", {}, "Mul Mul Mul Add Mul Mul Tanh Add Mul"),
            ("Erf", {}, "Erf"), ("ExactGELU", {}, "Mul Erf Add Mul Mul")]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "used"), FORMULAS)
def test_an_activation_is_its_operator_or_its_formula(name: str, keys: dict[str, Any], used: str) -> None:
    x = np.linspace(-8, 8, 66).reshape(2, 33)
    assert " ".join(differs(LAYERS[name](**keys), [Shape(x.shape)], [x], {})) == used
