"""Portuguese, Spanish, French, Italian and Hindi by espeak-ng, called through ctypes.

The library and its data come from the package espeakng-loader, or from the system. espeak-ng is
GPL-3, hence only ever an optional extra. What follows it, including the symbols that one tied pair
becomes, is what misaki 0.9.4's `EspeakG2P` does for Kokoro v1.0 (misaki/espeak.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import re
from functools import cache
from threading import Lock

from ...errors import MissingExtraError, SpeakError
from ...languages import Language
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

# speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_PHONEMES_TIE = 0x80
_PHONEME_MODE = _PHONEMES_IPA | _PHONEMES_TIE | ord("^") << 8

# Tried by name alone: ctypes.util.find_library would start ldconfig or a compiler.
_SYSTEM_LIBRARIES = (
    "libespeak-ng.so.1",
    "libespeak-ng.1.dylib",
    "/opt/homebrew/lib/libespeak-ng.1.dylib",
    "/usr/local/lib/libespeak-ng.1.dylib",
)

_lock = Lock()


def phonemize(text: str, language: Language) -> str:
    """Phonemes of tidy text, each run between punctuation read on its own."""
    voice = _voice(language)
    runs = _MARKS.split(_LETTERS[language.code](text))  # words, marks, words, ..., words
    with _lock:
        try:
            library = _start()
        except ImportError as error:
            raise MissingExtraError(f"speaking {language.name}", language.code) from error
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeakError(f"this espeak-ng has no voice {voice!r}: update espeak-ng")
        return "".join(run if index % 2 else _read(library, run) for index, run in enumerate(runs))


def installed() -> bool:
    """Whether espeak-ng is here, from the package or from the system."""
    return importlib.util.find_spec("espeakng_loader") is not None or _system_library() is not None


def _voice(language: Language) -> str:
    if language.code == "pt" and language.region in _EUROPEAN_PORTUGUESE:
        return "pt"
    if language.code == "es" and language.region not in _EUROPEAN_SPANISH:
        return "es-419"
    return VOICES[language.code]


def _read(library: ctypes.CDLL, words: str) -> str:
    """Phonemes of words without punctuation, the spaces at either end kept."""
    rest = ctypes.c_char_p(words.encode())
    clauses = []
    while rest.value is not None:  # espeak takes a clause at a time and moves the pointer on
        clause = library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEME_MODE)
        clauses.append((clause or b"").decode())
    phonemes = _LANGUAGE_SWITCH.sub("", " ".join(clauses))
    phonemes = _TIED_PATTERN.sub(lambda tied: _TIED[tied[0]], phonemes)
    phonemes = phonemes.replace("^", "").replace("-", "").strip()
    return " " * words.startswith(" ") + phonemes + " " * words.endswith(" ")


@cache
def _start() -> ctypes.CDLL:
    """The library, initialised once for the process."""
    data: bytes | None = None
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError:
        found = _system_library()
        if found is None:
            raise
        library = found
    else:
        library = ctypes.CDLL(loader.get_library_path())
        # Its built-in path is that of the machine which compiled it.
        data = loader.get_data_path().encode()
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    # Without DONT_EXIT espeak ends the process when its data is not where it should be. It may
    # also start without data, and then has no voices.
    status = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT)
    if status < 0 or library.espeak_SetVoiceByName(b"en") != 0:
        where = data.decode() if data else "the system's folders"
        raise SpeakError(
            f"espeak-ng cannot read its data in {where}; a path over 160 bytes is too long for it"
        )
    return library


def _system_library() -> ctypes.CDLL | None:
    for name in _SYSTEM_LIBRARIES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None
