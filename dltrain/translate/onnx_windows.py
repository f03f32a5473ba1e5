"""The operators of ONNX that move windows over images, in layers of ours."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

from dltrain.ops.window import Window
from dltrain.tensor import Shape
from dltrain.translate.onnx_fold import At, ints
from dltrain.translate.onnx_formulas import constant, image, node
from dltrain.translate.onnx_graph import Blob, Differs, Graph, bounded, frozen
from dltrain.translate.onnx_tables import resized

Pads = list[int]


def window(at: At, x: Any, kernel: list[int]) -> tuple[dict[str, list[int]], Pads, Pads]:
    """kernel_size, stride and dilation, and what is padded before and after."""
    axes = len(kernel)
    stride, dilation = at.get("strides", [1] * axes), at.get("dilations", [1] * axes)
    pads, auto = at.get("pads", [0] * 2 * axes), at.get("auto_pad", "NOTSET")
    if (
        {len(stride), len(dilation), len(pads) / 2} != {axes}
        or len(x.shape) != axes + 2
        or min([*stride, *dilation, *kernel]) < 1
    ):
        raise Differs(
            f"a window of {kernel} with strides {stride}, dilations {dilation} and pads {pads} over {Shape(x.shape[2:])}"
        )
    before, after = pads[:axes], pads[axes:]
    if auto == "VALID":
        before, after = [0] * axes, [0] * axes
    elif auto.startswith("SAME"):
        sizes = zip(x.shape[2:], kernel, stride, dilation)
        total = [max((ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in sizes]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    return {"kernel_size": kernel, "stride": stride, "dilation": dilation}, list(before), list(after)


def short(**keys: Any) -> dict[str, Any]:
    """Keys with one number instead of a list of equal ones."""
    return {key: value[0] if isinstance(value, list) and len(set(value)) == 1 else value for key, value in keys.items()}


def padded(net: Graph, x: Blob, before: Pads, after: Pads, mode: str = "zero") -> tuple[Blob, Pads]:
    """x, and what is still to be padded on both sides."""
    if before == after:
        return x, before
    if min(before + after) < 0:
        raise Differs("pads below 0")
    return net("Pad", x, **short(pad=before, pad_after=after, mode=mode)), [0]


@node("Conv")
def conv(net: Graph, at: At, x: Any, w: Any, b: Any = None) -> Blob:
    weight, bias = constant(w, "its weight"), None if b is None else constant(b, "its bias")
    if weight.ndim < 3:
        raise Differs(f"a weight of {Shape(weight.shape)}")
    keys, before, after = window(at, image(x), list(weight.shape[2:]))
    x, both = padded(net, x, before, after)
    more = {"num_output": len(weight), "group": at.get("group", 1), "bias_term": bias is not None, "pad": both}
    return net("Convolution", x, params=params(weight, bias), **short(**keys, **more))


def params(weight: Any, bias: Any) -> dict[str, Any]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


@node("ConvTranspose")
def conv_transpose(net: Graph, at: At, x: Any, w: Any, b: Any = None) -> Blob:
    """What their pads take away is cut off afterwards where it differs before and behind."""
    weight, bias, x = constant(w, "its weight"), None if b is None else constant(b, "its bias"), image(x)
    if weight.ndim < 3:
        raise Differs(f"a weight of {Shape(weight.shape)}")
    keys, before, after = window(at | {"auto_pad": "NOTSET"}, x, list(weight.shape[2:]))
    more, group, axes = at.get("output_padding", [0] * len(before)), at.get("group", 1), zip(x.shape[2:], *keys.values())
    full = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in axes]
    more_keys = {"num_output": group * weight.shape[1], "group": group, "bias_term": bias is not None}
    wanted = at.get("output_shape")
    if at.get("auto_pad", "NOTSET").startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], keys["stride"])]
    if wanted is None and before == after and not any(more):
        return net("Deconvolution", x, params=params(weight, bias), **short(pad=before, **keys, **more_keys))
    if wanted is None:
        wanted = [n + m - p - q for n, m, p, q in zip(full, more, before, after)]
    else:
        total = [max(n + m - size, 0) for n, m, size in zip(full, more, wanted)]
        before = [t // 2 if at.get("auto_pad") == "SAME_UPPER" else t - t // 2 for t in total]
    y = net("Deconvolution", x, params=params(weight, bias), **short(**keys, **more_keys))
    beyond = [max(start + size - n, 0) for start, size, n in zip(before, wanted, full)]
    if any(beyond) and bias is not None and np.any(bias):
        raise Differs("output_padding beyond what the pads take away, with a bias")
    y = net("Pad", y, **short(pad=[0] * len(beyond), pad_after=beyond)) if any(beyond) else y
    for axis, (start, size) in enumerate(zip(before, wanted), 2):
        y = net.cut(y, axis, start, start + size)
    return y


# --- pooling ---
@node("MaxPool", "AveragePool", "LpPool")
def pool(net: Graph, at: At, x: Any) -> Any:
    x, kind = image(x), {"MaxPool": "max", "AveragePool": "mean", "LpPool": "lp"}[at["op"]]
    keys, before, after = window(at, x, at.get("kernel_shape", []))
    if max(keys.pop("dilation")) > 1:
        raise Differs("a window of Pooling has no gaps")
    if any(max(p, q) >= k for p, q, k in zip(before, after, keys["kernel_size"])):
        raise Differs(f"pads of {before} and {after} around a window of {keys['kernel_size']}")
    sizes = pooled(x, keys, before, after, bool(at.get("ceil_mode")) and at.get("auto_pad", "NOTSET") == "NOTSET")
    both, rounding = fitting(x, keys, before, sizes)
    inner = x
    if both is None:
        inner, both = padded(net, x, before, after, "edge" if kind == "max" else "zero")
        both, rounding = fitting(inner, keys, [0] * len(before), sizes)
    if both is None:
        raise Differs(
            f"windows of {keys['kernel_size']} by {keys['stride']} over {Shape(x.shape[2:])}, padded {before} and {after}"
        )
    said = short(pool=kind, **keys, pad=both, round=rounding) | ({"p": float(at.get("p", 2))} if kind == "lp" else {})
    tops = net.tops("Pooling", inner, **said)
    if kind == "mean":
        return counted(net, tops[0], inner, keys, (both, before, after), x, bool(at.get("count_include_pad")))
    if kind == "lp":
        return tops[0]
    tops[1].is_mask = inner is x and not at.get("storage_order")
    return [tops[0], tops[1] if tops[1].is_mask else None]


def pooled(x: Blob, keys: Any, before: Pads, after: Pads, upwards: bool) -> list[int]:
    """The sizes that the standard promises: with ceil_mode a last window must begin inside the image or the pad before it."""
    made = []
    for n, k, s, p, q in zip(x.shape[2:], keys["kernel_size"], keys["stride"], before, after):
        room = n + p + q - k
        count = (-(-room // s) if upwards else room // s) + 1
        made.append(count - (upwards and (count - 1) * s >= n + p))
    return made


def fitting(x: Blob, keys: Any, both: Pads, wanted: list[int]) -> tuple[Pads | None, str]:
    """The pads, and the rounding by which ours has as many windows; None where neither has."""
    shape = Window(tuple(keys["kernel_size"]), tuple(keys["stride"]), tuple(both))
    fits = all(p < k <= n + 2 * p for k, n, p in zip(keys["kernel_size"], x.shape[2:], both))
    for rounding in ("floor", "ceil") if fits else ():
        if list(shape.pooled(tuple(x.shape[2:]), rounding == "ceil")) == wanted:
            return both, rounding
    return None, ""


def counted(net: Graph, y: Blob, inner: Blob, keys: Any, pads: tuple[Pads, Pads, Pads], x: Blob, with_pad: bool) -> Blob:
    """A mean over what the standard counts: where ours counts otherwise, times a number for each place, which does not learn."""
    both, before, after = pads
    factors = []
    for axis, (n, k, s, p) in enumerate(zip(inner.shape[2:], keys["kernel_size"], keys["stride"], both)):
        start = np.arange(y.shape[axis + 2]) * s - p
        ours = np.minimum(start + k, n + p) - start
        first = np.arange(y.shape[axis + 2]) * s - before[axis]  # in x
        low, high = (-before[axis], x.shape[axis + 2] + after[axis]) if with_pad else (0, x.shape[axis + 2])
        theirs = np.minimum(first + k, high) - np.maximum(first, low)
        if min(theirs) < 1:
            raise Differs("a window with nothing in it")
        factors.append(ours / theirs)
    if all((factor == 1).all() for factor in factors):
        return y
    bounded(prod(y.shape[2:]))
    table = np.ones(())
    for factor in factors:
        table = np.multiply.outer(table, factor)
    return frozen(net("Scale", y, params={"scale": table}, axis=2, num_axes=table.ndim))


@node("GlobalLpPool")
def global_lp(net: Graph, at: At, x: Any) -> Blob:
    return net("Pooling", image(x), pool="lp", global_pooling=True, p=float(at.get("p", 2)))


@node("MaxUnpool")
def unpool(net: Graph, at: At, x: Any, index: Any, size: Any = None) -> Blob:
    if not isinstance(index, Blob) or not index.is_mask or index.part is None:
        raise Differs("its places are not those of a MaxPool of the net")
    source = index.part.bottoms[0]
    assert isinstance(source, Blob)
    wanted = ints(constant(size, "its output_shape"))[2:] if size is not None else list(source.shape[2:])
    keys, before, after = window(at, image(x), at.get("kernel_shape", []))
    plain = [s * (n - 1) + k - p - q for n, k, s, p, q in zip(x.shape[2:], keys["kernel_size"], keys["stride"], before, after)]
    if wanted != list(source.shape[2:]) or (size is None and plain != wanted):
        raise Differs("its top is not as large as what was pooled")
    return net("Unpooling", x, index, source)


# --- sizes ---
@node("Resize", "Upsample")
def resize(net: Graph, at: At, x: Any, *rest: Any) -> Blob:
    """Of Resize the inputs roi, scales, sizes (before opset 11: scales); of Upsample scales."""
    x, old = image(x), at["op"] == "Upsample" or at["opset"] < 11
    scales, sizes = (rest[0] if rest else at.get("scales"), None) if old else (*rest[1:], None, None)[:2]
    axes, wanted = [axis % x.ndim for axis in at.get("axes", range(x.ndim))], None
    if sizes is not None and constant(sizes, "its sizes").size:
        if at.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Differs("sizes by a policy of the aspect ratio")
        wanted = [dict(zip(axes, ints(sizes))).get(axis, size) for axis, size in enumerate(x.sizes)]
        factors = [1.0, *(size / n for size, n in zip(wanted[1:], x.shape[1:]))]
    else:
        ratios = [float(scale) for scale in np.reshape(constant(scales, "its scales"), -1)]
        if len(ratios) != len(axes) or min(ratios) <= 0:
            raise Differs(f"scales {ratios} for {len(axes)} axes")
        factors = [dict(zip(axes, ratios)).get(axis, 1.0) for axis in range(x.ndim)]
    where = at.get("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    how = at.get("nearest_mode", "floor" if old else "round_prefer_floor")
    mode = mode_of(at, where, how, prod(factors))
    if mode is None or any(factor != int(factor) for factor in factors) or factors[:2] != [1, 1]:
        mode = {"bilinear": "linear"}.get(at.get("mode", "nearest"), at.get("mode", "nearest"))
        return resized(net, x, at | {"mode": mode}, factors, wanted, where, how)
    return net("Upsample", x, **short(scale=ints(factors[2:]), mode=mode))


def mode_of(at: At, where: str, how: str, factor: float) -> str | None:
    """nearest or bilinear, where ours finds the same places."""
    mode = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear"}.get(at.get("mode", "nearest"))
    half = where in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    same = (half and how.startswith("round")) or (where == "asymmetric" and how == "floor") if mode == "nearest" else half
    return mode if factor == 1 or same else None


@node("DepthToSpace", "SpaceToDepth")
def blocks(net: Graph, at: At, x: Any) -> Blob:
    """Squares of channels as squares of places, and the other way about."""
    b, (_, c, *sizes) = at.get("blocksize", 0), image(x).shape
    if b < 1 or len(sizes) != 2:
        raise Differs(f"blocks of {b} in {Shape(x.shape[1:])}")
    h, w = sizes
    if at["op"] == "SpaceToDepth":
        if h % b or w % b:
            raise Differs(f"blocks of {b} in {Shape(x.shape[1:])}")
        order = [0, 3, 5, 1, 2, 4] if at.get("mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
        y = net.permute(net.reshape(x, [c, h // b, b, w // b, b]), order, 0)
        return net.reshape(y, [c * b * b, h // b, w // b])
    if c % (b * b):
        raise Differs(f"blocks of {b} in {Shape(x.shape[1:])}")
    if at.get("mode", "DCR") == "DCR":
        y = net.permute(net.reshape(x, [b, b, c // b // b, h, w]), [0, 3, 4, 1, 5, 2], 0)
    else:
        y = net.permute(net.reshape(x, [c // b // b, b, b, h, w]), [0, 1, 4, 2, 5, 3], 0)
    return net.reshape(y, [c // b // b, h * b, w * b])
