"""What is written and what is spoken: the table of `reading.tsv`, and that nothing else is lost."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text.spoken import sentences

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.text import read_aloud

CASES = [
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("reading.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def said(text: str, language: str) -> str:
    """The whole way of a text that is not translated: markdown, sentences, words."""
    return " ".join(
        read_aloud(sentence, language) for sentence in sentences(text, "text", language)
    )


def test_the_table_is_large_and_of_three_languages() -> None:
    assert len(CASES) == len(set(CASES)) >= 150
    for language in ("en", "pt", "ja"):
        assert sum(case[0] == language for case in CASES) >= 40


@pytest.mark.parametrize(("language", "written", "spoken"), CASES, ids=lambda text: text)
def test_it_is_read_as_a_person_would(language: str, written: str, spoken: str) -> None:
    assert said(written, language) == spoken


def test_what_is_spoken_stays_as_it_is() -> None:
    for language, _, spoken in CASES:
        assert read_aloud(spoken, language) == spoken


def test_other_languages_are_left_to_their_voices() -> None:
    assert read_aloud("Nimm v2.13.0.", "de") == "Nimm v2.13.0."
    with pytest.raises(UnknownLanguageError):
        read_aloud("a", "tlh")


PLAIN = ("apple", "house", "river", "window", "quiet", "summer")
SIGNS = st.text("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ 0123456789→≥√²±€°", min_size=1, max_size=6)
MIXED = st.lists(st.sampled_from(PLAIN) | SIGNS, max_size=12).map("".join)


def contains(text: str, parts: list[str]) -> bool:
    """Whether the parts are in a text, in this order."""
    position = 0
    for part in parts:
        position = text.find(part, position) + len(part)
        if position < len(part):
            return False
    return True


@settings(max_examples=100)
@given(MIXED, st.sampled_from(["en", "pt", "ja"]))
def test_no_word_is_lost(text: str, language: str) -> None:
    assert contains(read_aloud(text, language), re.findall("|".join(PLAIN), text))


@settings(max_examples=100)
@given(MIXED, st.sampled_from(["en", "pt", "ja"]))
def test_no_digit_is_lost(text: str, language: str) -> None:
    text = re.sub("[/:$€^*²-]", " ", text)  # dates, fractions and squares are named
    assert contains(read_aloud(text, language), re.findall(r"\d", text))


@settings(max_examples=100)
@given(st.text(max_size=60), st.sampled_from(["en", "pt", "ja"]))
def test_any_text_can_be_read(text: str, language: str) -> None:
    said = read_aloud(text, language)
    assert any(map(str.isalnum, said)) or not any(map(str.isalnum, text)) or "()" in text


@pytest.mark.parametrize(
    "part", ["a-", "a.b", "__", "/", "1,", "a/", "aB", "-", "f(", "@a", "²", "p. "]
)
def test_the_longest_sentence_takes_no_time(part: str) -> None:
    """A sentence has 400 characters at most; the bound leaves room for a machine that is busy."""
    text = (part * 400)[:400]
    began = time.process_time()
    for language in ("en", "pt", "ja"):
        read_aloud(text, language)
    assert time.process_time() - began < 0.5
