"""The pipeline with a scripted translator and voice: order, overlap, faults and control."""

from __future__ import annotations

import io
import json
import threading
import time
import wave
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import RATE, FakeTranslator, FakeVoice

from mlx_speak.audio import Output, open_output
from mlx_speak.audio.output import NullOutput
from mlx_speak.errors import OutputError
from mlx_speak.pipeline import Pipeline
from mlx_speak.text import TextEvent, read_stream

TEXT = "The first one is here. The second one follows. And the third ends it."
SENTENCES = ["The first one is here.", "The second one follows.", "And the third ends it."]


def events(text: str = TEXT, message: str = "m1") -> list[TextEvent]:
    return [TextEvent(text, "text", message), TextEvent("", "end", message)]


def pipeline(translator=None, voice=None, output="null", **options) -> Pipeline:
    return Pipeline(
        translator, voice or FakeVoice(), source="en", target="pt", output=output, **options
    )


@pytest.fixture
def paced() -> Iterator[Output]:
    output = open_output("silent", RATE)
    yield output
    output.close()


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    before = {thread for thread in threading.enumerate() if thread.name != "mlx"}
    yield
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        left = [t for t in threading.enumerate() if t not in before and t.name != "mlx"]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"threads left running: {left}")


def test_every_sentence_is_translated_spoken_and_reported_in_order():
    with pipeline(FakeTranslator()) as pipe:
        said = list(pipe.run(events()))
    assert [u.source for u in said] == SENTENCES
    assert [u.text for u in said] == [s.upper() for s in SENTENCES]
    assert [u.index for u in said] == [0, 1, 2]
    assert {u.state for u in said} == {"heard"}
    for u in said:
        t = u.times
        assert t.seen <= t.found <= t.translated <= t.first_chunk <= t.finished
        # An output may tell the time of a frame to within a millisecond.
        assert t.first_chunk - 0.001 <= t.heard <= t.finished
        assert u.audio_seconds == pytest.approx(len(u.source) * 0.002, abs=1 / RATE)


def test_without_a_translator_the_source_is_spoken():
    with pipeline() as pipe:
        assert [u.text for u in pipe.run(events())] == SENTENCES


@pytest.mark.parametrize(
    ("source", "target", "spoken"),
    [
        ("en", "pt", "en"),
        ("en", "en-GB", "en-GB"),
        (None, "pt-BR", "pt-BR"),
        ("ja", None, "ja"),
        (None, None, "en"),
    ],
)
def test_without_a_translator_the_voice_speaks_the_language_of_the_text(source, target, spoken):
    with Pipeline(None, FakeVoice(), source=source, target=target, output="null") as pipe:
        assert pipe.target.tag == spoken


def test_the_wav_holds_every_sentence_whole_faded_only_at_its_edges(tmp_path):
    path = tmp_path / "speech.wav"
    with pipeline(output=path) as pipe:
        said = list(pipe.run(events()))
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    assert len(samples) == sum(int(len(u.text) * 0.002 * RATE) for u in said)
    fade = int(0.008 * RATE)
    start = 0
    for u in said:
        part = samples[start : start + int(len(u.text) * 0.002 * RATE)]
        # The two chunks join without a seam: constant between the fades at either end.
        np.testing.assert_allclose(part[fade:-fade], 0.5, atol=1e-4)
        assert part[0] < 0.02
        assert part[-1] < 0.02
        start += len(part)


def test_the_next_sentence_is_translated_and_made_while_one_is_heard(paced):
    with pipeline(FakeTranslator(), FakeVoice(seconds=0.02), output=paced) as pipe:
        first, second, third = pipe.run(events())
    assert second.times.translated < first.times.finished
    assert second.times.first_chunk < first.times.finished
    assert third.times.translated < second.times.finished
    # Gapless: the second is heard as the first ends, within a block of the paced output.
    assert second.times.heard - first.times.heard == pytest.approx(first.audio_seconds, abs=0.05)
    assert pipe.stats().underruns == 0


def test_a_failing_translation_is_reported_and_the_rest_goes_on():
    def before(text: str) -> None:
        if "second" in text:
            raise ValueError("cannot translate this")

    with pipeline(FakeTranslator(before)) as pipe:
        said = list(pipe.run(events()))
        assert [u.state for u in said] == ["heard", "failed", "heard"]
        assert str(said[1].error) == "cannot translate this"
        assert (pipe.stats().heard, pipe.stats().failed) == (2, 1)


def test_a_voice_failing_half_way_keeps_what_was_said_and_goes_on():
    class Breaking(FakeVoice):
        def stream_generate(self, text, **options):
            for i, audio in enumerate(super().stream_generate(text, **options)):
                if "second" in text and i == 1:
                    raise RuntimeError("no breath")
                yield audio

    with pipeline(voice=Breaking()) as pipe:
        said = list(pipe.run(events()))
    assert [u.state for u in said] == ["heard", "failed", "heard"]
    half = len(said[1].source) * 0.002 / 2
    assert said[1].audio_seconds == pytest.approx(half, abs=1 / RATE)
    assert said[1].times.heard is not None


def test_stop_ends_within_200_ms_while_a_model_is_in_the_middle_of_a_step(paced):
    begun = threading.Event()

    def slow(text: str) -> None:
        begun.set()
        time.sleep(1.5)

    with pipeline(voice=FakeVoice(slow), output=paced) as pipe:
        run = pipe.run(events())
        ended: list[float] = []

        def consume() -> None:
            list(run)
            ended.append(time.monotonic())

        consumer = threading.Thread(target=consume)
        consumer.start()
        assert begun.wait(5)
        asked = time.monotonic()
        pipe.stop()
        consumer.join(2)
        assert ended
        assert ended[0] - asked < 0.2


def test_stop_silences_what_is_being_heard_and_the_pipeline_can_run_again(paced):
    with pipeline(voice=FakeVoice(seconds=0.1), output=paced) as pipe:
        consumer = threading.Thread(target=lambda: list(pipe.run(events())))
        consumer.start()
        while paced.buffered == 0:
            time.sleep(0.005)
        asked = time.monotonic()
        pipe.stop()
        consumer.join(2)
        assert time.monotonic() - asked < 0.2
        assert paced.buffered < 0.05
        pipe.voice.seconds = 0.002
        assert [u.state for u in pipe.run(events())] == ["heard"] * 3


def test_a_consumer_that_breaks_off_silences_the_rest(paced):
    with pipeline(voice=FakeVoice(seconds=0.02), output=paced) as pipe:
        for utterance in pipe.run(events()):
            assert utterance.index == 0
            break
        # A generator left alone is closed when nothing refers to it any more.
        deadline = time.monotonic() + 1
        while pipe.backlog and time.monotonic() < deadline:
            time.sleep(0.01)
        assert paced.buffered < 0.05


def test_skip_goes_on_with_the_next_sentence_whole(paced):
    with pipeline(voice=FakeVoice(seconds=0.03), output=paced) as pipe:
        said = []
        consumer = threading.Thread(target=lambda: said.extend(pipe.run(events())))
        consumer.start()
        while not (pipe.current and pipe.current.track.first is not None):
            time.sleep(0.005)
        time.sleep(0.15)
        skipped_at = time.monotonic()
        pipe.skip()
        consumer.join(10)
    assert [u.state for u in said] == ["skipped", "heard", "heard"]
    assert said[1].times.heard - skipped_at < 0.15
    # Whole: the second took as long as its sound is, although it was already queued behind.
    heard_for = said[1].times.finished - said[1].times.heard
    assert heard_for == pytest.approx(said[1].audio_seconds, abs=0.1)


def test_a_retraction_withdraws_what_was_not_begun_and_a_retry_does_not_repeat():
    release = threading.Event()

    def hold(text: str) -> None:
        if "second" in text:
            release.wait(5)

    def stream() -> Iterator[TextEvent]:
        yield TextEvent("The first one is here. The second one follows. The third", "text", "m1")
        while pipe.stats().heard < 1:
            time.sleep(0.005)
        yield TextEvent("", "retract", "m1")
        while pipe.stats().retracted < 1:
            time.sleep(0.005)
        release.set()
        yield TextEvent("The first one is here. A new second comes.", "text", "m2")
        yield TextEvent("", "end", "m2")

    with pipeline(FakeTranslator(hold)) as pipe:
        said = [u.source for u in pipe.run(stream())]
        assert said == ["The first one is here.", "A new second comes."]
        assert pipe.stats().retracted == 1


def test_the_source_is_not_read_beyond_the_backlog(paced):
    taken = 0

    def stream() -> Iterator[TextEvent]:
        nonlocal taken
        for i in range(400):
            taken += 1
            yield TextEvent(f"This is sentence number {i} of many. ", "text", "m")
            yield TextEvent("", "end", "m")

    with pipeline(voice=FakeVoice(seconds=0.05), output=paced, max_backlog=5) as pipe:
        run = pipe.run(stream())
        next(run)
        # 5 sentences, and what the queue of 256 events in front of them holds.
        assert taken <= 5 + 1 + 256 / 2 + 2
        assert pipe.backlog <= 6
        run.close()


def test_nothing_is_made_further_ahead_than_asked(paced):
    made: list[str] = []
    with pipeline(voice=FakeVoice(made.append, seconds=0.05), output=paced, lookahead=1.5) as pipe:
        run = pipe.run(events(" ".join(SENTENCES * 5)))
        next(run)
        # 1.1 s each: one is over, so at most 1.5 s wait ahead when the next is begun.
        assert len(made) <= 4
        run.close()


def test_an_exception_of_the_source_is_raised_after_what_came_before_was_spoken():
    def stream() -> Iterator[TextEvent]:
        yield from events()
        raise ConnectionResetError("the assistant went away")

    said = []
    with pipeline() as pipe:
        run = pipe.run(stream())
        said += [next(run).source for _ in SENTENCES]
        with pytest.raises(ConnectionResetError):
            next(run)
    assert said == SENTENCES


def test_a_stalled_stream_is_spoken_without_waiting_for_its_end():
    gate = threading.Event()

    def stream() -> Iterator[TextEvent]:
        yield TextEvent("One sentence without an end to follow.", "text", "m")
        gate.wait(20)

    with pipeline() as pipe:
        run = pipe.run(stream())
        assert next(run).source == "One sentence without an end to follow."
        assert not gate.is_set()
        gate.set()
        assert list(run) == []


def test_an_output_that_fails_marks_the_sentence_and_hangs_nothing():
    class FullDisk(NullOutput):
        calls = 0

        def write(self, samples, *, more=False):
            self.calls += 1
            if self.calls == 2:
                raise OutputError("no space left")
            return super().write(samples, more=more)

    with pipeline(voice=FakeVoice(chunks=1), output=FullDisk(sample_rate=RATE)) as pipe:
        said = list(pipe.run(events()))
    assert [u.state for u in said] == ["failed", "heard", "heard"]
    assert isinstance(said[0].error, OutputError)


def test_an_output_that_somebody_else_clears_hangs_nothing(paced):
    with pipeline(voice=FakeVoice(seconds=0.03), output=paced) as pipe:
        said = []
        consumer = threading.Thread(target=lambda: said.extend(pipe.run(events())))
        consumer.start()
        while not (pipe.current and pipe.current.track.first is not None):
            time.sleep(0.005)
        paced.clear()
        consumer.join(10)
    assert [u.state for u in said] == ["heard"] * 3


def test_a_given_output_stays_open_and_a_made_one_is_closed(tmp_path):
    with NullOutput(sample_rate=RATE) as output:
        with pipeline(output=output) as pipe:
            list(pipe.run(events()))
        output.write(np.zeros(10, np.float32))
    with pipeline(output=tmp_path / "a.wav") as pipe:
        list(pipe.run(events()))
    assert isinstance(pipe.output, Output)
    with pytest.raises(OutputError):
        pipe.output.write(np.zeros(10, np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff\xfe\x80" * 1000,
        b'{"type":"assistant","message":{"id":"a","content":[{"type":"text","te',
        b'{"type":"user","x":"' + b"y" * 10_000_000 + b'"}\n',
        bytes(range(256)) * 50,
    ],
    ids=["empty", "garbage", "truncated", "10 MB line", "all bytes"],
)
def test_hostile_input_does_no_harm(data):
    good = json.dumps(
        {
            "type": "assistant",
            "message": {"id": "b", "content": [{"type": "text", "text": "All is well."}]},
        }
    ).encode()
    with pipeline() as pipe:
        list(pipe.run(read_stream(io.BytesIO(data))))
        said = list(pipe.run(read_stream(io.BytesIO(data + b"\n" + good + b"\n"), format="claude")))
    assert said[-1].source == "All is well."
