"""A folder of pictures: a folder for each class, or the class in the file's name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dltrain.data.folders import pictures_below, split_folders
from dltrain.data.image import EXTENSIONS
from dltrain.data.pattern import FilePattern, Pattern
from dltrain.data.pictures import Pictures
from dltrain.errors import DataError, did_you_mean
from dltrain.source import Arrays, Shape, source

PATTERN = 'files: "{label}_{take:int}.png"'


@source("image_folder")
class ImageFolder(Pictures):
    """Pictures whose class is the folder they lie in, or a part of their names.

    data    C x H x W, 0 .. 255       label   an index: the classes in alphabetical order; of {label:int} the number itself

    root    ROOT/cats/a.jpg, ROOT/dogs/more/b.jpg, everything train; or ROOT/train/cats/a.jpg, and val and test beside train
    files   a pattern of names, {label}_{speaker}_{take:int}.png: its parts are known to `where`

    Hidden files, and such as are no pictures by their extension, are left out.
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str
    files: FilePattern | None = None

    def open(self) -> None:
        data = self.prepare()
        self.folder = Path(self.root)
        found, folders = pictures_below(self.folder, EXTENSIONS)
        self.found: list[str] = []
        self.splits = {}
        self.facts: dict[str, list[Any]] = {}
        for split, top in split_folders(self.folder, found, folders, self.files is not None).items():
            prefix = f"{top}/" if top else ""
            mine = [file.removeprefix(prefix) for file in found if file.startswith(prefix)]
            self.splits[split] = np.arange(len(self.found), len(self.found) + len(mine))
            self.found += [prefix + file for file in mine]
            if self.files is None:
                self.add_facts(self.by_folder(prefix, mine))
            else:
                self.add_facts(self.by_pattern(Pattern(self.files), prefix, mine))
            if split == "train" and self.files is None:
                self.need_pictures(prefix, folders)
        self.fields = {"data": data, "label": Shape((), "index")}
        self.label()

    def promised(self) -> dict[str, Shape]:
        """How many classes there are only the folder tells."""
        return {} if self.there(self.root) else {"data": self.shape, "label": Shape((), "index")}

    def add_facts(self, facts: dict[str, list[Any]]) -> None:
        for name, values in facts.items():
            self.facts.setdefault(name, []).extend(values)

    def by_folder(self, prefix: str, files: Sequence[str]) -> dict[str, list[Any]]:
        for file in files:
            if "/" not in file:
                raise DataError(f"{self.folder / prefix / file}: lies in no folder of a class; move it into one, or say that its "
                                f"name has the class: {PATTERN}")  # fmt: skip
        return {"label": [file.partition("/")[0] for file in files]}

    def by_pattern(self, pattern: Pattern, prefix: str, files: Sequence[str]) -> dict[str, list[Any]]:
        facts: dict[str, list[Any]] = {name: [] for name in pattern.names}
        for file in files:
            said = pattern.match(file)
            if said is None:
                raise DataError(f"{self.folder / prefix / file}: its name is not of the pattern {pattern.text}; rename it, "
                                "move it out, or change files")  # fmt: skip
            for name, value in said.items():
                facts[name].append(value)
        return facts

    def need_pictures(self, prefix: str, folders: Sequence[str]) -> None:
        """Every folder of train is a class, and a class without pictures is a mistake."""
        known = set(self.facts["label"])
        for folder in folders:
            name = folder.removeprefix(prefix)
            if folder.startswith(prefix) and "/" not in name and name not in known:
                raise DataError(f"{self.folder / folder}: the class has no pictures; fill the folder, or remove it")

    def label(self) -> None:
        """Numbers the classes: those of train count."""
        words = self.facts["label"]
        if isinstance(words[0], int):
            highest = int(np.argmax(words))
            if words[highest] > 2**31 - 1:
                raise DataError(f"{self.folder / self.found[highest]}: the class {words[highest]} is too large; write {{label}} "
                                "for classes by name")  # fmt: skip
            self.labels, self.classes, self.names = np.array(words, np.int32), {"label": words[highest] + 1}, {}
            return
        names = sorted({words[row] for row in self.splits["train"]})
        numbers = {name: number for number, name in enumerate(names)}
        for file, word in zip(self.found, words, strict=True):
            if word not in numbers:
                raise DataError(f"{self.folder / file}: train has no class '{word}'; {did_you_mean(word, names)}")
        self.labels = np.array([numbers[word] for word in words], np.int32)
        self.classes, self.names = {"label": len(names)}, {"label": names}

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        given: Arrays = {"label": self.labels[index]} if "label" in wanted else {}
        return given | {"data": self.picture(self.folder / self.found[index])} if "data" in wanted else given

    def identify(self, index: int) -> str:
        return self.found[index]
