"""Where generated and compiled kernels are kept between processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def folder(kind: str = "kernels") -> Path:
    """$DLTRAIN_CACHE, else the user's cache folder; a folder of its own for each kind."""
    given = os.environ.get("DLTRAIN_CACHE")
    root = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dltrain"
    return root / kind


def write(path: Path, content: bytes) -> Path:
    """Puts the content in place in one step; into a folder of this process alone where the cache cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        return write_apart(path.name, content)
    return path


def write_apart(name: str, content: bytes) -> Path:
    path = Path(tempfile.mkdtemp(prefix="dltrain-")) / name
    path.write_bytes(content)
    return path
