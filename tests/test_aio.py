"""Speech in an event loop that goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator

import pytest
from fakes import FakeTranslator, FakeVoice

from mlx_speak import aio
from mlx_speak.pipeline import Pipeline
from mlx_speak.scheduler import shared_scheduler
from mlx_speak.text import TextEvent


async def words(*parts: str, error: Exception | None = None) -> AsyncIterator[str]:
    for part in parts:
        await asyncio.sleep(0.001)
        yield part
    if error is not None:
        raise error


def pipeline(**options) -> Pipeline:
    return Pipeline(FakeTranslator(), FakeVoice(**options), "en", "pt", output="null")


def test_a_text_that_comes_asynchronously_is_spoken() -> None:
    async def main() -> list[str]:
        with pipeline() as pipe:
            source = words("One is ", "here. Two", " is too.")
            return [utterance.text async for utterance in aio.run(pipe, source, "text")]

    assert asyncio.run(main()) == ["ONE IS HERE.", "TWO IS TOO."]


def test_bytes_and_events_do_as_well() -> None:
    async def main() -> list[str]:
        async def data() -> AsyncIterator[bytes]:
            yield "É um".encode()[:1]
            yield "É um".encode()[1:]

        with pipeline() as pipe:
            found = [utterance.source async for utterance in aio.run(pipe, data(), "text")]
            events = [TextEvent("Three.", "text", "m")]
            return found + [utterance.source async for utterance in aio.run(pipe, events)]

    assert asyncio.run(main()) == ["É um", "Three."]


def test_the_loop_goes_on_meanwhile() -> None:
    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        with pipeline(step=0.1) as pipe:
            ticking = asyncio.create_task(tick())
            async for _ in aio.run(pipe, words("One. Two."), "text"):
                pass
            ticking.cancel()
        return ticks

    assert asyncio.run(main()) > 10  # of some 80


def test_an_error_of_the_source_comes_after_what_was_read_before() -> None:
    async def main() -> None:
        heard = []
        with pipeline() as pipe:
            source = words("One is here. Two", error=ValueError("broken"))
            run = aio.run(pipe, source, "text")
            heard += [(await anext(run)).source, (await anext(run)).source]
            with pytest.raises(ValueError, match="broken"):
                await anext(run)
        assert heard == ["One is here.", "Two"]

    asyncio.run(main())


def test_left_early_it_falls_silent() -> None:
    async def main() -> float:
        with pipeline(step=0.2, chunks=50) as pipe:
            source = words("One is here. ", *["And more. "] * 50)
            async with contextlib.aclosing(aio.run(pipe, source, "text")) as heard:
                task = asyncio.create_task(anext(heard))
                await asyncio.sleep(0.3)
                began = time.monotonic()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            assert pipe.backlog == 0
            return time.monotonic() - began

    assert asyncio.run(main()) < 3
    assert not [thread for thread in threading.enumerate() if thread.name == "aio-run"]


def test_steps_are_made_on_the_thread_of_models() -> None:
    def steps():
        for number in range(3):
            yield number, threading.current_thread().name

    async def main() -> list[tuple[int, str]]:
        return [step async for step in aio.stream(steps())]

    name = shared_scheduler().call(lambda: threading.current_thread().name)
    assert asyncio.run(main()) == [(number, name) for number in range(3)]


def test_steps_that_nobody_waits_for_are_not_made() -> None:
    made = []

    def steps():
        for number in range(1000):
            made.append(number)
            time.sleep(0.002)
            yield number

    async def main() -> None:
        async with contextlib.aclosing(aio.stream(steps())) as stream:
            async for number in stream:
                if number == 3:
                    break

    asyncio.run(main())
    time.sleep(0.05)
    assert len(made) < 200


def test_a_call_returns_or_raises() -> None:
    async def main() -> None:
        assert await aio.call(lambda a, b: a + b, 1, b=2) == 3
        with pytest.raises(ZeroDivisionError):
            await aio.call(lambda: 1 / 0)

    asyncio.run(main())
