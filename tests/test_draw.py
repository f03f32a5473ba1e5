"""dltrain draw: nothing overlaps, arrows run one way, the picture says what the net is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltrain.console import Console
from dltrain.dot import dot_text
from dltrain.draw import draw
from dltrain.errors import ConfigError
from dltrain.figure import Figure, measured
from dltrain.layout import GAP, Item, Plate, lay_out
from dltrain.ranks import Bend, Edge, Ranks, crossings, ranked
from dltrain.scene import Box, Group, Scene, scene_of
from dltrain.sketch import View, sketch
from dltrain.straight import places

ROOT = Path(__file__).parent.parent
BLOCKS = """
data: {source: digits, batch_size: 8, transform: [{resize: 32}]}
blocks:
  unit:
    params: {n: int, s: 1}
    net:
      - {name: conv1, type: Convolution, num_output: $n, kernel_size: 3, pad: 1, stride: $s, bottom: in}
      - {name: relu1, type: ReLU}
      - {name: conv2, type: Convolution, num_output: $n, kernel_size: 3, pad: 1}
      - {name: short, type: Convolution, num_output: $n, kernel_size: 1, stride: $s, bottom: in, when: s != 1}
      - {name: add, type: Eltwise, bottom: [conv2, short]}
  inception:
    net:
      - {name: one, type: Convolution, num_output: 16, kernel_size: 1, bottom: in}
      - {name: before3, type: Convolution, num_output: 8, kernel_size: 1, bottom: in}
      - {name: three, type: Convolution, num_output: 16, kernel_size: 3, pad: 1}
      - {name: before5, type: Convolution, num_output: 8, kernel_size: 1, bottom: in}
      - {name: five, type: Convolution, num_output: 16, kernel_size: 5, pad: 2}
      - {name: pool, type: Pooling, kernel_size: 3, stride: 1, pad: 1, bottom: in}
      - {name: pooled, type: Convolution, num_output: 16, kernel_size: 1}
      - {name: join, type: Concat, bottom: [one, three, five, pooled]}
net:
  - {name: conv, type: Convolution, num_output: 8, kernel_size: [5, 1], dilation: 2, stride: 2}
  - {name: stage1, type: unit, n: 8, repeat: 3}
  - {name: stage2, type: unit, n: 16, s: "$(2 if i == 1 else 1)", repeat: 3}
  - {name: in3, type: inception}
  - {name: aux, type: InnerProduct, num_output: 10, bottom: stage2/1/relu1, phase: train}
  - {name: early, type: SoftmaxWithLoss, bottom: [aux, label], loss_weight: 0.3, phase: train}
  - {name: ip, type: InnerProduct, num_output: 10, bottom: in3}
  - {name: late, type: SoftmaxWithLoss, bottom: [ip, label]}
  - {name: right, type: Accuracy, bottom: [ip, label], phase: test}
"""
UNET = """
data: {source: digits, batch_size: 2}
blocks:
  double: {params: {n: int}, net: [{name: a, type: Convolution, num_output: $n, kernel_size: 3, pad: 1}, {name: b, type: ReLU}]}
  up:
    inputs: [in, skip]
    net:
      - {name: up, type: Deconvolution, num_output: 4, kernel_size: 2, stride: 2, bottom: in}
      - {name: cat, type: Concat, bottom: [skip, up]}
      - {name: conv, type: double, n: 4}
net:
  - {name: enc1, type: double, n: 4}
  - {name: pool1, type: Pooling, kernel_size: 2, stride: 2}
  - {name: enc2, type: double, n: 4}
  - {name: pool2, type: Pooling, kernel_size: 2, stride: 2}
  - {name: middle, type: double, n: 4}
  - {name: dec2, type: up, bottom: [middle, enc2]}
  - {name: dec1, type: up, bottom: [dec2, enc1]}
  - {name: loss, type: EuclideanLoss, bottom: [dec1, enc1]}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    def make(text: str, collapse: bool = False, graph: str | None = None) -> Scene:
        (tmp_path / "net.yaml").write_text(text)
        return scene_of(View(sketch(str(tmp_path / "net.yaml"), ()), graph), collapse)

    return make


def boxes(scene: Scene) -> dict[str, Box]:
    return {box.name: box for box in scene.root.boxes()}


# --- what is drawn ---
def test_boxes_say_what_layers_are(scene: Any) -> None:
    found = boxes(scene(BLOCKS))
    said = {
        name: (found[name].words, found[name].family, found[name].style)
        for name in ("conv", "in3/join", "early", "right", "data")
    }
    assert said == {
        "conv": ("Convolution 5×1, /2, dilation 2, 8", "convolution", "solid"),
        "in3/join": ("Concat", "join", "solid"),
        "early": ("SoftmaxWithLoss · 0.3", "loss", "dashed"),
        "right": ("Accuracy", "metric", "dotted"),
        "data": ("", "data", "solid"),
    }
    assert found["data"].shape == "1×32×32" and found["in3/pool"].words == "Pooling max 3×3"
    assert [name for name in found if name.startswith("label")] == ["label for early", "label for late", "label for right"]
    assert {box.title for name, box in found.items() if name.startswith("label")} == {"label"}


def test_every_arrow_is_a_bottom(scene: Any) -> None:
    arrows = scene(UNET).arrows
    assert ("enc1/b", "dec1/cat") in arrows and ("enc1/b", "loss") in arrows and ("dec1/up", "dec1/cat") in arrows
    assert len(arrows) == len(set(arrows)) == 20


def test_graphs_are_cut(scene: Any) -> None:
    assert not {"late", "right", "early"} & boxes(scene(BLOCKS, graph="deploy")).keys()
    assert list(boxes(scene(BLOCKS, graph="to:stage1/1/relu1"))) == ["data", "conv", "stage1/1/conv1", "stage1/1/relu1"]


def test_repeats_fold(scene: Any) -> None:
    plain, folded = scene(BLOCKS), scene(BLOCKS, collapse=True)
    assert [group.title for group in folded.root.groups()] == ["stage1 × 3", "stage2", "1", "2 × 2", "in3"]
    assert len(boxes(plain)) - len(boxes(folded)) == 2 * 4 + 4
    assert ("stage1/1/add", "stage2/1/conv1") in folded.arrows and ("stage2/2/add", "in3/one") in folded.arrows
    assert all(a in boxes(folded) and b in boxes(folded) for a, b in folded.arrows)


def test_a_repeated_line_folds_into_one_box(scene: Any) -> None:
    text = "data: {source: digits}\nnet: [{name: ip, type: InnerProduct, num_output: 9, repeat: 4}, {name: out, type: ReLU}]\n"
    made = scene(text, collapse=True)
    assert [(box.name, box.title) for box in made.root.boxes()] == [("data", "data"), ("ip/1", "ip × 4"), ("out", "out")]
    assert made.arrows == [("data", "ip/1"), ("ip/1", "out")]


# --- layout ---
@st.composite
def graphs(draw: Any) -> tuple[list[str], list[Edge]]:
    """Nodes in order, each but the first reading some before it."""
    count = draw(st.integers(1, 14))
    nodes = [f"n{number}" for number in range(count)]
    edges = [Edge(nodes[other], nodes[number], draw(st.sampled_from([0.0, -9.0, 9.0])))
             for number in range(1, count) for other in sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))]  # fmt: skip
    return nodes, edges


@given(graphs(), st.data())
@settings(max_examples=60, deadline=None)
def test_ranks_run_one_way_and_neighbours_keep_apart(graph: tuple[list[str], list[Edge]], data: Any) -> None:
    nodes, edges = graph
    ranks = ranked(nodes, edges, set(), set())
    rank = {node: number for number, row in enumerate(ranks.rows) for node in row}
    assert sorted(node for node in rank if isinstance(node, str)) == sorted(nodes)
    assert all(rank[piece.target] == rank[piece.source] + 1 for piece in ranks.pieces)
    sides = {node: (5.0, 5.0) if isinstance(node, Bend) else (data.draw(st.integers(10, 60)) * 1.0, 30.0) for node in rank}
    x = places(ranks, sides, GAP)
    for row in ranks.rows:
        for one, other in zip(row, row[1:]):
            room = x[other] - sides[other][0] - x[one] - sides[one][1]
            assert room >= (GAP / 2 if isinstance(one, Bend) or isinstance(other, Bend) else GAP) - 1e-4


def test_a_chain_and_its_long_way_are_straight() -> None:
    nodes = ["in", "a", "b", "c", "add"]
    edges = [Edge("in", "a"), Edge("a", "b"), Edge("b", "c"), Edge("c", "add"), Edge("in", "add")]
    ranks = ranked(nodes, edges, set(), set())
    x = places(ranks, {node: (5.0, 5.0) if isinstance(node, Bend) else (20.0, 20.0) for row in ranks.rows for node in row}, 10)
    assert len({x[node] for node in nodes}) == 1
    bends = [x[node] for node in x if isinstance(node, Bend)]
    assert len(bends) == 3 and len(set(bends)) == 1 and abs(bends[0] - x["a"]) >= 35


def test_four_branches_stand_evenly_around_their_middle() -> None:
    nodes = ["in", "a", "b", "c", "d", "out"]
    edges = [Edge("in", one) for one in "abcd"] + [Edge(one, "out") for one in "abcd"]
    ranks = ranked(nodes, edges, set(), set())
    x = places(ranks, dict.fromkeys(nodes, (20.0, 20.0)), 10)
    assert crossings(ranks) == 0 and x["in"] == x["out"] == pytest.approx((x["a"] + x["d"]) / 2)


def test_crossings_are_undone() -> None:
    nodes = ["x", "y", "p", "q"]
    ranks = ranked(nodes, [Edge("x", "q"), Edge("y", "p")], set(), set())
    assert crossings(ranks) == 0
    assert crossings(Ranks([["x", "y"], ["p", "q"]], [Edge("x", "q"), Edge("y", "p")])) == 1


def within(inner: Item, outer: Item) -> bool:
    return (outer.across <= inner.across and outer.along <= inner.along
            and inner.across + inner.size[0] <= outer.across + outer.size[0] + 1e-6
            and inner.along + inner.size[1] <= outer.along + outer.size[1] + 1e-6)  # fmt: skip


def apart(a: Item, b: Item) -> bool:
    return (a.across + a.size[0] <= b.across + 1e-6 or b.across + b.size[0] <= a.across + 1e-6
            or a.along + a.size[1] <= b.along + 1e-6 or b.along + b.size[1] <= a.along + 1e-6)  # fmt: skip


def hold(plate: Plate, scene: Scene) -> None:
    """What must be so in every layout."""
    solid = [item for item in plate.items if not isinstance(item.thing, Group)]
    for number, one in enumerate(solid):
        assert all(apart(one, other) for other in solid[number + 1 :])
    frames = {item.thing.name: item for item in plate.items if isinstance(item.thing, Group)}
    for item in plate.items:
        if isinstance(item.thing, Box):
            for name, frame in frames.items():
                assert within(item, frame) if item.thing in list(frame.thing.boxes()) else apart(item, frame), name  # type: ignore[union-attr]
    for way in plate.ways:
        assert all(b <= d + 1e-6 for (_, b), (_, d) in zip(way.points, way.points[1:]))
    ends = sorted(way.target for way in plate.ways if way.target)
    assert ends == sorted(target for _, target in scene.arrows)


@pytest.mark.parametrize("text", [BLOCKS, UNET])
@pytest.mark.parametrize("direction", ["down", "right"])
@pytest.mark.parametrize("collapse", [False, True])
def test_nothing_overlaps(scene: Any, text: str, direction: Any, collapse: bool) -> None:
    made = scene(text, collapse)
    hold(lay_out(made, measured, direction), made)


@pytest.mark.parametrize("direction", ["down", "right"])
def test_drawn_texts_lie_apart(scene: Any, direction: Any) -> None:
    """The letters as matplotlib draws them, legend and titles of blocks included."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(scene(BLOCKS), direction)
    renderer = FigureCanvasAgg(figure.page).get_renderer()  # type: ignore[no-untyped-call]
    spans = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes.texts]
    assert len(spans) > 60 and {"stage1", "metric", "1×32×32"} <= {words for words, _ in spans}
    page = figure.page.bbox
    for number, (words, span) in enumerate(spans):
        assert page.x0 <= span.x0 and span.x1 <= page.x1 and page.y0 <= span.y0 and span.y1 <= page.y1, words
        for others, other in spans[number + 1 :]:
            assert min(span.x1, other.x1) <= max(span.x0, other.x0) or min(span.y1, other.y1) <= max(span.y0, other.y0), (
                words,
                others,
            )


def test_arrows_keep_clear_of_titles_and_shapes(scene: Any) -> None:
    """Straight parts of arrows do not cross the words beside them."""
    made = lay_out(scene(BLOCKS), measured, "down")
    shapes = [item for item in made.items if isinstance(item.thing, str)]
    for way in made.ways:
        for (a, b), (c, d) in zip(way.points, way.points[1:]):
            if a == c:
                for one in shapes:
                    crossed = one.across < a < one.across + one.size[0] and b < one.along + one.size[1] and one.along < d
                    assert not crossed, (one.thing, way)


def test_a_block_around_a_layer_that_stands_outside_is_opened() -> None:
    """a/1 -> x -> a/2: the block a cannot be one box."""
    inner = Group("a", "a", [Box("a/1", "1", "ReLU", "activation"), Box("a/2", "2", "ReLU", "activation")])
    made = Scene(Group("", "", [inner, Box("x", "x", "ReLU", "activation")]), [("a/1", "x"), ("x", "a/2")])
    plate = lay_out(made, measured, "down")
    at = {item.thing.name: item.along for item in plate.items if isinstance(item.thing, Box)}
    assert at["a/1"] < at["x"] < at["a/2"]
    assert not any(isinstance(item.thing, Group) for item in plate.items)


def test_a_line_may_have_the_name_of_a_block(scene: Any) -> None:
    text = "data: {source: digits}\nnet: [{name: a, type: ReLU}, {name: a/b, type: ReLU}, {name: a/c, type: ReLU}, {name: d, type: ReLU}]\n"
    made = scene(text)
    hold(lay_out(made, measured, "down"), made)
    assert made.arrows == [("data", "a"), ("a", "a/b"), ("a/b", "a/c"), ("a/c", "d")] and [
        g.title for g in made.root.groups()
    ] == ["a"]


# --- files ---
@pytest.mark.parametrize(
    ("name", "begin"), [("n.svg", b"<?xml"), ("n.png", b"\x89PNG"), ("n.pdf", b"%PDF"), ("n.dot", b"digraph")]
)
def test_forms(tmp_path: Path, name: str, begin: bytes) -> None:
    for file in (tmp_path / name, tmp_path / f"2{name}"):
        draw(str(ROOT / "configs/lenet.yaml"), (), None, str(file), "down", False, Console(quiet=True))
        assert file.read_bytes().startswith(begin)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"2{name}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"2{name}"])


def test_dot_has_clusters_and_shapes(scene: Any) -> None:
    text = dot_text(scene(BLOCKS), "right")
    assert "rankdir=LR" in text and 'subgraph "cluster stage1/1" {' in text
    assert '"stage1/1/conv1" -> "stage1/1/relu1" [label="8×12×16"];' in text
    assert 'label="early\\nSoftmaxWithLoss · 0.3"' in text and 'style="rounded,filled,dashed"' in text
    assert text.count("{") == text.count("}") and re.search(r'label="right\\nAccuracy".*dotted', text)


@pytest.mark.parametrize(
    ("out", "words"), [("net.jpg", "ends in .svg, .png, .pdf or .dot"), ("no/net.svg", "there is no folder no")]
)  # fmt: skip
def test_wrong_files_are_refused(out: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        draw("configs/lenet.yaml", (), None, out, "down", False, Console())


def test_without_matplotlib_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    config = str(ROOT / "configs/lenet.yaml")
    with pytest.raises(ConfigError, match=r"needs matplotlib: pip install 'dltrain\[plot\]'; \.dot needs nothing"):
        draw(config, (), None, str(tmp_path / "n.svg"), "down", False, Console())
    draw(config, (), None, str(tmp_path / "n.dot"), "down", False, Console())
    assert (tmp_path / "n.dot").is_file()


def test_the_command(command: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(UNET)
    done = command("draw", "net.yaml", "-o", "net.dot", "--graph", "to:pool2", "--direction", "right")
    assert done.returncode == 0 and done.stdout == "net.dot: 7 boxes, 6 arrows\n", done.stderr
    assert command("draw", "net.yaml").returncode == 2
