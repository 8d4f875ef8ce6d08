"""The sound of one sentence, made while the sentence may still be being translated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .audio import Audio
from .errors import MissingExtraError, UnknownLanguageError
from .scheduler import Pace
from .text.clauses import CLAUSE_LENGTH, clauses_end
from .text.reading import read_aloud
from .utterance import Utterance

if TYPE_CHECKING:
    from .pipeline import Pipeline
    from .protocols import Speaks
    from .speech import Speaker


class Synthesis:
    """A task for the scheduler: chunk after chunk of an utterance, handed to the player.

    Args:
        pipe: the pipeline.
        utterance: whose text may still grow, until it is `translated`.
        speed: asked before each part that is spoken.
    """

    def __init__(self, pipe: Pipeline, utterance: Utterance, speed: Callable[[], float]):
        self._pipe, self._player = pipe, pipe._player
        self._utterance, self._speed = utterance, speed
        self._spoken = 0  # characters
        self._made_for = 1.0
        self._speaking = pipe.voice.name
        self._chunks = 0
        self._seconds = 0.0

    def steps(self) -> Iterator[Audio | None]:
        utterance, pipe = self._utterance, self._pipe
        while not (utterance.translated and self._spoken >= len(utterance.text)):
            begin, self._spoken = self._spoken, self._ready()
            if begin == self._spoken:
                yield None  # `slack` waits until there is more
                continue
            self._made_for, utterance.speed = self._player.speed, self._speed()
            yield from self._speak(read_aloud(utterance.text[begin : self._spoken], pipe.target))

    def _speak(self, text: str) -> Iterator[Audio | None]:
        """By the voice. Where it fails the other one says it, from the beginning: how much of it
        has been said cannot be told, and twice is better than never."""
        pipe = self._pipe
        try:
            yield from self._speak_as(pipe.voice, text, pipe.speaker)
        except Exception as error:
            if pipe.fallback is None:
                raise
            self._utterance.warning = f"the voice {pipe.voice.name!r} failed: {error}"
            try:
                yield from self._speak_as(pipe.fallback, text, None)
            except (UnknownLanguageError, MissingExtraError):
                raise error from None

    def _speak_as(
        self, voice: Speaks, text: str, speaker: str | Speaker | None
    ) -> Iterator[Audio | None]:
        rate = self._pipe.voice.sample_rate
        steps = voice.steps(
            text, language=self._pipe.target, speaker=speaker, speed=self._utterance.speed
        )
        for audio in steps:
            self._speaking = voice.name
            yield audio if audio is None or audio.sample_rate == rate else audio.resample(rate)

    def take(self, audio: Audio, seconds: float) -> None:
        """Hand a chunk to the player; `seconds` have been spent so far."""
        utterance = self._utterance
        if utterance.times.first_chunk is None:
            utterance.times.first_chunk = time.monotonic()
        if self._speaking not in utterance.voices:
            utterance.voices += (self._speaking,)
        self._player.add(utterance.track, audio, self._made_for)
        pace, units = self._next_chunk()
        pace.learn(units, seconds - self._seconds)
        self._seconds = seconds
        self._chunks += 1
        utterance.audio_seconds += audio.seconds

    def slack(self) -> float:
        """Seconds of sound ahead, less what the next chunk will take; infinite: not now."""
        if self._spoken == self._ready() and not self._utterance.translated:
            return math.inf
        ahead = self._player.ahead
        if ahead > self._pipe.lookahead:
            return math.inf
        pace, units = self._next_chunk()
        return ahead - pace.expect(units)

    def _next_chunk(self) -> tuple[Pace, int]:
        """What tells how long it takes. The first depends on the text, a later one on itself."""
        if self._chunks:
            return self._pipe.paces["chunk"], 1
        return self._pipe.paces["speak"], len(self._utterance.text)

    def _ready(self) -> int:
        """Where the part ends that can be spoken next."""
        text = self._utterance.text
        if self._utterance.translated:
            return len(text)
        return self._spoken + clauses_end(text[self._spoken :], CLAUSE_LENGTH)
