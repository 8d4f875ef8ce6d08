"""Phonemes of any text in any language: always in the alphabet, never an untyped error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.errors import MissingExtraError, UnknownLanguageError
from mlx_speak.speech import espeak_library
from mlx_speak.speech.phonemes import ALPHABET, available, english, japanese, phonemize
from mlx_speak.speech.phonemes.alphabet import restrict
from mlx_speak.speech.phonemes.cleaning import tidy
from mlx_speak.speech.phonemes.kana import MORAE, kana_to_phonemes

LANGUAGES = ["en", "en-GB", "ja", "pt", "pt-PT", "es", "es-MX", "fr", "it", "hi"]

# What hurts engines: their own control syntax, digits, Latin among kana, marks and combining marks.
_HARD = """
pytest v2 API JSON utils.py 3.14 1,234 10:30 50% $5 R$10 C++ a_b x^2 -1 1/2 [[a]] [docs](/usr/) <b>
&amp; \\n %s (en) {} `x` ... !!! ?! — – ' " « » 「 」 、 。 ー ッ ん ゝ テスト 今日 3月 ① Ⅳ ㎏ ｶﾞ
हिन्दी १२ Привет 汉语 한국어 عربي 🎉 👩‍💻 → ↗ ˈ ː ª º ß œ ñ ç ã
"""
_HARD_PIECES = st.sampled_from(
    [*_HARD.split(), "e\u0301", "\u0303", "\u200d", "\x00", "\x1b[31m", "\ud800"]
)
_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(_HARD_PIECES, max_size=10).map("".join),
    st.lists(_HARD_PIECES, max_size=10).map(" ".join),
)


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=150, deadline=None)
@given(text=_TEXT)
def test_only_the_alphabet_comes_out(language: str, text: str) -> None:
    phonemes = phonemize(text, language)
    assert set(phonemes) <= ALPHABET
    assert phonemes == " ".join(phonemes.split())
    assert not set(phonemes) & set("→↗↘↓")


def test_alphabet_is_the_checkpoint_vocabulary() -> None:
    config = Path(__file__).parents[2] / "convert" / "kokoro_v1_0.json"
    assert set(json.loads(config.read_text(encoding="utf-8"))["vocab"]) == ALPHABET


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", ["", "  \n\t", "...", "?! —", "🎉🎉", "\x00\x07\x1b", "()", "“”"])
def test_nothing_to_pronounce(language: str, text: str) -> None:
    assert phonemize(text, language) == ""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "piece",
    ["word ", "a", "1", "x.y", "!", "(", "1,", "'", "漢", "テスト、", "भ", "\u0301", "🎉"],
)
def test_ten_thousand_characters(language: str, piece: str) -> None:
    """Each engine has inputs on which it goes quadratic; 20 s is ten times the slowest measured."""
    start = time.monotonic()
    phonemes = phonemize((piece * 10_000)[:10_000], language)
    assert time.monotonic() - start < 20
    assert set(phonemes) <= ALPHABET


@pytest.mark.parametrize("language", LANGUAGES)
def test_punctuation_is_kept(language: str) -> None:
    texts = {"ja": "はい、もう！いい？それでは…（例）。", "hi": "राम, राम! राम? राम… (राम)."}
    text = texts.get(language, "Da, la! Na? Ma… (la): ta; fa.")
    wanted = text.translate(str.maketrans("、！？（）。", ",!?()."))
    marks = ",.;:!?…()"
    found = [symbol for symbol in phonemize(text, language) if symbol in marks]
    assert found == [symbol for symbol in wanted if symbol in marks]


def test_marks_inside_a_word_are_read() -> None:
    assert "vˈirɡulˌæ" in phonemize("Vale 3,14.", "pt")
    assert "pˈoŋtʊ" in phonemize("O arquivo utils.py.", "pt")
    assert phonemize("README.mdです。", "ja").startswith("ɾʲiːdomʲiːdoʔto")


def test_text_cannot_give_phonemes() -> None:
    """hibari takes [word](/phonemes/) as an instruction, and espeak [[phonemes]]."""
    assert "jˈuz" not in phonemize("[docs](/jˈuz/)", "en")
    assert phonemize("[docs](/usr/)", "en").startswith("(dˈɑks")
    assert phonemize("[[s@s]] teste", "pt") == phonemize("((s@s)) teste", "pt")


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ("en", "en-GB", "dance"),
        ("pt", "pt-PT", "testes"),
        ("es", "es-MX", "cinco"),
    ],
)
def test_regions_differ(one: str, other: str, text: str) -> None:
    assert phonemize(text, one) != phonemize(text, other)


@pytest.mark.parametrize(
    ("code", "same"), [("en-US", "en"), ("eng_Latn", "en"), ("pt-BR", "pt"), ("jpn_Jpan", "ja")]
)
def test_any_name_of_a_language(code: str, same: str) -> None:
    assert phonemize("Test 1", code) == phonemize("Test 1", same)


def test_language_without_an_engine() -> None:
    with pytest.raises(
        UnknownLanguageError, match=r"German \(de\); known: en, es, fr, hi, it, ja, pt"
    ):
        phonemize("Hallo", "de")
    with pytest.raises(UnknownLanguageError):
        phonemize("?", "tlh")


def test_available() -> None:
    assert available() == dict.fromkeys(["en", "es", "fr", "hi", "it", "ja", "pt"], True)


@pytest.mark.parametrize(
    ("language", "extra", "hidden"),
    [
        ("en", "en", "hibari"),
        ("en", "en", "onnxruntime"),
        ("ja", "ja", "haqumei"),
        ("pt", "pt", "espeakng_loader"),
        ("fr-CA", "fr", "espeakng_loader"),
    ],
)
def test_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, language: str, extra: str, hidden: str
) -> None:
    caches = (english._reader, japanese._frontend, espeak_library.espeak)
    for module in [name for name in sys.modules if name.partition(".")[0] == hidden]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, hidden, None)
    monkeypatch.setattr(espeak_library, "SYSTEM_LIBRARIES", ())
    for cached in caches:
        cached.cache_clear()
    try:
        with pytest.raises(MissingExtraError, match=rf"mlx-speak\[{extra}\]") as caught:
            phonemize("", language)  # at once, even before there is anything to say
        assert caught.value.extra == extra
        assert not available()[extra]
    finally:
        for cached in caches:
            cached.cache_clear()


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_WITHOUT_LOADER = """
import sys, espeakng_loader as loader
from mlx_speak.errors import SpeakError
from mlx_speak.speech import espeak_library
from mlx_speak.speech.phonemes import phonemize
espeak_library.SYSTEM_LIBRARIES = ("no-such-library.so", loader.get_library_path())
sys.modules["espeakng_loader"] = None
try:
    print(phonemize("Todos os testes.", "pt"))
except SpeakError as error:
    print("error:", error)
"""


def test_system_library_serves_without_the_package() -> None:
    import espeakng_loader

    phonemes = _python(_WITHOUT_LOADER, ESPEAK_DATA_PATH=espeakng_loader.get_data_path())
    assert phonemes == phonemize("Todos os testes.", "pt")


def test_espeak_without_its_data_is_an_error_and_not_an_exit() -> None:
    code = """
import espeakng_loader
from mlx_speak.errors import SpeakError
from mlx_speak.speech.phonemes import phonemize
espeakng_loader.get_data_path = lambda: "/no/such/folder"
try:
    phonemize("Oi.", "pt")
except SpeakError as error:
    print("error:", error)
"""
    assert "/no/such/folder" in _python(code)


def test_engines_load_at_the_first_text() -> None:
    code = """
import sys, mlx_speak.speech.phonemes
print([m for m in ("hibari", "haqumei", "onnxruntime", "espeakng_loader") if m in sys.modules])
"""
    assert _python(code) == "[]"


def test_any_thread_may_call() -> None:
    cases = [
        ("Run the tests.", "en"),
        ("Todos os testes.", "pt"),
        ("Le test.", "fr"),
        ("試す。", "ja"),
    ]
    expected = [phonemize(*case) for case in cases]
    wrong: list[object] = []

    def work(offset: int) -> None:
        try:
            for turn in range(40):
                index = (turn + offset) % len(cases)
                if phonemize(*cases[index]) != expected[index]:
                    wrong.append(cases[index])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("phonemes started a process")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    monkeypatch.setattr(os, "system", forbidden)
    espeak_library.espeak.cache_clear()
    for language in LANGUAGES:
        phonemize("; rm -rf / `id` $(id) | cat", language)
    available()


@pytest.mark.parametrize(
    ("kana", "phonemes"),
    [
        ("コンニチワ", "koɲɲiʨiβa"),
        ("シンブン", "ɕimbɯɴ"),
        ("ガッコー", "ɡaʔkoː"),
        ("キャク", "kʲakɯ"),
        ("ティッシュ", "tʲiʔɕɨ"),
        ("スィ", "si"),
        ("ンー", "ɴː"),
        ("ャ", "ja"),
        ("?", ""),
    ],
)
def test_kana(kana: str, phonemes: str) -> None:
    assert kana_to_phonemes(kana) == phonemes


def test_every_mora_is_in_the_alphabet() -> None:
    assert all(set(phonemes) <= ALPHABET for phonemes in MORAE.values())
    katakana = {chr(code) for code in range(ord("ァ"), ord("ヺ") + 1)}
    assert katakana - MORAE.keys() == {"ッ", "ン"}


def test_restrict() -> None:
    assert restrict("a\u00a0 b ( c ) ,d") == "a b (c),d"
    assert restrict("õ") == "o\u0303"
    assert restrict("a€ʱb") == "ab"
    assert restrict("— …") == ""


def test_tidy() -> None:
    assert tidy("it’s “a” – b\u200b…  c🎉[d]") == "it's “a” — b… c (d)"
    assert tidy("2010–2015") == "2010–2015"
    assert tidy("1" * 17) == " ".join("1" * 17)
    assert tidy("a" * 81) == " ".join(["a" * 40, "a" * 40, "a"])
    assert tidy("長" * 90) == "長" * 90
    assert tidy("wait!!! ==== no") == "wait! no"
