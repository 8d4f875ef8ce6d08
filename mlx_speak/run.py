"""One `Pipeline.run`: the way of its sentences from the first event to the last sound.

`admit` → `_translate` → `_speak` → `utterances`; at most one sentence is being translated and one
being spoken, each a generator that the scheduler steps, while others are heard.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from .audio import Audio
from .backlog import Backlog
from .collector import Collector
from .early import EarlyStart
from .player import Track
from .scheduler import Task
from .synthesis import Synthesis
from .text import Sentence, SentenceReader, TextEvent
from .text.clauses import CLAUSE_LENGTH, clauses_end
from .translation import Translation
from .utterance import State, Times, Utterance

if TYPE_CHECKING:
    from .pipeline import Pipeline

_TICK = 0.05  # seconds between looks at what may have changed without notice
_WORTH = 0.05  # seconds to be gained by that
_URGENT = -1e6  # seconds of slack of what the user put in between


class Work(NamedTuple):
    """A task of the scheduler and the sentence it is for."""

    utterance: Utterance
    task: Task


class Run:
    """The sentences of one stream, on three threads: the collector's, MLX's and the caller's.

    Args:
        pipe: whose models and output they go through.
        events: the stream.
        urgent: a track of the player that is held open for the first sentence, if all of them go
            before those of other runs.
    """

    def __init__(self, pipe: Pipeline, events: Iterable[TextEvent], *, urgent: Track | None = None):
        self.pipe = pipe
        self.player = pipe._player
        self.urgent = urgent is not None
        self._held_open = urgent
        self._order: queue.Queue[Utterance | None] = queue.Queue()
        self._room = threading.Semaphore(pipe.max_backlog)
        self._lock = threading.RLock()
        self._backlog = Backlog(self.player, pipe.paces["sound"])
        self._to_translate: deque[Utterance] = deque()
        self._to_speak: deque[Utterance] = deque()
        self._translating: Work | None = None
        self._speaking: Work | None = None
        self._retold: deque[str] = deque()
        self._admitted = 0
        self.current: Utterance | None = None
        self._stopped = threading.Event()
        self._source_is_over = False
        self._source_error: Exception | None = None
        self._early = EarlyStart(
            pipe.scheduler,
            pipe.translator,
            pipe.voice,
            pipe.source,
            pipe.target,
            pipe.speaker,
            level="off" if self.urgent else pipe.early,
            speed=self._speed,
            ahead=lambda: self.player.ahead,
        )
        reader = SentenceReader(pipe.source, placeholders=pipe.placeholders)
        self._collector = Collector(events, reader, self)
        self._collector.start()

    # Text: on the collector's thread.

    def foresee(self, beginning: str, likely_all: bool) -> None:
        self._early.see(beginning, likely_all)

    def admit(self, sentence: Sentence) -> None:
        draft = self._early.claim(sentence.text)
        if self._retold and self._retold[0] == sentence.text:
            self._retold.popleft()  # a retry begins with what was already spoken
            return
        self._retold.clear()
        while not self._room.acquire(timeout=_TICK):
            if self._stopped.is_set():
                return
        times = Times(sentence.seen, time.monotonic())
        track, self._held_open = self._held_open or self.player.open(self.urgent), None
        utterance = Utterance(
            self._admitted, sentence.text, times, track, sentence.message, draft=draft
        )
        self._admitted += 1
        self._backlog.add(utterance)
        with self._lock:
            self._order.put(utterance)
            self._to_translate.append(utterance)
        self._catch_up()
        self._advance()

    def retract(self, message: str) -> None:
        """Withdraw what has not been spoken; remember what has, should it be told again."""
        for utterance in self._backlog.forget_message(message):
            if not utterance.track.begun and not utterance.over:
                self._end(utterance, "retracted")
            else:
                self._retold.append(utterance.source)

    def _let_go(self) -> None:
        if self._held_open is not None:  # there was nothing to say
            self.player.drop(self._held_open)
            self.player.forget(self._held_open)

    def new_turn(self) -> None:
        if self.pipe.cut_turns:
            self.cut()

    def source_ended(self, error: Exception | None) -> None:
        self._source_is_over, self._source_error = True, error
        self._early.stop()
        self._let_go()
        self._order.put(None)

    # When speech falls behind.

    @property
    def behind(self) -> float:
        """Seconds of speech that wait to be heard, made or not."""
        return self._backlog.behind

    @property
    def backlog(self) -> int:
        """Sentences found and not yet heard to their end."""
        return len(self._backlog)

    @property
    def rung(self) -> str:
        """What is being done about being behind."""
        return self.pipe.catch_up.rung(self._lag())

    def _lag(self) -> float:
        """Seconds behind a text that is still being written; a text that is over can wait."""
        live = self.pipe.output.paced and not self._source_is_over and not self.urgent
        return self.behind if live else 0.0

    def _speed(self) -> float:
        return min(self.pipe.speed * self.pipe.catch_up.speed(self._lag()), self.pipe.fastest)

    def _catch_up(self) -> None:
        """Shorten what is read from here on; skip what has waited longest, if that is asked for."""
        catch_up, lag = self.pipe.catch_up, self._lag()
        placeholders = self.pipe.placeholders
        self._collector.use(placeholders.brief() if lag >= catch_up.brief else placeholders)
        with self._lock:
            count = catch_up.skips(lag, [self._backlog.unmade(u) for u in self._to_translate])
            skipped = [self._to_translate.popleft() for _ in range(count)]
            for utterance in skipped:
                utterance.warning = f"skipped, as speech was {self.behind:.0f} s behind"
            if skipped and placeholders.skipped:
                last = skipped.pop()  # in whose place it is said
                last.instead = placeholders.skipped
                self._to_translate.appendleft(last)
        for utterance in skipped:
            self._end(utterance, "skipped")

    def _join(self, utterance: Utterance) -> None:
        """Have short sentences of the same message said with this one (lock held)."""
        lag = self._lag()
        while self._to_translate:
            other = self._to_translate[0]
            alike = other.message == utterance.message and not (other.instead or utterance.instead)
            if not (alike and self.pipe.catch_up.joins(lag, utterance.source, other.source)):
                return
            self._to_translate.popleft()
            utterance.source += f" {other.source}"
            utterance.sentences += other.sentences
            utterance.draft = None
            other.state = "joined"
            self.player.drop(other.track)

    # Models: on the scheduler's thread.

    def _advance(self) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            if self._translating is None and self._to_translate:
                utterance = self._to_translate.popleft()
                self._join(utterance)
                self._translating = Work(utterance, self._translate(utterance))
            if self._speaking is None and self._to_speak:
                utterance = self._to_speak.popleft()
                self._speaking = Work(utterance, self._speak(utterance))

    def _translate(self, utterance: Utterance) -> Task:
        pipe, times, draft = self.pipe, utterance.times, utterance.draft
        source = utterance.instead or utterance.source
        tokens: list[int] = []

        def each(prefix: Translation | None) -> None:
            if prefix is None:
                utterance.text = source
                return
            if draft is not None and times.verified is None:
                times.verified = time.monotonic()
            utterance.text, utterance.warning = prefix.text, utterance.warning or prefix.warning
            tokens[:] = prefix.tokens
            with self._lock:  # which `_advance` holds until it has the task
                seconds = task.seconds
            if utterance.state == "translating" and self._should_begin(utterance, seconds):
                self._hand_on(utterance)

        def done(error: Exception | None) -> None:
            with self._lock:
                times.translated = time.monotonic()
                utterance.translate_seconds = task.seconds
                pipe.paces["translate"].learn(len(source), task.seconds)
                if draft is not None:
                    utterance.draft_kept = draft.share_of(tokens)
                utterance.prepared = draft is not None and draft.prepared == utterance.text != ""
                utterance.draft = None
                if utterance.over:
                    return  # withdrawn in the meantime
                self._translating = None
                if error is not None:
                    utterance.error = error
                if utterance.state == "translating":
                    if error is None:
                        self._hand_on(utterance)
                    else:
                        self._end(utterance, "failed")
            self._advance()

        def slack() -> float:
            if self.urgent:
                return _URGENT
            ahead = self._backlog.before(utterance, pipe.lookahead)
            if ahead > pipe.lookahead:
                return math.inf
            length = len(source)
            with self._lock:
                rest = max(pipe.paces["translate"].expect(length) - task.seconds, 0.0)
            if utterance.state == "speaking":  # a clause of it, which will be heard before the rest
                clause = pipe.paces["sound"].expect(clauses_end(utterance.text, CLAUSE_LENGTH))
                ahead += max(clause - utterance.audio_seconds, 0.0)
            return ahead - rest - pipe.paces["speak"].expect(length)

        utterance.state, times.begun = "translating", time.monotonic()
        steps = iter([None]) if pipe.translator is None else self._early.translate(source, draft)
        task: Task = pipe.scheduler.submit(steps, each=each, done=done, slack=slack)
        return task

    def _hand_on(self, utterance: Utterance) -> None:
        """Have a sentence spoken, or as much of it as there is."""
        with self._lock:
            utterance.state = "speaking"
            self._to_speak.append(utterance)
        self._advance()

    def _should_begin(self, utterance: Utterance, seconds: float) -> bool:
        """Whether to speak the first clause already, since the rest would come too late.

        The melody is better if the whole is known. `seconds` have gone into the translation.
        """
        if self._speaking or self._to_speak or not clauses_end(utterance.text, CLAUSE_LENGTH):
            return False
        paces = self.pipe.paces
        rest = paces["translate"].expect(len(utterance.source)) - seconds
        late = rest + paces["speak"].expect(len(utterance.text)) - self.player.ahead
        return min(rest, late) > _WORTH

    def _speak(self, utterance: Utterance) -> Task:
        pipe = self.pipe
        synthesis = Synthesis(pipe, utterance, self._speed)

        def each(audio: Audio | None) -> None:
            if audio is not None:
                with self._lock:
                    seconds = task.seconds
                synthesis.take(audio, seconds)

        def done(error: Exception | None) -> None:
            with self._lock:
                utterance.error, utterance.speak_seconds = utterance.error or error, task.seconds
                pipe.paces["sound"].learn(len(utterance.text), utterance.audio_seconds)
                self.player.finish(utterance.track)
                if not utterance.over:
                    self._speaking = None
            self._advance()

        def slack() -> float:
            slack = synthesis.slack()
            return _URGENT if self.urgent and slack < math.inf else slack

        steps = synthesis.steps()
        task: Task = pipe.scheduler.submit(steps, each=each, done=done, slack=slack)
        return task

    # Sound: on the thread of whoever iterates `Pipeline.run`.

    def utterances(self) -> Iterator[Utterance]:
        while not self._stopped.is_set():
            try:
                utterance = self._order.get(timeout=_TICK)
            except queue.Empty:
                continue
            if utterance is None:
                break
            self.current = utterance
            while not self.player.wait(utterance.track, _TICK):
                if self._stopped.is_set():
                    return
            if self._stopped.is_set():
                return
            self._conclude(utterance)
            if utterance.state not in ("retracted", "joined"):
                yield utterance
        if self._source_error is not None:
            raise self._source_error

    def _conclude(self, utterance: Utterance) -> None:
        with self._lock:
            if not self._backlog.remove(utterance):
                return  # somebody else did
            self.current = None
            utterance.times.heard = self.player.heard(utterance.track)
            utterance.times.finished = time.monotonic()
            utterance.error = utterance.error or utterance.track.error
            if not utterance.over:
                said: State = "skipped" if utterance.instead else "heard"
                utterance.state = said if utterance.error is None else "failed"
            self.pipe._stats.add(utterance)
        self.player.forget(utterance.track)
        self._room.release()

    def _end(self, utterance: Utterance, state: State) -> None:
        """Take an utterance out of wherever it is."""
        with self._lock:
            if utterance.over:
                return
            utterance.state = state
            for line in (self._to_translate, self._to_speak):
                with contextlib.suppress(ValueError):
                    line.remove(utterance)
            if self._translating and self._translating.utterance is utterance:
                self._translating.task.cancel()
                self._translating = None
            if self._speaking and self._speaking.utterance is utterance:
                self._speaking.task.cancel()
                self._speaking = None
        self.player.drop(utterance.track)
        self._advance()

    # Control: on any thread.

    def skip(self) -> None:
        """End the sentence that is being said."""
        if (utterance := self.current) is not None:
            self._end(utterance, "skipped")

    def cut(self) -> None:
        """End every sentence so far; those to come are spoken."""
        for utterance in reversed(self._backlog.alive()):
            self._end(utterance, "skipped")

    def stop(self) -> None:
        """Silence; nothing more comes of this run."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._collector.stop()
        self._early.stop()
        self._let_go()
        with self._lock:
            self._to_translate.clear()
            self._to_speak.clear()
            for work in (self._translating, self._speaking):
                if work is not None:
                    work.task.cancel()
        for utterance in reversed(self._backlog.alive()):  # so that none moves up
            self.player.drop(utterance.track)
            if not utterance.over:
                utterance.state = "skipped"
            self._conclude(utterance)
