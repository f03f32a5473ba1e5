"""The data section of a config, a run or a bare source, opened for a look: without a net, a solver or a transform."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.config import prepare
from dltrain.errors import ConfigError, Refusal, did_you_mean
from dltrain.feed import Feed
from dltrain.marks import Document, load, parse
from dltrain.registry import SOURCES
from dltrain.run import Run
from dltrain.splits import divide
from dltrain.supply import place, read_section
from dltrain.vars import read_vars, worked


def document_of(what: str, settings: tuple[str, ...]) -> Document:
    """The text of a config or of the one of a run; a source by its name, or {type: …}, makes one."""
    word = what.strip()
    if not os.path.lexists(what) and (word.startswith("{") or word in SOURCES):
        document = parse("data: {source: digits}", f"source {word}")
        settings = (f"data.source={word}", *settings)
    else:
        run = Run.find(Path(what))
        if run is None and not os.path.lexists(what) and os.sep not in what and not Path(what).suffix:
            raise ConfigError(f"{what}: is neither a config, nor a run, nor a source; {did_you_mean(word, SOURCES)}")
        document = load(run.config if run else what)
    prepare(document, settings)
    return document


def data_of(document: Document) -> dict[str, Any]:
    """The data section with its expressions worked out."""
    value = worked(document, "data", read_vars(document, document.value.get("vars")))
    if not isinstance(value, dict):
        raise ConfigError(f"{document.file}: has no data section; add data: {{source: digits}}")
    return value


def seed_of(document: Document) -> int:
    seed = document.value.get("seed", 1)
    return seed if isinstance(seed, int) else 1


def untransformed(document: Document) -> Feed:
    """A feed whose source is open and whose splits are made, with samples as the source gives them."""
    value = data_of(document)
    keys = read_section(document, value)
    document.raise_mistakes()
    assert keys is not None
    keys.on_error = "skip"
    feed = Feed(keys, seed_of(document))
    feed.source.open()
    try:
        feed.splits = divide(feed.reader, feed.seed, keys.taken(), "val" in value and value["val"] is None)
    except Refusal as refusal:
        document.wrong(place(refusal.key, keys), f"data: {refusal}")
        document.raise_mistakes()
    return feed
