"""A config: YAML to checked objects, every mistake of the text in one pass, each with its place and a way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dltrain.blocks import read_blocks
from dltrain.checks import check, keys_of, show
from dltrain.errors import ConfigError, did_you_mean, nearest
from dltrain.expand import Expansion
from dltrain.feed import Feed
from dltrain.fields import Moving, Span, moving
from dltrain.lines import anchor_lines, read_lines, read_rules, unused_rules
from dltrain.marks import Document, Key, load
from dltrain.net import Net
from dltrain.overlay import lay_over
from dltrain.overrides import absolute, include, override
from dltrain.policy import Horizon, based
from dltrain.registry import POLICIES, SOLVERS
from dltrain.sections import NOT_YET, EngineKeys, Loop, Top, Weights
from dltrain.solver import Solver
from dltrain.supply import Promise, anchor, read_feed
from dltrain.vars import ending, named, read_vars, worked
from dltrain.wiring import ANY

TOP = ("version", "name", "seed", "vars", "data", "blocks", "net", "weights", "solver", "engine")
LOOP_KEYS = keys_of(Loop)


@dataclass
class Config:
    """Everything about a run that a text says, checked."""

    document: Document
    name: str
    seed: int
    feed: Feed
    net: Net
    solver: Solver | None
    loop: Loop
    engine: EngineKeys
    weights: Weights | None = None

    @property
    def horizon(self) -> Horizon:
        """How long the run is; a run that only a time ends has no length."""
        assert self.solver is not None
        per_epoch = self.feed.per_epoch / self.solver.iter_size
        ends = [self.loop.max_iter.iterations(per_epoch)] if self.loop.max_iter else []
        ends += [Span(self.loop.max_epochs, "epochs").iterations(per_epoch)] if self.loop.max_epochs else []
        return Horizon(min(ends, default=0), per_epoch)

    @property
    def values(self) -> dict[str, Any]:
        """The text as plain values, files included and --set applied."""
        return {
            "version": 1,
            "name": self.name,
            **{key: self.document.value[key] for key in TOP[2:] if key in self.document.value},
        }

    @property
    def fingerprint(self) -> str:
        """Equal for configs that compute the same: names, comments and what only watches the run are left out."""
        value = json.loads(json.dumps(self.values))
        for key in ("name", "engine"):
            value.pop(key, None)
        for key in ("display", "snapshot", "max_time"):
            (value.get("solver") or {}).pop(key, None)
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]

    def monitored(self, name: str) -> tuple[str, bool]:
        """(SPLIT.NAME of a score, whether more is better)"""
        split, dot, score = name.rpartition(".")
        best = self.net.scores()[score]
        return (name if dot else f"{self.watched}.{score}"), best

    @property
    def watched(self) -> str:
        """The split that the loop scores: val, or test where there is no val."""
        return "val" if "val" in self.feed.splits else "test"


def read(
    path: str | Path,
    settings: tuple[str, ...] = (),
    need_solver: bool = True,
    saved: Any = None,
    document: Document | None = None,
    promise: Promise | None = None,
) -> Config:
    """Reads and checks a config.  ConfigError tells all mistakes; a DataError says what is wrong with the data.

    With `promise` no data are needed: it tells the fields of the source, which is not opened.
    """
    document = document or load(path)
    names = prepare(document, settings)
    value = document.value
    top = check(document, Top, {key: value[key] for key in ("version", "name", "seed") if key in value}, (), "config") or Top()
    engine = check(document, EngineKeys, value.get("engine") or {}, ("engine",), "engine") or EngineKeys()
    weights = read_weights(document, value.get("weights"))
    feed, trouble = read_feed(document, value.get("data"), top.seed, saved, promise)
    names |= named(feed)
    said = worked(document, "solver", names | ending(value.get("solver")))
    solver, loop = read_solver(document, said, need_solver)
    rules = read_rules(document, said.get("param")) if isinstance(said, dict) else {}
    net, broken = read_net(document, feed, names, rules, top.seed)
    made = Config(document, top.name or Path(document.file).stem, top.seed, feed, net, solver, loop or Loop(), engine, weights)  # type: ignore[arg-type]
    if feed is not None and loop is not None and isinstance(said, dict) and promise is None:
        check_loop(made, broken)
    document.raise_mistakes()
    if trouble is not None:
        raise trouble
    return made


def prepare(document: Document, settings: tuple[str, ...]) -> dict[str, Any]:
    """What changes the text before anything is read: files, the base, --set, names in the data, paths.  Returns the names."""
    include(document)
    lay_over(document)
    override(document, settings)
    if not isinstance(document.value, dict):
        raise ConfigError(f"{document.file}: a config is a mapping with data, net and solver; see configs/lenet.yaml")
    top_words(document, document.value)
    names = read_vars(document, document.value.get("vars"))
    if "data" in document.value:
        document.value["data"] = worked(document, "data", names)
    anchor(document)
    for section in ("net", "blocks"):
        anchor_lines(document, document.value.get(section), (section,), names)
    return names


def read_net(
    document: Document, feed: Feed | None, names: dict[str, Any], rules: dict[str, dict[str, Any]], seed: int
) -> tuple[Net, set[str]]:
    """The net, and the names of lines that could not be read."""
    if "net" not in document.value and "net" not in document.lost:
        document.wrong((), "config: needs a net; add net: [{name: …, type: …}, …]")
    expansion = Expansion(document, read_blocks(document), names, next(iter(feed.fields), None) if feed else None)
    lines = read_lines(document, expansion.lines, rules) if "net" in document.value else []
    broken = {ANY if not line.name else line.name for line in expansion.lines} - {line.name for line in lines} | expansion.broken
    net = Net(
        lines if feed else [],
        dict(feed.fields) if feed else {},
        feed.batch_size("train") if feed else 1,
        seed,
        document.wrong,
        broken,
    )
    net.sequences = feed.trims if feed else ()
    if feed is not None and not broken:
        unused_rules(document, rules, [part.name for part in net.store.segments.values()])
    return net, broken


def top_words(document: Document, value: dict[str, Any]) -> None:
    for word in value:
        if word in NOT_YET["top"]:
            document.wrong((word,), f"config: '{word}' is not yet built; leave it out", key=True)
        elif word not in TOP:
            document.wrong(
                (word,), f"config: unknown section '{word}'; {did_you_mean(word, [*TOP, 'base', *NOT_YET['top']])}", key=True
            )


def read_solver(document: Document, value: Any, needed: bool) -> tuple[Solver | None, Loop | None]:
    """The rule's keys and the loop's keys, which stand in one section."""
    if value is None:
        if needed and "solver" not in document.lost:
            document.wrong((), "config: needs a solver; add solver: {type: SGD, base_lr: 0.01, max_epochs: 10}")
        return None, Loop()
    if not isinstance(value, dict):
        document.wrong(("solver",), f"solver: must be a mapping {{type: SGD, …}}, not {show(value)}")
        return None, None
    kind = value.get("type")
    known = isinstance(kind, str) and kind in SOLVERS
    rest = [key for key in value if key not in LOOP_KEYS]
    if kind is None and "type" not in {nearest(key, ["type", *LOOP_KEYS]) for key in rest}:
        document.wrong(("solver",), "solver: needs 'type'; add type: SGD")
    elif kind is not None and not known:
        document.wrong(("solver", "type"), f"solver: unknown solver {show(kind)}; {did_you_mean(kind, SOLVERS)}")
    meant = SOLVERS[nearest(kind, SOLVERS) or "SGD"]  # its keys are checked all the same
    loop = check(document, Loop, {key: item for key, item in value.items() if key in LOOP_KEYS}, ("solver",), "solver")
    rule = {key: item for key, item in value.items() if key not in LOOP_KEYS and key not in ("type", "param")}
    moved = {key: read_moving(document, mark, rule[key], ("solver", key), f"solver ({meant.type}): {key}")
             for key, mark in moving(meant).items() if isinstance(rule.get(key), dict)}  # fmt: skip
    rule |= dict.fromkeys(moved, 0)
    solver = check(document, meant, rule, ("solver",), f"solver ({meant.type})", ["type", *LOOP_KEYS])
    for key, policy in moved.items() if solver is not None else ():
        setattr(solver, key, policy)
    return solver if known and None not in moved.values() else None, loop


def read_moving(document: Document, mark: Moving, value: dict[str, Any], path: Key, what: str) -> Any:
    """The policy that stands in the place of a number: {type: poly, base: 0.9, power: 1}"""
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in POLICIES:
        says = "needs 'type'" if kind is None else f"unknown policy {show(kind)}"
        document.wrong((*path, "type"), f"{what}: {says}; {did_you_mean(kind or '', POLICIES)}")
        return None
    rest = {key: item for key, item in value.items() if key != "type"}
    return check(document, based(POLICIES[kind], mark), rest, path, f"{what} ({kind})")


def read_weights(document: Document, value: Any) -> Weights | None:
    """weights: FILE, or {file: […], fresh: […]}"""
    if value is None:
        return None
    mapping = value if isinstance(value, dict) else {"file": value}
    made: Weights | None = check(document, Weights, mapping, ("weights",), "weights")
    if made is not None:
        made.file = tuple(absolute(document, file, ("weights", "file")) for file in made.file)
        document.value["weights"] = {"file": list(made.file), "fresh": list(made.fresh)}
    return made


def check_loop(config: Config, broken: set[str]) -> None:
    """What only the whole can tell: an end, a loss, names of scores, lengths that fit.  `broken` lines may be anything."""
    document, loop, net = config.document, config.loop, config.net
    wrong = document.wrong
    if loop.max_iter is None and loop.max_epochs is None and loop.max_time is None:
        wrong(("solver",), "solver: never ends; add max_iter, max_epochs or max_time")
    for key in ("max_iter", "max_time"):
        length = getattr(loop, key)
        if length is not None and (length.unit == "seconds") != (key == "max_time"):
            wrong(
                ("solver", key),
                f"solver: {key} cannot be {length}; {'write 20 min' if key == 'max_time' else 'max_time takes a time'}",
            )
    if net.order and not broken and not any(line.weight and "train" in line.phases for line in net.lines):
        wrong(("net",), "net: nothing to train for: there is no loss in phase train; add a loss such as SoftmaxWithLoss")
    if loop.display is not None and loop.display.interval.unit == "seconds":
        wrong(("solver", "display"), "solver: display counts iterations or epochs; write 100, or 1 epoch")
    if loop.test is not None and loop.test.interval.unit == "seconds":
        wrong(("solver", "test"), "solver: test counts iterations or epochs, so that a run can be repeated; write 1 epoch")
    said = config.document.value["solver"]
    for keys, words in config.solver.mistakes(bool(loop.max_iter or loop.max_epochs)) if config.solver else ():
        wrong(("solver", *keys), f"solver: {words}")
    chosen = list(decided_by(config))
    if config.watched not in config.feed.splits:
        loop.test = None
        for key in dict.fromkeys([*(["test"] if said.get("test") is not None else []), *(str(keys[0]) for keys, _ in chosen)]):
            wrong(("solver", key), f"solver: {key}: there is neither val nor test to score; add data.val: {{hold_out: 0.1}}")
    if loop.early_stopping is not None and loop.early_stopping.patience.unit == "seconds":
        wrong(("solver", "early_stopping", "patience"), "solver: patience counts iterations or epochs; write 5 epochs")
    if chosen and loop.test is None:
        if config.watched in config.feed.splits:
            wrong(("solver",), "solver: early_stopping and best need scores; add test: 1 epoch")
    elif ANY not in broken:
        for keys, name in chosen:
            check_score(config, name, ("solver", *keys), [*net.scores(), *broken])
    check_courses(config)


def check_courses(config: Config) -> None:
    """Numbers that their policies lead out of bounds.  Asked only where the lengths of the run are right."""
    if config.solver is not None and not config.document.mistakes:
        for keys, words in config.solver.strays(config.horizon):
            config.document.wrong(("solver", *keys), f"solver: {words}")


def decided_by(config: Config) -> Iterator[tuple[Key, str]]:
    """The scores that something is decided by, each with the keys that lead to its name."""
    loop = config.loop
    if loop.early_stopping is not None:
        yield ("early_stopping", "monitor"), loop.early_stopping.monitor
    if loop.snapshot is not None and loop.snapshot.best is not None:
        yield ("snapshot", "best"), loop.snapshot.best
    for keys, policy in config.solver.policies if config.solver else ():
        if policy.monitor is not None:
            yield (*keys, "monitor"), policy.monitor


def check_score(config: Config, name: str, path: Key, names: list[str]) -> None:
    """A score to choose by: one that the net makes, on val; test only where it is named."""
    split, dot, score = name.rpartition(".")
    splits = [name for name in config.feed.splits if name != "train"]
    if score not in names or (dot and split not in splits):
        known = [*(names if "val" in splits else ()), *(f"{split}.{name}" for split in splits for name in names)]
        config.document.wrong(path, f"solver: there is no score '{name}'; {did_you_mean(name, known)}")
    elif not dot and "val" not in splits:
        config.document.wrong(
            path,
            f"solver: there is no val to choose on; add data.val: {{hold_out: 0.1}}, or write test.{score} to choose on test",
        )
    elif dot and split != config.watched:
        config.document.wrong(
            path,
            f"solver: the loop scores {config.watched} only; write {config.watched}.{score}, or give val back with val: null",
        )
