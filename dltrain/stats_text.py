"""The table that dltrain data stats prints."""

from __future__ import annotations

from typing import Any

NAMED = 10  # of a kind that are named one by one; the rest are counted
BAR = 24  # characters of the longest bar


def text(told: dict[str, Any]) -> str:
    """Split by split, then what is wrong."""
    lines = [f"{told['source']}: " + ", ".join(f"{split} {each['samples']:,}" for split, each in told["splits"].items())]
    for split, each in told["splits"].items():
        lines += ["", f"{split}  {each['samples']:,} samples"]
        for name, field in each["fields"].items():
            lines += [f"  {name}  {sizes(field)}", *numbers(field), *histogram(field, told["names"].get(name, []))]
        lines += told_once(each["unreadable"])
    return "\n".join([*lines, "", *wrong(told)])


def sizes(field: dict[str, Any]) -> str:
    """1 x 28 x 28, or 3 x 193 .. 768 x 130 .. 512 where they differ."""
    if field["smallest"] is None:
        return "nothing could be read"
    pairs = zip(field["smallest"], field["largest"], strict=True)
    return " x ".join(str(low) if low == high else f"{low} .. {high}" for low, high in pairs) or "one number"


def numbers(field: dict[str, Any]) -> list[str]:
    """A line a channel: mean, spread, ends."""
    lines = []
    for at in range(len(field.get("mean", ()))):
        head = f"channel {at}" if len(field["mean"]) > 1 else ""
        words = "  ".join(f"{key} {field[key][at]:.6g}" for key in ("mean", "std", "min", "max"))
        lines.append(f"    {head}{'  ' if head else ''}{words}")
    if field.get("strange"):
        lines.append(f"    {field['strange']:,} numbers are not finite")
    return lines


def histogram(field: dict[str, Any], words: list[str]) -> list[str]:
    """A line a class: its name, how many, a bar."""
    counts = field.get("classes")
    if not counts:
        return []
    if len(counts) > 100:
        keys = [int(key) for key in counts]
        return [f"    {len(counts):,}{' or more' if len(counts) > 1000 else ''} different numbers, {min(keys)} .. {max(keys)}"]
    total, most = sum(counts.values()), max(counts.values())
    names = {key: seen(words[int(key)]) if 0 <= int(key) < len(words) else key for key in counts}
    width, digits = max(map(len, names.values())), len(f"{most:,}")
    lines = []
    for key, count in counts.items():
        bar = "#" * max(1, round(BAR * count / most))
        lines.append(f"    {names[key].rjust(width)}  {count:{digits},}  {100 * count / total:5.1f} %  {bar}")
    return lines


def seen(word: str) -> str:
    """A word as it can be seen: a line end as '\\n'."""
    return word if word.isprintable() and word.strip() == word and word else repr(word)


def told_once(unreadable: dict[str, str]) -> list[str]:
    lines = [f"  unreadable  {len(unreadable):,}"] if unreadable else []
    lines += [f"    {why}" for why in list(unreadable.values())[:NAMED]]
    return lines + ([f"    … and {len(unreadable) - NAMED:,} more (--json names all)"] if len(unreadable) > NAMED else [])


def wrong(told: dict[str, Any]) -> list[str]:
    """Missing classes and duplicates; the good news where there are none."""
    lines = [f"missing in {split}: {name} {', '.join(words[:NAMED])}{' …' if len(words) > NAMED else ''}"
             for split, fields in told["missing"].items() for name, words in fields.items()]  # fmt: skip
    groups = told["duplicates"]
    across = [group for group in groups if len(group["splits"]) > 1]
    if across:
        lines.append(f"the same data in several splits: {len(across):,} group{'s' * (len(across) > 1)}; scores will be too good")
    if len(groups) > len(across):
        alone = len(groups) - len(across)
        lines.append(f"the same data twice within a split: {alone:,} group{'s' * (alone > 1)}")
    for group in groups[:NAMED]:
        same = [f"{name} ({split})" for split, name in group["samples"]]
        lines.append(f"    {' = '.join(same[:4])}{f' = … {len(same)} in all' if len(same) > 4 else ''}")
    if len(groups) > NAMED:
        lines.append(f"    … and {len(groups) - NAMED:,} more (--json names all)")
    bad = sum(len(each["unreadable"]) for each in told["splits"].values())
    return lines or (["no duplicates, no class missing"] + (["nothing unreadable"] if not bad else []))
