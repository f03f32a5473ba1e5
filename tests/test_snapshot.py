"""Snapshots: whole or not at all, held against their digest, and refused with a message that tells the way out."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dltrain import snapshot
from dltrain.errors import SnapshotError
from dltrain.snapshot import Snapshot

ROOT = Path(__file__).parent.parent


def made() -> Snapshot:
    return Snapshot(
        {"data/conv1/0": np.arange(6, dtype=np.float32).reshape(2, 3), "states/bn.mean": np.zeros(0)},
        {"progress": {"iteration": 3}},
    )


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "a.h5"
    snapshot.write(path, made())
    again = snapshot.read(path)
    assert again.run == made().run and again.digest == made().digest
    np.testing.assert_array_equal(again.arrays["data/conv1/0"], made().arrays["data/conv1/0"])
    assert [child.name for child in tmp_path.iterdir()] == ["a.h5"]


def test_an_array_of_no_axes_stays_one(tmp_path):
    one = Snapshot({"data/prelu/0": np.array(0.25, np.float32)}, {})
    snapshot.write(tmp_path / "a.h5", one)
    again = snapshot.read(tmp_path / "a.h5")
    assert again.arrays["data/prelu/0"].shape == () and again.arrays["data/prelu/0"] == 0.25 and again.digest == one.digest


def test_the_digest_tells_values_shapes_types_and_names_apart():
    base = {"a": np.zeros((2, 3), np.float32)}
    others = [{"a": np.ones((2, 3), np.float32)}, {"a": np.zeros((3, 2), np.float32)}, {"a": np.zeros((2, 3))}, {"b": base["a"]}]
    assert len({snapshot.digest(arrays) for arrays in [base, *others]}) == 5
    assert snapshot.digest({"a": np.asfortranarray(base["a"])}) == snapshot.digest(base)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "a.h5"
    snapshot.write(path, made())
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept >= 1 or kept == 0 else int(len(whole) * kept)])
    with pytest.raises(SnapshotError, match="is damaged or no snapshot|is damaged: its content"):
        snapshot.read(path)


def test_every_flipped_byte_of_the_values_is_found(tmp_path):
    path = tmp_path / "a.h5"
    snapshot.write(path, made())
    whole = path.read_bytes()
    at = whole.index(made().arrays["data/conv1/0"].tobytes())
    for byte in range(at, at + 24, 5):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])
        with pytest.raises(SnapshotError, match="does not match its digest"):
            snapshot.read(path)


def test_foreign_hdf5_and_absent_files_are_told_apart(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1.0
    with pytest.raises(SnapshotError, match="not a snapshot of this dltrain"):
        snapshot.read(tmp_path / "other.h5")
    with pytest.raises(SnapshotError, match="there is no such snapshot"):
        snapshot.read(tmp_path / "absent.h5")


def test_an_array_that_claims_to_be_larger_than_the_file_is_not_read(tmp_path):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.attrs["dltrain"] = snapshot.FORMAT
        file.create_dataset("data/a/0", (1 << 40,), np.float32, chunks=(1024,))
        file.attrs["digest"] = ""
    with pytest.raises(SnapshotError, match="'data/a/0' is not an array that a snapshot holds"):
        snapshot.read(path)


def test_another_net_is_refused_with_every_difference_named():
    wanted = {"data/a/0": np.zeros(3), "data/b/0": np.zeros(2)}
    with pytest.raises(
        SnapshotError,
        match=r"belongs to another net: data/b/0 is missing; data/a/0 is \(4,\), the net has \(3,\); data/c/0 is not",
    ):
        snapshot.fit(Path("x.h5"), {"data/a/0": np.zeros(4), "data/c/0": np.zeros(1)}, wanted)


def test_a_full_disk_leaves_the_earlier_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.h5"
    snapshot.write(path, made())
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SnapshotError, match="cannot be written .*; earlier snapshots are untouched"):
            snapshot.write(path, Snapshot({"data/big/0": np.zeros(10_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and [child.name for child in tmp_path.iterdir()] == ["a.h5"]


def test_the_weights_lie_where_caffe_puts_them(small, result, tmp_path):
    run = tmp_path / result("train", small, "--set", "solver.max_iter=5")["run"]
    with h5py.File(run / "snapshots" / "iter_00000005.h5") as file:
        shapes = {f"{layer}/{index}": file["data"][layer][index].shape for layer in file["data"] for index in file["data"][layer]}
    assert shapes == {
        "conv1/0": (6, 1, 3, 3),
        "conv1/1": (6,),
        "ip1/0": (32, 96),
        "ip1/1": (32,),
        "ip2/0": (10, 32),
        "ip2/1": (10,),
    }


# --- the same through the command ---
def test_a_truncated_newest_snapshot_names_the_previous_good_one(small, result, command, tmp_path):
    run = tmp_path / result("train", small, "--set", "solver.max_iter=30")["run"]
    newest = run / "snapshots" / "iter_00000030.h5"
    newest.write_bytes(newest.read_bytes()[:-500])
    done = command("train", "--resume", run)
    assert done.returncode == 6 and "iter_00000030.h5: is damaged" in done.stderr and "iter_00000020.h5" in done.stderr
    newest.unlink()
    assert result("train", "--resume", run)["iterations"] == 30


def test_weights_of_another_net_are_exit_6(small, result, command, tmp_path):
    run = tmp_path / result("train", small, "--set", "solver.max_iter=5")["run"]
    done = command("test", small, "--weights", run / "best.h5" if (run / "best.h5").exists() else run / "snapshots" / "iter_00000005.h5",
                   "--set", "net.ip1.num_output=33")  # fmt: skip
    assert (
        done.returncode == 6
        and "belongs to another net" in done.stderr
        and "ip1 (data/ip1/0) is (32, 96), the net has (33, 96)" in done.stderr
    )


def test_a_disk_that_fills_up_while_training_is_one_message_and_exit_6_and_nothing_is_lost(small, tmp_path):
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); from dltrain.cli import main; sys.argv = sys.argv[1:]; main()"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = ["dltrain", "train", str(small), "--set", "net.ip1.num_output=400", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", limit, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 6, done.stderr
    assert "cannot be written (File too large)" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/small/*/snapshots/*tmp*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_folder_is_one_message_and_exit_6(small, result, command, tmp_path):
    run = tmp_path / result("train", small, "--set", "solver.max_iter=5")["run"]
    run.chmod(stat.S_IRUSR | stat.S_IXUSR)
    done = command("train", "--resume", run, "--set", "solver.max_iter=9")
    run.chmod(stat.S_IRWXU)
    assert done.returncode == 6 and "cannot be written" in done.stderr


def test_a_folder_where_no_run_can_be_made_is_exit_6(small, command, tmp_path):
    (tmp_path / "runs").write_text("a file, not a folder")
    done = command("train", small, "--set", "solver.max_iter=5")
    assert done.returncode == 6 and "cannot be made" in done.stderr and "--runs DIR" in done.stderr
