"""Every layer of the catalogue on the GPU's kernels, run on the CPU: they say what the reference says."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.layer import Layer
from dltrain.ops.cuda import Cuda
from dltrain.ops.cuda.emulator import Emulator
from dltrain.plan.hazards import hazards


def cpu_tests() -> Any:
    """The same exam on the CPU, for its rows and its chain of calls."""
    spec = spec_from_file_location("the_exam_of_the_cpu", Path(__file__).parent / "test_cpu_layers.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAM = cpu_tests()


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    return Cuda(Emulator())


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "shapes"), EXAM.ROWS)
def test_it_is_what_the_reference_says(cuda: Cuda, layer: Layer, shapes: Any, train: bool) -> None:
    whole = EXAM.whole(shapes)
    slow, values, params = EXAM.question(layer, whole, train)
    right = slow.run(values, params)
    chain = EXAM.Chain(layer, whole, cuda, train, fast=True)
    assert hazards(chain.plan) == []
    found = {name: np.asarray(array) for name, array in chain.run(values, params).items()}
    assert found.keys() == right.keys()
    cuda.driver.backwards = True
    again = chain.run(values, params)
    cuda.driver.backwards = False
    for name, array in again.items():
        assert np.asarray(array).tobytes() == found[name].tobytes(), f"{name} depends on the order of threads"
    for name, want in right.items():
        error = np.abs(found[name].astype(np.float64) - want)
        assert (error <= 2e-5 * np.abs(want).max(initial=0.1)).all(), f"{name} is off by {error.max()}"
