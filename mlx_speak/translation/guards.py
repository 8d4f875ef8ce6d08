"""Noticing translations that have gone wrong, from their tokens alone.

NLLB at times falls into a loop ("I'm sorry, but I'm sorry, but …" a whole page long for an ordinary
sentence: facebookresearch/fairseq#4639), or leaves out most of what it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

LOOP, TIMES = 12, 3
"""A loop is a stretch of so many tokens in which a unit stands so many times in a row.

People repeat themselves too, but briefly: "1 000 000 000 000" is four times two tokens, and so is
"No, no, no, no." Twelve tokens are six of those, or a clause thrice.
"""

RATIO, SLACK = 4, 16
"""One text is too long for the other beyond `RATIO` times its tokens and `SLACK` more.

Over FLORES-200 the longest language needs 2.7 times the tokens of the shortest in NLLB's
vocabulary (Petrov et al., "Language Model Tokenizers Introduce Unfairness Between Languages",
2023, table of lengths); half as much again is left for the single sentence.
"""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a translation."""

    warning: str
    """What it does, in words for the user: "repeats itself"."""
    keep: int
    """Tokens before it went wrong."""
    period: int = 0
    """Length of the unit that a loop repeats; 0 if it is no loop."""


class Guard:
    """Watches one sentence being translated."""

    def __init__(self, sentence: str, length: int, limit: int):
        """Watch the translation of a sentence.

        Args:
            sentence: the source.
            length: its tokens.
            limit: tokens that the translation may have; one that reaches them has found no end.
        """
        self.tokens: list[int] = []
        """The translation so far; nothing is added to it once a loop is found."""
        self.loop: Fault | None = None
        self._sentence, self._length, self._limit = sentence, length, limit
        self._matches: list[int] = []  # [p - 1]: how many last tokens equal those p before them

    def see(self, tokens: Sequence[int]) -> int:
        """Take the translation so far, which goes on where it was left.

        Returns:
            How many of its tokens will stand: where something has begun to stand there for the
            third time, all before that, until it turns out to be a loop or not.
        """
        for token in tokens[len(self.tokens) :]:
            if self.loop:
                break
            self.tokens.append(token)
            before = reversed(self.tokens[:-1])
            matches = [*self._matches, 0]
            self._matches = [
                n + 1 if token == other else 0 for n, other in zip(matches, before, strict=False)
            ]
            self.loop = self._find_loop()
        end = len(self.tokens)
        repeating = ((p, n) for p, n in enumerate(self._matches, 1) if n > p)
        return min((end - n + p for p, n in repeating), default=end)

    def verdict(self) -> Fault | None:
        """What is wrong with the translation, now that it is whole; None if nothing is."""
        count = len(self.tokens)
        if self.loop:
            return self.loop
        if count >= self._limit:
            return Fault(f"finds no end, and was cut after {count} tokens", count)
        if self._length > RATIO * count + SLACK:
            return Fault(f"is far too short: {count} tokens for {self._length}", count)
        if not count and any(character.isalnum() for character in self._sentence):
            return Fault("is empty", 0)
        return None

    @cached_property
    def _allowed(self) -> int:
        """What the source repeats may be repeated, twice as often for good measure."""
        return 2 * _repeats(self._sentence)

    def _find_loop(self) -> Fault | None:
        end = len(self.tokens)
        for period, matched in enumerate(self._matches, 1):
            stretch = matched + period
            long = stretch >= max(LOOP, TIMES * period)
            if long and stretch // period > self._allowed:
                keep = end - stretch + 2 * period
                return Fault("repeats itself, and was cut", keep, period)
        return None


def guarded(
    steps: Iterable[list[int]],
    guard: Callable[[], Guard],
    alternatives: Callable[[Fault], Iterable[Iterable[list[int]]]],
    *,
    shown: bool,
) -> Iterator[tuple[list[int], Fault | None]]:
    """Let the translation of a sentence pass, or the first alternative with which nothing is wrong.

    Args:
        steps: its tokens so far, after each step.
        guard: a new guard of the sentence.
        alternatives: to a translation with a fault: each as `steps`.
        shown: whether tokens are shown as they pass; nothing of those is taken back.

    Yields:
        The tokens so far; the last are all. Where nothing is right, they end where the fault is,
        and it comes with them.
    """
    first = guard()
    before: list[int] = []
    for tokens in steps:
        certain = first.see(tokens)
        if first.loop:
            break
        if shown:
            before = tokens[: max(certain, len(before))]
            yield before, None
    fault = first.verdict()
    if not fault:
        if not shown or len(before) < len(first.tokens):
            yield first.tokens, None
        return
    for attempt in alternatives(fault):
        again = guard()
        for tokens in attempt:
            again.see(tokens)
            if again.loop or again.tokens[: len(before)] != before[: len(again.tokens)]:
                break
            yield before, None
        else:
            if again.tokens[: len(before)] == before and not again.verdict():
                yield again.tokens, None
                return
    yield first.tokens[: fault.keep], fault


def longest_translation(length: int) -> int:
    """Tokens beyond which no translation of a sentence of `length` tokens can make sense."""
    return RATIO * length + SLACK


def _repeats(sentence: str) -> int:
    """How many times a text says the same in a row, at most; 1 if it says nothing thrice."""
    found = re.finditer(r"(.+?)\1{2,}", sentence.casefold() + " ")
    return max((len(match[0]) // len(match[1]) for match in found), default=1)
