"""When each character of a growing text arrived."""

from __future__ import annotations

from bisect import bisect_left


class Arrivals:
    """Times by position in a buffer that grows at its end and is cut at its start."""

    def __init__(self) -> None:
        self._ends: list[int] = []  # counted from the first character ever
        self._times: list[float] = []
        self._added = 0
        self._dropped = 0

    def add(self, length: int, time: float) -> None:
        """`length` more characters arrived at `time`."""
        self._added += length
        if self._times and self._times[-1] == time:
            self._ends[-1] = self._added
        else:
            self._ends.append(self._added)
            self._times.append(time)

    def at(self, position: int) -> float:
        """The time by which the first `position` characters of the buffer were there."""
        index = bisect_left(self._ends, self._dropped + position)
        return self._times[min(index, len(self._times) - 1)]

    def drop(self, length: int) -> None:
        """The first `length` characters are gone from the buffer."""
        self._dropped += length
        keep = min(bisect_left(self._ends, self._dropped), len(self._ends) - 1)
        del self._ends[:keep], self._times[:keep]
