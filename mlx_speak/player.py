"""Sound in the order of speaking: each utterance's chunks, from the voice to the output.

The MLX thread hands in chunks and never waits; a thread of the player's own writes them to the
output, which blocks while the sound card is busy.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from .audio import Audio, Output
from .audio.samples import rise
from .errors import OutputError

_FADE = 0.008  # seconds; hides the step where an utterance starts and ends


class Track:
    """The sound of one utterance on its way to the listener."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []
        self.written = 0
        self.complete = False
        self.dropped = False
        self.begun = False
        """Whether some of it may have been heard."""
        self.start: int | None = None
        self.end: int | None = None
        self.error: OutputError | None = None
        self._tail: np.ndarray | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will be written."""
        return self.dropped or (self.complete and self.written == len(self.chunks))

    def append(self, samples: np.ndarray, fade: int) -> None:
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

    def finish(self) -> None:
        if self._tail is not None and len(self._tail):
            self.chunks.append(self._tail * rise(len(self._tail))[::-1])
        self._tail = None
        self.complete = True


class Player:
    """Writes tracks to one output, one after the other."""

    def __init__(self, output: Output):
        self.output = output
        self._line: list[Track] = []
        self._changed = threading.Condition()
        self._rewinds = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    @property
    def ahead(self) -> float:
        """Seconds of sound that wait to be heard."""
        with self._changed:
            waiting = sum(len(c) for track in self._line for c in track.chunks[track.written :])
        return waiting / self.output.sample_rate + self.output.buffered

    def open(self) -> Track:
        """A track to be heard after all those opened before."""
        track = Track()
        with self._changed:
            self._line.append(track)
        return track

    def add(self, track: Track, audio: Audio) -> None:
        """Append a chunk; does not wait."""
        audio = audio.resample(self.output.sample_rate)
        with self._changed:
            track.append(audio.samples, int(_FADE * self.output.sample_rate))
            self._changed.notify_all()

    def finish(self, track: Track) -> None:
        """No chunk will follow."""
        with self._changed:
            track.finish()
            self._changed.notify_all()

    def drop(self, track: Track) -> None:
        """Let no more of this track be heard; what follows it moves up.

        If it has begun, the tracks before it must be over.
        """
        with self._changed:
            track.dropped = True
            if track.begun:
                self.output.clear()
                self._rewinds += 1
                for later in self._line[self._line.index(track) + 1 :]:
                    later.written, later.begun, later.start, later.end = 0, False, None, None
            self._changed.notify_all()

    def wait(self, track: Track, timeout: float) -> bool:
        """Until the track has been heard to its end; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(lambda: track.done, timeout):
                return False
            end = None if track.dropped else track.end
        if end is None or self.output.wait(end, max(deadline - time.monotonic(), 0.0)):
            return True
        if self.output.buffered == 0 and self.output.heard_at(end - 1) is None:
            return True  # somebody else cleared the output
        time.sleep(max(deadline - time.monotonic(), 0.0))  # where waiting was not possible
        return False

    def heard(self, track: Track) -> float | None:
        """When the track's first sample was heard (time.monotonic), if it was."""
        return None if track.start is None else self.output.heard_at(track.start)

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

    def _run(self) -> None:
        while True:
            with self._changed:
                while (item := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                track, samples = item
                track.begun = True
                more = not (track.complete and track.written + 1 == len(track.chunks))
                rewinds = self._rewinds
            try:
                start, end = self.output.write(samples, more=more)
            except OutputError as error:
                with self._changed:
                    track.error, track.dropped = error, True
                    self._changed.notify_all()
                continue
            with self._changed:
                if rewinds == self._rewinds:
                    track.start = start if track.start is None else track.start
                    track.end = end
                    track.written += 1
                else:
                    self.output.clear()  # these samples came too late: their track was dropped
                self._changed.notify_all()

    def _next(self) -> tuple[Track, np.ndarray] | None:
        """The next chunk to write, in the order of the line."""
        if self._closed:
            return None
        for track in self._line:
            if track.done:
                continue
            if track.written < len(track.chunks):
                return track, track.chunks[track.written]
            return None  # later tracks wait for this one's next chunk
        return None
