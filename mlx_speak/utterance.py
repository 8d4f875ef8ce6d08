"""A sentence on its way through the pipeline, its times, and what many of them add up to."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

from .player import Track

State = Literal["waiting", "translating", "speaking", "heard", "skipped", "retracted", "failed"]


@dataclass
class Times:
    """When a sentence passed each station, in `time.monotonic()` seconds; None if it did not."""

    seen: float
    """Its last character arrived."""
    found: float
    """It was known to be a sentence."""
    translated: float | None = None
    first_chunk: float | None = None
    """Its first sound was ready to be played."""
    heard: float | None = None
    """Its first sample left the sound card."""
    finished: float | None = None

    @property
    def latency(self) -> float | None:
        """Seconds from the last character's arrival to the first sample heard."""
        return None if self.heard is None else self.heard - self.seen


@dataclass
class Utterance:
    """One sentence and what became of it."""

    index: int
    source: str
    """The sentence as it was read, cleaned of markup."""
    times: Times
    track: Track = field(repr=False)
    text: str = ""
    """What is spoken: the translation, or the source where nothing is translated."""
    state: State = "waiting"
    error: Exception | None = None
    """What went wrong, if anything; the sentences after it go on."""
    warning: str = ""
    """What the translator doubts of its translation, if anything."""
    audio_seconds: float = 0.0
    translate_seconds: float = 0.0
    """Time that MLX spent on the translation, without the turns of other sentences."""
    speak_seconds: float = 0.0
    """Time that MLX spent on the sound."""

    @property
    def over(self) -> bool:
        return self.state in ("heard", "skipped", "retracted", "failed")

    def __str__(self) -> str:
        return self.text or self.source


@dataclass
class Stats:
    """Counts of sentences by how they ended, and their latencies in seconds."""

    heard: int = 0
    failed: int = 0
    skipped: int = 0
    retracted: int = 0
    underruns: int = 0
    """How often the sound card ran dry in the middle of speech."""
    audio_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list, repr=False)
    """From the last character to the first sample heard, of the sentences that came into silence
    (the others wait for the speech before them, and nobody waits for them)."""
    makings: list[float] = field(default_factory=list, repr=False)
    """From the moment a sentence was known to its first chunk of sound, of all."""
    _silent_since: float = field(default=0.0, repr=False)

    @property
    def sentences(self) -> int:
        return self.heard + self.failed + self.skipped + self.retracted

    def add(self, utterance: Utterance) -> None:
        setattr(self, utterance.state, getattr(self, utterance.state) + 1)
        self.audio_seconds += utterance.audio_seconds
        times = utterance.times
        if times.latency is not None and times.seen >= self._silent_since:
            self.latencies.append(times.latency)
        if times.finished is not None:
            self._silent_since = times.finished
        if times.first_chunk is not None:
            self.makings.append(times.first_chunk - times.found)

    def percentile(self, values: list[float], percent: int) -> float | None:
        """Of `latencies` or `makings`, in seconds; None while there is nothing to rank."""
        if len(values) < 2:
            return values[0] if values else None
        return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

    def __str__(self) -> str:
        def show(seconds: float | None) -> str:
            return "–" if seconds is None else f"{seconds * 1e3:.0f} ms"

        ends = [(self.failed, "failed"), (self.skipped, "skipped"), (self.retracted, "retracted")]
        return "; ".join(
            [
                f"{self.heard} sentence{'s' * (self.heard != 1)},"
                f" {self.audio_seconds:.1f} s of speech",
                *(f"{count} {name}" for count, name in ends if count),
                f"first sound p50 {show(self.percentile(self.latencies, 50))}"
                f" p95 {show(self.percentile(self.latencies, 95))}",
                f"{self.underruns} underruns",
            ]
        )
