"""Any net of convolutions as a module of PyTorch, layer by layer, from the lines of the config itself."""

from __future__ import annotations

from typing import Any


def copied(config: Any) -> Any:
    """A module from the data to what the loss reads; its parameters have the names of the net's."""
    import torch

    net = config.net
    lines = {number: net.lines[number] for number in net.order}
    made = torch.nn.Module()
    for part in net.store.segments.values():
        within(made, f"{part.layer}/{part.role}").register_parameter(
            part.role, torch.nn.Parameter(torch.zeros(tuple(part.shape)))
        )
    for line in lines.values():
        place = within(made, f"{line.name}/")  # all of them now, so that train() and eval() reach them
        if line.layer.type == "BatchNorm":
            size = net.shapes["train"][line.name][1]
            place.register_buffer("mean", torch.zeros(size))
            place.register_buffer("variance", torch.ones(size))
    end = next(line.refs[0].line for line in lines.values() if line.layer.kind == "loss")

    def forward(data: Any) -> Any:
        blobs: dict[int, Any] = {}
        for number, line in lines.items():
            if line.layer.kind == "layer":
                xs = [data if ref.field is not None else blobs[ref.line] for ref in line.refs]
                here = ("train" if made.training else "test") in line.phases
                place = within(made, f"{line.name}/")
                blobs[number] = ACTS[line.layer.type](place, line.layer, xs) if here else xs[0]
        return blobs[end]

    made.forward = forward
    return made


def within(module: Any, path: str) -> Any:
    """The module that a layer's name leads to, made where it is not there: stage2/1/conv/weight lies in stage2.1.conv."""
    import torch

    for word in path.split("/")[:-1]:
        if word not in dict(module.named_children()):
            module.add_module(word, torch.nn.Module())
        module = module.get_submodule(word)
    return module


def pair(value: Any) -> Any:
    return tuple(value) * 2 if len(value) == 1 else tuple(value)


def convolution(place: Any, it: Any, xs: Any) -> Any:
    from torch.nn import functional as F

    return F.conv2d(xs[0], place.weight, getattr(place, "bias", None), pair(it.stride), pair(it.pad), pair(it.dilation), it.group)


def pooling(place: Any, it: Any, xs: Any) -> Any:
    from torch.nn import functional as F

    x = xs[0]
    if it.global_pooling:
        return F.adaptive_avg_pool2d(x, 1) if it.pool == "mean" else F.adaptive_max_pool2d(x, 1)
    act = F.avg_pool2d if it.pool == "mean" else F.max_pool2d
    return act(x, pair(it.kernel_size), pair(it.stride), pair(it.pad), ceil_mode=it.round == "ceil")


def batch_norm(place: Any, it: Any, xs: Any) -> Any:
    from torch.nn import functional as F

    return F.batch_norm(xs[0], place.mean, place.variance, place.scale, place.bias, place.training, 0.1, it.eps)


def dropout(place: Any, it: Any, xs: Any) -> Any:
    from torch.nn import functional as F

    return F.dropout(xs[0], it.dropout_ratio, place.training)


def inner_product(place: Any, it: Any, xs: Any) -> Any:
    from torch.nn import functional as F

    return F.linear(xs[0].flatten(1), place.weight, getattr(place, "bias", None))


def padded(place: Any, it: Any, xs: Any) -> Any:
    """Zeros behind the channels, as the short ways of a residual net have them."""
    from torch.nn import functional as F

    before, after = it.pad[0], (it.pad_after or it.pad)[0]
    assert it.axis == 1 and not any(it.pad[1:])
    return F.pad(xs[0], (0, 0, 0, 0, before, after))


ACTS: dict[str, Any] = {
    "Convolution": convolution, "Pooling": pooling, "BatchNorm": batch_norm, "Dropout": dropout,
    "InnerProduct": inner_product, "Pad": padded,
    "Flatten": lambda place, it, xs: xs[0].flatten(1),
    "ReLU": lambda place, it, xs: xs[0].relu(), "Eltwise": lambda place, it, xs: sum(xs[1:], xs[0]),
}  # fmt: skip
