"""Control of speech under way: each takes effect within a tenth of a second of sound."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import RATE, FakeTranslator, FakeVoice

from mlx_speak.audio import Audio
from mlx_speak.audio.realtime import SilentOutput
from mlx_speak.pipeline import Pipeline
from mlx_speak.speech import SpeechError
from mlx_speak.text import TextEvent, read_stream

TEXT = "The first one is here. The second one follows. And the third ends it."
SOON = 0.1


class Card(SilentOutput):
    """Remembers when it played something, and what."""

    def __init__(self) -> None:
        self.blocks: list[tuple[float, float]] = []
        super().__init__(RATE)

    def _played(self, out: np.ndarray) -> None:
        self.blocks.append((time.monotonic(), float(np.abs(out).max())))

    def first(self, after: float, loud: bool) -> float:
        """Seconds until it was loud, or silent."""
        return next(at - after for at, peak in self.blocks if at > after and (peak > 0.1) == loud)


class Listening:
    """A pipeline whose run is under way on another thread."""

    def __init__(self, pipe: Pipeline, events):
        self.pipe, self.said = pipe, []
        self._thread = threading.Thread(target=lambda: self.said.extend(pipe.run(events)))
        self._thread.start()
        self.until(lambda: pipe.current and pipe.current.track.first is not None)
        time.sleep(0.15)

    def until(self, condition) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self) -> list:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.said


def events(text: str = TEXT, message: str = "m") -> list[TextEvent]:
    return [TextEvent(text, "text", message), TextEvent("", "end", message)]


@pytest.fixture
def card() -> Iterator[Card]:
    output = Card()
    yield output
    output.close()


def pipeline(card: Card, voice: FakeVoice | None = None, **options) -> Pipeline:
    return Pipeline(
        FakeTranslator(),
        voice or FakeVoice(seconds=0.03),
        source="en",
        target="pt",
        output=card,
        **options,
    )


def test_pause_and_resume(card: Card) -> None:
    with pipeline(card) as pipe:
        listening = Listening(pipe, events())
        asked = time.monotonic()
        pipe.pause()
        assert pipe.paused
        time.sleep(0.4)
        assert card.first(asked, loud=False) < SOON
        asked = time.monotonic()
        pipe.resume()
        time.sleep(0.2)
        assert card.first(asked, loud=True) < SOON
        assert [u.state for u in listening.end()] == ["heard"] * 3


def test_speed_changes_what_is_made_and_what_is_being_heard(card: Card) -> None:
    speeds = []

    class Watched(FakeVoice):
        def stream_generate(self, text, language=None, speaker=None, speed=1.0):
            speeds.append(speed)
            for audio in super().stream_generate(text, language, speaker):
                yield Audio(audio.samples[: int(len(audio) / speed)], RATE)

    with pipeline(card, Watched(seconds=0.05), lookahead=1.0) as pipe:
        listening = Listening(pipe, events())
        begun = time.monotonic()
        pipe.speed = 2.0
        said = listening.end()
    # 1.1, 1.15 and 1.15 s at the usual pace, 0.15 s of which were over.
    assert time.monotonic() - begun == pytest.approx((3.4 - 0.15) / 2, abs=0.4)
    assert speeds[0] == 1.0
    assert speeds[-1] == 2.0
    assert [u.speed for u in said][-1] == 2.0
    with pytest.raises(SpeechError, match="speed"):
        pipe.speed = 9


def test_say_now_is_heard_at_once_and_what_it_cut_is_said_again(card: Card) -> None:
    with pipeline(card) as pipe:
        listening = Listening(pipe, events())
        asked = time.monotonic()
        pipe.say_now("Wait a moment.")
        listening.until(lambda: pipe.stats().heard >= 1)
        first = pipe.stats().records[0]
        assert first.text == "WAIT A MOMENT."
        assert first.times.heard - asked < SOON + 0.05
        said = listening.end()
    assert [u.state for u in said] == ["heard"] * 3
    assert said[0].times.finished - first.times.finished == pytest.approx(
        said[0].audio_seconds, abs=0.15
    ), "all of the first is said after it"
    assert pipe.stats().heard == 4


def test_say_now_needs_no_run(card: Card) -> None:
    with pipeline(card) as pipe:
        pipe.say_now("Hello there. And again.")
        deadline = time.monotonic() + 5
        while pipe.stats().heard < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pipe.stats().heard == 2


def test_nothing_to_say_now_lets_the_rest_go_on(card: Card) -> None:
    with pipeline(card) as pipe:
        listening = Listening(pipe, events())
        pipe.say_now("")
        assert [u.state for u in listening.end()] == ["heard"] * 3


def test_cut_ends_all_so_far_and_what_comes_is_spoken(card: Card) -> None:
    go_on = threading.Event()

    def stream() -> Iterator[TextEvent]:
        yield from events(message="m1")
        go_on.wait(10)
        yield from events("Something new.", message="m2")

    with pipeline(card) as pipe:
        listening = Listening(pipe, stream())
        asked = time.monotonic()
        pipe.cut()
        time.sleep(0.2)
        assert card.first(asked, loud=False) < SOON
        go_on.set()
        said = listening.end()
    assert [u.state for u in said] == ["skipped"] * 3 + ["heard"]


@pytest.mark.parametrize("cut_turns", [True, False])
def test_a_new_turn_may_cut_the_one_before(card: Card, cut_turns: bool) -> None:
    def record(**fields) -> bytes:
        return json.dumps(fields).encode() + b"\n"

    def answer(identity: str, text: str) -> Iterator[bytes]:
        message = {"id": identity, "content": [{"type": "text", "text": text}]}
        yield record(type="assistant", message=message)
        yield record(type="result", subtype="success", result=text)

    def stream() -> Iterator[bytes]:
        yield from answer("a", TEXT)
        time.sleep(0.3)
        yield from answer("b", "Something new.")

    with pipeline(card, cut_turns=cut_turns) as pipe:
        said = Listening(pipe, read_stream(stream(), "claude")).end()
    before = ["skipped"] * 3 if cut_turns else ["heard"] * 3
    assert [u.state for u in said] == [*before, "heard"]


def test_a_pipeline_that_is_stopped_accounts_for_what_waited(card: Card) -> None:
    with pipeline(card, FakeVoice(seconds=0.1)) as pipe:
        listening = Listening(pipe, events())
        pipe.stop()
        listening.end()
        assert pipe.stats().sentences == 3
        assert pipe.stats().skipped == 3
        assert pipe.backlog == 0


class Clauses(FakeVoice):
    """Keeps the parts that it was given."""

    def __init__(self, **options):
        super().__init__(**options)
        self.parts: list[str] = []

    def stream_generate(self, text, language=None, speaker=None, speed=1.0):
        self.parts.append(text)
        yield from super().stream_generate(text, language, speaker, speed)


LONG = "Before you change anything in there, please read the notes, and then ask me about it."


def test_a_clause_is_spoken_while_a_slow_translation_goes_on(card: Card) -> None:
    voice = Clauses(seconds=0.01)
    with Pipeline(
        FakeTranslator(step=0.05), voice, source="en", target="pt", output=card, early="off"
    ) as pipe:
        pipe.paces["translate"].learn(len(LONG), 0.8)
        pipe.paces["speak"].learn(100, 0.01)
        (said,) = list(pipe.run(events(LONG)))
    assert "".join(voice.parts) == LONG.upper(), "no word lost, none twice"
    assert voice.parts[0] == "BEFORE YOU CHANGE ANYTHING IN THERE, "
    assert said.times.heard < said.times.translated
    assert said.state == "heard"
    assert said.audio_seconds == pytest.approx(len(LONG) * 0.01, abs=0.01)


def test_a_quick_translation_is_spoken_whole_for_its_melody(card: Card) -> None:
    voice = Clauses(seconds=0.01)
    with Pipeline(
        FakeTranslator(), voice, source="en", target="pt", output=card, early="off"
    ) as pipe:
        pipe.paces["translate"].learn(len(LONG), 0.01)
        list(pipe.run(events(LONG)))
    assert voice.parts == [LONG.upper()]


def test_a_translation_that_fails_in_the_middle_keeps_what_was_said(card: Card) -> None:
    class Failing(FakeTranslator):
        def stream_translate(self, text, source=None, target=None, *, draft=None):
            for translation in super().stream_translate(text, source, target):
                if translation.text.endswith("NOTES,"):
                    raise ValueError("lost the thread")
                yield translation

    voice = Clauses(seconds=0.01)
    with Pipeline(
        Failing(step=0.05), voice, source="en", target="pt", output=card, early="off"
    ) as pipe:
        pipe.paces["translate"].learn(len(LONG), 0.8)
        pipe.paces["speak"].learn(100, 0.01)
        said = list(pipe.run(events(f"{LONG} All is well.")))
    assert [u.state for u in said] == ["failed", "heard"]
    assert str(said[0].error) == "lost the thread"
    assert said[0].times.heard is not None
