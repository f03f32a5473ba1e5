"""Text: windows of a long text, as numbers of its characters or words, for nets that predict what comes next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from dltrain.data import vocabulary
from dltrain.data.text_file import Encoding, pieces, words
from dltrain.data.vocabulary import UNKNOWN
from dltrain.errors import DataError, Refusal
from dltrain.fields import Count, one_or_more, some
from dltrain.source import Arrays, Shape, Source, source

SOME = 1 << 22  # symbols that are counted together
END = "<eos>"  # the end of a line as a word
TEXTS = {"type": "string"}
Files = Annotated[tuple[str, ...], BeforeValidator(some), one_or_more(TEXTS)]


@dataclass(frozen=True)
class Own:
    """What val or test are: files of their own, or that part of the text, at its end."""

    files: tuple[str, ...] = ()
    part: float = 0.0


def own(value: Any) -> Any:
    if isinstance(value, float) and 0 < value < 1:
        return Own(part=value)
    files = some(value)
    if not all(isinstance(file, str) for file in files):
        raise ValueError("must be a FILE, a list of them, or a part of the text below 1, such as 0.05")
    return Own(files=files)


_OWN = {"anyOf": [TEXTS, {"type": "array", "items": TEXTS, "minItems": 1}, {"type": "number", "exclusiveMinimum": 0}]}
Tail = Annotated[Own, BeforeValidator(own), WithJsonSchema(_OWN)]


@source("text")
class Text(Source):
    """Windows of `length` symbols, cut every `stride` symbols (`length` where nothing is said).

    data   T numbers of symbols        label   target next: T, the symbol after each;   last: one, the symbol after the window
    cont   T, with continues: 1, but 0 where a stream begins (what LSTM and kin take as cont)

    file            the text; several are one, in that order
    val, test       files of their own, or parts of the text: file: F, val: 0.05, test: 0.05 keeps its end for test, and what
                    comes before that for val
    unit            characters, numbered by their code; or words, what stands between white space, the most frequent first;
                    with line_end the end of a line is the word <eos>
    unknown         what train has less than `min_count` times is <unk>, number 0: so are words, unless it is false, and
                    characters only if it is true; else a symbol of val or test that train has not is an error
    vocabulary      a file to number symbols by; written where it is not there
    continues       windows go on from batch to batch: row r of a batch is followed by row r of the next.  The text is cut into
                    as many streams as a batch has rows
    """

    paths: ClassVar[tuple[str, ...]] = ("file", "val", "test", "vocabulary")

    file: Files
    val: Tail | None = None
    test: Tail | None = None
    unit: Literal["characters", "words"] = "characters"
    length: Count = 32
    stride: Count | None = None
    target: Literal["next", "last"] = "next"
    continues: bool = False
    min_count: Count = 1
    unknown: bool | None = None
    line_end: bool = False
    vocabulary: str | None = None
    encoding: Encoding = "utf-8"

    def open(self) -> None:
        self.check_keys()
        self.step = self.stride or self.length
        spelt: dict[str, int] = {}
        parts = self.cut(spelt)
        self.words = self.known(parts["train"], spelt)
        self.lay_out({split: self.encode(text, spelt, split) for split, text in parts.items()})
        self.fields = self.windows()
        self.classes = dict.fromkeys(("data", "label"), len(self.words))
        self.names = dict.fromkeys(("data", "label"), self.words)

    def promised(self) -> dict[str, Shape]:
        """How many symbols there are its vocabulary tells, where that is saved; else the text."""
        saved = self.vocabulary is not None and os.path.isfile(self.vocabulary)
        if not saved and all(map(os.path.isfile, self.file)):
            return {}
        if saved:
            self.classes = dict.fromkeys(("data", "label"), len(vocabulary.load(Path(str(self.vocabulary)))))
        return self.windows()

    def windows(self) -> dict[str, Shape]:
        x = Shape((self.length,), "index")
        made = {"data": x, "label": x if self.target == "next" else Shape((), "index")}
        return made | ({"cont": Shape((self.length,))} if self.continues else {})

    def check_keys(self) -> None:
        if self.continues and self.stride not in (None, self.length):
            raise Refusal("source.stride", f"text: stride is {self.stride}, but windows that continue one another follow every "
                          f"{self.length} symbols; remove stride, or continues")  # fmt: skip
        if self.line_end and self.unit == "characters":
            raise Refusal("source.line_end", "text: line_end is for words; among characters the end of a line is one already")
        if self.unknown is False and self.min_count > 1:
            raise Refusal("source.min_count", "text: min_count makes rare symbols <unk>; remove unknown: false")

    @property
    def takes_unknown(self) -> bool:
        return self.unknown if self.unknown is not None else self.unit == "words" or self.min_count > 1

    # --- reading: words are numbered by their first occurrence (`spelt`), characters have their code ---
    def cut(self, spelt: dict[str, int]) -> dict[str, Any]:
        """The splits of the text, in these numbers."""
        whole = self.raw(self.file, spelt)
        made, end = {}, len(whole)
        for split, said in (("test", self.test), ("val", self.val)):
            if said is not None and said.files:
                made[split] = self.raw(said.files, spelt)
            elif said is not None:
                start = end - round(said.part * len(whole))
                made[split], end = whole[max(start, 0) : end], start
        made["train"] = whole[: max(end, 0)]
        for split in made:
            if len(made[split]) <= self.length:
                raise DataError(f"text: {split} has {len(made[split]):,} {self.unit}, too few for a window of {self.length} and "
                                "the symbol behind it; give it more text, or make length smaller")  # fmt: skip
        return {split: made[split] for split in ("train", "val", "test") if split in made}

    def raw(self, files: tuple[str, ...], spelt: dict[str, int]) -> Any:
        found = [codes for file in files for codes in self.codes(Path(file), spelt)]
        return np.concatenate(found) if found else np.empty(0, np.uint8)

    def codes(self, path: Path, spelt: dict[str, int]) -> Iterator[Any]:
        if self.unit == "characters":
            for text in pieces(path, self.encoding):
                codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
                yield codes.astype(np.min_scalar_type(int(codes.max())))
        else:
            for some_words in words(path, self.encoding, END if self.line_end else None):
                yield np.array([spelt.setdefault(word, len(spelt)) for word in some_words], np.int32)

    def spelling(self, codes: Any, spelt: dict[str, int]) -> list[str]:
        """The symbols of some codes."""
        if self.unit == "characters":
            return [chr(code) for code in codes]
        known = list(spelt)
        return [known[code] for code in codes]

    # --- numbering ---
    def known(self, train: Any, spelt: dict[str, int]) -> list[str]:
        """The vocabulary: of its file, or of train."""
        if self.vocabulary is not None and os.path.lexists(self.vocabulary):
            return vocabulary.load(Path(self.vocabulary))
        codes, counts = counted(train)
        pairs = zip(self.spelling(codes, spelt), counts.tolist(), strict=True)
        if self.unit == "characters":
            made = [symbol for symbol, count in pairs if count >= self.min_count]
        else:
            made = vocabulary.by_count(pairs, self.min_count)
        if self.takes_unknown:
            made = [UNKNOWN, *(word for word in made if word != UNKNOWN)]
        if self.vocabulary is not None:
            vocabulary.save(Path(self.vocabulary), made)
        return made

    def encode(self, text: Any, spelt: dict[str, int], where: str) -> Any:
        """A text as numbers of the vocabulary, in as few bytes as they take."""
        number = {word: n for n, word in enumerate(self.words)}
        codes, _ = counted(text)
        table = np.zeros(int(codes[-1]) + 1, np.min_scalar_type(len(self.words)))
        for code, symbol in zip(codes, self.spelling(codes, spelt), strict=True):
            found = number.get(symbol, number.get(UNKNOWN))
            if found is None:
                way_out = f"add {UNKNOWN} to it" if self.vocabulary else "set unknown: true"
                place = f"at {int((text == code).argmax()):,} of the {self.unit} of {where}"
                raise DataError(f"text: {symbol!r}, {place}, is not in the vocabulary of {self.vocabulary or 'train'}; "
                                f"{way_out}, or mend the text")  # fmt: skip
            table[code] = found
        return table[text]

    # --- samples ---
    def lay_out(self, texts: dict[str, Any]) -> None:
        """Numbers the windows: split after split, from the start of each."""
        self.splits, self.text_at, self.first_of = {}, {}, {}
        count = at = 0
        for split, text in texts.items():
            windows = (len(text) - 1 - self.length) // self.step + 1
            self.splits[split] = np.arange(count, count + windows)
            self.first_of[split], self.text_at[split] = count, at
            count, at = count + windows, at + len(text)
        self.symbols = np.concatenate(list(texts.values()))
        self.begins = np.zeros(count, bool)  # windows with which a stream begins
        self.begins[list(self.first_of.values())] = True

    def __len__(self) -> int:
        return len(self.begins)

    def start(self, indices: Any) -> tuple[Any, Any]:
        """The splits of some windows (by number), and where they start in the text of the split."""
        firsts = np.array(list(self.first_of.values()))
        part = np.searchsorted(firsts, indices, side="right") - 1
        return part, (indices - firsts[part]) * self.step

    def read(self, indices: Any, out: Arrays) -> None:
        indices = np.asarray(indices)
        part, start = self.start(indices)
        places = (np.array(list(self.text_at.values()))[part] + start)[:, None] + np.arange(self.length + 1)
        window = self.symbols[places]  # (N, T + 1)
        if "data" in out:
            out["data"][...] = window[:, :-1]
        if "label" in out:
            out["label"][...] = window[:, 1:] if self.target == "next" else window[:, -1]
        if "cont" in out:
            out["cont"][...] = 1
            out["cont"][self.begins[indices], 0] = 0

    def identify(self, index: int) -> str:
        part, start = self.start(np.array(index))
        return f"{self.unit} {int(start):,} to {int(start) + self.length - 1:,} of {list(self.first_of)[int(part)]}"

    def arrange(self, rows: Any, size: int) -> Any:
        """Streams of windows side by side, as equal in length as can be; where one begins, `cont` is 0."""
        if not self.continues:
            return None
        rows = np.asarray(rows)
        each, longer = divmod(len(rows), min(size, len(rows)))
        lengths = np.full(min(size, len(rows)), each)
        lengths[:longer] += 1
        starts = np.cumsum(lengths) - lengths
        self.begins[rows] = np.diff(rows, prepend=-2) != 1
        self.begins[rows[starts]] = True
        turns = np.arange(each + bool(longer))[:, None]
        return rows[(starts + turns)[turns < lengths]]

    def load(self, path: Path) -> Arrays:
        """The last window of a file."""
        spelt: dict[str, int] = {}
        text = self.raw((str(path),), spelt)
        if len(text) < self.length:
            raise DataError(f"{path}: has {len(text):,} {self.unit}, and the net reads {self.length}; give it a longer text")
        return {"data": self.encode(text[-self.length :], spelt, str(path)).astype(np.int32)}


def counted(text: Any) -> tuple[Any, Any]:
    """The codes that a text has, in order, and how often; some at a time, for counting widens what it counts."""
    counts = np.zeros(int(text.max()) + 1, np.int64)
    for start in range(0, len(text), SOME):
        counts += np.bincount(text[start : start + SOME], minlength=len(counts))
    codes = np.flatnonzero(counts)
    return codes, counts[codes]
