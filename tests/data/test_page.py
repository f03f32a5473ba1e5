"""docs/data.md and docs/sources.md: every example in it is right, and every source and step stands in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from dltrain.marks import parse
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.supply import read_keys, read_parts

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "data.md").read_text(encoding="utf-8")
SOURCE_PAGE = (DOCS / "sources.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE + SOURCE_PAGE, re.DOTALL))
def test_the_examples_are_right(text: str) -> None:
    document = parse(text, "docs/data.md")
    assert set(document.value) <= {"data", "net"}
    read_keys(document, document.value["data"])
    read_parts(document, document.value["data"])
    document.raise_mistakes()


@pytest.mark.parametrize("name", SOURCES)
def test_sources_stand_in_it_with_their_keys(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", SOURCE_PAGE, re.MULTILINE)
    assert all(re.search(rf"\b{key.name}\b", SOURCE_PAGE) for key in fields(SOURCES[name]))


STEPS = [name for name, step in TRANSFORMS.items() if step.__module__.rsplit(".")[-1] in
         ("colour", "geometry", "noise", "statistics", "values", "warp")]  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_steps_stand_in_it_with_their_keys_the_main_value_first(name: str) -> None:
    row = re.search(rf"^\| `{name}`(?: \*\*[1m]\*\*)? \| (.*)$", PAGE, re.MULTILINE)
    assert row is not None
    keys = [key.name for key in fields(TRANSFORMS[name]) if key.name not in ("phase", "top")]
    assert row[1].startswith(f"`{keys[0]}`" if keys else "none")
    assert all(f"`{key}" in row[1] for key in keys)


@pytest.mark.parametrize("name", STEPS)
def test_steps_that_move_label_images_are_marked(name: str) -> None:
    assert (f"| `{name}` **m** |" in PAGE) == TRANSFORMS[name].moves
