"""Lines of text with a class each: sentences that are for or against, questions and what they ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data import vocabulary
from dltrain.data.text_file import Encoding, lines
from dltrain.data.vocabulary import PAD, UNKNOWN
from dltrain.errors import DataError, did_you_mean
from dltrain.fields import Count
from dltrain.source import Arrays, Shape, Source, source

LARGEST = 100_000  # symbols of a line, where no length is said
BYTES = {"type": "string"}


def labelled(value: Any) -> Any:
    """FILE as {"": FILE}; {label: FILE} as it is."""
    if isinstance(value, str):
        return {"": value}
    if isinstance(value, dict) and value:
        return value
    raise ValueError("must be a FILE of lines label<TAB>text, or a mapping {label: FILE}")


_LABELLED = {"anyOf": [BYTES, {"type": "object", "additionalProperties": BYTES, "minProperties": 1}]}
Labelled = Annotated[dict[str, str], BeforeValidator(labelled), WithJsonSchema(_LABELLED)]


@source("text_lines")
class TextLines(Source):
    """A line of text a sample.

    data     T numbers of its words, then <pad> (0) up to `length`, that of the longest line of train where nothing is said; of a
             longer line its beginning.   With bag: V numbers, how often each word of the vocabulary occurs
    label    its class            length   how many words it has, T at most

    files           {label: FILE, …}, a line a sample; or one file of lines label<TAB>text, whose classes are put in order
    val, test       the same of them, where they have files of their own
    unit            words, what stands between white space; or characters
    min_count       words that train has less often are <unk> (1), as are those that it has not; the others, from 2 on, the most
                    frequent first
    vocabulary      a file to number words by; written where it is not there

    Empty lines are no samples.
    """

    paths: ClassVar[tuple[str, ...]] = ("files", "val", "test", "vocabulary")

    files: Labelled
    val: Labelled | None = None
    test: Labelled | None = None
    length: Count | None = None
    bag: bool = False
    unit: Literal["words", "characters"] = "words"
    min_count: Count = 1
    vocabulary: str | None = None
    encoding: Encoding = "utf-8"

    def open(self) -> None:
        said = {"train": self.files, "val": self.val, "test": self.test}
        spelt: dict[str, int] = {}
        read = {split: Lines(files, self, spelt) for split, files in said.items() if files is not None}
        self.classes_of(read)
        self.words = self.known(read["train"], list(spelt))
        self.join(read, spelt)
        x = Shape((len(self.words),)) if self.bag else Shape((self.size,), "index")
        self.fields = {"data": x, "label": Shape((), "index"), "length": Shape((), "index")}
        self.sequences = () if self.bag else ("data",)
        self.classes = {"label": len(self.labels)} | ({} if self.bag else {"data": len(self.words)})
        self.names = {"label": self.labels} | ({} if self.bag else {"data": self.words})

    def classes_of(self, read: dict[str, Lines]) -> None:
        """The classes are those of train."""
        known = read["train"].labels
        self.labels = (
            list(known) if "" not in self.files else sorted(known, key=lambda word: (len(word) if word.isdigit() else 0, word))
        )
        for split, some in read.items():
            for label, row in some.labels.items():
                if label not in known:
                    raise DataError(
                        f"{some.where(row)}: the class '{label}' of {split} is not in train; {did_you_mean(label, known)}"
                    )

    def known(self, train: Lines, spelling: list[str]) -> list[str]:
        """The vocabulary: of its file, or of train."""
        if self.vocabulary is not None and os.path.lexists(self.vocabulary):
            made = vocabulary.load(Path(self.vocabulary))
            if made[:2] != [PAD, UNKNOWN]:
                raise DataError(f"{self.vocabulary}: must begin with {PAD} and {UNKNOWN}, a line each; add them")
            return made
        counts = np.bincount(train.words, minlength=len(spelling)).tolist()
        frequent = vocabulary.by_count(zip(spelling, counts, strict=True), max(1, self.min_count))
        made = [PAD, UNKNOWN, *(word for word in frequent if word not in (PAD, UNKNOWN))]
        if self.vocabulary is not None:
            vocabulary.save(Path(self.vocabulary), made)
        return made

    def join(self, read: dict[str, Lines], spelt: dict[str, int]) -> None:
        """All lines one after another: their words, where each starts, their classes."""
        number = {word: n for n, word in enumerate(self.words)}
        table = np.array([number.get(word, 1) for word in spelt] or [0], np.int32)
        self.lines, self.symbols = read, table[np.concatenate([some.words for some in read.values()])]
        self.ends = np.cumsum(np.concatenate([some.lengths for some in read.values()]))
        self.starts = self.ends - np.concatenate([some.lengths for some in read.values()])
        place = {label: n for n, label in enumerate(self.labels)}
        self.label = np.concatenate([np.array([place[label] for label in some.labels])[some.label] for some in read.values()])
        cuts = np.cumsum([0, *(len(some.lengths) for some in read.values())])
        self.splits = {split: np.arange(start, end) for split, start, end in zip(read, cuts, cuts[1:])}
        longest = int(read["train"].lengths.max())
        if self.length is None and longest > LARGEST:
            raise DataError(f"text_lines: a line of train has {longest:,} {self.unit}; say how many a sample has: length: 200")
        self.size = self.length or longest

    def __len__(self) -> int:
        return len(self.label)

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        start, length = self.starts[indices], np.minimum(self.ends - self.starts, self.size)[indices]
        if "label" in out:
            out["label"][...] = self.label[indices]
        if "length" in out:
            out["length"][...] = length
        if "data" in out and self.bag:
            for row, (first, end) in enumerate(zip(start, self.ends[indices], strict=True)):
                out["data"][row] = np.bincount(self.symbols[first:end], minlength=len(self.words))
        elif "data" in out:
            place = np.arange(self.size)
            within = place < length[:, None]
            out["data"][...] = 0
            out["data"][within] = self.symbols[(start[:, None] + place)[within]]

    def identify(self, index: int) -> str:
        for split, rows in self.splits.items():
            if index <= rows[-1]:
                return self.lines[split].where(index - int(rows[0]))
        return str(index)

    def load(self, path: Path) -> Arrays:
        """A file's words, whatever its lines."""
        symbols = [symbol for line in lines(path, self.encoding) for symbol in self.parted(line)]
        number = {word: n for n, word in enumerate(self.words)}
        found = np.array([number.get(word, 1) for word in symbols], np.int32)
        if self.bag:
            return {"data": np.bincount(found, minlength=len(self.words)).astype(np.float32)}
        return {"data": np.pad(found[: self.size], (0, max(0, self.size - len(found))))}

    def parted(self, line: str) -> list[str]:
        return line.split() if self.unit == "words" else list(line.strip())


class Lines:
    """The samples of one split, as they stand in its files.

    words, lengths   numbers of the words of all lines, by first occurrence (`spelt`); how many each line has
    label, labels    the class of each line; the classes, in the order of their first lines: word -> that line
    numbers, files   the line of its file that each sample is; the files with the first sample behind each
    """

    def __init__(self, said: dict[str, str], source: TextLines, spelt: dict[str, int]) -> None:
        self.labels: dict[str, int] = {}
        self.files: list[tuple[str, int]] = []
        words: list[Any] = []
        lengths: list[int] = []
        label: list[int] = []
        numbers: list[int] = []
        place: dict[str, int] = {}
        for name, file in said.items():
            for number, line in enumerate(lines(Path(file), source.encoding), 1):
                word, text = (name, line) if name or not line.strip() else parted(line, f"{file}:{number}")
                symbols = source.parted(text)
                if symbols:
                    self.labels.setdefault(word, len(label))
                    label.append(place.setdefault(word, len(place)))
                    words.append(np.array([spelt.setdefault(symbol, len(spelt)) for symbol in symbols], np.int32))
                    lengths.append(len(symbols))
                    numbers.append(number)
            if len(label) == (self.files[-1][1] if self.files else 0):
                raise DataError(f"{file}: has no lines with words; expected a sample a line")
            self.files.append((file, len(label)))
        self.words, self.lengths, self.label, self.numbers = np.concatenate(words), np.array(lengths), np.array(label), numbers

    def where(self, row: int) -> str:
        """The line of a file that a sample is."""
        file = next(file for file, behind in self.files if row < behind)
        return f"{file}:{self.numbers[row]}"


def parted(line: str, where: str) -> tuple[str, str]:
    """The class and the text of a line."""
    label, tab, text = line.partition("\t")
    if not tab or not label.strip():
        raise DataError(f"{where}: is no label<TAB>text; write the class, a tab, then the text")
    return label.strip(), text
