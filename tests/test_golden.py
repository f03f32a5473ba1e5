"""Golden values: layers and solvers against what the original Caffe computed (../shared/golden, where it is there)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dltrain.fillers
import dltrain.layers
import dltrain.ops.reference
import dltrain.solvers  # noqa: F401  (these four fill the registries)
from dltrain.engine import Engine
from dltrain.fields import Span
from dltrain.layer import Layer, Shape
from dltrain.net import Net
from dltrain.ops.backend import Reference
from dltrain.ops.cpu import Cpu
from dltrain.ops.signature import OPS
from dltrain.registry import LAYERS, POLICIES, SOLVERS
from dltrain.solver import Horizon, Policy, Solver
from dltrain.testing import Trial
from dltrain.wiring import Line

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
TOLERANCE = 1e-5  # of the largest value
RUN = Horizon(max_iter=10, per_epoch=Fraction(4))  # 20 rows, batches of 5
SKIPPED = {
    "dropout_train": "the mask is drawn by Caffe's own generator",
    "scale_axis0": "a parameter cannot belong to a sample: ours refuses axis 0 without a second bottom",
    "lstm_unit": "LSTMUnit is a part of Caffe's LSTM and no layer of its own, neither there nor here",
}
ZERO = {("bn_train_inplace_scale", "c/1")}  # only rounding: the bias before a BatchNorm has no effect
STEMS = {"Im2col": "convolution", "Deconvolution": "convolution", "InnerProduct": "inner_product", "SoftmaxWithLoss": "softmax",
         "BatchNorm": "batch_norm", "LSTM": "recurrent", "RNN": "recurrent"}  # fmt: skip
INTEGERS = ("SoftmaxWithLoss", "Accuracy", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss")  # x, label: classes
ELSEWHERE = {"weight_filler", "bias_filler", "filler", "engine", "force_nd_im2col", "stable_prod_grad", "expose_hidden"}
FIELDS = {"round_mode": "round"}
ENUMS = ("operation", "pool", "round_mode", "norm_region", "normalization")

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")


# --- Caffe's text format ---
def message(words: Iterator[str]) -> dict[str, list[Any]]:
    """{field: all its values} up to the closing brace."""
    made: dict[str, list[Any]] = {}
    for field in words:
        if field == "}":
            break
        word = next(words)
        made.setdefault(field, []).append(message(words) if word == "{" else literal(word))
    return made


def literal(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    try:
        return float(word) if re.search(r"[.e]", word) else int(word)
    except ValueError:
        return word.strip('"')


def read(text: str) -> dict[str, list[Any]]:
    return message(iter(re.findall(r'"[^"]*"|[{}]|[^\s{}:"]+', text)))


def stem(kind: str) -> str:
    plain = kind.removesuffix("Loss") + ("_loss" if kind.endswith("Loss") else "")
    return STEMS.get(kind, plain.lower())


def per_axis(keys: dict[str, Any], name: str, short: str) -> dict[str, tuple[int, ...]]:
    """kernel_size: 3 5, or kernel_h: 3 kernel_w: 5, where the other is what it is without a word."""
    if name in keys:
        return {name: tuple(keys[name])}
    if not {f"{short}_h", f"{short}_w"} & set(keys):
        return {}
    usual = 0 if short == "pad" else 1
    return {name: tuple(keys.get(f"{short}_{side}", [usual])[0] for side in "hw")}


def translate(kind: str, line: dict[str, Any], train: bool) -> Layer:
    """A layer of ours from a layer of theirs."""
    keys = dict(line.get(f"{stem(kind)}_param", [{}])[0])
    made: dict[str, Any] = {}
    for name, short in {"kernel_size": "kernel", "stride": "stride", "pad": "pad", "dilation": "dilation"}.items():
        made |= per_axis(keys, name, short)
        keys = {key: value for key, value in keys.items() if key not in (name, f"{short}_h", f"{short}_w")}
    for name in ("coeff", "offset", "slice_point"):
        if name in keys:
            values = keys.pop(name)
            made[name] = values[0] if kind == "Reduction" else tuple(map(float if name == "coeff" else int, values))
    if "shape" in keys:
        made["shape"] = tuple(keys.pop("shape")[0]["dim"])
    if kind in ("SoftmaxWithLoss", "InfogainLoss", "SigmoidCrossEntropyLoss"):
        keys |= line.get("loss_param", [{}])[0]
    if "normalize" in keys:
        made["normalization"] = "valid" if keys.pop("normalize")[0] else "batch_size"
    for name, values in keys.items():
        if name not in ELSEWHERE:
            value = values[0].lower() if name in ENUMS else values[0]
            made[FIELDS.get(name, name)] = "mean" if value == "ave" else value
    made |= habits(kind, line, train, keys)
    return LAYERS[kind](**made)


def habits(kind: str, line: dict[str, Any], train: bool, keys: dict[str, Any]) -> dict[str, Any]:
    """What Caffe does without a word for it."""
    if kind in ("Slice", "Split"):
        return {"tops": len(line["top"])}
    if kind == "BatchNorm":
        return {"affine": False, "use_global_stats": keys.get("use_global_stats", [None if train else True])[0]}
    if kind in ("LSTM", "RNN"):
        return {"time_major": True, "truncate_state": True, "carry": not keys.get("expose_hidden", [False])[0]}
    return {}


class Step:
    """A layer of theirs as one of ours, in our exam's Trial, with the blobs it reads and writes."""

    def __init__(self, chain: Chain, line: dict[str, Any], bottoms: list[str], tops: list[str]) -> None:
        self.kind, self.bottoms, self.tops = line["type"][0], bottoms, tops
        self.train = chain.train or self.kind == "BatchNorm"  # whose gradient is known in both phases
        self.layer = translate(self.kind, line, chain.train)
        self.xs = [chain.blobs[bottom] for bottom in bottoms]
        self.adapt(chain)
        shapes = [Shape(x.shape, "index" if x.dtype.kind == "i" else "float") for x in self.xs]
        self.trial = Trial(self.layer, shapes, chain.backend, self.train, fast=chain.backend.name != "reference")
        self.keys = {part.role: chain.key(line, number) for number, part in enumerate(self.trial.store.segments.values())}
        self.params = {role: chain.golden[f"param/{key}"] for role, key in self.keys.items()}
        self.places = [f"{line['name'][0]}/{number}" for number in range(3)] if self.kind == "BatchNorm" else []

    def adapt(self, chain: Chain) -> None:
        """Labels are integers of the shape of the places, states have no axis of time, a file is one we read."""
        if self.kind in INTEGERS:
            places = list(self.xs[0].shape)
            del places[self.layer.axis]  # type: ignore[attr-defined]
            self.xs[1] = self.xs[1].reshape(places).astype(np.int32)
        if self.kind == "Embed":
            self.xs[0] = self.xs[0].astype(np.int32)
        if self.kind == "BatchReindex":
            self.xs[1] = self.xs[1].astype(np.int32)
        if self.kind in ("LSTM", "RNN") and not self.layer.carry:  # type: ignore[attr-defined]
            self.expose()
        if self.kind == "Filter":
            self.layer.kept = int(np.count_nonzero(self.xs[-1]))
        if self.kind == "Parameter":
            self.xs = [np.zeros(1, np.float32)]  # one sample: once
        if getattr(self.layer, "source", None):
            raw = bytes(chain.golden[f"file/{self.layer.source}"])  # type: ignore[attr-defined]
            at, size = raw.index(b"\x2a\x64") + 2, self.xs[0].shape[1]
            np.save(chain.folder / "H.npy", np.frombuffer(raw[at : at + 4 * size**2], "<f4").reshape(size, size))
            self.layer.source = str(chain.folder / "H.npy")  # type: ignore[attr-defined]

    def expose(self) -> None:
        """With expose_hidden the third bottom is a state; ours has the static input there."""
        plain = type(self.layer)

        def setup(layer: Any, x: Shape, cont: Shape, h0: Shape, c0: Shape | None = None) -> Any:
            return plain.setup(layer, x=x, cont=cont, h0=h0, **({"c0": c0} if c0 else {}))

        self.layer.__class__ = type("Exposed", (plain,), {"setup": setup})

    def run(self, chain: Chain, dys: list[Any]) -> Any:
        """Begins with the states as they were at first."""
        for state, place in zip(self.trial.store.states.values(), self.places or [None] * 9, strict=False):
            self.trial.memory.logical(state.handle)[...] = chain.golden[f"param/{place}"] if place else state.init
        return self.trial.run(self.xs, dys, self.params)

    def forward(self, chain: Chain) -> list[Any]:
        tops: list[Any] = self.run(chain, [np.zeros(shape) for shape in self.trial.promised])[0]
        for state, place in zip(self.trial.store.states.values(), self.places, strict=False):
            chain.states[place] = self.trial.memory.logical(state.handle).copy()
        return tops

    def again(self, chain: Chain) -> list[Any]:
        """Forward once more, from the states as they are."""
        self.xs = [chain.blobs[bottom] for bottom in self.bottoms]
        tops: list[Any] = self.trial.run(self.xs, [np.zeros(shape) for shape in self.trial.promised], self.params)[0]
        return tops

    def backward(self, chain: Chain, dys: list[Any]) -> Any:
        shapes = self.trial.promised
        dys = [np.reshape(dy, shape) for dy, shape in zip(dys, shapes)] + [np.zeros(shape) for shape in shapes[len(dys) :]]
        return self.run(chain, dys)[1:]


class Chain:
    """A small net of theirs, run layer by layer, forward and then backward."""

    def __init__(self, golden: Any, backend: Reference, folder: Path) -> None:
        self.golden, self.backend, self.folder = golden, backend, folder
        self.train = json.loads(bytes(golden["meta"]))["phase"] == "TRAIN"
        self.blobs = {name[3:]: golden[name] for name in golden if name.startswith("in/")}
        self.diffs: dict[str, Any] = {name[8:]: golden[name] for name in golden if name.startswith("topdiff/")}
        self.pdiffs: dict[str, Any] = {}
        self.states: dict[str, Any] = {}  # after the forward pass
        self.owners: dict[str, str] = {}  # name of a shared parameter -> its place in the file
        self.places: dict[str, str] = {}  # the place of each parameter -> that of its owner
        self.loss, self.steps = 0.0, []
        for line in read(bytes(golden["prototxt"]).decode())["layer"]:
            if line["type"] != ["Input"]:
                self.forward(line)

    def forward(self, line: dict[str, Any]) -> None:
        kind, bottoms, tops = line["type"][0], line.get("bottom", []), line.get("top", [])
        pairs = kind in ("Convolution", "Deconvolution", "InnerProduct")
        for some, made in [([b], [t]) for b, t in zip(bottoms, tops, strict=True)] if pairs else [(bottoms, tops)]:
            step = Step(self, line, some, made)
            self.blobs |= {top: y.reshape(self.golden[f"blob/{top}"].shape) for top, y in zip(made, step.forward(self))}
            self.steps.append(step)
            if made:
                self.weigh(made[0], line.get("loss_weight", [float(kind.endswith("Loss"))])[0])

    def again(self, number: int) -> None:
        """The next batch."""
        self.blobs |= {name.split("/", 2)[2]: self.golden[name] for name in self.golden if name.startswith(f"step{number}/in/")}
        for step in self.steps:
            self.blobs |= dict(zip(step.tops, step.again(self)))

    def key(self, line: dict[str, Any], number: int) -> str:
        place, params = f"{line['name'][0]}/{number}", line.get("param", [])
        shared = params[number].get("name", [place])[0] if number < len(params) else place
        self.places[place] = self.owners.setdefault(shared, place)
        return self.places[place]

    def weigh(self, top: str, weight: float) -> None:
        if weight:
            self.loss += weight * float(self.blobs[top].sum())
        if weight and f"topdiff/{top}" not in self.golden:
            self.diffs[top] = np.full(self.blobs[top].shape, weight)

    def backward(self) -> dict[str, Any]:
        """The gradient by each blob; of a blob that is worked on in place, the one by its first value."""
        made = dict(self.diffs)
        for step in reversed(self.steps):
            dys = [self.diffs.pop(top, np.zeros_like(self.blobs[top])) for top in step.tops]
            dxs, grads = step.backward(self, dys)
            for bottom, dx in zip(step.bottoms, dxs):
                if dx is not None:
                    self.diffs[bottom] = self.diffs.get(bottom, 0) + dx
                    made[bottom] = self.diffs[bottom]
            for role, grad in grads.items():
                self.pdiffs[step.keys[role]] = self.pdiffs.get(step.keys[role], 0) + grad
        return made

    def close(self) -> None:
        for step in self.steps:
            step.trial.close()
        self.backend.close()


def hold(name: str, found: Any, expected: Any) -> None:
    """The largest error over the largest value; what an empty window gives is exact."""
    found, empty = np.reshape(found, np.shape(expected)), np.abs(expected) > 1e38
    assert np.array_equal(found[empty], expected[empty]), name
    error, size = np.abs(found - expected)[~empty].max(initial=0), np.abs(expected)[~empty].max(initial=0)
    assert error <= TOLERANCE * size, f"{name}: off by {error:.3g}, values up to {size:.3g}"


BACKENDS = {"reference": lambda: Reference(np.float32), "cpu": lambda: Cpu(2, strict=True)}


def cases() -> list[Any]:
    files = sorted(GOLDEN.glob("cases/*.prototxt"))
    return [pytest.param(file.with_suffix(".npz"), id=file.stem) for file in files] or [None]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("file", cases())
def test_a_layer_computes_what_caffe_computes(file: Path, backend: str, tmp_path: Path) -> None:
    if file.stem in SKIPPED:
        pytest.skip(SKIPPED[file.stem])
    with np.load(file) as values:
        golden = dict(values)
    missing = {line["type"][0] for line in read(bytes(golden["prototxt"]).decode())["layer"]} - set(LAYERS)
    if missing:
        pytest.skip(f"there is no layer {', '.join(missing)} yet")
    chain = Chain(golden, BACKENDS[backend](), tmp_path)
    try:
        compare(file.stem, golden, chain)
    finally:
        chain.close()


def compare(case: str, golden: Any, chain: Chain) -> None:
    meta = json.loads(bytes(golden["meta"]))
    for top in {top for step in chain.steps for top in step.tops}:
        hold(f"top {top}", chain.blobs[top], golden[f"blob/{top}"])
    hold("loss", chain.loss, golden["loss"])
    for place, state in chain.states.items():
        hold(f"state {place}", state, golden[f"param_after/{place}"] if chain.train else golden[f"param/{place}"])
    if meta["backward"] and meta["force_backward"] and all(step.train for step in chain.steps):
        compare_gradients(case, golden, chain)
    for number in range(1, meta["extra_steps"] + 1):
        chain.again(number)
        for top in {top for step in chain.steps for top in step.tops}:
            hold(f"top {top} of batch {number + 1}", chain.blobs[top], golden[f"step{number}/blob/{top}"])


def compare_gradients(case: str, golden: Any, chain: Chain) -> None:
    """Of the cases in which Caffe is forced to make them; the others hold zeros."""
    for name, diff in chain.backward().items():
        hold(f"gradient by {name}", diff, golden[f"diff/{name}"])
    for place in [name[6:] for name in golden if name.startswith("pdiff/") and name[6:] not in chain.states]:
        found = chain.pdiffs[chain.places[place]]
        if (case, place) in ZERO:
            assert np.abs(found).max() <= 1e-4, place
        else:
            hold(f"gradient by parameter {place}", found, golden[f"pdiff/{place}"])


# --- whole nets: wired, planned and fused as in a run ---
WHOLE = ("net_cifar_quick_like", "net_resblock", "two_losses_shared_feature", "loss_weight_consumed", "loss_weight_elementwise",
         "split_auto", "shared_weights", "parameter_layer", "silence", "slice_even", "split_explicit", "filter",
         "bn_train_inplace_scale", "concat_axis1", "eltwise_same_bottom", "conv_group2", "ip_basic")  # fmt: skip


class Whole:
    """A net of theirs as a Net of ours; what has no loss above gets one whose gradient is theirs: sum of top times topdiff."""

    def __init__(self, golden: Any, backend: Reference) -> None:
        self.golden, self.at, self.lines = golden, {}, []
        self.places: dict[str, str] = {}  # our name of a parameter -> its place in their file
        self.owners: dict[str, str] = {}  # their name of a shared parameter -> our name of the first
        self.batch = {name[3:]: golden[name] for name in golden if name.startswith("in/")}
        for line in read(bytes(golden["prototxt"]).decode())["layer"]:
            if line["type"] != ["Input"]:
                self.add(line)
        weighed = json.loads(bytes(golden["meta"]))["loss_weights"]
        for name in [name[8:] for name in golden if name.startswith("topdiff/") and name[8:] not in weighed]:
            self.batch[f"topdiff_{name}"] = golden[f"topdiff/{name}"]
            pull = LAYERS["Eltwise"](operation="prod")
            self.lines.append(Line(f"pull_{name}", pull, [self.at[name], f"topdiff_{name}"], loss_weight=1.0))
        fields = {name: Shape(x.shape[1:], "index" if x.dtype.kind == "i" else "float") for name, x in self.batch.items()}
        self.engine = Engine(Net(self.lines, fields, len(next(iter(self.batch.values())))), backend)
        for part in self.engine.net.store.segments.values():
            self.engine.memory.slot("w", part)[...] = golden[f"param/{self.places[part.name]}"]

    def add(self, line: dict[str, Any]) -> None:
        kind, name = line["type"][0], line["name"][0]
        layer, bottoms = translate(kind, line, True), [self.at.get(bottom, bottom) for bottom in line.get("bottom", [])]
        if kind in INTEGERS:
            self.batch[bottoms[1]] = self.batch[bottoms[1]].astype(np.int32)
        roles = [name, *(f"{name}.{role}" for role in layer.top_roles(len(bottoms)))]
        self.at |= dict(zip(line.get("top", []), roles))
        params: dict[str, Any] = {}
        for number, role in enumerate(("scale", "bias") if kind == "Scale" else ("weight", "bias")):
            self.places[f"{name}.{role}"] = f"{name}/{number}"
            shared = dict(enumerate(line.get("param", []))).get(number, {}).get("name", [None])[0]
            if shared is not None and (owner := self.owners.setdefault(shared, f"{name}.{role}")) != f"{name}.{role}":
                params[role] = {"share": owner}
        self.lines.append(Line(name, layer, bottoms, params=params, loss_weight=line.get("loss_weight", [None])[0]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", WHOLE)
def test_a_net_computes_what_caffe_computes(case: str, backend: str) -> None:
    with np.load(GOLDEN / "cases" / f"{case}.npz") as values:
        golden = dict(values)
    whole = Whole(golden, BACKENDS[backend]())
    engine, tops = whole.engine, {top: ref for top, ref in whole.at.items() if ref in whole.engine.net.shapes["train"]}
    assert tops or case == "silence"
    if case != "filter":  # whose topdiff has fewer samples
        engine.forward("train", whole.batch)
        graph, plan = engine.graph, engine.plan
        assert graph is not None and plan is not None
        losses = {name: float(engine.memory.memory(made, plan)[0]) for name, made in graph.losses.items() if "pull" not in name}
        weights = {line.name: line.weight for line in whole.lines}
        hold("loss", sum(weights[name] * loss for name, loss in losses.items()), golden["loss"])
        for part in engine.net.store.segments.values():
            place = whole.places[part.name]
            if (case, place) not in ZERO and case != "silence":
                hold(f"gradient by parameter {place}", engine.memory.slot("g", part), golden[f"pdiff/{place}"])
    engine.forward("train", whole.batch, upto=tuple(tops.values()))
    for top, ref in tops.items():
        hold(f"top {top}", engine.blob(ref), golden[f"blob/{top}"])
    engine.close()


# --- solvers ---
def policy_of(settings: dict[str, Any]) -> Policy:
    policy = {name: settings[name] for name in ("gamma", "power") if name in settings}
    if "stepsize" in settings:
        policy["stepsize"] = Span(settings["stepsize"])
    if "stepvalue" in settings:
        policy["stepvalue"] = tuple(map(Span, settings["stepvalue"]))
    made: Policy = POLICIES[settings["lr_policy"]](**policy)
    return made


def solver_of(settings: dict[str, Any]) -> Solver:
    keys = {"base_lr", "momentum", "weight_decay", "regularization_type", "clip_gradients", "iter_size"} & set(settings)
    made: Solver = SOLVERS[settings["type"]](lr_policy=policy_of(settings), **{key: settings[key] for key in keys})
    return made


def runs(*kinds: str) -> list[Any]:
    files = [file for kind in kinds for file in sorted(GOLDEN.glob(f"solvers/{kind}_*.npz"))]
    return [pytest.param(file, id=file.stem) for file in files] or [None]


@pytest.mark.parametrize("file", runs("*"))
def test_the_rate_changes_as_in_caffe(file: Path) -> None:
    golden = np.load(file)
    settings = json.loads(bytes(golden["settings"]))["settings"]
    rates = [policy_of(settings).rate(settings["base_lr"], iteration, RUN) for iteration in range(10)]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-6)


@pytest.mark.parametrize("file", runs("sgd", "nesterov"))
def test_a_solver_goes_the_way_of_caffe(file: Path) -> None:
    golden, problem = np.load(file), np.load(GOLDEN / "solvers" / "problem.npz")
    solver = solver_of(json.loads(bytes(golden["settings"]))["settings"])
    w = np.zeros(32 + 3, np.float32)  # 3 x 6 weights, then, on a new line of 16 elements, 3 biases
    g, velocity, norm, failed = np.zeros_like(w), np.zeros_like(w), np.zeros(1), np.zeros(1, np.int32)
    w[:18], w[32:] = problem["W0"].reshape(-1), problem["b0"]
    for iteration in range(10):
        for passed in range(solver.iter_size):
            rows = (np.arange(5) + 5 * (iteration * solver.iter_size + passed)) % 20
            x, d = problem["data"][rows], problem["data"][rows] @ w[:18].reshape(3, 6).T + w[32:] - problem["label"][rows]
            g[:18] += (d.T @ x).reshape(-1) / 5
            g[32:] += d.sum(axis=0) / 5
        rates = {name: np.array([number], np.float32) for name, number in solver.rates(iteration, RUN).items()}
        OPS["sum_of_squares"].function(g, norm)
        OPS["update"].function(
            w, g, (velocity,), (rates["lr"], rates["decay"]), tuple(rates[name] for name in solver.hyper), (), norm, failed,
            solver.formula, [(0, 18, 1.0, 1.0), (32, 35, 2.0, 0.0)], solver.regularization_type == "L1", solver.clip_gradients,
            solver.iter_size,
        )  # fmt: skip
        hold(f"W after {iteration + 1}", w[:18], golden["W"][iteration + 1].reshape(-1))
        hold(f"b after {iteration + 1}", w[32:], golden["b"][iteration + 1])
    hold("history 0", velocity[:18], golden["history/0"].reshape(-1))
    hold("history 1", velocity[32:], golden["history/1"])
    assert not failed[0]
