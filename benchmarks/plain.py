"""The run of configs/lenet_mnist.yaml as a plain script of PyTorch, data in memory: what `dltrain train` is held against.

python -m benchmarks.plain FOLDER_OF_MNIST ITERATIONS THREADS
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.nets import lenet

BATCH, TESTED, EVERY, SHOWN, SAVED = 64, 100, 2500, 100, 5000


def idx(path: Path, header: int) -> Any:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header).copy()


def mnist(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(idx(folder / f"{split}-images-idx3-ubyte.gz", 16)).reshape(-1, 1, 28, 28)
    return images.float() * 0.00390625, torch.from_numpy(idx(folder / f"{split}-labels-idx1-ubyte.gz", 8)).long()


def accuracy(net: nn.Module, data: torch.Tensor, label: torch.Tensor) -> float:
    with torch.inference_mode():
        parts = zip(data.split(TESTED), label.split(TESTED), strict=True)
        return sum(int((net(x).argmax(1) == y).sum()) for x, y in parts) / len(label)


def main(folder: Path, iterations: int) -> float:
    """The accuracy on the test set after the last iteration."""
    (data, label), test = mnist(folder, "train"), mnist(folder, "t10k")
    net = lenet(nn)
    for name, param in net.named_parameters():
        nn.init.zeros_(param) if name.endswith("bias") else nn.init.xavier_uniform_(param)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 5e-4, "mult": 1.0},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0, "mult": 2.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
    order, at, reached = torch.randperm(len(data)), 0, 0.0
    with tempfile.TemporaryDirectory() as runs:
        for iteration in range(iterations):
            rows = order[at : at + BATCH]
            at += BATCH
            if at >= len(data):  # the batch goes on with the next pass, as ours does
                order, at = torch.randperm(len(data)), at - len(data)
                rows = torch.cat([rows, order[:at]])
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (1 + 1e-4 * iteration) ** -0.75 * group["mult"]
            optimizer.zero_grad()
            loss = F.cross_entropy(net(data[rows]), label[rows])
            loss.backward()
            optimizer.step()
            done = iteration + 1
            if done % SHOWN == 0:
                print(f"iteration {done}  loss {loss.item():.4f}", file=sys.stderr)
            if done % EVERY == 0 or done == iterations:
                reached = accuracy(net, *test)
            if done % SAVED == 0 or done == iterations:
                torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, Path(runs) / f"{done}.pt")
    return reached


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    torch.manual_seed(1)
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
