"""The sentences that are not over, and how much speech there is in them."""

from __future__ import annotations

import threading

from .player import Player
from .scheduler import Pace
from .utterance import Utterance

_MESSAGES = 16  # a retraction reaches back over so many messages


class Backlog:
    """Sentences in the order of speaking; any thread may ask.

    Args:
        player: knows the sound that is made and waits to be heard.
        sound: seconds of sound per character of text.
    """

    def __init__(self, player: Player, sound: Pace):
        self._player, self._sound = player, sound
        self._lock = threading.Lock()
        self._alive: dict[int, Utterance] = {}
        self._messages: dict[str, list[Utterance]] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def add(self, utterance: Utterance) -> None:
        with self._lock:
            self._alive[utterance.index] = utterance
            self._messages.setdefault(utterance.message, []).append(utterance)
            if len(self._messages) > _MESSAGES:
                self._messages.pop(next(iter(self._messages)))

    def remove(self, utterance: Utterance) -> bool:
        """Whether it was there."""
        with self._lock:
            return self._alive.pop(utterance.index, None) is not None

    def alive(self) -> list[Utterance]:
        with self._lock:
            return list(self._alive.values())

    def forget_message(self, message: str) -> list[Utterance]:
        """Its sentences, over or not."""
        with self._lock:
            return self._messages.pop(message, [])

    def unmade(self, utterance: Utterance) -> float:
        """Seconds of speech that are yet to be made of a sentence."""
        if utterance.over or utterance.track.complete:
            return 0.0
        text = utterance.text if utterance.translated else utterance.source
        return max(self._sound.expect(len(text)) - utterance.audio_seconds, 0.0)

    @property
    def behind(self) -> float:
        """Seconds of speech that wait to be heard, made or not."""
        return self._player.ahead + sum(map(self.unmade, self.alive()))

    def before(self, utterance: Utterance, enough: float) -> float:
        """Seconds of speech that come before a sentence; counted up to what is enough."""
        ahead = self._player.ahead
        for other in self.alive():
            if other is utterance or ahead > enough:
                break
            ahead += self.unmade(other)
        return ahead
