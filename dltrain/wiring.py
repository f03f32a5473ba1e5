"""Who reads what: names of blobs become places in the net; every wrong name is told with the nearest right one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dltrain.errors import did_you_mean
from dltrain.layer import Layer
from dltrain.marks import Key
from dltrain.store import ParamSpec

PHASES = ("train", "test", "deploy")
Report = Callable[[Key, str], None]


@dataclass(frozen=True)
class Ref:
    """What a line reads: a field of the source, a top of another line (by number), or a constant number."""

    field: str | None = None
    line: int = -1
    top: int = 0
    number: float | None = None


@dataclass
class Line:
    """One line of the net, checked: a layer, what it reads as written, where it stands, and what it says of its parameters."""

    name: str
    layer: Layer
    bottom: Any = None  # a name, a number, a list, a mapping by role; None reads the line above
    phases: frozenset[str] = frozenset(PHASES)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)  # role -> what the line says of it
    loss_weight: float | None = None
    path: Key = ()
    propagate_down: tuple[bool, ...] | None = None  # whether each bottom gets a gradient; one word for all
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)  # pattern -> what the solver says of what matches
    refs: list[Ref] = field(default_factory=list)
    above: str | float | None = None  # what it reads where it names nothing; None: see `implicit`
    share: str | None = None  # the line whose parameters, all of them, stand here too
    after_wrong: bool = False  # the line above could not be read

    @property
    def what(self) -> str:
        return f"layer '{self.name}' ({self.layer.type})"

    @property
    def weight(self) -> float:
        """Its share in the total loss: 1 for a loss, 0 for anything else, unless the line says otherwise."""
        return self.loss_weight if self.loss_weight is not None else float(self.layer.kind == "loss")

    def sends_down(self, place: int) -> bool:
        """Whether its backward reaches this bottom, as far as the user has a say."""
        said = self.propagate_down
        return said is None or said[min(place, len(said) - 1)]

    @property
    def scored(self) -> bool:
        """True where it makes a score: a loss, a metric, a blob with a weight."""
        return self.layer.kind != "layer" or bool(self.weight)

    def spec(self, role: str) -> ParamSpec:
        """What holds for a parameter: later patterns before earlier ones, the line's own word before all."""
        said: dict[str, Any] = {}
        for pattern, rule in self.rules.items():
            if matches(pattern, f"{self.name}.{role}"):
                said |= rule
        shared = {"share": f"{self.share}.{role}"} if self.share is not None else {}
        return ParamSpec(**said | shared | self.params.get(role, {}))

    @property
    def tops(self) -> list[str]:
        if self.layer.topless:
            return []
        given = len(self.bottom) if isinstance(self.bottom, list | dict) else 1
        return [self.name, *(f"{self.name}.{role}" for role in self.layer.top_roles(given))]


def matches(pattern: str, name: str) -> bool:
    """The pattern "*.bias" matches a parameter's full name; "fire*", without a dot, all parameters of the layers it matches."""
    return fnmatchcase(name if "." in pattern else name.split(".")[0], pattern)


@dataclass
class Roles:
    """The bottoms a layer takes, from the arguments of its setup."""

    names: list[str]
    needed: int
    any_number: bool

    @classmethod
    def of(cls, layer: Layer) -> Roles:
        arguments = list(inspect.signature(layer.setup).parameters.values())
        variadic = any(argument.kind is argument.VAR_POSITIONAL for argument in arguments)
        plain = [argument for argument in arguments if argument.kind is not argument.VAR_POSITIONAL]
        needed = sum(argument.default is argument.empty for argument in plain)
        return cls([argument.name for argument in plain], needed + variadic, variadic)

    def __str__(self) -> str:
        return ", ".join(self.names) or ("any number of bottoms" if self.any_number else "none")


ANY = "*"  # among wrong names: a line without a name, which may be whatever is read
ABSENT = Ref(top=-1)  # a role in the middle that is left out
UNKNOWN = Ref()  # what a wrong name, or a line that is wrong itself, stands for


def wire(lines: list[Line], fields: list[str], report: Report, wrong: list[str]) -> list[int]:
    """Fills each line's `refs`; returns the lines in an order in which every reader follows its writers (file order else).

    `wrong` are the names of lines that could not be read: they exist, but nothing is known of them.
    """
    blobs = dict.fromkeys(wrong, UNKNOWN) | {name: Ref(field=name) for name in fields}
    for number, line in enumerate(lines):
        for top, name in enumerate(line.tops):
            if blobs.get(name, UNKNOWN) != UNKNOWN:
                first = f"also the name of line {place_of(lines, blobs[name].line)} of the net"
                owner = "a field of the source" if blobs[name].field else first
                report((*line.path, "name"), f"{line.what}: the name '{name}' is {owner}; choose another")
            else:
                blobs[name] = Ref(line=number, top=top)
    for number, line in enumerate(lines):
        line.refs = bottoms(lines, number, blobs, fields, report)
        check_propagate(line, report)
    return order(lines, report)


def place_of(lines: list[Line], number: int) -> int:
    """Which line of the net it is, as a person counts (lines that could not be read count, too)."""
    return next((index + 1 for index in lines[number].path if isinstance(index, int)), number + 1)


def check_propagate(line: Line, report: Report) -> None:
    """One word for all bottoms, or one for each."""
    said = line.propagate_down
    if said is not None and len(said) not in (1, len(line.refs)):
        path = (*line.path, "propagate_down")
        report(path, f"{line.what}: propagate_down has {len(said)} words for {len(line.refs)} bottoms; give one, or one each")


def bottoms(lines: list[Line], number: int, blobs: dict[str, Ref], fields: list[str], report: Report) -> list[Ref]:
    line, roles = lines[number], Roles.of(lines[number].layer)
    if line.bottom is None:
        return implicit(lines, number, roles, blobs, fields, report)
    path = (*line.path, "bottom")
    if isinstance(line.bottom, dict):
        return by_role(line, roles, blobs, path, report)
    given = line.bottom if isinstance(line.bottom, list) else [line.bottom]
    limit = len(given) if roles.any_number else len(roles.names)
    if not roles.needed <= len(given) <= limit:
        some = f"{roles.needed}" if roles.needed == limit else f"{roles.needed} to {limit}"
        report(path, f"{line.what}: reads {some} bottoms ({roles}), not {len(given)}; give them in this order")
        return [UNKNOWN]
    return [named(line, item, blobs, (*path, place), report) for place, item in enumerate(given)]


def by_role(line: Line, roles: Roles, blobs: dict[str, Ref], path: Key, report: Report) -> list[Ref]:
    """{x: ip2, label: label}, put in the order of the layer's arguments."""
    for role in line.bottom:
        if role not in roles.names:
            report((*path, role), f"{line.what}: has no bottom '{role}'; {did_you_mean(role, roles.names)}")
    for role in roles.names[: roles.needed]:
        if role not in line.bottom:
            report(path, f"{line.what}: needs the bottom '{role}'; add {role}: …")
            return [UNKNOWN]
    last = max(roles.names.index(role) for role in line.bottom if role in roles.names) if line.bottom else -1
    return [
        named(line, line.bottom[role], blobs, (*path, role), report) if role in line.bottom else ABSENT
        for role in roles.names[: last + 1]
    ]


def implicit(lines: list[Line], number: int, roles: Roles, blobs: dict[str, Ref], fields: list[str], report: Report) -> list[Ref]:
    """The first top of the line above that is no loss and no metric; the first line reads the source's first field."""
    line = lines[number]
    if roles.needed == 0 and not roles.any_number:
        return []
    if line.layer.kind != "layer" or roles.needed > 1:
        example = ", ".join(roles.names[: roles.needed]) or "x, label"
        report(line.path, f"{line.what}: must name what it reads; add bottom: [{example}]")
        return [UNKNOWN]
    if line.above is not None:
        return [named(line, line.above, blobs, line.path, report)]
    for above in range(number - 1, -1, -1):
        if lines[above].layer.kind == "layer" and not lines[above].layer.topless:
            return [Ref(line=above)]
    if lines[0].after_wrong:
        return [UNKNOWN]
    if not fields:
        report(line.path, f"{line.what}: there is nothing above to read; add a data section, or bottom: …")
        return [UNKNOWN]
    return [Ref(field=fields[0])]


def named(line: Line, item: Any, blobs: dict[str, Ref], path: Key, report: Report) -> Ref:
    if isinstance(item, int | float) and not isinstance(item, bool):
        return Ref(number=float(item))
    if isinstance(item, str) and item in blobs:
        return blobs[item]
    if ANY in blobs:
        return UNKNOWN
    if isinstance(item, str) and "." in item and item.split(".")[0] in blobs:
        report(path, f"{line.what}: reading '{item}' as a blob is not yet built; blobs: {', '.join(blobs)}")
    else:
        report(path, f"{line.what}: there is no blob '{item}'; {did_you_mean(item, blobs)}")
    return UNKNOWN


def order(lines: list[Line], report: Report) -> list[int]:
    """A topological order, of the lines that are in no ring; a ring of lines that wait for each other is named."""
    done: list[int] = []
    state = dict.fromkeys(range(len(lines)), "new")  # then waiting, then done or wrong
    for start in range(len(lines)):
        stack = [start] if state[start] == "new" else []
        while stack:
            number = stack[-1]
            below = [ref.line for ref in lines[number].refs if ref.line >= 0]
            state[number] = "waiting"
            ring = next((line for line in below if state[line] == "waiting"), None)
            fresh = next((line for line in below if state[line] == "new"), None)
            if ring is not None:
                members = stack[stack.index(ring) :]
                names = [lines[index].name for index in [*members, ring]]
                circle = f"the net runs in a circle: {' reads '.join(names)}; break it at one bottom"
                report((*lines[ring].path, "bottom"), circle)
                state.update(dict.fromkeys(members, "wrong"))
                del stack[stack.index(ring) :]
            elif fresh is not None:
                stack.append(fresh)
            else:
                fine = all(state[line] == "done" for line in below)
                state[number] = "done" if fine else "wrong"
                done += [number] if fine else []
                stack.pop()
    return done
