"""MNIST: the splits and the pixels of the real files, where they are looked for, and what is said when they are not there."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.data import known, mnist
from dltrain.data.download import Remote
from dltrain.data.mnist import Mnist
from dltrain.errors import DataError

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "mnist"
SMALL: dict[str, tuple[int, ...]] = {
    "train-images-idx3-ubyte": (12, 3, 2), "train-labels-idx1-ubyte": (12,),
    "t10k-images-idx3-ubyte": (5, 3, 2), "t10k-labels-idx1-ubyte": (5,),
}  # fmt: skip


def idx(shape: tuple[int, ...], most: int) -> bytes:
    values = np.arange(np.prod(shape)) % most
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape) + values.astype(np.uint8).tobytes()


FILES = {stem: idx(shape, 10 if "labels" in stem else 256) for stem, shape in SMALL.items()}
PACKED = {f"{stem}.gz": gzip.compress(content, mtime=0) for stem, content in FILES.items()}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A world where MNIST has 17 images of 3 x 2, no mirror answers, and the cache is empty; its cache folder."""
    pinned = tuple(Remote(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in PACKED.items())
    monkeypatch.setattr(mnist, "SHAPES", SMALL)
    monkeypatch.setattr(mnist, "HELD", 4)
    pin(monkeypatch, files=pinned, mirrors=())
    for name in ("DLTRAIN_DATA", "DLTRAIN_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dltrain" / "mnist"


def pin(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """MNIST as the table of known sets would have it."""
    monkeypatch.setitem(known.KNOWN, "mnist", replace(known.KNOWN["mnist"], **changes))


def fill(folder: Path, files: dict[str, bytes], rename: Callable[[str], str] = str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / rename(name)).write_bytes(content)
    return folder


def opened(root: Path | None = None) -> Mnist:
    source = Mnist(root=str(root) if root else None)
    source.open()
    return source


# --- the real files ---
@pytest.fixture(scope="module")
def real() -> Mnist:
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/mnist, which is not here")
    return opened(REAL)


def test_real_splits(real: Mnist) -> None:
    assert len(real) == 70_000
    bounds = {name: (len(indices), indices[0], indices[-1]) for name, indices in real.splits.items()}
    assert bounds == {"train": (55_000, 0, 54_999), "val": (5_000, 55_000, 59_999), "test": (10_000, 60_000, 69_999)}
    assert [(name, tuple(shape), shape.dtype) for name, shape in real.fields.items()] == [
        ("data", (1, 28, 28), "float"),
        ("label", (), "index"),
    ]
    assert real.classes == {"label": 10}


def test_real_values(real: Mnist) -> None:
    out = {"data": np.empty((8, 1, 28, 28), np.float32), "label": np.empty(8, np.int32)}
    real.read(np.array([0, 1, 2, 3, 4, 60_000, 60_001, 60_002]), out)
    assert out["label"].tolist() == [5, 0, 4, 1, 9, 7, 2, 1]
    assert out["data"].max() == 255 and out["data"][0, 0, 5, 12:18].tolist() == [3, 18, 18, 18, 126, 136]


def test_real_statistics(real: Mnist) -> None:
    train = real.arrays["data"][:60_000]
    assert train.mean() / 255 == pytest.approx(0.1306605, abs=1e-6)
    assert train.std() / 255 == pytest.approx(0.3081078, abs=1e-6)
    assert np.bincount(real.arrays["label"][60_000:]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_real_names(real: Mnist) -> None:
    assert real.identify(59_999) == "training image 59999"
    assert real.identify(60_000) == "test image 0"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/mnist, which is not here")
def test_the_pinned_checksums_are_those_of_the_real_files() -> None:
    for remote in known.KNOWN["mnist"].files:
        assert (REAL / remote.name).stat().st_size == remote.size and remote.fits(REAL / remote.name)


# --- where they are looked for ---
@pytest.mark.parametrize("files", [FILES, PACKED])
@pytest.mark.parametrize("rename", [str, lambda name: name.replace("-idx", ".idx")])
def test_a_folder_of_yours(small: Path, tmp_path: Path, files: dict[str, bytes], rename: Callable[[str], str]) -> None:
    source = opened(fill(tmp_path / "mine", files, rename))
    assert {name: indices.tolist() for name, indices in source.splits.items()} == {
        "train": list(range(8)), "val": [8, 9, 10, 11], "test": [12, 13, 14, 15, 16]
    }  # fmt: skip
    out = {"data": np.empty((2, 1, 3, 2), np.float32), "label": np.empty(2, np.int32)}
    source.read(np.array([1, 12]), out)
    assert out["data"].tolist() == [[[[6, 7], [8, 9], [10, 11]]], [[[0, 1], [2, 3], [4, 5]]]]
    assert out["label"].tolist() == [1, 0]


def test_data_folder_then_cache(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(small, FILES)
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "data"))
    assert set(known.find("mnist", None, SMALL).values()) == {small / name for name in FILES}
    fill(tmp_path / "data" / "mnist", FILES)
    assert set(known.find("mnist", None, SMALL).values()) == {tmp_path / "data" / "mnist" / name for name in FILES}
    fill(tmp_path / "root", FILES)
    assert set(known.find("mnist", str(tmp_path / "root"), SMALL).values()) == {tmp_path / "root" / name for name in FILES}


def test_a_given_folder_must_have_all(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(small, FILES)
    folder = fill(tmp_path / "data" / "mnist", dict(list(FILES.items())[:3]))
    words = re.escape(f"mnist: {folder} lacks t10k-labels-idx1-ubyte (plain or .gz)") + ".*--set data.source.root=DIR"
    with pytest.raises(DataError, match=words):
        opened(folder)
    monkeypatch.setenv("DLTRAIN_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match=words):
        opened()


def test_the_cache_follows_its_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for said, folder in {
        "/c": "/c/dltrain/mnist",
        "": "/home/someone/.cache/dltrain/mnist",
        "c": "/home/someone/.cache/dltrain/mnist",
    }.items():
        monkeypatch.setenv("XDG_CACHE_HOME", said)
        assert known.cache_folder("mnist") == Path(folder)


# --- fetched ---
def test_fetches_into_the_cache_once(small: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.files.update(PACKED)
    mirror.breaks = [40]
    monkeypatch.setenv("DLTRAIN_MIRROR", mirror.url)
    assert len(opened()) == 17
    assert mirror.asked == [("train-images-idx3-ubyte.gz", 0), ("train-images-idx3-ubyte.gz", 40),
                            *((f"{stem}.gz", 0) for stem in list(SMALL)[1:])]  # fmt: skip
    assert sorted(path.name for path in small.iterdir()) == [".lock", *sorted(PACKED)]
    opened()
    assert len(mirror.asked) == 5


def test_fetches_only_what_is_missing(small: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(small, dict(list(FILES.items())[:3]))
    mirror.files.update(PACKED)
    pin(monkeypatch, mirrors=(mirror.url,))
    opened()
    assert mirror.asked == [("t10k-labels-idx1-ubyte.gz", 0)]


def test_the_mirror_of_the_environment_comes_first(
    small: Path, mirror: Any, second_mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_mirror.files.update(PACKED)
    monkeypatch.setenv("DLTRAIN_MIRROR", mirror.url)
    pin(monkeypatch, mirrors=(second_mirror.url,))
    opened()
    assert mirror.asked == [(name, 0) for name in PACKED] and second_mirror.asked == mirror.asked


def test_a_wrong_file_is_refused_with_the_ways_out(small: Path, mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.files.update({**PACKED, "t10k-labels-idx1-ubyte.gz": PACKED["t10k-labels-idx1-ubyte.gz"][:-1] + b"!"})
    monkeypatch.setenv("DLTRAIN_MIRROR", mirror.url)
    with pytest.raises(DataError) as caught:
        opened()
    assert str(caught.value) == (
        f"mnist: t10k-labels-idx1-ubyte could not be fetched ({mirror.url}mnist/: gave a file with another SHA-256); "
        f"put the files into {small}, or into DIR/mnist with DLTRAIN_DATA=DIR, or say --set data.source.root=DIR"
    )


def test_offline_names_the_ways_out(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    pin(monkeypatch, mirrors=("http://127.0.0.1:9/",))
    everything = ", ".join(SMALL)
    with pytest.raises(
        DataError, match=re.escape(f"mnist: {everything} could not be fetched (http://127.0.0.1:9/: Connection refused); put")
    ):
        opened()


# --- damaged ---
@pytest.mark.parametrize(("stem", "content", "words"), [
    ("train-images-idx3-ubyte", FILES["train-images-idx3-ubyte"][:-1], "is too short for what its header says; expected"),
    ("t10k-labels-idx1-ubyte", FILES["train-labels-idx1-ubyte"], "says that it holds 12 bytes; expected an IDX file of 5 bytes"),
    ("t10k-images-idx3-ubyte", b"<html>", "is no IDX file of bytes: it begins with 3c 68 74 6d"),
])  # fmt: skip
def test_a_damaged_file_is_named(small: Path, tmp_path: Path, stem: str, content: bytes, words: str) -> None:
    fill(tmp_path, {**FILES, stem: content})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / stem}: {words}")):
        opened(tmp_path)


def test_a_label_that_is_no_digit(small: Path, tmp_path: Path) -> None:
    fill(tmp_path, {**FILES, "t10k-labels-idx1-ubyte": FILES["t10k-labels-idx1-ubyte"][:-1] + b"\x0b"})
    with pytest.raises(DataError, match=r"the label of test image 4 is 11, expected 0 \.\. 9"):
        opened(tmp_path)
