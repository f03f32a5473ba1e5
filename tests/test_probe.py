"""dltrain probe: classifiers against values worked by hand, settings chosen within the training part, one message for bad files."""

import json
from math import e
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.console import Console
from dltrain.errors import DataError, DltrainError
from dltrain.probe import PROBES, Cosine, Euclidean, choose, folds_of, judge, probe, standard, wilson
from dltrain.regression import SoftmaxRegression, minimum


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- intervals ---
@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(38, 40, 0.834971, 0.986182), (0, 10, 0, 0.277533), (10, 10, 0.722467, 1), (1, 2, 0.094531, 0.905469)],
)
def test_wilsons_interval(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-5)


@given(count=some.integers(1, 5000), data=some.data())
def test_an_interval_holds_the_share_and_narrows_with_the_count(count, data):
    right = data.draw(some.integers(0, count))
    low, high = wilson(right, count)
    assert 0 <= low <= right / count + 1e-12 and right / count <= high + 1e-12 and high <= 1
    wider = wilson(4 * right, 4 * count)
    assert wider[1] - wider[0] < high - low


# --- softmax regression ---
def test_the_fit_is_where_the_slope_is_zero_by_hand():
    """x = -1, 1 of classes 0, 1: with w = (-a, a) the slope is 0 where a (1 + e^2a) = 1 / l2; a = 1/2 for l2 = 2 / (1 + e)."""
    model = SoftmaxRegression(np.array([[-1.0], [1.0]]), np.array([0, 1]), 2).fit(2 / (1 + e))
    np.testing.assert_allclose(model.w, [[-0.5, 0.5], [0, 0]], atol=1e-5)
    logp = model.log_probabilities(np.array([[1.0]]))
    np.testing.assert_allclose(np.exp(logp), [[1 / (1 + e), e / (1 + e)]], atol=1e-5)


def test_the_gradient_is_the_slope_of_the_objective():
    rng = np.random.default_rng(1)
    model = SoftmaxRegression(rng.normal(size=(12, 4)), rng.integers(0, 3, 12), 3)
    w, step = rng.normal(size=(5, 3)), 1e-6
    _, gradient = model.objective(w, 0.3)
    for place in np.ndindex(w.shape):
        change = np.zeros_like(w)
        change[place] = step
        slope = (model.objective(w + change, 0.3)[0] - model.objective(w - change, 0.3)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-6)


@given(seed=some.integers(0, 1000), l2=some.sampled_from([0.03, 0.3, 10.0]))
@settings(max_examples=15, deadline=None)
def test_more_features_than_samples_are_fitted_in_the_span_of_the_samples(seed, l2):
    rng = np.random.default_rng(seed)
    x, labels, other = rng.normal(size=(8, 20)), np.arange(8) % 3, rng.normal(size=(5, 20))
    short = SoftmaxRegression(x, labels, 3).fit(l2)
    full = SoftmaxRegression(x, labels, 3)
    full.basis, full.x, full.w = None, x, np.zeros((21, 3))
    full.fit(l2)
    assert short.basis is not None
    np.testing.assert_allclose(short.log_probabilities(other), full.log_probabilities(other), atol=2e-3)


def test_the_minimum_of_a_bowl_is_found():
    scale = np.array([[1.0, 100.0], [0.01, 3.0]])
    made = minimum(lambda w: (float((scale * (w - 2) ** 2).sum()) / 2, scale * (w - 2)), np.zeros((2, 2)))
    np.testing.assert_allclose(made, 2, atol=1e-3)


# --- neighbours ---
def test_neighbours_vote_and_of_equals_the_nearest_decides():
    x, labels = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([0, 1, 1, 0])
    model = Euclidean(x, labels, 2)
    other = np.array([[0.1], [9.0]])
    assert model.nearest(other).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0]]
    assert model.scores(other, 1).argmax(1).tolist() == [0, 0]
    assert model.scores(other, 3).argmax(1).tolist() == [1, 1]
    assert model.scores(other, 4).argmax(1).tolist() == [0, 0]  # two against two


def test_the_angle_does_not_see_the_length():
    x, labels = np.array([[1.0, 0.1], [0.1, 1.0], [0.0, 0.0]]), np.array([0, 1, 0])
    other = np.array([[100.0, 0.0], [0.0, 0.001]])
    assert Cosine(x, labels, 2).scores(other, 1).argmax(1).tolist() == [0, 1]
    assert Euclidean(x, labels, 2).scores(other, 1).argmax(1).tolist() == [0, 0]


def test_equally_near_rows_come_in_their_order():
    x = np.zeros((6, 2))
    assert Euclidean(x, np.arange(6), 6).nearest(np.zeros((1, 2))).tolist() == [[0, 1, 2, 3, 4, 5]]


# --- choosing ---
def test_columns_are_brought_to_the_scale_of_the_training_part():
    x, other = standard(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 9.0]]))
    assert x.tolist() == [[-1, 0], [1, 0]] and other.tolist() == [[3, 0]]


@given(counts=some.lists(some.integers(0, 40), min_size=2, max_size=5), folds=some.integers(2, 6), seed=some.integers(0, 99))
def test_folds_hold_every_class_in_proportion(counts, folds, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    fold = folds_of(labels, folds, seed, "x")
    assert ((fold >= 0) & (fold < folds)).all() and fold.tolist() == folds_of(labels, folds, seed, "x").tolist()
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label, count in enumerate(counts):
        mine = np.bincount(fold[labels == label], minlength=folds)
        assert abs(mine - count / folds).max() <= 2


def made_up(count: int, seed: int, apart: float = 2.0, features: int = 6):
    """Two classes whose means lie `apart` in the first feature."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    x = rng.normal(size=(count, features))
    x[:, 0] += apart * labels
    return x.astype(np.float32), labels.astype(np.int32)


@pytest.mark.parametrize("kind", PROBES, ids=lambda one: one.name)
def test_what_is_chosen_hangs_on_the_training_part_alone(kind):
    x, labels = made_up(60, 1)
    other, _ = made_up(10, 2)
    said, setting = judge(kind, x, labels, 2, other, 5, 1)
    again, same = judge(kind, x, labels, 2, other[:4], 5, 1)
    assert setting == same == choose(kind, x, labels, 2, 5, 1) and said[:4].tolist() == again.tolist()
    assert setting in kind.settings


def test_noise_wants_a_strong_penalty_and_a_clear_line_a_weak_one():
    linear = PROBES[0]
    noise, labels = made_up(80, 3, apart=0.0)
    clear, _ = made_up(80, 3, apart=12.0)
    assert choose(linear, noise, labels, 2, 5, 1) >= 1.0
    assert choose(linear, clear, labels, 2, 5, 1) <= 1e-2


# --- the command ---
def told(capsys, *words) -> dict:
    file, test, label, blob, folds, seed = words
    probe(file, test, label, blob, folds, seed, Console(as_json=True))
    return json.loads(capsys.readouterr().out)


def write(name: str, x, labels, names: tuple[str, ...] = (), blob: str = "fire9/concat") -> None:
    if name.endswith(".npz"):
        np.savez(name, **{blob: x, "label": labels, "id": np.array(["a"] * len(x))})
        return
    with h5py.File(name, "w") as file:
        file[blob.replace("/", "%2F")], file["label"], file["id"] = x, labels, ["a"] * len(x)
        if names:
            file["label"].attrs["names"] = np.array([name.encode() for name in names])


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_a_test_set_is_judged_once(ending, capsys):
    write(f"train.{ending}", *made_up(60, 1), names=("ants", "bees"))
    write(f"test.{ending}", *made_up(40, 2))
    made = told(capsys, f"train.{ending}", f"test.{ending}", "label", None, 5, 1)
    linear = made["probes"]["linear"]
    assert made["blob"] == "fire9/concat" and made["train"] == 60 and made["samples"] == 40 and made["chance"] == 0.5
    assert linear["correct"] >= 30 and linear["accuracy"] == linear["correct"] / 40 and len(linear["l2"]) == 1
    assert linear["interval"] == list(wilson(linear["correct"], 40))
    names = ["ants", "bees"] if ending == "h5" else ["0", "1"]
    assert list(made["classes"]) == names and made["classes"][names[0]]["samples"] == 20
    assert told(capsys, f"train.{ending}", f"test.{ending}", "label", None, 5, 1) == made


def test_without_a_test_set_each_sample_is_judged_by_the_other_folds(capsys):
    write("train.npz", *made_up(60, 1))
    made = told(capsys, "train.npz", None, "label", None, 4, 1)
    assert made["samples"] == made["train"] == 60 and len(made["probes"]["k-NN cosine"]["k"]) == 4
    noise, labels = made_up(200, 5, apart=0.0)
    write("noise.npz", noise, labels)
    for result in told(capsys, "noise.npz", None, "label", None, 4, 1)["probes"].values():
        assert 0.35 < result["accuracy"] < 0.65, "nothing can be learnt from noise"


def test_in_words(capsys):
    write("train.h5", *made_up(60, 1), names=("ants", "bees"))
    write("test.h5", *made_up(40, 2))
    probe("train.h5", "test.h5", "label", None, 5, 1, Console())
    out = capsys.readouterr().out
    assert "train.h5: 60 samples x 6 features of fire9/concat; judged: 40 samples of test.h5" in out
    assert "chance" in out and "always ants" in out and "intervals: Wilson, 95 %; settings chosen by 5 folds" in out
    assert any(row.split()[:2] == ["bees", "20"] for row in out.splitlines())


def test_a_class_that_training_lacks_is_never_right(capsys):
    x, labels = made_up(40, 2)
    write("train.npz", *made_up(60, 1))
    write("test.npz", x, np.where(np.arange(40) < 10, 7, labels).astype(np.int32))
    made = told(capsys, "train.npz", "test.npz", "label", None, 5, 1)
    assert made["classes"]["7"] == {"samples": 10, "linear": 0, "k-NN cosine": 0, "k-NN Euclidean": 0}


X, LABELS = made_up(20, 1)
BROKEN = {
    "label": ({"label": None}, r"train\.npz: has no 'label'; .*\(--label\)"),
    "several": ({"more": X}, r"train\.npz: has ip1, more; say which with --blob"),
    "floats": ({"label": LABELS.astype(float)}, r"'label' is not one class a sample but float64 of \(20,\); name another"),
    "rows": ({"label": LABELS[:19]}, r"'ip1' has 20 rows and 'label' 19"),
    "nan": ({"ip1": np.where(np.arange(20)[:, None] == 3, np.nan, X)}, r"not finite, the first in row 3"),
    "beyond float32": ({"ip1": np.where(np.arange(20)[:, None] == 4, np.float64(1e300), X)}, r"not finite, the first in row 4"),
    "one class": ({"label": 0 * LABELS}, r"all samples are of one class; there is nothing to tell apart"),
    "few": ({"ip1": X[:9], "label": LABELS[:9]}, r"9 samples are too few for 5 folds; say --folds 2, or get more"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_features_that_cannot_be_used_are_told(case):
    change, words = BROKEN[case]
    arrays = {"ip1": X, "label": LABELS} | change
    np.savez("train.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=words):
        probe("train.npz", None, "label", None, 5, 1, Console())


def test_other_features_and_unknown_blobs_are_told():
    write("train.npz", X, LABELS, blob="ip1")
    write("test.npz", X[:, :3], LABELS, blob="ip1")
    with pytest.raises(
        DataError, match=r"test\.npz: has 3 features a sample where train\.npz has 6; extract both with the same net"
    ):
        probe("train.npz", "test.npz", "label", None, 5, 1, Console())
    with pytest.raises(DataError, match=r"has no 'ip2'; did you mean 'ip1'\? \(--blob\)"):
        probe("train.npz", None, "label", "ip2", 5, 1, Console())


@pytest.mark.parametrize(("label", "blob", "words"), [
    ("id", None, "'id' says which sample a row is of; name the classes with --label, features with --blob"),
    ("label", "id", "'id' says which sample a row is of"), ("label", "label", "'label' is the class itself; name features with --blob"),
])  # fmt: skip
def test_what_is_no_class_and_no_features_is_told(label, blob, words):
    write("train.npz", X, LABELS, blob="ip1")
    with pytest.raises(DataError, match=f"train.npz: {words}"):
        probe("train.npz", None, label, blob, 5, 1, Console())


def test_a_folder_is_told():
    Path("x.h5").mkdir()
    with pytest.raises(DataError, match="x.h5: is a folder; expected what dltrain extract-features writes"):
        probe("x.h5", None, "label", None, 5, 1, Console())


@pytest.mark.parametrize(
    ("name", "where"), [("x.npz", "zipfile.ZipFile"), ("x.h5", "h5py.File"), ("x.h5", "pathlib.Path.is_file")]
)
def test_a_file_that_may_not_be_read_is_told(name, where, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    write(name, X, LABELS)
    monkeypatch.setattr(where, denied)
    with pytest.raises(DataError, match=rf"{name}: cannot be read \(Permission denied\); make the file readable$"):
        probe(name, None, "label", None, 5, 1, Console())


@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.csv"])
def test_foreign_and_missing_files_are_one_line(name):
    with pytest.raises(DltrainError, match=rf"{name}: there is no such file; expected what dltrain extract-features writes"):
        probe(name, None, "label", None, 5, 1, Console())
    Path(name).write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(DltrainError, match=rf"{name}: is (damaged, or )?no file of features") as caught:
        probe(name, None, "label", None, 5, 1, Console())
    assert "\n" not in str(caught.value)


def test_features_of_a_run_name_their_classes(small, result, command):
    run = result("train", small, "--set", "solver.max_iter=20", "--set", "data.source={type: digits}")["run"]
    for split in ("train", "test"):
        result("extract-features", run, "--blob", "ip1", "--split", split, "-o", f"{split}.h5")
    done = command("probe", "train.h5", "--test", "test.h5", "--folds", "2", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["samples"] == 360 and made["probes"]["linear"]["accuracy"] > 0.8 and list(made["classes"]) == list("0123456789")


def test_names_of_any_length_are_left_alone_as_a_damaged_file_could_hold_the_reader_with_them(capsys):
    write("train.h5", *made_up(20, 1))
    with h5py.File("train.h5", "r+") as file:
        file["label"].attrs["names"] = ["ants", "bees"]
    assert list(told(capsys, "train.h5", None, "label", None, 2, 1)["classes"]) == ["0", "1"]
