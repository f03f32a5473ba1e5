"""A draft as YAML in the style of configs/: a layer a line, names and types in columns, nothing said that goes without saying."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from dltrain import catalogue  # noqa: F401  fills the registries
from dltrain.flat import PLAIN, escaped
from dltrain.marks import scalar
from dltrain.registry import LAYERS, SOLVERS
from dltrain.translate.draft import Draft, Part
from dltrain.wiring import Roles

WIDTH = 130
COLUMN = 105  # where notes begin at the latest
SAID = ("pool", "operation")  # what a layer does: written even where it is the default
BEHIND = ("loss_weight", "phase", "propagate_down", "param", "share")  # keys of any line, written after the bottoms
UNSURE = ("arrays", "csv", "hdf5", "lmdb", "pairs", "triplets", "generated")  # sources whose first field the files tell


def yaml_text(draft: Draft, head: str = "") -> str:
    """The config; `head` are comment lines for its top."""
    parts = [commented(head)] if head else []
    parts += (
        [commented("Not translated, or not exactly:\n" + "\n".join(f"  {note}" for note in draft.notes))] if draft.notes else []
    )
    said = {"name": draft.name} | {key: value for key, value in draft.rest.items() if key != "engine"}
    parts += [entry(key, value) for key, value in said.items()]
    parts += [section("data", draft.data)] if draft.data else []
    parts.append("net:\n" + net_text(draft.net, first_field(draft.data)))
    parts += (
        [section("solver", without_defaults(SOLVERS.get(draft.solver.get("type", "")), draft.solver))] if draft.solver else []
    )
    parts += [section("engine", draft.rest["engine"])] if draft.rest.get("engine") else []
    return "".join(parts)


def commented(text: str) -> str:
    """Lines of a comment, none too long."""
    made = ""
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        made += "".join(
            f"# {row}\n" for row in filled([visible(word) for word in line.split()], indent, f"{indent}  ", WIDTH - 2)
        )
    return made


def visible(word: str) -> str:
    """A word that YAML takes in a comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in word)


def filled(words: list[str], indent: str, further: str, width: int = WIDTH) -> list[str]:
    """Words in rows; the first begins with `indent`, the others with `further`."""
    rows, row = [], indent
    for word in words:
        if len(row) + len(word) > width and row.strip():
            rows.append(row.rstrip())
            row = further
        row += f"{word} "
    return [*rows, row.rstrip()]


# --- sections ---
def section(word: str, value: Mapping[str, Any]) -> str:
    """A section, a key a line."""
    return f"{word}:\n" + "".join(entry(key, item, "  ") for key, item in value.items())


def entry(key: str, value: Any, indent: str = "") -> str:
    """`key: value` on one line where there is room; else a mapping a key a line, a list an item a line, numbers in rows."""
    line = f"{indent}{text(key)}: {flow(value)}"
    if len(line) <= WIDTH:
        return f"{line}\n"
    if isinstance(value, Mapping):
        return f"{indent}{text(key)}:\n" + "".join(entry(str(inner), item, f"{indent}  ") for inner, item in value.items())
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping | str) for item in value):
        items = ["\n".join(filled(pieces(item), f"{indent}  - ", f"{indent}     ")) for item in value]
        return f"{indent}{text(key)}:\n" + "".join(f"{item}\n" for item in items)
    return "\n".join(filled(pieces(value), f"{indent}{text(key)}: ", f"{indent}  ")) + "\n"


def first_field(data: Mapping[str, Any]) -> str | None:
    """The field that a first line without bottoms reads; None where only the files tell."""
    source = data.get("source")
    kind = source.get("type") if isinstance(source, Mapping) else source
    if kind in ("blank", "hdf5", "lmdb") and isinstance(source, Mapping) and source.get("shapes"):
        return "data" if kind != "blank" and "data" in source["shapes"] else str(next(iter(source["shapes"])))
    return None if kind is None or kind in UNSURE else "data"


# --- the net ---
def net_text(parts: list[Part], field: str | None) -> str:
    """A line for each part, in columns; the losses and metrics behind them are columns of their own."""
    above, rows = field, []
    groups: list[tuple[bool, list[tuple[Part, list[str]]]]] = []
    for part in parts:
        kind = LAYERS[part.type]
        judges = kind.kind != "layer"
        if not groups or groups[-1][0] != judges:
            groups.append((judges, []))
        groups[-1][1].append((part, said(part, above)))
        above = above if judges or kind.topless else part.name
    for _, group in groups:
        name, kind = (max(len(text(getattr(part, key))) for part, _ in group) + 1 for key in ("name", "type"))
        rows += noted([(line(part, words, name, kind), part.note) for part, words in group])
    return "".join(f"{row}\n" for row in rows)


def line(part: Part, words: list[str], name: int, kind: int) -> list[str]:
    """The rows of a line: name and type take as many places as the longest of their column."""
    head = f"  - {{name: {text(part.name) + ',':<{name}} type: {text(part.type)}"
    if not words:
        return [f"{head}}}"]
    start = f"{head + ',':<{len('  - {name: ') + name + len(' type: ') + kind}} "
    return filled([*words[:-1], f"{words[-1]}}}"], start, "     ")


def noted(lines: list[tuple[list[str], str]]) -> list[str]:
    """Rows with the notes behind them in a column, which only long rows leave."""
    lengths = [len(made[-1]) for made, note in lines if note]
    column = max([length for length in lengths if length <= COLUMN] or lengths or [0])
    rows: list[str] = []
    for made, note in lines:
        words = f"{made[-1]:<{column}}  # {' '.join(visible(word) for word in note.split())}" if note else made[-1]
        rows += [*made[:-1], words]
    return rows


def said(part: Part, above: str | None) -> list[str]:
    """What a line says after name and type, in pieces between which it may be broken."""
    cls = LAYERS[part.type]
    kept = without_defaults(cls, part.keys)
    own = {key: value for key, value in part.keys.items() if key not in BEHIND and (key in SAID or key in kept)}
    behind = {key: value for key, value in part.keys.items() if key in BEHIND}
    bottom = {} if part.bottoms == implied(part, above) else {"bottom": bottoms(part)}
    order = (bottom, own, behind) if cls.kind != "layer" else (own, bottom, behind)
    items = [(key, value) for some in order for key, value in some.items()]
    made: list[str] = []
    for key, value in items:
        words = pieces(value)
        made += [f"{text(key)}: {words[0]}", *words[1:]]
        made[-1] += ","
    return [*made[:-1], made[-1].removesuffix(",")] if made else []


def implied(part: Part, above: str | None) -> list[str]:
    """What the line reads where it names nothing; a loss or a metric must name it."""
    cls = LAYERS[part.type]
    roles = Roles.of(cls.__new__(cls))
    if roles.needed == 0 and not roles.any_number:
        return []
    return [] if cls.kind != "layer" or roles.needed > 1 or above is None else [above]


def bottoms(part: Part) -> Any:
    """One name bare, several as a list, by role where one in between is left out ("")."""
    if "" in part.bottoms:
        cls = LAYERS[part.type]
        return {role: name for role, name in zip(Roles.of(cls.__new__(cls)).names, part.bottoms) if name}
    return part.bottoms[0] if len(part.bottoms) == 1 else part.bottoms


def without_defaults(cls: Any, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose values are not the defaults of the class."""
    own = {field.name: field for field in fields(cls)} if cls is not None else {}
    return {key: value for key, value in keys.items() if key not in own or not same(value, default_of(own[key]))}


def default_of(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def same(value: Any, default: Any) -> bool:
    """True for a default as a config would say it: a list of one as its item, a whole number for a float, 16 bits or 32."""
    given, held = plain(value), plain(default)
    if isinstance(held, list) and not isinstance(given, list):
        given = [given]
    try:
        return held is not MISSING and flow(given) == flow(held)
    except (TypeError, ValueError):  # a default that no config can say
        return False


# --- values ---
def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, tuples as lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def pieces(value: Any) -> list[str]:
    """A value in YAML's flow style, in the pieces between which a line may be broken."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, Mapping):
        inner = [[f"{text(str(key))}: {words[0]}", *words[1:]] for key, item in value.items() if (words := pieces(item))]
        return bracketed(inner, "{}")
    if isinstance(value, list | tuple):
        return bracketed([pieces(item) for item in value], "[]")
    return [text(value) if isinstance(value, str) else numeral(value)]


def bracketed(inner: list[list[str]], brackets: str) -> list[str]:
    if not inner:
        return [brackets]
    made = [word for words in inner for word in (*words[:-1], f"{words[-1]},")]
    made[-1] = made[-1].removesuffix(",") + brackets[1]
    return [brackets[0] + made[0], *made[1:]]


def flow(value: Any) -> str:
    return " ".join(pieces(value))


def text(value: str) -> str:
    """A text, in quotes where YAML would take it for something else; $ is written $$."""
    value = escaped(value)
    if PLAIN.fullmatch(value) and isinstance(scalar(value), str) and not value.endswith(":"):
        return value
    return "".join(map(spelt, json.dumps(value, ensure_ascii=False)))


def spelt(letter: str) -> str:
    """A letter between quotes, by its number where YAML takes no such letter, or ends a line with it."""
    return letter if letter.isprintable() and letter < "\ufffd" else f"\\U{ord(letter):08x}"


def numeral(value: Any) -> str:
    """null, true, 20, or a float by its fewest digits: 5e-4, 0.03, 1e+30; one that float32 holds by the fewest that it needs."""
    if value is None or isinstance(value, bool | np.bool_):
        return {None: "null", True: "true", False: "false"}[None if value is None else bool(value)]
    if isinstance(value, int | np.integer):
        return str(int(value))
    exact = float(value)
    if not math.isfinite(exact):
        return ".nan" if math.isnan(exact) else "-.inf" if exact < 0 else ".inf"
    with np.errstate(over="ignore"):
        narrow = np.float32(exact)
    digits = str(narrow) if float(narrow) == exact else repr(exact)
    return shortest(digits)


def shortest(digits: str) -> str:
    """The shorter of the two ways to write a decimal number: 0.0005 is 5e-4, 0.01 stays."""
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    mantissa, _, exponent = digits.partition("e")
    whole, _, rest = mantissa.partition(".")
    significant = (whole + rest).lstrip("0")
    if not significant:
        return f"{sign}0" if not sign else "-0.0"
    point = len(whole) + int(exponent or 0) - (len(whole + rest) - len(significant))  # of 0.significant, times ten to this
    significant = significant.rstrip("0")
    if 0 < point <= 16:
        fixed = significant[:point].ljust(point, "0") + (f".{significant[point:]}" if len(significant) > point else "")
    else:
        fixed = f"0.{'0' * -point}{significant}" if -16 < point <= 0 else ""
    scientific = f"{significant[0]}{'.' + significant[1:] if significant[1:] else ''}e{point - 1}"
    return sign + (fixed if fixed and len(fixed) <= len(scientific) else scientific)
