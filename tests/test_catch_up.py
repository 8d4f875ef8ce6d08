"""The ladder when speech falls behind: what is done at which lag, and that all is accounted for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fakes import RATE, FakeTranslator, FakeVoice

from mlx_speak.audio import Output, open_output
from mlx_speak.catch_up import CatchUp
from mlx_speak.pipeline import Pipeline
from mlx_speak.text import Placeholders, TextEvent
from mlx_speak.utterance import Utterance


@pytest.fixture
def paced() -> Iterator[Output]:
    output = open_output("silent", RATE)
    yield output
    output.close()


def test_speed_rises_in_steps_up_to_the_most() -> None:
    ladder = CatchUp(faster=10, fastest=30, most=1.25)
    speeds = [ladder.speed(behind) for behind in (0, 9.9, 10, 15, 20, 25, 30, 500)]
    assert speeds == pytest.approx([1, 1, 1, 1.05, 1.1, 1.2, 1.25, 1.25])
    assert CatchUp.off().speed(1e6) == 1


def test_only_short_sentences_are_joined_and_only_when_late() -> None:
    ladder = CatchUp(join=8)
    assert ladder.joins(8, "It works.", "Good.")
    assert not ladder.joins(7.9, "It works.", "Good.")
    assert not ladder.joins(8, "It works.", "x" * 81)
    assert not ladder.joins(8, "x" * 100, "y" * 60)


def test_rungs_have_names() -> None:
    ladder = CatchUp(join=8, faster=12, brief=30, skip=60)
    names = [ladder.rung(behind) for behind in (0, 8, 12, 30, 60)]
    assert names == ["", "joining", "faster", "brief", "skipping"]
    assert CatchUp.off().rung(1e9) == ""


@pytest.mark.parametrize("options", [{"join": 0}, {"faster": 30, "fastest": 10}, {"most": 3.0}])
def test_impossible_ladders_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"positive|1 to 2"):
        CatchUp(**options)


def stays_open(pipe: Pipeline) -> Iterator[TextEvent]:
    """Nothing more, until all that was read has been said."""
    while not pipe.backlog:
        time.sleep(0.005)
    while pipe.backlog:
        time.sleep(0.01)
    yield from ()


def speak(
    text: list[str], catch_up: CatchUp, output: Output, seconds: float, **options
) -> tuple[Pipeline, list[Utterance]]:
    """Speak what is all there at once, of a stream that then stays open for a while."""

    def events() -> Iterator[TextEvent]:
        for part in text:
            yield TextEvent(part, "text", "m")
        yield TextEvent("", "end", "m")
        yield from stays_open(pipe)

    with Pipeline(
        FakeTranslator(),
        FakeVoice(seconds=seconds),
        source="en",
        target="pt",
        output=output,
        catch_up=catch_up,
        early="off",
        **options,
    ) as pipe:
        said = list(pipe.run(events()))
    return pipe, said


SHORT = [f"Sentence number {n} is here. " for n in range(12)]


def test_short_sentences_are_said_in_one_breath(paced: Output) -> None:
    never = 1e9
    ladder = CatchUp(join=0.5, faster=never, fastest=never, brief=never)
    pipe, said = speak(SHORT, ladder, paced, 0.003)
    assert "".join(f"{u.source} " for u in said) == "".join(SHORT), "none lost, none twice"
    assert len(said) < len(SHORT)
    assert sum(u.sentences for u in said) == len(SHORT)
    assert pipe.stats().heard == len(SHORT)
    assert [u.text for u in said] == [u.source.upper() for u in said]


def test_speech_gets_faster_and_says_so(paced: Output) -> None:
    rungs = []

    class Watched(FakeVoice):
        def stream_generate(self, text, language=None, speaker=None, speed=1.0):
            rungs.append((speed, pipe_of[0].stats().rung))
            yield from super().stream_generate(text, language, speaker, speed)

    pipe_of: list[Pipeline] = []
    never = 1e9
    ladder = CatchUp(join=never, faster=0.2, fastest=0.5, brief=never)

    def events() -> Iterator[TextEvent]:
        yield TextEvent("".join(SHORT), "text", "m")
        yield TextEvent("", "end", "m")
        yield from stays_open(pipe)

    pipe = Pipeline(
        None, Watched(seconds=0.003), source="en", output=paced, catch_up=ladder, early="off"
    )
    pipe_of.append(pipe)
    with pipe:
        said = list(pipe.run(events()))
    assert max(speed for speed, _ in rungs) == pytest.approx(1.25)
    assert "faster" in {rung for _, rung in rungs}
    assert {u.state for u in said} == {"heard"}
    assert max(u.speed for u in said) == pytest.approx(1.25)


def test_placeholders_get_shorter(paced: Output) -> None:
    never = 1e9
    ladder = CatchUp(join=never, faster=never, fastest=never, brief=0.2)
    code = "\n\n```python\nx = 1\n```\n\n"
    _, said = speak([*SHORT, code, "The end."], ladder, paced, 0.003)
    assert said[-2].source == Placeholders().code
    _, said = speak([code, "The end."], CatchUp.off(), paced, 0.001)
    assert said[0].source == "Python code."


def test_skipping_is_asked_for_announced_and_accounted_for(paced: Output) -> None:
    never = 1e9
    ladder = CatchUp(join=never, faster=never, fastest=never, brief=never, skip=0.6)
    pipe, said = speak(SHORT, ladder, paced, 0.004)
    stats = pipe.stats()
    assert [u.source for u in said] == [s.strip() for s in SHORT]
    skipped = [u for u in said if u.state == "skipped"]
    assert 0 < len(skipped) < len(SHORT)
    assert stats.skipped == len(skipped)
    assert stats.heard == len(SHORT) - len(skipped)
    assert all("skipped, as speech was" in u.warning for u in skipped)
    spoken = [u.text for u in skipped if u.text]
    assert set(spoken) == {Placeholders().skipped.upper()}
    assert said[-1].state == "heard", "the newest is never skipped"


def test_a_file_is_never_hurried(tmp_path) -> None:
    ladder = CatchUp(join=0.1, faster=0.1, fastest=0.1, brief=0.1, skip=0.1)
    _, said = speak(SHORT, ladder, tmp_path / "speech.wav", 0.003)
    assert [u.source for u in said] == [s.strip() for s in SHORT]
    assert {(u.state, u.speed, u.sentences) for u in said} == {("heard", 1.0, 1)}


def test_a_text_that_is_over_can_wait(paced: Output) -> None:
    """There is nothing to catch up with."""
    ladder = CatchUp(join=0.1, faster=0.1, fastest=0.1, brief=0.1, skip=0.1)
    voice = FakeVoice(lambda text: time.sleep(0.05), seconds=0.002)
    events = [TextEvent(SHORT[0], "text", "m"), TextEvent("", "end", "m")]
    with Pipeline(None, voice, source="en", output=paced, catch_up=ladder, early="off") as pipe:
        said = list(pipe.run(events))
    assert said[0].speed == 1.0
