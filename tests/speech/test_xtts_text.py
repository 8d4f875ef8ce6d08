"""XTTS's front end: what coqui-tts makes of sentences, and of what it fails at; nothing lost."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.errors import MissingExtraError, ModelFormatError, UnknownLanguageError
from mlx_speak.speech.xtts.text import LANGUAGES, clean
from mlx_speak.speech.xtts.text.wording import LONGEST
from mlx_speak.speech.xtts.tokenizer import XTTSTokenizer

FIXTURES = Path(__file__).parents[1] / "fixtures"
SENTENCES = json.loads((FIXTURES / "xtts_front_end" / "sentences.json").read_text("utf-8"))
KEPT = json.loads((FIXTURES / "xtts_tiny" / "front_end.json").read_text("utf-8"))

# coqui-tts reads 2000米, two kilometres, as the digits of a number on a label.
OTHERWISE = {"我有2个苹果和200本书，2000米。"}

READ = [row for row in SENTENCES["sentences"] if "clean" in row and row["text"] not in OTHERWISE]
FAILED = [row for row in SENTENCES["sentences"] if "error" in row]


@pytest.fixture(scope="module")
def tokenizer() -> XTTSTokenizer:
    return XTTSTokenizer(FIXTURES / "xtts_front_end" / "vocab.json")


def test_every_language_is_compared() -> None:
    assert {row["language"] for row in READ} == set(LANGUAGES)
    assert len(LANGUAGES) == 17
    assert {row["language"] for row in FAILED} == {"cs", "hi"}


@pytest.mark.parametrize("row", READ, ids=lambda row: f"{row['language']}: {row['text'][:24]}")
def test_as_coqui_reads_it(row: dict, tokenizer: XTTSTokenizer) -> None:
    assert clean(row["text"], row["language"]) == row["clean"]
    assert tokenizer.encode(row["text"], row["language"]) == row["ids"]


@pytest.mark.parametrize("language", [name for name in KEPT if "clean" in KEPT[name]])
def test_as_coqui_read_it_with_its_own_vocabulary(language: str) -> None:
    assert clean(KEPT[language]["text"], language.partition("-")[0]) == KEPT[language]["clean"]


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [
        ("hi", "मेरे पास 4 किताबें हैं।", "मेरे पास चार किताबें हैं।"),
        ("hi", "४५ लोग", "पैंतालीस लोग"),
        ("hi", "1,25,000 रुपये", "एक लाख पच्चीस हज़ार रुपये"),
        ("hi", "3.14", "तीन दशमलव एक चार"),
        ("hi", "10000000", "एक करोड़"),
        ("hi", "5वां भाग, 6वीं", "पाँचवां भाग, छठी"),
        ("hi", "50% और 99", "पचास प्रतिशत और निन्यानवे"),
        ("hi", "1" * 16, " ".join(["एक"] * 16)),
        ("cs", "3. května", "tři. května"),  # num2words has no Czech ordinals
        ("zh", "2000米", "liang3qian1mi3"),
        ("zh", "3.1415", "san1dian3yi1si4yi1wu3"),
        ("zh", "B2B", "b2b"),
        ("en", "1.2.3", "one point two.three"),
    ],
)
def test_what_coqui_cannot_read(language: str, text: str, read: str) -> None:
    assert clean(text, language) == read


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"ja", "zh"}))
def test_no_digit_is_left(language: str) -> None:
    for text in ("7", "21 %", "1.234.567", "1,234.5", "$3.50", "3€", "4.", "1" * 400, "0", "007"):
        assert not any(c in "0123456789" for c in clean(text, language)), text


@given(
    st.sampled_from(sorted(set(LANGUAGES) - {"ja"})),
    st.text(alphabet='0123456789.,$€£%°&@#-º "aeçж你नü', max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_nothing_is_too_odd_to_be_read(language: str, text: str) -> None:
    assert isinstance(clean(text, language), str)


@given(
    st.sampled_from(["en", "pt", "hi", "zh"]),
    st.text(alphabet="ab12.,!? \n你。，न", max_size=400),
    st.integers(20, 90),
)
@settings(max_examples=100, deadline=None)
def test_parts_lose_no_character(language: str, text: str, longest: int) -> None:
    tokenizer = XTTSTokenizer(FIXTURES / "xtts_front_end" / "vocab.json")
    parts = list(tokenizer.parts(text, language, longest))
    assert "".join(part for part, _ in parts) == text
    assert all(len(part.strip()) <= LONGEST[language] for part, _ in parts)
    assert all(len(ids) <= longest for _, ids in parts)


def test_a_long_text_is_cut_between_sentences(tokenizer: XTTSTokenizer) -> None:
    sentence = "The build of this part has ended without any error at all. "
    parts = [part for part, _ in tokenizer.parts(sentence * 10, "en", 400)]
    assert [len(part) // len(sentence) for part in parts] == [4, 4, 2]
    assert list(tokenizer.parts("", "en", 400)) == []


def test_numbers_that_become_too_long_are_cut(tokenizer: XTTSTokenizer) -> None:
    text = "It is 123456789, 987654321, 192837465."
    parts = list(tokenizer.parts(text, "en", 60))
    assert len(parts) > 1
    assert "".join(part for part, _ in parts) == text
    assert max(len(ids) for _, ids in parts) <= 60


def test_languages_of_the_vocabulary(tokenizer: XTTSTokenizer) -> None:
    assert tokenizer.languages[0] == "en"
    assert set(tokenizer.languages) == set(LANGUAGES)
    with pytest.raises(UnknownLanguageError, match="does not read 'sv'"):
        tokenizer.encode("Hej.", "sv")


@pytest.mark.parametrize("content", ["", "{", '{"model": {"type": "BPE"}}', "[]"])
def test_a_damaged_vocabulary(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"vocab\.json"):
        XTTSTokenizer(tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("package", "language", "extra"),
    [
        ("num2words", "en", "xtts"),
        ("pypinyin", "zh", "xtts-zh"),
        ("ko_speech_tools", "ko", "xtts-ko"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, language: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        clean("7", language)
    assert caught.value.extra == extra
