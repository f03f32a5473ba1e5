"""Files of weights: every form reads back what was written, names are understood, and foreign files get one clear message."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays as any_array

from dltrain import config, snapshot, weight_files, weight_names, weights
from dltrain.errors import ConfigError, DataError, DltrainError, SnapshotError
from dltrain.launch import engine_of
from dltrain.weight_convert import WRITERS, writer_of

ENDINGS = list(WRITERS)


def bn_arrays() -> dict[str, np.ndarray]:
    """A convolution and a BatchNorm behind it, as a snapshot has them; mean and variance lie twice as high as they count."""
    return {
        "data/body%2Fconv/0": np.arange(12, dtype=np.float32).reshape(2, 6, 1, 1),
        "data/body%2Fbn/0": np.float32([1, 2]),
        "data/body%2Fbn/1": np.float32([3, 4]),
        "states/body%2Fbn.mean": np.float32([10, 20]),
        "states/body%2Fbn.variance": np.float32([30, 40]),
        "states/body%2Fbn.factor": np.float32([2]),
    }


# --- names ---
def test_dotted_names_become_ours_by_place_and_by_role():
    x = np.zeros(2, np.float32)
    names = [
        "a.weight",
        "a.bias",
        "only.bias",
        "b.2",
        "r.weight_h",
        "n.1.running_mean",
        "n.1.running_var",
        "n.1.num_batches_tracked",
        "bare",
    ]
    made = weight_names.ours(dict.fromkeys(names, x))
    assert list(made) == [
        "data/a/0", "data/a/1", "data/only/0", "data/b/2", "data/r/weight_h",
        "states/n%2F1.mean", "states/n%2F1.factor", "states/n%2F1.variance", "data/bare/0",
    ]  # fmt: skip
    assert made["states/n%2F1.factor"].tolist() == [1]


def test_our_names_become_those_that_pytorch_knows_and_statistics_lose_their_factor():
    made = weight_names.dotted(bn_arrays() | {"states/lstm.state@train": np.zeros(3)})
    assert list(made) == ["body.conv.weight", "body.bn.weight", "body.bn.bias", "body.bn.running_mean", "body.bn.running_var"]
    assert made["body.bn.running_mean"].tolist() == [5, 10] and made["body.bn.running_var"].tolist() == [15, 20]
    empty = weight_names.dotted(bn_arrays() | {"states/body%2Fbn.factor": np.float32([0])})
    assert empty["body.bn.running_mean"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("given", "wanted", "made"),
    [
        (["a", "b"], ["b", "c"], {"b": "b"}),
        (["layer1/0/bn"], ["layer1_0_bn"], {"layer1/0/bn": "layer1_0_bn"}),
        (["module/a", "module/b"], ["a", "b"], {"module/a": "a", "module/b": "b"}),
        (["a/b", "a_b"], ["a-b"], {"a/b": "a-b"}),  # the second has none left
        (["a/b"], ["a-b", "a_b"], {}),  # which of the two cannot be told
        (["a", "x/a"], ["a"], {"a": "a"}),
    ],
)
def test_layers_are_matched_by_names_that_differ_only_in_what_stands_between(given, wanted, made):
    assert weight_names.matched(given, wanted) == made


def test_a_map_renames_layers_leaves_out_and_knows_one_star():
    arrays = {"data/body%2F1%2Fconv/0": 1, "states/body%2F1%2Fbn.mean": 2, "data/head/0": 3, "data/rest/1": 4}
    made = weight_names.mapped(arrays, {"body.1.*": "stage/*", "head": None})
    assert made == {"data/stage%2Fconv/0": 1, "states/stage%2Fbn.mean": 2, "data/rest/1": 4}


def test_a_map_that_names_nothing_or_two_things_alike_is_refused():
    with pytest.raises(ConfigError, match=r"--map: 'conv9' is no layer of the file; it has a, b"):
        weight_names.mapped({"data/a/0": 1, "data/b/0": 1}, {"conv9": "x"})
    with pytest.raises(ConfigError, match=r"--map: two arrays would become data/x/0; give their layers different names"):
        weight_names.mapped({"data/a/0": 1, "data/b/0": 1}, {"a": "x", "b": "x"})
    assert weight_names.mapped({"data/a[1]/0": 1}, {"a[1]": "x"}) == {"data/x/0": 1}


# --- files ---
@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_reads_back(ending, tmp_path):
    arrays = {"data/a%2Fb/0": np.float32([[1, 2], [3, 4]]), "data/a%2Fb/1": np.float32([5, np.nan]), "data/c/0": np.float32([7])}
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, arrays)
    found = weights.read(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("ending", ENDINGS)
@given(array=any_array(np.float32, some.lists(some.integers(1, 4), min_size=1, max_size=5).map(tuple)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_shape_reads_back(ending, array, tmp_path):
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, {"data/layer/0": array})
    found = weights.read(path)["data/layer/0"]
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_statistics_go_through_files_that_have_no_factor(ending, tmp_path):
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, bn_arrays())
    found = weights.read(path)
    assert found["states/body%2Fbn.mean"].tolist() == [5, 10] and found["states/body%2Fbn.factor"].tolist() == [1]
    assert found["data/body%2Fbn/1"].tolist() == [3, 4]


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_half_precision_and_bfloat16_are_read(ending, tmp_path):
    if ending == "npz":
        np.savez(tmp_path / "w.npz", **{"a.weight": np.float16([1.5, -2])})
    else:
        head = json.dumps({"a.weight": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
                           "b.weight": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [4, 8]}}).encode()  # fmt: skip
        body = np.float16([1.5, -2]).tobytes() + struct.pack("<HH", 0x3FC0, 0xC000)  # 1.5 and -2 cut to 16 bits
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + body)
    found = weights.read(tmp_path / f"w.{ending}")
    assert all(array.astype(float).reshape(-1).tolist() == [1.5, -2] for array in found.values())


def test_groups_within_groups_are_a_slash_in_the_name(tmp_path):
    import h5py

    with h5py.File(tmp_path / "w.caffemodel.h5", "w") as file:
        file["data/inception/1x1/0"] = np.float32([1])
        file["states/a/b.mean"] = np.float32([2])
    assert set(weights.read(tmp_path / "w.caffemodel.h5")) == {"data/inception%2F1x1/0", "states/a%2Fb.mean"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pth", b"\x80\x02.", r"w\.pth: is a pickle, which could run anything; in PyTorch: safetensors"),
        ("w.onnx", b"", r"w\.onnx: holds a net as well as weights; dltrain import onnx takes both"),
        ("w.npy", b"", r"w\.npy: holds one array without a name"),
        ("w.npz", b"PK\x03\x04 and nothing more", r"w\.npz: .*expected arrays of numbers as np\.savez writes them"),
        ("w.safetensors", b"", r"w\.safetensors: is no whole \.safetensors file"),
        ("w.safetensors", struct.pack("<Q", 2**60) + b"{}", r"w\.safetensors: is no whole \.safetensors file"),
        ("w.safetensors", struct.pack("<Q", 2) + b"{}", r"w\.safetensors: holds no weights"),
        ("w.h5", b"\x89HDF\r\n\x1a\n" + b"x" * 100, r"w\.h5: is damaged or no snapshot"),
        ("w.caffemodel", b"\xff" * 50, r"w\.caffemodel"),
    ],
)  # fmt: skip
def test_foreign_and_damaged_files_get_one_message(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DltrainError, match=words) as caught:
        weights.read(tmp_path / name)
    assert "\n" not in str(caught.value) and isinstance(caught.value, DataError | SnapshotError)


@pytest.mark.parametrize("ending", ENDINGS)
@given(cut=some.floats(0, 0.999), strike=some.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_never_ends_in_a_traceback(ending, cut, strike, tmp_path):
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, bn_arrays())
    content = bytearray(path.read_bytes())
    content[strike % len(content)] ^= 0xFF
    for damaged in (bytes(content), bytes(content[: int(cut * len(content))])):
        path.write_bytes(damaged)
        try:
            weights.read(path)
        except DltrainError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".caffemodel", ".h5"])
def test_a_file_that_is_not_there_is_told(ending, tmp_path):
    with pytest.raises(DltrainError, match="there is no such"):
        weights.read(tmp_path / f"none{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder_is_told(tmp_path, ending):
    (tmp_path / f"w{ending}").mkdir()
    with pytest.raises(DataError, match=f"w{ending}: is a folder; give a file of weights: .h5"):
        weight_files.read(tmp_path / f"w{ending}")


@pytest.mark.parametrize("what", ["open", "is_file"])  # the file is not to be read, or its folder
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_may_not_be_read_is_told(ending, what, tmp_path, monkeypatch):
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, bn_arrays())

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, what, denied)
    with pytest.raises(DataError, match=rf"w{ending}: cannot be read \(Permission denied\); make the file readable$"):
        weight_files.read(path)


@pytest.mark.parametrize(("names", "words"), [
    (["a.b.weight", "a/b.weight"], "has a 'weight' of 'a.b' twice; write it with a name for each array"),
    (["data/.."], "has a '' of 'data..' without a name"), (["data/"], "has a '' of 'data' without a name"),
])  # fmt: skip
def test_names_that_cannot_be_told_apart_or_are_none(tmp_path, names, words):
    np.savez(tmp_path / "w.npz", **dict.fromkeys(names, np.ones(1)))
    with pytest.raises(DataError, match=words):
        weight_files.read(tmp_path / "w.npz")


def test_an_array_of_states_without_a_role_is_a_layer(tmp_path):
    np.savez(tmp_path / "w.npz", **{"states/x": np.ones(1)})
    assert list(weight_files.read(tmp_path / "w.npz")) == ["data/states/x"]


def test_files_that_keep_no_order_are_read_as_a_person_counts(tmp_path):
    arrays = {f"data/conv{n}/{i}": np.full(1, n + i, np.float32) for n in (10, 2, 1) for i in (11, 1, 0)}
    for ending in (".h5", ".safetensors"):
        WRITERS[ending](tmp_path / f"w{ending}", arrays)
        names = list(weight_files.read(tmp_path / f"w{ending}"))
        assert names == [f"data/conv{n}/{i}" for n in (1, 2, 10) for i in (0, 1, 11)]


def test_without_the_library_safetensors_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(DataError, match=r"needs safetensors, which is not installed: pip install 'dltrain\[safetensors\]'"):
        weights.read(tmp_path / "w.safetensors")


def test_types_that_are_no_numbers_of_ours_are_refused(tmp_path):
    head = json.dumps({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\1")
    with pytest.raises(DataError, match=r"'a' is of type BOOL, which is not read; write it as float32"):
        weights.read(tmp_path / "w.safetensors")


def test_which_files_keep_the_order_of_their_arrays():
    kept = {ending: weight_files.keeps_order(Path(f"w{ending}")) for ending in ENDINGS}
    assert kept == {".caffemodel.h5": False, ".h5": False, ".caffemodel": True, ".npz": True, ".safetensors": False}


# --- into a net ---
NET = """
data: {source: digits, batch_size: 4}
net:
  - {name: conv, type: Convolution, num_output: 2, kernel_size: 1, bias_term: false}
  - {name: bn,   type: BatchNorm, affine: $affine}
  - {name: ip,   type: InnerProduct, num_output: 3}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
"""


def engine(tmp_path: Path, affine: bool):
    (tmp_path / "net.yaml").write_text(f"vars: {{affine: {str(affine).lower()}}}" + NET)
    return engine_of(config.read(tmp_path / "net.yaml", need_solver=False), "reference", with_solver=False)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("affine", [True, False])
def test_every_form_fills_a_net(ending, affine, tmp_path):
    first, second = engine(tmp_path, affine), engine(tmp_path, affine)
    held = weights.kept(first)
    for number, (name, array) in enumerate(held.items()):
        array[...] = 2.0 if name.endswith("factor") else np.arange(array.size).reshape(array.shape) + number
    path = tmp_path / f"w{ending}"
    writer_of(path)(path, {name: array.copy() for name, array in held.items()})
    report = weights.load(second, (str(path),))
    assert sorted(report.loaded) == ["bn", "conv", "ip"] and not report.unused
    for name, array in weights.kept(second).items():
        counts = name.rpartition(".")[2] in ("mean", "variance")
        factor = float(weights.kept(second)["states/bn.factor"][0]) / 2 if counts else 1
        if not name.endswith("factor"):
            np.testing.assert_array_equal(array, held[name] * factor)
    first.close()
    second.close()


def test_the_four_axes_of_old_caffe_files_are_understood(tmp_path):
    made = engine(tmp_path, False)
    wide = weights.kept(made)["data/ip/0"].shape
    given = {"data/conv/0": np.ones((2, 1, 1, 1)), "data/ip/0": np.ones((1, 1, *wide)), "data/ip/1": np.ones((1, 1, 1, 3)),
             "data/bn/0": np.ones((1, 1, 1, 2)), "data/bn/1": np.ones((1, 1, 1, 2)), "data/bn/2": np.ones((1, 1, 1, 1))}  # fmt: skip
    report = weights.fill(made, weights.adapted(given, made.net.store))
    assert not report.turned and weights.kept(made)["states/bn.factor"].tolist() == [1]
    assert weights.kept(made)["data/ip/0"].min() == 1
    made.close()


def test_arrays_may_be_called_by_their_role(tmp_path):
    made = engine(tmp_path, True)
    held = {name: array.copy() for name, array in weights.kept(made).items()}
    np.savez(tmp_path / "w.npz", **{"conv.weight": held["data/conv/0"], "bn.scale": np.float32([7, 8]), "bn.bias": held["data/bn/1"],
                                    "ip.weight": held["data/ip/0"], "ip.bias": held["data/ip/1"]})  # fmt: skip
    weights.load(made, (str(tmp_path / "w.npz"),))
    assert weights.kept(made)["data/bn/0"].tolist() == [7, 8]
    made.close()


def test_a_snapshot_says_what_it_holds_and_its_digest_is_held(tmp_path):
    snapshot.write(tmp_path / "w.h5", snapshot.Snapshot({"data/a/0": np.float32([1]), "slots/v/a/0": np.float32([2])}))
    assert list(weights.read(tmp_path / "w.h5")) == ["data/a/0"]
