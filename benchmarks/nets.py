"""The nets of the benchmarks: the shape of a batch, ours as YAML, PyTorch's as a module of the same layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LENET = """
- {name: conv1, type: Convolution, num_output: 20, kernel_size: 5}
- {name: pool1, type: Pooling, kernel_size: 2, stride: 2}
- {name: conv2, type: Convolution, num_output: 50, kernel_size: 5}
- {name: pool2, type: Pooling, kernel_size: 2, stride: 2}
- {name: ip1, type: InnerProduct, num_output: 500}
- {name: relu1, type: ReLU}
- {name: ip2, type: InnerProduct, num_output: 10}
- {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
"""

MLP = """
- {name: ip1, type: InnerProduct, num_output: 1000}
- {name: relu1, type: ReLU}
- {name: ip2, type: InnerProduct, num_output: 1000}
- {name: relu2, type: ReLU}
- {name: ip3, type: InnerProduct, num_output: 10}
- {name: loss, type: SoftmaxWithLoss, bottom: [ip3, label]}
"""

CIFAR10_QUICK = """
- {name: conv1, type: Convolution, num_output: 32, kernel_size: 5, pad: 2}
- {name: pool1, type: Pooling, kernel_size: 3, stride: 2}
- {name: relu1, type: ReLU}
- {name: conv2, type: Convolution, num_output: 32, kernel_size: 5, pad: 2}
- {name: relu2, type: ReLU}
- {name: pool2, type: Pooling, pool: mean, kernel_size: 3, stride: 2}
- {name: conv3, type: Convolution, num_output: 64, kernel_size: 5, pad: 2}
- {name: relu3, type: ReLU}
- {name: pool3, type: Pooling, pool: mean, kernel_size: 3, stride: 2}
- {name: ip1, type: InnerProduct, num_output: 64}
- {name: ip2, type: InnerProduct, num_output: 10}
- {name: loss, type: SoftmaxWithLoss, bottom: [ip2, label]}
"""

ALEXNET = """
- {name: conv1, type: Convolution, num_output: 96, kernel_size: 11, stride: 4}
- {name: relu1, type: ReLU}
- {name: norm1, type: LRN, local_size: 5, k: 2, alpha: 5e-4, beta: 0.75}
- {name: pool1, type: Pooling, kernel_size: 3, stride: 2}
- {name: conv2, type: Convolution, num_output: 256, kernel_size: 5, pad: 2, group: 2}
- {name: relu2, type: ReLU}
- {name: norm2, type: LRN, local_size: 5, k: 2, alpha: 5e-4, beta: 0.75}
- {name: pool2, type: Pooling, kernel_size: 3, stride: 2}
- {name: conv3, type: Convolution, num_output: 384, kernel_size: 3, pad: 1}
- {name: relu3, type: ReLU}
- {name: conv4, type: Convolution, num_output: 384, kernel_size: 3, pad: 1, group: 2}
- {name: relu4, type: ReLU}
- {name: conv5, type: Convolution, num_output: 256, kernel_size: 3, pad: 1, group: 2}
- {name: relu5, type: ReLU}
- {name: pool5, type: Pooling, kernel_size: 3, stride: 2}
- {name: fc6, type: InnerProduct, num_output: 4096}
- {name: relu6, type: ReLU}
- {name: drop6, type: Dropout}
- {name: fc7, type: InnerProduct, num_output: 4096}
- {name: relu7, type: ReLU}
- {name: drop7, type: Dropout}
- {name: fc8, type: InnerProduct, num_output: 1000}
- {name: loss, type: SoftmaxWithLoss, bottom: [fc8, label]}
"""

VGG_WIDTHS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)  # 0 is a pooling


def vgg11_lines() -> str:
    """VGG A for images of 32 x 32: eight convolutions and one linear layer."""
    made = []
    for number, width in enumerate(VGG_WIDTHS):
        if width:
            made += [f"- {{name: conv{number}, type: Convolution, num_output: {width}, kernel_size: 3, pad: 1}}"]
            made += [f"- {{name: relu{number}, type: ReLU}}"]
        else:
            made += [f"- {{name: pool{number}, type: Pooling, kernel_size: 2, stride: 2}}"]
    made += ["- {name: fc, type: InnerProduct, num_output: 10}"]
    return "\n".join([*made, "- {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}"])


def resnet20_lines() -> str:
    """ResNet-20 for CIFAR, shortcuts without weights: every second place, and 0 in new channels."""
    made: list[str] = []

    def conv(name: str, width: int, stride: int, below: str) -> None:
        keys = f"num_output: {width}, kernel_size: 3, pad: 1, stride: {stride}, bias_term: false"
        made.append(f"- {{name: {name}, type: Convolution, bottom: {below}, {keys}}}")
        made.append(f"- {{name: {name}/norm, type: BatchNorm}}")

    conv("conv1", 16, 1, "data")
    made.append("- {name: relu1, type: ReLU}")
    below = "relu1"
    for width, first in ((16, 1), (32, 2), (64, 2)):
        for unit in (1, 2, 3):
            name, stride = f"res{width}/{unit}", first if unit == 1 else 1
            conv(f"{name}/conv1", width, stride, below)
            made.append(f"- {{name: {name}/relu1, type: ReLU}}")
            conv(f"{name}/conv2", width, 1, f"{name}/relu1")
            if stride > 1:
                made.append(f"- {{name: {name}/every2, type: Pooling, bottom: {below}, kernel_size: 1, stride: 2, round: floor}}")
                made.append(f"- {{name: {name}/wide, type: Pad, axis: 1, pad: [{width // 4}, 0, 0]}}")
                below = f"{name}/wide"
            made.append(f"- {{name: {name}/add, type: Eltwise, bottom: [{name}/conv2/norm, {below}]}}")
            made.append(f"- {{name: {name}, type: ReLU}}")
            below = name
    made.append("- {name: pool, type: Pooling, pool: mean, global_pooling: true}")
    made.append("- {name: fc, type: InnerProduct, num_output: 10}")
    return "\n".join([*made, "- {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}"])


LSTM = """
- {name: embed, type: Embed, input_dim: 10000, num_output: 200, bias_term: false}
- {name: lstm, type: LSTM, num_output: 200, num_layers: 2}
- {name: words, type: InnerProduct, num_output: 10000, axis: 2}
- {name: loss, type: SoftmaxWithLoss, bottom: [words, label], axis: 2}
"""


@dataclass(frozen=True)
class Bench:
    """One net: (batch, *sample), the number of classes, and both texts of it."""

    about: str
    batch: tuple[int, ...]
    classes: int
    yaml: str
    torch: Callable[[Any], Any]
    words: int = 0  # how many different whole numbers the data are; 0: real numbers
    label: tuple[int, ...] = ()  # the labels of a sample
    clip: float | None = None  # the norm beyond which gradients are shortened


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2, 2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


def mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 10))


def cifar10_quick(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10),
    )  # fmt: skip


def alexnet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000),
    )  # fmt: skip


def vgg11(nn: Any) -> Any:
    made, below = [], 3
    for width in VGG_WIDTHS:
        made += [nn.Conv2d(below, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2, 2)]
        below = width or below
    return nn.Sequential(*made, nn.Flatten(), nn.Linear(512, 10))


def resnet20(nn: Any) -> Any:
    pad = nn.functional.pad

    class Unit(nn.Module):  # type: ignore[misc]
        def __init__(self, below: int, width: int, stride: int) -> None:
            super().__init__()
            self.wider, self.stride = (width - below) // 2, stride
            self.inner = nn.Sequential(
                nn.Conv2d(below, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            short = x if self.stride == 1 else pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.wider, self.wider))
            return (self.inner(x) + short).relu()

    widths = [16, 16, 16, 32, 32, 32, 64, 64, 64]
    units = [Unit(below, width, width // below) for below, width in zip([16, *widths], widths, strict=False)]
    head = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*head, *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def lstm(nn: Any) -> Any:
    class Words(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm, self.words = nn.Embedding(10000, 200), nn.LSTM(200, 200, 2), nn.Linear(200, 10000)

        def forward(self, x: Any) -> Any:
            return self.words(self.lstm(self.embed(x))[0]).flatten(0, 1)

    return Words()


NETS = {
    "lenet": Bench("LeNet, batch 64 x 1 x 28 x 28", (64, 1, 28, 28), 10, LENET, lenet),
    "mlp": Bench("MLP 784-1000-1000-10, batch 100", (100, 784), 10, MLP, mlp),
    "cifar10_quick": Bench("CIFAR-10 quick, batch 100 x 3 x 32 x 32", (100, 3, 32, 32), 10, CIFAR10_QUICK, cifar10_quick),
    "resnet20": Bench("ResNet-20, batch 128 x 3 x 32 x 32", (128, 3, 32, 32), 10, resnet20_lines(), resnet20),
    "vgg11": Bench("VGG-11, batch 128 x 3 x 32 x 32", (128, 3, 32, 32), 10, vgg11_lines(), vgg11),
    "alexnet": Bench("AlexNet, batch 32 x 3 x 227 x 227", (32, 3, 227, 227), 1000, ALEXNET, alexnet),
    "lstm": Bench("LSTM 2 x 200, 10,000 words, batch 20 x 20 steps", (20, 20), 10000, LSTM, lstm, 10000, (20,), 5.0),
}
RATES = {"lr": 0.001, "momentum": 0.9, "decay": 5e-4}
