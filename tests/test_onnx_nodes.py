"""Layers against the ONNX standard: what its node tests, and the small models beside them, say each operator computes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import tests.onnx_layers
import tests.onnx_nodes  # noqa: F401  (these two fill NODES)
from dltrain.errors import Refusal
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from tests.onnx_bench import NODES, Bench, Differs

try:
    import onnx
except ModuleNotFoundError:
    onnx = None

STANDARD = "1.23"  # the onnx that the tables below are of
TOLERANCE = 1e-5  # of each number, and a tenth of it of the largest; the standard itself asks for 1e-3
ROUNDED = {"averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}  # its numbers are written with four digits
HALVES = {"float16": 1e-3, "bfloat16": 8e-3}
BACKENDS = {"reference": lambda: Reference(np.float32), "float64": lambda: Reference(np.float64), "cpu": lambda: Cpu(2)}

# Why a case of an operator that we have is not ours: reason -> cases
OTHERWISE = {
    "the mean counts padding, as Caffe's": """averagepool_2d_precomputed_pads averagepool_2d_precomputed_same_upper
        averagepool_2d_same_upper averagepool_2d_same_lower averagepool_2d_pads""",
    "a window of Pooling has no gaps: there is no dilation": """averagepool_2d_dilations averagepool_3d_dilations_small
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False lppool_2d_dilations maxpool_2d_dilations
        maxpool_3d_dilations maxpool_3d_dilations_use_ref_impl maxpool_3d_dilations_use_ref_impl_large
        MaxPool1d_stride_padding_dilation MaxPool2d_stride_padding_dilation""",
    "Pooling pads as much behind as before, and a Pad before it puts 0 where a maximum wants nothing": """maxpool_2d_same_upper
        maxpool_2d_same_lower""",
    "without padding Caffe keeps a last window that starts beyond the edge": "maxpool_2d_ceil_output_size_reduce_by_one",
    "among equals the larger place comes first, as in Caffe": """argmax_no_keepdims_example argmax_keepdims_example
        argmax_negative_axis_keepdims_example top_k_same_values top_k_same_values_largest top_k_same_values_2d""",
    "a blob of real numbers divides without rounding": """div_int8 div_int16 div_int32_trunc div_uint8 div_uint16 div_uint32
        div_uint64""",
    "Eltwise takes two bottoms or more": "max_one_input mean_one_input min_one_input sum_one_input",
    "Clip wants min below max": "clip_min_greater_than_max",
    "Power has one exponent": """pow_example pow pow_bcast_array pow_types_float32_int64 pow_types_int64_float32
        pow_types_float32_int32 pow_types_int32_float32 pow_types_float32_uint64 pow_types_float32_uint32 pow_types_int64_int64
        pow_types_int32_int32 operator_pow""",
    "MatMul repeats matrices, not stacks of them": "matmul_bcast",
    "the mask is drawn by another generator": """training_dropout_default training_dropout_default_mask training_dropout
        training_dropout_mask""",
    "a dropout_ratio of 0 is refused": "training_dropout_zero_ratio training_dropout_zero_ratio_mask",
    "an index counts from the front": "gather_negative_indices onehot_negative_indices onehot_out_of_range_indices",
    "a loss is one number": """nllloss_NC nllloss_NCd1d2 nllloss_NCd1d2_with_weight nllloss_NCd1d2d3d4d5_none_no_weight
        nllloss_NCd1d2d3_none_no_weight_negative_ii sce_none sce_none_log_prob sce_none_weights sce_none_weights_log_prob
        sce_NCd1d2d3d4d5_none_no_weight sce_NCd1d2d3d4d5_none_no_weight_log_prob sce_NCd1d2d3_none_no_weight_negative_ii
        sce_NCd1d2d3_none_no_weight_negative_ii_log_prob""",
    "Pad has no mode wrap": "wrap_pad",
    "nothing is reduced": "reduce_sum_empty_axes_input_noop_example reduce_sum_empty_axes_input_noop",
    "a blob has at least one number": """constantofshape_int_shape_zero reduce_max_empty_set reduce_max_empty_set_bool
        reduce_min_empty_set reduce_sum_empty_set_non_reduced_axis_zero reshape_allowzero_reordered slice_start_out_of_bounds
        split_zero_size_splits_opset13 split_zero_size_splits_opset18""",
    "a list is no blob": "identity_sequence identity_opt",
    "Slice takes neighbours: there are no steps": "slice_neg_steps",
    "Upsample multiplies sizes by whole numbers": """resize_downsample_scales_nearest resize_upsample_sizes_nearest
        resize_downsample_sizes_nearest resize_downsample_scales_linear resize_downsample_scales_linear_align_corners
        resize_downsample_scales_cubic resize_downsample_scales_cubic_align_corners resize_upsample_sizes_cubic
        resize_downsample_sizes_cubic resize_downsample_scales_cubic_A_n0p5_exclude_outside resize_tf_crop_and_resize
        resize_tf_crop_and_resize_extrapolation_value resize_downsample_sizes_linear_pytorch_half_pixel
        resize_downsample_scales_linear_antialias resize_downsample_sizes_linear_antialias resize_downsample_scales_cubic_antialias
        resize_downsample_sizes_cubic_antialias resize_upsample_sizes_nearest_axes_2_3 resize_upsample_sizes_nearest_axes_3_2
        resize_tf_crop_and_resize_axes_2_3 resize_tf_crop_and_resize_axes_3_2 resize_upsample_sizes_nearest_not_larger
        resize_downsample_sizes_nearest_not_larger resize_downsample_sizes_nearest_not_smaller
        resize_downsample_scales_linear_half_pixel_symmetric resize_upsample_scales_linear_half_pixel_symmetric""",
    "Upsample has no cubic mode": """resize_upsample_scales_cubic resize_upsample_scales_cubic_align_corners
        resize_upsample_scales_cubic_A_n0p5_exclude_outside resize_upsample_scales_cubic_asymmetric""",
    "in Upsample the corners of both images coincide": """resize_upsample_scales_linear_align_corners
        resize_upsample_sizes_nearest_floor_align_corners resize_upsample_sizes_nearest_round_prefer_ceil_asymmetric
        resize_upsample_sizes_nearest_ceil_half_pixel""",
    "its numbers were never set, and no float32 holds them": """operator_add_broadcast operator_add_size1_broadcast
        operator_add_size1_singleton_broadcast operator_add_size1_right_broadcast operator_addconstant""",
}  # fmt: skip

# Why an operator has no counterpart: reason -> operators
LEFT_OUT = {
    "no layer has this formula": """Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh CumProd CumSum Det Einsum Floor Hardmax
        LpNormalization Mod RMSNormalization ReduceProd Round Sign Sin Sinh Tan Trilu""",
    "attention, and what goes with it": "Attention CausalConvWithState FlexAttention LinearAttention RotaryEmbedding",
    "yes and no, and bits: no layer gives them": """And BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Equal Greater
        GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor""",
    "a blob has real numbers or indices, of one type": """Cast CastLike ConvInteger DequantizeLinear DynamicQuantizeLinear
        MatMulInteger QLinearConv QLinearMatMul QuantizeLinear""",
    "drawn at random, by another generator": """Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform
        RandomUniformLike""",
    "no layer reads between places, or chooses boxes": "AffineGrid DeformConv GridSample NonMaxSuppression RoiAlign",
    "no layer moves numbers so, or only several together": """CenterCropPad Col2Im DepthToSpace GatherElements GatherND
        ReverseSequence Scatter ScatterElements ScatterND SpaceToDepth TensorScatter Unique""",
    "sizes and places as numbers: shapes are known before a run": "EyeLike NonZero Range Shape Size",
    "programs, lists and what may be missing: a net is a graph of blobs": """ConcatFromSequence If Loop Optional
        OptionalGetElement OptionalHasElement Scan SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
        SequenceLength SequenceMap SplitToSequence""",
    "texts, files and sound, before a net": """BlackmanWindow DFT HammingWindow HannWindow ImageDecoder MelWeightMatrix
        RegexFullMatch STFT StringConcat StringNormalizer StringSplit TfIdfVectorizer""",
    "learning, and models that are no nets": """Adagrad Adam ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer
        FeatureVectorizer Gradient Imputer LabelEncoder LinearClassifier LinearRegressor Momentum Normalizer OneHotEncoder
        SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap""",
    "a layer we have, but no test of theirs": "GlobalLpPool MaxRoiPool",
}  # fmt: skip
WHY = {name: reason for reason, names in OTHERWISE.items() for name in names.split()}


class Case:
    """A graph of theirs, mostly of one node, with inputs and outputs."""

    def __init__(self, case: Any) -> None:
        self.name = case.name.removeprefix("test_")
        self.folder = case.model_dir and Path(case.model_dir)
        self.model = onnx.load(self.folder / "model.onnx") if self.folder else case.model
        self.ours = {node.op_type for node in self.model.graph.node} <= set(NODES)
        self.opset = max((said.version for said in self.model.opset_import if not said.domain), default=0)
        self.data = case.data_sets

    def arrays(self, what: int) -> list[Any]:
        """The inputs (0) or the outputs (1)."""
        if not self.folder:
            return list(self.data[0][what])
        pattern = ("input_{}.pb", "output_{}.pb")[what]
        files = [self.folder / "test_data_set_0" / pattern.format(number) for number in range(99)]
        return [onnx.numpy_helper.to_array(onnx.load_tensor(file)) for file in files if file.exists()]

    def attributes(self, node: Any) -> dict[str, Any]:
        at = {given.name: onnx.helper.get_attribute_value(given) for given in node.attribute}
        for name, value in at.items():
            if isinstance(value, bytes):
                at[name] = value.decode()
            elif isinstance(value, onnx.TensorProto):
                at[name] = onnx.numpy_helper.to_array(value)
        return at | {"op": node.op_type, "outputs": len(node.output), "opset": self.opset}

    def run(self, bench: Bench) -> list[Any]:
        graph = self.model.graph
        values = {given.name: onnx.numpy_helper.to_array(given) for given in graph.initializer}
        values |= dict(zip([given.name for given in graph.input if given.name not in values], self.arrays(0), strict=True))
        if any(isinstance(value, list) for value in values.values()):
            raise Differs("a list is no blob")
        values = {name: np.asarray(value, np.float64) for name, value in values.items()}
        for node in graph.node:
            made = NODES[node.op_type](bench, self.attributes(node), *(values[name] if name else None for name in node.input))
            values |= dict(zip(node.output, made if isinstance(made, (list, tuple)) else [made]))
        return [values[given.name] for given in graph.output]

    def compare(self, bench: Bench) -> None:
        """The first output, and of the others those that we have."""
        found, expected = self.run(bench), self.arrays(1)
        assert len(found) == len(expected) and found[0] is not None
        for ours, theirs in zip(found, expected):
            if ours is not None:
                tolerance = ROUNDED.get(self.name, HALVES.get(str(theirs.dtype), TOLERANCE))
                theirs = np.asarray(theirs, np.float64)
                assert [n for n in ours.shape if n != 1] == [n for n in theirs.shape if n != 1]
                largest = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
                np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=tolerance, atol=tolerance / 10 * largest)


def standard() -> dict[str, Case]:
    """The cases of operators that we have, but those that spell an operator out in others, which hold the same numbers."""
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they divide by 0 and cast what does not fit, on purpose
        given = [case for case in collect_testcases(None) if "_expanded" not in case.name]
        given += [case for kind in ("pytorch-converted", "pytorch-operator", "simple") for case in load_model_tests(kind=kind)]
    return {case.name: case for case in map(Case, given) if case.ours}


CASES = standard() if onnx else {}
same = onnx is not None and onnx.__version__.startswith(f"{STANDARD}.")
of_this_version = pytest.mark.skipif(not same, reason=f"the tables are of onnx {STANDARD}: pip install onnx=={STANDARD}.*")


def named(names: Iterator[str]) -> list[Any]:
    return list(names) or [pytest.param(None, marks=pytest.mark.skip(reason="onnx is not there: pip install onnx"))]


@pytest.fixture(scope="module", params=BACKENDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    backend = BACKENDS[request.param]()
    yield Bench(backend)
    backend.close()


@pytest.mark.parametrize("name", named(name for name in CASES if name not in WHY))
def test_a_layer_computes_what_the_standard_says(name: str, bench: Bench) -> None:
    try:
        CASES[name].compare(bench)
    except (Differs, Refusal) as reason:
        if same:
            raise
        pytest.skip(f"not of onnx {STANDARD}: {reason}")


@of_this_version
@pytest.mark.parametrize("first", [False, True], ids=["", "first"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    "kind, more",
    [("RNN", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("LSTM", {})],
    ids=["RNN", "GRU", "GRUv", "LSTM"],
)
def test_a_recurrent_layer_computes_what_their_reference_does(
    kind: str, more: dict[str, int], direction: str, first: bool, bench: Bench
) -> None:
    """With weights of random numbers: in the cases of the standard those of all gates are equal."""
    from onnx.reference import ReferenceEvaluator

    rng, ways, rows, h = np.random.default_rng(0), 1 + (direction == "bidirectional"), {"RNN": 1, "GRU": 3, "LSTM": 4}[kind], 3
    shapes = {"X": (5, 2, 4), "W": (ways, rows * h, 4), "R": (ways, rows * h, h), "B": (ways, 2 * rows * h)}
    shapes |= dict.fromkeys(("h0", "c0")[: first * (1 + (kind == "LSTM"))], (ways, 2, h))
    shapes |= {"P": (ways, 3 * h)} if kind == "LSTM" else {}
    values = {role: rng.standard_normal(shape).astype(np.float32) for role, shape in shapes.items()}
    order = ["X", "W", "R", "B", "", "h0", "c0", "P"][: 6 if kind != "LSTM" else 8]
    names, tops = [role if role in shapes else "" for role in order], ["Y", "Y_h", "Y_c"][: 2 + (kind == "LSTM")]
    node = onnx.helper.make_node(kind, names, tops, hidden_size=h, direction=direction, **more)
    expected = ReferenceEvaluator(node).run(None, values)
    at = {"op": kind, "hidden_size": h, "direction": direction, **more}
    for ours, theirs in zip(NODES[kind](bench, at, *(values.get(role) for role in names)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


@of_this_version
@pytest.mark.parametrize("name", named(name for name in CASES if name in WHY))
def test_what_is_otherwise_is_so_for_a_reason(name: str) -> None:
    with pytest.raises((Differs, Refusal, ValidationError, AssertionError, ValueError, RuntimeWarning)):
        CASES[name].compare(Bench(Reference(np.float32)))
    pytest.skip(WHY[name])


@of_this_version
def test_every_case_that_is_otherwise_is_one_of_the_standard() -> None:
    assert set(WHY) <= set(CASES)
    assert sum(len(names.split()) for names in OTHERWISE.values()) == len(WHY), "a case has two reasons"


@of_this_version
def test_every_operator_is_ours_or_left_out_for_a_reason() -> None:
    left = [name for names in LEFT_OUT.values() for name in names.split()]
    assert len(left) == len(set(left)), "an operator has two reasons"
    assert not set(left) & set(NODES)
    assert {schema.name for schema in onnx.defs.get_all_schemas()} == set(left) | set(NODES)


@of_this_version
def test_every_operator_that_is_ours_has_a_case_that_agrees() -> None:
    tried = {node.op_type for name, case in CASES.items() if name not in WHY for node in case.model.graph.node}
    assert tried == set(NODES)
