"""The operators of the ONNX standard that put several numbers together, said in layers of dltrain."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dltrain.translate.onnx_recurrent import way
from dltrain.translate.onnx_sums import REDUCED
from dltrain.translate.onnx_windows import window
from tests.onnx_bench import Array, Bench, Differs, along, ints, node, param


# --- windows ---
def padded(net: Bench, x: Array, before: list[int], after: list[int]) -> tuple[Array, list[int]]:
    """x, and what is still to be padded on both sides."""
    return (x, before) if before == after else (net("Pad", x, pad=before, pad_after=after), [0])


@node("Conv")
def conv(net: Bench, at: Any, x: Array, w: Array, b: Array | None = None) -> Array:
    keys, before, after = window(at, x, list(w.shape[2:]))
    x, both = padded(net, x, before, after)
    more = {"num_output": len(w), "group": at.get("group", 1), "bias_term": b is not None, "pad": both}
    return net("Convolution", x, params=param(weight=w, bias=b), **keys, **more)


@node("ConvTranspose")
def conv_transpose(net: Bench, at: Any, x: Array, w: Array, b: Array | None = None) -> Array:
    keys, before, after = window(at | {"auto_pad": "NOTSET"}, x, list(w.shape[2:]))
    more, group = at.get("output_padding", [0] * len(before)), at.get("group", 1)
    full = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], *keys.values())]
    keys |= {"num_output": group * w.shape[1], "group": group, "bias_term": b is not None}
    wanted = at.get("output_shape")
    if at.get("auto_pad", "NOTSET").startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], keys["stride"])]
    if wanted is None and before == after and not any(more):
        return net("Deconvolution", x, params=param(weight=w, bias=b), pad=before, **keys)
    if wanted is None:
        wanted = [n + m - p - q for n, m, p, q in zip(full, more, before, after)]
    else:
        before = [max(n + m - size, 0) // 2 for n, m, size in zip(full, more, wanted)]
    y = net("Deconvolution", x, params=param(weight=w, bias=b), **keys)
    beyond = [max(start + size - n, 0) for start, size, n in zip(before, wanted, full)]
    y = net("Pad", y, pad_after=beyond)
    return net("Crop", y, np.zeros((*y.shape[:2], *wanted)), offset=before)


@node("MaxPool", "AveragePool", "LpPool")
def pool(net: Bench, at: Any, x: Array) -> Any:
    kind = {"MaxPool": "max", "AveragePool": "mean", "LpPool": "lp"}[at["op"]]
    keys, before, after = window(at, x, at["kernel_shape"])
    if max(keys.pop("dilation")) > 1:
        raise Differs("a window of Pooling has no gaps")
    if kind == "mean" and any(before + after) and not at.get("count_include_pad"):
        raise Differs("the mean counts padding")
    if kind == "max" and before != after:
        raise Differs("as much padding behind as before")
    x, both = padded(net, x, before, after)
    more = {"pool": kind, "round": "ceil" if at.get("ceil_mode") else "floor", "pad": both}
    if kind != "max":
        return net("Pooling", x, p=float(at.get("p", 2)), **keys, **more)
    y, mask = net.tops("Pooling", x, **keys, **more)
    if at.get("storage_order"):
        mask = mask % x.shape[3] * x.shape[2] + mask // x.shape[3]
    planes = np.arange(prod(x.shape[:2])).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    return y, mask + planes * prod(x.shape[2:])


@node("MaxUnpool")
def unpool(net: Bench, at: Any, x: Array, index: Array, size: Array | None = None) -> Array:
    keys, before, _ = window(at, x, at["kernel_shape"])
    plane = prod(s * (n - 1) + k - 2 * p for n, k, s, p in zip(x.shape[2:], keys["kernel_size"], keys["stride"], before))
    y = net("Unpooling", x, index % plane, kernel_size=keys["kernel_size"], stride=keys["stride"], pad=before)
    return y if size is None else net("Pad", y, pad_after=[m - n for m, n in zip(ints(size)[2:], y.shape[2:])])


@node("Resize", "Upsample")
def resize(net: Bench, at: Any, x: Array, *rest: Array | None) -> Array:
    """Of Resize the inputs roi, scales, sizes; of Upsample scales."""
    scales, sizes = (*rest[-1:], None) if at["op"] == "Upsample" else (*rest[1:], None)[:2]
    axes = at.get("axes", list(range(x.ndim)))
    if sizes is not None:
        ratio = [size / x.shape[axis] for size, axis in zip(ints(sizes), axes)]
        policy = {"not_larger": min, "not_smaller": max}.get(at.get("keep_aspect_ratio_policy", ""))
        scales = [policy(ratio)] * len(ratio) if policy else ratio
    factors = [dict(zip(axes, scales)).get(axis, 1) for axis in range(x.ndim)]
    if any(f != int(f) for f in factors) or factors[:2] != [1, 1]:
        raise Differs("Upsample multiplies the sizes by whole numbers")
    mode = {"nearest": "nearest", "linear": "bilinear"}.get(at.get("mode", "nearest"))
    if mode is None:
        raise Differs("there is no cubic mode")
    return net("Upsample", x, scale=ints(factors[2:]), mode=mode)


# --- sums and extremes ---
def last(net: Bench, x: Array, axes: list[int]) -> tuple[Array, int]:
    """The axes behind the others, and where they begin."""
    chosen = sorted(along(axis, x) for axis in axes)
    rest = [axis for axis in range(x.ndim) if axis not in chosen]
    return net("Permute", x, order=rest + chosen), len(rest)


@node(*REDUCED)
def reduce(net: Bench, at: Any, x: Array, axes: Array | None = None) -> Array:
    given = ints(at.get("axes", []) if axes is None else axes)
    if not given and at.get("noop_with_empty_axes"):
        raise Differs("a Reduction reduces")
    before, operation, after = REDUCED[at["op"]]
    chosen = [along(axis, x) for axis in given] or list(range(x.ndim))
    y, first = last(net, net(before[0], x, **before[1]) if before else x, chosen)
    if operation == "max":
        y = net("ArgMax", net("Flatten", y, axis=first), axis=first, out_max_val=True)
    else:
        y = net("Reduction", y, operation=operation, axis=first)
    y = net(after[0], y, **after[1]) if after else y
    kept = [1 if axis in chosen else size for axis, size in enumerate(x.shape)]
    return y.reshape(kept if at.get("keepdims", 1) else [size for axis, size in enumerate(x.shape) if axis not in chosen])


@node("ArgMax", "ArgMin")
def arg_max(net: Bench, at: Any, x: Array) -> Array:
    axis = along(at.get("axis", 0), x)
    y = net("ArgMax", net("Power", x, scale=-1.0) if at["op"] == "ArgMin" else x, axis=axis)
    return y if at.get("keepdims", 1) else net("Reshape", y, axis=axis, num_axes=1, shape=[])


@node("TopK")
def top_k(net: Bench, at: Any, x: Array, k: Array) -> list[Array]:
    sign = 1.0 if at.get("largest", 1) else -1.0
    keys = {"axis": along(at.get("axis", -1), x), "top_k": int(k.flat[0])}
    signed = net("Power", x, scale=sign)
    values = net("Power", net("ArgMax", signed, out_max_val=True, **keys), scale=sign)
    return [values, net("ArgMax", signed, **keys)]


# --- normalisation ---
@node("BatchNormalization")
def batch_norm(net: Bench, at: Any, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Any:
    """Where factor = 1 / (1 - f), a step of ours, f m + the batch's, is theirs, f m + (1 - f) the batch's, over (1 - f)."""
    train, f = bool(at.get("training_mode")), at.get("momentum", 0.9)
    factor = 1 / (1 - f) if train else 1.0
    states = {"mean": mean * factor, "variance": variance * factor, "factor": np.array([factor])}
    keys = {"eps": at.get("epsilon", 1e-5), "moving_average_fraction": f, "train": train}
    y = net("BatchNorm", x, params={"scale": scale, "bias": bias}, states=states, **keys)
    if not train:
        return y
    count = x.size // x.shape[1]  # theirs is the variance of these numbers, ours, as Caffe's, of what they are drawn from
    kept, old = states["variance"] / states["factor"], f * variance
    return y, states["mean"] / states["factor"], old + (kept - old) * (count - 1) / count


@node("InstanceNormalization")
def instance_norm(net: Bench, at: Any, x: Array, scale: Array, bias: Array) -> Array:
    return net("InstanceNorm", x, params={"scale": scale, "bias": bias}, eps=at.get("epsilon", 1e-5))


@node("GroupNormalization")
def group_norm(net: Bench, at: Any, x: Array, scale: Array, bias: Array) -> Array:
    return net("GroupNorm", x, params={"scale": scale, "bias": bias}, groups=at["num_groups"], eps=at.get("epsilon", 1e-5))


@node("LayerNormalization")
def layer_norm(net: Bench, at: Any, x: Array, scale: Array, bias: Array | None = None) -> Any:
    """Of theirs, mean and 1 / deviation are tops, too."""
    axis = at.get("axis", -1) % x.ndim
    given = {"scale": scale, "bias": np.zeros_like(scale) if bias is None else bias}
    y = net("LayerNorm", x if axis else x[None], params=given, axis=axis or 1, eps=at.get("epsilon", 1e-5))
    return y.reshape(x.shape), None, None


@node("MeanVarianceNormalization")
def mvn(net: Bench, at: Any, x: Array) -> Array:
    """Over all samples: these become what across_channels sees as channels."""
    order = [1, 0, *range(2, x.ndim)]
    return net("Permute", net("MVN", net("Permute", x, order=order), across_channels=True), order=order)


# --- recurrent ---
@node("RNN", "GRU", "LSTM")
def recurrent(
    net: Bench, at: Any, x: Array, w: Array, r: Array, b: Array | None = None, lengths: Array | None = None,
    h0: Array | None = None, c0: Array | None = None, p: Array | None = None,
) -> list[Array]:  # fmt: skip
    """A way back alone is half of a bidirectional one, and a static input of 0 stands between cont and h0."""
    kind, h, time_major = at["op"], at["hidden_size"], not at.get("layout", 0)
    n, back = x.shape[time_major], at.get("direction", "forward") == "reverse"
    if lengths is not None and (lengths != x.shape[not time_major]).any():
        raise Differs("their own reference reads no lengths")
    ways = [way(at, *(None if v is None else v[i] for v in (w, r, b, p))) for i in range(len(w))]
    ways = [ours | {"weight_static": np.zeros((len(w[0]), 1))} for ours in ways]
    ways = [ways[0], *ways] if back else ways
    ours = ways[0] | {f"{role}_reverse": array for role, array in ways[-1].items() if len(ways) == 2}
    first = [np.zeros((len(w), n, h)) if state is None else state for state in (h0, c0)[: 1 + (kind == "LSTM")]]
    first = [np.repeat(state, len(ways) // len(w), axis=0).swapaxes(0, 1) for state in first]  # N x ways x H
    first = [state if len(ways) == 2 else state[:, 0] for state in first]
    keys = {"RNN": {"output_term": False}, "LSTM": {"peepholes": p is not None},
            "GRU": {"reset": "after" if at.get("linear_before_reset") else "before"}}[kind]  # fmt: skip
    keys |= {"num_output": h, "time_major": time_major, "bidirectional": len(ways) == 2}
    y, *ends = net.tops(kind, x, np.ones(x.shape[:2]), np.zeros((n, 1)), *first, params=ours, **keys)
    y = y.reshape(*x.shape[:2], -1, h)[:, :, int(back) :]
    ends = [end.reshape(n, -1, h)[:, int(back) :] for end in ends]
    if time_major:  # T x N x ways x H to theirs, T x ways x N x H
        return [y.swapaxes(1, 2), *(end.swapaxes(0, 1) for end in ends)]
    return [y, *ends]


# --- losses ---
@node("SoftmaxCrossEntropyLoss")
def softmax_loss(net: Bench, at: Any, x: Array, label: Array, weight: Array | None = None) -> Any:
    normalization = {"mean": "valid", "sum": "none"}.get(at.get("reduction", "mean"))
    if normalization is None:
        raise Differs("a loss is one number")
    keys = {"ignore_label": at.get("ignore_index"), "class_weight": [] if weight is None else weight.tolist()}
    loss = net("SoftmaxWithLoss", x, label.astype(np.int32), normalization=normalization, **keys)
    return loss, net("LogSoftmax", x)


@node("NegativeLogLikelihoodLoss")
def likelihood_loss(net: Bench, at: Any, x: Array, label: Array, weight: Array | None = None) -> Array:
    """Ours is the mean; the sum is the mean times the weights."""
    reduction, ignore = at.get("reduction", "mean"), at.get("ignore_index")
    if reduction == "none":
        raise Differs("a loss is one number")
    counts = label != ignore
    weights = np.where(counts, 1.0 if weight is None else weight[np.where(counts, label, 0).astype(int)], 0.0)
    bottoms = (x, label.astype(np.int32), *([] if weight is None else [weights]))
    mean = net("MultinomialLogisticLoss", *bottoms, log_probabilities=True, ignore_label=ignore)
    return net("Power", mean, scale=float(weights.sum())) if reduction == "sum" else mean
