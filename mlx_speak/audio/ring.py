"""The ring between the thread that writes speech and the sound card that plays it.

One producer and one consumer, without a lock between them: each publishes its own position when its
copy is done, so the consumer, a sound card's callback, never waits. Whatever the ring plays has no
clicks: speech that is cut, paused or starved ends on a short fall, and begins again on a rise.
"""

from __future__ import annotations

import threading

import numpy as np

from .samples import Samples, rise
from .timeline import Timeline

_QUIET = 1e-3
"""Speech that starts within ± this (60 dB below full scale) makes no click and is left as it is."""


class Ring:
    """A bounded queue of samples whose positions count every frame ever written.

    Args:
        capacity: frames it holds.
        fade: frames of a rise or a fall.
        timeline: learns when the frames that are read will be heard.
    """

    def __init__(self, capacity: int, fade: int, timeline: Timeline):
        self._data = np.zeros(capacity, np.float32)
        self._timeline = timeline
        self._rise = rise(fade)
        self._tail = np.zeros(fade, np.float32)
        # The producer's, published under `_control`.
        self._control = threading.Lock()
        self.written = 0
        self.expecting = False
        """More of the same speech is to come: running dry now is an underrun."""
        self.epoch = 0
        """Counts the calls of `clear`."""
        self.cut = 0
        """Frames before this position are not to be played any more."""
        self.paused = False
        # The consumer's.
        self.played = 0
        """Frames before this position have been played or dropped."""
        self.dropped = 0
        self.underruns = 0
        self._silent = True
        self._risen = fade
        self._fallen = fade
        self._last = np.float32(0)

    @property
    def queued(self) -> int:
        """Frames yet to be played."""
        return self.written - max(self.played, self.cut)

    def write(self, samples: Samples, epoch: int, expecting: bool = False) -> int | None:
        """Append as many samples as fit (producer).

        Args:
            samples: (n,) float32.
            epoch: the ring's when this speech began.
            expecting: more of the same speech is to come.

        Returns:
            How many; None if the ring has been cleared since `epoch`, and none were taken.
        """
        capacity = len(self._data)
        count = min(len(samples), capacity - (self.written - self.played))
        at = self.written % capacity
        first = min(count, capacity - at)
        self._data[at : at + first] = samples[:first]
        self._data[: count - first] = samples[first:count]
        with self._control:
            if epoch != self.epoch:
                return None
            self.written += count
            self.expecting = expecting or count < len(samples)
            return count

    def clear(self) -> None:
        """Withdraw everything that has not been played (any thread)."""
        with self._control:
            self.cut = self.written
            self.expecting = False
            self.epoch += 1

    def restart(self) -> None:
        """Begin again from silence, on a new sound card (while nothing reads)."""
        self._silent = True
        self._fallen = len(self._tail)

    def read(self, out: Samples, heard: float) -> None:
        """Fill `out` with what comes next, silence where there is nothing (consumer).

        Args:
            out: (n,) float32, overwritten.
            heard: when its first frame will be heard, on the clock of `time.monotonic`.
        """
        # A cut is read before the end of what was written, which is never behind it.
        cut = self.cut
        available = self.written - self.played
        if cut > self.played:
            self._fall(available)
            self.dropped += cut - self.played
            available -= cut - self.played
            self.played = cut
        if self.paused:
            # These frames are heard fading and once more from the start when speech goes on.
            self._fall(available)
            available = 0
        done = self._play_tail(out)
        count = min(len(out) - done, available)
        if count:
            self._play(out[done : done + count])
            self._timeline.mark(self.played, count, heard, done)
            self.played += count
            done += count
        if done < len(out):
            if not self._silent:
                self.underruns += self.expecting
                self._fall(0)
            done += self._play_tail(out[done:])
            out[done:] = 0

    def _play(self, out: Samples) -> None:
        """Copy the next frames to `out`, on a rise if speech begins loud."""
        self._peek(out)
        if self._silent:
            self._silent = False
            self._risen = 0 if abs(out[0]) > _QUIET else len(self._rise)
        self._shape(out)
        self._risen = min(self._risen + len(out), len(self._rise))
        self._last = out[-1]

    def _peek(self, out: Samples) -> None:
        capacity = len(self._data)
        at = self.played % capacity
        first = min(len(out), capacity - at)
        out[:first] = self._data[at : at + first]
        out[first:] = self._data[: len(out) - first]

    def _shape(self, out: Samples) -> None:
        """Apply what is left of a rise."""
        ramp = self._rise[self._risen : self._risen + len(out)]
        out[: len(ramp)] *= ramp

    def _fall(self, available: int) -> None:
        """End sounding speech on a fall: of the frames that would come next, or of its level."""
        if self._silent:
            return
        count = min(available, len(self._tail))
        self._peek(self._tail[:count])
        self._shape(self._tail[:count])
        self._tail[count:] = self._tail[count - 1] if count else self._last
        self._tail *= self._rise[::-1]
        self._fallen = 0
        self._silent = True

    def _play_tail(self, out: Samples) -> int:
        """Copy what is left of a fall to the beginning of `out`; how many frames that were."""
        count = min(len(out), len(self._tail) - self._fallen)
        out[:count] = self._tail[self._fallen : self._fallen + count]
        self._fallen += count
        return count
