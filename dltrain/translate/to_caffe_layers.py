"""What each layer type of ours is in Caffe: the reverse of what dltrain import caffe makes of theirs, by the same table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any

from dltrain.caffe.message import Message
from dltrain.caffe.schema import ENUMS, MESSAGES, Field
from dltrain.fields import spread
from dltrain.tensor import Shape
from dltrain.translate.caffe_layers import KINDS, POOLS

FORKS = ("Permute", "ROIPooling", "SmoothL1Loss")  # that Caffe 1.0 has not, though forks of it have
WORDS = {ours: theirs for theirs, ours in POOLS.items()}
BOTTOMS = {  # at most; of ours further ones may weigh samples
    "Accuracy": 2, "ContrastiveLoss": 3, "EuclideanLoss": 2, "HingeLoss": 2, "InfogainLoss": 3, "MultinomialLogisticLoss": 2,
    "SigmoidCrossEntropyLoss": 2, "SoftmaxWithLoss": 2, "Parameter": 0, "DummyData": 0, "Constant": 0,
}  # fmt: skip


class Lacking(Exception):
    """Caffe has nothing for a layer, or for one of its keys: what."""


@dataclass
class Saying:
    """A layer of ours on its way: the shapes of its bottoms, and what it has become so far."""

    layer: Any
    shapes: list[Shape]
    message: Message
    done: set[str]  # keys that are said

    def settings(self, name: str) -> Message:
        """The message with the settings, put where it belongs."""
        if name not in self.message:
            self.message.put(name, Message(MESSAGES["LayerParameter"][name].type))
        made: Message = self.message[name]
        return made

    def put(self, name: str, key: str, value: Any) -> None:
        """A setting, unless it goes without saying."""
        kind = MESSAGES["LayerParameter"][name].type
        told = MESSAGES[kind][key]
        values = list(value) if isinstance(value, tuple | list) else [value]
        spoken = [each.upper() if told.is_enum else each for each in values]
        if told.is_enum and any(each not in ENUMS[told.type] for each in spoken):
            raise Lacking(f"has no {key}: {', '.join(map(str, values))}")
        if told.repeated:
            self.settings(name).add(key, *spoken) if spoken else None
        elif spoken[0] != usual(told):
            self.settings(name).put(key, spoken[0])

    def take(self, *keys: str) -> None:
        self.done |= set(keys)

    @property
    def type(self) -> str:
        return str(self.layer.type)


def usual(told: Field) -> Any:
    return told.default


def said(layer: Any, shapes: list[Shape], plain: Any = None) -> Message:
    """The layer, with its type and its settings; Lacking where Caffe cannot say it.  `plain` is the layer without its setup."""
    made = Saying(layer, shapes, Message("LayerParameter"), set())
    name = NAMED.get(layer.type, layer.type)
    if layer.type in FORKS or (name not in KINDS and name not in OTHERS):
        raise Lacking("Caffe 1.0 has no such layer" + (", though forks of it have" if layer.type in FORKS else ""))
    if len(shapes) > BOTTOMS.get(layer.type, len(shapes)):
        few = BOTTOMS[layer.type]
        raise Lacking(f"Caffe's takes {few} bottoms: weights of samples are not known there" if few else "Caffe's has no bottom")
    made.message.put("type", name)
    if layer.type in SPECIAL:
        SPECIAL[layer.type](made)
    if name in KINDS:
        alike(made, KINDS[name].settings)
    for item in fields(layer):
        if item.name not in made.done and getattr(layer, item.name) != default(item):
            raise Lacking(f"Caffe's has no '{item.name}' ({getattr(layer, item.name)})")
    return made.message


def default(item: Any) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def alike(made: Saying, name: str) -> None:
    """Settings of the same name."""
    known = MESSAGES[MESSAGES["LayerParameter"][name].type] if name else {}
    for item in fields(made.layer):
        if item.name in known and item.name not in made.done:
            made.take(item.name)
            value = getattr(made.layer, item.name)
            if value is not None and value != () and not (known[item.name].repeated and value == default(item)):
                made.put(name, item.name, value)


# --- types that need more than that ---
def convolution(made: Saying) -> None:
    """Sizes: one number for all axes, or one each; what goes without saying is left out."""
    for key, plain in (("kernel_size", None), ("stride", (1,)), ("pad", (0,)), ("dilation", (1,))):
        value = getattr(made.layer, key)
        made.take(key)
        if value != plain:
            made.put("convolution_param", key, value)


def pooling(made: Saying) -> None:
    """Two spatial axes; where the sizes differ, each by its own name."""
    layer, axes = made.layer, len(made.shapes[0]) - 2
    if axes != 2:
        raise Lacking(f"Caffe pools over two spatial axes, not {axes}")
    if layer.pool not in WORDS:
        raise Lacking(f"Caffe has no pool: {layer.pool}")
    made.put("pooling_param", "pool", WORDS[layer.pool])
    for key, short in (("kernel_size", "kernel"), ("stride", "stride"), ("pad", "pad")):
        value = spread(getattr(layer, key), axes) if getattr(layer, key) is not None else None
        if value is not None and value[0] == value[1]:
            made.put("pooling_param", key, value[0])
        elif value is not None:
            for side, size in zip("hw", value):
                made.settings("pooling_param").put(f"{short}_{side}", size)
    made.put("pooling_param", "round_mode", layer.round)
    made.take("pool", "kernel_size", "stride", "pad", "round", "p", "beta")


def batch_norm(made: Saying) -> None:
    """The scale and the bias are a layer of their own in Caffe."""
    made.take("affine")


def eltwise(made: Saying) -> None:
    operation, coeff = made.layer.operation, tuple(made.layer.coeff)
    if operation == "sub":
        operation, coeff = "sum", (1.0,) + (-1.0,) * (len(made.shapes) - 1)
    if operation not in ("sum", "prod", "max"):
        raise Lacking(f"Caffe has no operation: {operation}")
    if len(set(map(tuple, made.shapes))) > 1:
        raise Lacking(f"Caffe repeats nothing: {' and '.join(map(str, made.shapes))}")
    made.put("eltwise_param", "operation", operation)
    made.put("eltwise_param", "coeff", coeff)
    made.take("operation", "coeff")


def slice_(made: Saying) -> None:
    made.take("tops")


def dims(sizes: Any) -> Message:
    return Message("BlobShape").add("dim", *map(int, sizes))


def reshape(made: Saying) -> None:
    made.settings("reshape_param").put("shape", dims(made.layer.shape))
    made.take("shape")


def parameter(made: Saying) -> None:
    made.settings("parameter_param").put("shape", dims(made.layer.shape))
    made.take("shape")


def dummy(made: Saying) -> None:
    """DummyData, and a constant as one."""
    settings = made.settings("dummy_data_param")
    settings.add("shape", dims(made.layer.shape))
    value = getattr(made.layer, "value", None)
    if value:
        settings.add("data_filler", Message("FillerParameter").put("value", value))
    elif getattr(made.layer, "data_filler", None) is not None:
        settings.add("data_filler", filler(made.layer.data_filler))
    made.take("shape", "value", "data_filler")


def input_(made: Saying) -> None:
    """An Input that is fed is one; one that reads a field is a second name for it."""
    if made.shapes:
        made.message.put("type", "Split")
    else:
        made.settings("input_param").add("shape", dims(made.layer.shape))
    made.take("shape")


def split(made: Saying) -> None:
    made.take("tops")


def clip6(made: Saying) -> None:
    made.settings("clip_param").put("min", 0.0).put("max", 6.0)


def spp(made: Saying) -> None:
    made.put("spp_param", "pool", WORDS[made.layer.pool])
    made.take("pool")


def loss(usual: str) -> Callable[[Saying], None]:
    """What stands in loss_param."""

    def say(made: Saying) -> None:
        soft = len(made.shapes) > 1 and made.shapes[1].dtype == "float" and made.shapes[0] == made.shapes[1]
        if made.type == "SoftmaxWithLoss" and soft:
            raise Lacking("Caffe's takes classes, not probabilities")
        if made.layer.normalization != usual:
            made.settings("loss_param").put("normalization", made.layer.normalization.upper())
        if made.layer.ignore_label is not None:
            made.settings("loss_param").put("ignore_label", made.layer.ignore_label)
        made.take("normalization", "ignore_label")

    return say


def recurrent(made: Saying) -> None:
    """T x N, with cont; the states go on from batch to batch, or come and go as blobs; no gradient flows through them."""
    layer, count = made.layer, len(made.shapes)
    wrong = [key for key, want in (("time_major", True), ("truncate_state", True), ("bias_term", True))
             if getattr(layer, key) is not want]  # fmt: skip
    if wrong:
        raise Lacking(f"Caffe's has {' and '.join(f'{key}: true' for key in wrong)}")
    states = 2 if layer.type == "LSTM" else 1
    if count < 2 or (not layer.carry and count < 2 + states):
        raise Lacking(
            "Caffe's needs cont" if count < 2 else "Caffe's carries its states on (carry: true), or reads the first ones"
        )
    made.put("recurrent_param", "expose_hidden", not layer.carry)
    made.take("time_major", "truncate_state", "carry", "bias_term")


def infogain(made: Saying) -> None:
    """The matrix, where a file has it, is written beside the net."""
    loss("valid")(made)
    if len(made.shapes) < 3:
        made.settings("infogain_loss_param").put("source", matrix_of(made.layer.source))
    made.take("source")


def matrix_of(source: str) -> str:
    return f"{source.rpartition('/')[2].removesuffix('.npy')}.binaryproto"


def filler(made: Any) -> Message:
    """A filler; Lacking where Caffe has it not."""
    message, known = Message("FillerParameter"), MESSAGES["FillerParameter"]
    if made.type not in ("constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear"):
        raise Lacking(f"Caffe has no filler {made.type}")
    message.put("type", made.type)
    for item in fields(made):
        value = getattr(made, item.name)
        spoken = value.upper() if known[item.name].is_enum else value
        if value is not None and spoken != known[item.name].default:
            message.put(item.name, spoken)
    return message


NAMED = {"ReLU6": "Clip", "Constant": "DummyData"}
OTHERS = ("DummyData", "Input", "Split")
SPECIAL: dict[str, Callable[[Saying], None]] = {
    "Convolution": convolution, "Deconvolution": convolution, "Im2col": convolution, "Pooling": pooling, "BatchNorm": batch_norm,
    "Eltwise": eltwise, "Slice": slice_, "Reshape": reshape, "Parameter": parameter, "DummyData": dummy, "Constant": dummy,
    "Input": input_, "Split": split, "ReLU6": clip6, "SPP": spp, "LSTM": recurrent, "RNN": recurrent, "InfogainLoss": infogain,
    "SoftmaxWithLoss": loss("valid"), "SigmoidCrossEntropyLoss": loss("batch_size"),
}  # fmt: skip
