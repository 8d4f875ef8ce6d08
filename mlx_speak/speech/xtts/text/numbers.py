"""Numbers as words, by `num2words` where that knows the language."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ....errors import MissingExtraError
from . import chinese, hindi
from .wording import WORDING

# The second is what coqui-tts groups digits by, dot for any character included.
_GROUPED = {
    ",": re.compile(r"\b\d{1,3}(,\d{3})*(\.\d+)?\b"),
    ".": re.compile(r"\b\d{1,3}(.\d{3})*(\,\d+)?\b"),
}
_AMOUNTS = {
    "GBP": re.compile(r"£[0-9.,]*[0-9]+|[0-9.,]*[0-9]+£"),
    "USD": re.compile(r"\$[0-9.,]*[0-9]+|[0-9.,]*[0-9]+\$"),
    "EUR": re.compile(r"[0-9.,]*[0-9]+€|€[0-9.,]*[0-9]+"),
}
_DECIMAL = re.compile(r"[0-9]+[.,][0-9]+")
_WHOLE = re.compile(r"[0-9]+")


def spell_numbers(text: str, code: str) -> str:
    """A text with its numbers as words: whole, decimal and ordinal ones, and amounts of money.

    Args:
        code: ISO 639-1. What a language has no word for stays in digits.

    Raises:
        MissingExtraError: `num2words` is not installed.
    """
    if code == "zh":
        return chinese.spell_numbers(text)
    if code == "hi":
        return hindi.spell_numbers(text)
    wording, spell = WORDING[code], _speller(code)
    group = wording.thousands
    text = _GROUPED[group].sub(lambda match: match[0].replace(group, ""), text)
    for currency, pattern in _AMOUNTS.items():
        try:
            text = pattern.sub(
                lambda match, currency=currency: _amount(  # type: ignore[misc]
                    match[0], spell, currency, wording.cents_after
                ),
                text,
            )
        except _NotSpelled:  # nor does coqui-tts spell the other currencies then
            break
    if code != "tr":
        text = _DECIMAL.sub(lambda match: _decimal(match[0], spell), text)
    if wording.ordinal:
        text = wording.ordinal.sub(lambda match: _ordinal(match[1], match[0], spell), text)
    return _WHOLE.sub(lambda match: _whole(match[0], spell), text)


class _NotSpelled(Exception):
    """`num2words` does not know the language, that form of it, or a number so large."""


_Speller = Callable[..., str]


def _speller(code: str) -> _Speller:
    try:
        from num2words import num2words
    except ImportError as error:
        raise MissingExtraError("reading numbers with XTTS", "xtts") from error

    def spell(number: float, **form: Any) -> str:
        try:
            return num2words(number, lang=code, **form)
        except Exception as error:  # of whatever type, by language
            raise _NotSpelled from error

    return spell


def _amount(text: str, spell: _Speller, currency: str, cents_after: str) -> str:
    digits = re.sub(r"[^\d.]", "", text.replace(",", "."))
    try:
        amount = float(digits)
    except ValueError as error:  # more than one dot
        raise _NotSpelled from error
    words = spell(amount, to="currency", currency=currency)
    if amount.is_integer() and (cents := words.rfind(cents_after)) != -1:
        return words[:cents]
    return words


def _decimal(digits: str, spell: _Speller) -> str:
    try:
        return spell(float(digits.replace(",", ".")))
    except _NotSpelled:
        return digits


def _ordinal(digits: str, text: str, spell: _Speller) -> str:
    try:
        return spell(int(digits), ordinal=True)
    except (_NotSpelled, ValueError):
        return text  # whose digits come out as a whole number


def _whole(digits: str, spell: _Speller) -> str:
    try:
        return spell(int(digits))
    except (_NotSpelled, ValueError):  # Python's limit is 4300 digits
        return " ".join(spell(int(digit)) for digit in digits)
