"""Early work: drafts of unfinished sentences make them sooner, and never other than they are."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fakes import FakeTranslator, FakeVoice

from mlx_speak.early import SHARES, Draft
from mlx_speak.pipeline import Pipeline
from mlx_speak.scheduler import Scheduler
from mlx_speak.text import SentenceReader, TextEvent

SENTENCE = "The tests pass on every machine that we have here."


class Recording(FakeTranslator):
    """Keeps what it was asked for, with the drafts."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked: list[tuple[str, list[int] | None]] = []

    def stream_translate(self, text, source=None, target=None, *, draft=None):
        self.asked.append((text, None if draft is None else list(draft)))
        yield from super().stream_translate(text, source, target)


class Preparing(FakeVoice):
    def __init__(self, **options):
        super().__init__(**options)
        self.prepared: list[str] = []

    def prepare(self, text, language=None, speaker=None, speed=1.0):
        self.prepared.append(text)
        yield


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler("mlx")
    yield scheduler
    scheduler.close()


def typed(text: str, pause: float = 0.01, message: str = "m") -> Iterator[TextEvent]:
    """Word by word, as an assistant writes; the last word waits for its end."""
    for word in text.split(" "):
        yield TextEvent(f"{word} ", "text", message)
        time.sleep(pause)
    yield TextEvent("", "end", message)


def speak(events, scheduler, translator=None, voice=None, **options):
    with Pipeline(
        translator,
        voice or FakeVoice(),
        source="en",
        target="pt",
        output="null",
        scheduler=scheduler,
        **options,
    ) as pipe:
        return pipe, list(pipe.run(events))


def test_what_is_complete_has_its_translation_and_sound_ready(scheduler) -> None:
    translator, voice = Recording(), Preparing()
    text = f"{SENTENCE} And so on."
    pipe, said = speak(typed(text, 0.03), scheduler, translator, voice, early="eager")
    assert [u.source for u in said] == [SENTENCE, "And so on."]
    assert said[0].text == SENTENCE.upper()
    assert (
        translator.asked.count((SENTENCE, None))
        + sum(text == SENTENCE for text, draft in translator.asked if draft)
        == 1
    ), "the whole sentence is translated once, early"
    assert said[0].draft_kept == 1.0
    assert said[0].prepared
    assert SENTENCE.upper() in voice.prepared
    stats = pipe.stats()
    assert stats.drafted >= 1
    assert stats.draft_hit_rate == 1.0


def test_a_draft_is_offered_when_the_sentence_went_on(scheduler) -> None:
    translator = Recording()
    slow = Recording(step=0.004)
    for t in (translator, slow):
        _, said = speak(typed(SENTENCE, 0.03), scheduler, t, early="eager")
        assert said[0].text == SENTENCE.upper()
        drafts = [draft for text, draft in t.asked if draft]
        assert drafts
        assert all(text == SENTENCE or SENTENCE.startswith(text) for text, _ in t.asked)


@pytest.mark.parametrize("level", SHARES)
def test_the_words_are_the_same_at_every_level(scheduler, level) -> None:
    text = f"{SENTENCE} Dr. Smith agrees. However, version 2.13 is late, and 1,5 is a number."
    translator = FakeTranslator(step=0.001)
    _, said = speak(typed(text, 0.005), scheduler, translator, early=level)
    assert [u.text for u in said] == [
        SENTENCE.upper(),
        "DR. SMITH AGREES.",
        "HOWEVER, VERSION 2.13 IS LATE, AND 1,5 IS A NUMBER.",
    ]


def test_levels_differ_in_what_they_look_at(scheduler) -> None:
    asked = {}
    for level in SHARES:
        translator = Recording()
        speak(typed(f"{SENTENCE} Yes.", 0.02), scheduler, translator, early=level)
        asked[level] = [text for text, _ in translator.asked if text != "Yes."]
    assert asked["off"] == asked["economy"] == [SENTENCE]
    assert len(asked["eager"]) > len(asked["balanced"]) > 1


def test_an_unknown_level_is_refused(scheduler) -> None:
    with pytest.raises(ValueError, match="economy"):
        speak(typed("Yes."), scheduler, early="lazy")


def test_an_error_in_early_work_harms_nobody(scheduler) -> None:
    def before(text: str) -> None:
        if text != SENTENCE:
            raise ValueError("half a sentence")

    _, said = speak(typed(SENTENCE, 0.02), scheduler, FakeTranslator(before), early="eager")
    assert [u.state for u in said] == ["heard"]

    class Broken(FakeVoice):
        def prepare(self, *arguments):
            raise ValueError("not prepared")
            yield

    text = f"{SENTENCE} Yes."
    _, said = speak(typed(text, 0.02), scheduler, FakeTranslator(), Broken(), early="eager")
    assert [u.state for u in said] == ["heard", "heard"]


def test_what_a_retraction_takes_back_is_not_spoken(scheduler) -> None:
    def events() -> Iterator[TextEvent]:
        for word in ("A ", "sentence ", "that ", "never ", "ends"):
            yield TextEvent(word, "text", "m1")
            time.sleep(0.02)
        yield TextEvent("", "retract", "m1")
        yield from typed("Another one.", message="m2")

    voice = Preparing()
    _, said = speak(events(), scheduler, FakeTranslator(), voice, early="eager")
    assert [u.source for u in said] == ["Another one."]


def test_early_work_waits_for_what_is_urgent(scheduler) -> None:
    """With sound enough ahead nobody waits for the next sentence: no early work is done."""
    translator = Recording()
    voice = FakeVoice(seconds=0.1)

    def events() -> Iterator[TextEvent]:
        yield TextEvent("This sentence is heard for quite a while now. ", "text", "m")
        while not pipe.backlog or pipe._player.ahead < 2:
            time.sleep(0.005)
        for word in ("Meanwhile ", "another ", "one ", "is ", "being ", "written ", "here "):
            yield TextEvent(word, "text", "m")
            time.sleep(0.02)
        seen.append(len(translator.asked))
        pipe.stop()

    seen: list[int] = []
    with Pipeline(
        translator,
        voice,
        source="en",
        target="pt",
        output="silent",
        scheduler=scheduler,
        early="eager",
    ) as pipe:
        list(pipe.run(events()))
    assert seen == [1]


def test_the_budget_is_kept(scheduler) -> None:
    """Balanced work takes at most half of the time, after one second that it may have saved."""
    busy = 0.0

    class Slow(FakeTranslator):
        def stream_translate(self, text, source=None, target=None, *, draft=None):
            nonlocal busy
            for translation in super().stream_translate(text, source, target):
                time.sleep(0.02)
                busy += 0.02
                yield translation

    begun = time.monotonic()

    def events() -> Iterator[TextEvent]:
        for _ in range(70):  # less than the longest sentence: nothing is translated but early
            yield TextEvent("word ", "text", "m")
            time.sleep(0.05)
        seen.append((busy, time.monotonic() - begun))
        pipe.stop()

    seen: list[tuple[float, float]] = []
    with Pipeline(
        Slow(),
        FakeVoice(),
        source="en",
        target="pt",
        output="null",
        scheduler=scheduler,
        early="balanced",
    ) as pipe:
        list(pipe.run(events()))
    spent, passed = seen[0]
    assert 0.5 < spent < 1.0 + 0.5 * passed + 0.3


def test_a_draft_counts_what_it_had_right_from_the_beginning() -> None:
    draft = Draft("x", [1, 2, 3, 9])
    assert draft.share_of([1, 2, 3, 4]) is None, "it was not offered"
    draft.offered = [1, 2, 3, 9]
    assert draft.share_of([1, 2, 3, 4, 5, 6]) == 0.5
    assert draft.share_of([1, 2, 3, 9]) == 1.0
    assert draft.share_of([]) is None


@pytest.mark.parametrize(
    ("deltas", "outlook"),
    [
        (["The tests", " pass"], ("The tests pass", False)),
        (["The tests pass", "."], ("The tests pass.", True)),
        (["The tests pass", ". Th"], ("The tests pass.", True)),
        (["Version 2", ".1"], ("Version 2.1", False)),
        (["See **the", " docs**", "!"], ("See the docs!", True)),
        (["Done. Next"], ("Done.", True)),
        (["Done. Next one", " is"], ("Next one is", False)),
        ([""], ("", False)),
    ],
)
def test_the_outlook_is_what_is_likely_next(deltas, outlook) -> None:
    reader = SentenceReader("en")
    for delta in deltas:
        reader.feed(TextEvent(delta, "text", "m"))
    assert reader.outlook == outlook


def test_japanese_has_an_outlook_too() -> None:
    reader = SentenceReader("ja")
    reader.feed(TextEvent("テストは成功し", "text", "m"))
    assert reader.outlook == ("テストは成功し", False)
    reader.feed(TextEvent("ました。", "text", "m"))
    assert reader.outlook == ("テストは成功しました。", True)
