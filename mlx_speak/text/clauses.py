"""Where a sentence can be parted: after its clauses."""

from __future__ import annotations

import re

CLAUSE = re.compile(r"[;:,—–、，；：](?:\s+|(?<=[、，；：—]))")
CLAUSE_LENGTH = 18
"""Letters of a clause that is worth being spoken alone: more than a second."""
_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WIDTH = 3  # letters that a character of these scripts takes as long to say as


def clauses_end(text: str, least: int) -> int:
    """The end of the last clause of a text that is not complete.

    Args:
        text: a beginning; what follows its last clause shows that the clause is complete.
        least: letters that the clauses must have together, about 15 a second of speech; a Chinese
            character, a kana or a Korean syllable counts as three.

    Returns:
        How many characters the complete clauses are; 0 if they are too short, or there are none.
    """
    for match in reversed(list(CLAUSE.finditer(text))):
        if match.end() < len(text):
            clauses = text[: match.end()]
            width = len(clauses) + (_WIDTH - 1) * len(_WIDE.findall(clauses))
            return match.end() if width >= least else 0
    return 0
