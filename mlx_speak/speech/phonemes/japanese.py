"""Japanese by haqumei (an OpenJTalk frontend with its dictionary inside) and misaki's kana table.

Kokoro v1.0 was trained on misaki 0.7's phonemes: morphemes of UniDic as they are pronounced, set
apart by spaces, some of them joined by a word list. haqumei's readings are better (counters, dates,
Latin words); `_joins` follows the inflections that the word list holds together.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import unicodedata
from functools import cache
from threading import Lock
from typing import Any

from ...errors import MissingExtraError
from ...languages import Language
from .alphabet import PUNCTUATION
from .kana import kana_to_phonemes

_MARKS = str.maketrans(
    {
        **dict.fromkeys("。．", "."),
        **dict.fromkeys("、，､", ","),
        "？": "?",
        "！": "!",
        "：": ":",
        "；": ";",
        "…": "…",
        **dict.fromkeys("「『“", "“"),
        **dict.fromkeys("」』”", "”"),
        **dict.fromkeys("（《【〈〔［", "("),
        **dict.fromkeys("）》】〉〕］", ")"),
        **dict.fromkeys("～〜—", "—"),
    }
)

# Latin words that haqumei reads otherwise than developers do.
_RESPELT = {
    "cache": "キャッシュ",
    "claude": "クロード",
    "false": "フォルス",
    "json": "ジェイソン",
    "jsonl": "ジェイソンエル",
    "nginx": "エンジンエックス",
    "readme": "リードミー",
    "true": "トゥルー",
    "utf": "ユーティーエフ",
}
_RESPELT_PATTERN = re.compile(rf"(?<![A-Za-z])({'|'.join(_RESPELT)})(?![A-Za-z])", re.IGNORECASE)
_LETTER_ROWS = """
A エー  B ビー  C シー  D ディー  E イー  F エフ  G ジー  H エイチ  I アイ  J ジェー  K ケー  L エル
M エム  N エヌ  O オー  P ピー  Q キュー  R アール  S エス  T ティー  U ユー  V ブイ  W ダブリュー
X エックス  Y ワイ  Z ゼット
"""
_letter_cells = _LETTER_ROWS.split()
_LETTERS = dict(zip(_letter_cells[::2], _letter_cells[1::2], strict=True))
# Auxiliaries that training text wrote as one word with their verb; ました stood alone.
_INFLECTIONS = frozenset(("た", "ます", "ん", "う", "よう", "ない", "なかっ"))
_CLOCK = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?![\d:])")
_VERSION = re.compile(r"\d+(?:\.\d+){2,}")
_FILE_DOT = re.compile(r"(?<=\w)\.(?=[A-Za-z])")
_RANGE = re.compile(r"(?<=\d)[〜～~](?=\d)")

_lock = Lock()


def phonemize(text: str, language: Language) -> str:
    """Phonemes of tidy text."""
    text = _prepare(text)
    with _lock:
        morphemes = _frontend().run_frontend(text)
    parts: list[str] = []
    for word in _words(morphemes):
        if isinstance(word, _Mark):
            parts.append(f" {word}" if word in "“(" else f"{word} ")
        else:
            parts.append(f"{kana_to_phonemes(word)} ")
    return "".join(parts)


def installed() -> bool:
    """Whether haqumei is here."""
    return importlib.util.find_spec("haqumei") is not None


class _Mark(str):
    """Punctuation in Kokoro's alphabet, as opposed to a word in katakana."""


def _prepare(text: str) -> str:
    # Compatibility forms (ｶﾞ, ①, ㎏) are spelt out, but for Roman numerals, which haqumei counts.
    text = "".join(c if "Ⅰ" <= c <= "ⅿ" else unicodedata.normalize("NFKC", c) for c in text)
    text = unicodedata.normalize("NFC", text).replace("...", "…")
    text = _RESPELT_PATTERN.sub(lambda word: _RESPELT[word[0].lower()], text)
    text = _CLOCK.sub(r"\1時\2分", text)
    text = _VERSION.sub(lambda version: version[0].replace(".", "点"), text)
    text = _FILE_DOT.sub("ドット", text)
    return _RANGE.sub("から", text).replace("_", " ")


def _words(morphemes: list[Any]) -> list[str]:
    """Words in katakana, inflections joined to their stem, and marks between them."""
    words: list[str] = []
    before = None
    for morpheme in morphemes:
        kana = _reading(morpheme)
        if not kana:
            marks = "".join(c for c in morpheme.string.translate(_MARKS) if c in PUNCTUATION)
            words.extend(map(_Mark, marks))
            before = None
        elif before is not None and _joins(before, morpheme, words[-1], kana):
            words[-1] += kana
            before = morpheme
        else:
            words.append(kana)
            before = morpheme
    return words


def _reading(morpheme: Any) -> str:
    """How a morpheme is pronounced, in katakana; "" for punctuation and what cannot be read."""
    letters = unicodedata.normalize("NFKC", morpheme.string)
    if morpheme.pos == "フィラー" and 2 <= len(letters) <= 3 and set(letters) <= _LETTERS.keys():
        return "".join(_LETTERS[letter] for letter in letters)
    return "".join(c for c in morpheme.pron if "ァ" <= c <= "ヺ" or c == "ー")


def _joins(before: Any, morpheme: Any, word: str, kana: str) -> bool:
    """Whether a morpheme continues the word before it, as it did in training."""
    if word.endswith("ッ") or kana[0] in "ーン":
        return True
    after_verb = before.pos in ("動詞", "助動詞", "形容詞")
    match morpheme.pos, morpheme.pos_group1:
        case "名詞", "数":
            return before.pos_group1 == "数" and before.string not in "百千万億兆"
        case "助詞", "接続助詞":
            return after_verb and morpheme.string in ("て", "で", "ちゃ", "じゃ")
        case "動詞", "接尾":
            return after_verb
        case "名詞", "接尾":
            return before.pos == "形容詞" and morpheme.string == "さ"
        case "助動詞", _:
            if before.string == "あり" and morpheme.string == "ませ":
                return True
            if morpheme.string == "だ":
                return before.pos == "動詞"
            return after_verb and morpheme.string in _INFLECTIONS
    return False


@cache
def _frontend() -> Any:
    try:
        haqumei = importlib.import_module("haqumei")
    except ImportError as error:
        raise MissingExtraError("speaking Japanese", "ja") from error
    return haqumei.Haqumei()
