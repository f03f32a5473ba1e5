"""Bad data, one kind after another, through the command: one message, exit code 4, no traceback, little memory."""

from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dltrain import launch
from dltrain.console import Console
from dltrain.errors import DataError

NET = """
net:
  - {name: ip, type: InnerProduct, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
solver: {type: SGD, base_lr: 0.01, max_iter: 2, test: null}
"""
SMALL = "batch_size: 6, transform: [{resize: 8}]"


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)


def folder(root: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            picture(root / name / f"{number}.jpg")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def truncated_jpeg(root: Path) -> str:
    folder(root / "p")
    file = root / "p" / "b" / "1.jpg"
    file.write_bytes(file.read_bytes()[:400])
    return f"source: {{type: image_folder, root: p}}, {SMALL}"


def png_bomb(root: Path) -> str:
    folder(root / "p")
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    (root / "p" / "a" / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    return f"source: {{type: image_folder, root: p}}, {SMALL}"


def empty_folder(root: Path) -> str:
    (root / "p").mkdir()
    return f"source: {{type: image_folder, root: p}}, {SMALL}"


def label_out_of_range(root: Path) -> str:
    np.savez(root / "a.npz", data=np.zeros((20, 4), np.float32), label=np.arange(20))
    return "source: {type: arrays, file: a.npz}"


def empty_idx(root: Path) -> str:
    (root / "i").touch()
    (root / "l").touch()
    return "source: {type: idx, images: i, labels: l}"


def wrong_magic(root: Path) -> str:
    (root / "i").write_bytes(b"\x00\x00\x0d\x03" + struct.pack(">III", 2, 2, 2) + bytes(8))
    (root / "l").write_bytes(b"\x00\x00\x08\x01" + struct.pack(">I", 2) + bytes(2))
    return "source: {type: idx, images: i, labels: l}"


def wrong_rank(root: Path) -> str:
    with h5py.File(root / "a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((6, 3), np.float32), np.float32(1)
    return "source: {type: hdf5, train: a.h5}"


def hdf5_cut_short(root: Path) -> str:
    with h5py.File(root / "a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((600, 300), np.float32), np.zeros(600, np.int32)
    (root / "a.h5").write_bytes((root / "a.h5").read_bytes()[:3000])
    return "source: {type: hdf5, train: a.h5}"


def lmdb_cut_short(root: Path) -> str:
    import lmdb

    env = lmdb.open(str(root / "a_lmdb"), map_size=1 << 22)
    with env.begin(write=True) as made:
        for number in range(400):
            made.put(f"{number:08d}".encode(), b"\x08\x01\x10\x02\x18\x02\x22\x04\x01\x02\x03\x04\x28\x01" * 3)
    env.close()
    file = root / "a_lmdb" / "data.mdb"
    file.write_bytes(file.read_bytes()[:10_000])
    return "source: {type: lmdb, train: a_lmdb}"


def way_out_of_an_archive(root: Path) -> str:
    (root / "c").mkdir()
    with tarfile.open(root / "c" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name in ("../../escaped.bin", "/etc/escaped.bin", "cifar-10-batches-bin/data_batch_1.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3073
            archive.addfile(member, io.BytesIO(bytes(3073)))
    return "source: {type: cifar10, root: c}"


def path_out_of_a_list(root: Path) -> str:
    folder(root / "p")
    picture(root / "secret.jpg")
    (root / "list.txt").write_text("a/0.jpg 0\n../secret.jpg 1\n")
    return f"source: {{type: image_list, file: list.txt, root: p}}, {SMALL}"


def sparse(name: str) -> Callable[[Path], str]:
    def made(root: Path) -> str:
        said = {"a.csv": "{type: csv, file: a.csv, label: y}", "a.npz": "{type: arrays, file: a.npz}", "a.h5": "{type: hdf5, train: a.h5}",
                "i": "{type: idx, images: i}", "t.txt": "{type: text, file: t.txt}"}[name]  # fmt: skip
        with open(root / name, "wb") as file:
            file.truncate(10 * 2**30)
        return f"source: {said}"

    return made


def gzip_bomb(root: Path) -> str:
    with gzip.open(root / "i.gz", "wb") as file:
        file.write(b"\x00\x00\x08\x03" + struct.pack(">III", 1_000_000_000, 28, 28) + bytes(1_000_000))
    return "source: {type: idx, images: i.gz}"


CASES = [
    (truncated_jpeg, r"b/1\.jpg: "), (png_bomb, r"bomb\.png: "), (empty_folder, r"/p: "), (label_out_of_range, r"'label' is 1\d in sample row 1\d of "),
    (empty_idx, r"/[il]: "), (wrong_magic, r"/i: "), (wrong_rank, r"a\.h5"), (hdf5_cut_short, r"a\.h5: "), (lmdb_cut_short, r"a_lmdb"),
    (way_out_of_an_archive, r"cifar"), (path_out_of_a_list, r"list\.txt"), (gzip_bomb, r"i\.gz: "),
    *((sparse(name), rf"{name}: ".replace(".", r"\.")) for name in ("a.csv", "a.npz", "a.h5", "i", "t.txt")),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), CASES, ids=[f"{getattr(m, '__name__', '')}-{w[:6]}" for m, w in CASES])
def test_one_message_and_little_memory(
    make: Callable[[Path], str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(f"data: {{{make(tmp_path)}}}{NET}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=words) as caught:
        launch.start("net.yaml", (), (), "reference", "runs", Console(quiet=True))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert not os.path.exists(tmp_path.parent / "escaped.bin")


def test_the_command_says_it_in_one_line_and_exits_with_4(tmp_path: Path, command: Callable[..., object]) -> None:
    (tmp_path / "net.yaml").write_text(f"data: {{{empty_folder(tmp_path)}}}{NET}")
    done = command("train", "net.yaml")
    assert done.returncode == 4  # type: ignore[attr-defined]
    assert done.stderr.startswith("dltrain: ") and done.stderr.count("\n") == 1  # type: ignore[attr-defined]
