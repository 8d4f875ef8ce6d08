"""Sound in the order of speaking: each utterance's chunks, from the voice to the output.

The MLX thread hands in chunks and never waits; a thread of the player's own hands them on to the
output in small slices, never far ahead of what is heard. So whatever is asked of it (another pace,
a word in between) can take back what has not been heard, and go on from there.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np

from .audio import Audio, Output
from .audio.samples import rise
from .audio.stretch import stretch
from .audio.tee import CopyError
from .errors import OutputError

AUDIBLE = 0.01
"""Samples within ± this are silence: 40 dB below full scale."""

_FADE = 0.008  # seconds; hides the step where an utterance starts and ends
_AHEAD = 2.0  # seconds of sound at the output, beyond which nothing more is handed to it
_SLICE = 0.25  # seconds handed over at a time
_SAME_PACE = 0.01  # a difference that nobody hears


@dataclass(frozen=True)
class _Span:
    """A slice of a track that the output has taken."""

    begin: int
    end: int
    """Positions at the output."""
    chunk: int
    offset: int
    """The first of its samples, before a change of pace."""
    count: int


@dataclass(eq=False)
class Track:
    """The sound of one utterance on its way to the listener."""

    urgent: bool = False
    """It goes before those that are not."""
    chunks: list[np.ndarray] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    """The player's speed that each chunk was made for."""
    complete: bool = False
    dropped: bool = False
    error: OutputError | None = None
    begun: bool = False
    """Whether some of it may have been heard."""
    first: int | None = None
    """Position at the output of its first audible sample."""
    end: int | None = None
    chunk: int = 0
    offset: int = 0
    """The next sample to be handed over."""
    spans: list[_Span] = field(default_factory=list)
    _tail: np.ndarray | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will be handed over."""
        return self.dropped or (self.complete and self.chunk == len(self.chunks))

    @property
    def waiting(self) -> int:
        """Samples yet to be handed over."""
        return max(sum(len(chunk) for chunk in self.chunks[self.chunk :]) - self.offset, 0)

    def append(self, samples: np.ndarray, fade: int, speed: float) -> None:
        """Add samples, holding back the last `fade` of them, which may turn out to be the end."""
        if self._tail is None:
            samples = samples.copy()
            n = min(fade, len(samples))
            samples[:n] *= rise(n)
        else:
            samples = np.concatenate([self._tail, samples])
        keep = max(len(samples) - fade, 0)
        self._tail = samples[keep:]
        if keep:
            self.chunks.append(samples[:keep])
            self.speeds.append(speed)

    def finish(self) -> None:
        if self._tail is not None and len(self._tail):
            self.chunks.append(self._tail * rise(len(self._tail))[::-1])
            self.speeds.append(self.speeds[-1] if self.speeds else 1.0)
        self._tail = None
        self.complete = True

    def go_back(self, span: _Span, heard: int) -> None:
        """Hand over again what comes after the first `heard` frames of a span."""
        share = heard / max(span.end - span.begin, 1)
        self.chunk, self.offset = span.chunk, span.offset + round(span.count * share)
        self.end = None
        if self.offset >= len(self.chunks[self.chunk]):
            self.chunk, self.offset = self.chunk + 1, 0


class Player:
    """Hands tracks to one output, one after the other."""

    def __init__(self, output: Output):
        self.output = output
        self._line: list[Track] = []
        self._changed = threading.Condition()
        self._speed = 1.0
        self._paused = False
        self._rewinds = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    @property
    def ahead(self) -> float:
        """Seconds of sound that wait to be heard."""
        with self._changed:
            waiting = sum(track.waiting for track in self._line if not track.dropped)
        return waiting / self.output.sample_rate + self.output.buffered

    @property
    def speed(self) -> float:
        """How fast what is said is said; sound made for another speed is stretched."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._changed:
            if speed != self._speed:
                self._speed = speed
                self._take_back()

    @property
    def paused(self) -> bool:
        """Between `pause` and `resume`."""
        return self._paused

    def pause(self) -> None:
        """Fall silent, and keep the rest."""
        with self._changed:
            self._paused = True
        self.output.pause()

    def resume(self) -> None:
        """Go on where `pause` stopped."""
        self.output.resume()
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def open(self, urgent: bool = False) -> Track:
        """A track to be heard after all those opened before; an urgent one before all others."""
        with self._changed:
            return self._open(urgent)

    def add(self, track: Track, audio: Audio, speed: float = 1.0) -> None:
        """Append a chunk that was made for this `speed`; does not wait."""
        audio = audio.resample(self.output.sample_rate)
        with self._changed:
            track.append(audio.samples, int(_FADE * self.output.sample_rate), speed)
            self._changed.notify_all()

    def finish(self, track: Track) -> None:
        """No chunk will follow."""
        with self._changed:
            track.finish()
            self._changed.notify_all()

    def drop(self, track: Track) -> None:
        """Let no more of this track be heard; what follows it moves up."""
        with self._changed:
            track.dropped = True
            if track.begun:
                self._take_back()
            self._changed.notify_all()

    def interrupt(self) -> Track:
        """Fall silent now, for an urgent track, which is opened.

        What was being said will be said again in its turn, all of it.
        """
        with self._changed:
            self._take_back()
            for track in self._line:
                if not track.dropped and track.begun and not track.done:
                    track.chunk = track.offset = 0
                    track.spans.clear()
            self._changed.notify_all()
            return self._open(urgent=True)

    def wait(self, track: Track, timeout: float) -> bool:
        """Until the track has been heard to its end; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(lambda: track.done, timeout):
                return False
            end, rewinds = None if track.dropped else track.end, self._rewinds
        if end is None or self.output.wait(end, max(deadline - time.monotonic(), 0.0)):
            return track.done
        with self._changed:
            if rewinds != self._rewinds:
                return False  # taken back, to be heard again
            if self.output.buffered == 0 and self.output.heard_at(end - 1) is None:
                return track.done  # somebody else cleared the output
        time.sleep(max(deadline - time.monotonic(), 0.0))  # where waiting was not possible
        return False

    def heard(self, track: Track) -> float | None:
        """When the track's first audible sample was heard (time.monotonic), if it was."""
        return None if track.first is None else self.output.heard_at(track.first)

    def forget(self, track: Track) -> None:
        """Release a track that is over."""
        with self._changed:
            if track in self._line:
                self._line.remove(track)

    def clear(self) -> None:
        """Silence now: drop every track."""
        with self._changed:
            for track in self._line:
                track.dropped = True
            self._line.clear()
            self._rewinds += 1
            self._changed.notify_all()
        self.output.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.output.clear()
        self._thread.join(2.0)

    def _open(self, urgent: bool) -> Track:
        track = Track(urgent)
        place = sum(other.urgent for other in self._line) if urgent else len(self._line)
        self._line.insert(place, track)
        return track

    def _take_back(self) -> None:
        """Withdraw from the output what has not been heard; it will be handed over again."""
        self._rewinds += 1
        self.output.clear()
        for track in self._line:
            for place, span in enumerate(track.spans):
                if (heard := self._heard_of(span)) < span.end - span.begin:
                    track.go_back(span, heard)
                    del track.spans[place + bool(heard) :]
                    break
            if track.first is not None and self.output.heard_at(track.first) is None:
                track.first = None
        self._changed.notify_all()

    def _heard_of(self, span: _Span) -> int:
        """Frames of a span that were heard, or cannot be taken back any more."""
        low, high = span.begin, span.end  # those before `low` were heard, those from `high` not
        while low < high:
            middle = (low + high) // 2
            if self.output.heard_at(middle) is None:
                high = middle
            else:
                low = middle + 1
        return low - span.begin

    def _run(self) -> None:
        while True:
            with self._changed:
                while (item := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait(self._until_needed())
                track, samples, span = item
                track.begun = True
                rest = track.waiting - span.count
                rewinds = self._rewinds
            try:
                begin, end = self.output.write(samples, more=rest > 0 or not track.complete)
            except CopyError as error:  # a full disk silences nobody
                track.error, (begin, end) = error, error.span
            except OutputError as error:
                with self._changed:
                    track.error, track.dropped = error, True
                    self._changed.notify_all()
                continue
            with self._changed:
                if rewinds == self._rewinds:
                    self._handed_over(track, samples, replace(span, begin=begin, end=end))
                else:
                    self.output.clear()  # these samples came too late: they were taken back
                self._changed.notify_all()

    def _until_needed(self) -> float | None:
        """Seconds until the output needs more; None if something else has to happen first."""
        surplus = self.output.buffered - _AHEAD
        return surplus + _SLICE if surplus > 0 and not self._paused else None

    def _next(self) -> tuple[Track, np.ndarray, _Span] | None:
        """The next slice to hand over, in the order of the line; None if not now."""
        if self._closed or self._paused or self.output.buffered > _AHEAD:
            return None
        for track in self._line:
            if track.done:
                continue
            if track.chunk == len(track.chunks):
                return None  # later tracks wait for this one's next chunk
            chunk = track.chunks[track.chunk]
            count = round(_SLICE * self.output.sample_rate)
            if len(chunk) - track.offset < 2 * count:
                count = len(chunk) - track.offset
            samples = chunk[track.offset : track.offset + count]
            pace = self._speed / track.speeds[track.chunk]
            if abs(pace - 1) > _SAME_PACE:
                samples = stretch(samples, self.output.sample_rate, pace)
            return track, samples, _Span(0, 0, track.chunk, track.offset, count)
        return None

    def _handed_over(self, track: Track, samples: np.ndarray, span: _Span) -> None:
        track.spans.append(span)
        if len(track.spans) > 1 and self.output.heard_at(track.spans[0].end - 1) is not None:
            del track.spans[0]  # nothing of it can be taken back
        track.end = span.end
        track.offset += span.count
        if track.offset >= len(track.chunks[track.chunk]):
            track.chunk, track.offset = track.chunk + 1, 0
        if track.first is None and (loud := np.flatnonzero(np.abs(samples) > AUDIBLE)).size:
            track.first = span.begin + int(loud[0])
