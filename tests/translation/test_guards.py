"""Translations that have gone wrong are noticed; people who repeat themselves are left alone."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import needs
from translation.bitext import django, udhr

from mlx_speak.errors import ModelNotFoundError
from mlx_speak.hub import load_translator
from mlx_speak.translation.guards import LOOP, TIMES, Guard, longest_translation


def words(text: str) -> list[str]:
    """Stand-ins for tokens: words, marks, and the characters of scripts without spaces."""
    return re.findall(r"[぀-ヿ一-鿿]|\w+|[^\w\s]", text)


def watch(source: str, translation: str) -> Guard:
    """A guard that has seen a translation grow word by word."""
    length = len(words(source))
    guard = Guard(source, length, longest_translation(length))
    numbers: dict[str, int] = {}
    tokens = [numbers.setdefault(word, len(numbers)) for word in words(translation)]
    for end in range(1, len(tokens) + 1):
        guard.see(tokens[:end])
    return guard


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("No, no, no, no.", "Não, não, não, não."),
        ("One trillion, please.", "1 000 000 000 000, s'il vous plaît."),
        ("ha ha ha ha", "ha ha ha ha"),
        ("Ha ha ha ha ha ha ha ha ha ha ha ha ha ha!", "哈哈哈哈哈哈哈哈哈哈哈哈哈哈！"),
        ("哈哈哈哈哈哈哈哈哈", "ha, ha, ha, ha, ha, ha, ha, ha, ha"),
        ("That is very, very, very good.", "Isso é muito, muito, muito bom."),
        ("What?!?!?!?!?!?!?!?!?!?!", "O quê?!?!?!?!?!?!?!?!?!?!"),
        ("Wait............", "Espera. . . . . . . . . . . . . . . ."),
        ("New York, New York", "Nova York, Nova York"),
        ("1, 1, 1, 1, 1, 1, 1, 1", "1, 1, 1, 1, 1, 1, 1, 1"),
        ("We will, we will, we will rock you.", "Vamos, vamos, vamos abalar você."),
        (
            "Rain, rain, go away, rain, rain, go away.",
            "雨、雨、あっちへ行け、雨、雨、あっちへ行け。",
        ),
        ("Buffalo buffalo Buffalo buffalo buffalo", "Búfalos búfalos búfalos búfalos búfalos"),
        ("The set is {0, 1, 2, 3}.", "O conjunto é {0, 1, 2, 3}."),
        ("…", ""),
        ("😀 🎉", ""),
        ("Yes.", "Sim, claro, com certeza, sem dúvida nenhuma."),
        ("I do not know what you want me to say about that.", "知らない。"),
        ("", ""),
    ],
)
def test_nothing_is_wrong(source: str, translation: str) -> None:
    guard = watch(source, translation)
    assert guard.verdict() is None
    assert len(guard.tokens) == len(words(translation))


@pytest.mark.packages
def test_nothing_is_wrong_with_real_translations(models: dict[str, Path]) -> None:
    """Those of Bergamot, of the declaration of human rights and of Django's messages."""
    try:
        pairs = udhr() + django()
    except ModelNotFoundError as error:
        needs(False, f"bitext that packages ship: {error}")
    for name, side in (("bergamot-en-pt", 0), ("bergamot-pt-en", 1)):
        results = load_translator(models[name]).translate([pair[side] for pair in pairs])
        assert [result.warning for result in results if result.warning] == []


@pytest.mark.parametrize(
    ("translation", "kept"),
    [
        # facebookresearch/fairseq#4639, where NLLB says so for a Russian sentence, on and on.
        (f"{'I am sorry, but ' * 15}and I am sorry.", "I am sorry, but I am sorry, but"),
        ("Good day, the the the " + "the " * 50, "Good day, the the"),
        ("I see the cat, the dog, the cat, the dog, the cat, the dog, the cat,", None),
        ("それは、それは、" * 9, "それは、それは、"),
    ],
)
def test_loops(translation: str, kept: str | None) -> None:
    guard = watch("добрый день, просьба добавить в исключение файл.", translation)
    fault = guard.verdict()
    assert fault is not None
    assert fault == guard.loop
    assert "repeats itself" in fault.warning
    kept = kept or "I see the cat, the dog, the cat, the dog,"
    assert fault.keep == len(words(kept))


def test_what_is_shown_ends_before_a_third_time() -> None:
    guard = Guard("a", 5, 99)
    stream = [7, 8, 1, 2, 3, 1, 2, 3, 1, 2, 9, 4]
    certain = [guard.see(stream[:end]) for end in range(1, len(stream) + 1)]
    # From the third 1 on nothing more is certain, until 9 shows that it is no loop.
    assert certain == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 11, 12]
    guard = Guard("a", 5, 99)
    loop = [7, 8, *([1, 2, 3, 4] * 5)]
    certain = [guard.see(loop[:end]) for end in range(1, len(loop) + 1)]
    assert max(certain) == 10
    assert guard.loop is not None
    assert guard.loop.keep == 10
    assert guard.loop.period == 4
    assert len(guard.tokens) == 2 + 3 * 4  # and no more was taken in


def first_loop(tokens: list[int]) -> tuple[int, int] | None:
    """What to keep and the period of the first loop, found by trying everything."""
    for end in range(1, len(tokens) + 1):
        for period in range(1, end // TIMES + 1):
            length = max(LOOP, TIMES * period)
            tail = tokens[max(0, end - length) : end]
            if len(tail) == length and tail[period:] == tail[:-period]:
                start = end - length
                return start + 2 * period, period
    return None


@given(st.lists(st.integers(0, 2), max_size=60), st.lists(st.integers(1, 9)))
@example([0, 1] * 9, [3])
@settings(max_examples=400)
def test_every_loop_is_found_however_the_tokens_come(tokens: list[int], steps: list[int]) -> None:
    guard = Guard("a", 100, 99)
    shown = 0
    for end in [*itertools.accumulate(steps), len(tokens)]:
        certain = guard.see(tokens[:end])
        if guard.loop:
            break
        shown = max(shown, certain)
    expected = first_loop(tokens)
    found = guard.loop and (guard.loop.keep, guard.loop.period)
    assert found == expected
    if guard.loop:
        assert shown <= guard.loop.keep
    else:
        assert guard.tokens == tokens


@pytest.mark.parametrize(
    ("source", "length", "tokens", "limit", "warning"),
    [
        ("A sentence.", 40, 5, 99, "far too short: 5 tokens for 40"),
        ("A sentence.", 40, 6, 99, None),
        ("A sentence.", 16, 1, 99, None),
        ("A word.", 4, 0, 99, "is empty"),
        ("?!", 4, 0, 99, None),
        ("字", 3, 0, 99, "is empty"),
        ("A word.", 4, 98, 99, None),
        ("A word.", 4, 99, 99, "no end, and was cut after 99"),
    ],
)
def test_lengths(source: str, length: int, tokens: int, limit: int, warning: str | None) -> None:
    guard = Guard(source, length, limit)
    guard.see(list(range(tokens)))
    fault = guard.verdict()
    if warning is None:
        assert fault is None
    else:
        assert fault is not None
        assert warning in fault.warning
        assert fault.keep == tokens


def test_the_longest_translation() -> None:
    """A sentence that is as short as can be gets room; a translation is flagged both ways alike."""
    assert longest_translation(1) >= 20
    assert longest_translation(100) == 416
