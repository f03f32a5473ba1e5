"""A folder of pictures: classes by folder or by name, splits, and each way in which a folder can be wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dltrain.data.image_folder import ImageFolder
from dltrain.errors import DataError
from dltrain.source import ANY_SIZE

REAL = Path(__file__).parents[3] / "shared" / "data" / "hymenoptera"


def picture(path: Path, value: int = 7, size: tuple[int, int] = (3, 2)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    how = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    Image.new("RGB", size, (value, value, value)).save(path, how)


def folder(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        picture(root / name, number)
    return root


def opened(root: Path, **keys: Any) -> ImageFolder:
    source = ImageFolder(root=str(root), **keys)
    source.open()
    return source


def files(source: ImageFolder) -> dict[str, list[str]]:
    return {split: [source.identify(int(index)) for index in rows] for split, rows in source.splits.items()}


def refuses(root: Path, words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match="^" + re.escape(words)):
        opened(root, **keys)


# --- classes by folder ---
def test_a_class_a_folder(tmp_path: Path) -> None:
    folder(tmp_path, "cats/b.png", "cats/a.PNG", "ants/deep/er/c.jpeg", "ants/.hidden.png", ".git/x/y.png", "ants/~.JPG")
    (tmp_path / "ants" / "notes.txt").write_text("not a picture")
    source = opened(tmp_path)
    assert files(source) == {"train": ["ants/deep/er/c.jpeg", "ants/~.JPG", "cats/a.PNG", "cats/b.png"]}
    assert source.names == {"label": ["ants", "cats"]} and source.classes == {"label": 2} and len(source) == 4
    assert [int(source.sample(index, ["label"])["label"]) for index in range(4)] == [0, 0, 1, 1]
    assert source.facts == {"label": ["ants", "ants", "cats", "cats"]}
    assert [(tuple(x), x.dtype) for x in source.fields.values()] == [((3, ANY_SIZE, ANY_SIZE), "float"), ((), "index")]
    data = source.sample(3, ["data"])
    assert (
        list(data) == ["data"]
        and data["data"].shape == (3, 2, 3)
        and data["data"].dtype == np.uint8
        and (data["data"] == 0).all()
    )


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_splits(tmp_path: Path, val: str) -> None:
    folder(tmp_path, "train/cats/a.png", "train/ants/b.png", f"{val}/cats/c.png", "test/ants/d.png")
    (tmp_path / "notes").mkdir()
    source = opened(tmp_path)
    assert files(source) == {
        "train": ["train/ants/b.png", "train/cats/a.png"],
        "val": [f"{val}/cats/c.png"],
        "test": ["test/ants/d.png"],
    }
    assert source.labels.tolist() == [0, 1, 1, 0] and source.names == {"label": ["ants", "cats"]}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    source = opened(folder(tmp_path, "train/a.png", "bus/b.png"))
    assert source.names == {"label": ["bus", "train"]} and list(source.splits) == ["train"]


def test_a_label_is_cheap(tmp_path: Path) -> None:
    folder(tmp_path, "a/x.png", "b/y.png")
    (tmp_path / "a" / "x.png").write_bytes(b"damaged")
    source = opened(tmp_path)
    assert source.sample(0, ["label"]) == {"label": 0}
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/a/x.png: is no picture in")):
        source.sample(0, ["data", "label"])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder(tmp_path / "far", "a.png")
    folder(tmp_path / "root", "b/b.png")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "far")
    assert files(opened(tmp_path / "root")) == {"train": ["a/a.png", "b/b.png"]}
    (tmp_path / "root" / "b" / "back").symlink_to(tmp_path / "root" / "b")
    with pytest.raises(DataError, match=r"lies more than 50 folders deep; does a link lead back\?|cannot be listed"):
        opened(tmp_path / "root")


# --- classes by name ---
def test_a_pattern(tmp_path: Path) -> None:
    source = opened(folder(tmp_path, "1_ann_10.png", "0_bob_9.PNG", "x/0_ann_8.png"), files="{label}_{speaker}_{take:int}.png")
    assert files(source)["train"] == ["0_bob_9.PNG", "1_ann_10.png", "x/0_ann_8.png"]
    assert source.facts == {"label": ["0", "1", "0"], "speaker": ["bob", "ann", "ann"], "take": [9, 10, 8]}
    assert source.labels.tolist() == [0, 1, 0] and source.names == {"label": ["0", "1"]}


def test_a_pattern_with_a_number_for_a_class(tmp_path: Path) -> None:
    source = opened(folder(tmp_path, "train/7_a.png", "train/2_a.png", "test/9_b.png"), files="{label:int}_{who}.png")
    assert source.labels.tolist() == [2, 7, 9] and source.classes == {"label": 10} and source.names == {}
    assert {split: rows.tolist() for split, rows in source.splits.items()} == {"train": [0, 1], "test": [2]}


def test_a_pattern_over_folders(tmp_path: Path) -> None:
    source = opened(
        folder(tmp_path, "train/yes/a_1.png", "train/no/b_2.png", "val/yes/a_3.png"), files="{label}/{who}_{take:int}.png"
    )
    assert source.labels.tolist() == [0, 1, 1] and source.facts["who"] == ["b", "a", "a"]


# --- how a picture comes ---
def test_grey_and_scaled(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "a.jpg", 100, (64, 48))
    source = opened(tmp_path, color="grey")
    source.least = (12, 10)
    assert source.sample(0, ["data"])["data"].shape == (1, 12, 16)
    assert source.load(tmp_path / "a" / "a.jpg")["data"].shape == (1, 12, 16)
    whole = opened(tmp_path, decode="full")
    whole.least = (12, 10)
    assert whole.sample(0, ["data"])["data"].shape == (3, 48, 64)
    with pytest.raises(DataError, match="more than 50 pixels; leave the file out, or raise max_pixels"):
        opened(tmp_path, max_pixels=50).sample(0, ["data"])


# --- folders that are wrong ---
def test_folders_that_are_wrong(tmp_path: Path) -> None:
    refuses(tmp_path / "none", f"{tmp_path}/none: there is no such folder; name the folder that holds the pictures")
    refuses(tmp_path, f"{tmp_path}: has no pictures (.jpg, .jpeg, .jfif, .png")
    picture(tmp_path / "a.png")
    refuses(
        tmp_path,
        f'{tmp_path}/a.png: lies in no folder of a class; move it into one, or say that its name has the class: files: "{{',
    )
    refuses(tmp_path / "a.png", f"{tmp_path}/a.png: there is no such folder")
    refuses(tmp_path, f"{tmp_path}/a.png: its name is not of the pattern {{label}}_{{take:int}}.png; rename it, move it out, or change",
            files="{label}_{take:int}.png")  # fmt: skip


@pytest.mark.parametrize(("names", "words"), [
    (["train/a/x.png", "test/b/y.png"], "/test/b/y.png: train has no class 'b'; "),
    (["train/cats/x.png", "val/cast/y.png"], "/val/cast/y.png: train has no class 'cast'; did you mean 'cats'?"),
    (["train/a/x.png", "train/y.png"], "/train/y.png: lies in no folder of a class"),
    (["train/a/x.png", "val/a/y.png", "valid/a/z.png"], ": has both val and valid; one folder for val is enough"),
    (["test/a/x.png"], ": has test, but no train; name the folder that has both"),
    (["train/a/x.png", "more/y.png"], ": has train beside more; is that a split or a class? keep the folders of splits"),
])  # fmt: skip
def test_splits_that_are_wrong(tmp_path: Path, names: list[str], words: str) -> None:
    refuses(folder(tmp_path, *names), f"{tmp_path}{words}")


def test_empty_folders(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/x.png")
    (tmp_path / "train" / "b").mkdir()
    refuses(tmp_path, f"{tmp_path}/train/b: the class has no pictures; fill the folder, or remove it")
    (tmp_path / "train" / "b").rmdir()
    (tmp_path / "test" / "a").mkdir(parents=True)
    refuses(tmp_path, f"{tmp_path}/test: has no pictures; fill the folder, or remove it")


def test_a_class_beyond_32_bits(tmp_path: Path) -> None:
    folder(tmp_path, "3000000000_a.png")
    refuses(
        tmp_path,
        f"{tmp_path}/3000000000_a.png: the class 3000000000 is too large; write {{label}}",
        files="{label:int}_{who}.png",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed(tmp_path: Path) -> None:
    folder(tmp_path, "a/x.png", "b/y.png")
    (tmp_path / "b").chmod(0)
    refuses(tmp_path, f"{tmp_path}/b: cannot be listed (Permission denied); make the folder readable")
    (tmp_path / "b").chmod(0o700)


# --- end to end ---
NET = """
net:
  - {name: conv1, type: Convolution, num_output: 4, kernel_size: 5, stride: 4}
  - {name: relu1, type: ReLU}
  - {name: ip, type: InnerProduct, num_output: 2}
  - {name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: accuracy, type: Accuracy, bottom: [ip, label], phase: test}
solver: {type: SGD, base_lr: 0.02, max_iter: 40, test: 20}
"""


def test_trains_on_folders_of_pictures_that_differ_in_size(tmp_path: Path, result: Any) -> None:
    for number in range(12):
        picture(tmp_path / "pictures" / "dark" / f"{number}.jpg", 20 + number, (70 + 9 * number, 90))
        picture(tmp_path / "pictures" / "light" / f"{number}.png", 230 - number, (80, 64 + 9 * number))
    data = "data: {source: {type: image_folder, root: pictures}, batch_size: 6, val: {hold_out: 6}, transform: [{resize: 64}, {mirror: 0.5}, {mean: 128}, {scale: 0.008}]}"
    (tmp_path / "a.yaml").write_text(data + NET)
    assert result("train", "a.yaml")["scores"]["val.accuracy"] == 1


def test_an_unreadable_picture_is_one_message(tmp_path: Path, command: Any) -> None:
    folder(tmp_path, "pictures/a/x.png", "pictures/b/y.png")
    (tmp_path / "pictures" / "b" / "y.png").write_bytes(b"")
    (tmp_path / "a.yaml").write_text(
        "data: {source: {type: image_folder, root: pictures}, batch_size: 2, transform: [{resize: 64}]}"
        + NET.replace("test: 20", "test: null")
    )
    done = command("train", "a.yaml")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert f"{tmp_path}/pictures/b/y.png: is empty; mend the file, leave it out, or say on_error: skip" in done.stderr


def test_wrong_keys(tmp_path: Path, command: Any) -> None:
    keys = "color: red, files: a.png, max_pixels: 1000000000"
    (tmp_path / "a.yaml").write_text(f"data: {{source: {{type: image_folder, {keys}, root: pictures}}}}{NET}")
    done = command("train", "a.yaml")
    assert done.returncode == 2
    told = [line.partition(": data: source (image_folder): ")[2] for line in done.stderr.splitlines()]
    assert told == [
        "'color' cannot be 'red'; known: grey, rgb",
        "'files' has no {label}; name the part that is the class so",
        "'max_pixels' must be at most 1.78e+08, not 1000000000",
    ]


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/hymenoptera, which is not here")
def test_real() -> None:
    source = opened(REAL)
    assert {split: len(rows) for split, rows in source.splits.items()} == {"train": 60, "test": 40}
    assert source.names == {"label": ["ants", "bees"]} and np.bincount(source.labels).tolist() == [50, 50]
    source.least = (64, 64)
    for index in range(0, 100, 7):
        data = source.sample(index, ["data"])["data"]
        assert data.shape[0] == 3 and min(data.shape[1:]) >= 64
