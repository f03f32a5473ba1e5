"""dltrain convert and coordinates: nets that slide compute what the first net computes at every place, and the maps are Caffe's."""

import json
from fractions import Fraction as F
from pathlib import Path

import numpy as np
import pytest

from dltrain import config as configs
from dltrain import weights
from dltrain.console import Console
from dltrain.coordinates import between, coordinates, crops
from dltrain.errors import ConfigError
from dltrain.launch import engine_of
from dltrain.sketch import View, sketch
from dltrain.sliding import convert
from dltrain.surgery import Surgery

NET = """
name: net
seed: 3
data: {source: digits, batch_size: 4, transform: [{resize: SIZE}]}
net:
  - {name: conv1, type: Convolution, num_output: 4, kernel_size: 3}
  - {name: pool1, type: Pooling, kernel_size: 2, stride: 2}
LINES
  - {name: loss,     type: SoftmaxWithLoss, bottom: [ip2, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip2, label], phase: test}
solver: {type: SGD, base_lr: 0.1, max_iter: 1, test: null}
"""
PLAIN = """
  - {name: ip1,   type: InnerProduct, num_output: 6}
  - {name: relu1, type: ReLU}
  - {name: drop1, type: Dropout}
  - {name: ip2,   type: InnerProduct, num_output: 3, bias_term: false}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(lines: str, name: str = "net.yaml", size: int = 12) -> str:
    """The pictures of the digits as 12 x 12; conv1 makes 10 x 10, pool1 5 x 5."""
    Path(name).write_text(NET.replace("LINES\n", lines.lstrip("\n")).replace("SIZE", str(size)))
    return name


def surgery(lines: str, wide: bool = True) -> dict[str, dict]:
    """The lines that come of it, by name."""
    made = Surgery(sketch(write(lines), ()))
    made.convolve() if wide else made.connect()
    return {line.name: line.item for line in made.lines}


def engine(path: str, *settings: str):
    made = engine_of(configs.read(path, settings, need_solver=False), "reference", with_solver=False)
    if Path("out/weights.h5").exists():
        weights.load(made, ("out/weights.h5",))
    return made


# --- what becomes of the lines ---
def test_linear_layers_on_a_map_become_convolutions_over_it():
    made = surgery(PLAIN)
    assert made["ip1"] == {"name": "ip1", "type": "Convolution", "num_output": 6, "kernel_size": 5}
    assert made["ip2"] == {"name": "ip2", "type": "Convolution", "num_output": 3, "bias_term": False, "kernel_size": 1}
    assert made["ip2_mean"] == {"name": "ip2_mean", "type": "Pooling", "pool": "mean", "global_pooling": True}
    assert made["loss"]["bottom"] == ["ip2_row", "label"] == made["accuracy"]["bottom"]
    assert [name for name in made if name.startswith("ip2_")] == ["ip2_mean", "ip2_row"], "both read the same mean"


@pytest.mark.parametrize("flat", ["Flatten", "Reshape, shape: [0, -1]"])
def test_what_flattens_a_map_goes_and_its_readers_read_the_map(flat):
    made = surgery(
        PLAIN.replace("  - {name: ip1", f"  - {{name: flat, type: {flat}}}\n  - {{name: drop0, type: Dropout}}\n  - {{name: ip1")
    )
    assert "flat" not in made and made["ip1"]["kernel_size"] == 5


def test_pooling_over_the_whole_map_becomes_a_window_that_can_slide():
    made = surgery(
        PLAIN.replace("  - {name: ip1", "  - {name: mean, type: Pooling, pool: mean, global_pooling: true}\n  - {name: ip1")
    )
    assert made["mean"] == {"name": "mean", "type": "Pooling", "pool": "mean", "kernel_size": 5}
    assert made["ip1"]["kernel_size"] == 1


def test_linear_layers_whose_row_is_needed_stay():
    """As in a squeeze-and-excitation block: ip3 makes the factors of channels, so it stays, and so does what leads to it."""
    factors = """
  - {name: mean,   type: Pooling, pool: mean, global_pooling: true}
  - {name: ip3,    type: InnerProduct, num_output: 4}
  - {name: gate,   type: Sigmoid}
  - {name: scaled, type: Scale, axis: 0, bottom: [pool1, gate]}
"""
    made = surgery(factors + PLAIN)
    assert made["ip3"]["type"] == "InnerProduct" and made["mean"]["global_pooling"] is True
    assert made["ip1"]["type"] == "Convolution" and made["ip1"]["kernel_size"] == 5


def test_a_linear_layer_along_other_axes_stays():
    made = surgery(
        PLAIN.replace("  - {name: ip1", "  - {name: rows, type: InnerProduct, num_output: 7, axis: 3}\n  - {name: ip1")
    )
    assert made["rows"]["type"] == "InnerProduct" and made["ip1"]["kernel_size"] == [5, 7]


def test_names_that_are_taken_are_not_taken_again():
    made = surgery(PLAIN + "  - {name: ip2_mean, type: Softmax, bottom: ip2, phase: test}\n")
    assert made["ip2_mean"]["type"] == "Softmax" and made["loss"]["bottom"] == ["ip2_row", "label"] and "ip2_mean_" in made


def test_nets_without_such_layers_are_refused():
    with pytest.raises(ConfigError, match=r"no InnerProduct of the net reads a map: it is fully convolutional as it is"):
        surgery("  - {name: conv2, type: Convolution, num_output: 3, kernel_size: 5}\n  - {name: ip2, type: Flatten}\n")
    with pytest.raises(ConfigError, match=r"no Convolution of the net covers all of its bottom and is read by what takes a row"):
        surgery(PLAIN, wide=False)


def test_a_matrix_that_stands_transposed_elsewhere_is_refused():
    tied = (
        PLAIN
        + "  - {name: back, type: InnerProduct, num_output: 6, bias_term: false, param: {weight: {share: ip2.weight, transpose: true}}}\n"
    )
    with pytest.raises(ConfigError, match=r"layer 'back' has the matrix of 'ip2' transposed, which a convolution cannot have"):
        surgery(tied)


def test_convolutions_over_whole_maps_become_linear_layers():
    lines = """
  - {name: ip1,   type: Convolution, num_output: 6, kernel_size: 5}
  - {name: relu1, type: ReLU}
  - {name: conv2, type: Convolution, num_output: 3, kernel_size: 1}
  - {name: mean,  type: Pooling, pool: mean, global_pooling: true}
  - {name: ip2,   type: Flatten}
"""
    made = surgery(lines, wide=False)
    assert made["ip1"] == {"name": "ip1", "type": "InnerProduct", "num_output": 6}
    assert made["conv2"]["type"] == "InnerProduct" and not {"mean", "ip2"} & set(made)
    assert made["loss"]["bottom"] == ["conv2", "label"]


# --- the same numbers ---
def test_there_and_back_is_the_same_net_with_the_same_weights(capsys):
    write(PLAIN.replace("num_output: 6", "num_output: 6, transpose: true"))
    first = engine("net.yaml")
    held = {name: array.copy() for name, array in weights.kept(first).items()}
    weights_file("w.npz", held)
    convert("net.yaml", True, "out", "w.npz", (), False, Console(as_json=True))
    made = json.loads(capsys.readouterr().out)
    assert made["layers"] == {"ip1": [6, 4, 5, 5], "ip2": [3, 6, 1, 1]} and made["difference"] < 1e-5
    assert made["config"] == "out/net_sliding.yaml" and made["weights"] == "out/weights.h5"
    convert("out/net_sliding.yaml", False, "back", None, (), False, Console())
    found = weights.read(Path("back/weights.h5"))
    np.testing.assert_array_equal(found["data/ip1/0"], held["data/ip1/0"].T)
    np.testing.assert_array_equal(found["data/ip2/0"], held["data/ip2/0"])
    was = sketch("net.yaml", ("net.ip1.transpose=false",)).net
    back = sketch("back/net_linear.yaml", ()).net
    assert [(line.name, line.layer, line.refs) for line in back.lines] == [
        (line.name, line.layer, line.refs) for line in was.lines
    ]
    first.close()


def weights_file(name: str, arrays) -> None:
    from dltrain.weight_convert import writer_of

    writer_of(Path(name))(Path(name), arrays)


def test_at_every_place_of_a_larger_picture_it_computes_what_the_first_net_computes_there():
    """16 x 18 instead of 12 x 12: three places down and four across, one every 2 pixels."""
    write(PLAIN)
    convert("net.yaml", True, "out", None, (), False, Console())
    assert not Path("out/weights.h5").exists(), "nothing has been learnt, so there is nothing to write"
    one, wide = engine("net.yaml"), engine("out/net_sliding.yaml", "data.transform=[{resize: [16, 18]}]")
    for name, array in weights.kept(wide).items():
        array[...] = weights.kept(one)[name].reshape(array.shape)
    x = np.random.default_rng(1).standard_normal((1, 1, 16, 18)).astype(np.float32)
    label = np.zeros(1, np.int32)
    wide.forward("test", {"data": x, "label": label}, "test", upto=("ip2", "ip2_row"))
    found = wide.blob("ip2")
    assert found.shape == (1, 3, 3, 4)
    np.testing.assert_allclose(wide.blob("ip2_row"), found.mean((2, 3)), rtol=1e-5, atol=1e-6)
    for row in range(3):
        for column in range(4):
            part = x[:, :, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
            one.forward("test", {"data": part, "label": label}, "test", upto=("ip2",))
            np.testing.assert_allclose(found[:, :, row, column], one.blob("ip2"), rtol=1e-4, atol=1e-5)
    one.close()
    wide.close()


def test_a_run_is_converted_with_its_best_weights_and_scores_the_same(small, result, command):
    run = result("train", small, "--set", "solver.max_iter=10")["run"]
    done = command("convert", run, "--fully-convolutional", "-o", "out")
    assert done.returncode == 0 and "ip1: 32 x 6 x 4 x 4" in done.stdout, done.stderr
    assert result("test", "out/small_sliding.yaml")["scores"] == pytest.approx(result("test", run)["scores"], abs=1e-5)
    done = command("convert", run, "--fully-convolutional", "-o", "out")
    assert done.returncode == 2 and "out/small_sliding.yaml: is there already; choose another folder with -o DIR" in done.stderr
    done = command("convert", run, "-o", "out")
    assert done.returncode == 2 and "say --fully-convolutional, or --inner-product" in done.stderr


def test_fresh_layers_stay_fresh():
    path = write(PLAIN)
    first = engine(path)
    weights_file("w.npz", {name: array for name, array in weights.kept(first).items() if "ip2" not in name})
    convert(path, True, "out", None, ("weights={file: w.npz, fresh: [ip2]}",), False, Console())
    read = configs.read("out/net_sliding.yaml", need_solver=False)
    assert (
        read.weights is not None and read.weights.fresh == ("ip2",) and "data/ip2/0" not in weights.read(Path("out/weights.h5"))
    )
    first.close()


# --- coordinates ---
CAFFE = """
data: {source: digits, batch_size: 1, transform: [{resize: 100}]}
net:
  - {name: conv,   type: Convolution, num_output: 2, kernel_size: 3, pad: BELOW}
  - {name: pool,   type: Pooling, pool: max, kernel_size: POOL, stride: POOL}
  - {name: deconv, type: Deconvolution, num_output: 1, kernel_size: TWICE, stride: POOL, pad: ABOVE}
  - {name: gone,   type: Pooling, pool: mean, global_pooling: true}
"""


def view(text: str) -> View:
    Path("caffe.yaml").write_text(text)
    return View(sketch("caffe.yaml", ()))


def caffes(pool: int = 2, conv: int = 0, deconv: int = 0) -> View:
    words = {"POOL": pool, "BELOW": conv, "ABOVE": deconv, "TWICE": 2 * pool}
    text = CAFFE
    for word, value in words.items():
        text = text.replace(word, str(value))
    return view(text)


@pytest.mark.parametrize(
    ("net", "shift"),
    [({}, 0), ({"pool": 4}, -1), ({"conv": 1}, -1), ({"conv": 2}, -2), ({"deconv": 1}, 1), ({"pool": 4, "deconv": 1}, 0)],
)
def test_caffes_own_values_of_coord_map(net, shift):
    """conv 3, pool 2, deconv 2: scale 1, shift 0; pool and deconv 4: -1; pads of p: -p and +p."""
    for one in between(caffes(**net), "deconv", "data"):
        assert one.scale == 1 and one.shift == shift


def test_the_way_back_is_the_inverse_and_the_offset_of_a_crop_is_the_shift():
    there, back = (between(caffes(pool=4), *names)[0] for names in (("deconv", "data"), ("data", "deconv")))
    assert (there.offset, back.shift) == (1, 1)
    with pytest.raises(ValueError, match=r"the first begins 1 within the other; pad the picture more, or crop the other"):
        _ = back.offset


def test_what_cannot_be_aligned_is_told():
    with pytest.raises(ValueError, match=r"a step of the one is 2 of the other's; bring both to one size first"):
        _ = between(caffes(), "pool", "data")[0].offset
    halves = view(CAFFE.replace("POOL", "2").replace("BELOW", "0").replace("ABOVE", "0").replace("TWICE", "3"))
    assert between(halves, "deconv", "data")[0].shift == F(1, 2)
    with pytest.raises(ValueError, match=r"they lie -1/2 apart, which is no whole number; change a pad or a kernel_size"):
        _ = between(halves, "deconv", "data")[0].offset
    with pytest.raises(ConfigError, match=r"'gone' has no places in the picture: it sees all of it"):
        between(caffes(), "gone", "data")
    with pytest.raises(ConfigError, match=r"there is no blob 'conf'; did you mean 'conv'\?"):
        between(caffes(), "conf", "data")


def test_other_axes_do_not_go_together():
    mixed = view("""
data: {source: digits, batch_size: 1, transform: [{resize: 10}]}
net:
  - {name: conv, type: Convolution, num_output: 2, kernel_size: 3}
  - {name: rows, type: Convolution, num_output: 2, kernel_size: 3, axis: 2, bottom: data}
""")
    with pytest.raises(ConfigError, match=r"'rows' has no places in the picture|have places along"):
        between(mixed, "conv", "rows")


def test_a_crop_is_held_against_the_offset_that_aligns(capsys):
    text = CAFFE.replace("POOL", "4").replace("BELOW", "0").replace("ABOVE", "0").replace("TWICE", "8")
    crop = "  - {name: crop, type: Crop, bottom: [deconv, conv], offset: OFFSET}\n"
    row = crops(view(text + crop.replace("OFFSET", "1")))[0]
    assert row == {"name": "crop", "bottoms": ["deconv", "conv"], "offset": [1, 1], "aligned": [2, 2], "why": ""}
    coordinates("caffe.yaml", (), (), Console())
    out = capsys.readouterr().out
    assert (
        "conv           1         1" in out
        and "crop: deconv cropped like conv: offset [1, 1], but [2, 2] would align them" in out
    )
    coordinates("caffe.yaml", ("deconv", "conv"), (), Console(as_json=True))
    assert json.loads(capsys.readouterr().out) == {"scale": [1, 1], "shift": [-2, -2], "offset": [2, 2]}
    coordinates("caffe.yaml", ("deconv", "data"), (), Console())
    assert "{type: Crop, bottom: [deconv, data], offset: 1} aligns them" in capsys.readouterr().out


def test_every_crop_of_the_shipped_nets_is_aligned():
    root = Path(__file__).parent.parent / "configs"
    for name in ("fcn32s", "fcn8s-small", "unet-small"):
        rows = crops(View(sketch(str(root / f"{name}.yaml"), ())))
        assert rows and all(row["offset"] == row["aligned"] for row in rows), name


def test_a_net_without_places_says_so():
    Path("rows.yaml").write_text(
        "data: {source: digits, transform: [flatten]}\nnet: [{name: ip, type: InnerProduct, num_output: 2}]\n"
    )
    with pytest.raises(ConfigError, match=r"rows\.yaml: no blob has places in a picture"):
        coordinates("rows.yaml", (), (), Console())
