"""Python: a layer from a file of one's own."""

import hashlib
import importlib.util
import inspect
import json
import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError, with_config

from dltrain.errors import Refusal, did_you_mean
from dltrain.fields import Count
from dltrain.layer import Blob, Layer, Shape, layer


@layer("Python")
class Python(Layer):
    """y = what the class `layer` of `module` makes of the bottoms

    bottoms xs  as its setup takes them
    tops    y   as its setup promises;   1, 2, ...  further ones, `tops` in all, read as NAME.1, NAME.2

    `module` is the path of a Python file (relative to the working directory), or else an entry point of the group dltrain_layers.
    The class is a Layer as all of ours; `keys` are the values of its fields.  Arithmetic of its own is an @op of the same file.
    """

    module: str
    layer: str
    keys: dict[str, Any] = field(default_factory=dict)
    tops: Count = 1

    def top_roles(self, bottoms: int) -> tuple[str, ...]:
        return tuple(map(str, range(1, self.tops)))

    def setup(self, *xs: Shape) -> list[Shape]:
        self.made, self.bottoms = self.build(self.load()), len(xs)
        for name in ("name", "site", "ops", "train", "seed", "step", "frozen"):
            setattr(self.made, name, getattr(self, name))
        arguments = inspect.signature(self.made.setup)
        try:
            self.roles = list(arguments.bind(*xs).arguments)
        except TypeError as error:
            raise Refusal("bottom", f"{self.layer}.setup{arguments}: {error}, there are {len(xs)}") from None
        promised = self.made.setup(*xs)
        shapes = promised if isinstance(promised, list) else [promised]
        if len(shapes) != self.tops:
            raise Refusal("tops", f"is {self.tops}, but {self.layer} makes {len(shapes)}; set tops: {len(shapes)}")
        return shapes

    def load(self) -> ModuleType:
        """The module, imported once a process."""
        if not self.module.endswith(".py"):
            known = entry_points(group="dltrain_layers")
            if self.module not in known.names:
                hint = did_you_mean(self.module, known.names)
                raise Refusal("module", f"'{self.module}' is neither a .py file nor installed; {hint}")
            found: ModuleType = known[self.module].load()
            return found
        path = Path(self.module).expanduser().absolute()
        name = f"dltrain_user_{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
        if name not in sys.modules:
            if not path.is_file():
                raise Refusal("module", f"there is no file {path}; give a path relative to the working directory")
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec and spec.loader
            sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[name])
            except Exception as error:
                del sys.modules[name]
                raise Refusal("module", f"{path} cannot be imported: {type(error).__name__}: {error}") from error
        return sys.modules[name]

    def build(self, module: ModuleType) -> Layer:
        """The user's layer, its fields checked as those of ours."""
        cls = getattr(module, self.layer, None)
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            known = [name for name, item in vars(module).items() if isinstance(item, type) and issubclass(item, Layer)]
            raise Refusal("layer", f"'{self.layer}' is no Layer of {self.module}; {did_you_mean(self.layer, known)}")
        if "__dataclass_params__" not in vars(cls):
            dataclass(kw_only=True)(cls)
        with_config({"extra": "forbid"})(cls)
        try:
            made: Layer = TypeAdapter(cls).validate_json(json.dumps(self.keys), strict=True)
        except ValidationError as errors:
            words = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors.errors(include_url=False)]
            raise Refusal("keys", f"of {self.layer}: {'; '.join(words)}") from None
        return made

    def forward(self, *blobs: Blob) -> None:
        self.ys = blobs[self.bottoms :]
        self.made.forward(*blobs)

    def backward(self, *blobs: Blob) -> None:
        """Bottoms that the layer calls fixed get 0."""
        for role, x in zip(self.roles, blobs[: self.bottoms]):
            if role in self.made.fixed:
                self.ops.fill(x.grad, 0.0)
        self.made.backward(*blobs[: self.bottoms], *self.ys)
