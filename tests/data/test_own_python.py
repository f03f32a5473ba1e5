"""Samples from a Python file of one's own: what is taken, and what its mistakes are told as."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltrain.data.own_python import Generator
from dltrain.errors import DataError

HEAD = "import numpy as np\n\ndef sample(seed, index):\n    "
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> str:
        (tmp_path / "own.py").write_text(text)
        return str(tmp_path / "own.py")

    return put


def refuses(path: str, words: str, index: int = 0) -> None:
    with pytest.raises(DataError, match="^" + re.escape(f"{path}{words}")):
        generator = Generator(path)
        generator.sample(1, 0)
        generator.sample(1, index)


def test_fields_are_what_the_first_sample_has(write: Write) -> None:
    generator = Generator(write(HEAD + "return {'data': np.full((2, 3), index + .5), 'label': seed, 'pixels': np.zeros(4, 'uint8'), "
                                       "'mask': np.ones(2, bool), 'byte': np.uint8(3)}"))  # fmt: skip
    made = generator.sample(7, 4)
    assert made["data"][0, 0] == 4.5 and made["label"] == 7
    assert {name: (tuple(x), x.dtype) for name, x in generator.promised.items()} == {
        "data": ((2, 3), "float"), "label": ((), "index"), "pixels": ((4,), "float"), "mask": ((2,), "index"), "byte": ((), "index"),
    }  # fmt: skip


def test_the_file_is_imported_once(write: Write) -> None:
    path = write("import numpy as np\nKEPT = []\ndef sample(seed, index): return {'data': float(len(KEPT))}\n")
    Generator(path).module.KEPT.append(1)
    assert Generator(path).sample(1, 0)["data"] == 1


@pytest.mark.parametrize(("text", "words"), [
    ("x = 1\n", ": has no function sample(seed, index); it must give {field: array}, the data first"),
    ("sample = 3\n", ": has no function sample(seed, index)"),
    ("import numpy\n1 / 0\n", ":2: cannot be imported: ZeroDivisionError: division by zero; mend the file"),
    ("def f(:\n", ":1: cannot be imported: SyntaxError: "),
    ("import no_such_module_at_all\n", ":1: cannot be imported: ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    (HEAD + "x = [1]\n    return x[5]", ":5: sample(1, 0) failed: IndexError: list index out of range; mend the function"),
    (HEAD.replace(", index", "") + "return 3", ": sample(1, 0) failed: TypeError: sample() takes 1 positional argument but 2 were given"),
    (HEAD + "return np.zeros(3)", ": sample(1, 0) gave ndarray, not fields by name; it must give {field: array}, the data first"),
    (HEAD + "return {}", ": sample(1, 0) gave dict, not fields by name"),
    (HEAD + "return {1: 2}", ": sample(1, 0) gave dict, not fields by name"),
    (HEAD + "return {'data': 'text'}", ": sample(1, 0) gave 'data' as <U4 one number; give numbers, at least one"),
    (HEAD + "return {'data': np.zeros(0)}", ": sample(1, 0) gave 'data' as float64 0; give numbers, at least one"),
    (HEAD + "return {'data': [[1, 2], [3]]}", ": sample(1, 0) gave 'data' with rows of different lengths"),
    (HEAD + "return {'data': 2 ** 31}", ": sample(1, 0) gave 'data' with numbers beyond 32 bits; number classes from 0"),
])  # fmt: skip
def test_mistakes_are_told_with_their_line(write: Write, text: str, words: str) -> None:
    refuses(write(text), words)


@pytest.mark.parametrize(("other", "words"), [
    ("{'data': [1., 2.], 'label': 0}", "'data' as float 2, sample(1, 0) as float 3; all must be alike"),
    ("{'data': [1., 2., 3.], 'label': 0.5}", "'label' as float one number, sample(1, 0) as index one number"),
    ("{'data': [1., 2., 3.]}", "'label' as no such field, sample(1, 0) as index one number"),
    ("{'data': [1., 2., 3.], 'label': 0, 'more': 1}", "'more' as index one number, sample(1, 0) as no such field"),
])  # fmt: skip
def test_all_samples_must_be_alike(write: Write, other: str, words: str) -> None:
    path = write(HEAD + f"return {other} if index else {{'data': [1., 2., 3.], 'label': 0}}")
    refuses(path, f": sample(1, 9) gave {words}", index=9)


def test_files_that_are_none(tmp_path: Path) -> None:
    refuses(str(tmp_path / "none.py"), ": there is no such file; python names a file with a function sample(seed, index)")
    (tmp_path / "own.txt").write_text("x")
    refuses(str(tmp_path / "own.txt"), ": is no Python file; give it a name that ends in .py")


def test_an_error_that_passes_through_a_library_is_told_at_the_users_line(write: Write) -> None:
    made: Any = HEAD + "return {'data': np.zeros(3) @ np.zeros(4)}"
    refuses(write(made), ":4: sample(1, 0) failed: ValueError: ")
