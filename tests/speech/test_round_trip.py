"""English there and back: what Kokoro says, Whisper tiny.en writes down.

Its own error on clean speech is 2 to 6 %, so what is left for phonemes and synthesis together is
very little.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from speech.recogniser import SENTENCES, edit_distance, words
from support import figure

from mlx_speak.speech.kokoro import load
from mlx_speak.speech.voice import Voice

pytestmark = [pytest.mark.packages, pytest.mark.slow]


@pytest.fixture(scope="module")
def voice(kokoro_folder: Path) -> Voice:
    return load(kokoro_folder)


def test_english_is_understood(
    voice: Voice,
    transcribe: Callable[[np.ndarray], str],
) -> None:
    """At most 5 % of the words are written otherwise than they were given."""
    wrong = total = 0
    report = []
    for sentence in SENTENCES:
        audio = voice.generate(sentence, language="en", speaker="af_heart")
        heard = transcribe(audio.samples)
        errors = edit_distance(words(sentence), words(heard))
        wrong += errors
        total += len(words(sentence))
        if errors:
            report.append(f"{errors} wrong: {sentence!r} heard as {heard!r}")
    rate = wrong / total
    figure(f"English round trip: {wrong} of {total} words wrong, WER {100 * rate:.1f} %")
    assert rate <= 0.05, "\n".join(report)


@pytest.mark.parametrize(
    ("language", "speaker", "text", "syllables"),
    [
        ("en-GB", "bf_emma", "The schedule was changed last night.", 9),
        ("ja", "jf_alpha", "テストが12個失敗しました。", 16),
        ("pt", "pf_dora", "Encontrei três erros no código.", 10),
        ("es", "ef_dora", "Encontré tres errores en el código.", 12),
        ("fr", "ff_siwis", "Le fichier n'existe pas encore.", 8),
        ("it", "if_sara", "Ho trovato tre errori nel codice.", 12),
        ("hi", "hf_alpha", "मेरा नाम राम है।", 6),
    ],
)
def test_other_languages_sound_at_a_human_pace(
    voice: Voice, language: str, speaker: str, text: str, syllables: int
) -> None:
    """No recogniser ships in a package for these. People say 3 to 9 syllables a second; a phoneme
    string that the model cannot take comes out rushed, endless or silent."""
    audio = voice.generate(text, language=language, speaker=speaker)
    assert 2.5 <= syllables / audio.seconds <= 10
    loud = np.abs(audio.samples) > 0.02
    assert loud.mean() > 0.1
    assert np.abs(audio.samples).max() <= 1.2


def test_edit_distance() -> None:
    assert edit_distance(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert edit_distance([], ["a"]) == 1
    assert words("It took 42 minutes: 50% less!") == words(
        "it took forty-two minutes fifty percent less"
    )
