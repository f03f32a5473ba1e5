"""Which net of Caffe's is for what: training, testing, deployment; from the files given, or those that the solver names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dltrain.caffe import hdf5
from dltrain.caffe.message import Message
from dltrain.caffe.text import read_text
from dltrain.caffe.upgrade import upgrade_net, upgrade_solver
from dltrain.caffe.wire import read_wire
from dltrain.errors import ConfigError
from dltrain.translate.caffe_files import Given, Places
from dltrain.translate.caffe_forks import understood
from dltrain.translate.caffe_layers import is_source
from dltrain.translate.caffe_pieces import Sight, sight


@dataclass
class Theirs:
    """A net that was read, and where."""

    path: Path
    net: Message


@dataclass
class Nets:
    """The nets of an import by their use; train and test may be one."""

    solver: Message | None
    train: Theirs | None = None
    test: Theirs | None = None
    deploy: Theirs | None = None

    @property
    def first(self) -> Theirs:
        found = self.train or self.test or self.deploy
        assert found is not None
        return found

    def sights(self, level: int, stages: Collection[str], notes: list[str]) -> list[Sight]:
        """What there is in each phase, the states of the solver applied; a phase without data is none."""
        found = []
        for theirs in {id(one): one for one in (self.train, self.test, self.deploy) if one is not None}.values():
            understood(theirs.net, notes)
        train, test = self.train or self.test or self.deploy, self.test or self.train or self.deploy
        for phase, one, field in (("train", train, "train_state"), ("test", test, "test_state")):
            if one is not None:
                told = self.solver.all(field)[0] if self.solver is not None and self.solver.all(field) else Message("NetState")
                said = {*stages, *map(str, told.all("stage"))} or usual_stage(one.net, phase)
                found.append(sight(phase, str(one.path), one.net, level or int(told["level"]), said))
        if self.deploy is not None and self.deploy is not train:
            found.append(sight("deploy", str(self.deploy.path), self.deploy.net, level, stages))
        elif train is not None and not stages and usual_stage(train.net, "deploy"):
            deployed = sight("deploy", str(train.path), train.net, level, {"deploy"})
            found += [deployed] if any(map(is_source, deployed.layers)) else []
        fed = [one for one in found if is_fed(one)]
        notes += [
            f"{Path(one.path).name}: has no data layer in phase {one.phase}, which is left out"
            for one in found
            if fed and one not in fed
        ]
        return fed or found


def usual_stage(net: Message, phase: str) -> set[str]:
    """The stage for a phase where nobody asks for one: train, val and deploy, as DIGITS has them, if the net has rules for it."""
    stage = {"train": "train", "test": "val", "deploy": "deploy"}[phase]
    rules = [rule for layer in net.all("layer") for name in ("include", "exclude") for rule in layer.all(name)]
    return {stage} & {str(name) for rule in rules for word in ("stage", "not_stage") for name in rule.all(word)}


def is_fed(one: Sight) -> bool:
    """Whether a phase has data: some, and not without those that its rules leave out and its layers read."""
    made = {str(top) for layer in one.layers for top in layer.all("top")}
    gone = {str(top) for layer in one.left if is_source(layer) for top in layer.all("top")} - made
    reads = {str(bottom) for layer in one.layers for bottom in layer.all("bottom")}
    return any(map(is_source, one.layers)) and not gone & reads


def nowhere(nets: Nets, sights: list[Sight]) -> list[str]:
    """Notes on the layers that their rules keep out of every phase."""
    kept = {id(layer) for one in sights for layer in one.layers}
    there = {one.path for one in sights}
    files = [one for one in (nets.train, nets.test, nets.deploy) if one is not None and str(one.path) in there]
    return [f"left out: '{layer['name']}' ({layer['type']}, {one.path.name}:{layer.line}): its rules keep it out of every phase; "
            "--stage NAME, or --level N" for one in files for layer in one.net.all("layer")
            if id(layer) not in kept and not is_source(layer)]  # fmt: skip


def read_solver(path: Path) -> Message:
    return upgrade_solver(read_text(path, "SolverParameter"))


def read_net(path: Path) -> Theirs:
    return Theirs(path, upgrade_net(read_text(path, "NetParameter")))


def nets_of(given: Given, solver: Message | None) -> Nets:
    """The nets that were given, else those that the solver names or holds."""
    made = Nets(solver)
    files = [read_net(path) for path in given.nets]
    made.deploy = next((one for one in files if is_deploy(one.net)), None)
    others = [one for one in files if one is not made.deploy]
    if not others and solver is not None:
        others = named(given, solver)
    if not others and made.deploy is None:
        others = inside_weights(given)
    if len(others) > 2:
        raise ConfigError(f"{others[2].path}: is a third net; give at most one to train, one to test and one to deploy")
    if len(others) == 2:
        made.train, made.test = in_order(others, solver)
    elif others:
        made.train = others[0]
    if made.train is None and made.deploy is None:
        raise ConfigError("import: there is no net; give its prototxt, or a solver beside it")
    return made


def named(given: Given, solver: Message) -> list[Theirs]:
    """The nets of a solver: inside it, or in files that are looked for beside it."""
    assert given.solver is not None
    inside = [(name, solver[name]) for name in ("net_param", "train_net_param") if name in solver]
    inside += [("test_net_param", solver.all("test_net_param")[0])] if solver.all("test_net_param") else []
    if inside:
        return [Theirs(given.solver, upgrade_net(net)) for _, net in inside]
    places, found = Places([given.solver]), []
    for field in ("net", "train_net", "test_net"):
        for name in map(str, solver.all(field)[:1]):
            path = places.find(name, by_name=True)
            if path is None and field != "test_net":
                raise ConfigError(f"{given.solver}: its net {name} is not beside it; give its prototxt to the import, too")
            found += [read_net(path)] if path is not None else []
    if not found:
        raise ConfigError(f"{given.solver}: names no net; give its prototxt to the import, too")
    return found


def inside_weights(given: Given) -> list[Theirs]:
    """A .caffemodel has its net inside, as it was trained."""
    for path in given.weights:
        net = upgrade_net(read_wire(path, "NetParameter")) if not hdf5.looks_like(path) else None
        if net is not None and any(layer["type"] for layer in net.all("layer")):
            for layer in net.all("layer"):  # the rules have been applied
                layer.fields.pop("include", None)
                layer.fields.pop("exclude", None)
            return [Theirs(path, net)]
    return []


def in_order(nets: list[Theirs], solver: Message | None) -> tuple[Theirs, Theirs]:
    """(the one that trains, the one that tests)"""
    tests = [Path(str(name)).name for name in solver.all("test_net")] if solver is not None else []
    stems = [one.path.stem.lower() for one in nets]
    score = [one.path.name in tests or ("train" not in stem and any(word in stem for word in ("test", "val")))
             for one, stem in zip(nets, stems)]  # fmt: skip
    if score == [True, False]:
        return nets[1], nets[0]
    return nets[0], nets[1]


def is_deploy(net: Message) -> bool:
    """True for a net that is fed from outside and has no loss."""
    layers = net.all("layer")
    sources = [layer for layer in layers if is_source(layer)]
    fed = all(layer["type"] in ("Input", "MemoryData", "DummyData") for layer in sources)
    return fed and not any(str(layer["type"]).endswith("Loss") or layer.all("loss_weight") for layer in layers)
