"""Greedy decoding in fewer steps: tokens are guessed cheaply and made certain together.

Guesses come from a draft, such as the translation of the sentence before it was complete
(`DraftTokens`), or from a decoder that knows a smaller table of likely tokens (`Decoder.guess`).
One pass of the decoder reads many of them, one product with the output table checks many of them;
where a check disagrees, its token is taken and decoding resumes there. So what comes out is what
greedy decoding yields, token by token; `certainty` says how that survives rounding.

Leviathan et al., "Fast Inference from Transformers via Speculative Decoding" (2023), verify the
guesses of a smaller model so; no other model is needed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Protocol

import mlx.core as mx
import numpy as np


class Decoder(Protocol):
    """The decoder of one sentence, whose state is what it has read; it can be cut back.

    Its prediction number t is about target token t and comes of the tokens before it.
    """

    restricted: bool
    """Whether `guess` is cheaper than `best`."""

    def run(self, tokens: mx.array) -> mx.array:
        """Read tokens (count,) in one pass.

        Returns:
            Hidden states (count, dims) of the predictions after each of them. The first pass
            begins with what starts a target, and returns one more.
        """

    def cut(self, length: int) -> None:
        """Keep the state of the first `length` predictions."""

    def guess(self, hidden: mx.array) -> mx.array:
        """Hidden states (count, dims) → tokens (count,) that are likely the best."""

    def best(self, hidden: mx.array) -> tuple[mx.array, mx.array]:
        """Hidden states (count, dims) → the best tokens (count,), and which are certain; `choose`.

        One hidden state alone goes through the operations of greedy decoding.
        """


@dataclass
class Report:
    """What it took to decode a sentence."""

    passes: int = 0
    """Runs of the decoder, each of which waits for the one before it."""
    rows: int = 0
    """Tokens read in them."""
    guesses: int = 0
    """Products with the restricted table."""
    checks: int = 0
    """Products with the whole table."""
    misses: int = 0
    """Guesses of the restricted table that a check did not bear out."""
    ties: int = 0
    """Choices too close for rounding, which were made again as greedy decoding makes them."""


def verified_greedy(
    decoder: Decoder,
    *,
    eos_token_id: int,
    vocab_size: int,
    limit: int,
    draft: Sequence[int] = (),
    report: Report | None = None,
) -> Iterator[list[int]]:
    """Decode one sentence greedily, by guesses that are verified.

    Args:
        decoder: at its start.
        eos_token_id: ends the sentence, and is not part of it.
        vocab_size: tokens are less than this.
        limit: the most tokens, the end included.
        draft: what the sentence may be, or begin with, or resemble. It is not trusted: it changes
            the number of steps only, and is read up to the first token that no sentence contains,
            or that is too far off to be in this one.
        report: is filled in.

    Yields:
        The tokens that are certain, whenever there are more, or the end is; the last list is the
        sentence.
    """
    near = draft[: 2 * max(limit, 0)]
    usable = takewhile(lambda token: 0 <= token < vocab_size and token != eos_token_id, near)
    sentence = _Sentence(decoder, eos_token_id, limit, list(usable), report or Report())
    while not sentence.finished:
        if sentence.advance():
            yield sentence.certain
    if limit <= 0:
        yield []


class DraftTokens:
    """The rest of a draft, kept in step with the tokens that are decoded."""

    def __init__(self, tokens: Sequence[int], *, end: int, hopeful: bool):
        """
        Args:
            tokens: the draft, without an end.
            end: the token that is never offered, since nothing comes after it.
            hopeful: offer tokens even where the place in the draft is lost.
        """
        self.rest = list(tokens)
        self._end = end
        self._hopeful = hopeful
        self._lost = False
        self._followed = 0

    def offer(self, most: int) -> list[int]:
        """Up to so many tokens that may come next.

        Where the place is lost, one token may have been replaced by another.
        """
        if self._lost:
            return self.rest[1 : 1 + max(most, 0)] if self._hopeful else []
        return self.rest[: max(most, 0)]

    def follow(self, tokens: Sequence[int]) -> None:
        """Find the place in the draft after more tokens were decoded.

        Args:
            tokens: all so far.
        """
        for place in range(self._followed, len(tokens)):
            self._find(tokens[max(place - 1, 0) : place + 1])
        self._followed = len(tokens)

    def retract(self, tokens: Sequence[int], length: int) -> None:
        """Of the tokens followed, only the first so many hold; the others become draft again."""
        if length < self._followed:
            dropped = tokens[length : self._followed]
            self.rest[:0] = [token for token in dropped if token != self._end]
            self._followed = length
            self._lost = False

    def _find(self, last: Sequence[int]) -> None:
        """After the last tokens, two or (of the first) one."""
        if not self._lost and self.rest[:1] == last[-1:]:
            del self.rest[0]
            return
        for i in range(1, len(self.rest)):
            if self.rest[i - 1 : i + 1] == last:
                del self.rest[: i + 1]
                self._lost = False
                return
        near = self.rest[:_NEAR]
        self._lost = last[-1] not in near
        if not self._lost:
            del self.rest[: near.index(last[-1]) + 1]


_WINDOW = 64
"""Tokens of a draft that one pass reads at most. Over 237 sentences whose draft lacked one to five
words, 16 and 32 took a CPU up to 4 % longer, smaller windows after a miss no less time."""
_NEAR = 6
"""Tokens within which one alone is enough to find the place in a draft again."""
_FIRST_CHECK, _LEAST_PATIENCE, _LAST_CHECK = 8, 4, 32
"""Guesses that wait to be checked together: at first, at least and at most.

On a CPU, checking 8 rows costs as much as 3 single ones, 32 as much as 5, and a miss wastes half
of what waits. So reckoned, restriction takes 0.70 of greedy decoding's time where nothing is
missed, 0.87 at 4 % misses, and stops to pay at 8 %; on a GPU 0.51, 0.63 and 20 %. Beyond, it is
soon given up. To begin with 12 would gain 4 %, and keep a listener waiting for them.
"""


class _Sentence:
    """One sentence on its way."""

    def __init__(
        self, decoder: Decoder, eos_token_id: int, limit: int, draft: list[int], report: Report
    ):
        self._decoder, self._eos, self._limit, self._report = decoder, eos_token_id, limit, report
        self._drafted = bool(draft)
        # A row more costs a GPU nothing, a CPU a tenth of a step: there it loses more than it wins.
        hopeful = mx.default_device().type == mx.DeviceType.gpu
        self._draft = DraftTokens(draft, end=eos_token_id, hopeful=hopeful)
        self._guessing = decoder.restricted
        self._patience = _FIRST_CHECK
        self._tokens: list[int] = []
        self._certain = 0
        # Hidden states of the predictions of tokens that are not certain.
        self._pending: list[mx.array] = []
        # Predictions that the decoder's state holds, and how many of them single steps computed.
        self._length = self._exact = 0

    @property
    def finished(self) -> bool:
        return self._certain == len(self._tokens) and self._full

    @property
    def certain(self) -> list[int]:
        """The tokens that are certain, without the end."""
        tokens = self._tokens[: self._certain]
        return tokens[:-1] if tokens[-1:] == [self._eos] else tokens

    @property
    def _full(self) -> bool:
        return len(self._tokens) >= self._limit or self._tokens[-1:] == [self._eos]

    def advance(self) -> bool:
        """Guess some tokens, check those that have waited long enough; whether more are certain."""
        window = self._draft.offer(min(_WINDOW, self._limit - len(self._tokens) - 1))
        if not self._guessing:
            self._pending = [self._run([*self._tokens[-1:], *window])]
            self._tokens += window
            self._check()
            return True
        if window or self._draft.rest:
            self._guess(window)
        else:
            self._guess_on()
        self._draft.follow(self._tokens)
        if len(self._tokens) - self._certain < self._patience and not self._full:
            return False
        misses = self._report.misses
        self._check()
        self._adapt(missed=self._report.misses > misses)
        return True

    def _guess(self, window: list[int]) -> None:
        """Guess as many of the tokens offered as the restricted table agrees with, and the next."""
        hidden = self._run([*self._tokens[-1:], *window])
        guesses = _ints(self._decoder.guess(hidden))
        self._report.guesses += 1
        kept = 0
        for offered, token in zip_longest(window, guesses):
            self._tokens.append(token)
            kept += 1
            if token != offered:
                break
        self._pending.append(hidden[:kept])
        self._cut(len(self._tokens))

    def _guess_on(self) -> None:
        """Guess tokens one by one until the next check.

        The graph of a step is built while the step before it is computed.
        """
        end = min(self._certain + self._patience, self._limit)
        steps = self._steps()
        ahead = next(steps)
        while len(self._tokens) < end and not self._full:
            hidden, guess = ahead
            if len(self._tokens) + 1 < end:
                ahead = next(steps)
            self._pending.append(hidden)
            self._tokens += _ints(guess)
        self._cut(len(self._tokens))

    def _steps(self) -> Iterator[tuple[mx.array, mx.array]]:
        """Single steps without end: hidden state and guess, each being computed."""
        hidden = self._run(self._tokens[-1:])
        while True:
            guess = self._decoder.guess(hidden)
            self._report.guesses += 1
            mx.async_eval(guess)
            yield hidden, guess
            hidden = self._run(guess)

    def _check(self) -> None:
        """Hold the tokens that are not certain against the best ones, and correct the first miss.

        There may be a hidden state more than tokens.
        """
        hidden = mx.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
        self._pending = []
        best, sure = self._decoder.best(hidden)
        mx.eval(best, sure)
        self._report.checks += 1
        for row, (token, is_sure) in enumerate(zip(_ints(best), _ints(sure), strict=True)):
            place = self._certain
            redone = False
            alone = len(hidden) == 1 and place < self._exact
            if not is_sure and not alone:
                redone = place >= self._exact
                token = self._decide(hidden[row : row + 1])
            missed = self._tokens[place : place + 1] != [token]
            if missed or redone:
                self._report.misses += missed and place < len(self._tokens) and self._guessing
                if self._drafted:
                    self._draft.retract(self._tokens, place)
                self._tokens[place:] = [token]
            self._certain += 1
            self._draft.follow(self._tokens[: self._certain])
            if missed or redone:
                break
        self._cut(len(self._tokens))

    def _decide(self, hidden: mx.array) -> int:
        """The best token after those that are certain, found as greedy decoding finds it."""
        self._report.ties += 1
        if self._exact <= self._certain:
            self._cut(self._exact)
            while self._length <= self._certain:
                hidden = self._run(self._tokens[self._length - 1 : self._length])
        self._report.checks += 1
        return _ints(self._decoder.best(hidden)[0])[0]

    def _adapt(self, *, missed: bool) -> None:
        """Check sooner after a miss, later after none; no longer guess where that does not pay."""
        if not missed:
            self._patience = min(2 * self._patience, _LAST_CHECK)
        elif self._patience > _LEAST_PATIENCE:
            self._patience //= 2
        else:
            self._guessing = False

    def _run(self, tokens: Sequence[int] | mx.array) -> mx.array:
        if not isinstance(tokens, mx.array):
            tokens = mx.array(list(tokens), mx.int32)
        rows = tokens.size + (self._length == 0)
        if rows == 1 and self._exact == self._length:
            self._exact += 1
        self._length += rows
        self._report.passes += 1
        self._report.rows += rows
        return self._decoder.run(tokens)

    def _cut(self, length: int) -> None:
        if length < self._length:
            self._decoder.cut(length)
            self._length = length
            self._exact = min(self._exact, length)


def _ints(array: mx.array) -> list[int]:
    return np.array(array).tolist()
