"""Work on a sentence that is not complete yet, in time that nobody needs.

What has been read of it is translated, and the first sound of that translation is made. When the
sentence is complete, its translation verifies the draft in few passes (`translation/drafting.py`),
and the voice finds what it has prepared. Both change when something is heard, never what; what
turns out wrong is dropped without a sound.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from .languages import Language
from .protocols import Speaks, Translates
from .scheduler import Scheduler, Task
from .speech import Speaker
from .text.clauses import CLAUSE_LENGTH, clauses_end
from .text.reading import read_aloud
from .translation import Translation

T = TypeVar("T")
Level = Literal["off", "economy", "balanced", "eager"]
SHARES: dict[Level, float] = {"off": 0.0, "economy": 0.25, "balanced": 0.5, "eager": 1.0}
"""Of all time, what may go into early work. "economy" looks at sentences that seem complete only,
"balanced" at their beginnings too, and "eager" at every word that is added."""

_BURST = 1.0  # seconds of early work that may have been saved up
_SOON = 1.5  # seconds of sound ahead, beyond which nobody waits for the next sentence
_IDLE = 1e6  # seconds of slack: after everything else
_WORDS = 3  # by which a beginning grows before "balanced" looks at it again


@dataclass(eq=False)
class Draft:
    """What was made of the beginning of a sentence."""

    text: str = ""
    """That beginning, as far as it has been looked at."""
    tokens: list[int] = field(default_factory=list)
    """Of the translation so far, or of the last whole one."""
    whole: Translation | None = None
    """The translation of `text`, once it is complete."""
    prepared: str = ""
    """What the voice has begun to make the sound of."""
    steps: Iterator[Translation] | None = None
    """The translation of `text` under way."""
    offered: list[int] | None = None
    """The tokens that the translation of the whole sentence began with; None before."""

    def share_of(self, tokens: list[int]) -> float | None:
        """How much of a translation was right in it before its first miss; None if none was."""
        if not self.offered or not tokens:
            return None
        return sum(1 for _ in _agreeing(self.offered, tokens)) / len(tokens)


class EarlyStart:
    """Keeps a draft of the sentence that is being written.

    Args:
        scheduler, translator, voice, source, target, speaker: the pipeline's. Without a translator
            only sound is prepared.
        level: how much of the machine's time may be spent.
        speed: asked when sound is made.
        ahead: asked for the seconds of sound that wait to be heard.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        translator: Translates | None,
        voice: Speaks,
        source: Language,
        target: Language,
        speaker: str | Speaker | None,
        *,
        level: Level,
        speed: Callable[[], float],
        ahead: Callable[[], float],
    ):
        if level not in SHARES:
            raise ValueError(f"early={level!r} is not known: give one of {', '.join(SHARES)}")
        self._scheduler, self._translator, self._voice = scheduler, translator, voice
        self._pair, self._speaker = (source, target), speaker
        self._level, self._speed, self._ahead = level, speed, ahead
        self._lock = threading.Lock()
        self._draft = Draft()
        self._wanted: tuple[str, bool] | None = None
        self._task: Task[None] | None = None
        self._credit, self._since, self._counted = _BURST, time.monotonic(), 0.0

    def see(self, text: str, likely_all: bool) -> None:
        """Take notice of what has been read of the next sentence (any thread)."""
        if self._level == "off":
            return
        if not likely_all:
            text = _whole_words(text)
        with self._lock:
            if not text or text == self._draft.text or not self._worth(text, likely_all):
                return
            self._wanted = text, likely_all
            if self._task is None:
                self._counted = 0.0
                self._task = self._scheduler.submit(
                    self._steps(), done=self._ended, slack=self._slack
                )

    def claim(self, sentence: str) -> Draft | None:
        """The draft of a sentence that is complete now; the next draft is another's (any thread).

        None if there is nothing that could help.
        """
        with self._lock:
            draft, self._draft, self._wanted = self._draft, Draft(), None
        common = sum(1 for _ in _agreeing(draft.text, sentence))
        return draft if draft.text and common >= min(len(draft.text), len(sentence)) // 2 else None

    def stop(self) -> None:
        """Work no more."""
        with self._lock:
            self._wanted = None
            if self._task is not None:
                self._task.cancel()
                self._task = None

    def translate(self, text: str, draft: Draft | None) -> Iterator[Translation]:
        """Translate a sentence with what its draft is worth (MLX thread)."""
        assert self._translator is not None
        source, target = self._pair
        if draft is not None:
            draft.offered = list(draft.tokens)
        if draft is not None and draft.text == text:
            if draft.whole is not None:
                yield draft.whole
                return
            if draft.steps is not None:
                yield from draft.steps
                return
        offered = {} if draft is None or not draft.tokens else {"draft": draft.tokens}
        yield from self._translator.stream_translate(text, source, target, **offered)

    def _worth(self, text: str, likely_all: bool) -> bool:
        if likely_all or self._level == "eager":
            return True
        if self._level == "economy":
            return False
        grown = len(text.split()) - len(self._draft.text.split())
        return grown >= _WORDS or len(text) - len(self._draft.text) >= 6 * _WORDS

    def _steps(self) -> Iterator[None]:
        while True:
            with self._lock:
                if self._wanted is None:
                    self._task = None
                    return
                (text, likely_all), self._wanted = self._wanted, None
                draft = self._draft
                earlier, draft.text, draft.whole = draft.tokens, text, None
            spoken = text
            if self._translator is not None:
                yield from self._redraft(draft, earlier)
                if draft is not self._draft or draft.whole is None:
                    continue
                spoken = draft.whole.text
            clause = clauses_end(spoken, CLAUSE_LENGTH)
            new_clause = clause > clauses_end(draft.prepared, CLAUSE_LENGTH)
            if likely_all or self._level == "eager" or new_clause:
                yield from self._prepare(draft, spoken)

    def _redraft(self, draft: Draft, earlier: list[int]) -> Iterator[None]:
        assert self._translator is not None
        source, target = self._pair
        offered = {"draft": earlier} if earlier else {}
        draft.steps = self._translator.stream_translate(draft.text, source, target, **offered)
        for translation in draft.steps:
            done = len(translation.tokens)
            draft.tokens = translation.tokens + earlier[done:]
            if translation.final:
                draft.tokens, draft.whole = translation.tokens, translation
            yield
            if draft is not self._draft:
                return  # claimed: whoever has it goes on with its steps
        draft.steps = None

    def _prepare(self, draft: Draft, text: str) -> Iterator[None]:
        draft.prepared = text
        said = read_aloud(text, self._pair[1])
        for _ in self._voice.prepare(said, self._pair[1], self._speaker, self._speed()):
            yield
            if draft is not self._draft or self._wanted is not None:
                return  # there is something newer

    def _ended(self, error: Exception | None) -> None:
        """An error in early work is nobody's: the sentence itself will meet it, or not."""
        if error is not None:
            with self._lock:
                self._task, self._draft = None, Draft()

    def _slack(self) -> float:
        task = self._task
        if task is None:
            return _IDLE  # its last step
        now = time.monotonic()
        share = SHARES[self._level]
        self._credit += share * (now - self._since) - (task.seconds - self._counted)
        self._credit = min(self._credit, _BURST)
        self._since, self._counted = now, task.seconds
        if share < 1 and self._credit <= 0:
            return math.inf
        return math.inf if self._ahead() > _SOON else _IDLE


def _whole_words(text: str) -> str:
    """Without the last word, which may still grow, where words are parted by spaces."""
    head, space, _ = text.rpartition(" ")
    return head if space else text


def _agreeing(a: Sequence[T], b: Sequence[T]) -> Iterator[T]:
    """What two sequences have in common from their beginning."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return
        yield x
