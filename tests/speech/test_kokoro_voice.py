"""The Kokoro voice: who speaks what, how fast, with how much silence, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from support import package

from mlx_speak.errors import ModelFormatError, UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.speech import SpeechError
from mlx_speak.speech.kokoro import KokoroVoice, load, load_model
from mlx_speak.speech.kokoro.model import Speech
from mlx_speak.text import read_aloud

HELLO = "həlˈO wˈɜɹld."


@pytest.fixture(scope="module")
def voice(small) -> KokoroVoice:
    return load(small.folder)


class Pulse:
    """In place of the network: a burst between silences like Kokoro's; records its calls."""

    def __init__(self, config, level: float = 0.5):
        self.config, self.level, self.calls = config, level, []

    def __call__(self, input_ids, style, speed=1.0, *, seed=0):
        self.calls.append((input_ids.shape[1] - 2, np.array(style), speed, seed))
        rate = self.config.sample_rate
        quiet = 0.002 * np.ones(rate)
        samples = np.concatenate(
            [quiet[: int(0.275 * rate)], np.full(rate // 2, self.level), quiet[: int(0.69 * rate)]]
        )
        return Speech(mx.array(samples.astype(np.float32)), np.ones(input_ids.shape[1]))


@pytest.fixture
def pulse(small, voice: KokoroVoice) -> KokoroVoice:
    return KokoroVoice(Pulse(voice.model.config), small.folder / "voices")


def test_the_same_seed_gives_the_same_samples(small, voice: KokoroVoice):
    first, again = (voice.generate(phonemes=HELLO) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.sample_rate == 24000
    assert first.seconds > 0.1
    other = KokoroVoice(voice.model, small.folder / "voices", seed=1).generate(phonemes=HELLO)
    assert len(other) != len(first) or np.abs(other.samples - first.samples).max() > 1e-3


def test_faster_is_shorter(voice: KokoroVoice):
    slow, normal, fast = (
        voice.generate(phonemes=HELLO, speed=speed).seconds for speed in (0.5, 1.0, 2.0)
    )
    assert slow > 1.4 * normal > 1.4 * 1.4 * fast


@pytest.mark.parametrize("speed", [0, -1, 0.1, 10, float("nan"), float("inf")])
def test_impossible_speeds(voice: KokoroVoice, speed: float):
    with pytest.raises(SpeechError, match="speed"):
        voice.generate(phonemes=HELLO, speed=speed)


def test_silence_is_trimmed_to_a_set_length(pulse: KokoroVoice):
    audio = pulse.generate(phonemes=HELLO)
    assert audio.seconds == pytest.approx(0.02 + 0.5 + 0.1, abs=1e-3)
    loud = np.flatnonzero(np.abs(audio.samples) > 0.01)
    assert loud[0] == pytest.approx(0.02 * 24000, abs=1)
    assert len(audio) - 1 - loud[-1] == pytest.approx(0.1 * 24000, abs=1)
    assert audio.samples[0] == audio.samples[-1] == pytest.approx(0, abs=1e-4)


def test_streaming_speaks_the_first_clause_first(pulse: KokoroVoice):
    first, rest = "wʌn klˈɔz ðæt ɪz ˈɜɹli, ", "ænd ðə ɹˈɛst ʌv ðə sˈɛntəns ðæt kˈʌmz ˈæftɚ ɪt."
    chunks = list(pulse.stream_generate(phonemes=f"{first}{rest} {rest}"))
    assert [call[0] for call in pulse.model.calls] == [len(first.strip()), len(rest), len(rest)]
    assert chunks[0].seconds == pytest.approx(0.02 + 0.5 + 0.12, abs=1e-3)  # within a sentence
    assert chunks[1].seconds == pytest.approx(0.02 + 0.5 + 0.25, abs=1e-3)  # between sentences
    assert chunks[2].seconds == pytest.approx(0.02 + 0.5 + 0.1, abs=1e-3)  # at the end


def test_generate_takes_the_longest_utterances(pulse: KokoroVoice):
    sentence = "ə" * 98 + ". "
    pulse.generate(phonemes=sentence * 12)
    lengths = [call[0] for call in pulse.model.calls]
    assert lengths == [5 * 100 - 1, 5 * 100 - 1, 2 * 100 - 1]


def test_what_is_written_is_read_aloud(pulse: KokoroVoice):
    """By `generate` and `stream_generate`; `steps` and `prepare` are given what was read."""
    written = "Use v2.13.0 of utils.py."
    pulse.generate(written, "en")
    list(pulse.stream_generate(written, "en"))
    list(pulse.steps(read_aloud(written, "en"), "en"))
    list(pulse.steps(written, "en"))
    *aloud, as_written = (call[0] for call in pulse.model.calls)
    assert aloud[0] == aloud[1] == aloud[2] > as_written


def test_style_is_picked_by_length_and_mixed(small, pulse: KokoroVoice):
    packs = {
        name: np.array(mx.load(str(small.folder / f"voices/{name}.safetensors"))["voice"])
        for name in ("af_heart", "af_sky")
    }
    for speaker, shares in {
        "af_sky": {"af_sky": 1.0},
        "af_heart:0.7, af_sky:0.3": {"af_heart": 0.7, "af_sky": 0.3},
        "af_heart,af_sky": {"af_heart": 0.5, "af_sky": 0.5},
        "af_heart:3,af_sky:1": {"af_heart": 0.75, "af_sky": 0.25},
    }.items():
        pulse.generate(phonemes=HELLO, speaker=speaker)
        expected = sum(share * packs[name][len(HELLO) - 1] for name, share in shares.items())
        np.testing.assert_allclose(pulse.model.calls[-1][1], expected, atol=1e-7)


def test_unknown_phonemes_are_left_out_and_silence_says_nothing(pulse: KokoroVoice):
    pulse.generate(phonemes="\0h\nə☃lˈO")
    assert pulse.model.calls[-1][0] == len("həlˈO")
    for nothing in ("", " ", "…", "☃", "?! ,"):
        assert len(pulse.generate(phonemes=nothing)) == 0
        assert list(pulse.stream_generate(phonemes=nothing)) == []


@pytest.mark.parametrize(
    ("level", "match"), [(float("nan"), "no numbers"), (float("inf"), "no numbers"), (0, "silence")]
)
def test_broken_sound_is_an_error(small, voice: KokoroVoice, level: float, match: str):
    broken = KokoroVoice(Pulse(voice.model.config, level), small.folder / "voices")
    with pytest.raises(SpeechError, match=match):
        broken.generate(phonemes=HELLO)


@pytest.mark.parametrize(
    ("language", "speaker", "reads", "speaks"),
    [
        (None, None, "en-US", "af_heart"),
        ("en", None, "en-US", "af_heart"),
        ("en-GB", None, "en-GB", "bm_george"),
        ("eng_Latn", None, "en-US", "af_heart"),
        ("pt", None, "pt-BR", "pf_dora"),
        ("pt-PT", None, "pt-PT", "pf_dora"),
        (None, "pf_dora", "pt-BR", "pf_dora"),
        ("en", "bm_george", "en-GB", "bm_george"),
        ("en", "pf_dora", "en", "pf_dora"),  # with an accent
    ],
)
def test_language_and_speaker(voice: KokoroVoice, language, speaker, reads: str, speaks: str):
    spoken, shares = voice._resolve(language, speaker)
    assert spoken == Language.parse(reads)
    assert shares == {speaks: 1.0}


def test_unknown_languages_and_speakers_list_what_there_is(voice: KokoroVoice):
    with pytest.raises(UnknownLanguageError, match=r"German.*pt-BR"):
        voice.generate(phonemes=HELLO, language="de")
    with pytest.raises(UnknownLanguageError, match="Japanese"):
        voice.check("ja")
    with pytest.raises(SpeechError, match="did you mean af_heart"):
        voice.generate(phonemes=HELLO, speaker="af_hart")
    for mix in ("af_heart:0", "af_heart:x", "af_heart:-1,af_sky:2"):
        with pytest.raises(SpeechError):
            voice.generate(phonemes=HELLO, speaker=mix)
    with pytest.raises(SpeechError, match="clone"):
        voice.clone("me.wav")


def test_a_damaged_folder(small, tmp_path: Path):
    folder = Path(shutil.copytree(small.folder, tmp_path / "copy"))
    voice = load(folder)
    (folder / "voices" / "af_sky.safetensors").write_bytes(b"garbage")
    with pytest.raises(ModelFormatError, match="af_sky"):
        voice.generate(phonemes=HELLO, speaker="af_sky")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelFormatError):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(weights)
    config = json.loads((folder / "config.json").read_text())
    for wrong in (config | {"n_layer": 3}, config | {"model_type": "other"}, {}):
        (folder / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(ModelFormatError):
            load_model(folder)


@pytest.mark.packages
def test_all_54_voices(kokoro_folder: Path):
    voice = load(kokoro_folder)
    if len(voice.speakers) < 54:
        from support import needs

        needs(False, "npm, for the voices that are not Japanese")
    counts = {
        tag: sum(speaker.language.tag == tag for speaker in voice.speakers)
        for tag in ("en-US", "en-GB", "es", "fr", "hi", "it", "ja", "pt-BR", "zh-Hans")
    }
    assert list(counts.values()) == [20, 8, 3, 1, 4, 2, 5, 3, 8]
    limit = voice.model.config.max_phonemes
    styles = {
        speaker.name: np.array(voice._speakers.style({speaker.name: 1.0}, limit))
        for speaker in voice.speakers
    }
    assert all(np.isfinite(style).all() and style.any() for style in styles.values())
    assert len({style.tobytes() for style in styles.values()}) == 54
    for language in voice.languages:  # one of each language is heard
        audio = voice.generate(phonemes="həlˈO.", language=language)
        assert 0.2 < audio.seconds < 2


def test_check_loads_what_an_unknown_word_needs(small):
    """The network that guesses English words costs tens of milliseconds, which no text may pay."""
    package("hibari")
    script = (
        "import sys; from mlx_speak.speech.kokoro import load; "
        f"load({str(small.folder)!r}).check('en'); print('hibari.g2p.oov' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
