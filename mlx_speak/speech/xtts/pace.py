"""How many codes to make sound of at once."""

from __future__ import annotations

LONGEST = 48
_SHORTEST = 2
_GROWTH = 1.6
"""How many times as many codes as the chunk before a chunk has where nothing better is known."""
_LONGEST_FIRST = 24
"""Codes of the first chunk, however slow the machine: 1.1 s."""
_OVERLAP = 7
"""Codes that a chunk costs more to decode than it yields: what its edges need."""
_HELD_BACK = 4.4
"""Codes at the end whose sound waits for those after them."""
_MARGIN = 0.85
"""Of the time that the sound made so far lasts, what the next chunk may take."""


class Pace:
    """The sizes of chunks with which a machine keeps up with its own speech, learned as it speaks.

    Args:
        code: seconds of sound in a code.
        first: codes of the first chunk, at least.
    """

    def __init__(self, code: float, first: int):
        self._sound, self._least = code, first
        self._making: float | None = None
        self._decoding: float | None = None

    def learn_code(self, seconds: float) -> None:
        """One code was made in so many."""
        known = self._making
        self._making = seconds if known is None else known + 0.1 * (seconds - known)

    def learn_chunk(self, codes: int, seconds: float) -> None:
        """A chunk of so many codes was decoded in so many seconds."""
        each, known = seconds / (codes + _OVERLAP), self._decoding
        self._decoding = each if known is None else known + 0.3 * (each - known)

    def first(self, speed: float = 1.0) -> int:
        """Codes of the first chunk, whose sound lasts until the next one is there, if that can be.

        Args:
            speed: of the speech.
        """
        if self._making is None or self._decoding is None:
            return self._least
        if (lasting := self._lasting(speed)) is None:  # it stops whatever we do: let it begin soon
            return self._least
        needed = lasting + _HELD_BACK
        return round(min(max(needed, self._least), max(_LONGEST_FIRST, self._least)))

    def after(self, codes: int, ahead: float, speed: float = 1.0) -> int:
        """Codes of the next chunk, that can be made while the sound made so far lasts.

        Args:
            codes: of the chunk before.
            ahead: seconds of that sound that have not been heard yet.
            speed: of the speech.
        """
        growing = min(round(codes * _GROWTH), LONGEST)
        if self._making is None or self._decoding is None:
            return growing
        affordable = (_MARGIN * ahead - self._decoding * _OVERLAP) / (self._making + self._decoding)
        lasting = self._lasting(speed)
        if lasting is None or affordable < lasting:  # late, and the later for chunks so short
            return growing
        return round(min(max(affordable, _SHORTEST), LONGEST))

    def _lasting(self, speed: float) -> float | None:
        """Codes of a chunk that sounds as long as the next of its size takes; None if none does."""
        assert self._making is not None
        assert self._decoding is not None
        spare = _MARGIN * self._sound / speed - self._making - self._decoding
        return self._decoding * _OVERLAP / spare if spare > 0 else None
