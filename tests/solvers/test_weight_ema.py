"""weight_ema in a run: phases other than train compute with the average where `use` says so, and a snapshot holds both."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.engine import Engine
from dltrain.fillers import Constant
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.policy import Horizon
from dltrain.registry import LAYERS
from dltrain.solver import WeightEma
from dltrain.solvers.lamb import LAMB
from dltrain.solvers.sgd import SGD
from dltrain.tensor import Shape
from dltrain.wiring import Line

RNG = np.random.default_rng(0)
BATCHES = [{"data": RNG.standard_normal((6, 3)), "label": RNG.standard_normal((6, 2))} for _ in range(5)]
RUN = Horizon(10, Fraction(5))


def net() -> Net:
    lines = [Line("ip", LAYERS["InnerProduct"](num_output=2)), Line("loss", LAYERS["EuclideanLoss"](), ["ip", "label"])]
    return Net(lines, {"data": Shape((3,)), "label": Shape((2,))}, 6)


def engine(ema: WeightEma | None, backend: Any = None, kind: Any = SGD, **keys: Any) -> Engine:
    made = Engine(net(), backend or Reference(np.float64), kind(base_lr=0.1, weight_ema=ema, **keys))
    made.initialise(1)
    return made


def train(made: Engine, steps: int, start: int = 0) -> list[dict[str, Any]]:
    """The weights after each step."""
    seen = []
    for step in range(start, start + steps):
        assert made.solver is not None
        made.step([BATCHES[step % 5]], made.solver.rates(step, RUN))
        seen.append({name: made.memory.slot("w", part).copy() for (_, name), part in made.net.store.segments.items()})
    return seen


def output(made: Engine) -> Any:
    made.forward("test", BATCHES[0], upto=("ip",))
    return made.blob("ip")


def by_hand(weights: dict[str, Any]) -> Any:
    return BATCHES[0]["data"] @ weights["weight"].T + weights["bias"]


@pytest.mark.parametrize("use", [False, True])
def test_training_goes_its_way_whatever_is_averaged(use: bool) -> None:
    plain, other = train(engine(None), 5), train(engine(WeightEma(decay=0.5, use=use)), 5)
    for a, b in zip(plain, other, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_used_the_average_is_what_a_test_computes_with() -> None:
    made = engine(WeightEma(decay=0.9, use=True))
    np.testing.assert_allclose(output(made), by_hand(weights_of(made)))  # before any update
    seen = train(made, 4)
    mean = {name: np.mean([weights[name] for weights in seen], axis=0) for name in seen[0]}
    np.testing.assert_allclose(output(made), by_hand(mean))
    made.forward("test", BATCHES[0])
    total, count = next(iter(made.tallies().values()))
    np.testing.assert_allclose(total / count, np.square(by_hand(mean) - BATCHES[0]["label"]).sum() / 12)


def weights_of(made: Engine) -> dict[str, Any]:
    return {name: made.memory.slot("w", part) for (_, name), part in made.net.store.segments.items()}


def test_not_used_it_is_only_kept() -> None:
    made = engine(WeightEma(decay=0.9))
    seen = train(made, 4)
    np.testing.assert_allclose(output(made), by_hand(seen[-1]))
    arrays = made.state_arrays()
    np.testing.assert_allclose(arrays["slots/average/ip/weight"], np.mean([weights["weight"] for weights in seen], axis=0))
    assert np.array_equal(arrays["data/ip/weight"], seen[-1]["weight"])


def test_used_it_is_the_weights_of_a_snapshot() -> None:
    made = engine(WeightEma(decay=0.9, use=True))
    seen, arrays = train(made, 3), made.state_arrays()
    assert set(arrays) == {
        f"{group}/ip/{role}" for group in ("data", "slots/velocity", "slots/moving") for role in ("weight", "bias")
    }
    np.testing.assert_allclose(arrays["data/ip/weight"], np.mean([weights["weight"] for weights in seen], axis=0))
    assert np.array_equal(arrays["slots/moving/ip/weight"], seen[-1]["weight"])


@pytest.mark.parametrize("use", [False, True])
@pytest.mark.parametrize("kind", [SGD, LAMB])
def test_saved_and_taken_up_again_it_goes_on_bit_for_bit(use: bool, kind: Any) -> None:
    cpu = Cpu(2)
    try:
        straight = engine(WeightEma(decay=0.9, use=use), cpu, kind, max_norm=0.5)
        train(straight, 6)
        broken = engine(WeightEma(decay=0.9, use=use), cpu, kind, max_norm=0.5)
        train(broken, 3)
        saved = {name: array.copy() for name, array in broken.state_arrays().items()}
        resumed = engine(WeightEma(decay=0.9, use=use), cpu, kind, max_norm=0.5)
        for name, array in resumed.state_arrays().items():
            array[...] = saved[name]
        resumed.step_count = broken.step_count
        train(resumed, 3, 3)
        for name, array in straight.state_arrays().items():
            assert array.tobytes() == resumed.state_arrays()[name].tobytes(), name
        for made in (straight, broken, resumed):
            made.close()
    finally:
        cpu.close()


def test_weights_put_in_before_the_first_step_are_what_is_trained() -> None:
    made = engine(WeightEma(decay=0.9, use=True))
    for name, array in made.state_arrays().items():
        if name.startswith("data/"):
            array[...] = Constant(value=0.25).fill(array.shape, (0, 0))
    other = engine(None)
    for part in other.net.store.segments.values():
        other.memory.slot("w", part)[...] = 0.25
    np.testing.assert_allclose(train(made, 1)[0]["weight"], train(other, 1)[0]["weight"])


def test_reset_begins_again() -> None:
    made = engine(WeightEma(decay=0.9, use=True))
    train(made, 3)
    made.initialise(1)
    made.reset()
    assert np.array_equal(made.state_arrays()["data/ip/weight"], weights_of(made)["weight"])


def test_rows_of_every_weight_that_learns_are_bounded() -> None:
    made = engine(None, max_norm=0.1)
    start = made.net.store.segments["ip", "weight"].start
    assert made.rows() == [(start, start + 6, 2)]
    seen = train(made, 2)[-1]
    assert np.linalg.norm(seen["weight"], axis=1).max() <= 0.1 + 1e-12
