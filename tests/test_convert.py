"""dltrain data convert: what is written reads back as the source gave it, trains the same, and is never left half done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import convert as converting
from dltrain.config import read as read_config
from dltrain.console import Console
from dltrain.convert import convert
from dltrain.errors import ConfigError, DataError, Mistakes
from dltrain.registry import SOURCES
from dltrain.source import ANY_SIZE, Shape, Source

pytest.importorskip("lmdb")

NET = """
name: small
data:
  source: digits
  batch_size: 32
  val: {hold_out: 100}
  transform: [{crop: 7}, {mean: channel}]
net:
  - {name: ip, type: InnerProduct, bottom: data, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
solver: {type: SGD, base_lr: 0.001, max_epochs: 2}
"""
OUTS = ["x.h5", "x.lmdb"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Given(Source):
    """Samples that a test hands over: arrays for all at once, or a list of arrays that differ in size."""

    type = "given"
    samples: dict[str, Any] = {}
    shapes: dict[str, Shape] = {}
    facts = {"take": [3, "b"]}
    broken: int | None = None

    def open(self) -> None:
        self.fields, count = self.shapes, len(self)
        self.splits = {"train": np.arange(1, count), "test": np.arange(1)}
        self.classes, self.names = {"label": 3}, {"label": ["a", "b", "ü"]}
        self.facts = {"take": np.arange(count), "who": [f"w{n}" for n in range(count)]}

    def __len__(self) -> int:
        return len(next(iter(self.samples.values())))

    def sample(self, index: int, wanted: Any) -> Any:
        if index == self.broken:
            raise DataError(f"picture {index}: is damaged; mend it")
        return {name: self.samples[name][index] for name in wanted}

    def identify(self, index: int) -> str:
        return f"picture {index}"


@pytest.fixture
def given_source(monkeypatch: pytest.MonkeyPatch) -> type[Given]:
    monkeypatch.setattr(converting, "read_source", lambda path, settings: Given())
    monkeypatch.setattr(Given, "shapes", {"data": Shape((2, ANY_SIZE)), "label": Shape((), "index")})
    monkeypatch.setattr(
        Given, "samples", {"data": [np.full((2, n), n, np.uint8) for n in range(1, 5)], "label": np.arange(4) % 3}
    )
    return Given


def silent(path: str, out: str, *settings: str) -> None:
    convert(path, out, settings, Console(quiet=True))


def store_of(out: str) -> Any:
    made = SOURCES["lmdb"](file=out) if out.endswith(".lmdb") else SOURCES["hdf5"](file=(out,))
    made.open()
    return made


@pytest.mark.parametrize("out", OUTS)
def test_a_net_trains_from_the_store_as_from_the_source(out: str) -> None:
    Path("net.yaml").write_text(NET)
    silent("net.yaml", out)
    Path("copy.yaml").write_text(
        NET.replace("source: digits", f"source: {{type: {'hdf5' if out == 'x.h5' else 'lmdb'}, file: {out}}}")
    )
    one, other = (read_config(name).feed for name in ("net.yaml", "copy.yaml"))
    assert one.source.classes == other.source.classes and list(one.fields.items()) == list(other.fields.items())
    assert all(np.array_equal(rows, other.splits[name]) for name, rows in one.splits.items())
    for number in (0, 3, 70):
        for name, array in one.train_batch_now(number).items():
            assert array.tobytes() == other.train_batch_now(number)[name].tobytes()
    for feed in (one, other):
        feed.close()


@pytest.mark.parametrize("out", OUTS)
def test_what_is_said(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    convert("digits", out, (), Console(as_json=True))
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (
        result["samples"] == 1797 and result["splits"] == {"train": 1257, "val": 180, "test": 360} and len(result["digest"]) == 64
    )
    assert printed.err == f"converting 1,797 samples to {out}\n"
    convert(f"{{type: {'lmdb' if out == 'x.lmdb' else 'hdf5'}, file: {out}}}", f"again.{out[2:]}", (), Console())
    assert "1,797 samples (train 1,257, val 180, test 360), 0." in capsys.readouterr().out


@pytest.mark.parametrize("out", OUTS)
def test_everything_known_of_the_samples_is_kept(out: str, given_source: type[Given]) -> None:
    silent("", out)
    store = store_of(out)
    assert list(store.fields) == ["data", "label"] and store.fields["data"] == (2, ANY_SIZE)
    assert store.splits["train"].tolist() == [1, 2, 3] and store.splits["test"].tolist() == [0]
    assert store.classes == {"label": 3} and store.names == {"label": ["a", "b", "ü"]}
    assert store.facts == {"take": [0, 1, 2, 3], "who": ["w0", "w1", "w2", "w3"]} and store.identify(2) == "picture 2"
    for index in range(4):
        sample = store.sample(index, ("data", "label"))
        assert sample["data"].tolist() == given_source.samples["data"][index].tolist() and sample["data"].dtype == np.uint8
        assert sample["label"] == index % 3
    assert store.one_by_one


def test_a_source_for_each_split() -> None:
    for name, value in (("a", 1), ("b", 2)):
        np.savez(f"{name}.npz", data=np.full((3, 2), value, np.float32), label=np.arange(3))
    Path("c.yaml").write_text("data: {source: {type: arrays, file: a.npz}, test: {source: {type: arrays, file: b.npz}}}")
    silent("c.yaml", "x.h5")
    store = store_of("x.h5")
    out = {"data": np.empty((6, 2), np.float32)}
    store.read(np.arange(6), out)
    assert out["data"][:, 0].tolist() == [1, 1, 1, 2, 2, 2] and store.splits["test"].tolist() == [3, 4, 5]
    assert store.identify(4) == f"row 1 of {Path('b.npz').resolve()}"


def test_bytes_where_bytes_hold_every_bit() -> None:
    import h5py

    late = np.zeros((700, 2), np.float32)
    late[600] = 0.5  # after the first batch: begun again
    np.savez("a.npz", data=late, small=np.full((700, 2), 255.0), minus=np.full((700, 2), -0.0), label=np.arange(700))
    silent("{type: arrays, file: a.npz}", "x.h5")
    with h5py.File("x.h5") as file:
        assert {name: file[name].dtype for name in ("data", "small", "minus", "label")} == {
            "data": np.float32, "small": np.uint8, "minus": np.float32, "label": np.int32,
        }  # fmt: skip


FLOATS = some.floats(width=32, allow_nan=True)


@settings(max_examples=25, deadline=None)
@given(
    some.integers(1, 30), some.integers(0, 3), some.booleans(), some.sampled_from([np.uint8, np.float32, np.int16]), some.data()
)
def test_any_source_reads_back_alike(count: int, axes: int, differ: bool, kind: Any, data: Any) -> None:
    shapes = [tuple(data.draw(some.integers(1, 4)) for _ in range(axes + 1)) for _ in range(count if differ else 1)]
    seed = data.draw(some.integers(0, 1000))
    rng = np.random.default_rng(seed)
    numbers = rng.choice(
        np.array([0, 1, 255, 3], kind) if kind != np.float32 else np.array([0, 0.5, 255, np.nan, -0.0], kind), (count, 300)
    )
    arrays = [numbers[n, : int(np.prod(shape))].reshape(shape) for n, shape in enumerate(shapes * (1 if differ else count))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converting, "read_source", lambda path, settings: Given())
        patch.setattr(
            Given,
            "shapes",
            {"data": Shape((ANY_SIZE,) * (axes + 1)) if differ else Shape(shapes[0]), "label": Shape((), "index")},
        )
        patch.setattr(Given, "samples", {"data": arrays, "label": rng.integers(-5, 2**31, count)})
        for out in OUTS:
            silent("", out)
            store = store_of(out)
            for index in range(count):
                sample = store.sample(index, ("data", "label"))
                if differ:
                    assert sample["data"].dtype == arrays[index].dtype and sample["data"].tobytes() == arrays[index].tobytes()
                assert sample["data"].astype(np.float32).tobytes() == arrays[index].astype(np.float32).tobytes()
                assert sample["data"].shape == arrays[index].shape and sample["label"] == Given.samples["label"][index]
            converting.remove(Path(out))


# --- refusals ---
@pytest.mark.parametrize(("path", "out", "error", "words"), [
    ("digits", "x.zip", ConfigError, "x.zip: cannot be written; name a file.h5 or a folder.lmdb"),
    ("digits", "no/x.h5", ConfigError, "no/x.h5: there is no folder no; make it first"),
    ("digits", "there.h5", ConfigError, "there.h5: is there already; remove it, or choose another name"),
    ("digits", "there.lmdb", ConfigError, "there.lmdb: is there already"),
    ("{type: digts}", "x.h5", Mistakes, "unknown source 'digts'; did you mean 'digits'?"),
    ("{type: arrays, file: no.npz}", "x.h5", DataError, "no.npz: there is no such file"),
    ("no.yaml", "x.h5", ConfigError, "no.yaml: there is no such file"),
    ("empty.yaml", "x.h5", ConfigError, "has no data section"),
])  # fmt: skip
def test_what_cannot_be_converted(path: str, out: str, error: Any, words: str) -> None:
    Path("there.h5").touch(), Path("there.lmdb").symlink_to("nowhere"), Path("empty.yaml").write_text("name: x\n")
    with pytest.raises(error, match=re.escape(words)):
        silent(path, out)
    assert sorted(os.listdir()) == ["empty.yaml", "there.h5", "there.lmdb"]


@pytest.mark.parametrize("out", OUTS)
def test_a_sample_that_cannot_be_read_is_told_and_nothing_stays(
    out: str, given_source: type[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_source, "broken", 2)
    with pytest.raises(DataError, match="picture 2: is damaged; mend it"):
        silent("", out)
    assert os.listdir() == []


def test_samples_that_continue_one_another(given_source: type[Given], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_source, "arrange", lambda self, rows, size: rows)
    with pytest.raises(
        DataError, match="samples of given continue one another, which a store does not keep; train from it as it is"
    ):
        silent("", "x.h5")


def test_samples_of_several_types(given_source: type[Given]) -> None:
    given_source.samples["data"][3] = given_source.samples["data"][3].astype(np.float32)
    with pytest.raises(DataError, match=r"'data' has samples of several types \(float32, uint8\); convert to a .lmdb"):
        silent("", "x.h5")
    silent("", "x.lmdb")
    assert os.listdir() == ["x.lmdb"] and store_of("x.lmdb").sample(3, ("data",))["data"].dtype == np.float32


def test_a_disk_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match="x.h5: needs 0.0 GiB at least, and the disk has 0.0 left; make room"):
        silent("digits", "x.h5")


@pytest.mark.parametrize("out", OUTS)
def test_a_disk_that_is_full_costs_a_message_and_leaves_nothing(out: str) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from dltrain.cli import main; sys.argv = ['dltrain', 'data', 'convert', 'digits', sys.argv[1]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, text=True)
    assert done.returncode == 4 and done.stdout == ""
    assert re.search(rf"^dltrain: {out}: cannot be written \(.*\); make room, or choose another folder$", done.stderr, re.M)
    assert "Traceback" not in done.stderr and os.listdir() == []


@pytest.mark.parametrize("out", OUTS)
def test_what_does_not_read_back_is_not_kept(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = converting.settle, converting.verify

    def spoiled(about: Any, temporary: Path, target: Path, console: Console) -> None:
        about.digest = "another"
        plain[1](about, temporary, target, console)

    monkeypatch.setattr(converting, "verify", spoiled)
    with pytest.raises(DataError, match=f"{out}: does not read back as it was written; the disk or the memory"):
        silent("digits", out)
    assert os.listdir() == []
