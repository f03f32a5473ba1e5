"""dltrain data list, get, where, verify: the sets that are known by name, and what of them is on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dltrain.console import Console
from dltrain.data.download import Remote
from dltrain.data.known import KNOWN, Known, cache_folder, fetched, look, shared, stem
from dltrain.errors import ConfigError, DataError, did_you_mean

BUNDLED = "comes with dltrain"


def known_set(name: str) -> Known:
    if name not in KNOWN:
        raise ConfigError(f"{name}: is no set that is known by name; {did_you_mean(name, KNOWN)}")
    return KNOWN[name]


def wanted(known: Known) -> list[str]:
    """The names by which the files of a set are found: its archive, or each file without .gz."""
    return [known.archive] if known.archive else [stem(file.name) for file in known.files]


def place(known: Known) -> tuple[Path | None, dict[str, Path]]:
    """The folder that has the set, or a part of it, as its source would look for it, and what is there."""
    for folder in (shared(known.name), cache_folder(known.name)):
        found = look(known, folder, wanted(known)) if folder else {}
        if found:
            return folder, found
        if folder and known.archive and unpacked(folder):
            return folder, {known.inside: folder}
    return None, {}


def unpacked(folder: Path) -> bool:
    """True where a folder holds more than what an unfinished fetch leaves."""
    try:
        return any(not name.startswith(".") and not name.endswith(".part") for name in os.listdir(folder))
    except OSError:
        return False


def here(known: Known) -> str | None:
    """Where a set is, in words; None where it is not."""
    folder, found = place(known)
    if not known.files:
        return BUNDLED
    if folder is None:
        return None
    lacks = [name for name in wanted(known) if name not in found and known.inside not in found]
    return f"{folder} (lacks {', '.join(lacks)})" if lacks else str(folder)


def show(console: Console) -> None:
    """dltrain data list"""
    rows = [{"name": known.name, "samples": known.samples, "bytes": known.size, "licence": known.licence, "paper": known.paper,
             "where": here(known)} for known in KNOWN.values()]  # fmt: skip
    head = ["name", "samples", "size", "licence", "where"]
    cells = [[str(row["name"]), str(row["samples"]), megabytes(int(str(row["bytes"]))), str(row["licence"]),
              str(row["where"] or "not here")] for row in rows]  # fmt: skip
    console.result({"sets": rows}, columns([head, *cells]))


def columns(rows: list[list[str]]) -> str:
    """Rows of words as columns; the last one as wide as it comes."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size else "-"


def get(name: str, console: Console) -> None:
    """dltrain data get NAME"""
    known = known_set(name)
    console.note(f"licence {known.licence}\npaper   {known.paper}")
    before = here(known)
    if before is None or "lacks" in before:
        fetched(known, wanted(known))
        before = str(cache_folder(name))
    console.result({"name": name, "where": before, "licence": known.licence, "paper": known.paper}, before)


def where(name: str, console: Console) -> None:
    """dltrain data where NAME"""
    known = known_set(name)
    folder, found = place(known)
    if known.files and folder is None:
        raise DataError(f"{name}: is not here; dltrain data get {name} fetches it ({megabytes(known.size)}), or put "
                        f"{', '.join(file.name for file in known.files)} into {cache_folder(name)}")  # fmt: skip
    words = here(known) or ""
    console.result({"name": name, "where": words, "files": {key: str(path) for key, path in found.items()}}, words)


def verify(name: str, console: Console) -> None:
    """dltrain data verify NAME"""
    known = known_set(name)
    folder, found = place(known)
    rows = [state(file, found, folder or cache_folder(name)) for file in known.files]
    words = columns([["file", "state", "path"], *([row["file"], row["state"], row["path"]] for row in rows)])
    console.result({"name": name, "files": rows}, words if rows else f"{name} {BUNDLED}")
    bad = [row for row in rows if row["state"] == "damaged"]
    if bad:
        paths = ", ".join(row["path"] for row in bad)
        raise DataError(f"{name}: {paths}: damaged; remove {'them' if len(bad) > 1 else 'it'}, then dltrain data get {name}")


def state(file: Remote, found: dict[str, Path], folder: Path) -> dict[str, Any]:
    """ok, damaged, absent; unpacked for a file whose sum is known only as it was packed."""
    packed = next((path for key, path in found.items() if key in (file.name, stem(file.name))), None)
    if packed is None:
        inside = next((path for path in found.values() if path.is_dir()), None)
        return {"file": file.name, "state": "unpacked" if inside else "absent", "path": str(inside or folder / file.name)}
    if packed.suffix != Path(file.name).suffix:
        return {"file": file.name, "state": "unpacked", "path": str(packed)}
    try:
        right = packed.stat().st_size == file.size and file.fits(packed)
    except OSError as error:
        raise DataError(f"{packed}: cannot be read ({error.strerror})") from None
    return {"file": file.name, "state": "ok" if right else "damaged", "path": str(packed)}
