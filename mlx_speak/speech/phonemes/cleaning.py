"""What every engine wants from its text: one spelling of a thing, and nothing unpronounceable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

LATIN = r"A-Za-zªºµÀ-ÖØ-öø-ɏ\u0300-\u036fḀ-ỿ"
"""Letters of the Latin script and their combining marks, for a regular expression's class."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("’‘ʼ′`´", "'"),
        **dict.fromkeys("«‹„‟〝", "“"),
        **dict.fromkeys("»›〞", "”"),
        **dict.fromkeys("―⸺", "—"),
        **dict.fromkeys("‐‑‒−", "-"),
        **dict.fromkeys("[{", "("),
        **dict.fromkeys("]}", ")"),
        **dict.fromkeys("।॥", "."),
    }
)
_SPOKEN_SYMBOLS = frozenset("°©®™№")
_QUOTED = re.compile(r'"([^"]*)"')
_DOTS = re.compile(r"\.{3,}")
_DASH = re.compile(r"\s+(?:-+|–)\s+|-{3,}|(?<!\d)–(?!\d)")
_REPEATED_MARK = re.compile(r"([!?…])\1+")
_RULE = re.compile(r"([^\w\s])\1{3,}")
_LONG_NUMBER = re.compile(r"(?:\d[.,]?){15,}\d")
_LONG_WORD = re.compile(r"(?:(?![\u3040-\u9fff])\w){40}(?=\w)")  # kana and kanji need no spaces


def tidy(text: str) -> str:
    """Text in NFC without control characters, emoji or arrows; quotes, dashes and brackets alike.

    A mark that is repeated is one mark, and a ruled line nothing. Numbers longer than any reader's
    are spelt digit by digit, and a word is broken every 40 letters: engines take time that grows
    with the square of a word's length, or worse.
    """
    text = unicodedata.normalize("NFC", text).translate(_SAME)
    text = "".join(_plain(character) for character in text)
    text = _DOTS.sub("…", _QUOTED.sub(r"“\1”", text))
    text = _DASH.sub(" — ", text)
    text = _RULE.sub(" ", _REPEATED_MARK.sub(r"\1", text))
    text = _LONG_NUMBER.sub(lambda number: " ".join(re.findall(r"\d", number[0])), text)
    return " ".join(_LONG_WORD.sub(r"\g<0> ", text).split())


def keep_scripts(letters: str) -> Callable[[str], str]:
    """A function that blanks every letter and mark outside the class `letters`.

    Engines spell foreign letters by the name of their script ("Chinese letter, Chinese letter").
    """
    foreign = re.compile(rf"[^\W\d_{letters}]+|(?![{letters}])[\u0300-\u036f\u0590-\u0fff]+")
    return lambda text: foreign.sub(" ", text)


def _plain(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""
    if category[0] in "CZ" or (category in ("So", "Me", "Sk") and character not in _SPOKEN_SYMBOLS):
        return " "
    return " " if "←" <= character <= "⇿" else character
