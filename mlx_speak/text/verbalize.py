"""What of prose and inline code is spoken at all; how it is said is for `reading`."""

from __future__ import annotations

import re

from .reading import spread
from .words import WORDS

_CALL = re.compile(r"\((?:\.\.\.)?\)")
_SILENT = re.compile(r"[`'\"(){}\[\];]+|::")
_SENTENCE_END = re.compile(r"[.!?:,]+(?=\s|$)")
_PLAIN_NAME = re.compile(r"(?<![^\s])[A-Za-z0-9_]*[A-Za-z0-9][A-Za-z0-9_]*(?![^\s])")


def spell_code(code: str) -> str:
    """Inline code as words: `snake_case` → "snake case", `readFile()` → "read File".

    Signs that say something stay, for whoever reads the sentence aloud: paths, flags, operators and
    the dots within names ("events.py"). Punctuation that would end a sentence does not.
    """
    words = _SILENT.sub(" ", _CALL.sub(" ", code))
    words = _SENTENCE_END.sub(" ", words)
    words = _PLAIN_NAME.sub(_name, words)
    return " ".join(words.split())


def _name(name: re.Match[str]) -> str:
    """A name as words; the marks of `__init__` are part of how it is called."""
    return name[0] if name[0].startswith("__") and name[0].endswith("__") else spread(name[0])


# Footnote marks, references to link definitions, and brackets around words.
_FOOTNOTE = re.compile(r"\[\^[^\]\s]+\]:?")
_REFERENCE = re.compile(r"\[([^\[\]]*)\]\[[^\[\]]*\]")
_BRACKETED = re.compile(r"(?<![^\s(])\[([^\[\]]*)\]")
_SAYING = "".join(WORDS["en"].marks) + "➜➡"
_SYMBOLS = re.compile(
    f"(?:(?![{_SAYING}])[\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe00-\ufe0f\u20e3"
    "\ufffd\U0001f000-\U0001faff\U000e0020-\U000e007f])+\u200d?"
)
_ARROW = re.compile(r"\s*[→➜➡⇒]\s*(?=\S)")
_BLOB = re.compile(r"[!-~]{80,}")
_BLOB_WAS_HERE = "\ufffc"  # which the cleaner lets nobody else write
_SPACE_BEFORE = re.compile(r"[ \t]+(?=[,.](?:\s|$))")


def tidy(text: str) -> str:
    """Drop from prose what has no sound: most emoji, footnote marks and references, and what
    stands in for a character that nobody may write.

    Symbols that say something, and the places of hashes and blobs, are for `name_symbols`.
    """
    text = _REFERENCE.sub(r"\1", _FOOTNOTE.sub("", text))
    return _BLOB.sub(_BLOB_WAS_HERE, _SYMBOLS.sub("", text))


def name_symbols(text: str, language: str) -> str:
    """Words for the symbols that say something: "✅ Done" → "OK: Done", "A → B" → "A to B".

    They become words here, before translation, since translators lose them. In a language without
    such words they are dropped.

    Args:
        language: an ISO 639 code.
    """
    words = WORDS.get(language)
    marks = words.marks if words else {}
    blob = words.blob if words else ""
    for mark in set(_SAYING).intersection(text):
        name = marks.get(mark, "" if words is None else mark)
        text = re.sub(rf"^\s*{mark}\s*(?=\w)", f"{name}: " if name != mark and name else name, text)
        text = text.replace(mark, name)
    if words and words.spaced:
        text = _ARROW.sub(f" {words.range} ", text)
    return text.replace(_BLOB_WAS_HERE, blob)


def neaten(sentence: str, language: str = "en") -> str:
    """A sentence on one line, with single spaces, its symbols named, no brackets around words.

    Args:
        language: an ISO 639 code.
    """
    sentence = name_symbols(sentence, language)
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
