"""Who reads what: names, roles, what stands above, lines that are left out, rings, and any order of the lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain.errors import ConfigError
from dltrain.layer import Layer
from dltrain.net import Net
from dltrain.registry import LAYERS
from dltrain.tensor import Shape
from dltrain.wiring import PHASES, Line, Ref, Roles, matches

FIELDS = {"data": Shape((6,)), "more": Shape((6,)), "label": Shape((), "index")}


def line(name: str, kind: str = "ReLU", bottom: Any = None, phases: Any = PHASES, **keys: Any) -> Line:
    needed = {"InnerProduct": {"num_output": 3}, "Pooling": {"kernel_size": (2,)}}.get(kind, {})
    return Line(name, LAYERS[kind](**needed | keys), bottom, frozenset(phases), path=("net", name))


def net(*lines: Line, fields: Any = FIELDS) -> Net:
    return Net(list(lines), dict(fields), batch=4)


def told(*lines: Line, fields: Any = FIELDS) -> list[tuple[tuple[Any, ...], str]]:
    """(place, message) of each mistake."""
    found: list[tuple[tuple[Any, ...], str]] = []
    Net(list(lines), dict(fields), 4, report=lambda path, message: found.append((tuple(path), message)))
    return found


def read_by(made: Net, name: str) -> list[str]:
    """What a line reads, by name."""
    refs = next(one.refs for one in made.lines if one.name == name)
    return [ref.field or (f"{ref.number:g}" if ref.number is not None else made.lines[ref.line].tops[ref.top]) for ref in refs]


# --- what stands above ---
def test_a_line_without_bottom_reads_the_line_above_and_the_first_the_first_field() -> None:
    made = net(line("a"), line("b"), line("c", "InnerProduct"))
    assert [read_by(made, name) for name in "abc"] == [["data"], ["a"], ["b"]]


def test_losses_and_metrics_are_never_read_implicitly() -> None:
    made = net(
        line("a", "InnerProduct"),
        line("loss", "SoftmaxWithLoss", ["a", "label"]),
        line("hit", "Accuracy", ["a", "label"]),
        line("b"),
    )
    assert read_by(made, "b") == ["a"]
    first = net(line("loss", "EuclideanLoss", ["data", "more"]), line("b"))
    assert read_by(first, "b") == ["data"]


def test_a_line_that_is_left_out_of_a_phase_is_still_the_line_above() -> None:
    made = net(line("a"), line("b", "InnerProduct", phases=["train"]), line("c"))
    assert read_by(made, "c") == ["b"]


@pytest.mark.parametrize(
    ("kind", "example"), [("SoftmaxWithLoss", "x, label"), ("EuclideanLoss", "a, b"), ("Accuracy", "x, label")]
)
def test_losses_and_metrics_name_what_they_read(kind: str, example: str) -> None:
    assert told(line("a"), line("l", kind)) == [
        (("net", "l"), f"layer 'l' ({kind}): must name what it reads; add bottom: [{example}]")
    ]


def test_a_layer_of_many_bottoms_may_read_the_one_above() -> None:
    assert read_by(net(line("a"), line("c", "Concat")), "c") == ["a"]


def test_without_a_source_there_is_nothing_above_the_first_line() -> None:
    assert told(line("a"), fields={}) == [
        (("net", "a"), "layer 'a' (ReLU): there is nothing above to read; add a data section, or bottom: …")
    ]


# --- named bottoms ---
def test_a_bottom_is_a_name_a_list_or_a_mapping() -> None:
    made = net(line("a"), line("b", bottom="data"), line("c", bottom=["a"]), line("d", bottom={"x": "b"}),
               line("l", "SoftmaxWithLoss", ["d", "label"]),
               line("m", "SoftmaxWithLoss", {"label": "label", "x": "c"}))  # fmt: skip
    assert {one.name: read_by(made, one.name) for one in made.lines} == {
        "a": ["data"], "b": ["data"], "c": ["a"], "d": ["b"], "l": ["d", "label"], "m": ["c", "label"]}  # fmt: skip


def test_a_number_is_a_constant_blob() -> None:
    made = Net([line("e", "Eltwise", ["n", 2.5])], {"n": Shape(())}, batch=1)
    assert made.lines[0].refs == [Ref(field="n"), Ref(number=2.5)]
    assert made.shapes["train"]["e"] == (1,)


class Pick(Layer):
    """y = x, with two optional bottoms that must not be mistaken for each other."""

    def setup(self, x: Shape, cont: Shape | None = None, h0: Shape | None = None) -> Shape:
        self.got = {"x": x, "cont": cont, "h0": h0}
        if h0 is not None and h0.dtype == "index":
            raise TypeError("h0 got what was meant for cont")
        return x

    def forward(self, x: Any, *others: Any) -> None:
        self.ops.copy(x.data, others[-1].data)

    def backward(self, x: Any, *others: Any) -> None:
        self.ops.copy(others[-1].grad, x.grad)


@pytest.fixture
def pick() -> Any:
    LAYERS.add("TestPick")(Pick)
    yield
    del LAYERS["TestPick"]


@pytest.mark.usefixtures("pick")
def test_a_role_in_the_middle_may_be_left_out() -> None:
    """{x: a, h0: b} gives b as h0 and nothing as cont; or it is refused, but b never becomes cont."""
    found: list[str] = []
    made = Net(
        [line("p", "TestPick", {"x": "data", "h0": "more"})], dict(FIELDS), 4, report=lambda path, message: found.append(message)
    )
    if not found:
        layer = made.graph("test", (4,)).layers["p"]
        assert isinstance(layer, Pick)
        assert layer.got == {"x": (4, 6), "cont": None, "h0": (4, 6)}


@pytest.mark.usefixtures("pick")
def test_roles_are_the_arguments_of_setup() -> None:
    assert Roles.of(LAYERS["TestPick"]()) == Roles(["x", "cont", "h0"], 1, False)
    assert Roles.of(LAYERS["SoftmaxWithLoss"]()) == Roles(["x", "label", "weight"], 2, False)
    assert Roles.of(LAYERS["Concat"]()) == Roles([], 1, True)
    assert [str(Roles.of(LAYERS[kind]())) for kind in ("ReLU", "Concat")] == ["x", "any number of bottoms"]


@pytest.mark.parametrize(("one", "place", "message"), [
    (line("b", bottom="mroe"), ("bottom", 0), "layer 'b' (ReLU): there is no blob 'mroe'; did you mean 'more'?"),
    (line("b", bottom=["aaa"]), ("bottom", 0), "layer 'b' (ReLU): there is no blob 'aaa'; …"),
    (line("b", bottom={"x": "dat"}), ("bottom", "x"), "layer 'b' (ReLU): there is no blob 'dat'; did you mean 'data'?"),
    (line("b", bottom={"y": "a", "x": "a"}), ("bottom", "y"), "layer 'b' (ReLU): has no bottom 'y'; …"),
    (line("b", bottom=["a", "data"]), ("bottom",), "layer 'b' (ReLU): reads 1 bottoms (x), not 2…"),
    (line("b", bottom=[]), ("bottom",), "layer 'b' (ReLU): reads 1 bottoms (x), not 0…"),
    (line("b", "SoftmaxWithLoss", bottom="a"), ("bottom",),
     "layer 'b' (SoftmaxWithLoss): reads 2 to 3 bottoms (x, label, weight), not 1…"),
    (line("b", "SoftmaxWithLoss", bottom={"x": "a"}), ("bottom",),
     "layer 'b' (SoftmaxWithLoss): needs the bottom 'label'; add label: …"),
    (line("b", "Concat", bottom=[]), ("bottom",), "layer 'b' (Concat): reads …"),
    (line("b", bottom=True), ("bottom", 0), "layer 'b' (ReLU): there is no blob 'True'; …"),
    (line("b", bottom=[["a"]]), ("bottom", 0), "layer 'b' (ReLU): there is no blob '['a']'; …"),
    (line("a", bottom="data"), ("name",), "layer 'a' (ReLU): the name 'a' is also the name of line 1 of the net; choose another"),
    (line("label", bottom="data"), ("name",), "layer 'label' (ReLU): the name 'label' is a field of the source; choose another"),
])  # fmt: skip
def test_a_wrong_name_is_told_once_with_the_way_out(one: Line, place: Any, message: str) -> None:
    found = told(line("a", "InnerProduct"), one)
    assert len(found) == 1, found
    assert found[0][0] == ("net", one.name, *place)
    assert found[0][1].startswith(message.removesuffix("…")) and (message.endswith("…") or found[0][1] == message)
    assert "; " in found[0][1]


def test_a_mistake_stops_a_net_that_nobody_reports_to() -> None:
    with pytest.raises(ConfigError, match="there is no blob 'c'"):
        net(line("a"), line("b", bottom="c"))


# --- any order, and rings ---
def test_lines_that_name_their_bottoms_may_stand_anywhere() -> None:
    made = net(
        line("l", "SoftmaxWithLoss", ["c", "label"]),
        line("c", "InnerProduct", "b"),
        line("b", bottom="a"),
        line("a", bottom="data"),
    )
    assert [made.lines[number].name for number in made.order] == ["a", "b", "c", "l"]
    assert made.shapes["train"]["c"] == (4, 3)
    assert [call.layer for call in made.graph("test", (4,)).calls][:2] == ["a", "b"]


def test_lines_keep_the_order_of_the_file_where_they_can() -> None:
    made = net(line("a"), line("b", bottom="data"), line("c", bottom="a"), line("d", bottom="data"))
    assert made.order == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_in_any_order_every_reader_follows_what_it_reads(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    above = [data.draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else [] for number in range(count)]
    bottoms = [[f"n{other}" for other in others] or ["data"] for others in above]
    mixed = data.draw(st.permutations(range(count)))
    made = net(*(line(f"n{number}", "Concat", bottoms[number]) for number in mixed))
    place = {made.lines[number].name: at for at, number in enumerate(made.order)}
    assert sorted(made.order) == list(range(count))
    assert all(place[bottom] < place[f"n{number}"] for number in range(count) for bottom in bottoms[number] if bottom != "data")


def test_a_long_net_may_stand_upside_down() -> None:
    count = 3000
    made = net(*(line(f"n{number}", bottom=f"n{number + 1}" if number + 1 < count else "data") for number in range(count)))
    assert made.order == list(reversed(range(count)))


@pytest.mark.parametrize(("edges", "ring"), [
    ({"a": "a"}, ["a"]), ({"a": "b", "b": "a"}, ["a", "b"]), ({"a": "b", "b": "c", "c": "a"}, ["a", "b", "c"]),
    ({"x": "a", "a": "b", "b": "c", "c": "b"}, ["b", "c"]),
    ({"a": "data", "b": "c", "c": "d", "d": "b", "e": "d"}, ["b", "c", "d"]),
])  # fmt: skip
def test_a_ring_is_named_once(edges: dict[str, str], ring: list[str]) -> None:
    found = told(*(line(name, bottom=bottom) for name, bottom in edges.items()))
    names = " reads ".join([*ring, ring[0]])
    assert found == [(("net", ring[0], "bottom"), f"the net runs in a circle: {names}; break it at one bottom")]


def test_two_rings_are_both_named() -> None:
    found = told(line("a", bottom="b"), line("b", bottom="a"), line("c", bottom="d"), line("d", bottom="c"))
    assert [message.split("; ")[0] for _, message in found] == [
        "the net runs in a circle: a reads b reads a", "the net runs in a circle: c reads d reads c"]  # fmt: skip


def test_a_ring_through_one_of_several_bottoms_is_found() -> None:
    found = told(line("a", "Eltwise", ["data", "b"]), line("b", "Concat", ["data", "a"]))
    assert [message.split("; ")[0] for _, message in found] == ["the net runs in a circle: a reads b reads a"]


# --- lines that are left out ---
def shapes(made: Net, phase: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in made.shapes[phase].items() if name not in FIELDS}


def test_what_is_left_out_is_passed_through_to_its_first_bottom() -> None:
    made = net(line("a", "InnerProduct"), line("b", "Concat", ["a", "data"], phases=["train"]), line("c", "Flatten"))
    assert shapes(made, "train") == {"a": (4, 3), "b": (4, 9), "c": (4, 9)}
    assert shapes(made, "test") == shapes(made, "deploy") == {"a": (4, 3), "c": (4, 3)}


def test_several_lines_in_a_row_may_be_left_out() -> None:
    made = net(
        line("a", "InnerProduct"), line("b", phases=["train"]), line("c", phases=["train"]), line("d", phases=["test"]), line("e")
    )
    for phase, calls in [("train", ["a", "b", "c", "e"]), ("test", ["a", "d", "e"]), ("deploy", ["a", "d", "e"])]:
        assert [call.layer for call in made.graph(phase, (4,), upto=("e",)).calls] == calls


def test_the_first_line_may_be_left_out() -> None:
    made = net(line("a", phases=["train"]), line("b", "InnerProduct"))
    graph = made.graph("test", (4,))
    assert [call.layer for call in graph.calls] == ["b"]
    assert list(graph.inputs) == ["data"]


# --- patterns ---
@pytest.mark.parametrize(("pattern", "name", "found"), [
    ("*.bias", "conv1.bias", True), ("*.bias", "conv1.weight", False), ("conv1", "conv1.weight", True),
    ("conv1", "conv10.weight", False),
    ("conv*", "conv10.weight", True), ("conv?.weight", "conv1.weight", True), ("conv?.weight", "conv10.weight", False),
    ("*", "a.b", True),
    ("[ab]", "a.weight", True), ("Conv1", "conv1.weight", False), ("*weight", "conv1.weight", False),
    ("*.*", "conv1.weight", True),
])  # fmt: skip
def test_a_pattern_with_a_dot_is_for_parameters_and_without_for_layers(pattern: str, name: str, found: bool) -> None:
    assert matches(pattern, name) is found


def test_the_later_pattern_and_then_the_line_itself_decide() -> None:
    one = line("a", "InnerProduct")
    one.rules = {"*": {"lr_mult": 2.0, "decay_mult": 3.0}, "*.bias": {"lr_mult": 4.0}}
    one.params = {"bias": {"decay_mult": 5.0}}
    assert (one.spec("weight").lr_mult, one.spec("weight").decay_mult) == (2.0, 3.0)
    assert (one.spec("bias").lr_mult, one.spec("bias").decay_mult) == (4.0, 5.0)


def test_a_line_weighs_its_loss() -> None:
    loss, layer = line("l", "EuclideanLoss", ["data", "more"]), line("a")
    assert (
        loss.weight,
        layer.weight,
        Line("l", loss.layer, loss_weight=0.0).weight,
        Line("l", loss.layer, loss_weight=-2.0).weight,
    ) == (1, 0, 0, -2)
