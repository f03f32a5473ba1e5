"""A solver of Caffe's as a solver section: the rule, the policy, and the loop around them."""

from __future__ import annotations

from dltrain.caffe.message import Message
from dltrain.errors import DataError, did_you_mean
from dltrain.registry import SOLVERS
from dltrain.translate.caffe_layers import Keys, tidy

KEYS = {  # of each rule, besides those that all have
    "SGD": ("momentum",), "Nesterov": ("momentum",), "AdaGrad": ("delta",), "RMSProp": ("rms_decay", "delta"),
    "AdaDelta": ("momentum", "delta"), "Adam": ("momentum", "momentum2", "delta"),
}  # fmt: skip
POLICIES = {
    "fixed": (), "step": ("gamma", "stepsize"), "exp": ("gamma",), "inv": ("gamma", "power"), "multistep": ("gamma", "stepvalue"),
    "poly": ("power",), "sigmoid": ("gamma", "stepsize"),
}  # fmt: skip


def solver_of(said: Message, path: str, tested: bool, notes: list[str]) -> Keys:
    """The section; `tested` is whether the net has data for its test phase."""
    kind = rule_of(said, path)
    made: Keys = {"type": kind, "base_lr": tidy(said["base_lr"] or 0.0)}
    if said["base_lr"] is None:
        notes.append(f"{path}: has no base_lr; the rate is 0")
    for key in KEYS[kind]:
        if key in said:
            made[key] = tidy(said[key])
    made |= policy(said, path)
    if said["weight_decay"]:
        made["weight_decay"] = tidy(said["weight_decay"])
        made |= {"regularization_type": said["regularization_type"]} if said["regularization_type"] != "L2" else {}
    made |= {"clip_gradients": tidy(said["clip_gradients"])} if said["clip_gradients"] > 0 else {}
    made |= {"iter_size": said["iter_size"]} if said["iter_size"] > 1 else {}
    made["max_iter"] = int(said["max_iter"] or 1)
    if not said["max_iter"]:
        notes.append(f"{path}: has no max_iter; 1 is written")
    made |= loop(said, tested)
    remarks(said, path, tested, notes)
    return made


def rule_of(said: Message, path: str) -> str:
    """The type, however it is spelt."""
    kind = {name.lower(): name for name in KEYS}.get(str(said["type"]).lower())
    if kind is None:
        raise DataError(f"{path}:{said.lines.get('type', said.line)}: there is no solver '{said['type']}' in Caffe; "
                        f"{did_you_mean(said['type'], KEYS)}")  # fmt: skip
    assert kind in SOLVERS
    return kind


def policy(said: Message, path: str) -> Keys:
    """lr_policy: {type: step, gamma: 0.1, stepsize: 1000}; fixed goes without saying."""
    kind = str(said["lr_policy"] or "")
    if kind not in POLICIES:
        known = f"there is no lr_policy '{kind}' in Caffe; {did_you_mean(kind, POLICIES)}"
        what = known if kind else 'has no lr_policy; add lr_policy: "fixed"'
        raise DataError(f"{path}:{said.lines.get('lr_policy', said.line)}: {what}")
    if kind == "fixed":
        return {}
    made: Keys = {"type": kind}
    for key in POLICIES[kind]:
        value = [int(each) for each in said.all(key)] if key == "stepvalue" else said[key]
        if key == "stepsize" and not value:
            raise DataError(f"{path}: lr_policy {kind} needs a stepsize above 0")
        made[key] = value if key == "stepvalue" else tidy(value or 0.0)
    return {"lr_policy": made}


def loop(said: Message, tested: bool) -> Keys:
    """display, test and snapshot: off where Caffe has them off."""
    interval, snapshot = int(said["test_interval"]), int(said["snapshot"])
    made: Keys = {"display": int(said["display"]) if said["display"] else None}
    if not tested or interval <= 0:
        made["test"] = None
    else:
        made["test"] = {"interval": interval, "initial": True} if said["test_initialization"] else interval
    many = int(said["max_iter"] or 1) // snapshot if snapshot > 0 else 0
    if snapshot <= 0:
        made["snapshot"] = None
    else:
        made["snapshot"] = {"interval": snapshot, "keep": many} if many > 2 else snapshot
    return made


def rest_of(said: Message) -> Keys:
    """Words of the top level: seed, engine."""
    made: Keys = {"seed": int(said["random_seed"])} if int(said["random_seed"]) >= 0 else {}
    return made | ({"engine": {"device": "cpu"}} if said["solver_mode"] == "CPU" else {})


def remarks(said: Message, path: str, tested: bool, notes: list[str]) -> None:
    """What is not translated, or means something else here."""
    count = len(said.all("test_iter"))
    if count > 1:
        notes.append(f"{path}: {count} test nets; the first is translated")
    if tested and said["test_interval"] <= 0:
        notes.append(f"{path}: has no test_interval: nothing is scored while training")
    if said["average_loss"] > 1:
        notes.append(f"{path}: average_loss {said['average_loss']}: display shows the mean loss since the last display")
    if said["snapshot_diff"]:
        notes.append(f"{path}: snapshot_diff is left out: gradients are 0 after an update")
    if said["snapshot_after_train"] is False:
        notes.append(f"{path}: snapshot_after_train: the last state is always saved here")
    if said["debug_info"]:
        notes.append(f"{path}: debug_info is left out: a run that is not finite names the first bad layer by itself")
    if said["device_id"]:
        notes.append(f"{path}: device_id {said['device_id']} is left out; engine.device, or --device, chooses")
    if said["lr_policy"] == "sigmoid" and (said["gamma"] or 0) < 0:
        notes.append(f"{path}: lr_policy sigmoid with gamma below 0: Caffe itself refuses it")
