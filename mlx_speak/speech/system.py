"""The voice that a computer comes with: macOS's `say`, elsewhere espeak-ng.

Neither is MLX, and neither sounds like a person nowadays; but they speak at once, and in languages
that no neural voice here has.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from ..audio import Audio
from ..errors import MissingExtraError, UnknownLanguageError
from ..languages import Language
from .espeak_library import USUAL_RATE, espeak
from .voice import Speaker, SpeechError, Voice, check_speed


class SystemVoice(Voice):
    """What `say` and espeak-ng have in common: many speakers, a whole text at a time."""

    @cached_property
    def _speakers(self) -> list[Speaker]:
        return self._list()

    @property
    def speakers(self) -> list[Speaker]:
        return self._speakers

    def steps(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio | None]:
        speed = check_speed(speed)
        chosen = self._choose(language, speaker)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if any(map(str.isalnum, text)):
            audio = self._speak(text, chosen, round(USUAL_RATE * speed))
            if len(audio):
                yield audio.trim_silence(lead=0.02, trail=0.1).fade(0.005, 0.005)

    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        self._choose(language, speaker)

    def _reads_in(self, language: str | Language | None, speaker: str | Speaker | None) -> Language:
        return Language.parse(language or self._choose(language, speaker).language)

    @abstractmethod
    def _list(self) -> list[Speaker]:
        """Everyone there is."""

    @abstractmethod
    def _rank(self, speaker: Speaker) -> int:
        """Of one language's speakers the lowest is the usual one."""

    @abstractmethod
    def _speak(self, text: str, speaker: Speaker, words_per_minute: int) -> Audio: ...

    def _choose(self, language: str | Language | None, speaker: str | Speaker | None) -> Speaker:
        """The speaker asked for, or the best for a language and its region."""
        if speaker is not None:
            for known in self.speakers:
                if known.name == str(speaker):
                    return known
            raise self._unknown_speaker(str(speaker))
        wanted = Language.parse(language or "en")
        able = [known for known in self.speakers if known.language.flores == wanted.flores]
        if not able:
            raise self._unknown_language(wanted)
        elsewhere = [known.language.region != wanted.region for known in able]
        ranks = [self._rank(known) for known in able]
        return min(zip(elsewhere, ranks, able, strict=True), key=lambda row: row[:2])[2]


# Who speaks by default on a Mac set to these languages; the list of `say` is alphabetical, and
# begins with voices like "Bad News".
_APPLES_CHOICE = (
    *("Samantha", "Daniel", "Kyoko", "Luciana", "Tingting", "Meijia", "Thomas", "Amélie"),
    *("Anna", "Mónica", "Alice", "Lekha", "Yuna", "Milena"),
)


class SayVoice(SystemVoice):
    """The voices of macOS, those that System Settings has installed."""

    name = "say"
    sample_rate = 24000

    def __init__(self, command: str = "/usr/bin/say"):
        self._command = command

    def _list(self) -> list[Speaker]:
        # "Grandma (English (US)) en_US    # Hello! My name is Grandma."
        rows = re.findall(r"^(\S.*?)\s+([a-z]{2,3}[-_]\w+)\s+#", self._run("-v", "?"), re.M)
        found = []
        for name, tag in rows:
            if language := _known(tag):
                found.append(Speaker(name, language))
        return found

    def _rank(self, speaker: Speaker) -> int:
        known = speaker.name in _APPLES_CHOICE
        return _APPLES_CHOICE.index(speaker.name) if known else len(_APPLES_CHOICE)

    def _speak(self, text: str, speaker: Speaker, words_per_minute: int) -> Audio:
        # [[…]] is a command to say, and text from a stream must not command.
        text = text.replace("[[", "[ [").replace("]]", "] ]")
        rate = [] if words_per_minute == USUAL_RATE else ["-r", str(words_per_minute)]
        with tempfile.TemporaryDirectory() as folder:  # `say` writes to files that can be sought in
            path = Path(folder, "speech.wav")
            options = ["--file-format=WAVE", "--data-format=LEF32@24000", "-o", str(path)]
            self._run("-v", speaker.name, *rate, *options, "-f", "-", text=text)
            return Audio.load(path)

    def _run(self, *arguments: str, text: str = "") -> str:
        """Run `say` without a shell; the text goes in where no option could be mistaken for it."""
        try:
            done = subprocess.run(
                [self._command, *arguments],
                input=text.encode(),
                capture_output=True,
                timeout=120,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            reason = error.stderr.decode(errors="replace").strip()
            raise SpeechError(f"`say` failed with status {error.returncode}: {reason}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SpeechError(f"`say` could not be run: {error}") from error
        return done.stdout.decode(errors="replace")


class EspeakVoice(SystemVoice):
    """The voices of espeak-ng, in about a hundred languages.

    Raises:
        MissingExtraError: espeak-ng is not installed.
    """

    name = "espeak-ng"

    def __init__(self) -> None:
        try:
            self._library = espeak()
        except ImportError as error:
            raise MissingExtraError("the system voice (espeak-ng)", "pt") from error
        self.sample_rate = self._library.sample_rate

    def _list(self) -> list[Speaker]:
        return [
            Speaker(voice.identifier, language, voice.gender)
            for voice in self._library.voices()
            if (language := _known(voice.language))
        ]

    def _rank(self, speaker: Speaker) -> int:
        return len(speaker.name)  # "gmw/en" before "gmw/en-GB-x-rp"

    def _speak(self, text: str, speaker: Speaker, words_per_minute: int) -> Audio:
        samples = self._library.speak(text, speaker.name, words_per_minute)
        return Audio(samples, self.sample_rate)


def load() -> SystemVoice:
    """The voice of this system.

    Raises:
        MissingExtraError: on Linux, espeak-ng is not installed.
    """
    return SayVoice() if sys.platform == "darwin" else EspeakVoice()


def _known(tag: str) -> Language | None:
    """The language of a system's own tag; those that translators do not know are left out."""
    try:
        return Language.parse(tag)
    except UnknownLanguageError:
        return None
