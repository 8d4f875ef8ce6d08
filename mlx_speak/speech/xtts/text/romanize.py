"""Chinese, Japanese and Korean in Latin letters, as XTTS reads them."""

from __future__ import annotations

from functools import cache
from typing import Any

from ....errors import MissingExtraError


def romanize(text: str, code: str) -> str:
    """Pinyin with tones as numbers, Hepburn's rōmaji, or the Revised Romanization letter by letter.

    Args:
        code: ISO 639-1; texts in other languages come back as they are.

    Raises:
        MissingExtraError: what reads the script is not installed.
    """
    try:
        if code == "zh":
            from pypinyin import Style, lazy_pinyin

            return "".join(lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True))
        if code == "ja":
            return _cutlet().romaji(text)
        if code == "ko":
            from ko_speech_tools import hangul_romanize

            return hangul_romanize(text)
    except ImportError as error:
        raise MissingExtraError(f"XTTS in {_NAMES[code]}", f"xtts-{code}") from error
    return text


_NAMES = {"zh": "Chinese", "ja": "Japanese", "ko": "Korean"}


@cache
def _cutlet() -> Any:
    """Loads a dictionary of 250 MB, in about a second."""
    from cutlet import Cutlet

    return Cutlet()
