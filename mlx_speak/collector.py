"""From a source of events to sentences, without being stopped by a source that stalls.

One thread blocks on the source; another finds the sentences, and gives out the tail of a text
that nothing has been added to for a while.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable
from typing import Protocol

from .text import Placeholders, Sentence, SentenceReader, TextEvent

_TICK = 0.05  # seconds between looks at a tail, and at whether to stop
_EVENTS = 256  # read ahead of the sentences


class Listener(Protocol):
    """Is told what is found in a stream of events, on the collector's thread."""

    def admit(self, sentence: Sentence) -> None:
        """The next sentence. May block: then the source is soon not read any more."""

    def foresee(self, beginning: str, likely_all: bool) -> None:
        """What has been read of the next sentence, and whether it seems complete."""

    def retract(self, message: str) -> None:
        """The unspoken text of a message is withdrawn."""

    def new_turn(self) -> None:
        """What follows answers another question of the user's."""

    def source_ended(self, error: Exception | None) -> None:
        """Comes last, with the exception that ended the source, or None."""


class Collector:
    """Tells a listener, on a thread of its own, what it finds.

    Args:
        events: iterated on a second thread, which may block in it for ever.
        reader: turns events into sentences.
        listener: is not told anything any more after `stop`.
    """

    def __init__(self, events: Iterable[TextEvent], reader: SentenceReader, listener: Listener):
        self._source, self._reader, self._listener = events, reader, listener
        self._events: queue.Queue[TextEvent | Exception | None] = queue.Queue(_EVENTS)
        self._stopped = threading.Event()
        self._turn: int | None = None

    def start(self) -> None:
        """Begin to read."""
        for run in (self._read, self._collect):
            threading.Thread(target=run, name=run.__name__.strip("_"), daemon=True).start()

    def stop(self) -> None:
        """Call back no more."""
        self._stopped.set()

    def use(self, placeholders: Placeholders) -> None:
        """What is said for code, tables and addresses from here on."""
        self._reader.placeholders = placeholders

    def _read(self) -> None:
        try:
            for event in self._source:
                if not self._hand_over(event):
                    return
            self._hand_over(None)
        except Exception as error:
            self._hand_over(error)

    def _hand_over(self, item: TextEvent | Exception | None) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(item, timeout=_TICK)
                return True
        return False

    def _collect(self) -> None:
        while not self._stopped.is_set():
            try:
                event = self._events.get(timeout=_TICK)
            except queue.Empty:
                self._give(self._reader.poll())
                continue
            if not isinstance(event, TextEvent):  # the source's end, or what ended it
                self._give(self._reader.close())
                if not self._stopped.is_set():
                    self._listener.source_ended(event)
                return
            self._event(event)

    def _event(self, event: TextEvent) -> None:
        if self._turn is not None and event.turn > self._turn:
            self._give(self._reader.close())
            self._listener.new_turn()
        self._turn = event.turn
        if event.kind == "retract":
            self._listener.retract(event.message)
        self._give(self._reader.feed(event))
        if self._events.empty():  # otherwise there is newer text to look at first
            self._listener.foresee(*self._reader.outlook)

    def _give(self, sentences: list[Sentence]) -> None:
        for sentence in sentences:
            if not self._stopped.is_set():
                self._listener.admit(sentence)
