"""Small nets at random, and SqueezeNet as it is published: imported, they give what onnxruntime gives."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="onnx is not there: pip install onnx")
pytest.importorskip("onnxruntime", reason="onnxruntime is not there: pip install onnxruntime")

from onnx import TensorProto, numpy_helper  # noqa: E402

from dltrain.translate.onnx_import import imported  # noqa: E402
from tests.translate.onnx_runs import agree, model, node, ours, theirs  # noqa: E402

RNG = np.random.default_rng(7)
DATA = Path(__file__).parents[3] / "shared" / "data"


def w(*sizes: int) -> Any:
    return RNG.standard_normal(sizes).astype(np.float32)


# --- small nets at random ---
SIZES = st.integers(1, 3)
STEP = st.one_of(
    st.tuples(st.just("Conv"), SIZES, SIZES, st.integers(0, 2), st.integers(0, 2), st.integers(1, 2)),
    st.tuples(
        st.just("Pool"), st.sampled_from(["MaxPool", "AveragePool"]), SIZES, st.integers(0, 1), st.booleans(), st.booleans()
    ),
    st.tuples(st.sampled_from(["Relu", "Tanh", "Softmax", "Bias", "Scale", "Norm"])),
)


def grown(steps: list[Any], sizes: list[int]) -> tuple[list[Any], dict[str, Any], list[int]]:
    """Nodes for the steps that fit, their weights, and the sizes that come of them."""
    nodes: list[Any] = []
    held: dict[str, Any] = {}
    channels, image = sizes[0], list(sizes[1:])
    for number, step in enumerate(steps):
        x, y = f"b{len(nodes)}", f"b{len(nodes) + 1}"
        if step[0] == "Conv":
            _, k, stride, before, after, dilation = step
            made = [(n + before + after - dilation * (k - 1) - 1) // stride + 1 for n in image]
            if min(made) < 1 or any(n + before + after < dilation * (k - 1) + 1 for n in image):
                continue
            held |= {f"w{number}": w(channels + 1, channels, k, k), f"v{number}": w(channels + 1)}
            nodes.append(node("Conv", f"{x} w{number} v{number}", y, strides=[stride] * 2, dilations=[dilation] * 2,
                              pads=[before, before, after, after]))  # fmt: skip
            channels, image = channels + 1, made
        elif step[0] == "Pool":
            _, op, k, pad, ceil, include = step
            if pad >= k or min(image) + 2 * pad < k:
                continue
            more = {"count_include_pad": int(include)} if op == "AveragePool" else {}
            nodes.append(
                node(op, x, y, kernel_shape=[k, k], strides=[2, 2], pads=[pad] * 4, ceil_mode=int(ceil and not include), **more)
            )
            made = [-(-(n + 2 * pad - k) // 2) + 1 if ceil and not include else (n + 2 * pad - k) // 2 + 1 for n in image]
            image = [m - (ceil and not include and (m - 1) * 2 >= n + pad) for m, n in zip(made, image)]
        elif step[0] in ("Bias", "Scale"):
            held[f"w{number}"] = w(channels, 1, 1) if step[0] == "Bias" else w(1, image[0], image[1])
            nodes.append(node({"Bias": "Sub", "Scale": "Mul"}[step[0]], f"{x} w{number}", y))
        elif step[0] == "Norm":
            held |= {f"{role}{number}": np.abs(w(channels)) + 0.1 for role in "smv"}
            nodes.append(node("BatchNormalization", f"{x} s{number} m{number} m{number} v{number}", y))
        else:
            nodes.append(node(step[0], x, y, **({"axis": 1} if step[0] == "Softmax" else {})))
    return nodes, held, [channels, *image]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=1, max_size=5), st.tuples(SIZES, st.integers(4, 9), st.integers(4, 9)))
def test_any_small_net_agrees(tmp_path: Path, steps: list[Any], sizes: tuple[int, int, int]) -> None:
    nodes, held, made = grown(steps, list(sizes))
    if prod(made) < 1 or not nodes:
        return
    agree(model(nodes, {"b0": ("batch", *sizes)}, [f"b{len(nodes)}"], **held), tmp_path)


# --- SqueezeNet v1.1 ---
def wide(made: Any) -> Any:
    """The same net with its 16-bit numbers as float32, for onnxruntime to compute as we do."""
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*made.graph.input, *made.graph.output, *made.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return made


def test_squeezenet_says_of_photographs_what_onnxruntime_says(tmp_path: Path) -> None:
    file = DATA / "squeezenet_onnx" / "SqueezeNet_fp16.onnx"
    pictures = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install pillow")
    photos = sorted((DATA / "hymenoptera" / "test").glob("*/*.jpg"))[::13]
    if not file.is_file() or not photos:
        pytest.skip("needs ../shared/data/squeezenet_onnx and hymenoptera, which are not here")
    draft = imported(file).draft
    assert sum(array.size for name, array in draft.weights.items() if name.startswith("data/")) == 1_235_496
    onnx.save(wide(onnx.load(file)), tmp_path / "wide.onnx")
    for photo in photos:
        picture = np.asarray(pictures.open(photo).convert("RGB").resize((256, 256)), np.float32)[16:240, 16:240]
        x = (picture.transpose(2, 0, 1)[::-1] - np.array([104, 117, 123], np.float32).reshape(3, 1, 1))[None].astype(np.float32)
        found, expected = ours(file, {"data_0": x}, "cpu"), theirs(tmp_path / "wide.onnx", {"data_0": x})
        np.testing.assert_allclose(found["softmaxout_1"], expected["softmaxout_1"], rtol=1e-5, atol=1e-5)
