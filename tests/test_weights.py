"""Weights to begin with: found by layer name, refused all at once where a name or a shape is wrong, Caffe's files included."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from dltrain import weights

HEAD = ["--set", "net.ip2.name=head", "--set", "net.loss.bottom=[head, label]", "--set", "net.accuracy.bottom=[head, label]"]


@pytest.fixture
def trained(small, result, tmp_path) -> Path:
    run = result("train", small, "--set", "solver.max_iter=10", "--runs", "first")["run"]
    return tmp_path / run / "snapshots" / "iter_00000010.h5"


def test_a_new_head_is_learnt_anew_and_the_body_is_loaded(trained, small, command):
    done = command("train", small, "--set", "solver.max_iter=1", *HEAD, "--set", f"weights={{file: {trained}, fresh: [head]}}")
    assert done.returncode == 0, done.stderr
    assert "weights loaded conv1, ip1; fresh head; not in this net ip2" in done.stderr


def test_a_layer_that_no_file_has_and_a_shape_that_differs_are_told_together(trained, small, command):
    done = command("train", small, *HEAD, "--set", "net.ip1.num_output=33", "--weights", trained)
    assert done.returncode == 2
    assert (
        "head (data/head/0) is in no file" in done.stderr and "ip1 (data/ip1/0) is (32, 96), the net has (33, 96)" in done.stderr
    )
    assert "weights.fresh: […]" in done.stderr


def test_a_fresh_layer_that_is_not_in_the_net_is_refused(trained, small, command):
    done = command("train", small, "--set", f"weights={{file: {trained}, fresh: [ip3]}}")
    assert done.returncode == 2 and re.search("there is no layer 'ip3' with parameters; did you mean 'ip.'", done.stderr)


def test_a_caffe_model_in_hdf5_fills_the_layers_of_its_names(trained, small, command, tmp_path):
    with h5py.File(trained) as ours, h5py.File(tmp_path / "net.caffemodel.h5", "w") as theirs:
        for layer in ("conv1", "ip1", "ip2"):
            for index in ("0", "1"):
                theirs[f"data/{layer}/{index}"] = ours[f"data/{layer}/{index}"][()]
        theirs.create_group("data/pool1")
    done = command("train", small, "--set", "solver.max_iter=1", "--weights", "net.caffemodel.h5")
    assert done.returncode == 0 and "weights loaded conv1, ip1, ip2" in done.stderr


def test_later_files_override_earlier_ones(trained, small, command, tmp_path):
    with h5py.File(tmp_path / "more.h5", "w") as file:
        file["data/ip2/0"], file["data/ip2/1"] = np.zeros((10, 32), np.float32), np.full(10, 7.0, np.float32)
    found = weights.read(tmp_path / "more.h5")
    assert set(found) == {"data/ip2/0", "data/ip2/1"}
    done = command("train", small, "--set", "solver.max_iter=1", "--weights", trained, "--weights", "more.h5")
    assert done.returncode == 0, done.stderr
    begun = next(tmp_path.glob("runs/small/*/snapshots/iter_00000001.h5"))
    with h5py.File(begun) as file:
        assert abs(file["data/ip2/1"][()] - 7).max() < 0.1


def test_the_same_bits_come_from_the_same_weights_and_they_matter(trained, small, result):
    words = ["--set", "solver.max_iter=3"]
    one, other = (result("train", small, *words, "--weights", trained, "--runs", name) for name in "ab")
    plain = result("train", small, *words, "--runs", "c")
    assert one["state_hash"] == other["state_hash"] != plain["state_hash"]


def test_weights_and_resume_do_not_go_together(trained, command):
    done = command("train", "--resume", trained.parent.parent, "--weights", trained)
    assert done.returncode == 2 and "--weights begins a new run" in done.stderr


def test_a_linear_layer_becomes_the_convolution_that_computes_the_same(small, tmp_path):
    """ip1 sees 6 x 4 x 4; as a 4 x 4 convolution it gives the same numbers, at one place of a map."""
    from dltrain import config
    from dltrain.launch import engine_of
    from dltrain.progress import Progress
    from dltrain.saving import save

    cut = small.read_text().split("  - {name: relu2")[0] + "solver: {type: SGD, base_lr: 0.1, max_iter: 1, test: null}\n"
    loss = "  - {name: loss, type: EuclideanLoss, bottom: [ip1, ip1]}\nsolver"
    (tmp_path / "linear.yaml").write_text(cut.replace("solver", loss))
    (tmp_path / "conv.yaml").write_text(
        cut.replace("solver", loss).replace(
            "type: InnerProduct, num_output: 32", "type: Convolution, num_output: 32, kernel_size: 4"
        )
    )
    made = []
    for name in ("linear", "conv"):
        read = config.read(tmp_path / f"{name}.yaml")
        engine = engine_of(read, "reference", with_solver=False)
        if made:
            report = weights.load(engine, (str(tmp_path / "w.h5"),))
            assert report.turned == ["ip1"]
            assert str(report) == "loaded conv1, ip1; linear as convolution, or the other way about: ip1"
        else:
            save(tmp_path / "w.h5", engine, read, Progress())
        engine.forward("test", next(read.feed.batches("val")), "val", ("ip1",))
        made.append(engine.blob("ip1"))
        engine.close()
    assert made[1].shape == (50, 32, 1, 1)
    np.testing.assert_allclose(made[1].reshape(50, 32), made[0], rtol=1e-4, atol=1e-5)
    assert abs(made[0]).max() > 0.1


@pytest.mark.parametrize(
    ("given", "wanted"), [((5, 24), (5, 2, 4, 4)), ((6, 32), (5, 2, 4, 4)), ((5, 32), (5, 32, 1)), ((5,), (5, 1))]
)
def test_other_shapes_stay_apart(given, wanted):
    assert not weights.fits(given, wanted)
