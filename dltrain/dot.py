"""A scene as a text for Graphviz, blocks as clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from dltrain.scene import COLOURS, Box, Group, Scene

HEAD = """digraph net {{
  rankdir={way}; fontname="Helvetica"; fontsize=10; compound=true; nodesep=0.25; ranksep=0.3;
  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10, margin="0.1,0.04"];
  edge [fontname="Helvetica", fontsize=8, color="#5c5c58", arrowsize=0.6];
"""


def dot_text(scene: Scene, direction: Literal["down", "right"]) -> str:
    shapes = {box.name: box.shape for box in scene.root.boxes()}
    lines = [HEAD.format(way="TB" if direction == "down" else "LR"), *members(scene.root, "  ")]
    lines += [f"  {quoted(a)} -> {quoted(b)} [label={quoted(shapes[a])}];\n" for a, b in scene.arrows]
    return "".join([*lines, "}\n"])


def members(group: Group, indent: str) -> Iterator[str]:
    for member in group.members:
        if isinstance(member, Box):
            yield f"{indent}{quoted(member.name)} [{look(member)}];\n"
            continue
        yield f"{indent}subgraph {quoted('cluster ' + member.name.rstrip('/'))} {{\n"
        yield f'{indent}  label={quoted(member.title)}; labeljust=l; style=rounded; color="#c4c4be"; bgcolor="#55555510";\n'
        yield from members(member, indent + "  ")
        yield indent + "}\n"


def look(box: Box) -> str:
    inside, edge = COLOURS[box.family]
    line = {"solid": "", "dashed": ",dashed", "dotted": ",dotted", "dashdot": ",dashed"}[box.style]
    return f'label={quoted(box.title, box.words)}, fillcolor="{inside}", color="{edge}", style="rounded,filled{line}"'


def quoted(*lines: str) -> str:
    """A string of the language; lines one under another."""
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
