"""When each frame was, or is about to be, heard."""

from __future__ import annotations

import numpy as np

_MARKS = 4096
_TOLERANCE = 0.001
"""Seconds by which a stretch's clock may run ahead of the card's before a new stretch is marked."""


class Timeline:
    """Maps frame positions to the clock of `time.monotonic`.

    One thread marks, any thread asks. Playback is kept as stretches of consecutive frames, the last
    4096 of them; a stretch ends where playback pauses, jumps, or drifts from the clock.

    Args:
        sample_rate: in Hz; infinite where all frames of a write are heard at one time.
    """

    def __init__(self, sample_rate: float):
        self._rate = sample_rate
        self._begin = np.zeros(_MARKS, np.int64)
        self._end = np.zeros(_MARKS, np.int64)
        self._time = np.zeros(_MARKS)
        self._count = 0

    def mark(self, position: int, count: int, time: float, offset: int = 0) -> None:
        """Frames `position` … `position + count` are heard from `offset` frames after `time` on."""
        time += offset / self._rate
        newest = (self._count - 1) % _MARKS
        if self._count and self._end[newest] == position:
            expected = self._time[newest] + (position - self._begin[newest]) / self._rate
            if abs(expected - time) < _TOLERANCE:
                self._end[newest] = position + count
                return
        slot = self._count % _MARKS
        self._begin[slot], self._end[slot], self._time[slot] = position, position + count, time
        self._count += 1

    def at(self, frame: int) -> float | None:
        """When `frame` is heard; None if it has not been marked, never will be, or is long past."""
        for index in range(self._count - 1, max(-1, self._count - 1 - _MARKS), -1):
            slot = index % _MARKS
            if frame >= self._begin[slot]:
                if frame >= self._end[slot]:
                    return None
                return float(self._time[slot] + (frame - self._begin[slot]) / self._rate)
        return None

    @property
    def end(self) -> float:
        """When the last frame that has been marked will have been heard; 0 before the first."""
        newest = (self._count - 1) % _MARKS
        frames = self._end[newest] - self._begin[newest]
        return float(self._time[newest] + frames / self._rate)
