"""Layered drawing, first half: who stands in which rank, and in which order, so that few arrows cross.

Sugiyama, Tagawa & Toda, Methods for visual understanding of hierarchical system structures, 1981.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

SWEEPS = 12
Id = Hashable


@dataclass(frozen=True)
class Edge:
    """From one node to another; each begins and ends so far from the middle lines of its nodes."""

    source: Id
    target: Id
    out: float = 0.0
    into: float = 0.0
    tag: Id = None  # what flows there: it tells two apart that run side by side


@dataclass
class Bend:
    """A place in a rank that a long arrow passes."""

    edge: Edge
    rank: int

    def __hash__(self) -> int:
        return hash((self.edge, self.rank))


@dataclass
class Ranks:
    """Nodes in order; `pieces` of the edges go from each rank to the next, `ways` tell which pieces an edge is made of."""

    rows: list[list[Id]]
    pieces: list[Edge] = field(default_factory=list)
    ways: dict[Edge, list[Id]] = field(default_factory=dict)


def ring(nodes: Iterable[Id], edges: Iterable[Edge]) -> set[Id]:
    """The nodes that lie on circles, or between two."""
    left = set(nodes)
    while True:
        within = [edge for edge in edges if edge.source in left and edge.target in left]
        kept = left & {edge.source for edge in within} & {edge.target for edge in within}
        if kept == left:
            return left
        left = kept


def ranked(nodes: list[Id], edges: list[Edge], top: set[Id], bottom: set[Id]) -> Ranks:
    """Longest paths from above; what nothing of the main stream flows into stands late; `top` and `bottom` at the ends."""
    rank = longest(nodes, edges, top)
    if bottom:
        rank |= dict.fromkeys(bottom, max((rank[node] + (node not in bottom) for node in nodes), default=0))
    made = Ranks([[] for _ in range(max(rank.values(), default=0) + 1)])
    for node in nodes:
        made.rows[rank[node]].append(node)
    for edge in edges:
        bends = [Bend(edge, between) for between in range(rank[edge.source] + 1, rank[edge.target])]
        for bend in bends:
            made.rows[bend.rank].append(bend)
        way: list[Id] = [edge.source, *bends, edge.target]
        made.ways[edge] = way
        for number, (one, other) in enumerate(zip(way, way[1:])):
            ends = (edge.out if number == 0 else 0.0, edge.into if number == len(way) - 2 else 0.0)
            made.pieces.append(Edge(one, other, *ends))
    untangle(made)
    return made


def longest(nodes: list[Id], edges: list[Edge], top: set[Id]) -> dict[Id, int]:
    """Node -> its rank.  Not by recursion: a net may be a thousand layers deep."""
    above, below = defaultdict(list), defaultdict(list)
    for edge in edges:
        above[edge.target].append(edge.source)
        below[edge.source].append(edge.target)
    rank: dict[Id, int] = {}
    stack = nodes[::-1]
    while stack:
        node = stack[-1]
        missing = [other for other in above[node] if other not in rank]
        if missing:
            stack += missing
        else:
            least = 0 if node in top or not top else 1
            rank[stack.pop()] = max((rank[other] + 1 for other in above[node]), default=least)
    main = reached(top or set(nodes[:1]), below)
    for node in sorted(nodes, key=lambda node: -rank[node]):
        if node not in main and below[node]:
            rank[node] = min(rank[other] for other in below[node]) - 1
    return rank


def reached(starts: set[Id], below: dict[Id, list[Id]]) -> set[Id]:
    """What flows from some nodes on: the main stream, beside which labels and constants stand as late as they can."""
    found, waiting = set(starts), list(starts)
    while waiting:
        fresh = set(below[waiting.pop()]) - found
        found |= fresh
        waiting += fresh
    return found


def untangle(ranks: Ranks) -> None:
    """Puts each node at the mean place of its neighbours, down and up again; the order with the fewest crossings holds."""
    above, below = defaultdict(list), defaultdict(list)
    for piece in ranks.pieces:
        above[piece.target].append((piece.source, piece.out))
        below[piece.source].append((piece.target, piece.into))
    best, fewest = [list(row) for row in ranks.rows], crossings(ranks)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        rows = ranks.rows if down else ranks.rows[::-1]
        neighbours = above if down else below
        for before, row in zip(rows, rows[1:]):
            places = {node: float(place) for place, node in enumerate(before)}
            now = {node: float(place) for place, node in enumerate(row)}

            def mean(node: Id) -> float:
                found = [places[other] + port * 1e-4 for other, port in neighbours[node] if other in places]
                return sum(found) / len(found) if found else now[node]

            row.sort(key=mean)
        count = crossings(ranks)
        if count < fewest:
            best, fewest = [list(row) for row in ranks.rows], count
    ranks.rows = best
    swap(ranks, fewest)


def swap(ranks: Ranks, fewest: int) -> None:
    """Neighbours change places where that undoes a crossing."""
    better = fewest > 0 and sum(map(len, ranks.rows)) < 400
    while better:
        better = False
        for row in ranks.rows:
            for place in range(len(row) - 1):
                row[place], row[place + 1] = row[place + 1], row[place]
                count = crossings(ranks)
                if count < fewest:
                    fewest, better = count, True
                else:
                    row[place], row[place + 1] = row[place + 1], row[place]


def crossings(ranks: Ranks) -> int:
    """How many pairs of pieces between two ranks cross."""
    place = {node: at for row in ranks.rows for at, node in enumerate(row)}
    level = {node: number for number, row in enumerate(ranks.rows) for node in row}
    between: dict[int, list[tuple[tuple[int, float], tuple[int, float]]]] = defaultdict(list)
    for piece in ranks.pieces:
        ends = (place[piece.source], piece.out), (place[piece.target], piece.into)
        between[level[piece.source]].append(ends)
    return sum(inversions([end for _, end in sorted(ends)]) for ends in between.values())


def inversions(ends: list[tuple[int, float]]) -> int:
    return sum(a > b for number, a in enumerate(ends) for b in ends[number + 1 :])
