"""The worked example of CONTRIBUTING.md is the code that it shows; … stands for what it leaves out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHOWN = re.findall(r"`([a-z_/]+\.py)`[^`]*?:\n```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)


def test_the_example_shows_a_layer_its_line_and_its_tests() -> None:
    assert [file for file, _ in SHOWN] == [
        "layers/soft_shrink.py", "layers/__init__.py", "tests/layers/test_soft_shrink.py", "tests/test_catalogue.py",
    ]  # fmt: skip


@pytest.mark.parametrize(("file", "text"), SHOWN, ids=[file for file, _ in SHOWN])
def test_what_is_shown_is_what_stands_there(file: str, text: str) -> None:
    pieces = [re.escape(piece) for piece in text.split("…")]
    assert re.search(".*?".join(pieces), (ROOT / file).read_text(), re.S), f"CONTRIBUTING.md no longer shows {file}"
