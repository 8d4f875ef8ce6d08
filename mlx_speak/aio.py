"""For `asyncio`: speech, translation and sound without blocking the event loop.

```python
async for utterance in aio.run(pipe, answer):   # an asynchronous iterable of str or bytes
    print(utterance.text)
async for chunk in aio.stream(voice.stream_generate("Bom dia.", language="pt")): ...
translation = await aio.call(translator.translate, "Good morning.")
```

Models run on the scheduler's thread, whatever loop and thread this is called from. Who breaks out
of one of these loops closes it, as any asynchronous generator, with `contextlib.aclosing`.
"""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, TypeVar

from .pipeline import Pipeline
from .scheduler import Scheduler, shared_scheduler
from .text import TextEvent, read_stream
from .utterance import Utterance

__all__ = ["call", "run", "stream"]

T = TypeVar("T")

_AHEAD = 256  # pieces of text that may wait to be read
_TICK = 0.02  # seconds between looks at whether there is room for more


async def call(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call a function that uses models, on the thread that owns them.

    Returns:
        What it returns; what it raises is raised.
    """
    bound = functools.partial(function, *args, **options)
    return await asyncio.to_thread(shared_scheduler().call, bound)


async def stream(steps: Iterable[T], scheduler: Scheduler | None = None) -> AsyncIterator[T]:
    """What an iterable of a model's steps yields, as `stream_translate` or `stream_generate` do.

    Left early, the steps that are not made yet never are.

    Args:
        steps: iterated on the scheduler's thread.
        scheduler: the one that pipelines share unless they were given another.
    """
    arrivals = _Arrivals[T]()
    task = (scheduler or shared_scheduler()).submit(steps, each=arrivals.add, done=arrivals.end)
    try:
        async for item in arrivals:
            yield item
    finally:
        task.cancel()


async def run(
    pipe: Pipeline,
    source: AsyncIterable[str] | AsyncIterable[bytes] | Iterable[TextEvent],
    format: str = "auto",
) -> AsyncIterator[Utterance]:
    """`Pipeline.run` for a text that comes asynchronously, or for events.

    Left early or cancelled, the pipeline is stopped: it falls silent at once.

    Args:
        pipe: used by nobody else meanwhile.
        source: text or bytes as they come, in a format of `read_stream`; or events.
        format: of text or bytes.

    Yields:
        Every sentence once it has been heard, failed or was skipped.

    Raises:
        Exception: what `source` raised, after everything read before it has been spoken.
    """
    feed: _Feed | None = None
    filling: asyncio.Task[None] | None = None
    if isinstance(source, AsyncIterable):
        feed = _Feed()
        filling = asyncio.create_task(feed.fill(source))
        events = read_stream(feed, format)
    else:
        events = iter(source)
    arrivals = _Arrivals[Utterance]()

    def hear() -> None:
        error = None
        try:
            for utterance in pipe.run(events):
                arrivals.add(utterance)
        except Exception as raised:
            error = raised
        arrivals.end(error)

    thread = threading.Thread(target=hear, name="aio-run", daemon=True)
    thread.start()
    try:
        async for utterance in arrivals:
            yield utterance
    finally:
        if filling is not None and feed is not None:
            filling.cancel()
            feed.end(None)
        if not arrivals.ended:
            pipe.stop()
            await asyncio.to_thread(thread.join)


class _Arrivals(AsyncIterator[T]):
    """Items that other threads add, in this loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()
        self.ended = False

    def add(self, item: T) -> None:
        self._post(True, item)

    def end(self, error: Exception | None) -> None:
        self._post(False, error)

    def _post(self, is_item: bool, value: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._items.put_nowait, (is_item, value))

    async def __anext__(self) -> T:
        is_item, value = await self._items.get()
        if is_item:
            return value
        self.ended = True
        if value is not None:
            raise value
        raise StopAsyncIteration


class _Feed(Iterator[Any]):
    """An asynchronous source, for a thread that waits for it."""

    def __init__(self) -> None:
        self._items: queue.Queue[tuple[bool, Any]] = queue.Queue()

    async def fill(self, source: AsyncIterable[Any]) -> None:
        try:
            async for item in source:
                self._items.put((True, item))
                while self._items.qsize() > _AHEAD:
                    await asyncio.sleep(_TICK)
        except Exception as error:
            self.end(error)
        else:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        self._items.put((False, error))

    def __next__(self) -> Any:
        is_item, value = self._items.get()
        if is_item:
            return value
        self.end(None)  # for whoever asks again
        if value is not None:
            raise value
        raise StopIteration
