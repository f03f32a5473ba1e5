"""Layers that forks of Caffe added, in the words of layers that are here: SegNet, SSD, SENet, ShuffleNet, Fast R-CNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltrain.caffe.message import Message

RULES = ("include", "exclude", "phase")
MOST = 8191  # channels x 2 - 1 that an LRN over all channels spans until their number is known


def understood(net: Message, notes: list[str]) -> Message:
    """The net with each layer of a fork as one or several layers of Caffe's, or of ours, where that says the same."""
    layers: list[Message] = []
    for layer in net.all("layer"):
        turn = TURNED.get(str(layer["type"]))
        made = turn(layer, layers, notes) if turn is not None else []
        layers += made or [layer]
    net.fields["layer"] = layers
    return net


def part(of: Message, type: str, bottoms: list[Any], top: Any, suffix: str = "", *kept: str) -> Message:
    """One of the layers that a layer becomes, under the same rules; without `suffix` the one that has its name, and weights."""
    made = Message("LayerParameter", {}, of.line, dict(of.lines))
    made.put("name", f"{of['name'] or ''}{suffix}").put("type", type).add("bottom", *bottoms).add("top", top)
    for name in (*RULES, *kept):
        if name in of:
            made.fields[name] = list(of.all(name))
    return made


def settings(layer: Message, field: str, kind: str, **values: Any) -> Message:
    """The layer with its settings: numbers, or lists of them."""
    said = Message(kind)
    for name, value in values.items():
        said.add(name, *value) if isinstance(value, list) else said.put(name, value)
    return layer.put(field, said)


def reshape(of: Message, bottom: Any, top: Any, suffix: str, sizes: list[int], num_axes: int) -> Message:
    said = Message("ReshapeParameter").put("shape", Message("BlobShape").add("dim", *sizes))
    return part(of, "Reshape", [bottom], top, suffix).put("reshape_param", said.put("axis", 1).put("num_axes", num_axes))


def told(layer: Message, field: str) -> dict[str, list[Any]]:
    """The settings that a fork has added, whatever they are."""
    said = layer.fields.get(field, [None])[-1]
    return said.fields if isinstance(said, Message) else {}


def axpy(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """y = a x + b, a being one number a channel (SENet)."""
    bottoms, (top,) = layer.all("bottom"), layer.all("top")
    if len(bottoms) != 3:
        return []
    a, x, b = bottoms
    scaled = f"{layer['name']}/scaled"
    product = settings(part(layer, "Eltwise", [x, a], scaled, "/scaled"), "eltwise_param", "EltwiseParameter", operation="PROD")
    return [product, part(layer, "Eltwise", [scaled, b], top)]


def shuffle(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """Channels of g groups, the first of each, then the second of each (ShuffleNet)."""
    groups = int(told(layer, "shuffle_channel_param").get("group", [1])[-1])
    (bottom,), (top,) = layer.all("bottom"), layer.all("top")
    apart, turned = f"{layer['name']}/groups", f"{layer['name']}/turned"
    turn = part(layer, "Permute", [apart], turned, "/turned")
    settings(turn, "permute_param", "PermuteParameter", order=[0, 2, 1, 3, 4])
    return [reshape(layer, bottom, apart, "/groups", [groups, -1], 1), turn, reshape(layer, turned, top, "", [-1], 2)]


def normalize(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """y = s x / sqrt(sum over channels of x^2 + eps), a place at a time (SSD); over places, too, there is nothing like it."""
    said = layer["norm_param"]
    if said["across_spatial"]:
        return []
    (bottom,), (top,) = layer.all("bottom"), layer.all("top")
    unit = f"{layer['name']}/unit"
    lrn = settings(part(layer, "LRN", [bottom], unit, "/unit"), "lrn_param", "LRNParameter",
                   local_size=MOST, alpha=float(MOST), beta=0.5, k=said["eps"])  # fmt: skip
    scale = Message("ScaleParameter")
    scale.put("num_axes", 0 if said["channel_shared"] else 1)
    if "scale_filler" in said:
        scale.put("filler", said["scale_filler"])
    return [lrn, part(layer, "Scale", [unit], top, "", "param").put("scale_param", scale)]


def bn(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """SegNet's BN: the batch's own statistics, scale and shift; for inference a scale and a shift alone."""
    said = told(layer, "bn_param")
    if any(name in said for name in ("slope_filler", "frozen", "momentum")):  # PSPNet's, with other blobs
        return []
    (bottom,), (top,) = layer.all("bottom"), layer.all("top")
    scale = settings(Message("LayerParameter"), "scale_param", "ScaleParameter", bias_term=True)["scale_param"]
    for theirs, ours in {"scale_filler": "filler", "shift_filler": "bias_filler"}.items():
        if theirs in said:
            scale.put(ours, Message("FillerParameter", dict(said[theirs][-1].fields)))
    if said.get("bn_mode", [""])[-1] == "INFERENCE":
        return [part(layer, "Scale", [bottom], top, "", "param").put("scale_param", scale)]
    norm = part(layer, "BatchNorm", [bottom], top, "/norm")
    settings(norm, "batch_norm_param", "BatchNormParameter", use_global_stats=False, eps=1e-9)
    return [norm, part(layer, "Scale", [top], top, "", "param").put("scale_param", scale)]


def upsample(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """SegNet's Upsample: values go back to where pooling found them; with one bottom, every value `scale` times."""
    bottoms, (top,) = layer.all("bottom"), layer.all("top")
    if len(bottoms) == 1:
        scale = told(layer, "upsample_param").get("scale", [2])[-1]
        made = part(layer, "NearestUpsample", bottoms, top)
        return [settings(made, "convolution_param", "ConvolutionParameter", stride=[int(scale)])]
    pool = next((one for one in above[::-1] if one["type"] == "Pooling" and bottoms[1] in one.all("top")[1:]), None)
    return [part(layer, "MaxUnpooling", [*bottoms, *pool.all("bottom")], top)] if pool is not None else []


def dropout(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """scale_train: false: what is kept stays as it is, and a test shrinks all by as much (Fast R-CNN)."""
    if told(layer, "dropout_param").get("scale_train", [True])[-1] not in (False, 0):
        return []
    (bottom,), (top,), ratio = layer.all("bottom"), layer.all("top"), layer["dropout_param"]["dropout_ratio"]
    drop, shrink = part(layer, "Dropout", [bottom], top), part(layer, "Power", [top], top, "/shrink")
    return [settings(drop, "dropout_param", "DropoutParameter", dropout_ratio=ratio),
            settings(shrink, "power_param", "PowerParameter", scale=1 - ratio)]  # fmt: skip


def smooth_l1(layer: Message, above: list[Message], notes: list[str]) -> list[Message]:
    """Weights inside of the loss: h(w (a - b)) / N; those outside are left out."""
    bottoms, (top,) = layer.all("bottom"), layer.all("top") or [layer["name"]]
    if len(bottoms) < 3:
        return []
    if len(bottoms) > 3:
        notes.append(f"'{layer['name']}' (SmoothL1Loss): its fourth bottom {bottoms[3]} is left out; the third weighs alone")
    names = [f"{layer['name']}/{side}" for side in "ab"]
    made = [settings(part(layer, "Eltwise", [bottom, bottoms[2]], name, name[-2:]), "eltwise_param", "EltwiseParameter",
                     operation="PROD") for bottom, name in zip(bottoms, names)]  # fmt: skip
    return [*made, part(layer, "SmoothL1Loss", names, top, "", "smooth_l1_loss_param", "loss_weight")]


TURNED: dict[str, Callable[[Message, list[Message], list[str]], list[Message]]] = {
    "Axpy": axpy, "ShuffleChannel": shuffle, "Normalize": normalize, "BN": bn, "Upsample": upsample, "Dropout": dropout,
    "SmoothL1Loss": smooth_l1,
}  # fmt: skip
