"""A mirror on this machine that can be told to break off, to lie and to be dead, for the tests of what is fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Mirror:
    """What the mirror has, how it behaves, and what it was asked for: (name, first byte)."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)  # the next responses end after so many bytes
    resumes: bool = True  # understands Range
    says_length: bool = True
    asked: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""


def handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.rsplit("/", 1)[-1], self.headers.get("Range")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            mirror.asked.append((name, start))
            if name not in mirror.files:
                self.send_error(404)
                return
            content = mirror.files[name]
            partial = bool(wanted) and mirror.resumes
            if partial and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            content = content[start:] if partial else content
            if mirror.says_length:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: mirror.breaks.pop(0)] if mirror.breaks else content)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    return Handler


def serve() -> Iterator[Mirror]:
    mirror = Mirror()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(mirror)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        mirror.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        yield mirror
        server.shutdown()
        thread.join()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "*")
    yield from serve()


@pytest.fixture
def second_mirror() -> Iterator[Mirror]:
    yield from serve()
