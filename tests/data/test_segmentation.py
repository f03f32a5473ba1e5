"""Pictures with a class for each pixel: pairs, values, sizes, and each way in which they do not belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from dltrain.data.segmentation import Segmentation, mapped, natural
from dltrain.errors import DataError, Refusal
from dltrain.source import ANY_SIZE

REAL = Path(__file__).parents[3] / "shared" / "data" / "isbi_em"


def pair(root: Path, stem: str, labels: Any, size: tuple[int, int] | None = None) -> None:
    """A picture and its label image; `size` is the picture's, where it is another."""
    labels = np.asarray(labels, np.uint8)
    for folder in ("images", "labels"):
        (root / folder / stem).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size or labels.shape[::-1], (9, 9, 9)).save(root / "images" / f"{stem}.jpg")
    Image.fromarray(labels).save(root / "labels" / f"{stem}.png")


def opened(root: Path, **keys: Any) -> Segmentation:
    source = Segmentation(images=str(root / "images"), labels=str(root / "labels"), **keys)
    source.open()
    return source


def refuses(root: Path, words: str, **keys: Any) -> None:
    with pytest.raises(DataError, match="^" + re.escape(words)):
        opened(root, **keys)


MASK = [[0, 255, 0], [255, 255, 0]]


# --- what is read ---
def test_values_in_the_order_of_their_classes(tmp_path: Path) -> None:
    pair(tmp_path, "a", MASK)
    for values in (mapped([0, 255]), mapped({"0": 0, "255": 1})):
        source = opened(tmp_path, values=values)
        sample = source.sample(0, ["data", "label"])
        assert sample["label"].tolist() == [[0, 1, 0], [1, 1, 0]] and sample["data"].shape == (3, 2, 3)
        assert [(tuple(x), x.dtype) for x in source.fields.values()] == [((3, 2, 3), "float"), ((2, 3), "index")]
        assert source.classes == {"label": 2}
    assert list(source.sample(0, ["label"])) == ["label"] and list(source.sample(0, ["data"])) == ["data"]


def test_several_values_may_be_one_class(tmp_path: Path) -> None:
    pair(tmp_path, "a", [[0, 1, 2, 3]])
    source = opened(tmp_path, values=mapped({"0": 0, "1": 1, "2": 1, "3": 0}))
    assert source.sample(0, ["label"])["label"].tolist() == [[0, 1, 1, 0]] and source.classes == {"label": 2}


def test_without_values_they_are_the_classes(tmp_path: Path) -> None:
    pair(tmp_path, "a", [[0, 3, 255]])
    assert opened(tmp_path).sample(0, ["label"])["label"].tolist() == [[0, 3, 255]]
    source = opened(tmp_path, classes={"label": 4}, ignore=255)
    assert source.sample(0, ["label"])["label"].tolist() == [[0, 3, 255]] and source.classes == {"label": 4}


def test_a_palette_gives_its_indices(tmp_path: Path) -> None:
    pair(tmp_path, "a", [[0, 0]])
    picture = Image.new("P", (2, 1))
    picture.putpalette([128, 0, 0, 0, 128, 0])
    picture.putdata([1, 0])
    picture.save(tmp_path / "labels" / "a.png")
    assert opened(tmp_path, classes={"label": 2}).sample(0, ["label"])["label"].tolist() == [[1, 0]]


def test_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 2, 100):
        pair(tmp_path, f"slice{number}", MASK)
    source = opened(tmp_path, color="grey")
    assert [source.identify(index) for index in range(4)] == [f"slice{number}.jpg" for number in (2, 9, 10, 100)]
    assert source.fields["data"] == (1, 2, 3)


@given(numbers=some.lists(some.integers(0, 10**6), min_size=2, max_size=6, unique=True))
def test_natural_order_is_that_of_the_numbers(numbers: list[int]) -> None:
    assert sorted((f"a{number}_x" for number in numbers), key=natural) == [f"a{number}_x" for number in sorted(numbers)]


def test_splits_below_both_folders(tmp_path: Path) -> None:
    for stem in ("train/b", "train/a", "test/a"):
        pair(tmp_path, stem, MASK)
    source = opened(tmp_path, values={0: 0, 255: 1})
    named = {split: [source.identify(int(index)) for index in rows] for split, rows in source.splits.items()}
    assert named == {"train": ["train/a.jpg", "train/b.jpg"], "test": ["test/a.jpg"]}


def test_sizes_that_differ(tmp_path: Path) -> None:
    pair(tmp_path, "a", MASK)
    pair(tmp_path, "b", [[0]])
    source = opened(tmp_path, values={0: 0, 255: 1})
    assert [tuple(x) for x in source.fields.values()] == [(3, ANY_SIZE, ANY_SIZE), (ANY_SIZE, ANY_SIZE)]
    source.least = (1, 1)  # no reduced scale: labels have none
    assert source.sample(0, ["data"])["data"].shape == (3, 2, 3)


# --- what is refused ---
def test_pairs_that_do_not_belong_together(tmp_path: Path) -> None:
    pair(tmp_path, "a", MASK, size=(5, 4))
    images, labels = tmp_path / "images", tmp_path / "labels"
    refuses(tmp_path, f"{images}/a.jpg: is 4 x 5, but its labels, {labels}/a.png, are 2 x 3; both must be of one size")
    pair(tmp_path, "a", MASK)
    pair(tmp_path, "cell_1", MASK)
    (labels / "cell_1.png").rename(labels / "cell_2.png")
    refuses(tmp_path, f"{images}/cell_1.jpg: has no labels in {labels}; did you mean 'cell_2'?")
    (images / "cell_1.jpg").unlink()
    refuses(tmp_path, f"{labels}/cell_2.png: has no picture in {images}; add it, or remove this")
    (labels / "a.bmp").touch()
    refuses(tmp_path, f"{labels}/a.png: has the name of a.bmp; keep one of them")


def test_a_value_that_is_no_class(tmp_path: Path) -> None:
    pair(tmp_path, "a", [[0, 255], [0, 7]])
    words = f"{tmp_path}/labels/a.png: has 7 at row 1, column 1, which is no class; add it to values, or say ignore: 7"
    with pytest.raises(DataError, match="^" + re.escape(words)):
        opened(tmp_path, values={0: 0, 255: 1}).sample(0, ["label"])
    with pytest.raises(DataError, match="has 255 at row 0, column 1, which is no class"):
        opened(tmp_path, classes={"label": 8}).sample(0, ["label"])
    assert opened(tmp_path, values={0: 0, 255: 1}, ignore=7).sample(0, ["label"])["label"].tolist() == [[0, 1], [0, 7]]


def test_a_damaged_file_is_told_when_it_is_read(tmp_path: Path) -> None:
    pair(tmp_path, "a", MASK)
    pair(tmp_path, "b", MASK)
    (tmp_path / "labels" / "b.png").write_bytes(b"")
    source = opened(tmp_path, values={0: 0, 255: 1})
    assert source.fields["data"] == (3, 2, 3) and source.sample(1, ["data"])
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}/labels/b.png: is empty")):
        source.sample(1, ["data", "label"])


@pytest.mark.parametrize(("keys", "key", "words"), [
    ({"values": {0: 0, 255: 1}, "ignore": 1}, "source.ignore", "segmentation: 1 is a class as well; take it out of values"),
    ({"values": {0: 0, 255: 1}, "ignore": 255}, "source.ignore", "segmentation: 255 is a class as well"),
    ({"values": {0: 0, 255: 4}, "classes": {"label": 3}}, "source.classes", "segmentation: values has the class 4 where classes says 3"),
    ({"classes": {"lable": 3}}, "source.classes", "segmentation: there is no 'lable' to count; write classes: {label: 21}"),
])  # fmt: skip
def test_keys_that_do_not_go_together(tmp_path: Path, keys: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(Refusal, match=re.escape(words)) as refusal:
        opened(tmp_path, **keys)
    assert refusal.value.key == key


@pytest.mark.parametrize(("given", "words"), [
    ([], "must be a list of the values of the classes, [0, 255], or a mapping {value: class}; all 0 .. 65535"),
    (7, "must be a list of the values"), ({"x": 1}, "must be a list of the values"), ({"0": "a"}, "must be a list of the values"),
    ([70_000], "must be a list of the values"), ({"0": -1}, "must be a list of the values"), ([True], "must be a list of the values"),
    ([0, 255, 0], "has a value twice"),
])  # fmt: skip
def test_wrong_values(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        mapped(given)


# --- end to end ---
NET = """
net:
  - {name: conv1, type: Convolution, num_output: 4, kernel_size: 3, pad: 1}
  - {name: relu1, type: ReLU}
  - {name: score, type: Convolution, num_output: 2, kernel_size: 1}
  - {name: loss, type: SoftmaxWithLoss, bottom: [score, label]}
  - {name: accuracy, type: Accuracy, bottom: [score, label], phase: test}
solver: {type: SGD, base_lr: 0.01, momentum: 0.9, max_iter: 6, test: 6}
"""


def test_wrong_keys_of_a_config(tmp_path: Path, command: Any) -> None:
    (tmp_path / "a.yaml").write_text(
        "data:\n  source:\n    type: segmentation\n    images: i\n    labels: l\n    values: {0: 0, 255: 1}\n    ignore: 1\n"
        + NET
    )
    done = command("train", "a.yaml")
    assert done.returncode == 2 and "a.yaml:7:13: data: segmentation: 1 is a class as well; take it out of values" in done.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/isbi_em, which is not here")
def test_trains_on_slices_of_tissue(tmp_path: Path, result: Any) -> None:
    (tmp_path / "a.yaml").write_text(f"""
data:
  source: {{type: segmentation, images: {REAL}/image, labels: {REAL}/label, values: [0, 255], color: grey}}
  batch_size: 1
  val: {{range: [25, 30]}}
  transform: [{{crop: 128}}, {{mean: 128}}, {{scale: 0.01}}]
{NET}""")
    assert 0.6 < result("train", "a.yaml")["scores"]["val.accuracy"] < 1


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/isbi_em, which is not here")
def test_real() -> None:
    source = Segmentation(images=f"{REAL}/image", labels=f"{REAL}/label", values={0: 0, 255: 1}, color="grey")
    source.open()
    assert [source.identify(index) for index in (0, 9, 29)] == ["0.png", "9.png", "29.png"] and len(source) == 30
    assert [tuple(x) for x in source.fields.values()] == [(1, 512, 512), (512, 512)]
    label = source.sample(3, ["label"])["label"]
    assert np.array_equal(label, np.asarray(Image.open(REAL / "label" / "3.png")) // 255)
