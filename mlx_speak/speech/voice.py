"""What every voice can do, whatever speaks underneath."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy as np

from ..audio import Audio
from ..errors import SpeakError, UnknownLanguageError
from ..languages import Language
from ..text.reading import read_aloud

SLOWEST, FASTEST = 0.25, 4.0


class SpeechError(SpeakError, ValueError):
    """A speaker or speed that does not exist, or sound that came out broken."""


@dataclass(frozen=True)
class Speaker:
    """Someone a voice can speak as."""

    name: str
    """Also accepted wherever a speaker is asked for, e.g. "pf_dora"."""
    language: Language
    """What this speaker speaks unless asked otherwise, with the region it was recorded in."""
    gender: str = ""
    """"female", "male" or unknown."""

    def __str__(self) -> str:
        return self.name


class Voice(ABC):
    """Text to speech in one or more languages, by one or more speakers.

    A voice is used from one thread at a time, MLX's; its other attributes may be read anywhere.
    """

    name: str
    sample_rate: int

    @property
    @abstractmethod
    def speakers(self) -> list[Speaker]:
        """Everyone this voice can speak as."""

    @property
    def languages(self) -> list[Language]:
        """The languages that have a speaker, in the speakers' order."""
        return list(dict.fromkeys(speaker.language for speaker in self.speakers))

    def stream_generate(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio]:
        """Speak as early as possible.

        Args:
            text: speakable text as it is written: what is no plain word is said as `read_aloud`
                puts it. Nothing comes of a text without anything to pronounce.
            language: of the text; by default the speaker's.
            speaker: by default the voice's first of that language.
            speed: 2 is twice as fast; 0.25 to 4.

        Yields:
            Chunks that join without a seam.

        Raises:
            UnknownLanguageError: a language that this voice does not speak.
            SpeechError: an unknown speaker, an impossible speed, or a sound that is broken.
        """
        words = self._read_aloud(text, language, speaker)
        yield from self._sound(self.steps(words, language, speaker, speed))

    @abstractmethod
    def steps(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio | None]:
        """`stream_generate` in small steps, between which something else may have its turn.

        Args:
            text: what `read_aloud` returned: it is said as it is.

        Yields:
            The chunks of `stream_generate`, and None after a step that brought no sound yet.
        """

    def prepare(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[None]:
        """Make ahead what speaking a text that begins like this one would need first.

        It changes how soon `steps` yields, never what. What it makes is kept by the voice until
        the next few texts have been prepared. Nothing, unless a subclass knows how. The arguments
        are those of `steps`, and of `stream_generate`.

        Yields:
            After each small step; the generator may be left at any of them.
        """
        return iter(())

    def generate(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Audio:
        """Speak the whole text. Arguments and errors are those of `stream_generate`."""
        words = self._read_aloud(text, language, speaker)
        return self._joined(self._sound(self._whole_steps(words, language, speaker, speed)))

    def _whole_steps(
        self,
        text: str,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
    ) -> Iterator[Audio | None]:
        """`steps` of a text that nobody waits to hear the beginning of."""
        return self.steps(text, language, speaker, speed)

    @abstractmethod
    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Raise now what `stream_generate` would raise later, before anything has been said."""

    def warm_up(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Do now what would make the first sentence slower than the others.

        Arguments are those of `stream_generate`.
        """
        for _ in self.steps("a", language, speaker):
            pass

    def clone(self, path: str | PathLike[str]) -> Speaker:
        """A speaker who sounds like a recording.

        Args:
            path: of the recording; see the voice for how long it should be.

        Raises:
            SpeechError: this voice cannot clone.
        """
        raise SpeechError(f"the voice {self.name!r} cannot clone a speaker from {str(path)!r}")

    def _reads_in(self, language: str | Language | None, speaker: str | Speaker | None) -> Language:
        """The language that a text is read in where these are asked for."""
        return Language.parse(language or "en")

    def _read_aloud(
        self, text: str, language: str | Language | None, speaker: str | Speaker | None
    ) -> str:
        return read_aloud(text, self._reads_in(language, speaker))

    @staticmethod
    def _sound(steps: Iterator[Audio | None]) -> Iterator[Audio]:
        return (audio for audio in steps if audio is not None)

    def _joined(self, chunks: Iterator[Audio]) -> Audio:
        parts = list(chunks)
        return Audio.join(parts) if parts else Audio(np.zeros(0, np.float32), self.sample_rate)

    def _unknown_language(self, language: Language) -> UnknownLanguageError:
        known = ", ".join(f"{known.tag} ({known.name})" for known in self.languages)
        return UnknownLanguageError(
            f"the voice {self.name!r} does not speak {language.name} ({language.tag}); "
            f"it speaks {known or 'nothing: it has no speakers'}"
        )

    def _unknown_speaker(self, name: str) -> SpeechError:
        names = [speaker.name for speaker in self.speakers]
        near = difflib.get_close_matches(name, names, n=4, cutoff=0.4)
        return SpeechError(
            f"the voice {self.name!r} has no speaker {name!r}; "
            + (f"did you mean {', '.join(near)}? " if near else "")
            + f"There are {len(names)}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}"
        )


def check_speed(speed: float) -> float:
    """The speed as a float within what can be understood, or SpeechError."""
    speed = float(speed)
    if not (math.isfinite(speed) and SLOWEST <= speed <= FASTEST):
        raise SpeechError(f"speed {speed:g} is not between {SLOWEST:g} and {FASTEST:g}")
    return speed
