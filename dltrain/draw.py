"""dltrain draw: the net as a picture for a paper, laid out by ourselves, or as a text for Graphviz."""

from __future__ import annotations

from pathlib import Path

from dltrain.console import Console
from dltrain.dot import dot_text
from dltrain.errors import ConfigError, DataError
from dltrain.layout import Direction
from dltrain.scene import scene_of
from dltrain.sketch import View, sketch

FORMS = (".svg", ".png", ".pdf", ".dot")


def draw(
    path: str, settings: tuple[str, ...], graph: str | None, out: str, direction: Direction, collapse: bool, console: Console
) -> None:
    """dltrain draw CONFIG|RUN"""
    file = Path(out)
    if file.suffix not in FORMS:
        raise ConfigError(f"--out {out}: give it a name that ends in .svg, .png, .pdf or .dot")
    if not file.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {file.parent}")
    if file.suffix != ".dot":
        from dltrain.figure import matplotlib_or_words

        matplotlib_or_words()
    scene = scene_of(View(sketch(path, settings), graph), collapse)
    if file.suffix == ".dot":
        try:
            file.write_text(dot_text(scene, direction), encoding="utf-8")
        except OSError as error:
            raise DataError(f"{file}: cannot be written ({error.strerror or error})") from None
    else:
        from dltrain.figure import save

        save(scene, file, direction)
    made = {
        "out": out,
        "layers": len(list(scene.root.boxes())),
        "arrows": len(scene.arrows),
        "blocks": len(list(scene.root.groups())),
    }
    console.result(made, f"{out}: {made['layers']} boxes, {made['arrows']} arrows")
