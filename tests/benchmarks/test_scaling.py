"""The benchmarks' own arithmetic: how fast something grows, and the nets that grow."""

import pytest

from benchmarks import scaling, sizes


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 0.5])
def test_a_power_is_found(power):
    assert scaling.exponent([8, 16, 32], [3 * size**power for size in (8, 16, 32)]) == pytest.approx(power, abs=1e-12)


def test_what_is_uneven_lies_between():
    assert scaling.exponent([1, 2, 4], [1, 3, 4]) == pytest.approx(1.0)
    assert 1 < scaling.exponent([1, 2, 4], [1, 2, 8]) < 2


def test_each_size_is_twice_the_one_before():
    assert sizes.sizes("convnet", "depth") == [2, 4, 8] and sizes.sizes("mlp", "width") == [256, 512, 1024]


def test_depth_and_width_are_those_of_the_net():
    made = sizes.bench("convnet", "depth", 3)
    assert made.batch == (32, 32, 32, 32)
    assert made.yaml.count("Convolution") == 3 and made.yaml.count("num_output: 32") == 3
    assert sizes.bench("mlp", "width", 7).yaml.count("num_output: 7}") == 4
    assert sizes.bench("mlp", "batch", 5).batch == (5, 512)


def test_planning_is_told_in_seconds(small):
    made = scaling.planning(str(small))
    assert made["lines"] == 9 and made["calls"] > 9
    assert 0 < made["read and checked"] < 60 and 0 < made["planned"] < 60


def test_curves_become_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    curves = {f"{net} {grown}": {"sizes": [1, 2, 4], "ms": [1.0, 2.0, 4.0], "gflop": [0.1, 0.2, 0.4]}
              for net in sizes.BASES for grown in ("batch", "depth", "width")}  # fmt: skip
    scaling.plot(curves, tmp_path / "curves.svg")
    assert "</svg>" in (tmp_path / "curves.svg").read_text()
