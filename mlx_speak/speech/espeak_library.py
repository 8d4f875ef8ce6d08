"""espeak-ng through ctypes: phonemes of words, and speech in some hundred languages.

The library and its data come from the package espeakng-loader, or from the system. espeak-ng is
GPL-3, hence only ever an optional extra. Functions and constants are those of its speak_lib.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from threading import RLock

import numpy as np

from ..errors import SpeakError

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_PHONEMES_TIE = 0x80
_PHONEME_MODE = _PHONEMES_IPA | _PHONEMES_TIE | ord("^") << 8
_RATE = 1  # of espeak_SetParameter: words per minute

USUAL_RATE = 175
"""Words per minute of a voice that nobody has told otherwise."""

# Tried by name alone: ctypes.util.find_library would start ldconfig or a compiler.
SYSTEM_LIBRARIES = (
    "libespeak-ng.so.1",
    "libespeak-ng.1.dylib",
    "/opt/homebrew/lib/libespeak-ng.1.dylib",
    "/usr/local/lib/libespeak-ng.1.dylib",
)


class _VoiceStruct(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # a priority byte, then a name ended by zero
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class EspeakVoice:
    """One of espeak-ng's voices."""

    identifier: str
    """What `speak` takes, e.g. "gmw/de"."""
    language: str
    """Its own name of the language, e.g. "de" or "en-gb-scotland"."""
    gender: str
    """"male", "female" or ""."""


class Espeak:
    """The library, initialised once for the process; every call holds its lock."""

    def __init__(self) -> None:
        """
        Raises:
            ImportError: it is neither installed as a package nor on the system.
            SpeakError: its data cannot be read.
        """
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
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceStruct))
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        # Without DONT_EXIT espeak ends the process when its data is not where it should be. It may
        # also start without data, and then has no voices.
        self.sample_rate: int = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT
        )
        if self.sample_rate < 0 or library.espeak_SetVoiceByName(b"en") != 0:
            where = data.decode() if data else "the system's folders"
            raise SpeakError(
                f"espeak-ng cannot read its data in {where}; a path over 160 bytes is too long "
                "for it"
            )
        self._library = library
        self._lock = RLock()
        self._samples: list[np.ndarray] = []
        self._callback = _Callback(self._collect)  # kept alive as long as espeak may call it

    def phonemes(self, words: str, voice: str) -> list[str]:
        """IPA of words without punctuation, clause by clause, tied sounds joined by "^"."""
        with self._lock:
            self._choose(voice)
            rest = ctypes.c_char_p(words.encode())
            clauses = []
            while rest.value is not None:  # espeak takes a clause at a time and moves the pointer
                clause = self._library.espeak_TextToPhonemes(
                    ctypes.byref(rest), _CHARS_UTF8, _PHONEME_MODE
                )
                clauses.append((clause or b"").decode())
            return clauses

    def speak(self, text: str, voice: str, words_per_minute: int = USUAL_RATE) -> np.ndarray:
        """Speech of a text, float32 (samples,) at `sample_rate`."""
        with self._lock:
            self._choose(voice)
            self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            self._library.espeak_SetSynthCallback(self._callback)
            self._samples = []
            data = text.encode()
            status = self._library.espeak_Synth(
                data, len(data) + 1, 0, 1, 0, _CHARS_UTF8, None, None
            )
            if status != 0:
                raise SpeakError(f"espeak-ng could not speak {text[:40]!r} (status {status})")
            parts, self._samples = self._samples, []
        samples = np.concatenate(parts) if parts else np.zeros(0, np.int16)
        return samples.astype(np.float32) / 32768

    def voices(self) -> list[EspeakVoice]:
        """Every voice it has; of a language the one it prefers comes first."""
        with self._lock:
            listed = self._library.espeak_ListVoices(None)
            found = []
            for index in range(1000):
                if not listed[index]:
                    break
                voice = listed[index].contents
                found.append(
                    EspeakVoice(
                        voice.identifier.decode(),
                        voice.languages[1:].decode(),
                        {1: "male", 2: "female"}.get(voice.gender, ""),
                    )
                )
            return found

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeakError(f"this espeak-ng has no voice {voice!r}: update espeak-ng")

    def _collect(self, samples, count: int, events) -> int:
        if samples and count:
            # Not `np.ctypeslib.as_array`, which keeps a type for every length it has seen.
            self._samples.append(np.frombuffer(ctypes.string_at(samples, 2 * count), np.int16))
        return 0


@cache
def espeak() -> Espeak:
    """The library; errors are those of `Espeak`."""
    return Espeak()


def installed() -> bool:
    """Whether espeak-ng is here, from the package or from the system."""
    return importlib.util.find_spec("espeakng_loader") is not None or _system_library() is not None


def _system_library() -> ctypes.CDLL | None:
    for name in SYSTEM_LIBRARIES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None
