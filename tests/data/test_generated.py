"""Generated samples: functions of (seed, index) and of nothing else; splits, keys, files of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltrain.checks import adapter, check
from dltrain.data.generated import Generated
from dltrain.data.tasks import TASKS
from dltrain.errors import DataError, Mistakes, Refusal
from dltrain.feed import Feed
from dltrain.marks import Document
from dltrain.sections import DataKeys
from dltrain.source import empty


def made(**keys: Any) -> Generated:
    document = Document("some.yaml")
    source = check(document, Generated, keys, (), "data: source (generated)")
    document.raise_mistakes()
    assert isinstance(source, Generated)
    return source


def opened(**keys: Any) -> Generated:
    source = made(**keys)
    source.open()
    return source


def read(source: Generated, *indices: int) -> dict[str, Any]:
    out = {name: empty(x, len(indices)) for name, x in source.fields.items()}
    source.read(np.array(indices), out)
    return out


def refuses(error: type[Exception], words: str, **keys: Any) -> None:
    with pytest.raises(error, match=re.escape(words)):
        opened(**keys)


@pytest.mark.parametrize("task", TASKS)
def test_a_sample_is_a_function_of_seed_and_index(task: str) -> None:
    source, again, other = opened(task=task), opened(task=task), opened(task=task, seed=2)
    alone, among = read(source, 77), read(again, 5, 77, 11_999)
    for name, x in source.fields.items():
        assert np.array_equal(alone[name][0], among[name][1]) and np.array_equal(source.sample(77, (name,))[name], alone[name][0])
        assert alone[name].shape[1:] == x
    assert any(not np.array_equal(read(other, *range(9))[name], read(source, *range(9))[name]) for name in source.fields)
    for name, words in source.names.items():
        assert source.classes[name] == len(words) and among[name].min() >= 0 and among[name].max() < len(words)


def test_splits() -> None:
    assert {split: (rows[0], len(rows)) for split, rows in opened(task="parity").splits.items()} == {
        "train": (0, 10_000), "val": (10_000, 1_000), "test": (11_000, 1_000)
    }  # fmt: skip
    assert {split: len(rows) for split, rows in opened(task="parity", samples=7).splits.items()} == {"train": 7}
    source = opened(task="parity", samples={"train": 5, "test": 2})
    assert {split: rows.tolist() for split, rows in source.splits.items()} == {"train": [0, 1, 2, 3, 4], "test": [5, 6]}
    assert len(source) == 7 and source.identify(6) == "sample 6 of parity" and not source.one_by_one


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def sample(seed, index):\n    return {'data': [seed + .5, index], 'label': 1 // (index - 3)}\n")
    source = made(python=str(path), samples=4, seed=9)
    feed = Feed(DataKeys(source=source, batch_size=2, shuffle=None, on_error="skip"), 1)
    feed.open()
    assert source.one_by_one and source.sample(2, ("label",)) == {"label": -1}
    assert feed.train_batch_now(0)["data"].tolist() == [[9.5, 0], [9.5, 1]]
    assert len(feed.train_batch_now(1)["data"]) == 2  # the sample that fails has another in its place
    assert feed.reader.skipped == {3: f"{path}:2: sample(9, 3) failed: ZeroDivisionError: integer division or modulo by zero; "
                                      "mend the function"}  # fmt: skip
    assert source.identify(3) == f"sample 3 of {path}"
    feed.close()


def test_keys_that_cannot_be(tmp_path: Path) -> None:
    refuses(DataError, "generated: needs either a task, such as task: an_bn, or python: FILE.py")
    refuses(DataError, "generated: needs either a task", task="parity", python="x.py")
    refuses(Refusal, "generated: gap is not for this: the task two_moons has noise", task="two_moons", gap=3)
    refuses(Refusal, "generated: noise is not for this: a Python file has none of these keys", python="x.py", noise=1.0)
    refuses(Refusal, "generated: an_bn: n is [3, 2]; write [least, most]", task="an_bn", n=[3, 2])
    words = "'samples' must be a number, or {train: 10000, val: 1000, test: 1000}, val and test as you like"
    refuses(Mistakes, words, task="parity", samples={"test": 3})
    refuses(Mistakes, words, task="parity", samples={"train": 3, "dev": 3})
    refuses(Mistakes, "'samples.train' must be at least 1, not 0", task="parity", samples=0)
    refuses(Mistakes, "'task' cannot be 'an_bm'; did you mean 'an_bn'?", task="an_bm")


def test_the_task_is_chosen_among_all_there_are() -> None:
    assert set(adapter(Generated).json_schema()["properties"]["task"]["anyOf"][0]["enum"]) == set(TASKS)
