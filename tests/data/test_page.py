"""docs/data.md: every example in it is right, and every source and step stands in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from dltrain.checks import check
from dltrain.marks import parse
from dltrain.registry import SOURCES, TRANSFORMS
from dltrain.sections import DataKeys

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_are_right(text: str) -> None:
    document = parse(text, "docs/data.md")
    assert list(document.value) == ["data"]
    check(document, DataKeys, document.value["data"], ("data",), "data")
    document.raise_mistakes()


@pytest.mark.parametrize("name", ["digits", "mnist", "arrays"])
def test_sources_stand_in_it(name: str) -> None:
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert all(f"`{key.name}`" in section for key in fields(SOURCES[name]))


@pytest.mark.parametrize("name", ["resize", "crop", "mirror", "mean", "scale"])
def test_steps_stand_in_it_with_their_main_value(name: str) -> None:
    main = fields(TRANSFORMS[name])[0].name
    assert re.search(rf"^\| `{name}` \| `{main}`", PAGE, re.MULTILINE)
