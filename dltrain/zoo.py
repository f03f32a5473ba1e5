"""dltrain init: the configs that come with dltrain, written out as they are, to begin with."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from dltrain.console import Console
from dltrain.errors import ConfigError, did_you_mean

FILES = re.compile(r"[\w-]+\.(?:yaml|py)\b")  # what a config may name beside itself: a base, a section, a source of one's own


def configs() -> dict[str, Traversable]:
    """Name -> file of each, in order."""
    return {name.removesuffix(".yaml"): file for name, file in files().items() if name.endswith(".yaml")}


def files() -> dict[str, Traversable]:
    """All that lies in the folder of the configs, by file name."""
    folder = resources.files("dltrain").joinpath("configs")
    return {file.name: file for file in sorted(folder.iterdir(), key=lambda file: file.name)} if folder.is_dir() else {}


def about(text: str) -> str:
    """The first line of the comment at the head, without how to run it."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    return re.split(r"\s{2,}", first.lstrip("# ").strip())[0] if first.startswith("#") else ""


def listing(console: Console) -> None:
    """dltrain init --list"""
    found = {name: about(file.read_text(encoding="utf-8")) for name, file in configs().items()}
    width = max(map(len, found), default=0)
    rows = [{"name": name, "about": words} for name, words in found.items()]
    console.result({"configs": rows}, "\n".join(f"{name:<{width}}  {words}".rstrip() for name, words in found.items()))


def companions(text: bytes) -> dict[str, bytes]:
    """The files that a config names, and those that they name: by file name."""
    known, found, waiting = files(), {}, [text]
    while waiting:
        said = "\n".join(line.partition("#")[0] for line in waiting.pop().decode("utf-8").splitlines())
        for file in FILES.findall(said):
            if file in known and file not in found:
                found[file] = known[file].read_bytes()
                waiting += [found[file]] if file.endswith(".yaml") else []
    return found


def write(name: str, out: str | None, force: bool, console: Console) -> None:
    """dltrain init NAME: the file, and beside it those that it takes sections from."""
    known = configs()
    if name not in known:
        raise ConfigError(f"init: there is no config '{name}'; {did_you_mean(name, known)}, or see dltrain init --list")
    target = Path(out or f"{name}.yaml")
    texts = {target: known[name].read_bytes()}
    texts |= {target.parent / file: text for file, text in companions(texts[target]).items()}
    for path, text in texts.items():
        same = path.is_file() and path.read_bytes() == text
        if path.exists() and not force and not (same and path != target):
            raise ConfigError(f"{path}: is there already; choose another name with -o FILE, or overwrite it with --force")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")
    for path, text in texts.items():
        try:
            path.write_bytes(text)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    files = ", ".join(map(str, texts))
    console.result({"files": [str(path) for path in texts]}, f"{files} written; next: dltrain train {target}")
