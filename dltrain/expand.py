"""Blocks, repeats, conditions and expressions: from the net as it is written to its flat lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dltrain.blocks import Block, arguments
from dltrain.errors import did_you_mean
from dltrain.marks import Document, Key, Origin
from dltrain.registry import LAYERS
from dltrain.values import Unworkable, truth, work

MOST = 20_000  # flat lines
DEEPEST = 30  # blocks within blocks
OF_BLOCKS = (
    "name",
    "type",
    "bottom",
    "repeat",
    "when",
    "share",
    "phase",
)  # what a line that uses a block may say beside its params


@dataclass
class Placed:
    """A flat line: its full name, its keys with every expression worked out, and where it stands."""

    name: str
    item: Any
    path: Key
    above: Any = None  # what it reads where it names nothing: a blob, or None (the first line of the net)
    share: str | None = None  # the line whose parameters it uses


@dataclass
class Scope:
    """What names mean inside one list of lines."""

    prefix: str = ""
    known: Mapping[str, Any] = field(default_factory=dict)  # for expressions
    inputs: Mapping[str, Any] = field(default_factory=dict)  # local name -> blob outside
    names: frozenset[str] = frozenset()  # of the lines of the list
    block: str = ""
    used: str = ""  # where the block is used
    phase: Any = None
    share: str | None = None  # the prefix of the lines whose parameters these use
    depth: int = 0


class Expansion:
    """The flat lines of a net; `known` are the names that hold everywhere: vars, data.classes.

    lines    in order; aliases have been followed, so that every bottom is a flat name
    broken   names of lines that could not be worked out: what is wrong with them is noted
    """

    def __init__(
        self, document: Document, blocks: Mapping[str, Block], known: Mapping[str, Any], field: str | None = None
    ) -> None:
        """`field` is the first of the source: what the first line reads."""
        self.document, self.blocks, self.everywhere = document, blocks, known
        self.lines: list[Placed] = []
        self.broken: set[str] = set()
        self.alias: dict[str, Any] = {}
        self.used: dict[str, tuple[Any, Scope]] = {}  # name -> what was written there, and what its names meant, for `share`
        items = document.value.get("net")
        if isinstance(items, list):
            self.go(items, ("net",), Scope(known=known, names=local(items)), field)
        for line in self.lines:
            line.above = self.follow(line.above)
            if isinstance(line.item, dict) and "bottom" in line.item:
                line.item["bottom"] = each(line.item["bottom"], lambda blob, path: self.follow(blob), ())

    def follow(self, blob: Any) -> Any:
        """The flat name behind the name of a block, of a repeat, or of a line that is left out."""
        seen = set()
        while isinstance(blob, str) and blob in self.alias and blob not in seen:
            seen.add(blob)
            blob = self.alias[blob]
        return blob

    def go(self, items: list[Any], path: Key, scope: Scope, above: Any = None) -> Any:
        """Lays out a list of lines; returns what a line after it would read."""
        for index, item in enumerate(items):
            where = (*path, index)
            try:
                above = self.line(item, where, scope, above)
            except Unworkable as error:
                self.wrong((*where, *error.path), f"{spoken(item, scope)}: {error}", scope, error.key)
                self.broken.add(scope.prefix + str(item.get("name")) if isinstance(item, dict) and "name" in item else "*")
        return above

    def wrong(self, path: Key, words: str, scope: Scope, key: bool = False) -> None:
        self.document.wrong(path, words + scope.used, key)

    # --- one line ---
    def line(self, item: Any, path: Key, scope: Scope, above: Any) -> Any:
        """One line as it is written: left out, once, or as often as it says."""
        if not isinstance(item, dict):
            return self.put(Placed("", item, path, above), scope, above)
        name = scope.prefix + str(item.get("name", ""))
        if "when" in item and not truth(item["when"], ("when",), scope.known):
            bottom = each(item.get("bottom"), lambda blob, at: self.blob(blob, at, scope), ("bottom",))
            self.alias[name] = first(bottom) if bottom is not None else above
            return self.alias[name]
        if item.get("repeat") is None:
            return self.once(item, name, path, scope, above)
        count = work(item["repeat"], ("repeat",), scope.known)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST:
            raise Unworkable(f"'repeat' must be a whole number, not {count!r}", ("repeat",))
        self.alias[name] = above if item.get("bottom") is None else first(
            each(item["bottom"], lambda blob, at: self.blob(blob, at, scope), ("bottom",))
        )  # fmt: skip
        for i in range(1, count + 1):
            inner = replace(scope, known={**scope.known, "i": i})
            self.alias[name] = self.once(item, f"{name}/{i}", path, inner, self.alias[name], i > 1)
        return self.alias[name]

    def once(self, item: dict[str, Any], name: str, path: Key, scope: Scope, above: Any, again: bool = False) -> Any:
        """A line, or one instance of it (`again`: its first bottom is the instance before)."""
        made = {key: value for key, value in item.items() if key not in ("when", "repeat", "share")}
        if made.get("bottom") is not None:
            made["bottom"] = each(made["bottom"], lambda blob, at: self.blob(blob, at, scope), ("bottom",))
            if again:
                made["bottom"] = behind(made["bottom"], above)
        sharing = self.sharing(item, name, scope) if item.get("share") is not None else None
        if sharing is not None:
            owner, kept = sharing
            made, scope = {**kept, **made}, replace(scope, share=owner)
        elif scope.share is not None and scope.block:
            scope = replace(scope, share=scope.share + name.removeprefix(scope.prefix))
        self.used.setdefault(name, (item, scope))
        if isinstance(made.get("type"), str) and made["type"] in self.blocks:
            return self.block(made, name, path, scope, above)
        made |= {key: work(value, (key,), scope.known) for key, value in made.items() if key not in ("bottom", "name")}
        if scope.phase is not None:
            made.setdefault("phase", scope.phase)
        if scope.prefix and isinstance(made.get("param"), dict):
            made["param"] = {role: self.shared(said, scope) for role, said in made["param"].items()}
        if isinstance(item.get("name"), str):
            made["name"] = name
        share = scope.share if (sharing is not None or scope.share) and scope.share != name else None
        return self.put(Placed(name, made, path, above, share), scope, above)

    def put(self, line: Placed, scope: Scope, above: Any) -> Any:
        if len(self.lines) >= MOST:
            raise Unworkable(f"the net grows beyond {MOST:,} lines", ())
        self.document.origins[len(self.lines)] = Origin(line.path, scope.used)
        line.path = ("lines", len(self.lines))
        self.lines.append(line)
        kind = LAYERS.get(str(line.item.get("type"))) if isinstance(line.item, dict) else None
        silent = kind is not None and (kind.kind != "layer" or kind.topless)
        return above if silent else line.name

    def shared(self, said: Any, scope: Scope) -> Any:
        """param: {weight: {share: conv1.weight}} in a block, where conv1 is a name of the block."""
        target = said.get("share") if isinstance(said, dict) else None
        if isinstance(target, str) and target.split(".")[0].split("/")[0] in scope.names:
            return {**said, "share": scope.prefix + target}
        return said

    def sharing(self, item: dict[str, Any], name: str, scope: Scope) -> tuple[str, dict[str, Any]] | None:
        """The line that `share` names, and its settings; None where it is this line itself (the first of a repeat)."""
        target = scope.prefix + str(work(item["share"], ("share",), scope.known))
        if target == name:
            return None
        if target not in self.used:
            known = [each.removeprefix(scope.prefix) for each in self.used if each.startswith(scope.prefix)]
            raise Unworkable(
                f"there is no line '{item['share']}' above to share with; {did_you_mean(item['share'], known)}", ("share",)
            )
        owner, outer = self.used[target]
        left = ("name", "bottom", "when", "repeat", "share", "phase")
        return target, {key: work(value, (key,), outer.known) for key, value in owner.items() if key not in left}

    # --- blobs and blocks ---
    def blob(self, blob: Any, path: Key, scope: Scope) -> Any:
        """The flat name of what a line reads."""
        blob = work(blob, path, scope.known)
        if not isinstance(blob, str):
            return blob
        start = blob.split(".")[0].split("/")[0]
        if start in scope.names:
            return scope.prefix + blob
        if blob in scope.inputs:
            return scope.inputs[blob]
        if scope.block:
            known = [*scope.names, *scope.inputs]
            words = f"there is no blob '{blob}' in block '{scope.block}', and outer ones come through its inputs"
            raise Unworkable(f"{words}; {did_you_mean(blob, known)}", path)
        return blob

    def block(self, item: dict[str, Any], name: str, path: Key, scope: Scope, above: Any) -> Any:
        """The lines of a block, with what this line gives it."""
        block = self.blocks[item["type"]]
        if scope.depth >= DEEPEST:
            raise Unworkable(f"blocks lie {DEEPEST} deep here: '{block.name}' uses itself", ("type",))
        given = {key: work(value, (key,), scope.known) for key, value in item.items() if key not in OF_BLOCKS}
        known = {**self.everywhere, **arguments(block, given, self.everywhere)}
        place = f" (in block '{block.name}', used at {self.document.mark(path)})"
        phase = work(item.get("phase"), ("phase",), scope.known) if item.get("phase") is not None else scope.phase
        inner = Scope(
            f"{name}/", known, self.inputs(block, item.get("bottom"), above), local(block.net), block.name, place, phase,
            f"{scope.share}/" if scope.share is not None else None, scope.depth + 1,
        )  # fmt: skip
        self.alias[name] = self.go(block.net, block.path, inner, next(iter(inner.inputs.values()), None))
        return self.alias[name]

    @staticmethod
    def inputs(block: Block, bottom: Any, above: Any) -> dict[str, Any]:
        """What the inputs of a block stand for."""
        if isinstance(bottom, dict):
            for role in bottom:
                if role not in block.inputs:
                    words = f"block '{block.name}' has no input '{role}'; {did_you_mean(role, block.inputs)}"
                    raise Unworkable(words, ("bottom", role))
            given = bottom
        else:
            listed = bottom if isinstance(bottom, list) else [above if bottom is None else bottom]
            listed = listed[: len(block.inputs)] if bottom is None else listed
            given = dict(zip(block.inputs, listed, strict=False))
            if len(listed) > len(block.inputs):
                words = f"block '{block.name}' has {len(block.inputs)} inputs ({', '.join(block.inputs)}), not {len(listed)}"
                raise Unworkable(words, ("bottom",))
        missing = [name for name in block.inputs if name not in given]
        if missing:
            raise Unworkable(f"block '{block.name}' needs the input '{missing[0]}'; add bottom: [{', '.join(block.inputs)}]", ())
        return given


def local(items: list[Any]) -> frozenset[str]:
    """The names of the lines of a list."""
    return frozenset(str(item["name"]) for item in items if isinstance(item, dict) and "name" in item)


def spoken(item: Any, scope: Scope) -> str:
    if not isinstance(item, dict):
        return "net"
    return f"layer '{scope.prefix}{item.get('name', '?')}' ({item.get('type', '?')})"


def each(bottom: Any, act: Any, path: Key) -> Any:
    """Every blob of a bottom: one, a list, or a mapping by role."""
    if isinstance(bottom, list):
        return [act(blob, (*path, place)) for place, blob in enumerate(bottom)]
    if isinstance(bottom, dict):
        return {role: act(blob, (*path, role)) for role, blob in bottom.items()}
    return act(bottom, path) if bottom is not None else None


def first(bottom: Any) -> Any:
    """The first blob of a bottom."""
    if isinstance(bottom, dict):
        bottom = list(bottom.values())
    return (bottom[0] if bottom else None) if isinstance(bottom, list) else bottom


def behind(bottom: Any, before: Any) -> Any:
    """A bottom whose first blob is the instance before."""
    if isinstance(bottom, dict):
        return {**bottom, next(iter(bottom)): before}
    return [before, *bottom[1:]] if isinstance(bottom, list) else before
