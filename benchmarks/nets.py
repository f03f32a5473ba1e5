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


@dataclass(frozen=True)
class Bench:
    """One net: (batch, *sample), the number of classes, and both texts of it."""

    about: str
    batch: tuple[int, ...]
    classes: int
    yaml: str
    torch: Callable[[Any], Any]


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2, 2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


def mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 10))


NETS = {
    "lenet": Bench("LeNet, batch 64 x 1 x 28 x 28", (64, 1, 28, 28), 10, LENET, lenet),
    "mlp": Bench("MLP 784-1000-1000-10, batch 100", (100, 784), 10, MLP, mlp),
}
RATES = {"lr": 0.001, "momentum": 0.9, "decay": 5e-4}
