"""The operators of ONNX that put several numbers together, in layers of ours."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At, axes_of
from dltrain.translate.onnx_formulas import blob, constant, image, node, number
from dltrain.translate.onnx_graph import Blob, Differs, Graph, moved
from dltrain.translate.onnx_windows import params

# before, operation of Reduction, after
REDUCED: dict[str, tuple[Any, str, Any]] = {
    "ReduceSum": (None, "sum", None), "ReduceMean": (None, "mean", None), "ReduceL1": (None, "asum", None),
    "ReduceSumSquare": (None, "sumsq", None), "ReduceL2": (None, "sumsq", ("Power", {"power": 0.5})),
    "ReduceLogSum": (None, "sum", ("Log", {})), "ReduceLogSumExp": (("Exp", {}), "sum", ("Log", {})),
    "ReduceMax": (None, "max", None), "ReduceMin": (("Power", {"scale": -1.0}), "max", ("Power", {"scale": -1.0})),
}  # fmt: skip
GLOBAL = {"ReduceMean": "mean", "ReduceMax": "max"}  # what a Pooling says of whole images


# --- products ---
@node("Gemm")
def gemm(net: Graph, at: At, a: Any, b: Any, c: Any = None) -> Blob:
    alpha, beta, weight = at.get("alpha", 1.0), at.get("beta", 1.0), constant(b, "its second input")
    if weight.ndim != 2 or blob(a).ndim != 2 or a.batch != int(bool(at.get("transA"))):
        raise Differs(
            f"a product of {Shape(a.sizes)} and {Shape(weight.shape)}: a matrix with a row a sample, and a constant one"
        )
    weight = alpha * (weight if at.get("transB") else weight.T).astype(np.float32)
    x, outputs = moved(a, 0), len(weight)
    if isinstance(c, Blob):
        y = net("InnerProduct", x, params={"weight": weight}, num_output=outputs, bias_term=False)
        return net("Eltwise", y, blob(c), operation="sum", coeff=[1.0, beta]) if beta else y
    bias = None if c is None or not beta else beta * constant(c, "its bias").astype(np.float32)
    if bias is not None and bias.shape not in ((), (1,), (outputs,), (1, 1), (1, outputs)):
        raise Differs(f"a bias of {Shape(bias.shape)} for {outputs} outputs")
    bias = None if bias is None else np.broadcast_to(bias.reshape(-1), outputs)
    return net("InnerProduct", x, params=params(weight, bias), num_output=outputs, bias_term=bias is not None)


@node("MatMul")
def matmul(net: Graph, at: At, a: Any, b: Any) -> Blob:
    if isinstance(a, Blob) and isinstance(b, Blob):
        if a.batch != b.batch or a.batch > min(a.ndim, b.ndim) - 3 or a.ndim != b.ndim:
            words = f"a product of blobs of {Shape(a.shape[1:])} and {Shape(b.shape[1:])} a sample"
            raise Differs(f"{words}, whose batch is not one of the axes before their matrices, the same of both")
        return net("MatMul", blob(a), blob(b))
    if isinstance(a, Blob):
        return linear(net, blob(a), constant(b, "its second input"))
    left, x = constant(a, "its first input"), blob(b)
    if left.ndim != 2 or x.batch > x.ndim - 3:
        raise Differs(f"a product of a constant of {Shape(left.shape)} and a blob of {Shape(x.shape[1:])} a sample")
    table = net("Parameter", params={"weight": left}, shape=list(left.shape))
    return moved(net("MatMul", table, x), x.batch)


def linear(net: Graph, x: Blob, weight: Any) -> Blob:
    """x times a constant matrix, along the last axis."""
    matrix = weight.reshape(weight.shape[weight.ndim - 2 :]) if weight.ndim > 2 and prod(weight.shape[:-2]) == 1 else weight
    flat = matrix.reshape(len(matrix), -1)
    if matrix.ndim > 2 or weight.ndim > x.ndim or x.batch == x.ndim - 1 or x.ndim < 2:
        raise Differs(f"a product of {Shape(x.shape[1:])} a sample and a constant of {Shape(weight.shape)}")
    y = net("InnerProduct", x, params={"weight": flat.T}, num_output=flat.shape[1], bias_term=False, axis=x.ndim - 1)
    return y if matrix.ndim == 2 else net.reshape(y, list(x.shape[1:-1]), x.batch)


# --- sums and extremes ---
@node(*REDUCED)
def reduce(net: Graph, at: At, x: Any, axes: Any = None) -> Blob:
    given = None if axes is None else constant(axes, "its axes")
    if (given is None or not given.size) and not at.get("axes") and at.get("noop_with_empty_axes"):
        return blob(x)
    theirs = axes_of(at, given if given is None or given.size else None, blob(x).ndim)
    chosen, keep = sorted(x.axis(axis) for axis in theirs), bool(at.get("keepdims", 1))
    if at["op"] in GLOBAL and keep and not x.batch and chosen == list(range(2, x.ndim)):
        return net("Pooling", x, pool=GLOBAL[at["op"]], global_pooling=True)
    before, operation, after = REDUCED[at["op"]]
    rest = [axis for axis in range(x.ndim) if axis not in chosen]
    y = net.permute(net(before[0], x, **before[1]) if before else x, rest + chosen, 0)
    if operation == "max":
        y = net("ArgMax", net.reshape(y, [*y.shape[1 : len(rest)], prod(y.shape[len(rest) :])]), axis=len(rest),
                out_max_val=True)  # fmt: skip
    else:
        y = net("Reduction", y, operation=operation, axis=len(rest))
    y = net(after[0], y, **after[1]) if after else y
    sizes = [1 if axis in chosen else size for axis, size in enumerate(x.shape)] if keep else [x.shape[axis] for axis in rest]
    return net.reshape(y, sizes[1:], x.batch - (0 if keep else sum(axis < x.batch for axis in theirs)))


@node("ArgMax", "ArgMin")
def arg_max(net: Graph, at: At, x: Any) -> Blob:
    axis = blob(x).axis(at.get("axis", 0))
    first(net, at, bool(at.get("select_last_index")))
    y = net("ArgMax", net("Power", x, scale=-1.0) if at["op"] == "ArgMin" else x, axis=axis)
    if at.get("keepdims", 1):
        return y
    lower = at.get("axis", 0) % x.ndim < x.batch
    return net.reshape(y, [*y.shape[1:axis], *y.shape[axis + 1 :]], x.batch - lower)


def first(net: Graph, at: At, last: bool = False) -> None:
    if not last:
        net.notes.append(f"{at['op']}: among equals the larger place comes first here, the smaller in the file")


@node("TopK")
def top_k(net: Graph, at: At, x: Any, k: Any = None) -> list[Blob]:
    sign = 1.0 if at.get("largest", 1) else -1.0
    count = int(at["k"] if k is None and "k" in at else number(k, "its k"))
    keys = {"axis": blob(x).axis(at.get("axis", -1)), "top_k": count}
    first(net, at)
    signed = net("Power", x, scale=sign) if sign < 0 else x
    values = net("ArgMax", signed, out_max_val=True, **keys)
    return [net("Power", values, scale=sign) if sign < 0 else values, net("ArgMax", signed, **keys)]


@node("Softmax", "LogSoftmax")
def softmax(net: Graph, at: At, x: Any) -> Blob:
    """Before opset 13 over all axes from `axis` on, taken as one."""
    if at["opset"] >= 13:
        return net(at["op"], blob(x), axis=x.axis(at.get("axis", -1)))
    axis = x.axis(at.get("axis", 1)) if blob(x).ndim else 1
    if at.get("axis", 1) % x.ndim < x.batch:
        raise Differs("over the samples of the batch, too")
    wide = [place for place in range(axis, x.ndim) if x.shape[place] != 1] or [axis]
    if len(wide) == 1:
        return net(at["op"], x, axis=wide[0])
    y = net.reshape(x, [*x.shape[1:axis], prod(x.shape[axis:])])
    return net.reshape(net(at["op"], y, axis=axis), list(x.shape[1:]), x.batch)


# --- normalisation ---
@node("BatchNormalization")
def batch_norm(net: Graph, at: At, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> list[Any]:
    if at.get("training_mode") or at.get("spatial", 1) != 1 or image(x).ndim < 2:
        raise Differs("by the batch at hand" if at.get("training_mode") else "a mean for each place")
    given = {"scale": constant(scale, "its scale"), "bias": constant(bias, "its bias")}
    states = {"mean": constant(mean, "its mean"), "variance": constant(variance, "its variance"), "factor": np.ones(1)}
    keys = {"eps": at.get("epsilon", 1e-5), "moving_average_fraction": at.get("momentum", 0.9)}
    return [net("BatchNorm", x, params=given, states=states, **keys), None, None, None, None]


@node("InstanceNormalization", "GroupNormalization")
def by_sample(net: Graph, at: At, x: Any, scale: Any, bias: Any) -> Blob:
    """Before opset 21 a group has one scale and one bias."""
    given, eps = {"scale": constant(scale, "its scale"), "bias": constant(bias, "its bias")}, at.get("epsilon", 1e-5)
    if at["op"] == "InstanceNormalization":
        return net("InstanceNorm", image(x), params=given, eps=eps)
    channels, groups = image(x).shape[1], at.get("num_groups", 1)
    if at["opset"] < 21 and all(array.shape == (groups,) for array in given.values()) and groups > 0:
        given = {role: np.repeat(array, channels // groups) for role, array in given.items()}
    return net("GroupNorm", x, params=given, groups=groups, eps=eps)


@node("LayerNormalization")
def layer_norm(net: Graph, at: At, x: Any, scale: Any, bias: Any = None) -> list[Any]:
    """Of theirs, mean and 1 / deviation are outputs, too."""
    axis = at.get("axis", -1) % blob(x).ndim
    if axis <= x.batch:
        raise Differs(f"from axis {axis} on, the batch among them")
    factor = np.broadcast_to(constant(scale, "its scale"), x.shape[axis:])
    given = {"scale": factor, "bias": np.zeros_like(factor) if bias is None else np.broadcast_to(bias, x.shape[axis:])}
    return [net("LayerNorm", x, params=given, axis=axis, eps=at.get("epsilon", 1e-5)), None, None]


@node("MeanVarianceNormalization")
def mvn(net: Graph, at: At, x: Any) -> Blob:
    axes = sorted(image(x).axis(axis) for axis in at.get("axes", [0, 2, 3]))
    if axes not in (list(range(2, x.ndim)), list(range(1, x.ndim))):
        raise Differs(f"over the axes {axes}: a map of a sample, or all of it")
    return net("MVN", x, across_channels=axes[0] == 1)
