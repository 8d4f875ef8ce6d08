"""What is written, as words: the place for reading code, names and symbols aloud."""

from __future__ import annotations

import re

_CALL = re.compile(r"\((?:\.\.\.)?\)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_SILENT = re.compile(r"[_`'\"(){}\[\]<>;$#@^&|\\/*]+|::|--+")
_SENTENCE_END = re.compile(r"[.!?:,]+(?=\s|$)")


def spell_code(code: str) -> str:
    """Inline code as words: `snake_case` → "snake case", `readFile()` → "read File".

    Dots within names stay ("events.py"); punctuation that would end a sentence does not.
    """
    words = _CALL.sub(" ", code)
    words = _CAMEL.sub(" ", words)
    words = _SILENT.sub(" ", words)
    words = _SENTENCE_END.sub(" ", words)
    return " ".join(words.split())


# Footnote marks, references to link definitions, and brackets around words.
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:?")
_REFERENCE = re.compile(r"\[([^\[\]]*)\]\[[^\[\]]*\]")
_BRACKETED = re.compile(r"(?<![^\s(])\[([^\[\]]*)\]")
_SYMBOLS = re.compile(
    "[\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe00-\ufe0f\u20e3"
    "\U0001f000-\U0001faff\U000e0020-\U000e007f]+\u200d?"
)
_BLOB = re.compile(r"[!-~]{80,}")
_SPACE_BEFORE = re.compile(r"[ \t]+(?=[,.](?:\s|$))")


def tidy(text: str) -> str:
    """Drop from prose what has no sound: emoji, footnote marks, references, hashes and blobs."""
    text = _REFERENCE.sub(r"\1", _FOOTNOTE.sub("", text))
    return _BLOB.sub("", _SYMBOLS.sub("", text))


def neaten(sentence: str) -> str:
    """A sentence on one line, with single spaces and without brackets around words."""
    sentence = _BRACKETED.sub(r"\1", " ".join(sentence.split()))
    return _SPACE_BEFORE.sub("", sentence)


_FULL_STOPS = {
    "ja": "。",
    "zh": "。",
    "yue": "。",
    "hi": "।",
    "mr": "।",
    "ne": "।",
    "bn": "।",
    "ur": "۔",
}
_FINISHED = re.compile(r"[\w%°)\]\"'”’»」』]$")


def finish(text: str, language: str) -> str:
    """End a heading or list item as a sentence, so that a voice lets it fall.

    Args:
        language: an ISO 639 code.
    """
    return text + _FULL_STOPS.get(language, ".") if _FINISHED.search(text) else text


def is_speakable(text: str) -> bool:
    """Whether there is anything to say: a letter or a digit."""
    return any(character.isalnum() for character in text)
