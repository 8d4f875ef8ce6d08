"""A voice that stands in for another: where that does not know the language, and where it fails."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import RATE, FakeTranslator, FakeVoice
from support import package

import mlx_speak as ms
from mlx_speak.__main__ import parse_arguments
from mlx_speak.audio import Audio
from mlx_speak.errors import MissingExtraError, UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.pipeline import Pipeline
from mlx_speak.speak import Models
from mlx_speak.speech import SpeechError
from mlx_speak.text import TextEvent

TEXT = "The first one is here. The second one follows. And the third ends it."
EVENTS = [TextEvent(TEXT, "text", "m"), TextEvent("", "end", "m")]


class Monoglot(FakeVoice):
    """Speaks Portuguese only, and breaks in the second half of some sentences."""

    name = "monoglot"

    def __init__(self, breaks_at: str = "none"):
        super().__init__()
        self.breaks_at = breaks_at

    def check(self, language: Language, speaker=None) -> None:
        if Language.parse(language).code != "pt":
            raise UnknownLanguageError(f"only Portuguese, not {language}")
        if speaker not in (None, "me"):
            raise SpeechError(f"no speaker {speaker}")

    def steps(self, text: str, language=None, speaker=None, speed=1.0) -> Iterator[Audio | None]:
        for i, audio in enumerate(super().steps(text, language, speaker, speed)):
            if self.breaks_at in text.lower() and i == 1:
                raise RuntimeError("no breath")
            yield audio


class Other(FakeVoice):
    """At another sample rate, and louder than the first."""

    name = "other"
    sample_rate = 2 * RATE

    def steps(self, text: str, language=None, speaker=None, speed=1.0) -> Iterator[Audio | None]:
        assert speaker is None, "the speakers of one voice are unknown to another"
        yield Audio(np.full(int(len(text) * 0.002 * 2 * RATE), 0.9, np.float32), 2 * RATE)


def said(voice: FakeVoice, fallback: FakeVoice | None, target: str = "pt", **options) -> list:
    with Pipeline(
        FakeTranslator(), voice, "en", target, output="null", fallback=fallback, **options
    ) as pipe:
        return list(pipe.run(EVENTS))


def test_who_spoke_stands_on_the_utterance() -> None:
    assert [u.voices for u in said(Monoglot(), Other())] == [("monoglot",)] * 3


def test_a_sentence_at_which_the_voice_fails_is_spoken_by_the_other() -> None:
    utterances = said(Monoglot("second"), Other(), speaker="me")
    assert [u.state for u in utterances] == ["heard"] * 3
    assert [u.error for u in utterances] == [None] * 3
    assert [u.voices for u in utterances] == [
        ("monoglot",),
        ("monoglot", "other"),
        ("monoglot",),
    ]
    assert "no breath" in utterances[1].warning
    whole = len(utterances[1].text) * 0.002
    assert utterances[1].audio_seconds == pytest.approx(1.5 * whole, rel=0.01)  # a half, and all


def test_without_another_voice_the_sentence_fails() -> None:
    utterances = said(Monoglot("second"), None)
    assert [u.state for u in utterances] == ["heard", "failed", "heard"]


def test_a_language_that_only_the_other_knows() -> None:
    utterances = said(Monoglot(), Other(), "de", speaker="me")
    assert [u.voices for u in utterances] == [("other",)] * 3
    with pytest.raises(UnknownLanguageError):
        said(Monoglot(), None, "de")
    with pytest.raises(UnknownLanguageError):
        said(Monoglot(), Monoglot(), "de")


def test_a_mistake_is_not_covered_up() -> None:
    with pytest.raises(SpeechError, match="no speaker nobody"):
        said(Monoglot(), Other(), speaker="nobody")


def test_both_fail() -> None:
    class Mute(Other):
        def steps(self, text: str, language=None, speaker=None, speed=1.0):
            raise UnknownLanguageError("not this one")
            yield

    utterances = said(Monoglot("second"), Mute())
    assert [u.state for u in utterances] == ["heard", "failed", "heard"]
    assert "no breath" in str(utterances[1].error)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The models that are loaded, as fakes."""
    loads: list[tuple[object, ...]] = []
    for name, fake in (("load_voice", Other), ("load_translator", FakeTranslator)):
        monkeypatch.setattr(ms, name, lambda *args, fake=fake: loads.append(args) or fake())
    return loads


def models_of(*arguments: str) -> tuple[Models, argparse.Namespace]:
    parsed = parse_arguments(["--to", "pt", *arguments])
    parsed.source, parsed.to = map(Language.parse, (parsed.source, parsed.to))
    return Models(), parsed


def test_the_voice_of_the_system_is_loaded_when_it_has_to_speak(asked: list) -> None:
    models, arguments = models_of()
    fallback = models.fallback(arguments)
    assert [u.voices for u in said(Monoglot(), fallback)] == [("monoglot",)] * 3
    assert asked == []
    assert said(Monoglot("second"), fallback)[1].voices == ("monoglot", "other")
    assert said(Monoglot("second"), models.fallback(arguments))[1].voices[1:] == ("other",)
    assert asked == [("say", None)]


@pytest.mark.parametrize("options", [["--no-fallback"], ["--voice", "say"], ["--to", "de"]])
def test_nobody_stands_in_where_that_is_not_wanted_nor_for_the_voice_itself(
    options: list[str],
) -> None:
    models, arguments = models_of(*options)
    assert models.fallback(arguments) is None


def test_a_fallback_that_cannot_be_loaded_is_none() -> None:
    class Missing(Other):
        def check(self, *arguments, **options) -> None:
            raise MissingExtraError("the system voice", "pt")

        steps = check

    with pytest.raises(UnknownLanguageError, match="only Portuguese"):
        said(Monoglot(), Missing(), "de")
    assert "no breath" in str(said(Monoglot("second"), Missing())[1].error)


def test_bits_are_of_translator_and_voice_but_not_of_the_systems(asked: list) -> None:
    models, arguments = models_of("--bits", "8", "--voice", "xtts")
    models.translator(arguments), models.voice(arguments)
    assert asked == [("bergamot-en-pt", 8), ("xtts", 8)]
    models, arguments = models_of("--bits", "8", "--voice", "say")
    models.voice(arguments)
    assert asked[2:] == [("say", None)]


@pytest.mark.skipif(sys.platform == "darwin", reason="espeak-ng is not a Mac's voice")
def test_the_command_falls_back_on_the_voice_of_the_system() -> None:
    package("espeakng_loader")
    models, arguments = models_of()
    voice = models.fallback(arguments)
    assert voice.name == "espeak-ng"
    utterances = said(Monoglot("second"), voice)
    assert utterances[1].voices == ("monoglot", "espeak-ng")
    assert utterances[1].audio_seconds > 1


@pytest.mark.packages
def test_a_stream_in_a_language_that_kokoro_lacks(models: dict[str, Path], tmp_path: Path) -> None:
    package("espeakng_loader")
    path = tmp_path / "speech.wav"
    command = [sys.executable, "-m", "mlx_speak", "--voice", "kokoro", "--from", "de", "--to", "de"]
    done = subprocess.run(
        [*command, "--output", str(path)], input=b"Alles ist gut.", capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert Audio.load(path).seconds > 0.5
    refused = subprocess.run(
        [*command, "--no-fallback", "--output", "null"], input=b"Alles.", capture_output=True
    )
    assert refused.returncode == 2
    assert b"does not speak German" in refused.stderr
