"""What a pipeline asks of a translator and a voice: whatever has these methods will do.

`Translator` and `Voice` are classes to build on for models; a service, a glossary or a synthesiser
of your own needs no more than this (`examples/own_voice.py`). All is called on the scheduler's
thread, one call at a time, except `pair` and `check`, which are called where the pipeline is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from .audio import Audio
from .languages import Language
from .speech import Speaker
from .translation import Translation


@runtime_checkable
class Translates(Protocol):
    """Text of one language to text of another."""

    def pair(
        self, source: str | Language | None, target: str | Language | None
    ) -> tuple[Language, Language]:
        """The languages meant by `source` and `target`, None where there is no choice.

        Raises:
            UnknownLanguageError: a language that it does not know.
        """

    def stream_translate(
        self,
        text: str,
        source: str | Language | None = None,
        target: str | Language | None = None,
        *,
        draft: Sequence[int] = (),
    ) -> Iterator[Translation]:
        """Translations of growing length, each a small step; the last is `final` and the whole.

        Args:
            text: any length.
            source: as `pair` takes it.
            target: likewise.
            draft: the tokens of an earlier translation of the text's beginning; never given to
                who yields no tokens.
        """

    def warm_up(
        self, source: str | Language | None = None, target: str | Language | None = None
    ) -> None:
        """Do what only a first sentence from `source` to `target` would have to wait for."""


@runtime_checkable
class Speaks(Protocol):
    """Text to sound."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def sample_rate(self) -> int:
        """Of all its sound, in Hz."""

    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Raise what `steps` would raise.

        Raises:
            UnknownLanguageError: a language that it does not speak.
            SpeechError: a speaker that it does not have.
        """

    def steps(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio | None]:
        """Chunks of sound that join without a seam; None after a step that brought none yet.

        Args:
            text: as `read_aloud` puts it.
            language: of the text; None leaves it to the speaker.
            speaker: one of its own, or a name; None is its usual one.
            speed: 2 is twice as fast.
        """

    def prepare(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[None]:
        """Make ahead what `steps` of a text that begins so would need first, or nothing."""

    def warm_up(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Do what only the first `steps` would have to wait for."""
