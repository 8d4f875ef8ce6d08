"""The words that XTTS was trained to read: what a text says, spelled out.

It must clean a text as its training's did, so this is, language by language, what coqui-tts does
(`TTS/tts/layers/xtts/tokenizer.py`), except where that fails.
"""

from __future__ import annotations

import re

from .numbers import spell_numbers
from .romanize import romanize
from .wording import LANGUAGES as LANGUAGES
from .wording import WORDING

_SPACES = re.compile(r"\s+")


def clean(text: str, code: str) -> str:
    """What is said of a text: numbers, symbols and abbreviations as words, in lower case.

    Args:
        code: ISO 639-1, one of `LANGUAGES`. Chinese, Japanese and Korean come out in Latin letters.

    Raises:
        MissingExtraError: what numbers or the script of the language need is not installed.
    """
    if code == "ja":
        return romanize(text, code).lower()
    wording = WORDING[code]
    text = text.replace('"', "")
    if code == "tr":
        text = text.replace("İ", "i")  # lower() would make it i and a dot
    text = spell_numbers(text.lower(), code)
    for pattern, word in wording.abbreviations:
        text = pattern.sub(word, text)
    for symbol, word in wording.symbols.items():
        text = text.replace(symbol, f" {word} ")
    return romanize(_SPACES.sub(" ", text).strip(), code)
