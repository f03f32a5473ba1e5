"""The nets of the GPU benchmark: configs of ours, and the same layers as PyTorch modules; what the device could do at best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.nets import alexnet, lenet

LIMITS = (
    "limits: the sum over the kernels of max(FLOP / rate, bytes / 4.3 TB/s, 1.5 us); bf16 788, TF32 400, strict fp32 55 TFLOP/s"
)


def words(hidden: int, steps: int, batch: int) -> str:
    """A config: two layers of LSTM over a vocabulary of 10,000."""
    return f"""
name: lstm
data:
  source: {{type: blank, shapes: {{data: [{steps}], label: [{steps}]}}, classes: {{data: 10000, label: 10000}}}}
  batch_size: {batch}
net:
- {{name: embed, type: Embed, input_dim: 10000, num_output: {hidden}, bias_term: false}}
- {{name: lstm, type: LSTM, num_output: {hidden}, num_layers: 2}}
- {{name: words, type: InnerProduct, num_output: 10000, axis: 2}}
- {{name: loss, type: SoftmaxWithLoss, bottom: [words, label], axis: 2}}
solver: {{type: SGD, base_lr: 0.001, momentum: 0.9, clip_gradients: 5, max_iter: 1000}}
"""


@dataclass(frozen=True)
class GpuNet:
    """`config`: a file of configs/, or a text; `settings` on it; `limits`: milliseconds a step by precision, from a roofline."""

    about: str
    config: str
    torch: Callable[[Any], Any]
    sample: tuple[int, ...]
    batch: int
    classes: int = 1000
    settings: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    words: bool = False
    modes: tuple[str, ...] = ("eager", "captured", "compile")


def vgg16(nn: Any) -> Any:
    made, below = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        made += [nn.Conv2d(below, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2, 2)]
        below = width or below
    return nn.Sequential(
        *made, nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, 1000),
    )  # fmt: skip


def resnet50(nn: Any) -> Any:
    class Unit(nn.Module):  # type: ignore[misc]
        def __init__(self, below: int, width: int, stride: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(
                nn.Conv2d(below, width, 1, stride, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width),
            )  # fmt: skip
            wide = below != 4 * width
            way = [nn.Conv2d(below, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)] if wide else []
            self.way = nn.Sequential(*way)

        def forward(self, x: Any) -> Any:
            return (self.inner(x) + self.way(x)).relu()

    made, below = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for number in range(count):
            made.append(Unit(below, width, 2 if number == 0 and width > 64 else 1))
            below = 4 * width
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


MODULES = (  # input, 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooled
    (192, 64, 96, 128, 16, 32, 32), (256, 128, 128, 192, 32, 96, 64), (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64), (512, 128, 128, 256, 24, 64, 64), (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128), (832, 256, 160, 320, 32, 128, 128), (832, 384, 192, 384, 48, 128, 128),
)  # fmt: skip


def conv(nn: Any, below: int, width: int, size: int = 1) -> Any:
    return nn.Sequential(nn.Conv2d(below, width, size, padding=size // 2), nn.ReLU())


def module(nn: Any, below: int, one: int, three_in: int, three: int, five_in: int, five: int, pooled: int) -> Any:
    """Four ways side by side."""
    import torch

    class Module(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ways = nn.ModuleList([
                conv(nn, below, one), nn.Sequential(conv(nn, below, three_in), conv(nn, three_in, three, 3)),
                nn.Sequential(conv(nn, below, five_in), conv(nn, five_in, five, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(nn, below, pooled)),
            ])  # fmt: skip

        def forward(self, x: Any) -> Any:
            return torch.cat([way(x) for way in self.ways], 1)

    return Module()


def googlenet(nn: Any) -> Any:
    """With both auxiliary heads: the net returns three tables of scores."""

    def head(below: int) -> Any:
        return nn.Sequential(nn.AvgPool2d(5, 3, ceil_mode=True), conv(nn, below, 128), nn.Flatten(), nn.Linear(2048, 1024),
                             nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, 1000))  # fmt: skip

    def pool() -> Any:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    class GoogLeNet(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            parts, lrn = [module(nn, *sizes) for sizes in MODULES], nn.LocalResponseNorm(5, 1e-4, 0.75, 1)
            self.stem = nn.Sequential(
                nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), pool(), lrn, conv(nn, 64, 64), conv(nn, 64, 192, 3),
                nn.LocalResponseNorm(5, 1e-4, 0.75, 1), pool(), parts[0], parts[1], pool(), parts[2],
            )  # fmt: skip
            self.middle, self.top = nn.Sequential(*parts[3:6]), nn.Sequential(parts[6], pool(), parts[7], parts[8])
            self.one, self.two = head(512), head(528)
            self.last = nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 1000))

        def forward(self, x: Any) -> Any:
            low = self.stem(x)
            high = self.middle(low)
            return self.last(self.top(high)), self.one(low), self.two(high)

    return GoogLeNet()


def lstm(hidden: int) -> Callable[[Any], Any]:
    def made(nn: Any) -> Any:
        class Words(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.embed, self.lstm = nn.Embedding(10000, hidden), nn.LSTM(hidden, hidden, 2, batch_first=True)
                self.words = nn.Linear(hidden, 10000)

            def forward(self, x: Any) -> Any:
                return self.words(self.lstm(self.embed(x))[0]).flatten(0, 1)

        return Words()

    return made


ALL = ("eager", "captured", "compile", "reduce-overhead")
NETS = {
    "lenet": GpuNet("LeNet, batch 64", "configs/lenet_mnist.yaml", lenet, (1, 28, 28), 64, 10, ("data.batch_size=64",),
                    {"bf16": 0.028, "tf32": 0.028, "fp32": 0.034}, modes=ALL),
    "alexnet": GpuNet("AlexNet, batch 256", "configs/alexnet.yaml", alexnet, (3, 227, 227), 256,
                      settings=("data.batch_size=256",),
                      limits={"bf16": 2.24, "tf32": 4.1, "fp32": 20.7}),
    "vgg16": GpuNet("VGG-16, batch 64", "configs/vgg_d.yaml", vgg16, (3, 224, 224), 64, settings=("data.batch_size=64",),
                    limits={"bf16": 9.4, "tf32": 17.8, "fp32": 112.0}),
    "googlenet": GpuNet("GoogLeNet with its heads, batch 256", "configs/googlenet.yaml", googlenet, (3, 224, 224), 256,
                        settings=("data.batch_size=256",), limits={"bf16": 5.9, "tf32": 11.5, "fp32": 49.0}),
    "resnet50": GpuNet("ResNet-50, batch 64", "configs/resnet50.yaml", resnet50, (3, 224, 224), 64,
                       settings=("data.batch_size=64",), limits={"bf16": 5.85, "tf32": 11.5, "fp32": 34.5}),
    "lstm": GpuNet("LSTM 2 x 650, 35 steps, batch 20", words(650, 35, 20), lstm(650), (35,), 20, 10000,
                   limits={"bf16": 0.3, "tf32": 0.36}, words=True),
}  # fmt: skip
