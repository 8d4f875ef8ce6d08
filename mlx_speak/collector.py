"""From a source of events to sentences, without being stopped by a source that stalls.

One thread blocks on the source; another finds the sentences, and gives out the tail of a text
that nothing has been added to for a while.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable

from .text import Sentence, SentenceReader, TextEvent

_TICK = 0.05  # seconds between looks at a tail, and at whether to stop
_EVENTS = 256  # read ahead of the sentences


class Collector:
    """Calls back, on a thread of its own, with what it finds in a stream of events.

    Args:
        events: iterated on a second thread, which may block in it for ever.
        reader: turns events into sentences.
        admit: takes the next sentence, and may block: then the source is soon not read any more.
        retract: takes the message whose unspoken text is withdrawn.
        done: called last, unless stopped, with the exception that ended `events`, or None.
    """

    def __init__(
        self,
        events: Iterable[TextEvent],
        reader: SentenceReader,
        *,
        admit: Callable[[Sentence], None],
        retract: Callable[[str], None],
        done: Callable[[Exception | None], None],
    ):
        self._source = events
        self._reader = reader
        self._admit, self._retract, self._done = admit, retract, done
        self._events: queue.Queue[TextEvent | Exception | None] = queue.Queue(_EVENTS)
        self._stopped = threading.Event()
        for run in (self._read, self._collect):
            threading.Thread(target=run, name=run.__name__.strip("_"), daemon=True).start()

    def stop(self) -> None:
        """Call back no more."""
        self._stopped.set()

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
                    self._done(event)
                return
            if event.kind == "retract":
                self._retract(event.message)
            self._give(self._reader.feed(event))

    def _give(self, sentences: list[Sentence]) -> None:
        for sentence in sentences:
            if not self._stopped.is_set():
                self._admit(sentence)
