"""English by hibari's port of misaki: a lexicon with part-of-speech rules, and a small network for
words outside it. American unless the region asks for British. Its tagger takes quotation marks
for words, so those are lost; all other punctuation is kept.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache
from threading import Lock

from ...errors import MissingExtraError
from ...languages import Language
from .cleaning import LATIN, keep_scripts

_BRITISH_REGIONS = frozenset({"GB", "UK", "IE", "AU", "NZ", "ZA", "IN"})

# Words of the trade that hibari guesses wrong or spells out, respelt in words that it knows.
# Matched whole and in any letter case, also inside snake_case.
_RESPELT = {
    "async": "ace-ink",
    "changelog": "change-log",
    "char": "car",
    "config": "con fig",
    "enum": "E-num",
    "fixme": "fix me",
    "i18n": "internationalization",
    "json": "Jason",
    "kubectl": "cube control",
    "kwargs": "keyword args",
    "mkdir": "make dir",
    "nginx": "engine X",
    "postgres": "post-gress",
    "pypi": "pie P I",
    "pyproject": "pie project",
    "pytest": "pie test",
    "readme": "read me",
    "sqlite": "sequel lite",
    "stderr": "standard error",
    "stdin": "standard in",
    "stdout": "standard out",
    "todo": "to-do",
    "toml": "toml",
    "yaml": "yaml",
}
_RESPELT_PATTERN = re.compile(rf"(?<![^\W_])({'|'.join(_RESPELT)})(?=s?(?![^\W_]))", re.IGNORECASE)

_STACKED_MARKS = re.compile(r"(?<=[)”])(?=[:;,.!?…])")  # hibari reads "):" as ":"

_english_letters = keep_scripts(LATIN)
_lock = Lock()


def phonemize(text: str, language: Language) -> str:
    """Phonemes of tidy text."""
    text = _RESPELT_PATTERN.sub(lambda word: _RESPELT[word[0].lower()], _english_letters(text))
    with _lock:
        return _reader(language.region in _BRITISH_REGIONS)(text)


def installed() -> bool:
    """Whether hibari and the runtime of its network are here."""
    return all(importlib.util.find_spec(name) for name in ("hibari", "onnxruntime"))


@cache
def _reader(british: bool) -> Callable[[str], str]:
    # Its official builds report to Microsoft unless told otherwise before they begin (Privacy.md).
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        g2p = importlib.import_module("hibari.g2p")
        importlib.import_module("onnxruntime")  # hibari asks for it only at the first unknown word
    except ImportError as error:
        raise MissingExtraError("speaking English", "en") from error
    read = g2p.G2P(british=british)
    return lambda text: read(_STACKED_MARKS.sub(" ", g2p.normalize(text)), normalize_text=False)
