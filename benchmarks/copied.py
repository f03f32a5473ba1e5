"""Any net of convolutions as a module of PyTorch, layer by layer, from the lines of the config itself."""

from __future__ import annotations

from typing import Any


def copied(config: Any) -> Any:
    """A module from the data to what the loss reads; its parameters have the names of the net's."""
    import torch

    class Copied(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lines = [config.net.lines[number] for number in config.net.order]
            self.numbers = list(config.net.order)
            loss = next(line for line in self.lines if line.layer.kind == "loss")
            self.end = loss.refs[0].line
            for part in config.net.store.segments.values():
                self.hold(f"{part.layer}/{part.role}".split("/"), part.shape)
            for line in self.lines:
                if line.layer.type == "BatchNorm":
                    size = config.net.shapes["train"][line.name][1]
                    place = self.get_submodule(line.name.replace("/", "."))
                    place.register_buffer("mean", torch.zeros(size))
                    place.register_buffer("variance", torch.ones(size))

        def hold(self, path: list[str], shape: Any) -> None:
            place: Any = self
            for word in path[:-1]:
                if word not in dict(place.named_children()):
                    place.add_module(word, torch.nn.Module())
                place = place.get_submodule(word)
            place.register_parameter(path[-1], torch.nn.Parameter(torch.zeros(tuple(shape))))

        def forward(self, data: Any) -> Any:
            made: dict[int, Any] = {}
            phase = "train" if self.training else "test"
            for number, line in zip(self.numbers, self.lines, strict=True):
                if line.layer.kind != "layer":
                    continue
                xs = [data if ref.field is not None else made[ref.line] for ref in line.refs]
                names = {name.removeprefix(line.name.replace("/", ".") + "."): value for name, value in self.named_parameters()
                         if name.rsplit(".", 1)[0] == line.name.replace("/", ".")}  # fmt: skip
                left_out = phase not in line.phases
                made[number] = xs[0] if left_out else ACTS[line.layer.type](self, line, xs, names)
            return made[self.end]

    return Copied()


def pair(value: Any) -> Any:
    return tuple(value) * 2 if len(value) == 1 else tuple(value)


def convolution(net: Any, line: Any, xs: Any, p: Any) -> Any:
    from torch.nn import functional as F

    it = line.layer
    return F.conv2d(xs[0], p["weight"], p.get("bias"), pair(it.stride), pair(it.pad), pair(it.dilation), it.group)


def pooling(net: Any, line: Any, xs: Any, p: Any) -> Any:
    from torch.nn import functional as F

    it, x = line.layer, xs[0]
    if it.global_pooling:
        return F.adaptive_avg_pool2d(x, 1) if it.pool == "mean" else F.adaptive_max_pool2d(x, 1)
    act = F.avg_pool2d if it.pool == "mean" else F.max_pool2d
    return act(x, pair(it.kernel_size), pair(it.stride), pair(it.pad), ceil_mode=it.round == "ceil")


def batch_norm(net: Any, line: Any, xs: Any, p: Any) -> Any:
    from torch.nn import functional as F

    place = net.get_submodule(line.name.replace("/", "."))
    return F.batch_norm(xs[0], place.mean, place.variance, p["scale"], p["bias"], net.training, 0.1, line.layer.eps)


def dropout(net: Any, line: Any, xs: Any, p: Any) -> Any:
    from torch.nn import functional as F

    return F.dropout(xs[0], line.layer.dropout_ratio, net.training)


def inner_product(net: Any, line: Any, xs: Any, p: Any) -> Any:
    from torch.nn import functional as F

    return F.linear(xs[0].flatten(1), p["weight"], p.get("bias"))


def padded(net: Any, line: Any, xs: Any, p: Any) -> Any:
    """Zeros behind the channels, as the short ways of a residual net have them."""
    from torch.nn import functional as F

    before, after = line.layer.pad[0], (line.layer.pad_after or line.layer.pad)[0]
    assert line.layer.axis == 1 and not any(line.layer.pad[1:])
    return F.pad(xs[0], (0, 0, 0, 0, before, after))


ACTS: dict[str, Any] = {
    "Convolution": convolution, "Pooling": pooling, "BatchNorm": batch_norm, "Dropout": dropout,
    "InnerProduct": inner_product, "Pad": padded,
    "Flatten": lambda net, line, xs, p: xs[0].flatten(1),
    "ReLU": lambda net, line, xs, p: xs[0].relu(), "Eltwise": lambda net, line, xs, p: sum(xs[1:], xs[0]),
}  # fmt: skip
