"""What is done when speech falls behind a text that is still being written.

A ladder, climbed by how many seconds behind it is: short sentences are said in one breath, then
everything a little faster, then placeholders for code and tables get shorter; and, only if asked
for, sentences are left out, with a word that says so. Nothing is left out in silence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TOGETHER = 160  # characters that joined sentences have at most
_SHORT = 80  # characters up to which a sentence is joined to the one before


@dataclass(frozen=True)
class CatchUp:
    """The rungs, in seconds of speech that wait to be heard."""

    join: float = 8.0
    """From here on short sentences of one message are joined."""
    faster: float = 12.0
    """From here on speech gets faster, …"""
    fastest: float = 30.0
    """… and from here on it is fastest: at `most`."""
    most: float = 1.25
    """How many times as fast speech gets, 1 to 2."""
    brief: float = 30.0
    """From here on placeholders for code and tables are the shortest."""
    skip: float = math.inf
    """Beyond this the sentences that have waited longest are skipped, until half of it is left."""

    def __post_init__(self) -> None:
        if not (self.join > 0 and 0 <= self.faster <= self.fastest and self.skip > 0):
            raise ValueError(f"the rungs must be positive, faster ≤ fastest: {self}")
        if not 1 <= self.most <= 2:
            raise ValueError(f"most={self.most}: speech can be 1 to 2 times as fast, not more")

    @classmethod
    def off(cls) -> CatchUp:
        """No rungs: all is said as it comes, however late."""
        never = math.inf
        return cls(join=never, faster=never, fastest=never, brief=never)

    def speed(self, behind: float) -> float:
        """How many times as fast to speak, `behind` seconds behind the text.

        In steps of 0.05, which are not heard as changes.
        """
        if behind < self.faster:
            return 1.0
        way = self.fastest - self.faster
        share = min((behind - self.faster) / way, 1.0) if way > 0 else 1.0
        return 1 + round((self.most - 1) * share / 0.05) * 0.05

    def joins(self, behind: float, first: str, second: str) -> bool:
        """Whether the sentences `first` and `second` are said as one, `behind` seconds behind."""
        fitting = len(second) <= _SHORT and len(first) + len(second) < _TOGETHER
        return behind >= self.join and fitting

    def skips(self, behind: float, waiting: Sequence[float]) -> int:
        """How many of the sentences that wait longest are skipped: all but one at most.

        Args:
            behind: seconds of speech that wait to be heard.
            waiting: seconds of it that each sentence takes which nobody has begun with.
        """
        if behind < self.skip:
            return 0
        count, left = 0, behind
        while count < len(waiting) - 1 and left > self.skip / 2:
            left -= waiting[count]
            count += 1
        return count

    def rung(self, behind: float) -> str:
        """What is done `behind` seconds behind, in a word for people; empty if nothing is."""
        rungs = [
            (self.skip, "skipping"),
            (self.brief, "brief"),
            (self.faster, "faster"),
            (self.join, "joining"),
        ]
        return next((name for least, name in rungs if behind >= least), "")
