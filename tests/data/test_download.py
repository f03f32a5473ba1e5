"""What is fetched: whole or not at all, resumed where it broke off, from the first mirror that has it right."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dltrain.data.download import Remote, Unreachable, fetch

CONTENT = bytes(range(256)) * 800  # 204,800 bytes: more than one chunk
REMOTE = Remote("some.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
WRONG = CONTENT[:-1] + b"!"


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_fetches(mirror: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mirror.files["some.gz"] = CONTENT
    path = fetch(REMOTE, [mirror.url], tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "some.gz"
    assert path.read_bytes() == CONTENT and left_over(path.parent) == ["some.gz"]
    assert capfd.readouterr() == ("", f"fetching {mirror.url}some.gz\n")  # no bar off a terminal


def test_what_is_there_is_not_fetched_again(mirror: Any, tmp_path: Path) -> None:
    (tmp_path / "some.gz").write_bytes(CONTENT)
    fetch(REMOTE, [mirror.url], tmp_path)
    assert mirror.asked == []


def test_a_broken_connection_is_taken_up_again(mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"], mirror.breaks = CONTENT, [70_000, 50_000]
    assert fetch(REMOTE, [mirror.url], tmp_path).read_bytes() == CONTENT
    assert mirror.asked == [("some.gz", 0), ("some.gz", 70_000), ("some.gz", 120_000)]


def test_an_interrupted_fetch_goes_on_the_next_time(mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"], mirror.breaks = CONTENT, [100_000, 0]
    with pytest.raises(Unreachable, match=re.escape(f"{mirror.url}: broke off after 100,000 of 204,800 bytes")):
        fetch(REMOTE, [mirror.url], tmp_path)
    assert left_over(tmp_path) == ["some.gz.part"]
    assert fetch(REMOTE, [mirror.url], tmp_path).read_bytes() == CONTENT
    assert mirror.asked[-1] == ("some.gz", 100_000) and left_over(tmp_path) == ["some.gz"]


def test_a_mirror_that_cannot_resume_begins_again(mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"], mirror.resumes = CONTENT, False
    (tmp_path / "some.gz.part").write_bytes(CONTENT[:1000])
    assert fetch(REMOTE, [mirror.url], tmp_path).read_bytes() == CONTENT
    assert mirror.asked == [("some.gz", 1000)]


@pytest.mark.parametrize("begun", [b"nonsense", WRONG, CONTENT + b"more"])
def test_a_wrong_beginning_is_thrown_away(mirror: Any, tmp_path: Path, begun: bytes) -> None:
    mirror.files["some.gz"] = CONTENT
    (tmp_path / "some.gz.part").write_bytes(begun)
    assert fetch(REMOTE, [mirror.url], tmp_path).read_bytes() == CONTENT
    assert left_over(tmp_path) == ["some.gz"]


def test_a_whole_part_needs_no_mirror(dead: str, tmp_path: Path) -> None:
    (tmp_path / "some.gz.part").write_bytes(CONTENT)
    assert fetch(REMOTE, [dead], tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused(mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"] = WRONG
    with pytest.raises(Unreachable, match="gave a file with another SHA-256"):
        fetch(REMOTE, [mirror.url], tmp_path)
    assert left_over(tmp_path) == []
    assert len(mirror.asked) == 1


@pytest.mark.parametrize(("content", "says_length", "words"), [
    (b"<html>please log in</html>", True, "has a file of 26 bytes instead of 204,800"),
    (b"<html>please log in</html>", False, "HTTP 416"),
    (CONTENT + b"more", True, "has a file of 204,804 bytes instead of 204,800"),
    (CONTENT * 20, False, "sent more than 204,800 bytes"),
])  # fmt: skip
def test_a_mirror_that_has_something_else(mirror: Any, tmp_path: Path, content: bytes, says_length: bool, words: str) -> None:
    mirror.files["some.gz"], mirror.says_length = content, says_length
    with pytest.raises(Unreachable, match=words):
        fetch(REMOTE, [mirror.url], tmp_path)
    assert not (tmp_path / "some.gz").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(CONTENT)


def test_the_second_mirror_goes_on_after_the_first(mirror: Any, second_mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"], mirror.breaks = CONTENT, [90_000, 0]
    second_mirror.files["some.gz"] = CONTENT
    assert fetch(REMOTE, [mirror.url, second_mirror.url], tmp_path).read_bytes() == CONTENT
    assert second_mirror.asked == [("some.gz", 90_000)]


def test_dead_mirrors_are_passed_by(mirror: Any, second_mirror: Any, dead: str, tmp_path: Path) -> None:
    second_mirror.files["some.gz"] = CONTENT
    assert fetch(REMOTE, [dead, mirror.url, second_mirror.url], tmp_path).read_bytes() == CONTENT
    assert mirror.asked == [("some.gz", 0)]


def test_every_mirror_is_named_with_its_answer(mirror: Any, dead: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        fetch(REMOTE, [dead, mirror.url, "file:///etc/"], tmp_path)
    assert str(caught.value) == (
        f"{dead}: Connection refused; {mirror.url}: HTTP 404; file:///etc/: is no address that begins with https:// or http://"
    )


def test_a_folder_that_cannot_be_made(mirror: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match=r"file/cache cannot be written: Not a directory"):
        fetch(REMOTE, [mirror.url], tmp_path / "file" / "cache")


def test_processes_take_turns(mirror: Any, tmp_path: Path) -> None:
    mirror.files["some.gz"] = CONTENT
    threads = [threading.Thread(target=fetch, args=(REMOTE, [mirror.url], tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mirror.asked == [("some.gz", 0)]
    assert (tmp_path / "some.gz").read_bytes() == CONTENT
