"""The net: one set of weights, every graph cut from the same lines, and gradients that are the slopes of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.catalogue  # noqa: F401  fills the registries
from dltrain import config
from dltrain.engine import Engine
from dltrain.errors import ConfigError
from dltrain.layer import Blob, Layer
from dltrain.marks import parse
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.signature import OPS, In, Out, Update, op
from dltrain.plan.hazards import hazards
from dltrain.registry import FILLERS, LAYERS, SOLVERS
from dltrain.solvers.sgd import SGD
from dltrain.tensor import Shape
from dltrain.wiring import PHASES, Line

FIELDS = {"data": Shape((2, 6, 5)), "target": Shape((3,)), "label": Shape((), "index")}
RATES = {"lr": 0.0, "decay": 0.0}


def line(
    name: str,
    kind: str,
    bottom: Any = None,
    phases: Any = PHASES,
    params: Any = None,
    loss_weight: float | None = None,
    **keys: Any,
) -> Line:
    return Line(name, LAYERS[kind](**keys), bottom, frozenset(phases), params or {}, loss_weight)


def small() -> list[Line]:
    """Convolution, pooling, fully connected, softmax."""
    return [
        line("conv", "Convolution", num_output=3, kernel_size=(3,), pad=(1,)),
        line("pool", "Pooling", kernel_size=(2,), stride=(2,)),
        line("tanh", "TanH"), line("ip", "InnerProduct", num_output=4), line("loss", "SoftmaxWithLoss", ["ip", "label"]),
    ]  # fmt: skip


def wide() -> list[Line]:
    """Blobs read up to five times, joined by sums, products, maxima and concatenation, under two losses; in no order."""
    return [
        line("wrong", "EuclideanLoss", ["ip3", "target"], loss_weight=0.3), line("hit", "Accuracy", ["ip2", "label"]),
        line("c1", "Convolution", "data", num_output=3, kernel_size=(3,), pad=(1,)), line("s1", "Sigmoid"),
        line("cat", "Concat", ["max", "s1", "sum", "s1"]),
        line("c2", "Convolution", "s1", num_output=3, kernel_size=(3, 1), pad=(1, 0)),
        line("sum", "Eltwise", ["s1", "c2"], coeff=(1.0, -0.5)), line("prod", "Eltwise", ["sum", "c2"], operation="prod"),
        line("square", "Eltwise", ["prod", "prod"], operation="prod"), line("max", "Eltwise", ["square", "s1"], operation="max"),
        line("mean", "Pooling", "cat", kernel_size=(2,), stride=(2,), pool="mean"), line("t", "TanH"), line("flat", "Flatten"),
        line("ip1", "InnerProduct", num_output=5), line("ip2", "InnerProduct", "ip1", num_output=4),
        line("ip3", "InnerProduct", "flat", num_output=3), line("odds", "SoftmaxWithLoss", ["ip2", "label"], loss_weight=2.0),
        line("dead", "InnerProduct", "s1", num_output=7),
    ]  # fmt: skip


def made(lines: list[Line], fields: Any = FIELDS) -> Net:
    return Net(lines, dict(fields), batch=4, seed=3)


def batch(size: int, seed: int = 0, fields: Any = FIELDS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 3, (size, *shape)) if shape.dtype == "index" else rng.standard_normal((size, *shape))
            for name, shape in fields.items()}  # fmt: skip


class Bench:
    """A net on the reference back end in float64: its losses, its gradients, and its slopes."""

    def __init__(self, lines: list[Line], fields: Any = FIELDS, fast: bool = True) -> None:
        self.net, self.fast = made(lines, fields), fast
        self.engine = Engine(self.net, Reference(np.float64))
        self.parts = {part.name: part for part in self.net.store.segments.values()}
        rng = np.random.default_rng(5)
        for part in self.parts.values():
            self.w(part.name)[...] = 0.5 * rng.standard_normal(part.shape)

    def w(self, name: str) -> Any:
        return self.engine.memory.slot("w", self.parts[name])

    def g(self, name: str) -> Any:
        return self.engine.memory.slot("g", self.parts[name])

    def run(self, batch: Any) -> dict[str, float]:
        """One pass forward and backward; the losses, and fresh gradients in `g`."""
        self.engine.memory.memory(self.engine.memory.handles["g"])[...] = 0
        graph = self.engine.pass_through("train", batch, "train", fast=self.fast)
        return {name: float(self.engine.memory.memory(tensor, self.engine.plan)[0]) for name, tensor in graph.losses.items()}

    def total(self, batch: Any) -> float:
        return self.net.total_loss(self.run(batch), "train")

    def grads(self, batch: Any) -> dict[str, Any]:
        self.run(batch)
        return {name: self.g(name).copy() for name in self.parts}

    def slope(self, name: str, direction: Any, batch: Any, h: float = 1e-6) -> float:
        start = self.w(name).copy()
        totals = []
        for sign in (1, -1):
            self.w(name)[...] = start + sign * h * direction
            totals.append(self.total(batch))
        self.w(name)[...] = start
        return (totals[0] - totals[1]) / (2 * h)

    def check(self, batch: Any, tolerance: float = 1e-7) -> None:
        """Each parameter's gradient along random directions against the slope of the total loss."""
        rng = np.random.default_rng(6)
        grads = self.grads(batch)
        for name, part in self.parts.items():
            for _ in range(3):
                direction = rng.standard_normal(part.shape)
                slope = self.slope(name, direction, batch)
                assert slope == pytest.approx(float((direction * grads[name]).sum()), rel=tolerance, abs=tolerance), name


def layers(graph: Any, way: str) -> list[str]:
    return list(dict.fromkeys(call.layer for call in graph.calls if call.way == way))


# --- gradients of whole nets ---
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("lines", [small, wide])
def test_the_gradient_of_a_whole_net_is_the_slope_of_its_loss(lines: Any, size: int, fast: bool) -> None:
    Bench(lines(), fast=fast).check(batch(size))


def test_the_total_loss_is_the_weighted_sum() -> None:
    bench = Bench(wide())
    losses = bench.run(batch(4))
    assert set(losses) == {"odds", "wrong"}
    assert bench.total(batch(4)) == pytest.approx(2 * losses["odds"] + 0.3 * losses["wrong"])


def test_a_blob_read_twice_sums_its_gradients() -> None:
    lines = [
        line("s", "InnerProduct", num_output=1, bias_term=False),
        line("y", "Eltwise", ["s", "s"]),
        line("l", "EuclideanLoss", ["y", "t"]),
    ]
    fields = {"data": Shape((3,)), "t": Shape((1,))}
    bench = Bench(lines, fields)
    x = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
    bench.w("s.weight")[...] = [[1.0, -2.0, 0.5]]
    s = x @ bench.w("s.weight").T  # the loss is 1/4 sum of (2 s)^2
    assert bench.total({"data": x, "t": np.zeros((2, 1))}) == pytest.approx(float((s**2).sum()))
    np.testing.assert_allclose(bench.grads({"data": x, "t": np.zeros((2, 1))})["s.weight"], 2 * s.T @ x)


def test_gradients_of_several_passes_add_up_until_the_update() -> None:
    bench = Bench(small())
    apart = [bench.grads(batch(4, seed))["conv.weight"] for seed in (1, 2)]
    bench.run(batch(4, 1))
    bench.engine.pass_through("train", batch(4, 2), "train")
    np.testing.assert_allclose(bench.g("conv.weight"), apart[0] + apart[1], rtol=1e-12)


def test_batches_of_other_sizes_share_the_weights() -> None:
    bench = Bench(small())
    grads = [bench.grads({name: rows[:size] for name, rows in batch(6).items()})["ip.weight"] for size in (6, 2, 6)]
    np.testing.assert_array_equal(grads[0], grads[2])
    first, last = ({name: rows[part] for name, rows in batch(6).items()} for part in (slice(2), slice(2, 6)))
    np.testing.assert_allclose(
        grads[0], (2 * bench.grads(first)["ip.weight"] + 4 * bench.grads(last)["ip.weight"]) / 6, rtol=1e-9
    )


@pytest.mark.parametrize("lines", [small, wide])
@pytest.mark.parametrize("fast", [True, False])
def test_the_plans_have_no_hazards(lines: Any, fast: bool) -> None:
    engine = Engine(made(lines()), Reference(np.float64))
    for phase in PHASES:
        for size in (1, 4):
            assert hazards(engine.plan_of(engine.net.graph(phase, (size,)), fast=fast)) == []


# --- pruning ---
FREEZE = {"weight": {"freeze": True}, "bias": {"freeze": True}}


def chain(**params: Any) -> list[Line]:
    """Three fully connected layers, some of whose parameters are frozen."""
    return [line(name, "InnerProduct", num_output=3, params=params.get(name)) for name in ("a", "b", "c")] + [
        line("l", "EuclideanLoss", ["c", "target"])]  # fmt: skip


@pytest.mark.parametrize(
    ("frozen", "backward"), [((), "lcba"), ("a", "lcb"), ("ab", "lc"), ("b", "lcba"), ("bc", "lcba"), ("ac", "lcb"), ("abc", "")]
)
def test_backward_goes_only_where_a_parameter_is_below(frozen: str, backward: str) -> None:
    bench = Bench(chain(**dict.fromkeys(frozen, FREEZE)))
    graph = bench.net.graph("train", (4,))
    assert layers(graph, "forward") == ["a", "b", "c", "l"]
    assert layers(graph, "backward") == list(backward)
    assert not any("data.grad" in tensor.name for call in graph.calls for tensor in call.writes())
    learning = {f"{name}.{role}" for name in "abc" if name not in frozen for role in ("weight", "bias")}
    assert {name for name, grad in bench.grads(batch(4)).items() if grad.any()} == learning
    if backward:
        free = {name: part for name, part in bench.parts.items() if name in learning}
        bench.parts, whole = free, bench.parts
        bench.check(batch(4))
        bench.parts = whole


@pytest.mark.parametrize("role", ["weight", "bias"])
@pytest.mark.parametrize("said", [{"freeze": True}, {"lr_mult": 0.0}])
def test_one_of_two_parameters_may_be_frozen(role: str, said: Any) -> None:
    lines = small()
    for one in (lines[0], lines[3]):
        one.params = {role: said}
    bench = Bench(lines)
    assert {name.split(".")[1] for name, grad in bench.grads(batch(4)).items() if grad.any()} == {"weight", "bias"} - {role}
    assert {bench.parts[name].handle.grad is None for name in bench.parts if name.endswith(role)} == {True}
    assert [start for start, *_ in bench.net.store.table()] == [part.start for part in bench.parts.values() if not part.frozen]
    bench.parts = {name: part for name, part in bench.parts.items() if not part.frozen}
    bench.check(batch(4))


def test_backward_goes_only_where_a_loss_is_above() -> None:
    graph = made(wide()).graph("train", (4,))
    assert "dead" not in layers(graph, "forward") + layers(graph, "backward")
    assert "hit" in layers(graph, "forward")
    assert "hit" not in layers(graph, "backward")


def test_a_loss_without_weight_is_computed_and_teaches_nothing() -> None:
    lines = wide()
    lines[0].loss_weight = 0.0
    bench = Bench(lines)
    graph = bench.net.graph("train", (4,))
    assert "wrong" in layers(graph, "forward")
    assert not {"wrong", "ip3"} & set(layers(graph, "backward"))
    assert not bench.grads(batch(4))["ip3.weight"].any()


def test_other_phases_have_no_backward() -> None:
    net = made(wide())
    for phase in ("test", "deploy"):
        assert {call.way for call in net.graph(phase, (4,)).calls} == {"forward"}


# --- graphs of one net ---
def test_nothing_above_a_feature_is_computed() -> None:
    net = made(wide())
    assert layers(net.graph("test", (4,), upto=("c2",)), "forward") == ["c1", "s1", "c2"]
    assert layers(net.graph("train", (4,), upto=("odds",)), "backward") == []
    assert set(layers(net.graph("test", (4,), upto=("sum", "flat")), "forward")) == {
        "c1", "s1", "c2", "sum", "prod", "square", "max", "cat", "mean", "t", "flat"}  # fmt: skip
    assert layers(net.graph("test", (4,), upto=("dead",)), "forward") == ["c1", "s1", "dead"]
    assert list(net.graph("test", (4,), upto=("sum",)).inputs) == ["data"]


@pytest.mark.parametrize("name", ["c1", "s1", "sum", "square", "max", "cat", "flat", "ip1", "ip2"])
def test_a_feature_has_the_value_that_it_has_in_the_whole_net(name: str) -> None:
    bench = Bench(wide())
    bench.engine.forward("test", batch(4), upto=(name,))
    alone = bench.engine.blob(name)
    bench.engine.forward("test", batch(4), upto=("c1", "s1", "sum", "square", "max", "cat", "flat", "ip1", "ip2", "odds"))
    np.testing.assert_array_equal(alone, bench.engine.blob(name))
    assert alone.shape == bench.net.shapes["test"][name] and np.isfinite(alone).all()


def test_the_deploy_graph_has_no_loss_and_no_label() -> None:
    net = made(small())
    graph = net.graph("deploy", (4,))
    assert layers(graph, "forward") == ["conv", "pool", "tanh", "ip"]
    assert list(graph.inputs) == ["data"]
    assert (graph.losses, graph.tallies) == ({}, {})
    assert set(net.shapes["deploy"]) >= {"conv", "pool", "tanh", "ip"} and "loss" not in net.shapes["deploy"]


def test_the_deploy_graph_leaves_out_what_reads_a_label_and_has_what_is_for_test() -> None:
    lines = [
        line("a", "InnerProduct", num_output=3), line("noise", "Dropout", phases=["train"]),
        line("prob", "Softmax", phases=["test"]),
        line("twice", "Eltwise", ["target", "target"]), line("loss", "EuclideanLoss", ["prob", "twice"]),
    ]  # fmt: skip
    net = made(lines)
    assert layers(net.graph("deploy", (4,)), "forward") == ["a", "prob"]
    assert list(net.graph("deploy", (4,)).inputs) == ["data"]
    assert set(layers(net.graph("test", (4,)), "forward")) == {"a", "prob", "twice", "loss"}
    assert set(layers(net.graph("train", (4,)), "forward")) == {"a", "noise", "twice", "loss"}


def test_a_second_field_that_is_no_label_stays_in_the_deploy_graph(tmp_path: Path) -> None:
    """Deploy is test without what needs a label; an image with an age beside it is two inputs."""
    np.savez(tmp_path / "a.npz", data=np.zeros((8, 4), np.float32), age=np.zeros((8, 2), np.float32), label=np.arange(8) % 3)
    text = f"""\
data: {{source: {{type: arrays, file: {tmp_path / "a.npz"}}}}}
net:
  - {{name: both, type: Concat, bottom: [data, age]}}
  - {{name: ip, type: InnerProduct, num_output: 3}}
  - {{name: loss, type: SoftmaxWithLoss, bottom: [ip, label]}}
solver: {{type: SGD, base_lr: 0.1, max_iter: 1}}
"""
    net = config.read("net.yaml", document=parse(text, "net.yaml")).net
    graph = net.graph("deploy", (8,))
    assert layers(graph, "forward") == ["both", "ip"]
    assert list(graph.inputs) == ["data", "age"]


def test_a_graph_is_traced_once() -> None:
    net = made(small())
    assert net.graph("train", (4,)) is net.graph("train", (4,))
    others = [
        net.graph("train", (5,)),
        net.graph("test", (4,)),
        net.graph("test", (4,), "val"),
        net.graph("test", (4,), upto=("ip",)),
    ]
    assert len({id(graph) for graph in [net.graph("train", (4,)), *others]}) == 5


# --- parameters ---
def test_a_parameter_is_declared_once_for_all_phases_and_sizes() -> None:
    net = made(wide())
    before = [(part.name, part.start) for part in net.store.segments.values()]
    handles = {id(part.handle) for part in net.store.segments.values()}
    for phase in PHASES:
        for size in (1, 4, 9):
            for layer in net.graph(phase, (size,)).layers.values():
                assert {id(value) for value in vars(layer).values() if type(value).__name__ == "Param"} <= handles
    assert [(part.name, part.start) for part in net.store.segments.values()] == before
    assert net.store.closed


def test_layers_that_no_loss_needs_or_that_one_phase_has_are_declared_too() -> None:
    lines = [line("a", "InnerProduct", num_output=3), line("b", "InnerProduct", num_output=3, phases=["test"]),
             line("c", "InnerProduct", num_output=3, phases=["train"]), line("l", "EuclideanLoss", ["a", "target"])]  # fmt: skip
    assert {layer for layer, _ in made(lines).store.segments} == {"a", "b", "c"}


def test_parameters_lie_apart_and_aligned_in_the_flat_array() -> None:
    store = made(wide()).store
    parts = list(store.segments.values())
    assert all(part.start % 16 == 0 for part in parts)
    assert all(one.start + one.shape.count <= other.start for one, other in zip(parts, parts[1:]))
    assert store.size >= parts[-1].start + parts[-1].shape.count
    assert store.parameters == sum(part.shape.count for part in parts)


def test_a_line_takes_its_weights_from_a_wide_filler_where_a_relu_reads_it() -> None:
    net = made([line("a", "InnerProduct", num_output=3), line("r", "ReLU"), line("b", "InnerProduct", num_output=3),
                line("l", "EuclideanLoss", ["b", "target"])])  # fmt: skip
    assert {part.name: part.filler.type for part in net.store.segments.values()} == {
        "a.weight": "msra", "a.bias": "constant", "b.weight": "xavier", "b.bias": "constant"}  # fmt: skip


def test_a_shared_parameter_gathers_the_gradients_of_all_its_readers() -> None:
    both = {"weight": {"share": "a.weight"}, "bias": {"share": "a.bias"}}
    lines = [line("a", "InnerProduct", num_output=3), line("t", "TanH"), line("b", "InnerProduct", num_output=3, params=both),
             line("c", "InnerProduct", num_output=3, params={"weight": {"share": "a.weight"}}),
             line("l", "EuclideanLoss", ["c", "target"])]  # fmt: skip
    bench = Bench(lines, {"data": Shape((3,)), "target": Shape((3,))})
    assert list(bench.parts) == ["a.weight", "a.bias", "c.bias"]
    bench.check(batch(4, fields={"data": Shape((3,)), "target": Shape((3,))}))


def test_a_parameter_is_shared_only_with_one_that_is_there_and_fits() -> None:
    lines = [line("a", "InnerProduct", num_output=3),
             line("b", "InnerProduct", num_output=3, params={"weight": {"share": "a.wieght"}}),
             line("l", "EuclideanLoss", ["b", "target"])]  # fmt: skip
    with pytest.raises(ConfigError, match=r"cannot share 'a\.wieght': .*; did you mean 'a\.weight'\?"):
        made(lines)
    lines[1].params = {"weight": {"share": "a.weight"}}
    with pytest.raises(ConfigError, match=r"layer 'b' .*its weight is 3 x 60 .* 3 x 3"):
        made(lines)


def tied() -> list[Line]:
    turned = {"weight": {"share": "enc.weight", "transpose": True}}
    return [line("enc", "InnerProduct", num_output=4), line("t", "TanH"), line("dec", "InnerProduct", num_output=3, params=turned),
            line("l", "EuclideanLoss", ["dec", "data"])]  # fmt: skip


@pytest.mark.parametrize("fast", [True, False])
def test_a_matrix_may_stand_transposed_in_another_layer(fast: bool) -> None:
    bench = Bench(tied(), {"data": Shape((3,))}, fast=fast)
    assert list(bench.parts) == ["enc.weight", "enc.bias", "dec.bias"]
    x = batch(5, fields={"data": Shape((3,))})
    bench.check(x)
    w, b, c = bench.w("enc.weight"), bench.w("enc.bias"), bench.w("dec.bias")
    rebuilt = np.tanh(x["data"] @ w.T + b) @ w + c
    assert bench.total(x) == pytest.approx(((rebuilt - x["data"]) ** 2).sum() / 10)


def test_a_transposed_matrix_is_the_same_on_two_workers() -> None:
    """The gradient goes both ways into one matrix."""
    net, x = made(tied(), {"data": Shape((3,))}), batch(64, fields={"data": Shape((3,))})
    found = []
    for backend in (Reference(), Cpu(2)):
        engine = Engine(net, backend, SGD(base_lr=0.1, momentum=0.5))
        engine.initialise(3)
        for _ in range(4):
            engine.step([x], {"lr": 0.1, "decay": 0.0, "momentum": 0.5})
        found.append({name: array.copy() for name, array in engine.state_arrays().items()})
        engine.close()
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("said", [{"share": "enc.bias", "transpose": True}, {"share": "other.weight", "transpose": True}])
def test_only_a_matrix_of_the_turned_shape_may_stand_transposed(said: Any) -> None:
    lines = tied()
    lines[2].params = {"weight": said}
    lines.insert(1, line("other", "InnerProduct", num_output=5))
    with pytest.raises(
        ConfigError, match=r"layer 'dec' .*cannot share '\w+\.\w+' transposed: it is .*, and 3 x .* is wanted here"
    ):
        made(lines, {"data": Shape((3,))})


def test_any_blob_may_have_a_share_in_the_objective() -> None:
    lines = small()
    lines[2].loss_weight, lines[3].loss_weight, lines[4].name = 0.01, -0.02, "odds"
    bench = Bench(lines)
    losses = bench.run(batch(4))
    bench.engine.forward("test", batch(4), upto=("tanh", "ip"))
    sums = {name: float(bench.engine.blob(name).sum()) for name in ("tanh", "ip")}
    assert losses == pytest.approx({"odds": losses["odds"]} | sums, rel=1e-12)
    assert bench.total(batch(4)) == pytest.approx(losses["odds"] + 0.01 * sums["tanh"] - 0.02 * sums["ip"])
    bench.check(batch(4))


def test_a_bottom_that_nothing_is_sent_down_to_learns_nothing() -> None:
    lines = small()
    lines[3].propagate_down = (False,)
    bench = Bench(lines)
    grads = bench.grads(batch(4))
    assert {name for name, grad in grads.items() if grad.any()} == {"ip.weight", "ip.bias"}
    assert layers(bench.net.graph("train", (4,)), "backward") == ["loss", "ip"]


def test_first_values_depend_on_the_seed_and_the_name_alone() -> None:
    def first(lines: list[Line], seed: int) -> Any:
        engine = Engine(made(lines), Reference(np.float64))
        engine.initialise(seed)
        return engine.memory.slot("w", engine.net.store.segments["ip", "weight"]).copy()

    other = [line("early", "InnerProduct", "data", num_output=3), *small(), line("l2", "EuclideanLoss", ["early", "target"])]
    other[1].bottom, other[5].name = "data", "l1"
    np.testing.assert_array_equal(first(small(), 1), first(other, 1))
    assert not np.array_equal(first(small(), 1), first(small(), 2))


def test_a_filler_of_the_line_is_used() -> None:
    lines = small()
    lines[3].params = {"bias": {"filler": FILLERS["constant"](value=7.0)}}
    engine = Engine(made(lines), Reference(np.float64))
    engine.initialise(1)
    assert (engine.memory.slot("w", engine.net.store.segments["ip", "bias"]) == 7).all()


def test_a_role_that_a_layer_does_not_have_is_refused() -> None:
    lines = small()
    lines[3].params = {"wieght": {"lr_mult": 2.0}}
    with pytest.raises(ConfigError, match=r"layer 'ip' \(InnerProduct\): has no parameter 'wieght'; it has weight, bias"):
        made(lines)
    lines = small()
    lines[2].params = {"weight": {"lr_mult": 2.0}}
    with pytest.raises(ConfigError, match=r"layer 'tanh' \(TanH\): has no parameters; remove param"):
        made(lines)


def test_a_handle_in_a_field_is_our_mistake_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def setup(self: Any, x: Shape) -> Shape:
        self.num_output = 5
        return x

    monkeypatch.setattr(LAYERS["InnerProduct"], "setup", setup)
    with pytest.raises(
        TypeError, match=r"layer 'ip' \(InnerProduct\): setup changed the field 'num_output'; keep handles in other attributes"
    ):
        made(small())


def test_scores_are_the_losses_and_metrics_of_a_phase() -> None:
    lines = small()
    lines[4].name = "l"
    lines += [
        line("hit", "Accuracy", ["ip", "label"], phases=["test"]),
        line("l2", "SoftmaxWithLoss", ["ip", "label"], phases=["train"]),
    ]
    net = made(lines)
    assert net.scores("test") == {"l": False, "hit": True, "loss": False}
    assert net.scores("train") == {"l": False, "l2": False, "loss": False}


def test_only_the_loss_of_a_net_with_one_may_be_called_loss() -> None:
    """`loss` is the total; with two losses, the name of one of them would hide it."""
    lines = [*small(), line("second", "SoftmaxWithLoss", ["ip", "label"])]
    with pytest.raises(ConfigError, match="layer 'loss'"):
        made(lines)
    lines[4].name = "first"
    assert made(lines).scores("train") == {"first": False, "second": False, "loss": False}


# --- what layers of tomorrow need: states, and tops whose size depends on data ---
class Tally(Layer):
    """y = x + total, where total grows by the sum of x with each pass in train; one total, or one a split."""

    per_split: bool = False
    init: float = 3.0

    def setup(self, x: Shape) -> Shape:
        self.total = self.state("total", (1,), self.init, self.per_split)
        return x

    def forward(self, x: Blob, y: Blob) -> None:
        self.ops.trial_grow(x.data, self.total, y.data, self.train)

    def backward(self, x: Blob, y: Blob) -> None:
        self.ops.copy(y.grad, x.grad)


class Keep(Layer):
    """y = the rows of x whose flag is 1."""

    cuts = True
    fixed = ("flag",)

    def setup(self, x: Shape, flag: Shape) -> Shape:
        return Shape((x[0] if self.kept is None else self.kept, *x[1:]), x.dtype)

    def measure(self, x: Blob, flag: Blob) -> None:
        self.ops.trial_count(flag.data, self.rows)

    def forward(self, x: Blob, flag: Blob, y: Blob) -> None:
        self.ops.trial_pick(x.data, flag.data, y.data)

    def backward(self, x: Blob, flag: Blob, y: Blob) -> None:
        if x.wants_grad:
            self.ops.trial_pick_dx(flag.data, y.grad, x.grad)


def trial_grow(x: In, total: Update, y: Out, train: bool) -> None:
    if train:
        total += x.sum()
    y[...] = x + total


def trial_count(flag: In, rows: Out) -> None:
    rows[...] = (flag == 1).sum()


def trial_pick(x: In, flag: In, y: Out) -> None:
    y[...] = x[flag == 1]


def trial_pick_dx(flag: In, dy: In, dx: Out) -> None:
    dx[...] = 0
    dx[flag == 1] = dy


@pytest.fixture
def extras() -> Iterator[None]:
    """Two layers and their ops, known while a test runs."""
    functions = (trial_grow, trial_count, trial_pick, trial_pick_dx)
    for function in functions:
        op()(function)
    LAYERS.add("TrialTally")(Tally)
    LAYERS.add("TrialKeep")(Keep)
    yield
    for name in ("TrialTally", "TrialKeep"):
        del LAYERS[name]
    for function in functions:
        del OPS[function.__name__]


def test_the_layers_of_this_file_are_gone_after_their_test() -> None:
    assert not any(name.startswith("Trial") for name in LAYERS)
    assert not any(name.startswith("trial_") for name in OPS)


def counting(**keys: Any) -> list[Line]:
    return [
        line("c", "TrialTally", **keys),
        line("ip", "InnerProduct", num_output=3),
        line("l", "EuclideanLoss", ["ip", "target"]),
    ]


def value(bench: Bench, name: str, data: Any, phase: str = "test", split: str = "") -> Any:
    bench.engine.forward(phase, {"data": data, "target": np.zeros((len(data), 3))}, split, upto=(name,))
    return bench.engine.blob(name)


@pytest.mark.usefixtures("extras")
def test_a_state_lives_from_step_to_step_and_is_seen_by_all_phases() -> None:
    bench, ones = Bench(counting()), np.ones((2, 2, 6, 5))
    assert value(bench, "c", ones)[0, 0, 0, 0] == 1 + 3
    for steps, size in enumerate([2, 2, 1, 2], 1):  # 60 ones a sample
        bench.engine.step([{"data": ones[:size], "target": np.zeros((size, 3))}], RATES)
        assert bench.engine.state_arrays()["states/c.total"] == [3 + 60 * (2 * steps - (steps > 2))]
    assert value(bench, "c", ones)[0, 0, 0, 0] == value(bench, "c", ones, "deploy")[0, 0, 0, 0] == 1 + 3 + 60 * 7


@pytest.mark.usefixtures("extras")
def test_a_state_goes_back_to_its_beginning_with_a_reset() -> None:
    bench, ones = Bench(counting(init=-2.0)), np.ones((2, 2, 6, 5))
    for _ in range(3):
        bench.engine.step([{"data": ones, "target": np.zeros((2, 3))}], RATES)
    assert bench.engine.state_arrays()["states/c.total"] == [-2 + 3 * 120]
    bench.engine.reset()
    assert bench.engine.state_arrays()["states/c.total"] == [-2]


@pytest.mark.usefixtures("extras")
def test_a_state_may_be_put_back_where_it_was() -> None:
    bench, ones = Bench(counting()), np.ones((2, 2, 6, 5))
    bench.engine.step([{"data": ones, "target": np.zeros((2, 3))}], RATES)
    saved = {name: array.copy() for name, array in bench.engine.state_arrays().items() if name.startswith("states/")}
    other = Bench(counting())
    for name, array in saved.items():
        other.engine.state_arrays()[name][...] = array
    np.testing.assert_array_equal(value(other, "c", ones), value(bench, "c", ones))


@pytest.mark.usefixtures("extras")
def test_each_split_may_have_a_state_of_its_own() -> None:
    bench, ones = Bench(counting(per_split=True)), np.ones((2, 2, 6, 5))
    bench.engine.step([{"data": ones, "target": np.zeros((2, 3))}], RATES)
    assert value(bench, "c", ones, "train", "train")[0, 0, 0, 0] == 1 + 3 + 2 * 120
    assert value(bench, "c", ones, "test", "val")[0, 0, 0, 0] == 1 + 3
    assert value(bench, "c", ones, "test", "test")[0, 0, 0, 0] == 1 + 3


@pytest.mark.usefixtures("extras")
def test_the_gradient_passes_by_a_state() -> None:
    bench = Bench([line("ip0", "InnerProduct", num_output=4), line("c", "TrialTally"), *counting()[1:]])
    part, start = next(iter(bench.net.store.states.values())), 3.0
    direction = np.random.default_rng(1).standard_normal((4, 60))
    grads = bench.grads(batch(4))
    totals = []
    for sign in (1, -1):  # the sum over the batch is part of what is added: its share of the slope is taken off below
        bench.engine.memory.memory(part.handle)[...] = start
        bench.w("ip0.weight")[...] += sign * 1e-6 * direction
        totals.append(bench.total(batch(4)))
        bench.w("ip0.weight")[...] -= sign * 1e-6 * direction
    dy = 4 * (batch(4)["data"].reshape(4, 60) @ direction.T).sum() / 4  # how much the total moves, for each element of y
    bench.engine.memory.memory(part.handle)[...] = start
    moved = bench.grads(batch(4))
    np.testing.assert_allclose(moved["ip0.weight"], grads["ip0.weight"], rtol=1e-9)
    through = float((direction * grads["ip0.weight"]).sum()) + dy * float(grads["ip0.bias"].sum())
    assert (totals[0] - totals[1]) / 2e-6 == pytest.approx(through, rel=1e-6)


# --- a cut: the rows that pass are known only when the data are ---
CUT_FIELDS = {"data": Shape((5,)), "flag": Shape((), "index"), "label": Shape((), "index"), "target": Shape((2,))}


def cut_net() -> list[Line]:
    return [
        line("a", "InnerProduct", "data", num_output=4), line("t", "TanH"), line("k", "TrialKeep", ["t", "flag"]),
        line("b", "InnerProduct", "k", num_output=3), line("kept_label", "TrialKeep", ["label", "flag"]),
        line("after", "SoftmaxWithLoss", ["b", "kept_label"], loss_weight=1.5), line("hit", "Accuracy", ["b", "kept_label"]),
    ]  # fmt: skip


def cut_batch(size: int, kept: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    flag = rng.permutation(np.arange(size) < kept).astype(np.int32)
    return {
        "data": rng.standard_normal((size, 5)),
        "flag": flag,
        "label": rng.integers(0, 3, size),
        "target": rng.standard_normal((size, 2)),
    }


def by_hand(bench: Bench, batch: Any) -> tuple[float, Any]:
    """The loss after the cut, and the scores of what passed."""
    rows = batch["flag"] == 1
    t = np.tanh(batch["data"] @ bench.w("a.weight").T + bench.w("a.bias"))[rows]
    z = t @ bench.w("b.weight").T + bench.w("b.bias")
    logs = z - np.log(np.exp(z).sum(1, keepdims=True))
    picked = logs[np.arange(len(z)), batch["label"][rows]]
    return (float(-picked.mean()) if len(z) else 0.0), z


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 3, 8])
def test_forward_over_a_cut(kept: int, fast: bool) -> None:
    bench, given = Bench(cut_net(), CUT_FIELDS, fast), cut_batch(8, kept)
    assert bench.run(given)["after"] == pytest.approx(by_hand(bench, given)[0], rel=1e-12)
    assert bench.engine.graph is not None
    assert bench.engine.graph.demand.kept == (kept, kept)
    bench.engine.forward("test", given, upto=("b", "kept_label"))
    np.testing.assert_allclose(bench.engine.blob("b"), by_hand(bench, given)[1], rtol=1e-12)
    np.testing.assert_array_equal(bench.engine.blob("kept_label"), given["label"][given["flag"] == 1])


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 3, 8])
def test_the_gradient_over_a_cut_is_the_slope(kept: int, fast: bool) -> None:
    bench = Bench(cut_net(), CUT_FIELDS, fast)
    bench.check(cut_batch(8, kept))
    if kept == 0:
        assert not any(grad.any() for grad in bench.grads(cut_batch(8, 0)).values())


@pytest.mark.usefixtures("extras")
def test_sizes_may_follow_in_any_order_on_one_engine() -> None:
    bench = Bench(cut_net(), CUT_FIELDS)
    for seed, (size, kept) in enumerate([(8, 0), (8, 1), (8, 8), (8, 3), (8, 0), (2, 2), (16, 16), (8, 3), (16, 5), (8, 8)]):
        given = cut_batch(size, kept, seed)
        assert bench.run(given)["after"] == pytest.approx(by_hand(bench, given)[0], rel=1e-12), (size, kept)
        fresh = Bench(cut_net(), CUT_FIELDS)
        for name, grad in fresh.grads(given).items():
            np.testing.assert_allclose(bench.g(name), grad, rtol=1e-12, atol=1e-15, err_msg=f"{name} at {size}, {kept}")


@pytest.mark.usefixtures("extras")
def test_a_large_part_above_the_cut_does_not_forget_what_lies_below() -> None:
    """The graph above may need a larger arena than the one below; what was computed below must survive the move."""
    lines = cut_net()
    lines[3:4] = [line("wide", "InnerProduct", "k", num_output=5000), line("b", "InnerProduct", "wide", num_output=3)]
    bench, again = Bench(lines, CUT_FIELDS), Bench(lines, CUT_FIELDS)
    given = cut_batch(8, 6)
    again.run(given)
    first, second = bench.run(given)["after"], again.run(given)["after"]
    assert first == second
    for name, grad in again.grads(given).items():
        np.testing.assert_array_equal(bench.g(name), grad)


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize("kept", [0, 3, 8])
def test_losses_and_scores_below_a_cut_count_like_those_above(kept: int) -> None:
    lines = [*cut_net(), line("side", "InnerProduct", "t", num_output=2)]
    lines[2:2] = [line("aside", "InnerProduct", "t", num_output=2), line("below", "EuclideanLoss", ["aside", "target"])]
    bench, given = Bench(lines, CUT_FIELDS), cut_batch(8, kept)
    t = np.tanh(given["data"] @ bench.w("a.weight").T + bench.w("a.bias"))
    aside = t @ bench.w("aside.weight").T + bench.w("aside.bias")
    below = float(((aside - given["target"]) ** 2).sum() / 16)
    assert bench.run(given) == pytest.approx({"below": below, "after": by_hand(bench, given)[0]}, rel=1e-12)
    bench.check(given)
    bench.engine.forward("test", given)
    tallies = bench.engine.tallies()
    np.testing.assert_allclose(tallies["below"], [8 * below, 8], rtol=1e-12)
    assert tallies["after"][1] == tallies["hit"][1] == kept


@pytest.mark.usefixtures("extras")
def test_what_is_read_first_above_a_cut_is_filled_too() -> None:
    lines = [*cut_net()[:4], line("kept_target", "TrialKeep", ["target", "flag"]), line("c", "InnerProduct", "b", num_output=2),
             line("after", "EuclideanLoss", ["c", "kept_target"])]  # fmt: skip
    bench, given = Bench(lines, CUT_FIELDS), cut_batch(8, 5)
    z = by_hand(bench, given)[1] @ bench.w("c.weight").T + bench.w("c.bias")
    target = given["target"][given["flag"] == 1]
    assert bench.run(given)["after"] == pytest.approx(float(((z - target) ** 2).sum() / 10), rel=1e-12)


@pytest.mark.usefixtures("extras")
def test_one_update_over_a_cut_moves_the_weights_as_without() -> None:
    """All rows pass: the same step as a net without the cut."""
    plain = [one for one in cut_net() if one.layer.type != "TrialKeep"]
    plain[2].bottom, plain[3].bottom, plain[4].bottom = "t", ["b", "label"], ["b", "label"]
    found = []
    for lines in (cut_net(), plain):
        solver = SOLVERS["SGD"](base_lr=0.1, iter_size=2)
        engine = Engine(made(lines, CUT_FIELDS), Reference(np.float64), solver)
        engine.initialise(2)
        for seed in range(3):
            engine.step([cut_batch(8, 8, seed), cut_batch(6, 6, seed)], {"lr": 0.1, "decay": 0.0, "momentum": 0.0})
        found.append(engine.state_arrays())
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.usefixtures("extras")
def test_the_plans_around_a_cut_have_no_hazards() -> None:
    engine = Engine(made(cut_net(), CUT_FIELDS), Reference(np.float64))
    for kept in [(), (0,), (3,), (0, 0), (3, 3), (8, 8)]:
        graph = engine.net.graph("train", (8,), kept=kept)
        assert (graph.cut is None) == (len(kept) == 2)
        assert hazards(engine.plan_of(graph)) == []


@pytest.mark.usefixtures("extras")
def test_a_feature_below_the_cut_needs_no_cut() -> None:
    net = made(cut_net(), CUT_FIELDS)
    assert net.graph("test", (8,), upto=("t",)).cut is None
    assert net.graph("test", (8,), upto=("b",)).cut is not None
