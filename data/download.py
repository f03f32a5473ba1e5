"""Fetches a file from the first mirror that has it: resumed where it broke off, checked by its sum, in place at once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from dltrain.console import Console

ATTEMPTS = 5  # times that a broken connection to one mirror is taken up again
TIMEOUT = 20.0  # seconds without a byte
CHUNK = 1 << 16


@dataclass(frozen=True)
class Remote:
    """A file as every mirror should have it."""

    name: str
    size: int
    sum: str  # of its bytes: SHA-256 in hex digits, or md5:…

    @property
    def algorithm(self) -> str:
        return self.sum.partition(":")[0] if ":" in self.sum else "sha256"

    def fits(self, path: Path) -> bool:
        """Whether a file has the bytes that it should."""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest() == self.sum.rpartition(":")[2]


class Unreachable(Exception):
    """No mirror gave the file, or there was no room for it; the message says why."""


def fetch(remote: Remote, mirrors: Sequence[str], folder: Path) -> Path:
    """The path of the file in `folder`, fetched from the first of the mirrors (base URLs) that gives what it should."""
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            for mirror in mirrors:
                try:
                    return from_mirror(remote, mirror, folder)
                except Unreachable as error:
                    reasons.append(f"{mirror}: {error}")
    except OSError as error:
        raise Unreachable(f"{folder} cannot be written: {error.strerror or error}") from None
    raise Unreachable("; ".join(reasons))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two processes that fetch into one folder take turns; the second then finds what the first has fetched."""
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def from_mirror(remote: Remote, mirror: str, folder: Path) -> Path:
    """One mirror's copy; what was begun elsewhere and turns out wrong is fetched once more from its first byte."""
    if not mirror.startswith(("http://", "https://")):
        raise Unreachable("is no address that begins with https:// or http://")
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would name its own temporary files
    part = folder / f"{remote.name}.part"
    begun = True
    while begun:
        begun = part.exists()
        try:
            url = f"{mirror.rstrip('/')}/{remote.name}"
            return Path(
                pooch.retrieve(
                    url,
                    f"{remote.algorithm}:{remote.sum.rpartition(':')[2]}",
                    remote.name,
                    folder,
                    downloader=Resuming(remote, part),
                )
            )
        except ValueError:  # pooch's word for a wrong hash; it has removed the file
            continue
    raise Unreachable(f"gave a file with another {'SHA-256' if remote.algorithm == 'sha256' else 'MD5'}")


@dataclass
class Resuming:
    """A downloader for pooch: it goes on where the .part ends, and hands the file over once it is whole."""

    remote: Remote
    part: Path

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        Console().note(f"fetching {url}")
        for attempt in range(1, ATTEMPTS + 1):
            before = self.have
            try:
                if before < self.remote.size:
                    self.add(url)
                os.replace(self.part, output_file)
                return
            except Unreachable:
                if self.have <= before or attempt == ATTEMPTS:
                    raise

    @property
    def have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def add(self, url: str) -> None:
        """Brings the part to its full size; Unreachable, with what came so far kept, where that fails."""
        from tqdm import tqdm

        have, size = self.have, self.remote.size
        with ask(url, have) as response:
            if response.status == 200:  # from the first byte, asked for or not
                have = 0
            elif response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise Unreachable(f"answered HTTP {response.status} out of place")
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and have + int(length) != size:
                raise Unreachable(f"has a file of {have + int(length):,} bytes instead of {size:,}")
            bar = tqdm(total=size, initial=have, desc=self.remote.name, unit="B", unit_scale=True, leave=False,
                       file=sys.stderr, disable=not Console().terminal)  # fmt: skip
            with bar, open(self.part, "ab" if have else "wb") as file:
                for chunk in chunks(response):
                    have += len(chunk)
                    if have > size:
                        break
                    file.write(chunk)
                    bar.update(len(chunk))
        if have != size:
            raise Unreachable(f"broke off after {have:,} of {size:,} bytes" if have < size else f"sent more than {size:,} bytes")


def ask(url: str, have: int) -> HTTPResponse:
    """The response to a request for a file from byte `have` on."""
    headers = {"User-Agent": "dltrain", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        error.close()
        raise Unreachable(f"HTTP {error.code}") from None
    except URLError as error:
        raise Unreachable(str(getattr(error.reason, "strerror", None) or error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(str(error) or type(error).__name__) from None


def chunks(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as long as it comes; a connection that breaks ends it."""
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, HTTPException):
            return
        if not chunk:
            return
        yield chunk
