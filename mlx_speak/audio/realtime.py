"""Outputs that play at the pace of a clock, through a ring: all but the sound card itself."""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..errors import OutputError
from .audio import Audio
from .output import Output, OutputStats
from .ring import Ring
from .timeline import Timeline

_SHORTEST_SLEEP = 0.002
_LONGEST_SLEEP = 0.05
"""Seconds between looks at the ring while waiting; only control methods wake a waiter earlier."""


class RealTimeOutput(Output):
    """The ring with its blocking writer and its waiters; a subclass reads from `_ring` on time.

    The reader signals nobody, so that it never waits for a lock: those who wait for it know how
    long it needs for what they wait for, and sleep about that long.

    Args:
        sample_rate: in Hz.
        capacity: seconds of speech it holds before `write` blocks.
        fade: seconds of the rise and fall at every break.
    """

    paced = True

    def __init__(self, sample_rate: int = 24000, *, capacity: float = 10.0, fade: float = 0.008):
        super().__init__(sample_rate)
        self._timeline = Timeline(self.sample_rate)
        self._ring = Ring(
            max(1, round(capacity * self.sample_rate)),
            max(1, round(fade * self.sample_rate)),
            self._timeline,
        )
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closed = False

    @abstractmethod
    def _check(self) -> None:
        """Make sure that something reads from the ring.

        Raises:
            OutputError: if nothing does, nor will.
        """

    def write(self, samples: ArrayLike | Audio, *, more: bool = False) -> tuple[int, int]:
        samples = self._take(samples)
        with self._writing:
            if self._closed:
                raise OutputError("the output is closed")
            epoch = self._ring.epoch
            start = end = self._ring.written
            while not self._closed:
                self._check()
                count = self._ring.write(samples[end - start :], epoch, more)
                if count is None:
                    break
                end += count
                if end - start == len(samples):
                    break
                self._sleep((len(samples) - (end - start)) / self.sample_rate)
            return start, end

    def heard_at(self, frame: int) -> float | None:
        return self._timeline.at(frame)

    def wait(self, frame: int, timeout: float | None = None) -> bool:
        return self._wait_for(lambda: self._until_heard(frame), timeout)

    @property
    def buffered(self) -> float:
        return self._ring.queued / self.sample_rate

    def clear(self) -> None:
        self._ring.clear()
        self._wake()

    def pause(self) -> None:
        self._ring.paused = True

    def resume(self) -> None:
        self._ring.paused = False

    def drain(self, timeout: float | None = None) -> bool:
        return self._wait_for(self._until_drained, timeout)

    @property
    def stats(self) -> OutputStats:
        ring = self._ring
        return OutputStats(
            frames=ring.written,
            played=ring.played - ring.dropped,
            cleared=ring.dropped,
            underruns=ring.underruns,
        )

    def _until_heard(self, frame: int) -> float:
        """Seconds until all before `frame` have been heard, at least; infinite if never."""
        if frame <= 0:
            return 0.0
        # In this order: the ring marks when frames are heard before it counts them as played.
        played = self._ring.played
        heard = self._timeline.at(frame - 1)
        if heard is not None:
            return heard + 1 / self.sample_rate - time.monotonic()
        return math.inf if frame <= played else (frame - played) / self.sample_rate

    def _until_drained(self) -> float:
        """Seconds until all that has been written has been heard, at least."""
        queued = self._ring.queued
        return queued / self.sample_rate if queued else self._timeline.end - time.monotonic()

    def _wait_for(self, remaining: Callable[[], float], timeout: float | None) -> bool:
        """Sleep until `remaining()` is up; False at the timeout, when closed, or if it never is."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = remaining()
            if left <= 0:
                return True
            allowed = deadline - time.monotonic()
            if left == math.inf or allowed <= 0:
                return False
            self._check()
            self._sleep(min(left, allowed))
        return False

    def _sleep(self, seconds: float) -> None:
        """Sleep for about that long, or until `_wake`."""
        with self._changed:
            self._changed.wait(min(max(seconds, _SHORTEST_SLEEP), _LONGEST_SLEEP))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class SilentOutput(RealTimeOutput):
    """A sound card that nobody hears: plays at the pace of the clock and discards.

    Args:
        block: seconds that it reads at a time, as a sound card would.
    """

    def __init__(self, sample_rate: int = 24000, *, block: float = 0.01, capacity: float = 10.0):
        super().__init__(sample_rate, capacity=capacity)
        self._block = max(1, round(block * self.sample_rate))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="silent-output", daemon=True)
        self._thread.start()

    def _check(self) -> None: ...

    def _run(self) -> None:
        out = np.zeros(self._block, np.float32)
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._ring.read(out, due)
            self._played(out)
            due += self._block / self.sample_rate

    def _played(self, out: np.ndarray) -> None:
        """Called with each block, which is overwritten afterwards."""

    def close(self) -> None:
        self._closed = True
        self.clear()
        self._stop.set()
        self._thread.join()
