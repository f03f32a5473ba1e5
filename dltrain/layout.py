"""Where everything of a scene stands: each group is laid out by itself, then stands as one node in the group around it.

Places are (across, along): along is the way that the net runs, down or to the right; across is the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dltrain.ranks import Bend, Edge, Id, Ranks, ranked, ring
from dltrain.scene import Box, Group, Scene
from dltrain.straight import Sides, places

Direction = Literal["down", "right"]
Size = tuple[float, float]  # width, height
Measure = Callable[[str, str], Size]  # of a text in a style: name, words, shape, group

GAP = 14.0  # between neighbours in a rank
STEP = 13.0  # between ranks, where all arrows are straight; an arrowhead long
SLANT = 0.16  # and so much more for each point that an arrow moves aside
STEEPEST = 70.0
PAD = 9.0  # inside a group
LANE = 5.0  # on each side of a passing arrow
ROOM = (10.0, 6.0)  # around the words in a box, both sides together
LINES = 2.0  # between name and words
NEAR = 4.0  # from a line to its shape
SPREAD = 9.0  # between arrows that come in side by side


@dataclass
class Item:
    """A box, a group or a shape's words, its corner and its size."""

    thing: Box | Group | str
    across: float
    along: float
    size: tuple[float, float]  # across, along


@dataclass
class Way:
    """An arrow, or its part in one group: straight along between points of one `across`, else a smooth step."""

    points: list[tuple[float, float]]
    source: str
    target: str  # of the part that ends in a box; else ""


@dataclass
class Plate:
    """A group laid out, around its own middle line; arrows enter and leave at `ins` and `outs`, by the box they come from."""

    before: float = 0.0
    behind: float = 0.0
    length: float = 0.0
    ins: dict[str, float] = field(default_factory=dict)
    outs: dict[str, float] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)

    def moved(self, across: float, along: float) -> tuple[list[Item], list[Way]]:
        items = [Item(one.thing, one.across + across, one.along + along, one.size) for one in self.items]
        ways = [Way([(a + across, b + along) for a, b in one.points], one.source, one.target) for one in self.ways]
        return items, ways


@dataclass(frozen=True)
class Port:
    """Where the arrows from a box cross the edge of a group."""

    way: Literal["in", "out"]
    box: str


def lay_out(scene: Scene, measure: Measure, direction: Direction) -> Plate:
    return Layout(scene.root, scene.arrows, measure, direction).plate()


class Layout:
    """One group in the making."""

    def __init__(self, group: Group, arrows: list[tuple[str, str]], measure: Measure, direction: Direction) -> None:
        self.group, self.measure, self.direction = group, measure, direction
        inside = {box.name for box in group.boxes()}
        self.read = {source for source, _ in arrows}
        self.arrows = arrows
        mine = [(source, target) for source, target in arrows if source in inside or target in inside]
        members = list(group.members)
        while True:
            self.members = {member.name: member for member in members}
            self.home = {box.name: one.name for one in members for box in (one.boxes() if isinstance(one, Group) else [one])}
            pairs = [Edge(self.home.get(a, Port("in", a)), self.home.get(b, Port("out", a)), tag=a) for a, b in mine]
            pairs = [pair for pair in dict.fromkeys(pairs) if pair.source != pair.target]
            circle = ring([*self.members], pairs)
            broken = next((one for one in members if one.name in circle and isinstance(one, Group)), None)
            if broken is None:
                break
            at = members.index(broken)  # something outside stands between two of its layers: it cannot be one node
            members[at : at + 1] = broken.members
        self.plates = {one.name: Layout(one, arrows, measure, direction).plate() for one in members if isinstance(one, Group)}
        self.edges = [Edge(pair.source, pair.target, self.port(pair, "out"), self.port(pair, "in"), pair.tag) for pair in pairs]

    def port(self, pair: Edge, way: Literal["in", "out"]) -> float:
        end = pair.source if way == "out" else pair.target
        plate = self.plates.get(str(end)) if isinstance(end, str) else None
        if plate is None:
            return 0.0
        return (plate.outs if way == "out" else plate.ins)[str(pair.tag)]

    # --- sizes: (across, along) ---
    def turned(self, size: Size) -> Size:
        return size if self.direction == "down" else (size[1], size[0])

    def box_size(self, box: Box) -> Size:
        name, words = self.measure(box.title, "name"), self.measure(box.words, "words")
        if not box.words:
            return self.turned((name[0] + name[1] + ROOM[0], name[1] + ROOM[1]))
        return self.turned((max(name[0], words[0]) + ROOM[0], name[1] + LINES + words[1] + ROOM[1]))

    def shape_size(self, box: Box) -> Size:
        """Of the words beside the arrow; nobody sees those of a box that nobody reads."""
        return self.turned(self.measure(box.shape, "shape")) if box.shape and box.name in self.read else (0.0, 0.0)

    def sides(self, node: Id) -> tuple[float, float]:
        if not isinstance(node, str):
            return LANE, LANE
        if node in self.plates:
            return self.plates[node].before, self.plates[node].behind
        box = self.members[node]
        assert isinstance(box, Box)
        half, shape = self.box_size(box)[0] / 2, self.shape_size(box)[0]
        aside = NEAR + shape + LANE if shape else 0.0
        return (half, max(half, aside)) if self.direction == "down" else (max(half, aside), half)

    def length(self, node: Id) -> float:
        """Along, with the part of the arrow that the shape stands beside."""
        if not isinstance(node, str):
            return 0.0
        if node in self.plates:
            return self.plates[node].length
        box = self.members[node]
        assert isinstance(box, Box)
        shape = self.shape_size(box)[1]
        return self.box_size(box)[1] + (shape + NEAR if shape else 0.0)

    # --- the plate ---
    def plate(self) -> Plate:
        ports = list(dict.fromkeys(end for edge in self.edges for end in (edge.source, edge.target) if isinstance(end, Port)))
        top, bottom = ({port for port in ports if port.way == way} for way in ("in", "out"))
        ranks = ranked([*ports, *self.members], self.edges, set(top), set(bottom))
        nodes = [node for row in ranks.rows for node in row]
        sides: Sides = {node: self.sides(node) for node in nodes}
        across = places(ranks, sides, GAP)
        title = self.measure(self.group.title, "group") if self.group.title else (0.0, 0.0)
        starts, ends = self.lengthwise(ranks, across, bool(top), bool(bottom), title)
        made = Plate(length=ends[-1])
        made.before = -min((across[node] - sides[node][0] for node in nodes), default=0.0)
        made.behind = max((across[node] + sides[node][1] for node in nodes), default=0.0)
        made.ins = {port.box: across[port] for port in top}
        made.outs = {port.box: across[port] for port in bottom}
        for number, row in enumerate(ranks.rows):
            for node in row:
                self.put(made, node, across[node], starts[number])
        rank = {node: number for number, row in enumerate(ranks.rows) for node in row}
        self.route(made, ranks, across, rank, starts, ends)
        return self.framed(made, title) if self.group.title else made

    def lengthwise(
        self, ranks: Ranks, across: dict[Id, float], enters: bool, leaves: bool, title: Size
    ) -> tuple[list[float], list[float]]:
        """Where each rank starts and ends."""
        rank = {node: number for number, row in enumerate(ranks.rows) for node in row}
        aside = [0.0] * len(ranks.rows)
        for piece in ranks.pieces:
            move = abs(across[piece.source] + piece.out - across[piece.target] - piece.into)
            aside[rank[piece.source]] = max(aside[rank[piece.source]], move)
        head = (title[1] + PAD / 2 if self.direction == "down" else 0.0) if self.group.title else 0.0
        starts, ends, at = [], [], 0.0 if enters or not self.group.title else head + PAD
        for number, row in enumerate(ranks.rows):
            long = max((self.length(node) for node in row), default=0.0)
            long = head if enters and number == 0 else long
            starts.append(at)
            ends.append(at + long)
            at += long + (STEP if aside[number] < 0.5 else min(STEEPEST, STEP + 6 + SLANT * aside[number]))
        if self.group.title and not leaves:
            ends[-1] += PAD
        if self.direction == "right" and self.group.title:
            ends[-1] = max(ends[-1], title[0] + 2 * PAD)
        return starts, ends

    def put(self, made: Plate, node: Id, across: float, along: float) -> None:
        """A member and what stands beside it, at a middle line and a start."""
        if not isinstance(node, str):
            return
        if node in self.plates:
            items, ways = self.plates[node].moved(across, along)
            made.items += items
            made.ways += ways
            return
        box = self.members[node]
        assert isinstance(box, Box)
        size, shape = self.box_size(box), self.shape_size(box)
        made.items.append(Item(box, across - size[0] / 2, along, size))
        if shape[0]:
            aside = across + NEAR if self.direction == "down" else across - NEAR / 2 - shape[0]
            made.items.append(Item(box.shape, aside, along + size[1] + NEAR / 2, shape))

    def route(
        self, made: Plate, ranks: Ranks, across: dict[Id, float], rank: dict[Id, int], starts: list[float], ends: list[float]
    ) -> None:
        """The arrows, from the end of their source through the bends to the start of their target."""
        into = self.arrivals(ranks, across)
        for edge, way in ranks.ways.items():
            first, last = rank[edge.source], rank[edge.target]
            begin = starts[first] + (self.length(edge.source) if edge.source in self.plates else 0.0)
            if edge.source in self.members and edge.source not in self.plates:
                begin += self.box_size(self.members[str(edge.source)])[1]  # type: ignore[arg-type]
            points = [(across[edge.source] + edge.out, begin)]
            points.append((points[0][0], ends[first]))
            for bend in way[1:-1]:
                assert isinstance(bend, Bend)
                points += [(across[bend], starts[bend.rank]), (across[bend], ends[bend.rank])]
            points.append((across[edge.target] + edge.into + into.get(edge, 0.0), starts[last]))
            target = str(edge.target) if edge.target in self.members and edge.target not in self.plates else ""
            if isinstance(edge.target, Port):
                points[-1] = (points[-1][0], ends[last])
            made.ways.append(Way(points, str(edge.tag), target))

    def arrivals(self, ranks: Ranks, across: dict[Id, float]) -> dict[Edge, float]:
        """Arrows into one box come in side by side; one that comes straight comes into its middle."""
        found: dict[Edge, float] = {}
        targets: dict[Id, list[tuple[float, Edge]]] = {}
        for edge, way in ranks.ways.items():
            if edge.target in self.members and edge.target not in self.plates:
                come = across[way[-2]] + (edge.out if len(way) == 2 else 0.0) - across[edge.target]
                targets.setdefault(edge.target, []).append((come, edge))
        for target, coming in targets.items():
            if len(coming) == 1:
                continue
            coming.sort(key=lambda one: one[0])
            room = self.box_size(self.members[str(target)])[0] - 8.0  # type: ignore[arg-type]
            step = min(SPREAD, room / len(coming))
            middle = next((at for at, (come, _) in enumerate(coming) if abs(come) < 0.5), (len(coming) - 1) / 2)
            for at, (_, edge) in enumerate(coming):
                found[edge] = max(-room / 2, min(room / 2, (at - middle) * step))
        return found

    def framed(self, made: Plate, title: Size) -> Plate:
        """With room around and the group's own box; its title keeps clear of the arrows that come in."""
        made.before += PAD
        made.behind += PAD
        if self.direction == "down":
            made.before = max(made.before, PAD + title[0] + LANE - min(made.ins.values(), default=PAD + title[0] + made.before))
            made.behind = max(made.behind, PAD + title[0] + PAD - made.before)
        else:
            made.before += title[1]
        made.items.insert(0, Item(self.group, -made.before, 0.0, (made.before + made.behind, made.length)))
        return made
