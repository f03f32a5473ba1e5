"""dltrain predict: what a trained net says of files of yours, or of the samples of a source."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltrain.apply import trained
from dltrain.console import Console
from dltrain.deployed import Deployed
from dltrain.errors import ConfigError, DataError, did_you_mean
from dltrain.features import WRITERS, put
from dltrain.judgement import Judgement, Output
from dltrain.recall import recall
from dltrain.registry import SOURCES
from dltrain.run import Run
from dltrain.source import Arrays

FORMATS = (*WRITERS, ".json")
SHOWN = 8  # numbers of a row that has no classes


@dataclass
class Wish:
    """What a user asks for besides the run: how many classes, which blobs, where to."""

    top: int = 5
    blobs: tuple[str, ...] = ()
    out: str | None = None


@dataclass
class Told:
    """What has come out so far: a name a sample, rows by blob, and what could not be read."""

    ids: list[str] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, ids: list[str], made: Arrays) -> None:
        self.ids += ids
        for name, rows in made.items():
            self.rows.setdefault(name, []).append(rows)

    def fail(self, name: str, why: str, console: Console) -> None:
        self.failed[name] = why
        console.note(f"left out: {why}")

    @property
    def arrays(self) -> Arrays:
        return {name: np.concatenate(parts) for name, parts in self.rows.items()}


def predict(
    path: str, what: tuple[str, ...], split: str | None, weights: str | None, settings: tuple[str, ...], device: str | None,
    wish: Wish, console: Console,
) -> None:  # fmt: skip
    """dltrain predict RUN FILE… | SOURCE | --split NAME"""
    check_out(wish.out)
    source = source_of(what)
    if not what and split is None:
        raise ConfigError("predict: give files, a SOURCE (its name, or {type: …}), or --split NAME for the run's own data")
    if what and source is None and split is not None:
        raise ConfigError("--split chooses samples of a SOURCE or of the run's own data; files have no splits")
    if not what:
        judgement, told, file = of_split(path, split or "", weights, settings, device, wish, console)
    else:
        judgement, told, file = of_others(path, what, source, split, weights, settings, device, wish, console)
    arrays = told.arrays
    said = list(predictions(judgement.outputs, arrays, told.ids, wish.top))
    result = {"weights": str(file), "predictions": said, "failed": told.failed}
    if wish.out is not None and told.ids:
        write(Path(wish.out), result, judgement.outputs, arrays, told.ids)
    if told.ids or console.as_json:
        console.result(result, text(judgement.outputs, said, arrays, wish))
    if told.failed:
        count = len(told.failed)
        names = ", ".join(list(told.failed)[:5]) + (" …" if count > 5 else "")
        raise DataError(
            f"{count} of {count + len(told.ids)} could not be read: {names}; the first: {next(iter(told.failed.values()))}"
        )


def source_of(what: tuple[str, ...]) -> str | None:
    """The text of a source, where that is what the user named; files come first."""
    import dltrain.catalogue  # noqa: F401  fills the registry

    if len(what) != 1 or os.path.lexists(what[0]):
        return None
    word = what[0].strip()
    if word.startswith("{") or word in SOURCES:
        return word
    if os.sep not in word and not Path(word).suffix:
        raise ConfigError(f"{word}: is neither a file nor a source; {did_you_mean(word, SOURCES)}")
    return None


def of_others(
    path: str, what: tuple[str, ...], source: str | None, split: str | None, weights: str | None, settings: tuple[str, ...],
    device: str | None, wish: Wish, console: Console,
) -> tuple[Judgement, Told, Path]:  # fmt: skip
    """Files, or a source that need not be the training's."""
    deployed = Deployed(path, weights, settings, device, source)
    try:
        judgement, told = Judgement(deployed.engine, deployed.memory.names, wish.blobs), Told()
        console.note(f"weights {deployed.file}")
        fields = deployed.reads(judgement.blobs)
        if source is None:
            lacking = [name for name in fields if name != deployed.first]
            if lacking:
                raise DataError(
                    f"the net reads {', '.join(lacking)} besides {deployed.first}, which a file has not; name a SOURCE"
                )
            given = of_files(deployed, files(what), told, console)
        else:
            given = of_source(deployed, fields, split, told, console)
        for ids, batch in given:
            told.add(ids, judgement.of(batch, len(ids)))
        return judgement, told, deployed.file
    finally:
        deployed.close()


def files(what: tuple[str, ...]) -> list[Path]:
    """The files that were named; of a folder all in it, in order."""
    found: list[Path] = []
    for word in what:
        path = Path(word)
        inner = (Path(folder, name) for folder, _, names in os.walk(path) for name in names if not name.startswith("."))
        found += sorted(inner) if path.is_dir() else [path]
    return found


def of_files(deployed: Deployed, paths: list[Path], told: Told, console: Console) -> Iterator[tuple[list[str], Arrays]]:
    """Batches of files of any sizes: the steps make them alike one by one."""
    ids: list[str] = []
    ready: list[Arrays] = []
    for number, path in enumerate(paths):
        try:
            ready.append(deployed.load(path))
            ids.append(str(path))
        except DataError as error:
            told.fail(str(path), str(error), console)
        if ids and (len(ids) == deployed.feed.batch_size("train") or number == len(paths) - 1):
            yield ids, {name: np.concatenate([each[name] for each in ready]) for name in ready[0]}
            ids, ready = [], []


def of_source(
    deployed: Deployed, fields: tuple[str, ...], split: str | None, told: Told, console: Console
) -> Iterator[tuple[list[str], Arrays]]:
    for ids, batch, missing in deployed.batches(fields, split):
        for name, why in missing.items():
            told.fail(name, why, console)
        if ids:
            yield ids, batch


def of_split(
    path: str, split: str, weights: str | None, settings: tuple[str, ...], device: str | None, wish: Wish, console: Console
) -> tuple[Judgement, Told, Path]:
    """A split of the run's own data."""
    config, engine, file = trained(path, weights, split, settings, device, console)
    try:
        run = Run.find(Path(path))
        memory = recall(run.folder) if run else None
        source = config.feed.source
        judgement, told = Judgement(engine, memory.names if memory else getattr(source, "names", {}), wish.blobs), Told()
        console.note(f"weights {file}")
        made = [judgement.of(batch, len(batch[next(iter(batch))])) for batch in config.feed.batches(split)]
        ids = [source.identify(int(row)) for row in config.feed.rows(split)]
        told.add(ids, {name: np.concatenate([rows[name] for rows in made]) for name in judgement.blobs})
        for row, why in config.feed.reader.skipped.items():
            told.fail(source.identify(row), why, console)
        return judgement, told, file
    finally:
        config.feed.close()
        engine.close()


# --- what is told ---
def predictions(outputs: list[Output], arrays: Arrays, ids: list[str], top: int) -> Iterator[dict[str, Any]]:
    """One object a sample: the likeliest classes, or the numbers, of each output."""
    for row, name in enumerate(ids):
        said = {
            output.name: output.top(arrays[output.name][row], top) if output.words else arrays[output.name][row].tolist()
            for output in outputs
        }
        yield {"id": name, **said}


def text(outputs: list[Output], said: list[dict[str, Any]], arrays: Arrays, wish: Wish) -> str:
    """A line a sample; with --out one line for all."""
    if wish.out is not None:
        shapes = ", ".join(f"{name} {' x '.join(map(str, rows.shape))}" for name, rows in arrays.items())
        return f"{wish.out}: {shapes}"
    lines = []
    for row, each in enumerate(said):
        parts = []
        for output in outputs:
            head = f"{output.name}: " if len(outputs) > 1 else ""
            if output.words:
                words = "  ".join(f"{best['name']} {amount(best)}" for best in each[output.name])
            else:
                flat = arrays[output.name][row].reshape(-1)
                more = f" … ({' x '.join(map(str, arrays[output.name].shape[1:]))})" if len(flat) > SHOWN else ""
                words = " ".join(f"{number + 0.0:.4g}" for number in flat[:SHOWN]) + more
            parts.append(head + words)
        lines.append(f"{each['id']}  {'  '.join(parts)}")
    return "\n".join(lines)


def amount(best: dict[str, Any]) -> str:
    return f"{100 * best['probability']:.2f} %" if "probability" in best else f"{best['score']:.4g}"


# --- files of results ---
def check_out(out: str | None) -> None:
    if out is None:
        return
    path = Path(out)
    if path.suffix not in FORMATS:
        raise ConfigError(f"--out {out}: cannot be written; a file of predictions ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {path.parent}")


def write(path: Path, result: dict[str, Any], outputs: list[Output], arrays: Arrays, ids: list[str]) -> None:
    """The predictions as JSON; or all numbers, a row a sample, with the likeliest class of each output as OUTPUT.class."""
    made = dict(arrays)
    for output in outputs:
        if output.words:
            best = arrays[output.name].reshape(len(ids), -1).argmax(axis=1)
            made[f"{output.name}.class"] = best.astype(np.int32)
            if path.suffix != ".h5":  # which has no texts of one length
                made[f"{output.name}.name"] = np.array([output.words[number] for number in best])
    if path.suffix == ".json":
        put(path, lambda to: to.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8"))
    else:
        put(path, lambda to: WRITERS[path.suffix](to, made, ids))
