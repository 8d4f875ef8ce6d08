"""Portuguese, Spanish, French, Italian and Hindi by espeak-ng.

What follows it, including the symbols that one tied pair becomes, is what misaki 0.9.4's
`EspeakG2P` does for Kokoro v1.0 (misaki/espeak.py).
"""

from __future__ import annotations

import re

from ...errors import MissingExtraError
from ...languages import Language
from ..espeak_library import Espeak, espeak
from ..espeak_library import installed as installed
from .cleaning import LATIN, keep_scripts

VOICES = {"pt": "pt-br", "es": "es", "fr": "fr", "it": "it", "hi": "hi"}
"""espeak-ng's voice for a language as Kokoro v1.0 was trained on it."""

_EUROPEAN_PORTUGUESE = frozenset(("PT", "AO", "MZ", "CV", "GW", "ST", "TL"))
_EUROPEAN_SPANISH = frozenset((None, "ES", "GQ"))

# Two sounds that espeak ties into one, and Kokoro's single symbol for them.
_TIED = {
    "a^ɪ": "I",
    "a^ʊ": "W",
    "d^z": "ʣ",
    "d^ʒ": "ʤ",
    "e^ɪ": "A",
    "o^ʊ": "O",
    "ə^ʊ": "Q",
    "s^s": "S",
    "t^s": "ʦ",
    "t^ʃ": "ʧ",
    "ɔ^ɪ": "Y",
}
_TIED_PATTERN = re.compile("|".join(map(re.escape, _TIED)))

# espeak drops punctuation, so it is given what stands between. A full stop inside "utils.py" or
# 1.234, the comma of 3,14 and the colon of 10:30 belong to what it reads.
_MARKS = re.compile(r"((?:[;!?—…\"“”()]|(?<!\w)[.]|[.](?!\w)|(?<!\d)[,:]|[,:](?!\d))+)")

# espeak marks a word that it reads by another language's rules: (en)wiːkˈɛnd(fr).
_LANGUAGE_SWITCH = re.compile(r"\([a-z^-]+\)")

_LETTERS = {code: keep_scripts(LATIN) for code in VOICES} | {
    "hi": keep_scripts(LATIN + "\u0900-\u097f")
}


def phonemize(text: str, language: Language) -> str:
    """Phonemes of tidy text, each run between punctuation read on its own."""
    voice = _voice(language)
    runs = _MARKS.split(_LETTERS[language.code](text))  # words, marks, words, ..., words
    try:
        library = espeak()
    except ImportError as error:
        raise MissingExtraError(f"speaking {language.name}", language.code) from error
    return "".join(
        run if index % 2 else _read(library, voice, run) for index, run in enumerate(runs)
    )


def _voice(language: Language) -> str:
    if language.code == "pt" and language.region in _EUROPEAN_PORTUGUESE:
        return "pt"
    if language.code == "es" and language.region not in _EUROPEAN_SPANISH:
        return "es-419"
    return VOICES[language.code]


def _read(library: Espeak, voice: str, words: str) -> str:
    """Phonemes of words without punctuation, the spaces at either end kept."""
    phonemes = _LANGUAGE_SWITCH.sub("", " ".join(library.phonemes(words, voice)))
    phonemes = _TIED_PATTERN.sub(lambda tied: _TIED[tied[0]], phonemes)
    phonemes = phonemes.replace("^", "").replace("-", "").strip()
    return " " * words.startswith(" ") + phonemes + " " * words.endswith(" ")
