"""Text to phonemes in Kokoro's alphabet, one engine file per family of languages.

An engine is an optional package behind an extra named after the language. It is imported at the
first text, created once in a process and guarded by a lock, so any thread may call.
"""

from __future__ import annotations

from ...errors import UnknownLanguageError
from ...languages import Language
from . import english, espeak, japanese
from .alphabet import ALPHABET, restrict
from .cleaning import tidy

__all__ = ["ALPHABET", "available", "phonemize"]

_ENGINES = {"en": english, "ja": japanese, **dict.fromkeys(espeak.VOICES, espeak)}


def phonemize(text: str, language: str | Language) -> str:
    """Read text aloud on paper.

    Args:
        text: speakable text of any length; whatever has no reading is left out.
        language: "en" is American and "en-GB" British, "pt" is Brazilian and "pt-PT" European.

    Returns:
        IPA as Kokoro v1.0 was trained on, punctuation kept, every character in `ALPHABET`;
        "" for a text without anything to pronounce.

    Raises:
        UnknownLanguageError: no engine reads this language.
        MissingExtraError: its engine is not installed; the message names the extra.
    """
    language = Language.parse(language)
    engine = _ENGINES.get(language.code)
    if engine is None:
        known = ", ".join(sorted(_ENGINES))
        raise UnknownLanguageError(f"no phonemes for {language.name} ({language}); known: {known}")
    text = tidy(text)
    # An engine is asked even when nothing is left to read, so that a missing one shows at once.
    return restrict(engine.phonemize(text, language))


def available() -> dict[str, bool]:
    """Language codes that have an engine, and whether its package is installed here."""
    return {code: engine.installed() for code, engine in sorted(_ENGINES.items())}
