"""The whole way of a sentence: text events in, speech out, everything overlapping.

Each thread has one reason. The `Collector` turns events into sentences and notices when a stream
stalls. The `Scheduler` owns MLX: there the translation of the next sentence and the synthesis of
the current one take turns, step by step. The `Player` blocks on the sound card. `Pipeline.run`
waits for each sentence to be heard.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .audio import Audio, Output, OutputSpec, open_output
from .collector import Collector
from .languages import Language
from .player import Player
from .scheduler import Pace, Scheduler, Task, shared_scheduler
from .speech import Speaker, Voice
from .text import Placeholders, Sentence, SentenceReader, TextEvent
from .translation import Translator
from .utterance import State, Stats, Times, Utterance

_TICK = 0.05  # seconds between looks at what may have changed without notice
_MESSAGES = 16  # a retraction reaches back over so many messages


class Work(NamedTuple):
    """A task of the scheduler and the sentence it is for."""

    utterance: Utterance
    task: Task


class Pipeline:
    """Speaks a stream of text as it arrives, translated if a translator is given.

    Args:
        translator: from `load_translator`, or None to speak the text as it is.
        voice: from `load_voice`.
        source, target: languages of the text and of the speech; may be left out where the
            translator knows only one. Without a translator the speech is in `source`.
        output: "speakers", a .wav path, "null", "silent" (a listener without ears), a list of
            these, or an `Output` (which stays open at the end).
        speaker, speed: passed to the voice.
        lookahead: seconds of finished sound beyond which nothing more is made.
        max_backlog: sentences that may wait; beyond it the source is not read.
        placeholders: what is said for code, tables and addresses.

    Raises:
        UnknownLanguageError: a language that the translator or the voice does not know.
        OutputError: no such sound device, or the file cannot be written.
    """

    def __init__(
        self,
        translator: Translator | None,
        voice: Voice,
        source: str | Language | None = None,
        target: str | Language | None = None,
        output: OutputSpec = "speakers",
        *,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
        lookahead: float = 30.0,
        max_backlog: int = 1000,
        placeholders: Placeholders | None = None,
        scheduler: Scheduler | None = None,
    ):
        self.translator, self.voice = translator, voice
        if translator is not None:
            self.source, self.target = translator.pair(source, target)
        else:
            self.source = Language.parse(source or target or "en")
            wanted = Language.parse(target or self.source)  # which may name a region
            self.target = wanted if wanted.flores == self.source.flores else self.source
        voice.check(self.target, speaker)
        self.speaker, self.speed, self.placeholders = speaker, speed, placeholders
        self.lookahead, self.max_backlog = lookahead, max_backlog
        self.scheduler = scheduler or shared_scheduler()
        self._owns_output = not isinstance(output, Output)
        self.output = (
            output if isinstance(output, Output) else open_output(output, voice.sample_rate)
        )
        self._player = Player(self.output)
        self._runs: list[_Run] = []
        self._stats = Stats()
        self.paces = {
            "translate": Pace(2e-3),  # seconds per character; learned from the first sentence on
            "speak": Pace(10e-3),  # seconds per character until the first chunk
            "sound": Pace(70e-3),  # seconds of sound per character
        }

    def run(self, events: Iterable[TextEvent]) -> Iterator[Utterance]:
        """Speak `events`, yielding every sentence once it has been heard, failed or was skipped.

        An error of one sentence stands on its `Utterance`; an exception from `events` itself is
        raised after everything read before it has been spoken.
        """
        run = _Run(self, events)
        self._runs.append(run)
        try:
            yield from run.utterances()
        finally:
            run.stop()
            self._runs.remove(run)

    @property
    def current(self) -> Utterance | None:
        """The sentence that is being said, or made; None when all is said."""
        return next((run.current for run in self._runs if run.current), None)

    @property
    def backlog(self) -> int:
        """How many sentences were found and not yet heard to their end."""
        return sum(run.backlog for run in self._runs)

    def skip(self) -> None:
        """Cut the sentence that is being said and go on with the next."""
        for run in self._runs:
            run.skip()

    def stop(self) -> None:
        """Silence now; every `run` under way ends. The pipeline can run again."""
        for run in list(self._runs):
            run.stop()

    def stats(self) -> Stats:
        """Counts, and the latencies of all sentences so far."""
        self._stats.underruns = self.output.stats.underruns
        return self._stats

    def warm_up(self) -> None:
        """Do the work that only a first sentence has to wait for."""
        if (translator := self.translator) is not None:
            self.scheduler.call(lambda: translator.warm_up(self.source, self.target))
        self.scheduler.call(self.voice.warm_up)

    def close(self) -> None:
        """Stop, and close the output that the pipeline opened."""
        self.stop()
        self._player.close()
        if self._owns_output:
            self.output.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Run:
    """One `Pipeline.run`: its sentences from the first event to the last sound."""

    def __init__(self, pipe: Pipeline, events: Iterable[TextEvent]):
        self.pipe = pipe
        self.player = pipe._player
        self._order: queue.Queue[Utterance | None] = queue.Queue()
        self._room = threading.Semaphore(pipe.max_backlog)
        self._lock = threading.RLock()
        self._to_translate: deque[Utterance] = deque()
        self._to_speak: deque[Utterance] = deque()
        self._translating: Work | None = None
        self._speaking: Work | None = None
        self._messages: dict[str, list[Utterance]] = {}
        self._retold: deque[str] = deque()
        self._admitted = 0
        self._concluded = 0
        self.current: Utterance | None = None
        self._stopped = threading.Event()
        self._source_error: Exception | None = None
        self._collector = Collector(
            events,
            SentenceReader(pipe.source, placeholders=pipe.placeholders),
            admit=self._admit,
            retract=self._retract,
            done=self._source_ended,
        )

    # Text: on the collector's thread.

    def _admit(self, sentence: Sentence) -> None:
        if self._retold and self._retold[0] == sentence.text:
            self._retold.popleft()  # a retry begins with what was already spoken
            return
        self._retold.clear()
        while not self._room.acquire(timeout=_TICK):
            if self._stopped.is_set():
                return
        times = Times(sentence.seen, time.monotonic())
        utterance = Utterance(self._admitted, sentence.text, times, self.player.open())
        self._admitted += 1
        self._messages.setdefault(sentence.message, []).append(utterance)
        if len(self._messages) > _MESSAGES:
            self._messages.pop(next(iter(self._messages)))
        self._order.put(utterance)
        with self._lock:
            self._to_translate.append(utterance)
        self._advance()

    def _source_ended(self, error: Exception | None) -> None:
        self._source_error = error
        self._order.put(None)

    def _retract(self, message: str) -> None:
        """Withdraw what has not been spoken; remember what has, should it be told again."""
        for utterance in self._messages.pop(message, ()):
            if not utterance.track.begun and not utterance.over:
                self._end(utterance, "retracted")
            else:
                self._retold.append(utterance.source)

    # Models: on the scheduler's thread, one translation and one synthesis at a time.

    def _advance(self) -> None:
        with self._lock:
            if self._translating is None and self._to_translate:
                utterance = self._to_translate.popleft()
                self._translating = Work(utterance, self._translate(utterance))
            if self._speaking is None and self._to_speak:
                utterance = self._to_speak.popleft()
                self._speaking = Work(utterance, self._speak(utterance))

    def _translate(self, utterance: Utterance) -> Task:
        pipe = self.pipe

        def steps() -> Iterator[tuple[str, str]]:
            if pipe.translator is None:
                yield utterance.source, ""
                return
            for prefix in pipe.translator.stream_translate(
                utterance.source, source=pipe.source, target=pipe.target
            ):
                yield prefix.text, prefix.warning

        def each(so_far: tuple[str, str]) -> None:
            utterance.text, utterance.warning = so_far

        def done(error: Exception | None) -> None:
            with self._lock:  # which `_advance` holds until it has the task
                utterance.times.translated = time.monotonic()
                utterance.translate_seconds = task.seconds
                pipe.paces["translate"].learn(len(utterance.source), task.seconds)
                if utterance.over:
                    return  # withdrawn in the meantime
                self._translating = None
                if error is None:
                    self._to_speak.append(utterance)
                else:
                    utterance.error = error
                    self._end(utterance, "failed")
            self._advance()

        def slack() -> float:
            with self._lock:
                between = [work.utterance for work in (self._speaking,) if work]
                between += self._to_speak
            ahead = self.player.ahead + sum(
                pipe.paces["sound"].expect(len(other.text)) for other in between
            )
            if ahead > pipe.lookahead:
                return math.inf
            length = len(utterance.source)
            return (
                ahead - pipe.paces["translate"].expect(length) - pipe.paces["speak"].expect(length)
            )

        utterance.state = "translating"
        task = pipe.scheduler.submit(steps(), each=each, done=done, slack=slack)
        return task

    def _speak(self, utterance: Utterance) -> Task:
        pipe = self.pipe
        length = len(utterance.text)

        def steps() -> Iterator[Audio]:
            yield from pipe.voice.stream_generate(
                utterance.text, language=pipe.target, speaker=pipe.speaker, speed=pipe.speed
            )

        def each(audio: Audio) -> None:
            if utterance.times.first_chunk is None:
                utterance.times.first_chunk = time.monotonic()
                with self._lock:
                    pipe.paces["speak"].learn(length, task.seconds)
            utterance.audio_seconds += audio.seconds
            self.player.add(utterance.track, audio)

        def done(error: Exception | None) -> None:
            with self._lock:
                utterance.error, utterance.speak_seconds = error, task.seconds
                pipe.paces["sound"].learn(length, utterance.audio_seconds)
                self.player.finish(utterance.track)
                if not utterance.over:
                    self._speaking = None
            self._advance()

        def slack() -> float:
            ahead = self.player.ahead
            if ahead > pipe.lookahead:
                return math.inf
            return ahead - pipe.paces["speak"].expect(length)

        utterance.state = "speaking"
        task = pipe.scheduler.submit(steps(), each=each, done=done, slack=slack)
        return task

    # Sound: on the thread of whoever iterates `Pipeline.run`.

    @property
    def backlog(self) -> int:
        return self._admitted - self._concluded

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
            if utterance.state != "retracted":
                yield utterance
        if self._source_error is not None:
            raise self._source_error

    def _conclude(self, utterance: Utterance) -> None:
        utterance.times.heard = self.player.heard(utterance.track)
        utterance.times.finished = time.monotonic()
        utterance.error = utterance.error or utterance.track.error
        if not utterance.over:
            utterance.state = "heard" if utterance.error is None else "failed"
        self.player.forget(utterance.track)
        self._concluded += 1
        self.current = None
        self.pipe._stats.add(utterance)
        self._room.release()

    def _end(self, utterance: Utterance, state: State) -> None:
        """Take an utterance out of wherever it is."""
        with self._lock:
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

    def skip(self) -> None:
        if self.current is not None and not self.current.over:
            self._end(self.current, "skipped")

    def stop(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._collector.stop()
        with self._lock:
            self._to_translate.clear()
            self._to_speak.clear()
            for work in (self._translating, self._speaking):
                if work is not None:
                    work.task.cancel()
        self.player.clear()
