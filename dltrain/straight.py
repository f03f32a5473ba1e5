"""Layered drawing, second half: where in its rank each node stands, so that runs of arrows are straight.

Brandes & Köpf, Fast and simple horizontal coordinate assignment, Graph Drawing 2001: four layouts, one for each corner that
nodes may lean to, and of the four places of a node the mean of the middle two.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from dltrain.ranks import Bend, Edge, Id, Ranks

SMALL = 12.0  # points

Sides = dict[Id, tuple[float, float]]  # node -> how far it reaches before and behind its middle line


@dataclass
class Corner:
    """Rows and pieces as they look from one corner."""

    rows: list[list[Id]]
    pieces: list[Edge]
    sides: Sides
    weak: set[tuple[Id, Id]]  # pieces that shall not be straight at the cost of others


def places(ranks: Ranks, sides: Sides, gap: float) -> dict[Id, float]:
    """Node -> the place of its middle line; neighbours of a rank keep `gap` between them."""
    weak = weak_pieces(ranks) | crossed(ranks)
    four = []
    for upward in (False, True):
        for backward in (False, True):
            found = lean(seen_from(ranks, sides, weak, upward, backward), gap)
            four.append({node: -x for node, x in found.items()} if backward else found)
    spans = [extent(found, sides) for found in four]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    for number, (found, span) in enumerate(zip(four, spans)):
        move = high - span[1] if number % 2 else low - span[0]
        four[number] = {node: x + move for node, x in found.items()}
    x = {node: sum(sorted(found[node] for found in four)[1:3]) / 2 for row in ranks.rows for node in row}
    return centred(ranks, sides, gap, x)


def centred(ranks: Ranks, sides: Sides, gap: float, x: dict[Id, float]) -> dict[Id, float]:
    """Small steps: a run that many arrows fan out of, or into, stands in their middle; a passing arrow comes in straight."""
    run = {node: [node] for node in x}
    for piece in ranks.pieces:
        if abs(x[piece.source] + piece.out - x[piece.target] - piece.into) < 0.01 and run[piece.source] is not run[piece.target]:
            run[piece.source] += run[piece.target]
            for node in run[piece.target]:
                run[node] = run[piece.source]
    beside = {node: (row[at - 1 : at], row[at + 1 : at + 2]) for row in ranks.rows for at, node in enumerate(row)}
    fans: dict[int, list[float]] = defaultdict(list)
    for piece in ranks.pieces:
        if run[piece.source] is not run[piece.target]:
            aside = x[piece.target] + piece.into - x[piece.source] - piece.out
            fans[id(run[piece.source])].append(aside)
            fans[id(run[piece.target])].append(-aside)
    made = dict(x)
    for nodes in {id(one): one for one in run.values()}.values():
        asides = fans[id(nodes)]
        bends = not any(map(real, nodes))
        step = (min(asides, key=abs) if bends else sum(asides) / len(asides)) if asides else 0.0
        spare = gap / 2 if bends else 0.0  # an arrow alone needs less room
        rooms = [
            (-1, made[node] - made[other] - sides[other][1] - sides[node][0]) for node in nodes for other in beside[node][0]
        ] + [(1, made[other] - made[node] - sides[other][0] - sides[node][1]) for node in nodes for other in beside[node][1]]
        free = all(room - way * step >= gap - spare - 1e-6 for way, room in rooms)
        if (len(asides) > 2 or bends) and abs(step) <= SMALL and free:
            made |= {node: made[node] + step for node in nodes}
    return made


def extent(found: dict[Id, float], sides: Sides) -> tuple[float, float]:
    return min(x - sides[node][0] for node, x in found.items()), max(x + sides[node][1] for node, x in found.items())


def seen_from(ranks: Ranks, sides: Sides, weak: set[tuple[Id, Id]], upward: bool, backward: bool) -> Corner:
    """The same ranks turned so that the corner is above and before."""
    rows = [row[::-1] if backward else list(row) for row in ranks.rows]
    sign = -1 if backward else 1
    pieces = [Edge(p.source, p.target, sign * p.out, sign * p.into) for p in ranks.pieces]
    if upward:
        rows, pieces = rows[::-1], [Edge(p.target, p.source, p.into, p.out) for p in pieces]
        weak = {(b, a) for a, b in weak}
    turned = {node: (b, a) for node, (a, b) in sides.items()} if backward else sides
    return Corner(rows, pieces, turned, weak)


def weak_pieces(ranks: Ranks) -> set[tuple[Id, Id]]:
    """Where a way forks in two, the longer one stays straight; where two meet, likewise; a way around gives way."""
    above, below = defaultdict(list), defaultdict(list)
    for piece in ranks.pieces:
        above[piece.target].append(piece.source)
        below[piece.source].append(piece.target)
    height: dict[Id, int] = {}
    for row in ranks.rows[::-1]:
        height |= {node: real(node) + max((height[other] for other in below[node]), default=0) for node in row}
    depth: dict[Id, int] = {}
    for row in ranks.rows:
        depth |= {node: real(node) + max((depth[other] for other in above[node]), default=0) for node in row}
    weak: set[tuple[Id, Id]] = set()
    for ends, length, turned in ((below, height, False), (above, depth, True)):
        for node, others in ends.items():
            if len(set(others)) == 2:
                worth = {other: (real(other), length[other]) for other in others}
                best = max(worth.values())
                weak |= {(other, node) if turned else (node, other) for other in others if worth[other] < best}
    return weak


def real(node: Id) -> bool:
    return not isinstance(node, Bend)


def crossed(ranks: Ranks) -> set[tuple[Id, Id]]:
    """Pieces that cross one between two bends: long ways are straight first."""
    place = {node: at for row in ranks.rows for at, node in enumerate(row)}
    level = {node: number for number, row in enumerate(ranks.rows) for node in row}
    inner: dict[int, list[tuple[Id, Id]]] = defaultdict(list)
    outer: dict[int, list[tuple[Id, Id]]] = defaultdict(list)
    for piece in ranks.pieces:
        bends = isinstance(piece.source, Bend) and isinstance(piece.target, Bend)
        (inner if bends else outer)[level[piece.source]].append((piece.source, piece.target))
    return {
        (a, b) for number, pieces in outer.items() for a, b in pieces
        for c, d in inner[number] if (place[a] - place[c]) * (place[b] - place[d]) < 0
    }  # fmt: skip


def lean(corner: Corner, gap: float) -> dict[Id, float]:
    """Each node straight under a middle one of those above where it can be, everything as far before as it goes."""
    above = defaultdict(list)
    for piece in corner.pieces:
        above[piece.target].append(piece)
    root = {node: node for row in corner.rows for node in row}
    shift = dict.fromkeys(root, 0.0)
    taken: set[Id] = set()
    for before, row in zip(corner.rows, corner.rows[1:]):
        place = {node: at for at, node in enumerate(before)}
        last = -1
        for node in row:
            ups = sorted(above[node], key=lambda piece: (place[piece.source], piece.out))
            for middle in dict.fromkeys(((len(ups) - 1) // 2, len(ups) // 2)) if ups else ():
                up = ups[middle]
                free = up.source not in taken and (up.source, node) not in corner.weak and place[up.source] > last
                if root[node] == node and free:
                    root[node], last = root[up.source], place[up.source]
                    shift[node] = shift[up.source] + up.out - up.into
                    taken.add(up.source)
    return spread(corner, root, shift, gap)


def spread(corner: Corner, root: dict[Id, Id], shift: dict[Id, float], gap: float) -> dict[Id, float]:
    """The runs side by side: none nearer to the next than they may be in any rank, then each as near to what follows it."""
    after: dict[Id, dict[Id, float]] = defaultdict(dict)
    waits: dict[Id, int] = dict.fromkeys(root.values(), 0)
    for row in corner.rows:
        for one, other in zip(row, row[1:]):
            a, b = root[one], root[other]
            apart = corner.sides[one][1] + gap + corner.sides[other][0] + shift[one] - shift[other]
            if b not in after[a]:
                waits[b] += 1
            after[a][b] = max(after[a].get(b, apart), apart)
    order, ready = [], [run for run, count in waits.items() if not count]
    x = dict.fromkeys(waits, 0.0)
    while ready:
        run = ready.pop()
        order.append(run)
        for other, apart in after[run].items():
            x[other] = max(x[other], x[run] + apart)
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
    for run in reversed(order):
        room = min((x[other] - apart for other, apart in after[run].items()), default=x[run])
        x[run] = max(x[run], room)
    return {node: x[root[node]] + shift[node] for node in root}
