"""Where a phoneme string may be cut: utterances that fit the model, and an early first one.

Kokoro normalises over the whole utterance and gives every utterance a melody of its own, so a cut
is only ever made where a speaker would pause, as long as there is such a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SENTENCE_END = ".!?…"
_CLAUSE = re.compile(r"[^.!?…;:,—]*(?:[.!?…;:,—]+[\"”’)]*\s*|$)")
# Places to cut what is too long, the best kind first: sentences, parts of them, clauses, words.
_CUTS = [re.compile(rf"[{marks}][\"”’)]*\s*") for marks in (r".!?…", r":;—", r",", r"\s")]

FIRST_CLAUSE = 20
"""Phonemes, about a second: a shorter first chunk would end before the next one is ready."""
SENTENCE = 40
"""A sentence at least this long is a chunk of its own."""
CLAUSE = 160
"""From this length on a chunk ends with the clause, not the sentence."""


def utterances(phonemes: str, limit: int) -> Iterator[str]:
    """Parts of at most `limit` characters, as long as possible; together they are `phonemes`."""
    while len(phonemes) > limit:
        end = _best_cut(phonemes, limit)
        yield phonemes[:end]
        phonemes = phonemes[end:]
    if phonemes:
        yield phonemes


def clauses(phonemes: str, limit: int) -> Iterator[str]:
    """Parts for speaking early: a clause or two first, then sentences; none above `limit`.

    A string that is one sentence of ordinary length is cut at most once, and no short rest is
    left to be spoken on its own.
    """
    part, is_first, left = "", True, len(phonemes)
    for clause in _CLAUSE.findall(phonemes):
        part += clause
        left -= len(clause)
        is_sentence = part.rstrip().rstrip('"”’)').endswith(tuple(SENTENCE_END))
        enough = FIRST_CLAUSE if is_first else SENTENCE if is_sentence else CLAUSE
        if len(part) >= enough and left >= FIRST_CLAUSE:
            yield from utterances(part, limit)
            part, is_first = "", False
    if part:
        yield from utterances(part, limit)


def _best_cut(phonemes: str, limit: int) -> int:
    """The last cut of the best kind in the second half of what fits, or else of any kind."""
    for least in (limit // 2, 1):
        for cut in _CUTS:
            ends = [m.end() for m in cut.finditer(phonemes, 0, limit) if m.end() >= least]
            if ends:
                return ends[-1]
    return limit
