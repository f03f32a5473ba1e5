"""How ops are declared and calls are traced."""

from typing import Any

import pytest

import dltrain.ops.reference  # noqa: F401  (declares the ops)
from dltrain.ops.signature import OPS, Add, In, Op, Out, Tracer, Update, op
from dltrain.tensor import Shape, Tensor


def tensor(name: str, *sizes: int) -> Tensor:
    return Tensor(name, Shape(sizes or (2, 3)))


@pytest.fixture
def ops(monkeypatch: Any) -> dict[str, Op]:
    """An empty list of ops, with three declared in it."""
    fresh: dict[str, Op] = {}
    monkeypatch.setattr("dltrain.ops.signature.OPS", fresh)

    @op(y="x1 x2")
    def blend(x1: In, x2: In, y: Out, share: float = 0.5) -> None: ...

    @op(flops=lambda args: args["times"] * args["x"].shape.count)
    def slopes(x: In, dw: Add, db: Add, times: int) -> None: ...

    @op()
    def move(w: Update, slots: Update, xs: In) -> None: ...

    return fresh


def test_each_argument_has_the_mode_of_its_annotation(ops: Any) -> None:
    assert ops["blend"].modes == {"x1": "in", "x2": "in", "y": "out"}
    assert ops["slopes"].modes == {"x": "in", "dw": "add", "db": "add"}
    assert ops["move"].modes == {"w": "update", "slots": "update", "xs": "in"}
    assert ops["blend"].parameters == ("x1", "x2", "y", "share")


def test_an_output_may_share_the_memory_of_the_inputs_that_are_named(ops: Any) -> None:
    assert ops["blend"].shares == {"y": ("x1", "x2")}
    assert ops["move"].shares == {}


def test_annotations_may_be_text(ops: Any) -> None:
    @op()
    def scale(x: "In", y: "Out") -> None: ...

    assert scale.modes == {"x": "in", "y": "out"}


def test_the_same_name_twice_is_refused(ops: Any) -> None:
    with pytest.raises(TypeError, match="op 'move' is declared twice"):

        @op()
        def move(x: In, y: Out) -> None: ...


def test_a_call_knows_what_it_reads_and_writes(ops: Any) -> None:
    calls: list[Any] = []
    x, w, g, a, b = (tensor(name) for name in "xwgab")
    Tracer(calls).slopes(x, w, g, 3)
    Tracer(calls).move(w, (a, b), xs=(x,))
    assert (calls[0].reads(), calls[0].writes()) == ([x, w, g], [w, g])
    assert (calls[1].reads(), calls[1].writes()) == ([w, a, b, x], [w, a, b])


def test_a_call_has_its_layer_its_way_and_its_defaults(ops: Any) -> None:
    calls: list[Any] = []
    tracer = Tracer(calls, "mix1")
    tracer.way = "backward"
    tracer.blend(tensor("a"), tensor("b"), tensor("c"))
    assert (calls[0].layer, calls[0].way, calls[0].args["share"]) == ("mix1", "backward", 0.5)
    assert str(calls[0]) == "mix1.backward: blend(x1=a[2, 3], x2=b[2, 3], y=c[2, 3], share=0.5)"


@pytest.mark.parametrize(("dw", "db", "emitted"), [(True, True, 1), (True, False, 1), (False, True, 1), (False, False, 0)])
def test_a_call_is_emitted_only_where_somebody_wants_a_result(dw: bool, db: bool, emitted: int, ops: Any) -> None:
    calls: list[Any] = []
    Tracer(calls).slopes(tensor("x"), tensor("dw") if dw else None, tensor("db") if db else None, 1)
    assert len(calls) == emitted


def test_a_call_without_outputs_at_all_is_not_emitted(ops: Any) -> None:
    calls: list[Any] = []
    Tracer(calls).blend(tensor("a"), tensor("b"), None)
    assert calls == []


def test_an_unknown_op_is_named() -> None:
    with pytest.raises(AttributeError, match="there is no op 'convv'"):
        Tracer([]).convv(tensor("x"))


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3, 4, 5)])
def test_a_wrong_number_of_arguments_is_refused_when_traced(arguments: Any, ops: Any) -> None:
    with pytest.raises(TypeError, match="argument"):
        Tracer([]).blend(*arguments)


def test_the_arithmetic_is_what_the_op_says_else_one_for_each_element(ops: Any) -> None:
    calls: list[Any] = []
    Tracer(calls).slopes(tensor("x", 4, 5), tensor("dw"), None, 7)
    Tracer(calls).blend(tensor("a"), tensor("b"), tensor("c"))
    assert calls[0].op.flops(calls[0].args) == 140
    assert calls[1].op.flops(calls[1].args) == 18


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_reads_from_and_writes_to_what_it_has(name: str) -> None:
    made = OPS[name]
    assert (made.function.__doc__ or "").strip(), "the docstring is the definition"
    assert set(made.modes.values()) & {"out", "add", "update"}, "an op makes something"
    for out, inputs in made.shares.items():
        assert made.modes[out] == "out"
        assert all(made.modes[one] == "in" for one in inputs)
