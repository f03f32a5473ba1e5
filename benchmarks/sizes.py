"""One size of a net, a process of its own: how long a step takes as the batch, the depth or the width grows.

python -m benchmarks.sizes SIZE "convnet|mlp batch|depth|width" THREADS
"""

from __future__ import annotations

import sys

from benchmarks import runner
from benchmarks.nets import Bench

BASES = {"convnet": {"batch": 32, "depth": 4, "width": 32}, "mlp": {"batch": 128, "depth": 4, "width": 512}}
STEPS = (0.5, 1, 2)


def sizes(net: str, grown: str) -> list[int]:
    """The three sizes, each twice the one before."""
    return [int(BASES[net][grown] * step) for step in STEPS]


def convnet(depth: int, width: int) -> str:
    """So many convolutions of 3 x 3, a ReLU after each, and one linear layer."""
    made = []
    for number in range(depth):
        made += [f"- {{name: conv{number}, type: Convolution, num_output: {width}, kernel_size: 3, pad: 1}}"]
        made += [f"- {{name: relu{number}, type: ReLU}}"]
    return "\n".join(made)


def mlp(depth: int, width: int) -> str:
    """So many hidden layers."""
    made = []
    for number in range(depth):
        made += [f"- {{name: hidden{number}, type: InnerProduct, num_output: {width}}}"]
        made += [f"- {{name: relu{number}, type: ReLU}}"]
    return "\n".join(made)


NETS = {"convnet": ((32, 32, 32), convnet), "mlp": ((512,), mlp)}
END = "\n- {name: scores, type: InnerProduct, num_output: 10}\n- {name: loss, type: SoftmaxWithLoss, bottom: [scores, label]}"


def bench(net: str, grown: str, size: int) -> Bench:
    chosen, (sample, lines) = BASES[net] | {grown: size}, NETS[net]
    return Bench(net, (chosen["batch"], *sample), 10, lines(chosen["depth"], chosen["width"]) + END, lambda nn: None)


def main(size: int, name: str, threads: int) -> None:
    net, grown = name.split()
    side = runner.ours(bench(net, grown, size), threads, "train")
    for _ in range(runner.WARM_UP):
        side.step()
    runner.serve(side)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
