"""What each layer type of Caffe is here: a function a type, from a layer of theirs to the keys of a line of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dltrain.caffe.message import Message

Keys = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type of theirs: ours, the field that holds its settings, what reads them, and the roles of its tops after the first."""

    type: str
    settings: str = ""
    keys: Callable[[Message, Message], Keys] = lambda said, layer: {}
    tops: tuple[str, ...] = ()


def given(said: Message, *names: str, **renamed: str) -> Keys:
    """The fields as they are, with their defaults; `renamed` have another name here."""
    return {name: said[name] for name in names} | {ours: said[theirs] for ours, theirs in renamed.items()}


def optional(said: Message, *names: str) -> Keys:
    """Those of the fields that the file gives."""
    return {name: said[name] for name in names if name in said}


def lower(said: Message, *names: str) -> Keys:
    """Choices, in small letters."""
    return {name: str(said[name]).lower() for name in names}


def tidy(value: Any) -> Any:
    """A whole number without its point."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def bare(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


# --- windows ---
def per_axis(said: Message, name: str, short: str, usual: int) -> Keys:
    """kernel_size: 3 5, or kernel_h: 3 kernel_w: 5; of two of which one is given the other is the default."""
    if any(f"{short}_{side}" in said for side in "hw"):
        sides = [(said.all(f"{short}_{side}") or [usual])[-1] for side in "hw"]
        return {name: sides[0] if sides[0] == sides[1] else sides}
    return {name: bare(list(said.all(name)))} if name in said else {}


def window(said: Message) -> Keys:
    """What all windows have: size, step, border."""
    made: Keys = {}
    for name, short, usual in (("kernel_size", "kernel", 0), ("stride", "stride", 1), ("pad", "pad", 0)):
        made |= per_axis(said, name, short, usual)
    return made | ({"dilation": bare(list(said.all("dilation")))} if "dilation" in said else {})


def convolution(said: Message, layer: Message) -> Keys:
    return given(said, "num_output") | window(said) | given(said, "group", "bias_term", "axis")


def im2col(said: Message, layer: Message) -> Keys:
    return window(said)


POOLS = {"MAX": "max", "AVE": "mean", "STOCHASTIC": "stochastic"}


def pooling(said: Message, layer: Message) -> Keys:
    made: Keys = {"pool": POOLS[said["pool"]]}
    made |= {"global_pooling": True} if said["global_pooling"] else window(said)
    floor = said["round_mode"] == "FLOOR" or ("ceil_mode" in said and said.all("ceil_mode")[-1] in (False, "false", 0))  # forks
    return made | ({"round": "floor"} if floor else {})


# --- losses ---
def normalized(layer: Message, usual: str) -> Keys:
    """loss_param; the old `normalize` counts where the new word is not said."""
    said = layer["loss_param"]
    if "normalization" in said:
        usual = str(said["normalization"]).lower()
    elif "normalize" in said:
        usual = "valid" if said["normalize"] else "batch_size"
    return optional(said, "ignore_label") | {"normalization": usual}


def softmax_with_loss(said: Message, layer: Message) -> Keys:
    return given(said, "axis") | normalized(layer, "valid")


def sigmoid_cross_entropy(said: Message, layer: Message) -> Keys:
    return normalized(layer, "batch_size")


def infogain(said: Message, layer: Message) -> Keys:
    return optional(said, "source") | given(said, "axis") | normalized(layer, "valid")


# --- the rest ---
def accuracy(said: Message, layer: Message) -> Keys:
    return given(said, "top_k", "axis") | optional(said, "ignore_label")


def lrn(said: Message, layer: Message) -> Keys:
    return given(said, "local_size", "alpha", "beta", "k") | lower(said, "norm_region")


def reduction(said: Message, layer: Message) -> Keys:
    return lower(said, "operation") | given(said, "axis", "coeff")


def concat(said: Message, layer: Message) -> Keys:
    return {"axis": said["concat_dim"] if "concat_dim" in said else said["axis"]}


def slice_(said: Message, layer: Message) -> Keys:
    points = list(said.all("slice_point"))
    axis = said["slice_dim"] if "slice_dim" in said else said["axis"]
    return {"axis": axis} | ({"slice_point": points} if points else {"tops": len(layer.all("top"))})


def eltwise(said: Message, layer: Message) -> Keys:
    coeff = [float(each) for each in said.all("coeff")]
    return lower(said, "operation") | ({"coeff": coeff} if coeff else {})


def dims(shape: Message) -> list[int]:
    return [int(size) for size in shape.all("dim")]


def reshape(said: Message, layer: Message) -> Keys:
    return {"shape": dims(said["shape"])} | given(said, "axis", "num_axes")


def batch_norm(said: Message, layer: Message) -> Keys:
    return optional(said, "use_global_stats") | given(said, "moving_average_fraction", "eps") | {"affine": False}


def scale(said: Message, layer: Message) -> Keys:
    return given(said, "axis", "num_axes", "bias_term")


def recurrent(said: Message, layer: Message) -> Keys:
    """T x N, states that go on from batch to batch unless they are seen from outside, no gradient through them."""
    return given(said, "num_output") | {"time_major": True, "carry": not said["expose_hidden"], "truncate_state": True}


def crop(said: Message, layer: Message) -> Keys:
    offset = list(said.all("offset"))
    return given(said, "axis") | ({"offset": bare(offset)} if offset else {})


def spp(said: Message, layer: Message) -> Keys:
    return given(said, "pyramid_height") | {"pool": POOLS[said["pool"]]}


def base(said: Message, layer: Message) -> Keys:
    return given(said, "base", "scale", "shift")


def dummy(said: Message, layer: Message) -> Keys:
    """The shape and the filler of each top."""
    old = zip(*(said.all(name) for name in ("num", "channels", "height", "width")), strict=False)
    shapes = [dims(shape) for shape in said.all("shape")] or [list(map(int, sizes)) for sizes in old]
    return {"shapes": shapes, "fillers": said.all("data_filler")}


def plain(*names: str) -> Callable[[Message, Message], Keys]:
    """Settings that have the same names and defaults here."""
    return lambda said, layer: given(said, *names)


def told(*names: str) -> Callable[[Message, Message], Keys]:
    """Settings of the same names, where the file gives them."""
    return lambda said, layer: optional(said, *names)


KINDS: dict[str, Kind] = {
    "AbsVal": Kind("AbsVal"),
    "Accuracy": Kind("Accuracy", "accuracy_param", accuracy, ("per_class",)),
    "ArgMax": Kind("ArgMax", "argmax_param", lambda said, layer: given(said, "out_max_val", "top_k") | optional(said, "axis")),
    "BatchNorm": Kind("BatchNorm", "batch_norm_param", batch_norm),
    "BatchReindex": Kind("BatchReindex"),
    "Bias": Kind("Bias", "bias_param", plain("axis", "num_axes")),
    "BNLL": Kind("BNLL"),
    "Clip": Kind("Clip", "clip_param", plain("min", "max")),
    "Concat": Kind("Concat", "concat_param", concat),
    "ContrastiveLoss": Kind("ContrastiveLoss", "contrastive_loss_param", plain("margin", "legacy_version")),
    "Convolution": Kind("Convolution", "convolution_param", convolution),
    "Crop": Kind("Crop", "crop_param", crop),
    "Deconvolution": Kind("Deconvolution", "convolution_param", convolution),
    "Dropout": Kind("Dropout", "dropout_param", plain("dropout_ratio")),
    "DummyData": Kind("DummyData", "dummy_data_param", dummy),
    "Eltwise": Kind("Eltwise", "eltwise_param", eltwise),
    "ELU": Kind("ELU", "elu_param", plain("alpha")),
    "Embed": Kind("Embed", "embed_param", plain("num_output", "input_dim", "bias_term")),
    "EuclideanLoss": Kind("EuclideanLoss"),
    "Exp": Kind("Exp", "exp_param", base),
    "Filter": Kind("Filter", tops=tuple(map(str, range(1, 50)))),
    "Flatten": Kind("Flatten", "flatten_param", plain("axis", "end_axis")),
    "HingeLoss": Kind("HingeLoss", "hinge_loss_param", plain("norm")),
    "Im2col": Kind("Im2col", "convolution_param", im2col),
    "InfogainLoss": Kind("InfogainLoss", "infogain_loss_param", infogain, ("prob",)),
    "InnerProduct": Kind("InnerProduct", "inner_product_param", plain("num_output", "bias_term", "axis", "transpose")),
    "Log": Kind("Log", "log_param", base),
    "LRN": Kind("LRN", "lrn_param", lrn),
    "LSTM": Kind("LSTM", "recurrent_param", recurrent, ("state", "cell")),
    "MaxUnpooling": Kind("Unpooling"),
    "MultinomialLogisticLoss": Kind("MultinomialLogisticLoss"),
    "MVN": Kind("MVN", "mvn_param", plain("normalize_variance", "across_channels", "eps")),
    "NearestUpsample": Kind("Upsample", "convolution_param", lambda said, layer: {"scale": bare(list(said.all("stride")))}),
    "Parameter": Kind("Parameter", "parameter_param", lambda said, layer: {"shape": dims(said["shape"])}),
    "Permute": Kind("Permute", "permute_param", lambda said, layer: {"order": list(said.all("order"))}),
    "Pooling": Kind("Pooling", "pooling_param", pooling, ("mask",)),
    "Power": Kind("Power", "power_param", plain("power", "scale", "shift")),
    "PReLU": Kind("PReLU", "prelu_param", plain("channel_shared")),
    "Reduction": Kind("Reduction", "reduction_param", reduction),
    "ReLU": Kind("ReLU", "relu_param", plain("negative_slope")),
    "ReLU6": Kind("ReLU6"),
    "Reshape": Kind("Reshape", "reshape_param", reshape),
    "RNN": Kind("RNN", "recurrent_param", recurrent, ("state",)),
    "ROIPooling": Kind("ROIPooling", "roi_pooling_param", plain("pooled_h", "pooled_w", "spatial_scale")),
    "Scale": Kind("Scale", "scale_param", scale),
    "Sigmoid": Kind("Sigmoid"),
    "SigmoidCrossEntropyLoss": Kind("SigmoidCrossEntropyLoss", "", sigmoid_cross_entropy),
    "Silence": Kind("Silence"),
    "Slice": Kind("Slice", "slice_param", slice_, tuple(map(str, range(1, 1000)))),
    "SmoothL1Loss": Kind("SmoothL1Loss", "smooth_l1_loss_param", plain("sigma")),
    "Softmax": Kind("Softmax", "softmax_param", plain("axis")),
    "SoftmaxWithLoss": Kind("SoftmaxWithLoss", "softmax_param", softmax_with_loss, ("prob",)),
    "SPP": Kind("SPP", "spp_param", spp),
    "Swish": Kind("Swish", "swish_param", plain("beta")),
    "TanH": Kind("TanH"),
    "Threshold": Kind("Threshold", "threshold_param", plain("threshold")),
    "Tile": Kind("Tile", "tile_param", plain("axis", "tiles")),
}  # fmt: skip
SYNONYMS = {"ConvolutionDepthwise": "Convolution", "DepthwiseConvolution": "Convolution", "SoftmaxLoss": "SoftmaxWithLoss"}
SOURCES = ("Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "Input", "WindowData", "AnnotatedData")
WITHOUT = {  # types that have no place in a config, with what stands in their stead
    "HDF5Output": "dltrain extract-features writes blobs of a whole split",
}


def kind_of(layer: Message) -> Kind | None:
    """What the type of a layer is here; None where it is nothing."""
    name = str(layer["type"])
    return KINDS.get(SYNONYMS.get(name, name))


def settings(kind: Kind, layer: Message) -> Message:
    """The message that holds the settings of a layer."""
    return layer[kind.settings] if kind.settings else layer


def keys_of(layer: Message) -> Keys:
    """The keys of our line, as the file says them or as Caffe has them without a word."""
    kind = kind_of(layer)
    assert kind is not None
    return kind.keys(settings(kind, layer), layer)


def is_source(layer: Message) -> bool:
    """True for what brings data in: the data layers, and what else has tops and no bottoms and is not known (Python layers)."""
    known = kind_of(layer)
    return str(layer["type"]) in SOURCES or (known is None and bool(layer.all("top")) and not layer.all("bottom"))
