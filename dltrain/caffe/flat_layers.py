"""Layers of the oldest nets of Caffe (V0): one flat bag of settings for all types, and layers that do nothing but pad."""

from __future__ import annotations

from dltrain.caffe.message import Message
from dltrain.caffe.schema import MESSAGES
from dltrain.errors import DataError

V0_TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA", "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA", "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS", "innerproduct": "INNER_PRODUCT", "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS", "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS", "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip
TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
PARAMS = {
    "conv": "convolution_param", "innerproduct": "inner_product_param", "pool": "pooling_param", "dropout": "dropout_param",
    "lrn": "lrn_param", "data": "data_param", "hdf5_data": "hdf5_data_param", "images": "image_data_param",
    "window_data": "window_data_param", "infogain_loss": "infogain_loss_param", "concat": "concat_param",
}  # fmt: skip
SETTINGS = {  # setting -> its name today, and the types that know it
    "num_output": ("num_output", "conv innerproduct"),
    "biasterm": ("bias_term", "conv innerproduct"),
    "weight_filler": ("weight_filler", "conv innerproduct"),
    "bias_filler": ("bias_filler", "conv innerproduct"),
    "pad": ("pad", "conv pool"),
    "kernelsize": ("kernel_size", "conv pool"),
    "group": ("group", "conv"),
    "stride": ("stride", "conv pool"),
    "pool": ("pool", "pool"),
    "dropout_ratio": ("dropout_ratio", "dropout"),
    "local_size": ("local_size", "lrn"),
    "alpha": ("alpha", "lrn"),
    "beta": ("beta", "lrn"),
    "k": ("k", "lrn"),
    "source": ("source", "data hdf5_data images window_data infogain_loss"),
    "batchsize": ("batch_size", "data hdf5_data images window_data"),
    "rand_skip": ("rand_skip", "data images"),
    "shuffle_images": ("shuffle", "images"),
    "new_height": ("new_height", "images"),
    "new_width": ("new_width", "images"),
    "concat_dim": ("concat_dim", "concat"),
    "det_fg_threshold": ("fg_threshold", "window_data"),
    "det_bg_threshold": ("bg_threshold", "window_data"),
    "det_fg_fraction": ("fg_fraction", "window_data"),
    "det_context_pad": ("context_pad", "window_data"),
    "det_crop_mode": ("crop_mode", "window_data"),
}


def folded(layers: list[Message], inputs: list[str]) -> list[Message]:
    """The layers without those that pad: their padding is the setting of the convolution or pooling behind them."""
    made: list[Message] = []
    source: dict[str, Message | None] = dict.fromkeys(inputs)  # blob -> the layer that it comes from
    for layer in layers:
        type = layer["layer"]["type"]
        pads = [found for name in layer.all("bottom") if (found := source.get(name)) is not None and is_padding(found)]
        if pads:
            said = f"layer '{layer['layer']['name'] or ''}' (line {layer.line})"
            if type not in ("conv", "pool"):
                raise DataError(f"{said}: comes behind a padding layer, which Caffe allows before conv and pool alone")
            if any(len(each.all(word)) != 1 for each, word in ((layer, "bottom"), (pads[0], "bottom"), (pads[0], "top"))):
                raise DataError(f"{said}: it and the padding layer before it must have one bottom each, as Caffe has it")
            inner = Message("V0LayerParameter", dict(layer["layer"].fields), layer["layer"].line, layer["layer"].lines)
            layer = Message(layer.kind, dict(layer.fields), layer.line, layer.lines, layer.unknown)
            layer.put("layer", inner.put("pad", pads[0]["layer"]["pad"])).put("bottom", pads[0]["bottom"])
        if type != "padding":
            made.append(layer)
        source |= dict.fromkeys(layer.all("top"), layer)
    return made


def is_padding(layer: Message) -> bool:
    return bool(layer["layer"]["type"] == "padding")


def from_v0(layer: Message) -> Message:
    """V1LayerParameter with a V0LayerParameter inside -> one without.

    A setting that the type never had stays under its old name, where the schema does not know it; Caffe drops it.
    """
    if "layer" not in layer:
        return layer
    inner = layer["layer"]
    type = inner["type"] or ""
    made = Message("V1LayerParameter", {}, layer.line or inner.line, {**layer.lines, **inner.lines}, layer.unknown)
    made.put("name", inner["name"] or "").put("type", V0_TYPES.get(type, type))
    made.fields |= {name: list(layer.all(name)) for name in ("bottom", "top", "include", "exclude") if layer.all(name)}
    for name, values in inner.fields.items():
        today, types = SETTINGS.get(name, (name, ""))
        if name in TRANSFORM:
            part(made, "transform_param", inner).fields[TRANSFORM[name]] = list(values)
        elif type in types.split():
            part(made, PARAMS[type], inner).fields[today] = list(values)
        elif name not in ("name", "type"):
            made.fields[name] = list(values)
    return made


def part(layer: Message, name: str, inner: Message) -> Message:
    """The parameters of that name, made where there are none yet."""
    if name not in layer:
        layer.put(name, Message(MESSAGES[layer.kind][name].type, {}, inner.line, inner.lines))
    made: Message = layer[name]
    return made
