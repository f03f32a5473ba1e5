"""Nets and solvers of older versions of Caffe as those of 1.0: layers with types in words, an Input layer, transform_param."""

from __future__ import annotations

from dltrain.caffe.flat_layers import folded, from_v0
from dltrain.caffe.message import Message
from dltrain.errors import DataError

V1_TYPES = {
    "NONE": "", "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DECONVOLUTION": "Deconvolution", "DATA": "Data",
    "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp",
    "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN", "POOLING": "Pooling",
    "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice",
    "TANH": "TanH", "WINDOW_DATA": "WindowData", "THRESHOLD": "Threshold",
}  # fmt: skip
SOLVER_TYPES = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta", "ADAM": "Adam",
}  # fmt: skip
PER_BLOB = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
MOVED = ("scale", "mirror", "crop_size", "mean_file")  # from the parameters of a data layer to transform_param
DATA_PARAMS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
INPUT = ("input", "input_dim", "input_shape")


def upgrade_net(net: Message) -> Message:
    """The same net in the words of Caffe 1.0; the message given stays as it is.

    V0  layers { layer { ... } }, types in small letters, a padding layer before a convolution
    V1  layers { type: CONVOLUTION ... }, blobs_lr and weight_decay, mean and scale among the parameters of the data
    """
    layers, old = net.all("layer"), net.all("layers")
    if layers and old:
        raise DataError(
            f"the net has both 'layer' ({line(net, 'layer')}Caffe 1.0) and 'layers' ({line(net, 'layers')}older), which Caffe"
            " refuses; write all of them one way"
        )
    if any("layer" in layer for layer in old):
        old = [from_v0(layer) for layer in folded(old, net.all("input"))]
    layers = layers or [from_v1(moved(layer)) for layer in old]
    made = Message(net.kind, {}, net.line, dict(net.lines), net.unknown)
    for name, values in net.fields.items():
        if name not in (*INPUT, "layer", "layers"):
            made.fields[name] = list(values)
    return made.add("layer", *input_layer(net), *map(fixed, layers))


def line(message: Message, name: str) -> str:
    return f"line {message.lines[name]}, " if name in message.lines else ""


def input_layer(net: Message) -> list[Message]:
    """The Input layer in place of the net's own input, input_dim and input_shape."""
    names, dims, shapes = net.all("input"), net.all("input_dim"), net.all("input_shape")
    if not names:
        return []
    if dims and not shapes:
        if len(dims) != 4 * len(names):
            raise DataError(f"the net has {len(names)} input and {len(dims)} input_dim; each input needs four of them")
        shapes = [Message("BlobShape").add("dim", *dims[at : at + 4]) for at in range(0, len(dims), 4)]
    if shapes and len(shapes) not in (1, len(names)):
        raise DataError(f"the net has {len(names)} input and {len(shapes)} input_shape; each input needs one")
    layer = Message("LayerParameter", {}, net.lines.get("input", 0)).put("name", "input").put("type", "Input")
    layer.add("top", *names)
    return [layer.put("input_param", Message("InputParameter").add("shape", *shapes)) if shapes else layer]


def moved(layer: Message) -> Message:
    """A V1 layer with the mean, scale, crop and mirror of its data in transform_param."""
    word = DATA_PARAMS.get(layer["type"] or "")
    if word is None or not any(name in layer[word] for name in MOVED):
        return layer
    old = layer[word]
    transform = Message("TransformationParameter", dict(layer["transform_param"].fields), old.line, old.lines)
    transform.fields |= {name: old.fields[name] for name in MOVED if name in old}
    kept = {name: values for name, values in old.fields.items() if name not in MOVED}
    made = Message(layer.kind, dict(layer.fields), layer.line, layer.lines, layer.unknown)
    return made.put("transform_param", transform).put(word, Message(old.kind, kept, old.line, old.lines, old.unknown))


def from_v1(layer: Message) -> Message:
    """V1LayerParameter -> LayerParameter: a type in words, a param for each blob."""
    made = Message("LayerParameter", {}, layer.line, layer.lines, layer.unknown)
    params: list[Message] = []
    for name, values in layer.fields.items():
        if name == "type":
            made.put("type", V1_TYPES.get(values[-1], values[-1]))
        elif name not in PER_BLOB:
            made.fields[name] = list(values)
        else:
            made.fields["param"] = params
            while len(params) < len(values):
                params.append(Message("ParamSpec", {}, layer.lines.get(name, 0)))
            for spec, value in zip(params, values):
                spec.put(PER_BLOB[name], value)
    return made


def fixed(layer: Message) -> Message:
    """BatchNorm with a param for each of its three statistics: out of the solver's reach, as Caffe 1.0 has it."""
    if layer["type"] != "BatchNorm" or len(layer.all("param")) != 3:
        return layer
    made = Message(layer.kind, dict(layer.fields), layer.line, layer.lines, layer.unknown)
    made.fields["param"] = [
        Message(spec.kind, {**spec.fields, "lr_mult": [0.0], "decay_mult": [0.0]}, spec.line) for spec in layer.all("param")
    ]
    return made


def upgrade_solver(solver: Message) -> Message:
    """The same solver with its type in words; nets inside of it upgraded too."""
    if "type" in solver and "solver_type" in solver:
        raise DataError("the solver has both type and the older solver_type, which Caffe refuses; leave solver_type out")
    made = Message(solver.kind, {}, solver.line, solver.lines, solver.unknown)
    for name, values in solver.fields.items():
        if name == "solver_type":
            made.put("type", SOLVER_TYPES.get(values[-1], values[-1]))
        else:
            made.fields[name] = [upgrade_net(value) if isinstance(value, Message) and value.kind == "NetParameter" else value
                                 for value in values]  # fmt: skip
    return made
