"""Cutting phonemes: nothing lost, nothing too long, cuts where a speaker would pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_speak.speech.kokoro.chunks import clauses, utterances

TEXT = st.text(alphabet='abəˈ ,.!?;:—…"”)', max_size=1500)


@given(TEXT, st.integers(1, 510))
def test_utterances_lose_nothing(phonemes: str, limit: int):
    parts = list(utterances(phonemes, limit))
    assert "".join(parts) == phonemes
    assert all(0 < len(part) <= limit for part in parts)


@given(TEXT, st.integers(1, 510))
def test_clauses_lose_nothing(phonemes: str, limit: int):
    parts = list(clauses(phonemes, limit))
    assert "".join(parts) == phonemes
    assert all(0 < len(part) <= limit for part in parts)


def test_what_fits_is_one_utterance():
    phonemes = "a. " * 170
    assert list(utterances(phonemes, 510)) == [phonemes]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a" * 300 + ". ", "b" * 290 + ", " + "c" * 50),
        ("a" * 300 + '." ', "b" * 290 + "; " + "c" * 50),
        ("a" * 300 + ", ", "b" * 100 + " " + "c" * 200),
        ("a" * 300 + " ", "b" * 300),
        ("a" * 510, "b" * 90),
        ("a" * 100 + ", ", "b" * 500),
    ],
)
def test_the_best_place_is_taken(before: str, after: str):
    assert next(iter(utterances(before + after, 510))) == before


def test_an_early_first_clause_then_sentences():
    parts = ["həlˈO ðɛɹ mˈI dˈɪɹ fɹˈɛnd, ", "a" * 50 + ", " + "b" * 30 + ". ", "c" * 60 + "."]
    assert list(clauses("".join(parts), 510)) == parts


@pytest.mark.parametrize(
    "phonemes", ["həlˈO.", "jˈɛs, ənd nˈO.", "a" * 200, "wˈʌn, tˈu, θɹˈi, fˈɔɹ, fˈIv."]
)
def test_short_sentences_stay_whole(phonemes: str):
    assert list(clauses(phonemes, 510)) == [phonemes]


def test_long_sentences_are_cut_at_clauses():
    clause = "a" * 70 + ", "
    parts = list(clauses(clause * 6, 510))
    assert parts == [clause, clause * 3, clause * 2]
