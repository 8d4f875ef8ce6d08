"""Sentences spoken clause by clause and in windows, whole to the ear: no word lost, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeTranslator
from speech.recogniser import edit_distance, words
from support import figure

import mlx_speak as ms
from mlx_speak.audio.output import NullOutput
from mlx_speak.text import TextEvent
from mlx_speak.translation import Translation

pytestmark = [pytest.mark.packages, pytest.mark.slow]

SENTENCES = """
I read the code in the first file, and then I ran all of the tests again.
When the server did not respond in time, the client tried it three more times.
She opened the window of her room, looked at the garden, and saw her brother there.
After the last change to the parser, nothing else depends on this class.
""".strip().splitlines()


class SlowTranslator(FakeTranslator):
    """Says the source as it is, word by word, so slowly that a clause is wanted before the rest."""

    def stream_translate(self, text: str, *arguments: Any, **options: Any) -> Iterator[Translation]:
        for prefix in super().stream_translate(text, *arguments, **options):
            yield Translation(**vars(prefix) | {"text": text[: len(prefix.text)]})


class Recorder(NullOutput):
    def __init__(self, sample_rate: int) -> None:
        self.slices: list[np.ndarray] = []
        super().__init__(sample_rate)

    def _store(self, samples: np.ndarray) -> None:
        self.slices.append(samples.copy())


class Chunks:
    """A voice that keeps the chunks of every text that it is given."""

    def __init__(self, voice: ms.Voice):
        self._voice = voice
        self.spoken: list[tuple[str, list[np.ndarray]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._voice, name)

    def steps(self, text: str, **options: Any) -> Iterator[Any]:
        chunks: list[np.ndarray] = []
        self.spoken.append((text, chunks))
        for audio in self._voice.steps(text, **options):
            if audio is not None:
                chunks.append(audio.samples)
            yield audio


def test_clauses_and_windows_join(kokoro_folder: Path, transcribe: Callable) -> None:
    """Whisper writes down what it is given of whole sentences, and of joined ones."""
    voice = Chunks(ms.load_voice(kokoro_folder))
    output = Recorder(voice.sample_rate)
    errors = {"whole": 0, "joined": 0}
    report, clauses, windows = [], 0, 0
    with ms.Pipeline(
        SlowTranslator(step=0.06), voice, "en", "en-US", output, speaker="af_heart", early="off"
    ) as pipe:
        pipe.warm_up()
        pipe.paces["translate"].learn(10, 0.1)  # it is known to be slow
        for sentence in SENTENCES:
            voice.spoken.clear()
            output.slices.clear()
            events = [TextEvent(sentence, "text", "m"), TextEvent("", "end", "m")]
            (utterance,) = pipe.run(events)
            assert utterance.error is None
            assert "".join(text for text, _ in voice.spoken) == sentence
            heard = np.concatenate(output.slices)
            made = np.concatenate([samples for _, parts in voice.spoken for samples in parts])
            # The player's own fade is on the silence at a sentence's edges.
            np.testing.assert_allclose(heard, made, rtol=0, atol=0.01)
            check_edges([np.concatenate(parts) for _, parts in voice.spoken])
            for _, parts in voice.spoken:
                check_windows(parts)
            clauses += len(voice.spoken)
            windows += sum(len(parts) for _, parts in voice.spoken)
            whole = voice.generate(sentence, language="en-US", speaker="af_heart").samples
            for name, samples in (("whole", whole), ("joined", heard)):
                written = transcribe(samples)
                if count := edit_distance(words(sentence), words(written)):
                    report.append(f"{name}: {count} wrong: {sentence!r} heard as {written!r}")
                    errors[name] += count
    total = sum(len(words(sentence)) for sentence in SENTENCES)
    figure(
        f"joins: {clauses} clauses of {len(SENTENCES)} sentences in {windows} windows; of {total} "
        f"words {errors['joined']} heard otherwise, of whole sentences {errors['whole']}"
    )
    assert clauses >= 1.5 * len(SENTENCES)
    assert windows > clauses
    # A word lost or said twice at every join would be five.
    assert errors["joined"] <= errors["whole"] + 1, "\n".join(report)


def check_edges(parts: list[np.ndarray]) -> None:
    """Each clause rises from silence, falls to it, and leaves a pause before the next."""
    for samples in parts:
        assert abs(samples[0]) < 1e-3
        assert abs(samples[-1]) < 1e-3
    for one, other in pairwise(parts):
        pause = np.flatnonzero(np.abs(one) > 0.01)[-1]
        silence = len(one) - pause + np.flatnonzero(np.abs(other) > 0.01)[0]
        assert 0.05 < silence / 24_000 < 0.4


def check_windows(parts: list[np.ndarray]) -> None:
    """Where two windows meet the wave is no steeper than it is around there."""
    for one, other in pairwise(parts):
        around = np.concatenate([one[-480:], other[:480]])
        steps = np.abs(np.diff(around))
        middle = min(len(one), 480) - 1
        others = np.delete(steps, middle)
        assert steps[middle] <= max(others.max(), 2e-3)
