"""What the sentences of a pipeline add up to: counts, latencies, and where the time went."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING

from .errors import MissingExtraError
from .utterance import Times, Utterance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KEPT = 10_000  # latencies
_SHOWN = 200  # sentences of a waterfall


@dataclass(frozen=True)
class Record:
    """What is kept of a sentence that is over."""

    index: int
    text: str
    state: str
    times: Times
    audio_seconds: float


def _newest() -> deque[float]:
    return deque(maxlen=_KEPT)


@dataclass
class Stats:
    """Counts of sentences by how they ended, and their latencies in seconds.

    A sentence that was joined to another counts as that one does.
    """

    heard: int = 0
    """Sentences that were spoken to their end."""
    failed: int = 0
    """Sentences that could not be translated or spoken."""
    skipped: int = 0
    """Sentences left out, by hand or to catch up."""
    retracted: int = 0
    """Sentences whose message the stream withdrew."""
    underruns: int = 0
    """How often the sound card ran dry in the middle of speech."""
    behind: float = 0.0
    """Seconds of speech that wait to be heard now."""
    rung: str = ""
    """What is being done about that: "joining", "faster", "brief", "skipping", or nothing."""
    audio_seconds: float = 0.0
    """Of all the sound that was heard."""
    drafted: int = 0
    """Sentences that were begun to be translated before they were complete …"""
    kept: float = 0.0
    """… and the sum of the shares of their translations that stood."""
    whole: int = 0
    """Sentences whose whole translation was there when they were complete."""
    prepared: int = 0
    """Sentences whose first sound was begun before they were complete."""
    latencies: deque[float] = field(default_factory=_newest, repr=False)
    """From the last character to the first audible sample, of the sentences that came into silence
    (the others wait for the speech before them, and nobody waits for them)."""
    makings: deque[float] = field(default_factory=_newest, repr=False)
    """From the moment a sentence was known to its first chunk of sound, of all."""
    translations: deque[float] = field(default_factory=_newest, repr=False)
    """From the moment a sentence was known to its whole translation, of all."""
    gaps: deque[float] = field(default_factory=_newest, repr=False)
    """Silence between a sentence and the one before it, of those that did not come into silence."""
    records: deque[Record] = field(default_factory=lambda: deque(maxlen=_SHOWN), repr=False)
    """The last sentences, for `waterfall`."""
    _silent_since: float = field(default=0.0, repr=False)

    @property
    def sentences(self) -> int:
        """All that are over, each joined one counted."""
        return self.heard + self.failed + self.skipped + self.retracted

    @property
    def draft_hit_rate(self) -> float | None:
        """Share of the translations that drafts had right from their beginning, if there were."""
        return self.kept / self.drafted if self.drafted else None

    def add(self, utterance: Utterance) -> None:
        """Count an `utterance` that is over."""
        if utterance.state == "joined":
            return  # counted with the one it was joined to
        count = getattr(self, utterance.state) + utterance.sentences
        setattr(self, utterance.state, count)
        self.audio_seconds += utterance.audio_seconds
        if utterance.draft_kept is not None:
            self.drafted += 1
            self.kept += utterance.draft_kept
            self.whole += utterance.draft_kept == 1
        self.prepared += utterance.prepared
        times = utterance.times
        if times.latency is not None and times.heard is not None:
            if times.seen >= self._silent_since:
                self.latencies.append(times.latency)
            else:
                self.gaps.append(max(times.heard - self._silent_since, 0.0))
        if times.finished is not None:
            self._silent_since = times.finished
        if times.translated is not None:
            self.translations.append(times.translated - times.found)
        if times.first_chunk is not None:
            self.makings.append(times.first_chunk - times.found)
        text = utterance.text or utterance.source
        record = Record(utterance.index, text, utterance.state, times, utterance.audio_seconds)
        self.records.append(record)

    def percentile(self, values: Iterable[float], percent: int) -> float | None:
        """A percentile, in seconds; None of nothing.

        Args:
            values: `latencies`, `makings`, `translations` or `gaps`.
            percent: 1 to 99.
        """
        values = list(values)
        if len(values) < 2:
            return values[0] if values else None
        return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

    def waterfall(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw the last sentences, a line each, from their last character to their last sound.

        In a notebook the figure shows itself; `path` saves it too, as PNG, PDF or SVG.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:
            from .plots import waterfall
        except ImportError as error:
            raise MissingExtraError("drawing a waterfall", "plots") from error
        return waterfall(list(self.records), path)

    def __str__(self) -> str:
        ends = [(self.failed, "failed"), (self.skipped, "skipped"), (self.retracted, "retracted")]
        first = [self.percentile(self.latencies, percent) for percent in (50, 95)]
        rate = self.draft_hit_rate
        return "; ".join(
            [
                f"{self.heard} sentence{'s' * (self.heard != 1)},"
                f" {self.audio_seconds:.1f} s of speech",
                *(f"{count} {name}" for count, name in ends if count),
                f"first sound p50 {milliseconds(first[0])} p95 {milliseconds(first[1])}",
                *([] if rate is None else [f"drafts {rate:.0%} right"]),
                f"{self.underruns} underruns",
            ]
        )


def milliseconds(seconds: float | None) -> str:
    """A time as people read it."""
    return "–" if seconds is None else f"{seconds * 1e3:.0f} ms"
