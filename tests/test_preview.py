"""dltrain data preview: what is drawn is what the net sees, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dltrain.console import Console
from dltrain.drawing import Cell, colours, curve, draw, sized
from dltrain.errors import ConfigError, DataError
from dltrain.preview import preview


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The pixels of a preview, (H, W, 3)."""
    monkeypatch.chdir(tmp_path)

    def run(what: str, *said: str, augment: int | None = None) -> Any:
        preview(what, "out.png", augment, said, Console(quiet=True))
        with Image.open(tmp_path / "out.png") as image:
            return np.asarray(image.convert("RGB"))

    return run


def first_picture(page: Any, side: int) -> Any:
    return page[22 : 22 + side, 8 : 8 + side, 0]


@pytest.mark.parametrize(
    "steps", ["[]", "[{scale: 0.00390625}]", "[{mean: 128}, {scale: 0.5}]", "[{scale: 2}, {mean: [7]}]", "[{mean: image}]"]
)
def test_values_are_what_the_source_had_whatever_mean_and_scale(shown: Any, tmp_path: Path, steps: str) -> None:
    data = np.arange(0, 256, 17, dtype=np.float32).reshape(1, 1, 4, 4).repeat(2, axis=0)
    np.savez(tmp_path / "a.npz", data=data, label=np.array([0, 1]))
    page = shown("{type: arrays, file: a.npz}", f"data.transform={steps}", "data.batch_size=2", "data.shuffle=false")
    np.testing.assert_allclose(first_picture(page, 96)[::24, ::24], data[0, 0], atol=1)


def test_values_that_are_no_picture_are_stretched(shown: Any, tmp_path: Path) -> None:
    data = np.array([-1.0, 0, 1, 3], np.float32).reshape(1, 1, 2, 2)
    np.savez(tmp_path / "a.npz", data=data)
    page = shown("{type: arrays, file: a.npz}", "data.batch_size=1")
    assert first_picture(page, 96)[::48, ::48].tolist() == [[0, 63], [127, 255]]


def test_one_sample_through_epochs_begins_with_its_plain_form(shown: Any, tmp_path: Path) -> None:
    data = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4) * 80
    np.savez(tmp_path / "a.npz", data=data.repeat(4, axis=2).repeat(3, axis=0))
    page = shown("{type: arrays, file: a.npz}", "data.transform=[mirror]", "data.batch_size=3", augment=1)
    assert page.shape[:2] == (22 + 4 * 118 + 8, 4 * 104 + 8)  # 16 pictures of 96 x 96
    ways = {tuple(page[22 + r * 118, 8 + c * 104 : 8 + c * 104 + 96 : 24, 0].tolist()) for r in range(4) for c in range(4)}
    assert tuple(page[22, 8:104:24, 0].tolist()) == (0, 80, 160, 240) and ways == {(0, 80, 160, 240), (240, 160, 80, 0)}


def test_maps_of_classes_lie_over_their_picture(shown: Any, tmp_path: Path) -> None:
    label = np.array([[0, 1], [2, 255]], np.int32)
    np.savez(tmp_path / "a.npz", data=np.full((1, 3, 2, 2), 100, np.float32), label=label[None])
    page = shown("{type: arrays, file: a.npz}", "data.batch_size=1")
    beside = page[22 : 22 + 96 : 48, 8 + 98 : 8 + 98 + 96 : 48]
    np.testing.assert_allclose(beside, 0.5 * colours(label) + 50, atol=1)
    assert len({tuple(pixel) for pixel in beside.reshape(-1, 3).tolist()}) == 4


def test_rows_of_numbers_are_lines(shown: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.sin(np.arange(300, dtype=np.float32) / 20).reshape(3, 100), label=np.arange(3))
    page = shown("{type: arrays, file: a.npz}", "data.batch_size=3")
    blue = (page == (30, 90, 160)).all(axis=2)
    assert blue[22:118, 8:200].any(axis=0).mean() > 0.95  # the line crosses the whole width


def test_a_line_begins_low_and_ends_high() -> None:
    points = curve(np.array([0.0, np.nan, 2.0]), (100, 50))
    assert points == [(2.0, 46.0), (49.5, 46.0), (97.0, 4.0)]
    assert {y for _, y in curve(np.full(5, 3.0), (100, 50))} == {25.0}


def test_sizes_on_the_paper() -> None:
    sizes = [
        sized(Cell("picture", np.zeros(shape))) for shape in [(8, 8, 1), (28, 28, 1), (300, 200, 3), (640, 320, 3), (1, 900, 1)]
    ]
    assert sizes == [(96, 96), (112, 112), (200, 300), (160, 320), (320, 1)]


def test_words_that_are_too_long_are_cut(tmp_path: Path) -> None:
    cells = [[Cell("picture", np.zeros((8, 8, 1), np.uint8))], [Cell("picture", np.zeros((8, 8, 1), np.uint8))]]
    page = np.asarray(draw(cells, ["w" * 200, ""], "x"))
    assert (page[22 + 98 : 22 + 110, 105:] == page[0, 0]).all()


@pytest.mark.parametrize(("what", "said", "augment", "kind", "words"), [
    ("{type: text, file: t.txt, unit: characters, length: 4}", (), None, DataError, "there is nothing to see in data 64 x 4"),
    ("digits", (), 1257, ConfigError, r"--augment 1257: train has 1,257 samples, from 0"),
    ("{type: image_folder, root: p}", (), None, ConfigError, "samples of 'data' differ in size"),
    ("digits", ("data.transform=[{crop: 9}]",), None, ConfigError, r"crop: 9 x 9 is larger than the image, 8 x 8"),
    ("absent.yaml", (), None, ConfigError, "there is no such file"),
])  # fmt: skip
def test_what_cannot_be_drawn(shown: Any, tmp_path: Path, what: str, said: Any, augment: Any, kind: Any, words: str) -> None:
    (tmp_path / "t.txt").write_text("ab ab\nab ab\n" * 50)
    for number in range(2):
        (tmp_path / "p" / str(number)).mkdir(parents=True)
        Image.new("RGB", (4 + number, 5)).save(tmp_path / "p" / str(number) / "x.png")
    with pytest.raises(kind, match=words):
        shown(what, *said, augment=augment)


@pytest.mark.parametrize(("out", "words"), [("a.jpg", "give it a name that ends in .png"), ("no/a.png", "there is no folder no")])
def test_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        preview("digits", out, None, (), Console(quiet=True))
