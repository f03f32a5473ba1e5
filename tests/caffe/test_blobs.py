"""Weights, means and solver states of Caffe: binary and HDF5, old and new shapes, damaged and hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.caffe.blobs import array, blob, read_mean, read_weights, write_mean, write_weights
from dltrain.caffe.solverstate import State, read_state, write_state
from dltrain.caffe.text import parse_text
from dltrain.caffe.wire import parse_wire, read_wire, write_wire
from dltrain.errors import DataError

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([-1, 0.5], np.float32)


def of(text: str) -> Any:
    return array(parse_text(text, "BlobProto", "b"))


def test_blobs_as_texts() -> None:
    one = of("shape { dim: 2 dim: 1 } data: 1 data: 0.5")
    assert one.dtype == np.float32 and one.tolist() == [[1], [0.5]]
    two = of("num: 1 channels: 2 height: 1 width: 1 double_data: [1, 0.1]")
    assert two.dtype == np.float64 and two.tolist() == [[[[1]], [[0.1]]]]
    assert of("shape { } data: 3").shape == () and of("shape { dim: 0 dim: 3 }").shape == (0, 3)
    assert of("shape { dim: 2 } num: 1 channels: 1 height: 1 width: 2 data: [1, 2]").shape == (
        1,
        1,
        1,
        2,
    )  # as Caffe: the old sizes first


@pytest.mark.parametrize(("text", "message"), [
    ("shape { dim: 2 } data: 1", "a blob has the shape 2 and holds 1 numbers"),
    ("data: [1, 2]", r"a blob has the shape \(\) and holds 2 numbers"),
    ("shape { dim: -1 dim: -1 } data: 1", "a blob has the shape -1 x -1, which Caffe cannot have"),
    ("shape { dim: [" + ", ".join("1" * 33) + "] } data: 1", "which Caffe cannot have"),
    ("shape { dim: 9223372036854775807 dim: 9223372036854775807 }", "a blob has the shape 9223372036854775807 x .* and holds 0 numbers"),
])  # fmt: skip
def test_blobs_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(text)


@given(some.lists(some.integers(0, 3), max_size=5), some.sampled_from([np.float32, np.float64, np.int64]))
@settings(deadline=None)
def test_an_array_comes_back_from_its_blob(shape: list[int], dtype: Any) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    found = array(parse_wire(write_wire(blob(values)), "BlobProto", "b"))
    assert found.shape == values.shape and found.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert np.array_equal(found, values) and found.flags.writeable and found.flags.aligned


def test_weights_by_hand(tmp_path: Path) -> None:
    """layer 100 { name "ip", blobs 7 { shape { 2 }, data 1.0 2.0 } }, and a layer without any."""
    path = tmp_path / "w.caffemodel"
    path.write_bytes(bytes.fromhex("a206 15  0a02 6970  3a0f 3a03 0a0102 2a08 0000803f 00000040a206 03 0a01 72"))
    [(name, [values])] = read_weights(path)
    assert (name, values.tolist()) == ("ip", [1, 2])


def test_weights_of_every_dialect(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    legacy = "num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2"
    text = f"""layers {{ layer {{ name: "v0" type: "conv" blobs {{ {legacy} }} }} bottom: "x" }}
               layers {{ name: "v1" type: CONVOLUTION blobs {{ {legacy} }} blobs {{ shape {{ dim: 1 }} data: 3 }} }} layers {{ name: "none" }}"""
    path.write_bytes(write_wire(parse_text(text, "NetParameter", "n")))
    found = read_weights(path)
    assert [(name, [each.tolist() for each in blobs]) for name, blobs in found] == [
        ("v0", [[[[[1, 2]]]]]),
        ("v1", [[[[[1, 2]]]], [3]]),
    ]


def test_two_layers_of_one_name_are_both_told(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    text = 'layer { name: "a" blobs { shape { dim: 1 } data: 1 } } layer { name: "a" blobs { shape { dim: 1 } data: 2 } }'
    path.write_bytes(write_wire(parse_text(text, "NetParameter", "n")))
    assert [(name, blobs[0].tolist()) for name, blobs in read_weights(path)] == [("a", [1]), ("a", [2])]


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_weights_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_weights(path, [("ip", [W, B]), ("scale", [np.float64(3)])])
    found = dict(read_weights(path))
    assert set(found) == {"ip", "scale"} and np.array_equal(found["ip"][0], W) and np.array_equal(found["ip"][1], B)
    assert found["scale"][0].shape == () and found["scale"][0] == 3


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_weights_with_the_layers_of_a_net(tmp_path: Path, suffix: str) -> None:
    net = parse_text(
        'name: "n" layer { name: "r" type: "ReLU" } layer { name: "ip" type: "InnerProduct" bottom: "x" }', "NetParameter", "n"
    )
    path = tmp_path / f"w{suffix}"
    write_weights(path, [("ip", [W, B])], net)
    [(name, blobs)] = read_weights(path)
    assert name == "ip" and np.array_equal(blobs[0], W)
    assert "blobs" not in net.all("layer")[1]
    if suffix == ".caffemodel":
        made = read_wire(path, "NetParameter")
        assert (made["name"], [layer["type"] for layer in made.all("layer")]) == ("n", ["ReLU", "InnerProduct"])
    else:
        with h5py.File(path) as file:
            assert list(file["data"]) == ["ip", "r"] and list(file["data/r"]) == [] and file["data/ip/0"].dtype == np.float32
    with pytest.raises(DataError, match="the net has no layer 'fc' to put weights into"):
        write_weights(path, [("fc", [W])], net)


def test_a_slash_in_a_name(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="Caffe cannot find 'inception/1x1' in HDF5, for the '/' in its name; write a .caffemodel"
    ):
        write_weights(tmp_path / "w.h5", [("inception/1x1", [W])])
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/inception/1x1/0"] = W
        file["data/a%2Fb/0"] = B
    found = dict(read_weights(tmp_path / "w.h5"))
    assert np.array_equal(found["inception/1x1"][0], W) and np.array_equal(found["a/b"][0], B)


def test_ten_blobs_and_more_stay_in_order(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.h5", [("a", [np.full(1, index) for index in range(12)])])
    assert [int(each[0]) for each in read_weights(tmp_path / "w.h5")[0][1]] == list(range(12))


def hostile(path: Path, what: str) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/a")
        if what == "soft":
            group["0"] = h5py.SoftLink("/elsewhere")
        elif what == "external":
            group["0"] = h5py.ExternalLink("/etc/passwd", "x")
        elif what == "large":
            group.create_dataset("0", (1 << 40,), "f4", chunks=(1024,))
        elif what == "text":
            group["0"] = "words"
        elif what == "gap":
            group["1"] = W
        elif what == "circle":
            group["b"] = group
        elif what == "empty":
            group["0"] = h5py.Empty("f4")
        elif what == "outside":
            group.create_dataset("0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


@pytest.mark.parametrize(("what", "message"), [
    ("soft", "'a/0' is a link to elsewhere; expected the data themselves"), ("external", "'a/0' is a link to elsewhere"),
    ("large", "says that it holds 1 arrays of 4,398,046,511,104 bytes, more than a file of its size can"),
    ("text", "'data/a/0' holds no numbers of its own"), ("gap", "'data/a' holds 1; expected 0, 1, 2, ..."),
    ("circle", "'a/b/.*' holds more groups than the weights of a net need"), ("empty", "'data/a/0' holds no numbers of its own"),
    ("outside", "'data/a/0' holds no numbers of its own"), ("nothing", "holds no weights: there is no /data/LAYER/0 in it"),
])  # fmt: skip
def test_hdf5_that_is_not_what_it_says(tmp_path: Path, what: str, message: str) -> None:
    path = tmp_path / "w.h5"
    hostile(path, what)
    with pytest.raises(DataError, match=f"w.h5: {message}"):
        read_weights(path)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    with pytest.raises(DataError, match="w.caffemodel: there is no such file"):
        read_weights(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="w.caffemodel: holds no weights; expected a .caffemodel of a trained net"):
        read_weights(path)
    path.write_bytes(bytes.fromhex("a206 09 0a0161 3a04 3a02 0805"))
    with pytest.raises(
        DataError, match="w.caffemodel: layer 'a', blob 0: a blob has the shape 5 and holds 0 numbers; get the file again"
    ):
        read_weights(path)
    path.write_bytes(bytes.fromhex("a206 0d 0a0161 3a08 3a02 0805 6202 0000"))
    with pytest.raises(
        DataError, match="holds 0 numbers; a fork of Caffe may keep them in a form of its own; get the file again"
    ):
        read_weights(path)


@given(some.integers(0, 4000), some.integers(0, 255))
@settings(deadline=None, max_examples=60)
def test_damaged_hdf5_is_read_or_refused(tmp_path_factory: Any, at: int, byte: int) -> None:
    path = tmp_path_factory.mktemp("h5") / "w.h5"
    write_weights(path, [("ip", [W, B])])
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content[: max(at, 600)] if at % 2 else content)
    try:
        read_weights(path)
    except DataError as error:
        assert str(error).startswith(str(path))


def test_means(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    mean = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    write_mean(path, mean)
    found = read_mean(path)
    assert found.shape == (3, 2, 2) and np.array_equal(found, mean)
    assert [read_wire(path, "BlobProto")[name] for name in ("num", "channels", "height", "width")] == [1, 3, 2, 2]
    path.write_bytes(write_wire(blob(mean)))
    assert read_mean(path).shape == (3, 2, 2)
    path.write_bytes(bytes.fromhex("08 02 10 01 18 01 20 01"))
    with pytest.raises(
        DataError, match="mean.binaryproto: a blob has the shape 2 x 1 x 1 x 1 and holds 0 numbers; get the file again"
    ):
        read_mean(path)


@pytest.mark.parametrize("name", ["s.solverstate", "s.solverstate.h5"])
def test_states_of_a_solver_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_state(path, State(7, "é.caffemodel", 2, [W, B]))
    found = read_state(path)
    assert (found.iter, found.learned_net, found.current_step) == (7, "é.caffemodel", 2)
    assert [each.tolist() for each in found.history] == [W.tolist(), B.tolist()]


def test_states_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "s.solverstate"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="s.solverstate: has no iteration; expected a .solverstate"):
        read_state(path)
    write_weights(tmp_path / "w.h5", [("a", [W])])
    with pytest.raises(DataError, match="w.h5: has no 'iter'; expected a .solverstate.h5"):
        read_state(tmp_path / "w.h5")
    for name, value in (("iter", W[:0]), ("learned_net", W)):
        with h5py.File(tmp_path / "s.h5", "w") as file:
            file.create_group("history")
            file["iter"] = np.array([1])
            if name in file:
                del file[name]
            file[name] = value
        with pytest.raises(DataError, match=f"s.h5: '{name}' is no"):
            read_state(tmp_path / "s.h5")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for name in ("w.caffemodel", "w.h5"):
        with pytest.raises(DataError, match=f"{name}: cannot be written"):
            write_weights(tmp_path / "none" / name, [("a", [W])])


@golden
def test_golden_weights_are_the_same_in_both_forms() -> None:
    paths = sorted((GOLDEN / "solvers").glob("*.caffemodel"))
    assert len(paths) > 5
    for path in paths:
        [(name, (w, b))], [(other, (w2, b2))] = read_weights(path), read_weights(Path(f"{path}.h5"))
        assert name == other == "ip" and np.array_equal(w, w2) and np.array_equal(b, b2)
        values = np.load(path.parent / f"{path.name.removesuffix('_iter_4.caffemodel')}.npz") if "iter_4" in path.name else None
        assert values is None or (np.array_equal(values["W"][4], w) and np.array_equal(values["b"][4], b))


@golden
def test_golden_states_are_the_same_in_both_forms(tmp_path: Path) -> None:
    for path in sorted((GOLDEN / "solvers").glob("*.solverstate")):
        one, other = read_state(path), read_state(Path(f"{path}.h5"))
        assert (one.iter, one.current_step, f"{one.learned_net}.h5") == (4, other.current_step, other.learned_net)
        assert all(np.array_equal(a, b) for a, b in zip(one.history, other.history, strict=True))
        write_state(tmp_path / "s.solverstate", one)
        assert (tmp_path / "s.solverstate").read_bytes() == path.read_bytes()


@golden
def test_golden_weights_of_lenet_and_of_v1() -> None:
    shapes = {name: [each.shape for each in blobs] for name, blobs in read_weights(GOLDEN / "lenet" / "lenet_iter_0.caffemodel")}
    assert shapes == {
        "conv1": [(20, 1, 5, 5), (20,)],
        "conv2": [(50, 20, 5, 5), (50,)],
        "ip1": [(500, 800), (500,)],
        "ip2": [(10, 500), (10,)],
    }
    for name in ("v1_weights.caffemodel", "v1_weights.upgraded.caffemodel"):
        found = {name: [each.shape for each in blobs] for name, blobs in read_weights(GOLDEN / "data" / name)}
        assert found == {"c": [(4, 3, 3, 3), (1, 1, 1, 4)], "i": [(1, 1, 5, 36), (1, 1, 1, 5)]}
    assert read_mean(GOLDEN / "data" / "mnist100_mean.binaryproto").shape == (1, 28, 28)
