"""The whole way of a sentence: text events in, speech out, everything overlapping.

    bytes ─▶ text/ ─▶ Collector ─▶ Run ─────────▶ Scheduler ────────▶ Player ─▶ audio/ ─▶ ears
                      sentences    translate,     the MLX thread:     order,
                         │         speak          whose step is       fades, pace
                         ▼                        next
                      EarlyStart: drafts of the sentence that is being written

Each thread has one reason. The `Collector` turns events into sentences and notices when a stream
stalls. The `Scheduler` owns MLX: there the translation of the next sentence, the synthesis of the
current one and early work on the one being written take turns, step by step, the most urgent first.
The `Player` hands sound to the card. `Pipeline.run` waits for each sentence to be heard.

A sentence is admitted by `Run.admit`; its translation verifies the draft that `EarlyStart` has of
it; the voice speaks it, its first clause alone if the rest would come too late; its `Utterance`
carries when it passed each station. The files are meant to be read in this order: `collector.py`,
`run.py`, `early.py`, `scheduler.py`, `player.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from .audio import Output, OutputSpec, open_output
from .catch_up import CatchUp
from .early import Level
from .errors import MissingExtraError, UnknownLanguageError
from .languages import Language
from .player import Player, Track
from .protocols import Speaks, Translates
from .run import Run
from .scheduler import Pace, Scheduler, shared_scheduler
from .speech import Speaker
from .speech.voice import FASTEST, check_speed
from .stats import Stats
from .text import Placeholders, TextEvent
from .utterance import Utterance


class Pipeline:
    """Speaks a stream of text as it arrives, translated if a translator is given.

    Args:
        translator: from `load_translator`, or one of your own, see `protocols`; None to speak the
            text as it is.
        voice: from `load_voice`, or likewise.
        source: language of the text; may be left out where the translator knows only one.
        target: language of the speech; likewise. Without a translator the speech is in `source`.
        output: "speakers", a .wav path, "null", "silent" (a listener without ears), a list of
            these, or an `Output` (which stays open at the end).
        speaker: passed to the voice.
        fallback: speaks where the voice does not know the language, or fails at a sentence. Who
            spoke stands on each `Utterance`.
        speed: 2 is twice as fast; may be set at any time.
        early: how much work goes into a sentence that is not complete yet, to be sooner when it
            is: "off", "economy", "balanced" or "eager". The words spoken are the same.
        catch_up: what is done when speech falls behind a text that is being written and is
            listened to; `CatchUp.off()` for nothing.
        cut_turns: when the stream begins to answer the user's next question, say no more of the
            answer before. Streams that tell turns are those of Claude Code, Codex and Gemini.
        lookahead: seconds of finished sound beyond which nothing more is made.
        max_backlog: sentences that may wait; beyond it the source is not read.
        placeholders: what is said for code, tables and addresses; by default in the source's
            language, where `Placeholders.of` knows it.
        scheduler: whose thread the models run on; by default one that all pipelines share.

    Raises:
        UnknownLanguageError: a language that the translator or the voice does not know.
        OutputError: no such sound device, or the file cannot be written.
        SpeechError: no such speaker, or an impossible speed.
    """

    fastest = FASTEST

    def __init__(
        self,
        translator: Translates | None,
        voice: Speaks,
        source: str | Language | None = None,
        target: str | Language | None = None,
        output: OutputSpec = "speakers",
        *,
        speaker: str | Speaker | None = None,
        fallback: Speaks | None = None,
        speed: float = 1.0,
        early: Level = "balanced",
        catch_up: CatchUp | None = None,
        cut_turns: bool = False,
        lookahead: float = 30.0,
        max_backlog: int = 1000,
        placeholders: Placeholders | None = None,
        scheduler: Scheduler | None = None,
    ):
        self.translator = translator
        if translator is not None:
            self.source, self.target = translator.pair(source, target)
        else:
            self.source = Language.parse(source or target or "en")
            wanted = Language.parse(target or self.source)  # which may name a region
            self.target = wanted if wanted.flores == self.source.flores else self.source
        self.voice, self.fallback, self.speaker = _able(voice, fallback, speaker, self.target)
        self.early, self.cut_turns = early, cut_turns
        self.placeholders = placeholders or Placeholders.of(self.source)
        self.catch_up = catch_up or CatchUp()
        self.lookahead, self.max_backlog = lookahead, max_backlog
        self.scheduler = scheduler or shared_scheduler()
        speed = check_speed(speed)
        self._owns_output = not isinstance(output, Output)
        self.output = (
            output if isinstance(output, Output) else open_output(output, self.voice.sample_rate)
        )
        self._player = Player(self.output)
        self._player.speed = speed
        self._runs: list[Run] = []
        self._stats = Stats()
        self.paces = {
            "translate": Pace(2e-3),  # seconds per character; learned from the first sentence on
            "speak": Pace(10e-3),  # seconds per character until the first chunk
            "chunk": Pace(0.5),  # seconds until a further chunk
            "sound": Pace(70e-3),  # seconds of sound per character
        }

    def run(self, events: Iterable[TextEvent]) -> Iterator[Utterance]:
        """Speak `events`, yielding every sentence once it has been heard, failed or was skipped.

        An error of one sentence stands on its `Utterance`; an exception from `events` itself is
        raised after everything read before it has been spoken.
        """
        yield from self._run(events)

    def say_now(self, text: str) -> None:
        """Say something at once, in the source language, translated as everything is.

        What is being said stops within a tenth of a second, and is said from its beginning
        afterwards. May be called while a `run` is under way or not; does not wait.
        """
        events = [TextEvent(text, "text", "now"), TextEvent("", "end", "now")]
        run = self._run(events, urgent=self._player.interrupt())
        threading.Thread(target=lambda: list(run), name="say-now", daemon=True).start()

    def _run(
        self, events: Iterable[TextEvent], *, urgent: Track | None = None
    ) -> Iterator[Utterance]:
        run = Run(self, events, urgent=urgent)
        self._runs.append(run)
        try:
            yield from run.utterances()
        finally:
            run.stop()
            self._runs.remove(run)

    @property
    def current(self) -> Utterance | None:
        """The sentence that is being said, or made; None when all is said."""
        runs = sorted(self._runs, key=lambda run: not run.urgent)
        return next((run.current for run in runs if run.current), None)

    @property
    def backlog(self) -> int:
        """How many sentences were found and not yet heard to their end."""
        return sum(run.backlog for run in self._runs)

    @property
    def speed(self) -> float:
        """How fast is spoken. Set, it takes effect at once, on what was made before too."""
        return self._player.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._player.speed = check_speed(speed)

    @property
    def paused(self) -> bool:
        """Between `pause` and `resume`."""
        return self._player.paused

    def pause(self) -> None:
        """Fall silent. What arrives meanwhile is made ready, as far as `lookahead`."""
        self._player.pause()

    def resume(self) -> None:
        """Go on where `pause` stopped."""
        self._player.resume()

    def skip(self) -> None:
        """Cut the sentence that is being said and go on with the next."""
        for run in sorted(self._runs, key=lambda run: not run.urgent)[:1]:
            run.skip()

    def cut(self) -> None:
        """Cut all sentences so far; those that come are spoken."""
        for run in list(self._runs):
            run.cut()

    def stop(self) -> None:
        """Silence now; every `run` under way ends. The pipeline can run again."""
        for run in list(self._runs):
            run.stop()
        self._player.clear()

    def stats(self) -> Stats:
        """Counts, and the latencies of all sentences so far."""
        stats, runs = self._stats, list(self._runs)
        stats.underruns = self.output.stats.underruns
        stats.behind = max((run.behind for run in runs), default=0.0)
        stats.rung = next((run.rung for run in runs if run.rung), "")
        return stats

    def warm_up(self) -> None:
        """Do the work that only a first sentence has to wait for."""
        if (translator := self.translator) is not None:
            self.scheduler.call(lambda: translator.warm_up(self.source, self.target))
        self.scheduler.call(lambda: self.voice.warm_up(self.target, self.speaker))

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


def _able(
    voice: Speaks, fallback: Speaks | None, speaker: str | Speaker | None, language: Language
) -> tuple[Speaks, Speaks | None, str | Speaker | None]:
    """Who speaks a language, who does should that fail, and as whom.

    Raises:
        UnknownLanguageError: neither of them speaks it.
        SpeechError: the voice has no such speaker.
    """
    try:
        voice.check(language, speaker)
    except UnknownLanguageError as error:
        if fallback is None:
            raise
        try:
            fallback.check(language)
        except MissingExtraError:  # one that is loaded only now, and cannot be
            raise error from None
        return fallback, None, None
    return voice, fallback, speaker
