"""dltrain export onnx: the deploy graph of a trained net as a model of ONNX, checked and held against our own output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dltrain.console import Console
from dltrain.errors import ConfigError, Refusal
from dltrain.features import put
from dltrain.graph import Graph
from dltrain.judgement import Judgement
from dltrain.net import Net
from dltrain.table import size
from dltrain.tensor import Tensor
from dltrain.translate import to_onnx_model as models
from dltrain.translate.to_onnx_check import Compared, compare
from dltrain.translate.to_onnx_facts import facts
from dltrain.translate.to_onnx_sheet import Fixed, Sheet, need_onnx
from dltrain.translate.trained import Trained, trained


def export(
    path: str, out: str, weights: str | None, settings: tuple[str, ...], opset: int, batch: str | None,
    blobs: tuple[str, ...], console: Console,
) -> None:  # fmt: skip
    """dltrain export onnx RUN|CONFIG -o FILE"""
    need_onnx()
    check_words(out, batch)
    made = trained(path, weights, settings, console)
    try:
        console.note(f"weights {made.file}")
        judgement = Judgement(made.engine, made.names, blobs)
        for name in judgement.blobs:
            if name in made.config.net.fields:
                raise ConfigError(f"--blob {name}: is what the net reads, not what it makes")
        if not judgement.blobs:
            raise ConfigError(f"{path}: nothing is left of the net in phase deploy; name a blob with --blob NAME")
        model, sheet = written(made, judgement.blobs, opset, batch, console)
        for key, value in facts(made, sheet, judgement.outputs).items():
            model.metadata_props.add(key=key, value=value)
        models.check(model)
        compared = compare(model, made, sheet, judgement.blobs, console)
        put(Path(out), lambda path: path.write_bytes(model.SerializeToString()))
        tell(out, model, sheet, made, compared, console)
    finally:
        made.close()


def check_words(out: str, batch: str | None) -> None:
    if Path(out).suffix != ".onnx":
        raise ConfigError(f"-o {out}: a model of ONNX ends in .onnx")
    if not Path(out).parent.is_dir():
        raise ConfigError(f"-o {out}: there is no folder {Path(out).parent}")
    if batch not in (None, "any") and not (batch.isdecimal() and 0 < int(batch) < 2**31):
        raise ConfigError(f"--batch {batch}: is neither a number of samples nor any")


def written(made: Trained, blobs: tuple[str, ...], opset: int, batch: str | None, console: Console) -> tuple[Any, Sheet]:
    """The model for any number of samples, where nothing stands against that; else, or where asked for, for one number."""
    net, own = made.config.net, made.config.feed.batch_size("train")
    arrays, name = values(made), made.config.name
    if batch in (None, "any"):
        try:
            return models.write(*open_traces(net, blobs, own), arrays, blobs, opset, name)
        except Fixed as what:
            if batch == "any":
                raise ConfigError(f"--batch any: {what} hangs on the number of samples; give --batch {own}") from None
            console.note(f"for {own} samples at a time, since {what} hangs on their number")
    count = own if batch is None else int(batch or own)
    try:
        return models.write(*fixed_traces(net, blobs, count), arrays, blobs, opset, name)
    except Refusal as refusal:
        raise ConfigError(f"--batch {count}: {refusal}; the config's own batch_size is {own}") from None
    except Fixed as what:
        raise ConfigError(f"{name}: {what} is known only in the run, and ONNX would have to know it") from None


def values(made: Trained) -> dict[Tensor, Any]:
    """Parameters as they are tested, states, and the numbers that lines read."""
    engine = made.engine
    found = {part.handle.data: engine.tested.logical(part.handle.data) for part in engine.net.store.segments.values()}
    inputs = {f"{line.name}.value" for line in engine.net.lines if line.layer.type == "Input"}
    return found | {
        state.handle: engine.memory.logical(state.handle)
        for name, state in engine.net.store.states.items()
        if "@" not in name and name not in inputs
    }


def open_traces(net: Net, blobs: tuple[str, ...], own: int) -> tuple[Graph, Graph]:
    """Two graphs for numbers of samples that tell what hangs on these; no larger than the states of a batch."""
    count = min(max(own, 2), 3) if any("@" in name for name in net.store.states) else 3
    try:
        return trace(net, blobs, count, 9), trace(net, blobs, count - 1, 8)
    except Refusal as refusal:
        raise Fixed(f"a layer ({refusal})") from None


def fixed_traces(net: Net, blobs: tuple[str, ...], count: int) -> tuple[Graph, Graph]:
    """The same graph twice; behind a cut, which lets as many samples through as the data want, two numbers of these."""
    graph = trace(net, blobs, count, count + 2)
    return graph, trace(net, blobs, count, count + 1) if graph.demand.kept else graph


def trace(net: Net, blobs: tuple[str, ...], count: int, kept: int) -> Graph:
    """The deploy graph, as if each cut let `kept` samples through."""
    through: tuple[int, ...] = ()
    graph = net.graph("deploy", (count,), "deploy", blobs, through)
    while graph.cut is not None:
        through = (*through, kept)
        graph = net.graph("deploy", (count,), "deploy", blobs, through)
    return graph


def tell(out: str, model: Any, sheet: Sheet, made: Trained, compared: Compared | None, console: Console) -> None:
    """What was written, and how near to ours it is."""
    parameters = sum(part.shape.count for part in made.config.net.store.segments.values() if part.layer in sheet.graph.layers)
    nodes, bytes_ = len(model.graph.node), Path(out).stat().st_size
    shapes = {kind: {name: sizes for name, (_, sizes) in found.items()}
              for kind, found in (("inputs", sheet.inputs), ("outputs", sheet.outputs))}  # fmt: skip
    result = {
        "file": out, "opset": sheet.opset, "nodes": nodes, "parameters": parameters, "bytes": bytes_, **shapes,
        "weights": str(made.file), "compared": None if compared is None else vars(compared),
    }  # fmt: skip
    lines = [f"{out}: {nodes} nodes, {parameters:,} parameters, opset {sheet.opset}, {size(bytes_)}"]
    for kind, found in shapes.items():
        lines += [f"{kind[:-1]:7s} {name}  {' x '.join(map(str, sizes)) or 'one number'}" for name, sizes in found.items()]
    if compared is not None:
        lines.append(f"onnxruntime {compared.version} differs by {compared.difference:.2g} on {compared.samples}")
    console.result(result, "\n".join(lines))
