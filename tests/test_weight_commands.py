"""dltrain weights show, diff and convert: figures worked by hand, what differs, and names brought to those of a net."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dltrain import weights
from dltrain.console import Console
from dltrain.errors import CheckFailed, ConfigError, DltrainError
from dltrain.weight_convert import convert
from dltrain.weight_report import diff, difference, show

NET = """
data: {source: digits, batch_size: 4}
net:
  - {name: conv1, type: Convolution, num_output: 2, kernel_size: 3}
  - {name: bn1,   type: BatchNorm}
  - {name: conv2, type: Convolution, num_output: 3, kernel_size: 3}
  - {name: ip,    type: InnerProduct, num_output: 10}
  - {name: loss,  type: SoftmaxWithLoss, bottom: [ip, label]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(capsys, act, *words) -> dict:
    act(*words, Console(quiet=True, as_json=True))
    return json.loads(capsys.readouterr().out)


def test_show_tells_the_figures_of_each_array(capsys):
    np.savez(
        "w.npz", **{"a.weight": np.float32([[3, -4], [0, np.nan]]), "a.bias": np.float32([np.inf]), "b.weight": np.float32([2])}
    )
    made = told(capsys, show, "w.npz")
    first, second, third = made["arrays"]
    assert first == {"layer": "a", "array": "0", "shape": [2, 2], "dtype": "float32", "min": -4, "mean": pytest.approx(-1 / 3), "max": 3,
                     "std": pytest.approx((74 / 9) ** 0.5), "l2": 5, "not_finite": 1}  # fmt: skip
    assert second["not_finite"] == 1 and second["min"] is None and third["l2"] == 2
    assert {key: made[key] for key in ("layers", "parameters", "statistics", "not_finite", "bytes")} == {
        "layers": 2, "parameters": 6, "statistics": 0, "not_finite": 2, "bytes": 24}  # fmt: skip


def test_show_prints_a_table(capsys):
    np.savez("w.npz", **{"conv1.weight": np.float32([[3, -4]]), "conv1.running_mean": np.float32([1])})
    show("w.npz", Console())
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["layer", "array", "shape", "type", "min", "mean", "max", "std", "L2", "not", "finite"]
    assert " ".join(out[1].split()) == "conv1 0 1 x 2 float32 -4 -0.5 3 3.5 5"
    assert out[-1] == "w.npz: 1 layers, 2 parameters, 2 statistics, 16 B"


@pytest.mark.parametrize(
    ("a", "b", "largest", "relative"),
    [([3, 4], [3, 4], 0, 0), ([3, 4], [3, 5], 1, 0.2), ([np.nan, 1], [np.nan, 1], 0, 0), ([0, 0], [0, 1], 1, np.inf),
     ([np.nan], [1], np.inf, np.inf), ([np.inf], [np.inf], 0, 0), ([np.inf], [-np.inf], np.inf, np.inf), ([0], [0], 0, 0)],
)  # fmt: skip
def test_a_difference_is_the_largest_and_the_relative_length(a, b, largest, relative):
    assert difference(np.float32(a), np.float32(b)) == pytest.approx((largest, relative), nan_ok=False)


def test_diff_of_equal_files_is_silent_and_of_others_exit_7(capsys):
    np.savez("a.npz", **{"x.weight": np.float32([[3, 4]]), "y.weight": np.float32([1]), "z.weight": np.float32([1, 2, 3])})
    np.savez("b.npz", **{"x.weight": np.float32([[3, 5]]), "z.weight": np.float32([1, 2]), "new.weight": np.float32([1])})
    assert told(capsys, diff, "a.npz", "a.npz") == {"equal": True, "same": 3, "different": [], "missing": [], "extra": []}
    with pytest.raises(CheckFailed, match=r"a\.npz and b\.npz differ in 4 of 4 arrays"):
        diff("a.npz", "b.npz", Console(as_json=True))
    made = json.loads(capsys.readouterr().out)
    assert made["different"] == [
        {"layer": "x", "array": "0", "max_abs": 1, "relative_l2": pytest.approx(0.2), "words": ""},
        {"layer": "z", "array": "0", "max_abs": None, "relative_l2": None, "words": "3 and 2"},
    ]
    assert made["missing"] == ["data/y/0"] and made["extra"] == ["data/new/0"] and CheckFailed.exit_code == 7


def test_a_nan_on_one_side_is_told_in_words_and_stays_json(capsys):
    np.savez("a.npz", **{"x.weight": np.float32([1])})
    np.savez("b.npz", **{"x.weight": np.float32([np.nan])})
    with pytest.raises(CheckFailed):
        diff("a.npz", "b.npz", Console(as_json=True))
    row = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["different"][0]
    assert row["max_abs"] is None and row["words"] == "a number here is none there"


def test_diff_in_words(capsys):
    np.savez("a.npz", **{"x.weight": np.float32([[3, 4]]), "y.weight": np.float32([1])})
    np.savez("b.npz", **{"x.weight": np.float32([[3, 5]])})
    with pytest.raises(CheckFailed):
        diff("a.npz", "b.npz", Console())
    out = capsys.readouterr().out
    assert "x      0                       1          0.2" in out and "only in a.npz" in out
    assert "0 arrays are equal, 2 are not" in out


def test_a_linear_weight_equals_the_convolution_that_computes_the_same(capsys):
    np.savez("a.npz", **{"x.weight": np.arange(8, dtype=np.float32).reshape(2, 4)})
    np.savez("b.npz", **{"x.weight": np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)})
    assert told(capsys, diff, "a.npz", "b.npz")["equal"] and told(capsys, diff, "b.npz", "a.npz")["equal"]


# --- convert ---
def theirs(*, prefix: str = "", conv: str = "conv1", order: bool = True) -> dict[str, np.ndarray]:
    """As PyTorch would save such a net."""
    rng = np.random.default_rng(1)
    shapes = {f"{conv}.weight": (2, 1, 3, 3), f"{conv}.bias": (2,), "bn1.weight": (2,), "bn1.bias": (2,), "bn1.running_mean": (2,),
              "bn1.running_var": (2,), "bn1.num_batches_tracked": (), "conv2.weight": (3, 2, 3, 3), "conv2.bias": (3,),
              "ip.weight": (10, 48), "ip.bias": (10,)}  # fmt: skip
    made = {prefix + name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()}
    return made if order else dict(sorted(made.items()))


def test_names_of_pytorch_become_those_of_the_net(capsys):
    Path("net.yaml").write_text(NET)
    given = theirs(prefix="module.")
    np.savez("in.npz", **given)
    made = told(capsys, convert, "in.npz", "out.h5", None, False, "net.yaml")
    assert made == {"out": "out.h5", "layers": ["conv1", "bn1", "conv2", "ip"], "arrays": 11, "numbers": 576}
    found = weights.read(Path("out.h5"))
    np.testing.assert_array_equal(found["data/conv2/0"], given["module.conv2.weight"])
    np.testing.assert_array_equal(found["states/bn1.variance"], given["module.bn1.running_var"])
    assert told(capsys, convert, "out.h5", "back.npz", None, False, None)["arrays"] == 11
    with np.load("back.npz") as back:
        assert set(back) == {name.removeprefix("module.") for name in given if "tracked" not in name}


def test_by_order_needs_no_names_but_an_order_and_a_net():
    Path("net.yaml").write_text(NET)
    given = theirs(conv="stem")
    np.savez("in.npz", **{name.replace("ip", "fc").replace("bn1", "norm"): array for name, array in given.items()})
    convert("in.npz", "out.npz", None, True, "net.yaml", Console(quiet=True))
    np.testing.assert_array_equal(np.load("out.npz")["ip.weight"], given["ip.weight"])
    with pytest.raises(ConfigError, match=r"--by-order needs the layers to go by; add --net CONFIG"):
        convert("in.npz", "out.h5", None, True, None, Console())
    convert("in.npz", "in.h5", None, False, None, Console(quiet=True))
    with pytest.raises(ConfigError, match=r"--by-order: \.h5 files do not keep the order of their arrays; go by name, by --map"):
        convert("in.h5", "out.h5", None, True, "net.yaml", Console())


def test_by_order_tells_where_the_two_part():
    Path("net.yaml").write_text(NET)
    given = {name: array for name, array in theirs().items() if not name.startswith("bn1")}
    np.savez("in.npz", **given)
    with pytest.raises(ConfigError, match=r"the file has 3 layers with weights, the net 4; the first that differ: conv2 \(3 x 2 x 3 x 3, 3\) "
                                          r"and bn1 \(2, 2\)"):  # fmt: skip
        convert("in.npz", "out.h5", None, True, "net.yaml", Console())


def test_a_map_gives_layers_other_names():
    np.savez("in.npz", **theirs())
    Path("names.yaml").write_text('conv1: stem\n"bn*": "norm*"\nip: null\n')
    convert("in.npz", "out.npz", "names.yaml", False, None, Console(quiet=True))
    with np.load("out.npz") as out:
        assert {name.partition(".")[0] for name in out} == {"stem", "norm1", "conv2"}
    Path("names.yaml").write_text("[conv1]")
    with pytest.raises(ConfigError, match=r"names\.yaml: is no mapping of names; write a line each: conv1: first"):
        convert("in.npz", "out.npz", "names.yaml", False, None, Console())


def test_shapes_are_held_against_the_net():
    Path("net.yaml").write_text(NET.replace("num_output: 3", "num_output: 4"))
    np.savez("in.npz", **theirs())
    with pytest.raises(ConfigError, match=r"conv2 \(data/conv2/0\) is \(3, 2, 3, 3\), the net has \(4, 2, 3, 3\)"):
        convert("in.npz", "out.h5", None, False, "net.yaml", Console())
    assert not Path("out.h5").exists()


@pytest.mark.parametrize(
    ("out", "words"),
    [("out.txt", r"out\.txt: cannot be written; a file of weights ends in \.caffemodel\.h5, \.h5, \.caffemodel, \.npz, \.safetensors"),
     ("no/out.h5", r"no/out\.h5: there is no folder no")],
)  # fmt: skip
def test_where_nothing_can_be_written(out, words):
    with pytest.raises(ConfigError, match=words):
        convert("none.npz", out, None, False, None, Console())


def test_a_folder_is_no_file_to_write(tmp_path):
    (tmp_path / "out.npz").mkdir()
    with pytest.raises(ConfigError, match=r"out\.npz: is a folder; give the name of a file"):
        convert("in.npz", str(tmp_path / "out.npz"), None, False, None, Console())


def test_writing_safetensors_without_the_library_is_one_line(monkeypatch):
    np.savez("in.npz", **theirs())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(DltrainError, match=r"pip install 'dltrain\[safetensors\]'"):
        convert("in.npz", "out.safetensors", None, False, None, Console())
    assert [path.name for path in Path().iterdir()] == ["in.npz"]


def test_the_commands_and_every_file_of_weights_in_a_config(command, small, result, tmp_path):
    run = result("train", small, "--set", "solver.max_iter=10")["run"]
    for ending in (".npz", ".safetensors", ".caffemodel"):
        done = command("weights", "convert", run, f"w{ending}")
        assert done.returncode == 0 and f"w{ending}: 3 layers, 6 arrays, " in done.stdout, done.stderr
    scores = [result("test", small, "--weights", name)["scores"] for name in ("w.npz", "w.safetensors", "w.caffemodel")]
    assert scores == [result("test", run)["scores"]] * 3
    done = command("train", small, "--set", "solver.max_iter=1", "--set", f"weights={tmp_path / 'w.npz'}")
    assert "weights loaded conv1, ip1, ip2" in done.stderr
    done = command("weights", "diff", run, "w.safetensors")
    assert done.returncode == 0 and done.stdout == "equal: 6 arrays\n"
    (tmp_path / "w.pth").write_bytes(b"\x80")
    done = command("weights", "show", "w.pth")
    assert done.returncode == 4 and done.stderr.startswith("dltrain: w.pth: is a pickle") and done.stderr.count("\n") == 1
