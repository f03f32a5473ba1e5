"""The commands as a person runs them: results on stdout, the rest on stderr, exit codes that a script can trust."""

import csv
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys, dltrain, dltrain.cli; print([m for m in ('numpy', 'numba', 'h5py', 'cupy', 'pydantic', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dltrain", "--help"], cwd=ROOT, check=True, capture_output=True)
    assert time.perf_counter() - begun < 5  # 0.1 s on a quiet machine; this only finds what is wildly wrong


def test_train_gives_one_json_object_with_what_the_run_came_to(small, command, tmp_path):
    done = command("train", small, "--json")
    made = json.loads(done.stdout)
    assert list(made) == ["run", "iterations", "reason", "scores", "best", "skipped", "state_hash"]
    assert made["iterations"] == 120 and made["reason"] == "max_iter" and len(made["state_hash"]) == 64
    assert set(made["scores"]) == {"val.loss", "val.accuracy"} and made["best"]["score"] == "val.loss"
    assert "431" not in done.stdout and "conv1" in done.stderr and "\r" not in done.stderr


def test_a_run_folder_holds_config_environment_metrics_events_and_snapshots(small, result, tmp_path):
    run = tmp_path / result("train", small)["run"]
    assert (tmp_path / "runs" / "small" / "latest").resolve() == run
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "environment.json", "metrics.csv", "events.jsonl", "snapshots", "best.h5", "summary.json"} <= names
    assert [path.name for path in sorted((run / "snapshots").iterdir())] == [f"iter_{n:08d}.h5" for n in (100, 110, 120)]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "start" and events[-1] | {"time": 0} == {
        "v": 1,
        "time": 0,
        "event": "end",
        "reason": "max_iter",
        "iteration": 120,
    }


def test_metrics_hold_a_row_for_each_display_and_each_test(small, result, tmp_path):
    run = tmp_path / result("train", small)["run"]
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    shown = [int(row["iteration"]) for row in rows if row["train.loss"]]
    tested = [int(row["iteration"]) for row in rows if row["val.loss"]]
    assert shown == list(range(7, 121, 7))
    assert tested == [26, 51, 76, 101, 120]  # 1,257 samples at 50 an iteration: an epoch is 25.14 iterations; the last is the end
    assert float(rows[0]["lr"]) == pytest.approx(0.02 * 6 / 20 * (1 + 1e-3 * 6) ** -0.75)
    assert all(math.isfinite(float(row["train.loss"])) for row in rows if row["train.loss"])


def test_a_bare_run_config_trains_the_same_again(small, result, tmp_path):
    first = result("train", small)
    again = result("train", tmp_path / first["run"] / "config.yaml", "--runs", "other")
    assert again["state_hash"] == first["state_hash"]


def test_test_scores_a_split_exactly_with_the_partial_last_batch(small, result, tmp_path):
    run = result("train", small)["run"]
    whole = result("test", run)
    assert whole["samples"] == 360 and whole["split"] == "test" and whole["weights"].endswith("best.h5")
    one_by_one = result("test", run, "--set", "data.batch_size=7")
    assert one_by_one["scores"]["accuracy"] == whole["scores"]["accuracy"]
    assert one_by_one["scores"]["loss"] == pytest.approx(whole["scores"]["loss"], rel=1e-5)
    assert result("test", "runs/small", "--split", "val")["samples"] == 180
    last = result("test", run, "--weights", str(tmp_path / run / "snapshots" / "iter_00000120.h5"))
    assert last["weights"].endswith("iter_00000120.h5")


def test_a_config_without_weights_is_exit_2_never_a_score_of_random_weights(small, command):
    done = command("test", small)
    assert done.returncode == 2 and done.stdout == "" and "has no weights; give the folder of a run" in done.stderr


@pytest.mark.parametrize("ending", ["h5", "npz", "csv"])
def test_features_are_the_whole_split_once_in_order_with_labels_and_ids(ending, small, result, tmp_path):
    run = result("train", small, "--set", "solver.max_iter=10")["run"]
    made = result("extract-features", run, "--blob", "ip1", "--blob", "pool1", "--out", f"feats.{ending}")
    assert made["samples"] == 360 and made["blobs"] == {"ip1": [360, 32], "pool1": [360, 6, 4, 4], "label": [360]}
    other = result("extract-features", run, "--blob", "ip1", "--out", "other.npz", "--set", "data.batch_size=11")
    assert other["blobs"]["ip1"] == [360, 32]
    with np.load(tmp_path / "other.npz") as file:
        expected, label, ids = file["ip1"], file["label"], file["id"]
    if ending == "h5":
        with h5py.File(tmp_path / "feats.h5") as file:
            found, labels, names = file["ip1"][()], file["label"][()], file["id"].asstr()[()]
    elif ending == "npz":
        with np.load(tmp_path / "feats.npz") as file:
            found, labels, names = file["ip1"], file["label"], file["id"]
    else:
        rows = list(csv.DictReader((tmp_path / "feats.csv").read_text().splitlines()))
        found = np.array([[float(row[f"ip1.{i}"]) for i in range(32)] for row in rows])
        labels, names = np.array([int(row["label"]) for row in rows]), np.array([row["id"] for row in rows])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (labels == label).all() and list(names) == list(ids) and len(set(names)) == 360


def test_features_refuse_what_they_cannot_do(small, result, command):
    run = result("train", small, "--set", "solver.max_iter=5")["run"]
    for words, message in [
        (["--blob", "ip3", "--out", "a.npz"], "there is no such blob; did you mean 'ip"),
        (["--blob", "ip1", "--out", "a.txt"], "ends in .h5, .npz, .csv"),
        (["--blob", "ip1", "--out", "no/a.npz"], "there is no folder no"),
        (["--blob", "loss", "--out", "a.npz"], "one number for the whole batch"),
        (["--blob", "ip1", "--out", "a.npz", "--split", "tset"], "there is no such split; did you mean 'test'?"),
    ]:
        done = command("extract-features", run, *words)
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_the_reference_device_agrees_with_the_cpu(small, result):
    words = ["--set", "solver.max_iter=12", "--set", "solver.display=1"]
    cpu, plain = result("train", small, *words), result("train", small, *words, "--device", "reference")
    assert plain["scores"]["val.loss"] == pytest.approx(cpu["scores"]["val.loss"], rel=1e-3)


def test_devices_says_what_can_be_used_and_why_not(command):
    rows = {row["name"]: row for row in json.loads(command("devices", "--json").stdout)["devices"]}
    assert rows["cpu"]["usable"] and rows["reference"]["usable"] and not rows["cuda"]["usable"]
    done = command("train", "x.yaml", "--device", "gpu")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train"], 2, "give a CONFIG, or --resume RUN"),
        (["train", "absent.yaml"], 2, "there is no such file"),
        (["train", "--resume", "absent"], 2, "is no run"),
        (["tran"], 2, "No such command 'tran'"),
        (["test", "absent.yaml"], 2, "there is no such file"),
    ],
)
def test_usage_errors_are_one_message_and_exit_2(words, code, message, command):
    done = command(*words)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr


def test_a_run_that_diverges_names_the_first_bad_layer_and_exits_3(small, command):
    done = command("train", small, "--set", "solver.base_lr=1e6", "--set", "solver.lr_policy=fixed")
    assert done.returncode == 3, done.stderr
    assert re.search(r"iteration \d+: layer '(conv1|ip1|ip2)'", done.stderr) and "last good snapshot" in done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_data_that_are_not_finite_are_named(command, tmp_path):
    x = np.zeros((40, 1, 4, 4), np.float32)
    x[17] = np.nan
    np.savez(tmp_path / "bad.npz", data=x, label=np.arange(40) % 2)
    (tmp_path / "bad.yaml").write_text(
        "data: {source: {type: arrays, file: bad.npz}, batch_size: 20}\n"
        "net:\n  - {name: ip, type: InnerProduct, num_output: 2}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n"
        "solver: {type: SGD, base_lr: 0.1, max_iter: 10}\n"
    )
    done = command("train", "bad.yaml")
    assert done.returncode == 3 and "the data themselves are not finite: field 'data'" in done.stderr


def test_a_label_out_of_range_is_exit_4_and_names_the_sample(command, tmp_path):
    np.savez(tmp_path / "bad.npz", data=np.zeros((40, 3), np.float32), label=np.where(np.arange(40) == 23, 7, 1))
    (tmp_path / "bad.yaml").write_text(
        "data: {source: {type: arrays, file: bad.npz}, batch_size: 20}\n"
        "net:\n  - {name: ip, type: InnerProduct, num_output: 5}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n"
        "solver: {type: SGD, base_lr: 0.1, max_iter: 10}\n"
    )
    done = command("train", "bad.yaml")
    assert (
        done.returncode == 4
        and "'label' is 7 in sample row 23 of " in done.stderr
        and "of train, but 'ip' has 5 classes; give the layer before it 8 outputs" in done.stderr
    )


def test_no_colour_no_bar_and_plain_lines_off_a_terminal(small, command):
    done = command("train", small)
    assert "\x1b" not in done.stderr + done.stdout and "\r" not in done.stderr
    assert "iteration 7 of 120" in done.stderr and " left" in done.stderr


def test_quiet_leaves_the_result_only(small, command):
    done = command("train", small, "--quiet", "--set", "solver.max_iter=3")
    assert done.stderr == "" and done.stdout.startswith("max_iter after 3 iterations")


def test_a_bar_is_drawn_on_a_terminal(small, tmp_path):
    import pty
    import termios

    main, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 100))
    words = [sys.executable, "-m", "dltrain", "train", str(small), "--set", "solver.max_iter=60"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "TERM": "xterm"}
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=side, env=env)
    os.close(side)
    seen = b""
    try:
        while chunk := os.read(main, 4096):
            seen += chunk
    except OSError:
        pass  # the other side is closed: the process has ended
    os.close(main)
    assert process.wait() == 0 and b"60/60" in seen and b"it/s" in seen


def events(run, kind):
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_events_tell_how_long_training_waited_for_data(small, result, tmp_path):
    run = tmp_path / result("train", small, "--set", "solver.max_iter=21")["run"]
    shown = events(run, "display")
    assert [line["iteration"] for line in shown] == [7, 14, 21]
    assert all(0 <= line["waited"] <= line["seconds"] for line in shown)
    assert "waited" not in (run / "metrics.csv").read_text()


def test_samples_that_are_left_out_are_told_and_counted(command, tmp_path):
    from PIL import Image

    for number in range(12):
        path = tmp_path / "p" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(path)
    (tmp_path / "p" / "a" / "4.png").write_bytes(b"nonsense")
    (tmp_path / "skip.yaml").write_text(
        "data: {source: {type: image_folder, root: p}, batch_size: 4, on_error: skip, transform: [{resize: [4, 4]}]}\n"
        "net:\n  - {name: ip, type: InnerProduct, num_output: 2}\n  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}\n"
        "solver: {type: SGD, base_lr: 1e-6, max_iter: 6, test: null, display: 1}\n"
    )
    done = command("train", "skip.yaml", "--json")
    made = json.loads(done.stdout)
    assert made["skipped"] == 1 and json.loads((tmp_path / made["run"] / "summary.json").read_text()) == made
    assert done.stderr.count("1 sample left out so far; the last: ") == 1 and "4.png" in done.stderr
    assert [line["samples"] for line in events(tmp_path / made["run"], "skipped")] == [1]
    assert events(tmp_path / made["run"], "skipped")[0]["last"].count("4.png: ") == 1


def test_predict_names_what_it_sees_and_what_it_cannot_read(small, result, command, tmp_path):
    run = result("train", small, "--set", "solver.max_iter=60")["run"]
    made = result("predict", run, "digits", "--split", "test", "--top", "1")["predictions"]
    features = result("extract-features", run, "--blob", "ip2", "-o", "f.npz")
    with np.load(tmp_path / features["out"]) as file:
        best, label, ids = file["ip2"].argmax(axis=1), file["label"], file["id"]
    assert [each["id"] for each in made] == list(ids) and [each["ip2"][0]["class"] for each in made] == best.tolist()
    assert (best == label).mean() > 0.5
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8), np.float32))
    done = command("predict", run, "x.npy", "y.npy", "-q", "--top", "2")
    assert done.returncode == 4 and re.fullmatch(r"x.npy  \d \d+\.\d\d %  \d \d+\.\d\d %\n", done.stdout)
    assert done.stderr == "dltrain: 1 of 2 could not be read: y.npy; the first: y.npy: there is no such file\n"
    assert command("predict", run).returncode == 2 and command("predict", "absent", "x.npy").returncode == 2


def test_data_commands_end_as_scripts_expect(command, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DLTRAIN_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "emnist").mkdir()
    (tmp_path / "emnist" / "gzip.zip").write_bytes(b"nonsense")
    listed = {row["name"]: row["where"] for row in json.loads(command("data", "list", "--json", env=env).stdout)["sets"]}
    assert listed["emnist"] == str(tmp_path / "emnist") and listed["mnist"] is None
    for words, code, message in [
        (["verify", "emnist"], 4, "gzip.zip: damaged; remove it, then dltrain data get emnist"),
        (["where", "mnist"], 4, "mnist: is not here; dltrain data get mnist fetches it (11.6 MB)"),
        (["get", "emnits"], 2, "did you mean 'emnist'?"),
        (["stats", "digist"], 2, "did you mean 'digits'?"),
        (["preview", "digits", "-o", "x.jpg"], 2, "ends in .png"),
        (["stat"], 2, "No such command 'stat'"),
    ]:
        done = command("data", *words, env=env)
        assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert json.loads(command("data", "stats", "digits", "--json").stdout)["splits"]["val"]["samples"] == 180
    assert command("data", "preview", "digits").stdout == "preview.png: 64 samples, 840 x 974 pixels\n"
    assert (tmp_path / "preview.png").read_bytes()[:4] == b"\x89PNG"
