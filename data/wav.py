"""A folder of WAV files: short sounds with a class each."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import WithJsonSchema

from dltrain.data.mel import Frames, LogMel
from dltrain.data.pattern import FilePattern, Pattern
from dltrain.data.riff import Sound, resampled
from dltrain.errors import DataError, Refusal, did_you_mean
from dltrain.fields import Count, bare
from dltrain.source import ANY_SIZE, Arrays, Shape, Source, source

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True)
class Features(Frames):
    """What is made of the sounds: log_mel, with its keys (see the step mel)."""

    type: Literal["log_mel"] = "log_mel"


_POSITIVE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
_KEYS = {"type": {"enum": ["log_mel"]}, "mels": {"type": "integer", "minimum": 1}, "window": _POSITIVE, "hop": _POSITIVE,
         "low": {"type": "number", "minimum": 0}, "high": _POSITIVE}  # fmt: skip
_FEATURES = {"type": ["object", "string", "null"], "properties": _KEYS, "additionalProperties": False, "pattern": "^log_mel$"}


@dataclass(frozen=True)
class File:
    """One file, and what its name says."""

    path: str
    label: str | int
    facts: dict[str, str | int]


@source("wav_folder")
class WavFolder(Source):
    """The .wav files of a folder.

    data    1 x length, -1 .. 1, the mean of the channels; without length as long as each is.  With features: mels x frames
    label   the class; classes are put in order, and numbered

    root        a folder for each class, or, with folders train, val and test, such folders in each of them
    files       a pattern, where classes stand in the names: "{label}_{speaker}_{take:int}.wav".  The other names are known of a
                sample: val: {where: "take < 5"}
    rate        samples a second, that of the first file where nothing is said.  A file of another rate is an error, or, with
                resample, made to have it by linear interpolation (which does not smooth before it lowers a rate)
    length      samples of each: longer sounds lose their ends, both alike; shorter ones are followed by zeros
    features    log_mel, or {type: log_mel, mels: 40, window: 0.025, hop: 0.01, low: 0, high: 4000} (seconds and Hz)

    To cut at random in train leave out length, and cut in the transform: transform: [{cut: 8000}].
    """

    paths: ClassVar[tuple[str, ...]] = ("root",)

    root: str
    files: FilePattern | None = None
    rate: Count | None = None
    resample: bool = False
    length: Count | None = None
    features: Annotated[Features | None, bare("type"), WithJsonSchema(_FEATURES)] = None

    def open(self) -> None:
        if self.resample and self.rate is None:
            raise Refusal("source.resample", "wav_folder: resample needs rate, the samples a second to make; add rate: 16000")
        found = self.find()
        self.samples = [file for some in found.values() for file in some]
        cuts = np.cumsum([0, *(len(some) for some in found.values())])
        self.splits = {split: np.arange(start, end) for split, start, end in zip(found, cuts, cuts[1:])}
        self.number(found)
        self.hertz = self.rate or self.first_rate()
        self.mel = self.mel_of(self.features) if self.features else None
        self.fields = {"data": self.shape(), "label": Shape((), "index")}

    def promised(self) -> dict[str, Shape]:
        """How many classes there are, and a rate that is not said, only the folder tells."""
        if os.path.isdir(self.root) or (self.features and self.rate is None):
            return {}
        self.hertz = self.rate or 0
        self.mel = self.mel_of(self.features) if self.features else None
        return {"data": self.shape(), "label": Shape((), "index")}

    def mel_of(self, features: Features) -> LogMel:
        try:
            return LogMel(features, self.hertz)
        except Refusal as refusal:
            raise Refusal(f"source.features.{refusal.key}", f"wav_folder: features: {refusal}") from None

    def shape(self) -> Shape:
        samples = self.length or ANY_SIZE
        if self.mel is None:
            return Shape((1, samples))
        if self.mel.frames(samples) == 0:
            raise Refusal("source.length", f"wav_folder: length {samples} is less than a window of {self.mel.window} samples")
        return Shape((self.mel.mels, self.mel.frames(samples)))

    # --- the files ---
    def find(self) -> dict[str, list[File]]:
        """The files of each split, in the order of their names."""
        if not os.path.isdir(self.root):
            raise DataError(f"{self.root}: there is no such folder; set root to the folder of the sounds")
        parts = [split for split in SPLITS if os.path.isdir(os.path.join(self.root, split))]
        if "train" not in parts:
            return {"train": self.within(self.root)}
        return {split: self.within(os.path.join(self.root, split)) for split in parts}

    def within(self, folder: str) -> list[File]:
        pattern = Pattern(self.files) if self.files is not None else None
        made, strangers = [], []
        for path in sounds(folder):
            name = os.path.relpath(path, folder)
            facts = {"label": name.split(os.sep)[0]} if pattern is None and os.sep in name else {}
            found = pattern.match(name.replace(os.sep, "/")) if pattern else facts
            if found:
                made.append(File(path, found["label"], {key: value for key, value in found.items() if key != "label"}))
            else:
                strangers.append(name)
        if strangers and pattern:
            some = f"{len(strangers):,} of {len(strangers) + len(made):,} .wav files, such as {strangers[0]},"
            raise DataError(f"{folder}: {some} are not named as files says, {self.files}; mend it, or put them elsewhere")
        if strangers:
            raise DataError(f"{folder}: {strangers[0]} is in no folder of a class; make one for each class, or say where the "
                            'class stands in the names: files: "{label}_{take:int}.wav"')  # fmt: skip
        if not made:
            raise DataError(f"{folder}: has no .wav files; set root to the folder of the sounds")
        return made

    def number(self, found: dict[str, list[File]]) -> None:
        """Classes, and what is known of each sample.  The classes are those of train."""
        labels = sorted({file.label for file in found["train"]}, key=lambda label: (isinstance(label, str), label))
        place = {label: number for number, label in enumerate(labels)}
        for files in found.values():
            for file in files:
                if file.label not in place:
                    raise DataError(
                        f"{file.path}: its class, {file.label}, is not in train; {did_you_mean(file.label, map(str, labels))}"
                    )
        self.label = np.array([place[file.label] for file in self.samples])
        self.classes, self.names = {"label": len(labels)}, {"label": [str(label) for label in labels]}
        self.facts = {name: [file.facts[name] for file in self.samples] for name in self.samples[0].facts}

    def first_rate(self) -> int:
        with Sound(self.samples[0].path) as sound:
            return sound.rate

    # --- samples ---
    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int, wanted: Collection[str]) -> Arrays:
        made: Arrays = {"label": self.label[index]} if "label" in wanted else {}
        return made | self.load(Path(self.samples[index].path)) if "data" in wanted else made

    def load(self, path: Path) -> Arrays:
        x = self.cut(path)
        return {"data": x[None] if self.mel is None else self.mel(x)}

    def cut(self, path: Path) -> Any:
        """(length) samples of a file: its middle, or followed by zeros; all of them without length."""
        with Sound(path) as sound:
            if sound.rate != self.hertz and not self.resample:
                raise DataError(f"{path}: has {sound.rate:,} samples a second, not {self.hertz:,}; set rate and "
                                "resample: true, or put the file elsewhere")  # fmt: skip
            if self.length is None or sound.rate != self.hertz:
                x = resampled(sound.read(), sound.rate, self.hertz)
            else:
                x = sound.read(max(0, (sound.frames - self.length) // 2), min(self.length, sound.frames))
        if self.length is None:
            return x
        start = max(0, (len(x) - self.length) // 2)
        return np.pad(x[start : start + self.length], (0, max(0, self.length - len(x))))

    def identify(self, index: int) -> str:
        return os.path.relpath(self.samples[index].path, self.root)


def sounds(folder: str) -> Iterator[str]:
    """The .wav files below a folder, in the order of their names; hidden ones are none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); make the folder readable") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from sounds(entry.path)
        elif entry.name.lower().endswith(".wav"):
            yield entry.path
