"""The nets of the benchmarks in JAX: from the same values, the losses of ours, step by step."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import jax_nets
from benchmarks.nets import NETS, RATES
from benchmarks.runner import engine_of, feed_of, net_of

jax_nets.begin(1)
pytest.importorskip("jax", reason="needs pip install jax")


@pytest.mark.parametrize(
    ("name", "phase"),
    [("lenet", "train"), ("cifar10_quick", "train"), ("resnet20", "train"), ("resnet20", "test"), ("lstm", "train")],
)
def test_the_losses_of_jax_are_ours(name, phase):
    bench = replace(NETS[name], batch=(4, *NETS[name].batch[1:]))
    hold(bench, phase)


def test_the_losses_of_an_alexnet_without_dropout_are_ours():
    lines = [line for line in NETS["alexnet"].yaml.splitlines() if "Dropout" not in line]
    thin = "\n".join(lines).replace("4096", "64").replace("1000", "10")
    hold(replace(NETS["alexnet"], batch=(2, 3, 227, 227), yaml=thin, classes=10), "train")


def hold(bench, phase):
    engine, feed = engine_of(bench, 1), feed_of(bench)
    step, _ = jax_nets.jax_side(net_of(bench), bench, RATES, feed, phase)
    try:
        for _ in range(3):
            if phase == "train":
                (mine,) = engine.step([feed], RATES).values()
            else:
                engine.forward("test", feed)
                (total, weight) = next(iter(engine.tallies().values()))
                mine = total / weight
            np.testing.assert_allclose(mine, float(step()), rtol=2e-5)
    finally:
        engine.close()
