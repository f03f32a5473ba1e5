"""Patterns of file names: what they match, what they do not, and each way to write one wrongly."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dltrain.data.pattern import Pattern


@pytest.mark.parametrize(("pattern", "name", "found"), [
    ("{label}_{speaker}_{take:int}.wav", "7_jackson_32.wav", {"label": "7", "speaker": "jackson", "take": 32}),
    ("{label}_{speaker}_{take:int}.wav", "7_jackson_32.WAV", {"label": "7", "speaker": "jackson", "take": 32}),
    ("{label}_{speaker}_{take:int}.wav", "some/folder/7_jackson_007.wav", {"label": "7", "speaker": "jackson", "take": 7}),
    ("{label}_{speaker}_{take:int}.wav", "7_jack_son_32.wav", None),  # in two ways
    ("{label}_{speaker}.wav", "7_jack_son.wav", None),
    ("{label}_{speaker}", "7_jack_son", None),
    ("{label}_{speaker}-{place}", "7_jack-a_b", {"label": "7", "speaker": "jack", "place": "a_b"}),
    ("{label}_{speaker}_{take:int}.wav", "7_jackson_x.wav", None),
    ("{label}_{speaker}_{take:int}.wav", "7__32.wav", None),
    ("{label}_{speaker}_{take:int}.wav", "7_jackson_32.wav.bak", None),
    ("{label}_{take:int}.jpg", "american_bulldog_10.jpg", {"label": "american_bulldog", "take": 10}),
    ("{label}_{a:int}_{b:int}.jpg", "x_1_2_3.jpg", {"label": "x_1", "a": 2, "b": 3}),
    ("{label}.{take:int}.jpg", "cat.0.jpg", {"label": "cat", "take": 0}),
    ("{label}{take:int}.jpg", "cat12.jpg", {"label": "cat", "take": 12}),
    ("{speaker}_{label}{take:int}.jpg", "x_y12.jpg", {"speaker": "x", "label": "y", "take": 12}),
    ("{speaker}_{label}{take:int}.jpg", "x_y_z12.jpg", None),
    ("{label}{take:int}{speaker}.jpg", "cat12bob.jpg", {"label": "cat", "take": 12, "speaker": "bob"}),
    ("{take:int}{label}.jpg", "12cat.jpg", {"take": 12, "label": "cat"}),
    ("{label} - {speaker}.wav", "new york - a-b.wav", {"label": "new york", "speaker": "a-b"}),
    ("{label}/{speaker}_nohash_{take:int}.wav", "yes/0a7c_nohash_1.wav", {"label": "yes", "speaker": "0a7c", "take": 1}),
    ("{label}/{speaker}_nohash_{take:int}.wav", "x/yes/0a7c_nohash_1.wav", None),
    ("{label}/{speaker}_nohash_{take:int}.wav", "0a7c_nohash_1.wav", None),
    ("{label}/{take:int}.png", "a_b/1.png", {"label": "a_b", "take": 1}),
    ("cat.{label}", "Cat.png", None),  # only the end may differ in case
    ("{label}", "a.b.png", {"label": "a.b.png"}),
    ("{label:int}_{take:int}.png", "3_9.png", {"label": 3, "take": 9}),
    ("{label:int}.png", "٣.png", None),
    ("{label:int}.png", "9" * 18 + ".png", {"label": int("9" * 18)}),
    ("{label:int}.png", "9" * 19 + ".png", None),
    ("{label}.png", "a\nb.png", {"label": "a\nb"}),
    ("{label}+(.png", "a+(.png", {"label": "a"}),
])  # fmt: skip
def test_match(pattern: str, name: str, found: dict[str, str | int] | None) -> None:
    assert Pattern(pattern).match(name) == found


def test_names_and_kinds() -> None:
    pattern = Pattern("{label}/{speaker}_{take:int}.wav")
    assert pattern.names == ["label", "speaker", "take"]
    assert pattern.kinds == {"label": "text", "speaker": "text", "take": "int"}


@pytest.mark.parametrize(("pattern", "words"), [
    ("", "must have 1 to 500 characters; write it as in {label}_{speaker}_{take:int}.png"),
    ("{label}" + "a" * 500, "must have 1 to 500 characters"),
    ("a.png", "has no {label}; name the part that is the class so"),
    ("{lable}_{take:int}.png", "has no {label}; did you mean 'lable'?"),
    ("{label}_{take:float}.png", "has {take:float}; a part is a text, {take}, or a whole number, {take:int}"),
    ("{label}_{take:}.png", "has {take:}; a part is a text, {take}, or a whole number, {take:int}"),
    ("{label}_{}.png", "has the name {}; a name has letters, digits and _"),
    ("{label}_{a b}.png", "has the name {a b}; a name has letters, digits and _"),
    ("{label}_{a!r}.png", "has the name {a!r}; a name has"),
    ("{label}_{label}.png", "has {label} twice; give each part a name of its own"),
    ("{label}{speaker}.png", "has {label} and {speaker} side by side; put a character between them"),
    ("{label}_{a:int}{b:int}.png", "has {a} and {b} side by side"),
    ("{label}_{take:int}0.png", "has the digit 0 behind the number {take:int}; nobody can tell where it ends"),
    ("{label.png", "has a lone brace in '{label.png'; write it as in"),
    ("{{label}}.png", "has a lone brace in"),
    ("../{label}.png", "has an empty part, . or .. between slashes; it is a path below the root"),
    ("/{label}.png", "has an empty part, . or .. between slashes"),
])  # fmt: skip
def test_refuses(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        Pattern(pattern)


WORDS = some.text("ab.-", min_size=1, max_size=5)


@given(label=WORDS, speaker=WORDS, take=some.integers(0, 10**17))
def test_finds_what_a_name_was_made_of(label: str, speaker: str, take: int) -> None:
    made = {"label": label, "speaker": speaker, "take": take}
    assert Pattern("{label}_{speaker}_{take:int}.wav").match(f"{label}_{speaker}_{take}.wav") == made


@given(name=some.text("a_1./", max_size=30))
def test_a_match_says_the_whole_name(name: str) -> None:
    for text in ("{label}_{speaker}_{take:int}.a", "{label}_{take:int}", "{label}/{speaker}_{take:int}", "{a}__{label}_1"):
        found = Pattern(text).match(name)
        if found is not None and not any(str(value).startswith("0") for value in found.values()):
            said = text.replace(":int", "").format(**found)
            assert said == (name if "/" in text else name.rpartition("/")[2])


def test_no_name_makes_it_slow() -> None:
    pattern = Pattern("_".join(f"{{{name}}}" for name in ("label", *"abcdefghijklmnopqrst")) + "_end")
    assert pattern.match("a_" * 2000) is None
