"""Every layer of the catalogue in bf16 and fp16 on the GPU's kernels, run on the CPU: near what the reference says, in two bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dltrain.engine import Engine
from dltrain.layer import Layer
from dltrain.net import Net
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.array import BF16, narrowed, widened
from dltrain.ops.cuda.emulator import Emulator
from dltrain.ops.signature import Call
from dltrain.plan import Plan
from dltrain.plan.hazards import hazards
from dltrain.registry import LAYERS
from dltrain.sketch import sketch
from dltrain.tensor import Shape, Tensor
from dltrain.wiring import Line
from tests import zoo
from tests.ops.test_cuda_layers import EXAM

FLOWS = {"x", "y", "dx", "dy"}  # arguments that are blobs and their gradients, in most ops
EXACT = {  # other arguments that stay float, and why
    "loss": "what a loss gives", "z": "the sum of its weights", "prob": "its gradient is prob - 1 at best: no room for rounding",
    "group": "as prob, of groups of classes", "weight": "of samples: a count where all are 1", "matrix": "a parameter, read once",
    "distance": "of pairs; the gradient divides by it", "near": "as distance", "far": "as distance",
    "mean": "a statistic", "variance": "a statistic", "total": "a sum over a batch", "along": "a sum over a batch",
    "deviation": "a statistic", "values": "terms of a mean that is reported", "hit": "terms of a count", "mask": "places",
    "local": "the base of a power", "rois": "places: short ones would be pixels off",
    "cell": "sums over a whole sequence", "dcell": "as cell", "c0": "as cell", "dc0": "as cell", "tape": "gates, as the cell",
    "dw": "a gradient of weights, summed over a batch",
}  # fmt: skip
HERE = {  # ops whose blobs stay float, and why
    "arg_max.y": "numbers of classes", "find_nonzero.x": "what is not zero stays so", "draw.y": "the seed says which bits",
    "place_weights.y": "weights of samples", "class_means.y": "reported", "scored.y": "reported", "weighted_mean.y": "a loss",
    "reduce.y": "sums", "reduce_dx.dy": "of sums",
}  # fmt: skip
NETS = {  # of the arena in float, and what is float in it beside losses
    "lenet": (0.56, set()), "alexnet": (0.66, {"local"}), "vgg_d": (0.57, set()), "unet-small": (0.53, set()),
    "resnet50": (0.51, {"along", "total", "batch_mean", "batch_variance"}),
}  # fmt: skip
CLOSE = {"bf16": 2.0**-5, "fp16": 2.0**-8}  # error as a share of all that an array holds (2-norms)


@pytest.fixture(scope="module", params=["bf16", "fp16"])
def cuda(request: pytest.FixtureRequest) -> Cuda:
    return Cuda(Emulator(), request.param)


def rounded(values: Any, cuda: Cuda) -> Any:
    """What the device will hold of real numbers."""
    x = np.asarray(values)
    if x.dtype.kind != "f":
        return x
    return widened(narrowed(x.astype(np.float32))) if cuda.short_type == BF16 else x.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "shapes"), EXAM.ROWS)
def test_it_is_near_what_the_reference_says(cuda: Cuda, layer: Layer, shapes: Any, train: bool) -> None:
    whole = EXAM.whole(shapes)
    slow, values, params = EXAM.question(layer, whole, train)
    values = [rounded(value, cuda) for value in values]
    right = slow.run(values, params)
    chain = EXAM.Chain(layer, whole, cuda, train, fast=True)
    assert hazards(chain.plan) == []
    found = {name: np.asarray(array) for name, array in chain.run(values, params).items()}
    for name, want in right.items():
        error = np.linalg.norm(found[name].astype(np.float64) - want) / max(np.linalg.norm(want), 0.1)
        assert error <= CLOSE[cuda.precision], f"{name} is off by {error:.2%}"


# --- what is short, and what is not ---
def uses(plan: Plan) -> Iterator[tuple[Call, str, Tensor]]:
    """Each call with each of its arguments that could be short."""
    for call in plan.calls:
        for name, tensor in call.uses("in", "out", "add", "update"):
            if tensor.dtype == "float" and tensor.home in ("arena", "input"):
                yield call, name, tensor


def test_only_what_must_be_exact_stays_float() -> None:
    cuda, found, ops = Cuda(Emulator(), "bf16"), set[str](), set[str]()
    for row in EXAM.ROWS:
        layer, shapes = row.values
        for train in (True, False):
            for call, name, _ in uses(EXAM.Chain(layer, EXAM.whole(shapes), cuda, train, fast=True).plan):
                recipe = cuda.recipe_of(call)
                if recipe is None or name not in recipe.short:
                    (ops if name in FLOWS else found).add(f"{call.op.name}.{name}" if name in FLOWS else name)
    assert found == set(EXACT)
    own = {each for each in ops if each.startswith("users_sine")}  # a layer of the user's: the host does it
    losses = {each for each in ops if each.endswith("_loss_dx.dy")}  # one number, or one of each sample
    assert len(own) == 5 and len(losses) == 13
    assert ops - own - losses == set(HERE)


@pytest.mark.parametrize("name", NETS)
def test_all_that_flows_between_the_layers_of_a_net_is_short(name: str) -> None:
    """So its arena is little more than half."""
    most, exact = NETS[name]
    config, arenas = sketch(str(zoo.CONFIGS / f"{name}.yaml"), ("data.batch_size=8",)), []
    for precision in ("fp32", "bf16", "fp16"):
        engine = Engine(config.net, Cuda(Emulator(), precision), config.solver)
        plan = engine.plan_of(engine.net.graph("train", (8,)), update=True)
        arenas.append(plan.arena)
        held = {tensor for _, _, tensor in uses(plan) if not plan.is_short(tensor)}
        losses = {"loss", "prob", "z"} | ({"loss_weight loss scaled"} if precision == "fp16" else set())
        if precision != "fp32":
            assert {tensor.name.rpartition(".")[2] for tensor in held} == losses | exact
    assert max(arenas[1:]) <= most * arenas[0]


def regions(reads: str, *lines: Line) -> Net:
    pool = Line("pool", LAYERS["ROIPooling"](pooled_h=2, pooled_w=2), ["data", reads])
    return Net([*lines, pool], {"data": Shape((3, 8, 8)), "some": Shape((5,)), "more": Shape((5,)), "wide": Shape((7,))})


MOVED = {
    "rows of several": ("joined", [Line("joined", LAYERS["Concat"](axis=0), ["some", "more"])], {"some", "more"}),
    "a piece": ("cut", [Line("cut", LAYERS["Slice"](slice_point=[5]), ["wide"])], {"wide"}),
    "a piece of what is joined": (
        "cut",
        [Line("joined", LAYERS["Concat"](axis=1), ["some", "wide"]), Line("cut", LAYERS["Slice"](slice_point=[5]), ["joined"])],
        {"some", "wide"},
    ),
    "what is computed": ("sum", [Line("sum", LAYERS["Eltwise"](), ["some", "more"])], set[str]()),
}


@pytest.mark.parametrize("case", MOVED)
def test_places_are_exact_before_they_are_moved(case: str) -> None:
    """What only moves passes the wish on; what computes rounds, and may."""
    reads, lines, exact = MOVED[case]
    engine = Engine(regions(reads, *lines), Cuda(Emulator(), "bf16"))
    graph = engine.net.graph("deploy", (2,))
    plan = engine.plan_of(graph)
    (rois,) = (tensor for call, name, tensor in uses(plan) if name == "rois")
    assert not plan.is_short(rois)
    read = {tensor for _, _, tensor in uses(plan)}
    long = {name for name, tensor in graph.inputs.items() if tensor in read and not plan.is_short(tensor)}
    assert long == exact and plan.is_short(graph.inputs["data"])
