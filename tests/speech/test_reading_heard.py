"""What is read aloud, as voices pronounce it: the sounds of the words that a person would say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from speech.recogniser import edit_distance, words
from support import figure

from mlx_speak.speech.kokoro import load
from mlx_speak.speech.phonemes import phonemize
from mlx_speak.text import read_aloud

# What is written, and every word of it as it is said.
SOUNDS = [
    ("en", "It has 1,234 rows.", "It has one thousand two hundred thirty four rows."),
    ("en", "Use v2.13.0 now.", "Use version two point thirteen point zero now."),
    ("en", "Python 3.11 is out.", "Python three point eleven is out."),
    ("en", "It took 20 ms.", "It took twenty milliseconds."),
    ("en", "It costs $5.99 here.", "It costs five dollars and ninety nine cents here."),
    ("en", "It is at 10.20.0.1 now.", "It is at ten dot twenty dot zero dot one now."),
    ("pt", "São 1.234 linhas.", "São mil duzentos e trinta e quatro linhas."),
    ("pt", "O valor é 3.14 aqui.", "O valor é três vírgula catorze aqui."),
    ("pt", "Use a v2.13.0 agora.", "Use a versão dois ponto treze ponto zero agora."),
    ("pt", "Custa R$ 5,99 aqui.", "Custa cinco reais e noventa e nove centavos aqui."),
    ("pt", "Começa às 14:30 aqui.", "Começa às catorze e trinta aqui."),
    ("pt", "Levou 20 ms aqui.", "Levou vinte milissegundos aqui."),
    ("ja", "1,234件です。", "千二百三十四件です。"),
    ("ja", "2026-11-25です。", "二千二十六年十一月二十五日です。"),
    ("ja", "v2.13.0です。", "バージョン二点十三点ゼロです。"),
    ("ja", "5MBです。", "五メガバイトです。"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "written", "words"), SOUNDS, ids=lambda text: text)
def test_it_sounds_as_its_words(language: str, written: str, words: str) -> None:
    read, said = (phonemize(text, language) for text in (read_aloud(written, language), words))
    strip = str.maketrans("", "", "ˈˌ ː")
    read, said = read.translate(strip), said.translate(strip)
    # Sounds at the joints of words differ, where espeak takes a number for one word.
    assert edit_distance(read, said) <= len(said) * 0.18, (read, said)


HEARD = [
    ("Open src/main.py with --verbose.", "Open source slash main dot pie with dash dash verbose."),
    ("Set max_length to 50%, e.g. on Fig. 3.", "Set max length to 50% for example on figure 3."),
    ("If x >= 10 it is done.", "If x is at least 10 it is done."),
    ("The error_message is empty.", "The error message is empty."),
    ("It copied 8 GB in 5 min.", "It copied 8 gigabytes in 5 minutes."),
    ("Call get_next_word() twice.", "Call get next word twice."),
    ("Python vs. Rust: look at No. 4.", "Python versus Rust look at number 4."),
    ("Memory fell from 9 MB to 3 MB.", "Memory fell from 9 megabytes to 3 megabytes."),
    ("It took 4 s, i.e. too long.", "It took 4 seconds that is too long."),
    ("It runs w/o a network.", "It runs without a network."),
    ("The office is approx. 2 km away.", "The office is approximately 2 kilometers away."),
    ("Run it with --force, then wait 3 h.", "Run it with dash dash force then wait 3 hours."),
]


@pytest.mark.packages
def test_english_is_heard_as_its_words(
    kokoro_folder: Path, transcribe: Callable[[np.ndarray], str]
) -> None:
    """Whisper tiny.en may mistake a word in eight: most of these are no words of prose."""
    voice = load(kokoro_folder)
    wrong, total, report = 0, 0, []
    for written, said in HEARD:
        audio = voice.generate(read_aloud(written, "en"), language="en", speaker="af_heart")
        heard = words(transcribe(audio.samples))
        wrong += edit_distance(words(said), heard)
        total += len(words(said))
        report.append(f"{written!r} heard as {' '.join(heard)!r}")
    figure(f"Names and numbers, round trip: {wrong} of {total} words wrong")
    assert wrong <= total / 8, "\n".join(report)
