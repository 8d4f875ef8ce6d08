"""A translator and a voice whose behaviour tests control; no model, no MLX."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from mlx_speak.audio import Audio
from mlx_speak.languages import Language
from mlx_speak.translation import Translation

RATE = 8000


class FakeTranslator:
    """Upper-cases, word by word; `before(text)` may sleep, record or raise."""

    def __init__(self, before: Callable[[str], None] = lambda text: None, step: float = 0.0):
        self.before, self.step = before, step

    def pair(self, source: Language, target: Language) -> tuple[Language, Language]:
        return source, target

    def stream_translate(
        self, text: str, source=None, target=None, *, draft=None
    ) -> Iterator[Translation]:
        self.before(text)
        words = text.upper().split()
        for n in range(1, len(words) + 1):
            time.sleep(self.step)
            yield Translation(
                text=" ".join(words[:n]),
                tokens=list(range(n)),
                seconds=0.0,
                source=Language.parse("en"),
                target=Language.parse("pt"),
                source_text=text,
                final=n == len(words),
            )

    def warm_up(self, source=None, target=None) -> None:
        pass


class FakeVoice:
    """Each utterance is a constant level of `seconds` per character, in `chunks` chunks."""

    name = "fake"
    sample_rate = RATE

    def __init__(
        self,
        before: Callable[[str], None] = lambda text: None,
        seconds: float = 0.002,
        chunks: int = 2,
        step: float = 0.0,
    ):
        self.before, self.seconds, self.chunks, self.step = before, seconds, chunks, step

    def check(self, language: Language, speaker=None) -> None:
        pass

    def stream_generate(self, text: str, language=None, speaker=None, speed=1.0) -> Iterator[Audio]:
        self.before(text)
        total = int(len(text) * self.seconds * RATE)
        for part in np.array_split(np.full(total, 0.5, np.float32), self.chunks):
            time.sleep(self.step)
            yield Audio(part, RATE)

    def steps(self, text: str, language=None, speaker=None, speed=1.0) -> Iterator[Audio | None]:
        return self.stream_generate(text, language=language, speaker=speaker, speed=speed)

    def prepare(self, text: str, language=None, speaker=None, speed=1.0) -> Iterator[None]:
        return iter(())

    def warm_up(self, language=None, speaker=None) -> None:
        pass
